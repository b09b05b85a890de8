"""Execution and google.longrunning.Operations: actions in, operations out (REAPI v2, Execute and WaitExecution).

Problems of a request become a gRPC status. Problems of the action it names become the end of an operation, in
`ExecuteResponse.status`: there is no limit on the details, and Pants reads no others. `Operation.error` is never set.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from google.longrunning import operations_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError

from nlserver.clock import Clock
from nlserver.dispatch.enclosure import Room
from nlserver.dispatch.model import ActionRequest, Failure, OperationState, Origin, Response, Stage
from nlserver.errors import Code, Error, invalid, not_found
from nlserver.proto import admin_pb2, remote_execution_pb2
from nlserver.reapi.action import action_of, command_of, platform_of
from nlserver.reapi.digest import Digest, Function, digest_of, function_of, is_empty
from nlserver.reapi.recent import Recent
from nlserver.reapi.status import status_of
from nlserver.reapi.times import span_of
from nlserver.scheduler import Scheduler, scheduler_named, wall
from nlserver.service import Context, InstanceSpec, Service, instance
from nlserver.spec import Site, Text
from nlserver.store import Missing, Store, store_named
from nlserver.transfer.inlining import Hints, anything_wanted, inline
from nlserver.transfer.limits import MOST_RESULT_BYTES

_LARGEST_MESSAGE_BYTES: Final = 10 << 20
# Bazel gives up after 60 s without news, and proxies cut streams that are silent for as long.
_REPEAT_SECONDS: Final = 30.0
_MOST_ENCLOSED_BYTES: Final = 16 << 20
_MOST_ENCLOSED_BYTES_EACH: Final = 64 << 10
_MOST_RECENT_BYTES: Final = 4 << 20
_LONGEST_WAIT_SECONDS: Final = 24 * 3600.0
_DEFAULT_PAGE: Final = 100
_LARGEST_PAGE_BYTES: Final = 2 << 20
_METADATA: Final = "build.bazel.remote.execution.v2.requestmetadata-bin"
_LONGEST_ORIGIN: Final = 500
_RESPONSE_URL: Final = "type.googleapis.com/build.bazel.remote.execution.v2.ExecuteResponse"
_IN_BAND: Final = frozenset({Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION})


@dataclass(frozen=True, kw_only=True)
class ExecutionSpec(InstanceSpec):
    """Executes actions of an instance; serves google.longrunning.Operations beside it."""

    instance_name: str = ""
    """The name that clients give as `instance_name`; empty is the default instance."""
    cas_store: Text
    """The store that holds actions, commands and inputs, by its name in `stores`."""
    scheduler: Text
    """The scheduler that gives actions to workers, by its name in `schedulers`."""


def build(specs: Sequence[ExecutionSpec], site: Site) -> ExecutionService:
    """The service for these instances; of two items with one name the later counts."""
    served = {
        spec.instance_name: _Instance(store_named(site, spec.cas_store), scheduler_named(site, spec.scheduler))
        for spec in specs
    }
    return ExecutionService(served, site.clock, Function[site.default_function.upper()])


@dataclass(frozen=True)
class _Instance:
    """What one instance name stands for."""

    store: Store
    scheduler: Scheduler


class ExecutionService(Service):
    """Execute, WaitExecution, and Get, List, Cancel and WaitOperation.

    An operation is called `{instance}/operations/{id}`; each Execute call gets an id of its own. `repeat_seconds` is
    the longest silence on a stream.
    """

    descriptors: ClassVar[Sequence[ServiceDescriptor]] = (
        remote_execution_pb2.DESCRIPTOR.services_by_name["Execution"],
        operations_pb2.DESCRIPTOR.services_by_name["Operations"],
    )

    def __init__(
        self,
        served: dict[str, _Instance],
        clock: Clock,
        default_function: Function = Function.SHA256,
        *,
        repeat_seconds: float = _REPEAT_SECONDS,
    ) -> None:
        self._served = served
        self._clock = clock
        self._default_function = default_function
        self._repeat_seconds = repeat_seconds
        self._admission = Admission()

    async def Execute(self, request: remote_execution_pb2.ExecuteRequest, context: Context) -> None:
        """Runs an action and reports on it until its end (REAPI v2)."""
        served = instance(self._served, request.instance_name)
        if not request.HasField("action_digest"):
            raise invalid("the ExecuteRequest has no action_digest")
        digest = digest_of(request.action_digest, function_of(request.digest_function, self._default_function))
        try:
            wanted = await self._admission.admitted(request, digest, served.store)
        except Error as error:
            if error.code not in _IN_BAND:
                raise
            await context.write(self._refused(request.instance_name, digest, error))
            return
        states = served.scheduler.submit(replace(wanted, origin=origin_of(context.invocation_metadata())))
        if anything_wanted(request):
            states = inlined(states, request, served.store)
        await self._report(states, context)

    async def WaitExecution(self, request: remote_execution_pb2.WaitExecutionRequest, context: Context) -> None:
        """Reports on an operation again (REAPI v2)."""
        scheduler, name = await self._find(request.name)
        await self._report(scheduler.watch(name), context)

    async def GetOperation(self, request: Any, context: Context) -> Any:
        """The state now (google.longrunning)."""
        scheduler, name = await self._find(request.name)
        return self._message(await scheduler.get(name))

    async def WaitOperation(self, request: Any, context: Context) -> Any:
        """The state at its end, or when the time is over (google.longrunning)."""
        scheduler, name = await self._find(request.name)
        asked = _patience(request)
        async with aclosing(scheduler.watch(name)) as states:
            state = await anext(states)
            try:
                async with asyncio.timeout(asked):
                    async for newer in states:
                        state = newer
            except TimeoutError:
                state = await scheduler.get(name)
        return self._message(state)

    async def CancelOperation(self, request: Any, context: Context) -> Empty:
        """Ends it for the caller's name; other clients of the same action go on (google.longrunning)."""
        scheduler, name = await self._find(request.name)
        await scheduler.cancel(name)
        return Empty()

    async def ListOperations(self, request: Any, context: Context) -> Any:
        """The operations of an instance, `{instance}/operations`, in pages, the oldest first (google.longrunning)."""
        if request.filter:
            raise invalid("operations cannot be filtered here; leave filter empty")
        name, known = _collection(request.name), self._served
        if name not in known:
            raise not_found(f"No scheduler with the instance name {name[:100]!r}")
        after = _moment(request.page_token)
        states = [s for s in known[name].scheduler.operations() if s.request.instance == name and s.queued > after]
        return self._page(states, request.page_size or _DEFAULT_PAGE)

    def _page(self, states: Sequence[OperationState], size: int) -> Any:
        page = operations_pb2.ListOperationsResponse()
        total = 0
        for shown, state in enumerate(states):
            message = self._message(state)
            total += message.ByteSize()
            if shown and (shown >= size or total > _LARGEST_PAGE_BYTES):
                page.next_page_token = states[shown - 1].queued.hex()
                break
            page.operations.append(message)
        return page

    async def _find(self, name: str) -> tuple[Scheduler, str]:
        """The scheduler and its name for an operation. Raises Error NOT_FOUND, also for another instance's."""
        prefix, _, last = name.rpartition("operations/")
        served = self._served.get(prefix[:-1]) if not prefix or prefix.endswith("/") else None
        if served is not None and "/" not in last:
            state = await served.scheduler.get(last)
            if state.request.instance == prefix[:-1]:
                return served.scheduler, last
        raise not_found(f"Failed to find existing task: no operation {name[:200]!r} is known here")

    async def _report(self, states: AsyncGenerator[OperationState, None], context: Context) -> None:
        stream = Repeating(context.write, self._repeat_seconds)
        try:
            async with aclosing(states):
                async for state in states:
                    await stream.send(self._message(state))
        finally:
            await stream.end()

    def _message(self, state: OperationState) -> Any:
        done = state.stage is Stage.COMPLETED
        operation = operations_pb2.Operation(name=_name(state.request.instance, state.name), done=done)
        operation.metadata.Pack(self._metadata(state))
        if state.outcome is not None:
            operation.response.CopyFrom(_response(state.outcome))
        return operation

    def _metadata(self, state: OperationState) -> remote_execution_pb2.ExecuteOperationMetadata:
        metadata = _metadata(state.stage, state.request.action)
        partial = metadata.partial_execution_metadata
        partial.queued_timestamp.FromNanoseconds(round(wall(self._clock, state.queued) * 1e9))
        partial.worker = state.worker_id
        if state.explanation:
            why = admin_pb2.Explanation(summary=state.explanation, unsatisfiable=state.unsatisfiable)
            partial.auxiliary_metadata.add().Pack(why)
        return metadata

    def _refused(self, instance_name: str, action: Digest, error: Error) -> Any:
        """An operation that ended before it began."""
        operation = operations_pb2.Operation(name=_name(instance_name, str(uuid.uuid4())), done=True)
        operation.metadata.Pack(_metadata(Stage.COMPLETED, action))
        operation.response.Pack(remote_execution_pb2.ExecuteResponse(status=status_of(error)))
        return operation


