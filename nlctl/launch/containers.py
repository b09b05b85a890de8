"""How the parts of a cluster are run as containers, and what the engine is asked to make for each. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nlctl import VERSION
from nlctl.containers import labels
from nlctl.faults import UNSUPPORTED, USAGE, Fault, fix
from nlctl.launch.backend import Report
from nlctl.launch.roster import Wanted
from nlctl.launch.wish import HOST, Inside, Ports

DEFAULT_IMAGE: Final = f"nlctl:{VERSION}"
DATA: Final = "/data"
CONFIGS: Final = "/etc/nlctl"
RUN: Final = "/run/nlctl"
ANYWHERE: Final = "0.0.0.0"  # noqa: S104 - inside a container, whose ports are published one by one
USER: Final = 10001
"""Who runs our image where root asks for it: nobody on the host."""
_LOOPBACK: Final = ("127.0.0.1", "localhost")
_WITHIN: Final = Ports()
_HOST_LENGTH: Final = 12
"""Of a container's id, which is what its host is called."""
_NANO: Final = 1_000_000_000
_LOG: Final = {"Type": "json-file", "Config": {"max-size": "16m", "max-file": "2"}}
# The descriptor that is told READY=1 is a file, so that everybody who sees the folder can tell; a container that
# starts anew empties it first.
_READY_FD: Final = 3
_ANNOUNCING: Final = 'exec 3>"$0" && exec nlserver "$@"'


@dataclass(frozen=True)
class Containers:
    """What parts run in. `cpus` and `memory_bytes` are the most that each worker may take, None for no limit;
    `publish` is the address on which the engine's host offers the ports. `project` is the project of Compose that made
    them, "" where we did. `foreign` tells that the image holds another server of such configs.
    """

    image: str
    cpus: float | None = None
    memory_bytes: int | None = None
    publish: str = HOST
    project: str = ""
    foreign: bool = False

    @property
    def inside(self) -> Inside:
        """How they see each other: by the names of the parts, each with ports of its own.

        Only nlserver lets several processes share the directory of a store.
        """
        return Inside(ANYWHERE, "cas", "scheduler", _WITHIN, DATA, templates="multi-worker" if self.foreign else "")

    def beside(self, image_id: str, part: str, *, ports: Ports) -> str:
        """What a part runs in beyond its config: when it changes, the container is made anew."""
        limits = f"{self.cpus} {self.memory_bytes}" if part.startswith("worker-") else ""
        return f"{image_id} {self.publish} {_published(part, ports)} {limits}"


@dataclass(frozen=True)
class Image:
    """What the engine says of an image. `ours` tells that it holds nlserver, and not another server of such configs;
    `user` is the number of who runs there.
    """

    id: str
    ours: bool
    entrypoint: Sequence[str] = ()
    user: int = 0

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Image:
        """From what `inspect` says."""
        words = tuple(facts["Config"].get("Entrypoint") or ())
        ours = any(word.rpartition("/")[2] == "nlserver" for word in words)
        user = str(facts["Config"].get("User") or "").partition(":")[0]
        return cls(facts["Id"], ours, words, int(user) if user.isdecimal() else 0)


@dataclass(frozen=True)
class Site:
    """Where the containers of one cluster stand: its name, the folder of its record, and what they share.

    `run` is a folder of this machine, or the name of a volume where the engine runs elsewhere.
    """

    cluster: str
    home: str
    run: str
    user: int

    @property
    def network(self) -> str:
        """The network of the parts."""
        return f"nlctl-{self.cluster}"

    @property
    def data(self) -> str:
        """The one volume that all parts keep blobs and work on."""
        return f"nlctl-{self.cluster}-data"

    @property
    def configs(self) -> str:
        """The volume of configs, which parts can only read."""
        return f"nlctl-{self.cluster}-config"

    @property
    def shared_run(self) -> str:
        """The volume of sockets, where there is no folder for them."""
        return f"nlctl-{self.cluster}-run"

    def container(self, part: str) -> str:
        """What the container of a part is called."""
        return f"nlctl-{self.cluster}-{part}"

    def labels(self, part: str) -> dict[str, str]:
        """Whose it is."""
        return {labels.CLUSTER: self.cluster, labels.HOME: self.home, labels.PART: part}


