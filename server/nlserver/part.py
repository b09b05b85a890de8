"""One running config: its stores, schedulers, listeners and workers, from start to orderly stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from nlserver import log
from nlserver.board import Board, Phase, Standing, ailment
from nlserver.config.walk import nested
from nlserver.errors import Code, Error
from nlserver.front import Answer, Route
from nlserver.metrics import CacheCount, Count, caches
from nlserver.services.health import Health, HealthService, Report
from nlserver.spec import Builds, Site, Spec
from nlserver.store import store_named

if TYPE_CHECKING:
    from nlserver.cluster import Config, ServerSpec, ServicesSpec
    from nlserver.listener import Listener
    from nlserver.proto import admin_pb2
    from nlserver.service import Service
    from nlserver.worker.local import LocalWorker

_GRACE_SECONDS: Final = 5.0
_JSON: Final = "application/json; charset=utf-8"


class Part:
    """A config that runs. `start`, then `registered`; `drain` and `close` at the end."""

    def __init__(
        self,
        config: Config,
        spawn: Callable[[Coroutine[Any, Any, None], str], None],
        started: float,
        version: str,
        board: Board,
    ) -> None:
        named: dict[str, dict[str, Builds]] = {
            "store": {entry.name: entry.spec for entry in config.stores},
            "scheduler": {entry.name: entry.spec for entry in config.schedulers or ()},
        }
        function = (config.globals.default_digest_hash_function if config.globals else None) or "sha256"
        self.site = Site(named, spawn=spawn, default_function=function, compresses=_compresses(config))
        self._config = config
        self._spawn = spawn
        self._started = started
        self._version = version
        self._board = board
        self._health = Health(lambda: self.site.made("store"), _health_timeout(config), self._together)
        self._listeners: list[Listener] = []
        self._workers: list[LocalWorker] = []

    async def start(self) -> None:
        """Build everything, accept connections, start the workers. Raises Error naming what cannot be had."""
        if self._config.experimental_origin_events is not None:
            raise Error(Code.UNIMPLEMENTED, "experimental_origin_events is not available yet", remedy="Remove it.")
        for entry in self._config.stores:
            self.site.named("store", entry.name)
        for scheduler in self._config.schedulers or ():
            self.site.named("scheduler", scheduler.name)
        for server in self._config.servers:
            listener = _listener(server, self, shared=self._board.shared)
            await listener.start()
            self._listeners.append(listener)
        for spec in self._config.workers or ():
            worker: LocalWorker = spec.build(self.site)
            self._workers.append(worker)
            self._spawn(worker.run(), "worker")

    async def registered(self) -> None:
        """Return once every worker of this config is registered with its scheduler."""
        for worker in self._workers:
            await worker.registered.wait()

    async def drain(self) -> None:
        """Take no new work: health says so, workers finish what they run and sign off, calls under way end."""
        self._health.drain()
        await asyncio.gather(*(worker.drain() for worker in self._workers))
        # The streams of clients and workers never end by themselves, and a listener waits for open ones.
        for scheduler in self.site.made("scheduler").values():
            scheduler.stop()
        await asyncio.gather(*(listener.stop(_GRACE_SECONDS) for listener in self._listeners))

    async def close(self) -> None:
        """Give back what was opened; tasks have ended before."""
        await self.site.close()

    @property
    def average_chunks(self) -> Mapping[str, int]:
        """The average bytes of a chunk, by the instances whose blobs are split, on whatever listener."""
        items = [item for server in self._config.servers if server.services for item in server.services.cas or ()]
        return {
            item.instance_name: item.experimental_chunking.avg_chunk_size_bytes
            for item in items
            if item.experimental_chunking
        }

    @property
    def roles(self) -> Mapping[str, Sequence[str]]:
        """What its services and workers keep in each root store: `cas`, `ac`."""
        found: dict[str, dict[str, None]] = {}
        for role, name in _uses(self._config):
            found.setdefault(name, {})[role] = None
        return {name: tuple(roles) for name, roles in found.items()}

    @property
    def health(self) -> Health:
        """What this part says of its stores."""
        return self._health

    async def status(self, method: str, path: str) -> Answer | None:
        """The route `/status` of whoever looks after this process: whether it does what it is for.

        Beyond what clients are told, a worker that its scheduler does not know is not well.
        """
        return await _status(self._health, "/status", method, path, [_registration(one) for one in self._workers])

    async def metrics(self, method: str, path: str) -> Answer | None:
        """The route `/metrics`, which Prometheus asks: NativeLink has none, so it stands beside those that it has."""
        if path != "/metrics":
            return None
        from nlserver import exposition
        from nlserver.services.metrics import families

        page = exposition.text(families(self.site.made("scheduler").values(), self._board.total))
        return Answer(200, page.encode(), exposition.CONTENT_TYPE)

    async def describe(self) -> admin_pb2.Part:
        """What the admin service tells of this process."""
        from nlserver.proto import admin_pb2

        part = admin_pb2.Part(
            version=self._version,
            pid=os.getpid(),
            listeners=[listener.address for listener in self._listeners],
            schedulers=list(self.site.made("scheduler")),
        )
        part.started.FromMilliseconds(int(self._started * 1000))
        part.now.FromMilliseconds(int(self.site.clock.wall() * 1000))
        for report in await self._health.reports():
            part.health.add(name=report.name, ok=report.state == "Ok", message=report.message)
        for one in self._board.standings(self.site.clock.monotonic()):
            part.processes.append(_process(one))
        for which in Count:
            setattr(part.counters, which.name.lower(), self._board.total(which))
        for kind, place in caches().items():
            numbers = {one.name.lower(): self._board.total(place + one) for one in CacheCount}
            part.caches.add(cache_type=kind, **numbers)
        return part

    def _together(self) -> list[Report]:
        """What the processes of this server say of each other, where there are several."""
        if not self._board.shared:
            return []
        standings = self._board.standings(self.site.clock.monotonic())
        serving = sum(one.phase is Phase.SERVING and not one.stuck for one in standings)
        said = f"{serving} of {len(standings)} processes serve"
        return [
            Report("processes", "Processes", "Failed", wrong)
            if (wrong := ailment(standings))
            else Report("processes", "Processes", "Ok", said)
        ]


def _registration(worker: LocalWorker) -> Report:
    name = worker.name or "worker"
    if worker.connected:
        return Report(name, "Worker", "Ok", "registered with its scheduler")
    return Report(name, "Worker", "Failed", "not registered with its scheduler")


def _uses(config: Config) -> Iterator[tuple[str, str]]:
    """Each use of a root store as CAS or action cache, by the store's name."""
    for server in config.servers:
        if server.services:
            yield from (("cas", one.cas_store) for one in server.services.cas or ())
            yield from (("cas", one.cas_store) for one in server.services.bytestream or ())
            yield from (("ac", one.ac_store) for one in server.services.ac or ())
    for worker in config.workers or ():
        yield from worker.uses()