def origin_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> Origin:
    """What a client says of itself in the headers of a call; nothing where it is malformed. Long texts are cut."""
    for name, value in metadata or ():
        if name == _METADATA and isinstance(value, bytes):
            try:
                said = remote_execution_pb2.RequestMetadata.FromString(value)
            except DecodeError:
                break
            texts = (said.tool_invocation_id, said.target_id, said.action_mnemonic)
            return Origin(*(text[:_LONGEST_ORIGIN] for text in texts))
    return Origin()


def _patience(request: Any) -> float:
    """Seconds that a WaitOperationRequest wants to wait at most."""
    if not request.HasField("timeout"):
        return _LONGEST_WAIT_SECONDS
    span = span_of(request.timeout)
    if span is None:
        raise invalid("the timeout is not a time that can pass")
    return min(max(0.0, span / 1e9), _LONGEST_WAIT_SECONDS)


class Admission:
    """Reads what a client wants to be run.

    Commands that were read lately are not read again: many actions have one in common and differ in their inputs, or
    in nothing but their salt.
    """

    def __init__(self) -> None:
        self._room = Room(_MOST_ENCLOSED_BYTES, _MOST_ENCLOSED_BYTES_EACH)
        self._commands: Recent[Digest] = Recent(_MOST_RECENT_BYTES)

    async def admitted(
        self, request: remote_execution_pb2.ExecuteRequest, digest: Digest, store: Store
    ) -> ActionRequest:
        """What the scheduler is asked, after reading the Action and its Command, which are enclosed if there is room.

        Raises Error FAILED_PRECONDITION with every blob of Action, Command and input root that is missing,
        INVALID_ARGUMENT for what can never run.
        """
        action_data = await _read(store, digest, "Action")
        action = action_of(action_data, digest.function)
        command = digest_of(action.command_digest, digest.function)
        command_data = await self._command(store, command, digest_of(action.input_root_digest, digest.function))
        return ActionRequest(
            instance=request.instance_name,
            action=digest,
            properties=platform_of(action, command_of(command_data)),
            priority=request.execution_policy.priority,
            skip_cache_lookup=request.skip_cache_lookup,
            do_not_cache=action.do_not_cache,
            enclosure=self._room.enclose(action_data, command_data),
        )

    async def _command(self, store: Store, command: Digest, root: Digest) -> bytes:
        """The Command, if the input root is there, too. Raises Error with both when both are missing."""
        known = self._commands.get(command)
        if known is not None:
            await _present(store, root)
            return known
        found = await asyncio.gather(_read(store, command, "Command"), _present(store, root), return_exceptions=True)
        lost = [subject for failure in found if isinstance(failure, Error) for subject in failure.missing]
        if lost:
            raise _missing(*dict.fromkeys(lost))
        data, absent = found
        if isinstance(absent, BaseException):
            raise absent
        if isinstance(data, BaseException):
            raise data
        self._commands.put(command, data)
        return data