def request(site: Site, settings: Containers, image: Image, wanted: Wanted, ports: Ports) -> dict[str, Any]:
    """The engine's `POST /containers/create` for this part."""
    worker = wanted.name.startswith("worker-")
    published = _published(wanted.name, ports)
    config = f"{CONFIGS}/{wanted.name}.json5"
    own = {labels.FINGERPRINT: wanted.fingerprint, labels.PROCESSES: str(wanted.processes)}
    host: dict[str, Any] = {
        "NetworkMode": site.network,
        "Mounts": _mounts(site, wanted.name, ours=image.ours),
        "PortBindings": {
            f"{within}/tcp": [{"HostIp": settings.publish, "HostPort": str(outside)}]
            for within, outside in published.items()
        },
        "RestartPolicy": {"Name": "unless-stopped"},
        "LogConfig": _LOG,
        # Children of actions that outlive them have somebody to wait for them.
        "Init": not any("tini" in word for word in image.entrypoint),
    }
    if worker and settings.cpus is not None:
        host["NanoCpus"] = int(settings.cpus * _NANO)
        host["CpuShares"] = max(2, int(settings.cpus * 1024))
    if worker and settings.memory_bytes is not None:
        # Half is what the kernel leaves it under pressure; no swap, so that the limit is one.
        host |= {
            "Memory": settings.memory_bytes,
            "MemorySwap": settings.memory_bytes,
            "MemoryReservation": settings.memory_bytes // 2,
        }
    body: dict[str, Any] = {
        "Image": image.id,
        "Hostname": wanted.name,
        "Labels": {**site.labels(wanted.name), **own},
        "ExposedPorts": {f"{within}/tcp": {} for within in published},
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {site.network: {"Aliases": [wanted.name]}}},
        "StopTimeout": 600 if worker else 10,
    }
    return {**body, **(_ours(site, image, wanted, config) if image.ours else {"Cmd": [config]})}


def _ours(site: Site, image: Image, wanted: Wanted, config: str) -> dict[str, Any]:
    folder = f"{RUN}/{wanted.name}"
    words = ["--name", wanted.name, "--admin-socket", f"{folder}/admin.sock"]
    if wanted.processes > 1:
        words += ["--processes", str(wanted.processes)]
    before = itertools.takewhile(lambda word: word.rpartition("/")[2] != "nlserver", image.entrypoint)
    return {
        "Entrypoint": [*before, "/bin/sh", "-c", _ANNOUNCING, f"{folder}/ready"],
        "Cmd": [*words, config],
        "Env": [f"NLSERVER_READY_FD={_READY_FD}"],
        "User": f"{site.user}:{site.user}",
        "Healthcheck": _health(folder),
    }


def _health(folder: str) -> dict[str, Any]:
    """Healthy is what does what it is for; a worker only while it is registered. Patient, for machines may be busy."""
    return {
        "Test": ["CMD", "nlserver-probe", f"{folder}/admin.sock"],
        "Interval": 10 * _NANO,
        "Timeout": 30 * _NANO,
        "Retries": 3,
        "StartPeriod": 60 * _NANO,
    }


def _mounts(site: Site, part: str, *, ours: bool) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"Type": "volume", "Source": site.data, "Target": DATA},
        {"Type": "volume", "Source": site.configs, "Target": CONFIGS, "ReadOnly": True},
    ]
    if ours and site.run.startswith("/"):
        mounts.append({"Type": "bind", "Source": f"{site.run}/{part}", "Target": f"{RUN}/{part}"})
    elif ours:
        mounts.append({"Type": "volume", "Source": site.run, "Target": RUN})
    return mounts


def _published(part: str, ports: Ports) -> dict[int, int]:
    """Which port of the engine's host each port of this part is."""
    if part == "cas":
        return {_WITHIN.cas: ports.cas}
    if part == "scheduler":
        return {_WITHIN.scheduler: ports.scheduler, _WITHIN.worker_api: ports.worker_api}
    return {}


def reached(settings: Containers, remote: str | None) -> str:
    """The host at which clients find the published ports; `remote` is the host of an engine elsewhere.

    Raises Fault USAGE where nobody could: ports on the loopback of another host.
    """
    if remote is not None and settings.publish in _LOOPBACK and remote not in _LOOPBACK:
        raise Fault(
            USAGE,
            f"the ports would be open on the loopback of {remote} alone, where this machine cannot reach them",
            why="DOCKER_HOST names an engine on another host, and --publish was not given",
            fixes=[fix("publish them there", "nlctl", "up", "--backend", "docker", "--publish", ANYWHERE)],
        )
    if remote is not None:
        return remote
    return HOST if settings.publish in (ANYWHERE, *_LOOPBACK) else settings.publish


def expect_ours(cluster: str, project: str, workers: int | None = None) -> None:
    """Raises Fault UNSUPPORTED for what Compose made: it would make anew what we end, and end what we make."""
    if project:
        there = f"docker compose --project-name {project}"
        raise Fault(
            UNSUPPORTED,
            f"Compose runs the containers of {cluster!r}",
            why=f"they belong to its project {project!r}",
            fixes=[
                fix(f"scale it there: {there} up --detach --scale worker={5 if workers is None else workers}"),
                fix(f"end it there: {there} down"),
                fix("or only forget it here", "nlctl", "context", "rm", cluster),
            ],
        )


def awaited(
    settings: Containers | None, workers: Sequence[str], reports: Iterable[Report], registered: Collection[str]
) -> list[str]:
    """The names by which the scheduler ought to know workers: the recorded ones.

    Of what Compose runs, those that there are now: it scales them, and where nobody names them they have the names of
    their hosts.
    """
    if settings is None or not settings.project:
        return list(workers)
    hosts = {one.name: (one.container or "")[:_HOST_LENGTH] for one in reports if one.name.startswith("worker-")}
    return [host if host in registered else name for name, host in hosts.items()]