def _process(standing: Standing) -> admin_pb2.Process:
    from nlserver.proto import admin_pb2

    phases = {
        Phase.ABSENT: admin_pb2.Process.ABSENT,
        Phase.STARTING: admin_pb2.Process.STARTING,
        Phase.SERVING: admin_pb2.Process.SERVING,
        Phase.DRAINING: admin_pb2.Process.DRAINING,
    }
    return admin_pb2.Process(
        pid=standing.pid,
        phase=phases[standing.phase],
        phase_seconds=standing.since_seconds,
        restarts=standing.restarts,
        stuck=standing.stuck,
    )


def _compresses(config: Config) -> bool:
    """Whether anything asks for blobs that travel compressed: others then do what they can (NativeLink behaviour)."""

    def asks(spec: Spec) -> bool:
        if spec.tag == "grpc" and getattr(spec, "store_type", "") != "cas":
            return False
        wishes = ("remote_cache_compression", "experimental_remote_cache_compression")
        return any(getattr(spec, wish, None) for wish in wishes)

    return any(asks(spec) for spec in nested(config))


def _health_timeout(config: Config) -> float:
    limits = [
        server.services.health.timeout_seconds
        for server in config.servers
        if server.services and server.services.health
    ]
    return float(max(limits, default=5))


def _listener(server: ServerSpec, part: Part, *, shared: bool) -> Listener:
    from nlserver.listener import Listener

    if server.services is None:
        raise Error(
            Code.INVALID_ARGUMENT,
            "'services' must be configured",
            where=f"servers entry for {server.listener.socket_address}",
        )
    services = _services(server.services, part)
    names = [descriptor.full_name for service in services for descriptor in service.descriptors]
    return Listener(
        server.listener,
        [*services, HealthService(part.health, names)],
        _routes(server.services, part),
        identity=server.experimental_identity_header.required,
        shared=shared,
    )