async def _read(store: Store, digest: Digest, what: str) -> bytes:
    if digest.size_bytes > _LARGEST_MESSAGE_BYTES:
        raise invalid(f"the {what} has {digest.size_bytes} bytes; {_LARGEST_MESSAGE_BYTES} are the most")
    try:
        return await store.get(digest, _LARGEST_MESSAGE_BYTES)
    except Missing:
        raise _missing(digest.subject) from None


async def _present(store: Store, digest: Digest) -> None:
    if not is_empty(digest) and (await store.sizes((digest,)))[0] is None:
        raise _missing(digest.subject)


def _missing(*subjects: str) -> Error:
    names = ", ".join(subjects)
    return Error(
        Code.FAILED_PRECONDITION, f"the action cannot run without {names}: not found in the CAS", missing=subjects
    )


class Repeating:
    """Sends messages one by one, and the last one again whenever none was sent for `seconds`. `end` it."""

    def __init__(self, send: Callable[[Any], Awaitable[None]], seconds: float) -> None:
        self._send = send
        self._seconds = seconds
        self._last: Any = None
        self._one_at_a_time = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._repetition: asyncio.Task[None] | None = None

    async def send(self, message: Any) -> None:
        """Send a message, after a repetition that is under way. Raises what sending raises."""
        self._last = message
        await self._send_last()

    async def end(self) -> None:
        """Send nothing any more."""
        self._rest()
        if self._repetition is not None:
            self._repetition.cancel()
            await asyncio.gather(self._repetition, return_exceptions=True)

    async def _send_last(self) -> None:
        async with self._one_at_a_time:
            self._rest()
            await self._send(self._last)
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._repeat)

    def _repeat(self) -> None:
        self._repetition = asyncio.get_running_loop().create_task(self._send_last())

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


