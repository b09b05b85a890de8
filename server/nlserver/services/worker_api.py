"""WorkerApi: the stream over which a worker joins a scheduler, is given actions and reports them (NativeLink).

Real NativeLink workers connect here: what they send is taken leniently, and whatever is wrong with a report ends the
action's attempt, so that no action executes for ever.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, assert_never

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from nlserver import log
from nlserver.clock import Clock
from nlserver.dispatch.effects import Disconnect, Kill, Order, Start
from nlserver.dispatch.model import ActionRequest, Failure, WorkerOffer
from nlserver.errors import Code, Error, invalid
from nlserver.proto import remote_execution_pb2, worker_api_pb2
from nlserver.reapi.digest import Digest, Function
from nlserver.reapi.status import error_of, status_of
from nlserver.reapi.times import moment_of
from nlserver.scheduler import Scheduler, Seat, scheduler_named, wall
from nlserver.service import Context, Service
from nlserver.spec import Site, Spec, Text, key

_LONGEST_NAME: Final = 256
_MOST_PROPERTIES: Final = 10_000
_NO_RESULT_EXIT_CODE: Final = -178
_NO_DIGEST: Final = "0" * 64
_MISSING: Final = re.compile(r"Object ([0-9a-f]{64})-([0-9]{1,19}) not found in either fast or slow store")


@dataclass(frozen=True, kw_only=True)
class WorkerApiSpec(Spec):
    """Lets workers connect to this listener. Anybody who reaches it can become a worker: keep it off open networks."""

    scheduler: Text
    """The scheduler that workers join, by its name in `schedulers`; it must be one that takes workers."""
    disable_kill_revoked_operations: bool = False
    """Do not tell workers to kill actions that were taken from them (cancelled, timed out, nobody waits)."""
    kill_revoked_operations_interval_s: int = key(zero=5)
    """Has no effect: NativeLink looks for such actions at this interval; here a worker is told at once."""


def build(spec: WorkerApiSpec, site: Site) -> WorkerApiService:
    """The service for one scheduler's workers."""
    scheduler = scheduler_named(site, spec.scheduler)
    if not scheduler.takes_workers:
        raise Error(
            Code.FAILED_PRECONDITION,
            f"scheduler {spec.scheduler!r} takes no workers",
            remedy="Name a scheduler of kind 'simple', or one that wraps it.",
        )
    return WorkerApiService(scheduler, site.clock, kills=not spec.disable_kill_revoked_operations)


class WorkerApiService(Service):
    """ConnectWorker. With `kills` false, workers are not told to end what was taken from them."""

    descriptors: ClassVar[Sequence[ServiceDescriptor]] = (worker_api_pb2.DESCRIPTOR.services_by_name["WorkerApi"],)

    def __init__(self, scheduler: Scheduler, clock: Clock, *, kills: bool = True) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._kills = kills

    async def ConnectWorker(self, requests: AsyncIterator[worker_api_pb2.UpdateForScheduler], context: Context) -> None:
        """A worker's session, from its first message to the end of either side's stream (NativeLink)."""
        seat = self._scheduler.join(offer_of(await anext(requests, None)), kills=self._kills)
        report = Reports(seat, self._clock)
        reader = asyncio.create_task(_read(requests, report), name=f"reports of {seat.worker_id}")
        try:
            result = worker_api_pb2.ConnectionResult(worker_id=seat.worker_id)
            await context.write(worker_api_pb2.UpdateForWorker(connection_result=result))
            async for order in seat.orders():
                report.expect(order)
                await context.write(_update(order, self._clock))
        finally:
            seat.leave("the stream to the worker ended")
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


async def _read(requests: AsyncIterator[worker_api_pb2.UpdateForScheduler], report: Reports) -> None:
    """Take reports until the worker's side ends, in whatever way; then its seat is free and `orders` ends."""
    reason = "the worker closed its stream"
    try:
        async for update in requests:
            if update.WhichOneof("update") == "going_away_request":
                reason = "the worker is going away"
                return
            report.take(update)
    except (grpc.aio.BaseError, grpc.RpcError) as error:
        reason = f"the worker's stream broke: {error!r}"
    finally:
        report.seat.leave(reason)


def offer_of(first: worker_api_pb2.UpdateForScheduler | None) -> WorkerOffer:
    """What a worker's first message announces. Raises Error INVALID_ARGUMENT when it announces nothing."""
    if first is None:
        raise invalid("Missing first message for connect_worker")
    if first.WhichOneof("update") != "connect_worker_request":
        raise invalid("First message was not a ConnectWorkerRequest")
    connect = first.connect_worker_request
    if len(connect.worker_id_prefix) > _LONGEST_NAME:
        raise invalid(f"the worker's name has {len(connect.worker_id_prefix)} characters; {_LONGEST_NAME} are the most")
    if len(connect.properties) > _MOST_PROPERTIES:
        raise invalid(f"the worker has {len(connect.properties)} properties; {_MOST_PROPERTIES} are the most")
    properties = tuple((each.name, each.value) for each in connect.properties)
    return WorkerOffer(connect.worker_id_prefix, properties, connect.max_inflight_tasks or None)