def _services(spec: ServicesSpec, part: Part) -> list[Service]:
    """The services of one listener; a module is imported only when its service is configured."""
    made: list[Service] = []
    site = part.site
    compressing = frozenset(item.instance_name for item in spec.capabilities or () if item.remote_cache_compression)
    if spec.cas is not None:
        from nlserver.services import cas

        made.append(cas.build(spec.cas, site, compressing=compressing))
    beside = {item.instance_name: store_named(site, item.cas_store) for item in spec.cas or ()}
    if spec.ac is not None:
        from nlserver.services import ac

        made.append(ac.build(spec.ac, site, cas=beside))
    if spec.bytestream is not None:
        from nlserver.services import bytestream

        made.append(bytestream.build(spec.bytestream, site, compressing=compressing))
    if spec.capabilities is not None:
        from nlserver.services import capabilities

        read_only = frozenset(item.instance_name for item in spec.ac or () if item.read_only)
        made.append(
            capabilities.build(spec.capabilities, site, read_only=read_only, average_chunks=part.average_chunks)
        )
    if spec.execution is not None:
        from nlserver.services import execution

        made.append(execution.build(spec.execution, site))
    if spec.fetch:
        from nlserver.services import fetch

        taught = frozenset(item.push_store for item in spec.push or ())
        made.append(fetch.build(spec.fetch, site, cas=beside, taught=taught))
    if spec.push:
        from nlserver.services import push

        made.append(push.build(spec.push, site, cas=beside))
    if spec.worker_api is not None:
        from nlserver.services import worker_api

        made.append(worker_api.build(spec.worker_api, site))
    if spec.admin is not None:
        from nlserver.services import admin

        made.append(admin.build(site, part=part.describe, roles=part.roles))
    if spec.experimental_bep is not None:
        spec.experimental_bep.build(site)
    return made


def _routes(spec: ServicesSpec, part: Part) -> list[Route]:
    routes: list[Route] = []
    if spec.health is not None:
        routes.append(partial(_status, part.health, spec.health.path or "/status"))
    if spec.admin is not None:
        routes.append(partial(_drain, part.site, spec.admin.path.rstrip("/") or "/admin"))
    if routes:
        routes.append(part.metrics)
    return routes


async def _status(health: Health, at: str, method: str, path: str, beside: Sequence[Report] = ()) -> Answer | None:
    if path != at:
        return None
    code, body = await health.page(beside)
    return Answer(code, body, _JSON)


async def _drain(site: Site, at: str, method: str, path: str) -> Answer | None:
    """NativeLink's admin route: `POST {at}/scheduler/NAME/set_drain_worker/ID/0|1`.

    Whatever is wrong with the names is a 500, as there.
    """
    from nlserver.services import admin

    match [unquote(part) for part in path.removeprefix(at).split("/")]:
        case ["", "scheduler", scheduler, "set_drain_worker", worker, wish] if path.startswith(at):
            pass
        case _:
            return None
    if method != "POST":
        return Answer(405, b"use POST\n")
    try:
        draining = admin.wish_of(wish)
        admin.set_drain(site, scheduler, worker, draining)
    except Error as error:
        return Answer(500, f"Error: {error}\n".encode())
    log.info("Drain of a worker was changed", scheduler=scheduler, worker_id=worker, draining=draining)
    # The text is NativeLink's, also when a drain ends.
    return Answer(200, f"Draining worker {worker}".encode())
