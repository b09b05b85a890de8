"""Admin: what an operator may ask of a running process (proto/admin.proto)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, cast

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from nlserver.clock import Clock
from nlserver.dispatch.model import OperationState, Properties, Readiness, Verdict, WorkerState
from nlserver.errors import Code, Error, not_found
from nlserver.proto import admin_pb2, remote_execution_pb2
from nlserver.scheduler import Scheduler, wall
from nlserver.service import Context, Service
from nlserver.spec import Site, Spec

_DEFAULT_LIMIT: Final = 1000
_MOST_OPERATIONS: Final = 5000
_READINESS: Final = {
    Readiness.READY: admin_pb2.Worker.READY,
    Readiness.BUSY: admin_pb2.Worker.BUSY,
    Readiness.DRAINING: admin_pb2.Worker.DRAINING,
    Readiness.PAUSED: admin_pb2.Worker.PAUSED,
}
_VERDICTS: Final = {
    Verdict.NOW: admin_pb2.WorkerVerdict.NOW,
    Verdict.BUSY: admin_pb2.WorkerVerdict.BUSY,
    Verdict.NEVER: admin_pb2.WorkerVerdict.NEVER,
}


@dataclass(frozen=True, kw_only=True)
class AdminSpec(Spec):
    """Serves the admin gRPC service, and `POST {path}/scheduler/NAME/set_drain_worker/ID/0|1`, on this listener.

    There is no authentication: keep it off open networks.
    """

    path: str = "/admin"
    """Where the HTTP route stands; empty means `/admin`."""


def build(spec: AdminSpec, site: Site, *, part: Callable[[], Awaitable[admin_pb2.Part]]) -> AdminService:
    """The service for the schedulers of this process; `part` tells of the process itself."""
    return AdminService(lambda: schedulers_of(site), site.clock, part)


def schedulers_of(site: Site) -> dict[str, Scheduler]:
    """The root schedulers of this process, by name."""
    return cast(dict[str, Scheduler], site.made("scheduler"))


def set_drain(site: Site, scheduler: str, worker_id: str, draining: bool) -> None:
    """Give a worker no new work, or work again (NativeLink's `set_drain_worker`). Raises Error NOT_FOUND."""
    for chosen in _chosen(schedulers_of(site), scheduler or "(no name)").values():
        chosen.drain(worker_id, draining)


class AdminService(Service):
    """GetPart, ListWorkers, ListOperations, ExplainOperation."""

    descriptors: ClassVar[Sequence[ServiceDescriptor]] = (admin_pb2.DESCRIPTOR.services_by_name["Admin"],)

    def __init__(
        self,
        schedulers: Callable[[], Mapping[str, Scheduler]],
        clock: Clock,
        part: Callable[[], Awaitable[admin_pb2.Part]],
    ) -> None:
        self._schedulers = schedulers
        self._clock = clock
        self._part = part

    async def GetPart(self, request: admin_pb2.GetPartRequest, context: Context) -> admin_pb2.Part:
        """Facts and health of this process."""
        return await self._part()

    async def ListWorkers(
        self, request: admin_pb2.ListWorkersRequest, context: Context
    ) -> admin_pb2.ListWorkersResponse:
        """Connected workers, by scheduler, in the order in which they came."""
        return admin_pb2.ListWorkersResponse(
            workers=[
                self._worker(name, state)
                for name, scheduler in _chosen(self._schedulers(), request.scheduler).items()
                for state in scheduler.workers()
            ]
        )

    async def ListOperations(
        self, request: admin_pb2.ListOperationsRequest, context: Context
    ) -> admin_pb2.ListOperationsResponse:
        """Operations by scheduler, the oldest first; completed ones for as long as they are retained."""
        states = [
            (name, state)
            for name, scheduler in _chosen(self._schedulers(), request.scheduler).items()
            for state in scheduler.operations()
            if not request.stages or int(state.stage) in request.stages
        ]
        limit = min(request.limit or _DEFAULT_LIMIT, _MOST_OPERATIONS)
        operations = [self._operation(name, state) for name, state in states[:limit]]
        return admin_pb2.ListOperationsResponse(operations=operations, total=len(states))

    async def ExplainOperation(
        self, request: admin_pb2.ExplainOperationRequest, context: Context
    ) -> admin_pb2.Explanation:
        """The verdict on every worker of the operation's scheduler."""
        for scheduler in _chosen(self._schedulers(), request.scheduler).values():
            try:
                return _explanation(scheduler, request.id)
            except Error as error:
                if error.code not in (Code.NOT_FOUND, Code.UNIMPLEMENTED):
                    raise
        raise not_found(f"no operation {request.id[:100]!r} is known here")

    def _worker(self, scheduler: str, state: WorkerState) -> admin_pb2.Worker:
        return admin_pb2.Worker(
            id=state.id,
            name=state.offer.name,
            scheduler=scheduler,
            state=_READINESS[state.readiness],
            properties=_properties(state.offer.properties),
            remaining=_properties(state.remaining),
            max_inflight_tasks=state.offer.max_inflight_tasks or 0,
            operations=state.operations,
            connected=self._timestamp(state.connected),
            last_seen=self._timestamp(state.last_seen),
            completed=state.completed,
        )

    def _operation(self, scheduler: str, state: OperationState) -> admin_pb2.Operation:
        action = state.request.action
        return admin_pb2.Operation(
            id=state.operation,
            scheduler=scheduler,
            instance_name=state.request.instance,
            action_digest=remote_execution_pb2.Digest(hash=action.hash, size_bytes=action.size_bytes),
            digest_function=remote_execution_pb2.DigestFunction.Value.ValueType(action.function),
            stage=remote_execution_pb2.ExecutionStage.Value.ValueType(state.stage),
            priority=state.priority,
            since=self._timestamp(state.since),
            queued=self._timestamp(state.queued),
            worker_id=state.worker_id,
            attempts=state.attempts,
            waiters=state.waiters,
            properties=_properties(state.request.properties),
            explanation=state.explanation,
            unsatisfiable=state.unsatisfiable,
        )

    def _timestamp(self, moment: float) -> Timestamp:
        made = Timestamp()
        made.FromNanoseconds(round(wall(self._clock, moment) * 1e9))
        return made


def _chosen(schedulers: Mapping[str, Scheduler], name: str) -> Mapping[str, Scheduler]:
    """The scheduler of this name, or all. Raises Error NOT_FOUND."""
    if not name:
        return schedulers
    if name not in schedulers:
        known = ", ".join(sorted(schedulers)) or "none"
        raise not_found(f"no scheduler {name[:100]!r} runs here", remedy=f"Schedulers of this process: {known}")
    return {name: schedulers[name]}


def _properties(properties: Properties) -> Iterator[remote_execution_pb2.Platform.Property]:
    return (remote_execution_pb2.Platform.Property(name=name, value=value) for name, value in properties)


def _explanation(scheduler: Scheduler, operation: str) -> admin_pb2.Explanation:
    found = scheduler.explain(operation)
    made = admin_pb2.Explanation(summary=found.summary, unsatisfiable=found.verdict is Verdict.NEVER)
    for worker in found.workers:
        made.workers.add(
            worker_id=worker.worker_id,
            worker_name=worker.worker_name,
            verdict=_VERDICTS[worker.verdict],
            reason=worker.reason,
        )
    return made
