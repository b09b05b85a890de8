"""Admin: what an operator may ask of a running process (proto/admin.proto)."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar, Final, cast

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from nlserver import events, inspection, log
from nlserver.dispatch.model import (
    Explanation,
    OperationState,
    Outcome,
    Properties,
    Readiness,
    Response,
    Stage,
    Verdict,
    WorkerState,
)
from nlserver.errors import Code, Error, invalid, not_found
from nlserver.eviction import Eviction
from nlserver.inspection import Layer, Presence, Sighting
from nlserver.proto import admin_pb2, remote_execution_pb2
from nlserver.reapi.digest import digest_of, function_of
from nlserver.scheduler import Scheduler, wall
from nlserver.service import Context, Service
from nlserver.spec import Site, Spec
from nlserver.store import Counted, Entry, Journalled, Listed, Store

_DEFAULT_LIMIT: Final = 1000
_MOST_OPERATIONS: Final = 5000
_READINESS: Final = {
    Readiness.READY: admin_pb2.Worker.READY,
    Readiness.BUSY: admin_pb2.Worker.BUSY,
    Readiness.DRAINING: admin_pb2.Worker.DRAINING,
    Readiness.PAUSED: admin_pb2.Worker.PAUSED,
}
_PRESENCES: Final = {
    Presence.PRESENT: admin_pb2.Sighting.PRESENT,
    Presence.ABSENT: admin_pb2.Sighting.ABSENT,
    Presence.UNREACHABLE: admin_pb2.Sighting.UNREACHABLE,
}
_TRACE_SECONDS: Final = 2.0
_MOST_TRACE_SECONDS: Final = 30.0
_A_MESSAGE: Final = 500
_LEVELS: Final = {"debug": 10, "info": 20, "warn": 30, "error": 40}
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
    """Where the HTTP route stands, beginning with a slash; empty means `/admin`."""

    @classmethod
    def problems(cls, values: AdminSpec) -> list[str]:
        """A path that no request could have."""
        if values.path and not values.path.startswith("/"):
            return [f"path is {values.path!r}; it must start with /"]
        return []


def build(
    site: Site, *, part: Callable[[], Awaitable[admin_pb2.Part]], roles: Mapping[str, Sequence[str]]
) -> AdminService:
    """The service for the schedulers and stores of this process.

    `part` tells of the process itself, `roles` what each root store is used as.
    """
    return AdminService(site, part, roles)


def schedulers_of(site: Site) -> dict[str, Scheduler]:
    """The root schedulers of this process, by name."""
    return cast(dict[str, Scheduler], site.made("scheduler"))


def wish_of(text: str) -> bool:
    """Whether a worker shall drain, as the HTTP route says it. Raises Error INVALID_ARGUMENT."""
    if text not in ("0", "1"):
        raise invalid(f"{text[:100]!r} is neither 0 nor 1")
    return text == "1"


def set_drain(site: Site, scheduler: str, worker_id: str, draining: bool) -> None:
    """Give a worker no new work, or work again (NativeLink's `set_drain_worker`). Raises Error NOT_FOUND."""
    for chosen in _chosen(schedulers_of(site), scheduler or "(no name)").values():
        chosen.drain(worker_id, draining)


class AdminService(Service):
    """See proto/admin.proto; what a store may be asked stands in `inspection`."""

    descriptors: ClassVar[Sequence[ServiceDescriptor]] = (admin_pb2.DESCRIPTOR.services_by_name["Admin"],)

    def __init__(
        self, site: Site, part: Callable[[], Awaitable[admin_pb2.Part]], roles: Mapping[str, Sequence[str]]
    ) -> None:
        self._site = site
        self._clock = site.clock
        self._part = part
        self._roles = roles

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
                for name, scheduler in _chosen(schedulers_of(self._site), request.scheduler).items()
                for state in scheduler.workers()
            ]
        )

    async def ListOperations(
        self, request: admin_pb2.ListOperationsRequest, context: Context
    ) -> admin_pb2.ListOperationsResponse:
        """Operations by scheduler, the oldest first; completed ones for as long as they are retained."""
        states = [
            (name, state)
            for name, scheduler in _chosen(schedulers_of(self._site), request.scheduler).items()
            for state in scheduler.operations()
            if (not request.stages or int(state.stage) in request.stages)
            and request.invocation in ("", state.request.origin.invocation)
        ]
        limit = min(request.limit or _DEFAULT_LIMIT, _MOST_OPERATIONS)
        operations = [self._operation(name, state) for name, state in states[:limit]]
        return admin_pb2.ListOperationsResponse(operations=operations, total=len(states))

    async def WatchOperations(self, request: admin_pb2.WatchOperationsRequest, context: Context) -> None:
        """The operations that are asked for, as they stand and as they change. Raises Error NOT_FOUND."""
        name, scheduler = _only(schedulers_of(self._site), request.scheduler)
        with scheduler.changes() as changes:
            if request.ids:
                states = [await scheduler.get(one) for one in request.ids]
            else:
                states = [state for state in scheduler.operations() if state.stage is not Stage.COMPLETED]
            for state in states:
                await context.write(self._operation(name, state, ending=True))
            left = {state.operation for state in states if state.stage is not Stage.COMPLETED}
            if request.ids and not left:
                return
            async with aclosing(changes):
                async for state in changes:
                    if request.ids and state.operation not in left:
                        continue
                    await context.write(self._operation(name, state, ending=True))
                    if state.stage is Stage.COMPLETED:
                        left.discard(state.operation)
                    if request.ids and not left:
                        return

    async def ExplainOperation(
        self, request: admin_pb2.ExplainOperationRequest, context: Context
    ) -> admin_pb2.Explanation:
        """The verdict on every worker of the operation's scheduler."""
        for scheduler in _chosen(schedulers_of(self._site), request.scheduler).values():
            try:
                return _explanation(scheduler.explain(request.id))
            except Error as error:
                if error.code not in (Code.NOT_FOUND, Code.UNIMPLEMENTED):
                    raise
        raise not_found(f"no operation {request.id[:100]!r} is known here")

    async def ExplainProperties(
        self, request: admin_pb2.ExplainPropertiesRequest, context: Context
    ) -> admin_pb2.Explanation:
        """The verdict on every worker for these properties. Raises Error INVALID_ARGUMENT where a number is needed."""
        _, scheduler = _only(schedulers_of(self._site), request.scheduler)
        asked = tuple((one.name, one.value) for one in request.properties)
        return _explanation(scheduler.explain_properties(asked))

    async def ListQueues(self, request: admin_pb2.ListQueuesRequest, context: Context) -> admin_pb2.ListQueuesResponse:
        """What waits and runs, by scheduler and properties."""
        queues = [
            self._queue(name, scheduler, states)
            for name, scheduler in _chosen(schedulers_of(self._site), request.scheduler).items()
            for states in _alike(scheduler.operations())
        ]
        queues.sort(key=lambda queue: (-queue.queued, -queue.executing))
        return admin_pb2.ListQueuesResponse(queues=queues)

    async def CancelOperations(
        self, request: admin_pb2.CancelOperationsRequest, context: Context
    ) -> admin_pb2.CancelOperationsResponse:
        """Each in the first scheduler that knows it."""
        answer = admin_pb2.CancelOperationsResponse()
        for operation in request.ids:
            match await self._cancelled(request.scheduler, operation):
                case True:
                    answer.cancelled.append(operation)
                case False:
                    answer.ended.append(operation)
                case None:
                    answer.unknown.append(operation)
        return answer

    async def SetDrain(self, request: admin_pb2.SetDrainRequest, context: Context) -> admin_pb2.SetDrainResponse:
        """All of them or, when one is unknown, none. Raises Error NOT_FOUND naming those that are connected."""
        meant = [
            (name, scheduler, state)
            for name, scheduler in _chosen(schedulers_of(self._site), request.scheduler).items()
            for state in scheduler.workers()
            if not {state.id, state.offer.name}.isdisjoint(request.workers)
        ]
        found = {text for _, _, state in meant for text in (state.id, state.offer.name)}
        if unknown := [worker for worker in request.workers if worker not in found]:
            raise not_found(f"no worker {unknown[0][:200]!r} is connected", remedy=f"Connected: {self._names()}")
        for _, scheduler, state in meant:
            scheduler.drain(state.id, request.draining)
        ids = {state.id for _, _, state in meant}
        now = [
            self._worker(name, state)
            for name, scheduler in schedulers_of(self._site).items()
            for state in scheduler.workers()
            if state.id in ids
        ]
        return admin_pb2.SetDrainResponse(workers=now)

    async def ListStores(self, request: admin_pb2.ListStoresRequest, context: Context) -> admin_pb2.ListStoresResponse:
        """Every root store with what it is made of."""
        roots = [_node(Layer(*root)) for root in self._stores().items()]
        for root in roots:
            root.roles.extend(self._roles.get(root.path, ()))
        return admin_pb2.ListStoresResponse(stores=roots)

    async def TraceBlob(self, request: admin_pb2.TraceBlobRequest, context: Context) -> admin_pb2.TraceBlobResponse:
        """Each layer's own answer. Raises Error NOT_FOUND for a store that there is not."""
        key = digest_of(request.digest, function_of(request.digest_function))
        chain = inspection.chosen(self._stores(), request.store)
        limit = request.timeout_seconds or _TRACE_SECONDS
        sightings = await inspection.trace(chain, key, min(max(limit, 0.0), _MOST_TRACE_SECONDS))
        return admin_pb2.TraceBlobResponse(sightings=map(_sighting, sightings))

    async def ListBlobs(self, request: admin_pb2.ListBlobsRequest, context: Context) -> None:
        """Some hundred keys a message. Raises Error UNIMPLEMENTED for a kind that cannot list."""
        layer = inspection.at(self._stores(), request.store)
        if not isinstance(layer.store, Listed):
            raise Error(Code.UNIMPLEMENTED, f"a {layer.kind} store cannot list what it holds", where=layer.path)
        left = request.limit or sys.maxsize
        async with aclosing(layer.store.entries(request.prefix)) as batches:
            async for batch in batches:
                for part in (batch[start : start + _A_MESSAGE] for start in range(0, len(batch), _A_MESSAGE)):
                    await context.write(admin_pb2.ListBlobsResponse(blobs=map(_entry, part[:left])))
                    left -= len(part)
                    if left <= 0:
                        return

    async def ReadBlob(self, request: admin_pb2.ReadBlobRequest, context: Context) -> None:
        """In chunks of about a mebibyte. Raises Missing."""
        key = digest_of(request.digest, function_of(request.digest_function))
        layer = inspection.at(self._stores(), request.store)
        async with aclosing(layer.store.read(key)) as chunks:
            async for chunk in chunks:
                await context.write(admin_pb2.ReadBlobResponse(data=bytes(chunk)))

    async def RemoveBlob(self, request: admin_pb2.RemoveBlobRequest, context: Context) -> admin_pb2.RemoveBlobResponse:
        """From this layer and what is below it. Raises Error UNIMPLEMENTED for a kind that cannot forget."""
        key = digest_of(request.digest, function_of(request.digest_function))
        layer = inspection.at(self._stores(), request.store)
        removed = await layer.store.remove(key)
        log.info("A value was removed on request", store=layer.path, key=key, was_there=removed)
        return admin_pb2.RemoveBlobResponse(removed=removed)

    async def ListEvictions(self, request: admin_pb2.ListEvictionsRequest, context: Context) -> None:
        """Of one layer after the other; each as far as its journal goes back."""
        since = request.since.ToNanoseconds() / 1e9
        seen: set[int] = set()
        for layer in inspection.chosen(self._stores(), request.store):
            if not isinstance(layer.store, Journalled) or id(layer.store) in seen:
                continue
            seen.add(id(layer.store))
            async with aclosing(layer.store.evictions(request.prefix)) as batches:
                async for batch in batches:
                    wanted = [one for one in batch if one.when >= since]
                    for part in (wanted[start : start + _A_MESSAGE] for start in range(0, len(wanted), _A_MESSAGE)):
                        made = [_eviction(layer.path, one) for one in part]
                        await context.write(admin_pb2.ListEvictionsResponse(evictions=made))

    async def WatchEvents(self, request: admin_pb2.WatchEventsRequest, context: Context) -> None:
        """From the log of this process. Raises Error INVALID_ARGUMENT for an unknown level."""
        lowest = _level(request.level or "info")
        if not request.follow:
            for event in log.recent.after(request.after):
                await self._tell(context, event, lowest, 0)
            return
        last = request.after
        async with aclosing(log.recent.follow(request.after)) as events:
            async for event in events:
                await self._tell(context, event, lowest, event.number - last - 1 if last else 0)
                last = event.number

    async def _tell(self, context: Context, event: events.Event, lowest: int, lost: int) -> None:
        if event.level < lowest:
            return
        made = admin_pb2.Event(number=event.number, event=event.event, facts=event.facts, lost=lost)
        made.level = max(
            (name for name in _LEVELS if _LEVELS[name] <= event.level), key=_LEVELS.__getitem__, default="debug"
        )
        made.when.FromNanoseconds(round(event.when * 1e9))
        await context.write(made)

    async def _cancelled(self, scheduler: str, operation: str) -> bool | None:
        """Whether it had not ended yet; None when nobody knows it."""
        for one in _chosen(schedulers_of(self._site), scheduler).values():
            try:
                state = await one.get(operation)
                await one.cancel(state.operation)
            except Error as error:
                if error.code is not Code.NOT_FOUND:
                    raise
                continue
            return state.stage is not Stage.COMPLETED
        return None

    def _stores(self) -> Mapping[str, Store]:
        return cast(Mapping[str, Store], self._site.made("store"))

    def _names(self) -> str:
        names = {one.offer.name for scheduler in schedulers_of(self._site).values() for one in scheduler.workers()}
        return ", ".join(sorted(names)) or "none"

    def _queue(self, name: str, scheduler: Scheduler, states: Sequence[OperationState]) -> admin_pb2.Queue:
        waiting = [state for state in states if state.stage is Stage.QUEUED]
        made = admin_pb2.Queue(
            scheduler=name,
            properties=_properties(states[0].request.properties),
            queued=len(waiting),
            executing=len(states) - len(waiting),
        )
        found = scheduler.explain_properties(states[0].request.properties)
        made.workers = sum(worker.verdict is not Verdict.NEVER for worker in found.workers)
        made.free_workers = sum(worker.verdict is Verdict.NOW for worker in found.workers)
        if waiting:
            made.oldest.CopyFrom(self._timestamp(min(state.queued for state in waiting)))
            made.explanation = found.summary
        return made

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

    def _operation(self, scheduler: str, state: OperationState, *, ending: bool = False) -> admin_pb2.Operation:
        action, origin = state.request.action, state.request.origin
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
            invocation=origin.invocation,
            target=origin.target,
            mnemonic=origin.mnemonic,
            ending=_ending(state.outcome) if ending and state.outcome is not None else None,
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


