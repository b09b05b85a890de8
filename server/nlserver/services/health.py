"""Is this process able to serve? As grpc.health.v1 and as NativeLink's `GET /status`.

Both ask the root stores themselves, each within a time limit, and both say no while the process drains.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from grpc_health.v1 import health_pb2

from nlserver.errors import Error, not_found
from nlserver.service import Context, Service
from nlserver.spec import Spec, key
from nlserver.store import Store

_WATCH_SECONDS: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class HealthSpec(Spec):
    """Answers `GET /status` on this listener's port: 200 when every store of this process is well, else 503.

    There `GET /metrics` answers Prometheus, too.
    """

    path: str = key(default="/status")
    """Where the answer stands; empty means `/status`."""
    timeout_seconds: int = key(zero=5)
    """How long one store may take to answer before it counts as unwell."""


@dataclass(frozen=True)
class Report:
    """What a store or the group of processes said: `state` is Ok, Failed or Timeout, `message` its reason."""

    name: str
    kind: str
    state: str
    message: str


class Health:
    """Asks the root stores of a process; shared by the gRPC service, the HTTP route and the admin service.

    `others` reports what concerns more than this process.
    """

    def __init__(
        self,
        stores: Callable[[], Mapping[str, Store]],
        timeout_seconds: float = 5.0,
        others: Callable[[], Sequence[Report]] = tuple,
    ) -> None:
        self._stores = stores
        self._timeout = timeout_seconds
        self._others = others
        self._drained = asyncio.Event()

    @property
    def draining(self) -> bool:
        """Whether the process takes no new work."""
        return self._drained.is_set()

    def drain(self) -> None:
        """Say no from now on; whoever watches is told at once."""
        self._drained.set()

    async def settled(self, seconds: float) -> None:
        """Return after so many seconds, or as soon as the process drains."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._drained.wait()

    async def reports(self) -> list[Report]:
        """One report for each root store, in config order, then those on what is not a store."""
        asked = await asyncio.gather(*(self._ask(name, store) for name, store in self._stores().items()))
        return [*asked, *self._others()]

    async def serving(self) -> bool:
        """Whether clients should send work here."""
        return not self.draining and all(report.state == "Ok" for report in await self.reports())

    async def _ask(self, name: str, store: Store) -> Report:
        kind = type(store).__name__
        try:
            async with asyncio.timeout(self._timeout):
                await store.check()
        except TimeoutError:
            return Report(name, kind, "Timeout", f"no answer within {self._timeout:g} s")
        except (Error, OSError) as error:
            return Report(name, kind, "Failed", str(error))
        return Report(name, kind, "Ok", "Successfully checked")

    async def page(self, beside: Sequence[Report] = ()) -> tuple[int, bytes]:
        """HTTP status and body of NativeLink's status page: a JSON array of namespaces and states.

        It speaks of what is `beside` too.
        """
        reports = [*await self.reports(), *beside]
        body = [
            {
                "namespace": f"/nativelink/stores/{report.name}/{report.kind}",
                "status": {report.state: {"struct_name": report.kind, "message": report.message}},
            }
            for report in reports
        ]
        well = not self.draining and all(report.state == "Ok" for report in reports)
        return (200 if well else 503), json.dumps(body, separators=(",", ":")).encode()


class HealthService(Service):
    """grpc.health.v1: `Check("")` is the whole process; a service of the listener is as well as the process."""

    descriptors = (health_pb2.DESCRIPTOR.services_by_name["Health"],)

    def __init__(self, health: Health, services: Sequence[str]) -> None:
        self._health = health
        self._services = frozenset(("", *services))

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """The state now. Raises Error NOT_FOUND for a service that this listener lacks."""
        if request.service not in self._services:
            raise not_found(f"service {request.service[:200]!r} is not served on this listener")
        return await self._state()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """The state now and on every change; SERVICE_UNKNOWN for a service that this listener lacks.

        It ends once it has said that the process drains, so that nobody who only watches delays that.
        """
        last: int | None = None
        known = request.service in self._services
        unknown = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        while True:
            state = await self._state() if known else unknown
            if state.status != last:
                last = state.status
                await context.write(state)
            if self._health.draining:
                return
            await self._health.settled(_WATCH_SECONDS)

    async def _state(self) -> health_pb2.HealthCheckResponse:
        response = health_pb2.HealthCheckResponse
        return response(status=response.SERVING if await self._health.serving() else response.NOT_SERVING)
