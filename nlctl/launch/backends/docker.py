"""Members as containers of a Docker Engine, which supervises them: nothing of ours has to stay.

All containers, volumes and the network of a cluster carry its labels, and are found by them. Configs are copied into a
volume that parts can only read, so that an engine elsewhere needs no file of this machine. Where the engine runs here,
each part has a folder of the ledger for its admin socket, which commands reach as they reach a process's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nlctl.containers import labels, memory
from nlctl.containers.connection import connect, remote_host, told
from nlctl.containers.files import Entry, packed
from nlctl.containers.logs import mirror
from nlctl.containers.states import State, read
from nlctl.faults import NAME_TAKEN, NOT_RUNNING, Fault, fix
from nlctl.launch.backend import Report, Used
from nlctl.launch.containers import CONFIGS, DATA, RUN, USER, Containers, Image, Site, expect_ours, reached, request
from nlctl.launch.ledger import Ledger, Record
from nlctl.launch.readiness import Readiness
from nlctl.launch.roster import Wanted
from nlctl.launch.wish import Ports, running_fingerprint, workers_of

if TYPE_CHECKING:
    from docker import APIClient

_AT_ONCE: Final = 6
_LOOK_SECONDS: Final = 0.1
_CARRY_OUT_SECONDS: Final = 120.0
_HELPER: Final = "files"
"""A container that never runs: volumes are written through it."""


class Docker:
    """The containers of one cluster. `client` is the engine, that of the environment unless one is given."""

    def __init__(self, ledger: Ledger, client: APIClient | None = None) -> None:
        self._ledger = ledger
        self._client = client
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: dict[str, Future[None]] = {}
        self._remote = remote_host() is not None
        site = Site(ledger.name, str(ledger.home), str(ledger.run), os.getuid() or USER)
        self._site = site if not self._remote else Site(site.cluster, site.home, site.shared_run, USER)
        self._readiness = Readiness(ledger, remote=self._remote)
        record = ledger.load()
        self._project = record.project if record else ""

    @property
    def engine(self) -> APIClient:
        """The engine. Raises Fault NO_ENGINE."""
        if self._client is None:
            self._client = connect()
        return self._client

    def image(self, name: str) -> Image:
        """What the engine says of this image. Raises Fault NO_IMAGE."""
        with told():
            return Image.of(self.engine.inspect_image(name))

    def reached(self, settings: Containers) -> str:
        """The host at which clients find the published ports. Raises Fault USAGE where nobody could."""
        return reached(settings, remote_host())

    def reports(self) -> list[Report] | None:
        """All members; None when there is no container."""
        with told():
            found = self._containers()
            ports = record.ports if found and (record := self._ledger.load()) else None
            made = [self._report(one, self._readiness.ready(self.engine, one, ports), ports) for one in found]
        return made or None

    def runs(self) -> bool:
        """Whether there is any container."""
        with told():
            return bool(self._rows())

    def start(self) -> None:
        """Make what the containers share: the network and the volumes."""
        expect_ours(self._ledger.name, self._project)
        with told():
            site, engine = self._site, self.engine
            self._expect_ours()
            own = site.labels("network")
            if not engine.networks(names=[site.network]):
                engine.create_network(site.network, driver="bridge", labels=own, check_duplicate=True)
            volumes = {site.data: "data", site.configs: "config", **({site.run: "run"} if self._remote else {})}
            for name, part in volumes.items():
                engine.create_volume(name, labels=site.labels(part))

    def apply(self, wanted: Sequence[Wanted], grace_seconds: float) -> None:
        """Run exactly these: others end, those that changed or do not run are made anew."""
        expect_ours(self._ledger.name, self._project)
        with told():
            there = {one.part: one for one in self._containers()}
            record, image = self._recorded()
            names = {one.name for one in wanted}
            changing = [one for one in wanted if not _stands(there.get(one.name), one)]
            for part in [part for part in there if part not in names]:
                self._submit(part, lambda one=there[part]: self._end(one, grace_seconds))  # type: ignore[misc]
            if not changing:
                return
            self._place(changing, record, image)
        self._submit_making(changing, there, record, image, grace_seconds)

    def restart(self, fingerprints: Mapping[str, str], grace_seconds: float) -> None:
        """Workers finish first and start last. A container whose config was edited since it was made is made anew."""
        names = list(fingerprints)
        with told():
            there = {one.part: one for one in self._containers()}
            edited: list[Wanted] = []
            if not self._project:
                record, image = self._recorded()
                meant = [self._wanted(name, record, image) for name in names]
                self._place(meant, record, image)
                edited = [one for one in meant if there[one.name].labels.get(labels.FINGERPRINT) != one.fingerprint]
        if edited:
            self._submit_making(edited, there, record, image, grace_seconds)
        names = [name for name in names if name not in {one.name for one in edited}]
        workers = workers_of(names)
        others = [name for name in names if name not in workers]

        def anew() -> None:
            with told():
                self._each([there[name] for name in workers], lambda one: self._stop(one, grace_seconds))
                for name in reversed(others):
                    self._stop(there[name], grace_seconds)
                for name in others:
                    self.engine.start(there[name].id)
                self._each([there[name] for name in workers], lambda one: self.engine.start(one.id))

        doing = self._threads.submit(anew)
        self._under_way |= dict.fromkeys(names, doing)

    def watch(self, deadline: float) -> Iterator[Report]:
        """Every member as it stands, then each change; a failure of the engine to do as it was told is raised."""
        seen: dict[str, Report] = {}
        while True:
            waiting = self._settle()
            now = {one.name: one for one in self.reports() or ()}
            for name in [name for name in seen if name not in now and name not in waiting]:
                del seen[name]
                yield Report(name, "gone")
            for name, one in now.items():
                before = seen.get(name)
                seen[name] = one
                if before is None or _told(before) != _told(one):
                    yield one
            if time.monotonic() >= deadline or not (now or waiting):
                return
            if waiting:
                wait(waiting.values(), timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED")
            else:
                time.sleep(_LOOK_SECONDS)

    def stop(self, grace_seconds: float, deadline: float) -> Iterator[Report]:
        """End all members: workers first, then the scheduler, then the CAS.

        The engine kills what does not end within the grace; it is given more time to carry that out.
        """
        expect_ours(self._ledger.name, self._project)
        deadline += _CARRY_OUT_SECONDS
        with told():
            there = {one.part: one for one in self._containers()}
            rows = [workers_of(list(there)), *([part] for part in reversed(list(there)) if not _is_worker(part))]
            for row in rows:
                for part in row:
                    self._submit(part, lambda one=there[part]: self._end(one, grace_seconds))  # type: ignore[misc]
                left = set(row)
                while left and time.monotonic() < deadline:
                    wait([self._under_way[part] for part in left], _LOOK_SECONDS, return_when="FIRST_COMPLETED")
                    for part in [part for part in left if self._under_way[part].done()]:
                        left.discard(part)
                        self._under_way.pop(part).result()
                        yield Report(part, "gone")
            with suppress(Exception):
                self.engine.remove_network(self._site.network)

    def sweep(self, grace_seconds: float) -> int:
        """Nothing is without its supervisor, which is the engine."""
        return 0

    def used(self, reports: Sequence[Report]) -> dict[str, Used]:
        """What the engine counts for each container."""
        running = [one for one in reports if one.container is not None and one.runs]

        def ask(one: Report) -> tuple[str, Used | None]:
            assert one.container is not None
            kills = memory.kills(one.pid) if one.pid is not None else None
            return one.name, _used(self.engine.stats(one.container, stream=False, one_shot=True), kills)

        with told():
            return {name: used for name, used in self._threads.map(ask, running) if used is not None}

    def made(self, part: str) -> dict[str, Any] | None:
        """What the engine says of the container of a part; None where there is none."""
        with told():
            found = next((one for one in self._containers() if one.part == part), None)
            return self.engine.inspect_container(found.id) if found else None

    def meant(self, part: str) -> dict[str, Any]:
        """What the engine is asked to make of a part, by the record and its config as it stands."""
        expect_ours(self._ledger.name, self._project)
        record, image = self._recorded()
        assert record.containers is not None
        return request(self._site, record.containers, image, self._wanted(part, record, image), record.ports)

    def end(self, part: str, grace_seconds: float) -> None:
        """End the container of a part, and remove it."""
        with told():
            for one in self._containers():
                if one.part == part:
                    self._end(one, grace_seconds)

    def exchange(
        self, part: str, body: Mapping[str, Any], grace_seconds: float, prepare: Callable[[str], None] | None = None
    ) -> None:
        """Put a container of this request in the place of the part's; `prepare` is told its id before it starts."""
        self.end(part, grace_seconds)
        with told():
            made = self.engine.create_container_from_config(body, self._site.container(part))["Id"]
            if prepare is not None:
                prepare(made)
            if not self._remote:
                self._folder(part)
            self.engine.start(made)

    def gather_logs(self) -> None:
        """Append to each part's file what its container said since."""
        with told():
            self._each(self._containers(), self._keep_log)

    def data_bytes(self) -> int:
        """How much a container that runs finds on the volume of data; 0 where none does.

        The engine would count it too, with every image that it has, which takes minutes.
        """
        with told():
            running = next((row["Id"] for row in self._rows() if row["State"] == "running"), None)
            if running is None:
                return 0
            asked = self.engine.exec_create(running, ["du", "-sk", DATA])
            said = self.engine.exec_start(asked["Id"]).split()
        return int(said[0]) * 1024 if said and said[0].isdigit() else 0

    def forget(self, *, data: bool) -> None:
        """Remove the network, and the volumes on demand."""
        expect_ours(self._ledger.name, self._project)
        with told():
            mine = self._mine
            # What is still being stopped is being removed too.
            wait(self._under_way.values())
            for row in self.engine.containers(all=True, filters=mine):
                self.engine.remove_container(row["Id"], force=True, v=True)
            for network in self.engine.networks(filters=mine):
                self.engine.remove_network(network["Id"])
            for volume in self.engine.volumes(filters=mine)["Volumes"] or () if data else ():
                self.engine.remove_volume(volume["Name"])

    # Under way

    @property
    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_AT_ONCE, "docker")
        return self._pool

    def _each(self, those: Sequence[State], do: Callable[[State], None]) -> None:
        """Do this for all of them at once; threads of its own, for it may itself run in one of the pool."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(do, those))

    def _submit(self, part: str, do: Callable[[], None]) -> None:
        def doing() -> None:
            with told():
                do()

        self._under_way[part] = self._threads.submit(doing)

    def _submit_making(
        self, wanted: Sequence[Wanted], there: Mapping[str, State], record: Record, image: Image, grace_seconds: float
    ) -> None:
        doing = self._threads.submit(self._make, wanted, there, record, image, grace_seconds)
        self._under_way |= dict.fromkeys([one.name for one in wanted], doing)

    def _settle(self) -> dict[str, Future[None]]:
        """What is still under way. Raises what went wrong with the rest."""
        for part in [part for part, doing in self._under_way.items() if doing.done()]:
            self._under_way.pop(part).result()
        return dict(self._under_way)

    # One container

    def _make(
        self, wanted: Sequence[Wanted], there: Mapping[str, State], record: Record, image: Image, grace_seconds: float
    ) -> None:
        """Containers for these, in the place of those that there are. Workers start last: they look for the others."""
        with told(), ThreadPoolExecutor(_AT_ONCE) as pool:

            def create(one: Wanted) -> str:
                if one.name in there:
                    self._end(there[one.name], grace_seconds)
                if not self._remote and image.ours:
                    self._folder(one.name)
                return self._create(one, record, image)

            made = list(zip(wanted, pool.map(create, wanted), strict=True))
            for workers in (False, True):
                list(pool.map(self.engine.start, [id_ for one, id_ in made if _is_worker(one.name) == workers]))

    def _create(self, wanted: Wanted, record: Record, image: Image) -> str:
        assert record.containers is not None
        body = request(self._site, record.containers, image, wanted, record.ports)
        return str(self.engine.create_container_from_config(body, self._site.container(wanted.name))["Id"])

    def _stop(self, one: State, grace_seconds: float) -> None:
        self.engine.stop(one.id, timeout=max(0, round(grace_seconds)))

    def _end(self, one: State, grace_seconds: float) -> None:
        from docker.errors import NotFound

        with suppress(NotFound):
            self._stop(one, grace_seconds)
            self._keep_log(one)
            self.engine.remove_container(one.id, force=True, v=True)
        with suppress(OSError):
            self._ledger.admin_socket(one.part).unlink()

    def _keep_log(self, one: State) -> None:
        mirror(self.engine, one.id, self._ledger.log(one.part), self._ledger.run / f"{one.part}.seen")

    def _admin(self, one: State, ports: Ports | None) -> str:
        """A socket where this user reaches one, in the ledger's folder or in what Compose made; else the worker API."""
        if not self._remote and not self._project:
            return str(self._ledger.admin_socket(one.part))
        if not self._remote and one.admin_socket:
            inside = f"/proc/{one.pid}/root{one.admin_socket}"
            if os.access(inside, os.R_OK | os.W_OK):
                return inside
        return ports.urls[2] if ports and one.part == "scheduler" else ""

    def _report(self, one: State, ready: bool, ports: Ports | None) -> Report:
        return Report(
            one.part,
            self._state(one, ready),
            None if self._remote else one.pid,
            str(self._ledger.config(one.part)),
            one.labels.get(labels.FINGERPRINT, ""),
            () if not _is_worker(one.part) else ("cas", "scheduler"),
            int(one.labels.get(labels.PROCESSES, "1")),
            self._admin(one, ports),
            one.restarts,
            one.since_ms(time.time()),
            one.last_exit,
            container=one.id,
            begun=one.started if one.status in ("running", "paused") else 0.0,
            cpus=one.cpus,
            memory_bytes=one.memory_bytes,
        )

    def _state(self, one: State, ready: bool) -> str:
        if one.part in self._under_way:
            return "stopping" if one.running else "waiting"
        return one.standing(ready=ready)

    def _containers(self) -> list[State]:
        """The containers of this cluster, servers first."""
        from docker.errors import NotFound

        found = []
        for row in self._rows():
            with suppress(NotFound):
                found.append(read(self.engine.inspect_container(row["Id"])))
        return sorted(found, key=lambda one: labels.order(one.part))

    def _rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.engine.containers(all=True, filters=self._mine)
        return [row for row in found if row["Labels"].get(labels.PART) != _HELPER]

    @property
    def _mine(self) -> dict[str, Any]:
        if self._project:
            return {"label": [f"{labels.COMPOSE_PROJECT}={self._project}"]}
        return {"label": [f"{labels.CLUSTER}={self._site.cluster}", f"{labels.HOME}={self._site.home}"]}

    # What they share

    def _recorded(self) -> tuple[Record, Image]:
        record = self._ledger.load()
        if record is None or record.containers is None:
            again = fix("bring it up again", "nlctl", "up", "--backend", "docker")
            raise Fault(NOT_RUNNING, f"cluster {self._ledger.name!r} has no record of its containers", fixes=[again])
        return record, self.image(record.containers.image)

    def _wanted(self, part: str, record: Record, image: Image) -> Wanted:
        """What this part is by the record and its config as it stands."""
        assert record.containers is not None
        path, processes = self._ledger.config(part), record.cas_processes if part == "cas" else 1
        beside = record.containers.beside(image.id, part, ports=record.ports)
        text = path.read_text(encoding="utf-8")
        return Wanted(part, str(path), running_fingerprint(f"{beside}: {text}", processes), (), processes)

    def _place(self, wanted: Sequence[Wanted], record: Record, image: Image) -> None:
        """Copy the configs to where the parts read them, and give what they write to the user that they run as."""
        site = self._site
        mounts = {CONFIGS: site.configs, DATA: site.data, **({RUN: site.run} if self._remote else {})}
        binds = [f"{volume}:{folder}" for folder, volume in mounts.items()]
        helper = self.engine.create_container(
            image.id,
            labels=site.labels(_HELPER),
            host_config=self.engine.create_host_config(binds=binds, network_mode="none"),
            entrypoint=["true"],
        )
        owner = site.user if image.ours else image.user
        try:
            texts = [Entry(f"{one.name}.json5", Path(one.config).read_bytes()) for one in wanted]
            self.engine.put_archive(helper["Id"], CONFIGS, packed(texts, 0))
            # The engine gives a new owner to what stands in a folder, not to the folder itself.
            self.engine.put_archive(helper["Id"], os.path.dirname(DATA), packed([Entry(os.path.basename(DATA))], owner))
            if self._remote:
                folders = [Entry(one.name, private=True) for one in wanted]
                self.engine.put_archive(helper["Id"], RUN, packed(folders, owner))
        finally:
            self.engine.remove_container(helper["Id"], force=True)

    def _folder(self, part: str) -> None:
        """The folder in which a part makes its socket, and the socket's name where commands look for it.

        What its last container said of being ready does not count for the next one.
        """
        folder, link = self._ledger.run / part, self._ledger.admin_socket(part)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "ready").unlink(missing_ok=True)
        if os.getuid() == 0:
            os.chown(folder, self._site.user, self._site.user)
        with suppress(FileExistsError):
            link.symlink_to(f"{part}/admin.sock")

    def _expect_ours(self) -> None:
        """Raises Fault NAME_TAKEN when somebody else's cluster on this engine has this name."""
        filters = {"label": f"{labels.CLUSTER}={self._site.cluster}"}
        for row in self.engine.containers(all=True, filters=filters):
            home = row["Labels"].get(labels.HOME)
            if home != self._site.home:
                raise Fault(
                    NAME_TAKEN,
                    f"the Docker Engine runs another cluster {self._site.cluster!r}",
                    why=f"its record is in {home}",
                    fixes=[fix("choose another name", "nlctl", "up", "--backend", "docker", "--name", "NAME")],
                )


def _is_worker(part: str) -> bool:
    return part.startswith("worker-")


def _stands(there: State | None, wanted: Wanted) -> bool:
    """Whether this container is what is wanted, and runs or will; one that is paused does neither."""
    if there is None or there.labels.get(labels.FINGERPRINT) != wanted.fingerprint:
        return False
    return there.running and there.status != "paused"


def _told(report: Report) -> tuple[Any, ...]:
    """What counts as a change."""
    return report.state, report.run, report.fingerprint, report.restarts, report.last_exit


def _used(stats: dict[str, Any], oom_kills: int | None) -> Used | None:
    counted = stats.get("memory_stats") or {}
    if "usage" not in counted:
        return None
    # The page cache that can go is counted in.
    inactive = counted.get("stats", {}).get("total_inactive_file", counted.get("stats", {}).get("inactive_file", 0))
    seconds = stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
    processes = stats.get("pids_stats", {}).get("current", 1)
    return Used(seconds, max(0, counted["usage"] - inactive), None, processes, oom_kills)