def _only(schedulers: Mapping[str, Scheduler], name: str) -> tuple[str, Scheduler]:
    """The scheduler of this name, or the only one. Raises Error INVALID_ARGUMENT where several could be meant."""
    chosen = _chosen(schedulers, name)
    if len(chosen) != 1:
        raise invalid(
            "'scheduler' must say which one is asked",
            remedy=f"Schedulers of this process: {', '.join(sorted(chosen)) or 'none'}",
        )
    [only] = chosen.items()
    return only


def _ending(outcome: Outcome) -> admin_pb2.Ending:
    if not isinstance(outcome, Response):
        return admin_pb2.Ending(code=outcome.code, message=outcome.message)
    response = remote_execution_pb2.ExecuteResponse.FromString(outcome.data)
    status = response.status
    return admin_pb2.Ending(code=status.code, message=status.message, exit_code=response.result.exit_code)


def _properties(properties: Properties) -> Iterator[remote_execution_pb2.Platform.Property]:
    return (remote_execution_pb2.Platform.Property(name=name, value=value) for name, value in properties)


def _alike(states: Sequence[OperationState]) -> Iterator[list[OperationState]]:
    """Those that have not ended, by what they ask for."""
    groups: dict[Properties, list[OperationState]] = {}
    for state in states:
        if state.stage is not Stage.COMPLETED:
            groups.setdefault(tuple(sorted(state.request.properties)), []).append(state)
    yield from groups.values()