class Reports:
    """What one worker says, told to its seat. Remembers what it was given, so that results can be completed."""

    def __init__(self, seat: Seat, clock: Clock) -> None:
        self.seat = seat
        self._clock = clock
        self._given: dict[str, Start] = {}

    def expect(self, order: Order) -> None:
        """The worker is about to be given this."""
        if isinstance(order, Start):
            self._given[order.run] = order

    def take(self, update: worker_api_pb2.UpdateForScheduler) -> None:
        """One message. What makes no sense is logged and otherwise changes nothing (NativeLink behaviour)."""
        match update.WhichOneof("update"):
            case "keep_alive_request":
                self.seat.spoke()
            case "execute_complete":
                self.seat.executed(update.execute_complete.operation_id)
            case "execute_result":
                self._take_result(update.execute_result)
            case other:
                log.warn("Error processing worker message", worker_id=self.seat.worker_id, message=other or "empty")

    def _take_result(self, result: worker_api_pb2.ExecuteResult) -> None:
        run = result.operation_id
        given = self._given.pop(run, None)
        function = given.request.action.function if given else Function.SHA256
        outcome = outcome_of(result, function)
        if isinstance(outcome, Failure):
            self.seat.failed(run, outcome)
            return
        if given is not None:
            self._complete(outcome, given)
        self.seat.finished(run, outcome.SerializeToString())

    def _complete(self, response: remote_execution_pb2.ExecuteResponse, given: Start) -> None:
        if not response.HasField("result"):
            return
        metadata = response.result.execution_metadata
        metadata.worker = metadata.worker or self.seat.worker_id
        if not metadata.HasField("queued_timestamp"):
            metadata.queued_timestamp.FromNanoseconds(round(wall(self._clock, given.queued) * 1e9))


def outcome_of(
    result: worker_api_pb2.ExecuteResult, function: Function
) -> remote_execution_pb2.ExecuteResponse | Failure:
    """The ExecuteResponse for clients, or why the attempt failed. Changes the message in place.

    Details that NativeLink's workers lose are made again: a missing input is named in the text alone, and without
    MISSING violations Bazel fails the build where it could upload again.
    """
    match result.WhichOneof("result"):
        case "execute_response":
            return _polished(result.execute_response, function)
        case "internal_error":
            return _failure(error_of(result.internal_error), function)
        case _:
            return Failure(Code.INTERNAL, "Expected result to exist in ExecuteResult: the worker sent none")


def _failure(error: Error, function: Function) -> remote_execution_pb2.ExecuteResponse | Failure:
    missing = error.missing or _missing_in(error.message, function)
    if missing and error.code in (Code.NOT_FOUND, Code.FAILED_PRECONDITION):
        gone = Error(Code.FAILED_PRECONDITION, error.message, missing=missing)
        return remote_execution_pb2.ExecuteResponse(status=status_of(gone))
    return Failure(error.code, error.message, error.missing)


def _polished(
    response: remote_execution_pb2.ExecuteResponse, function: Function
) -> remote_execution_pb2.ExecuteResponse | Failure:
    if not response.status.code and not response.HasField("result"):
        return Failure(Code.INTERNAL, "the worker reported success without a result")
    # Some clients read an absent status as an error of the server's.
    response.status.SetInParent()
    if response.status.code == Code.FAILED_PRECONDITION and not response.status.details:
        missing = _missing_in(response.status.message, function)
        if missing:
            gone = Error(Code.FAILED_PRECONDITION, response.status.message, missing=missing)
            response.status.CopyFrom(status_of(gone))
    if response.status.code and response.result.exit_code == _NO_RESULT_EXIT_CODE:
        response.ClearField("result")
    if response.HasField("result"):
        _polish_result(response.result)
    return response


def _polish_result(result: remote_execution_pb2.ActionResult) -> None:
    for name, digest in (("stdout_digest", result.stdout_digest), ("stderr_digest", result.stderr_digest)):
        if digest.hash == _NO_DIGEST:
            result.ClearField(name)  # type: ignore[arg-type]
    if not result.output_symlinks:
        result.output_symlinks.extend(result.output_file_symlinks)
        result.output_symlinks.extend(result.output_directory_symlinks)
    metadata = result.execution_metadata
    timed = metadata.HasField("execution_start_timestamp") and metadata.HasField("execution_completed_timestamp")
    if timed and not metadata.HasField("virtual_execution_duration"):
        begun = moment_of(metadata.execution_start_timestamp)
        ended = moment_of(metadata.execution_completed_timestamp)
        if begun is not None and ended is not None:
            metadata.virtual_execution_duration.FromNanoseconds(max(0, ended - begun))


def _missing_in(text: str, function: Function) -> tuple[str, ...]:
    """The subjects of the blobs that NativeLink's text names."""
    found = (Digest(hash_, int(size), function).subject for hash_, size in _MISSING.findall(text))
    return tuple(dict.fromkeys(found))


def _update(order: Order, clock: Clock) -> worker_api_pb2.UpdateForWorker:
    update = worker_api_pb2.UpdateForWorker()
    match order:
        case Start(worker, run, _, request, queued):
            start = update.start_action
            _fill(start.execute_request, request)
            start.queued_timestamp.FromNanoseconds(round(wall(clock, queued) * 1e9))
            start.operation_id = run
            start.worker_id = worker
            for name, value in sorted(dict(request.properties).items()):
                start.platform.properties.add(name=name, value=value)
            if request.enclosure is not None:
                start.action, start.command = request.enclosure.take()
        case Kill(_, run):
            update.kill_operation_request.operation_id = run
        case Disconnect():
            update.disconnect.SetInParent()
        case _:
            assert_never(order)
    return update


def _fill(message: remote_execution_pb2.ExecuteRequest, request: ActionRequest) -> None:
    message.instance_name = request.instance
    message.skip_cache_lookup = request.skip_cache_lookup
    message.action_digest.hash = request.action.hash
    message.action_digest.size_bytes = request.action.size_bytes
    message.digest_function = remote_execution_pb2.DigestFunction.Value.ValueType(request.action.function)