async def inlined(
    states: AsyncGenerator[OperationState, None], hints: Hints, store: Store
) -> AsyncGenerator[OperationState, None]:
    """The same states, the last with the outputs that a client wants in it."""
    async with aclosing(states):
        async for state in states:
            if not isinstance(state.outcome, Response):
                yield state
                continue
            response = remote_execution_pb2.ExecuteResponse.FromString(state.outcome.data)
            room = MOST_RESULT_BYTES - len(state.outcome.data)
            await inline(response.result, hints, store, state.request.action.function, room)
            yield replace(state, outcome=Response(response.SerializeToString()))


def _response(outcome: Response | Failure) -> AnyMessage:
    if isinstance(outcome, Response):
        return AnyMessage(type_url=_RESPONSE_URL, value=outcome.data)
    status = status_of(Error(outcome.code, outcome.message, missing=outcome.missing))
    response = AnyMessage()
    response.Pack(remote_execution_pb2.ExecuteResponse(status=status))
    return response


def _metadata(stage: Stage, action: Digest) -> remote_execution_pb2.ExecuteOperationMetadata:
    metadata = remote_execution_pb2.ExecuteOperationMetadata(
        stage=remote_execution_pb2.ExecutionStage.Value.ValueType(stage),
        digest_function=remote_execution_pb2.DigestFunction.Value.ValueType(action.function),
    )
    metadata.action_digest.hash = action.hash
    metadata.action_digest.size_bytes = action.size_bytes
    return metadata


def _name(instance_name: str, last: str) -> str:
    return f"{instance_name}/operations/{last}" if instance_name else f"operations/{last}"


def _collection(name: str) -> str:
    """The instance of `{instance}/operations`; the instance's name alone, as the API's examples have it, is taken."""
    return "" if name == "operations" else name.removesuffix("/operations")


def _moment(token: str) -> float:
    if not token:
        return float("-inf")
    try:
        return float.fromhex(token)
    except (ValueError, OverflowError):
        raise invalid("the page_token is none that this server gave") from None