def _node(layer: Layer) -> admin_pb2.StoreNode:
    store = layer.store
    made = admin_pb2.StoreNode(
        path=layer.path,
        kind=layer.kind,
        children=[_node(child) for child in layer.children()],
        facts=store.facts(),
        can_list=isinstance(store, Listed),
        has_journal=isinstance(store, Journalled),
    )
    if isinstance(store, Counted):
        made.max_bytes, made.max_values = store.policy.max_bytes, store.policy.max_count
        if (held := store.held()) is not None:
            made.is_counted, made.values, made.size_bytes = True, held.count, held.size
    return made


def _sighting(sighting: Sighting) -> admin_pb2.Sighting:
    layer = sighting.layer
    return admin_pb2.Sighting(
        path=layer.path,
        kind=layer.kind,
        state=_PRESENCES[sighting.presence],
        size_bytes=sighting.size,
        message=sighting.message,
        evicted=None if sighting.evicted is None else _eviction(layer.path, sighting.evicted),
    )


def _eviction(path: str, eviction: Eviction) -> admin_pb2.Eviction:
    made = admin_pb2.Eviction(
        store=path,
        key=eviction.key,
        size_bytes=eviction.size,
        limit=eviction.limit,
        unused_seconds=max(0.0, eviction.age),
    )
    made.when.FromNanoseconds(round(eviction.when * 1e9))
    return made


def _entry(entry: Entry) -> admin_pb2.BlobEntry:
    # Free keys may hold what UTF-8 cannot.
    made = admin_pb2.BlobEntry(key=entry.key.encode(errors="replace").decode(), size_bytes=entry.size)
    made.used.FromNanoseconds(round(entry.used * 1e9))
    return made


def _level(name: str) -> int:
    if name not in _LEVELS:
        raise invalid(f"{name[:40]!r} is no level", remedy=f"Levels: {', '.join(_LEVELS)}")
    return _LEVELS[name]


def _explanation(found: Explanation) -> admin_pb2.Explanation:
    made = admin_pb2.Explanation(summary=found.summary, unsatisfiable=found.verdict is Verdict.NEVER)
    for worker in found.workers:
        made.workers.add(
            worker_id=worker.worker_id,
            worker_name=worker.worker_name,
            verdict=_VERDICTS[worker.verdict],
            reason=worker.reason,
        )
    return made
