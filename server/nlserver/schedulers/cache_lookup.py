"""A scheduler that looks into the action cache first."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from nlserver.clock import Clock
from nlserver.dispatch.model import ActionRequest, OperationState, Response, Stage
from nlserver.errors import Code, Error
from nlserver.eviction import EvictionPolicy, LeastRecent
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import Digest
from nlserver.reapi.wire import field
from nlserver.scheduler import Scheduler, SchedulerSpec, Wrapper
from nlserver.spec import Site
from nlserver.store import Missing, Store, store_named
from nlserver.transfer.limits import MOST_RESULT_BYTES

_PATIENCE_SECONDS: Final = 10.0
_RETAINED: Final = EvictionPolicy(max_seconds=60, max_count=1000, max_bytes=16 << 20)
_RESULT: Final = b"\x0a"
_CACHED_AND_OK: Final = b"\x10\x01\x1a\x00"
"""REAPI v2, ExecuteResponse: `cached_result` is true, and `status` says OK."""


@dataclass(frozen=True, kw_only=True)
class CacheLookupSpec(SchedulerSpec, tag="cache_lookup"):
    """Answers actions from the action cache and passes on what is not there.

    Let `ac_store` be a `completeness_checking` one, or lead to one: whether outputs are still there is not asked here.
    Passed on without a look are actions with `skip_cache_lookup` or `do_not_cache`. A failure that the cache holds is
    no answer, since it may have been the machine's.
    """

    ac_store: str
    """The action cache, by its name in `stores`; taken literally."""
    scheduler: SchedulerSpec
    """Gets what is not there."""

    def build(self, site: Site) -> Scheduler:
        """A wrapper around the scheduler. Raises Error FAILED_PRECONDITION when `ac_store` does not exist."""
        scheduler = CacheLookup(self.scheduler.build(site), store_named(site, self.ac_store), site.clock)
        site.on_close(scheduler.close)
        return scheduler


class CacheLookup(Wrapper):
    """Operations that a cached result ends as they begin; they can be asked for again for a minute.

    Equal actions are looked up once. An action cache that cannot answer is the client's to know: its Error ends the
    call, before there is an operation.
    """

    def __init__(self, backend: Scheduler, results: Store, clock: Clock) -> None:
        super().__init__(backend)
        self._results = results
        self._clock = clock
        self._looking: dict[Digest, asyncio.Task[bytes | Error | None]] = {}
        self._recency: LeastRecent[str] = LeastRecent(_RETAINED)
        self._hits: dict[str, OperationState] = {}

    def submit(self, request: ActionRequest) -> AsyncGenerator[OperationState, None]:
        """The end at once where the cache has it, else as the scheduler behind."""
        if request.skip_cache_lookup or request.do_not_cache:
            return self.backend.submit(request)
        return self._looked_up(request)

    def watch(self, name: str) -> AsyncGenerator[OperationState, None]:
        """As the scheduler behind, and what the cache ended."""
        hit = self._hit(name)
        return self.backend.watch(name) if hit is None else _only(hit)

    async def get(self, name: str) -> OperationState:
        """As the scheduler behind, and what the cache ended."""
        return self._hit(name) or await self.backend.get(name)

    async def cancel(self, name: str) -> None:
        """As the scheduler behind; what the cache ended is over."""
        if self._hit(name) is None:
            await self.backend.cancel(name)

    async def close(self) -> None:
        """End the questions that are under way."""
        for task in self._looking.values():
            task.cancel()
        await asyncio.gather(*self._looking.values(), return_exceptions=True)

    async def _looked_up(self, request: ActionRequest) -> AsyncGenerator[OperationState, None]:
        data = await self._known(request.action)
        if data is not None:
            yield self._ended(request, data)
            return
        async with aclosing(self.backend.submit(request)) as states:
            async for state in states:
                yield state

    async def _known(self, action: Digest) -> bytes | None:
        """The ExecuteResponse of a cached success. Whoever stops waiting leaves the question to the others."""
        looking = self._looking.get(action)
        if looking is None:
            looking = self._looking[action] = asyncio.create_task(self._look(action), name=f"looking up {action}")
            looking.add_done_callback(lambda _: self._looking.pop(action))
        found = await asyncio.shield(looking)
        if isinstance(found, Error):
            raise found
        return found

    async def _look(self, action: Digest) -> bytes | Error | None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return _response(await self._results.get(action))
        except Missing:
            return None
        except Error as error:
            return error
        except TimeoutError:
            return Error(Code.UNAVAILABLE, f"the action cache gave no answer within {_PATIENCE_SECONDS:g} s")

    def _ended(self, request: ActionRequest, data: bytes) -> OperationState:
        name, now = str(uuid.uuid4()), self._clock.monotonic()
        hit = OperationState(
            name, name, request, request.priority, Stage.COMPLETED, now, now, waiters=1, outcome=Response(data)
        )
        self._recency.put(name, len(data), now)
        self._hits[name] = hit
        self._forget_old()
        return hit

    def _hit(self, name: str) -> OperationState | None:
        self._forget_old()
        return self._hits.get(name)

    def _forget_old(self) -> None:
        for victim in self._recency.evict(self._clock.monotonic()):
            del self._hits[victim.key]


async def _only(state: OperationState) -> AsyncGenerator[OperationState, None]:
    yield state


def _response(data: bytes) -> bytes | None:
    """The ExecuteResponse for a stored ActionResult; None for one that is no answer."""
    try:
        result = re_pb.ActionResult.FromString(data)
    except DecodeError:
        return None
    if not 0 < len(data) <= MOST_RESULT_BYTES or result.exit_code != 0:
        return None
    return b"".join((*field(_RESULT, data), _CACHED_AND_OK))
