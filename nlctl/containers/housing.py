"""What a container keeps where: its mounts, and the store paths of its config on them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nlctl.containers.states import State

_CONFIG: Final = re.compile(r"/[\w./-]+\.json5?\b")


@dataclass(frozen=True)
class Mount:
    """What stands at a path of a container: a volume by its name, or a folder of the engine's host."""

    kind: str
    source: str
    target: str
    writable: bool

    def holds(self, path: str) -> bool:
        """Whether a path of the container lies on it."""
        return path == self.target or path.startswith(self.target.rstrip("/") + "/")


@dataclass(frozen=True)
class Kept:
    """A directory that a config names: the key, the path, and the content_path of the same store."""

    key: str
    path: str
    pair: str = ""


@dataclass(frozen=True)
class Dialled:
    """A server that a config dials: the host, the port, and what is looked for there: `cas`, `ac`, `worker`."""

    host: str
    port: int
    role: str = "cas"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Opened:
    """A port of a container that is open on its host, at this address."""

    inner: int
    address: str
    outer: int


@dataclass(frozen=True)
class Housed:
    """One container, and what its config says. `places` are the device and inode of paths as it sees them itself.

    `ours` tells that nlserver runs there. `dials` are those that the config calls, `resolved` the hosts among them that
    its own resolver knows, `closed` the HOST:PORT at which nobody takes a connection from there; `worker_ports` are
    those of the worker API. `address` is its own on its network, `text` the config that it runs. `killed` counts what
    the kernel killed there for want of memory since it started.
    """

    state: State
    mounts: tuple[Mount, ...] = ()
    keeps: tuple[Kept, ...] = ()
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    opened: tuple[Opened, ...] = ()
    dials: tuple[Dialled, ...] = ()
    resolved: Mapping[str, bool] = field(default_factory=dict)
    worker_ports: tuple[int, ...] = ()
    networks: tuple[str, ...] = ()
    ours: bool = True
    version: str = ""
    readable: bool = True
    address: str = ""
    text: str = ""
    closed: tuple[str, ...] = ()
    killed: int = 0

    @property
    def part(self) -> str:
        """What it is called."""
        return self.state.part

    @property
    def is_worker(self) -> bool:
        """Whether actions run there."""
        return self.part.partition("-")[0] == "worker"

    def mount_of(self, path: str) -> Mount | None:
        """The mount on which this path lies; None for the container's own layer."""
        holding = [one for one in self.mounts if one.holds(path)]
        return max(holding, key=lambda one: len(one.target), default=None)


def mounts_of(facts: Mapping[str, Any]) -> tuple[Mount, ...]:
    """The mounts that `inspect` tells."""
    return tuple(
        Mount(
            one["Type"],
            one.get("Name") or one.get("Source", ""),
            one["Destination"],
            bool(one.get("RW", True)),
        )
        for one in facts.get("Mounts") or ()
    )


def opened_of(facts: Mapping[str, Any]) -> tuple[Opened, ...]:
    """The ports that `inspect` tells are open on the engine's host."""
    ports = facts.get("NetworkSettings", {}).get("Ports") or {}
    return tuple(
        Opened(int(name.partition("/")[0]), one["HostIp"], int(one["HostPort"]))
        for name, row in ports.items()
        for one in row or ()
    )


def command_of(facts: Mapping[str, Any]) -> Sequence[str]:
    """Everything that the container runs, word by word."""
    config = facts["Config"]
    return [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]


def config_of(facts: Mapping[str, Any]) -> str | None:
    """The path of the config that the container runs, also where a shell starts its server; None for none."""
    named = _CONFIG.findall(" ".join(command_of(facts)))
    return named[-1] if named else None


def environment_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """The variables of the container."""
    pairs = (one.partition("=") for one in facts["Config"].get("Env") or ())
    return {name: value for name, _, value in pairs}
