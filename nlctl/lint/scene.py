"""What rules look at: the configs of a cluster, one for each process, and facts about the disks they name. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from nlserver.cluster import Config, HttpListenerSpec, ServerSpec
from nlserver.config.document import Name, Value
from nlserver.config.walk import nested
from nlserver.spec import Place, Spec

from nlctl.lint.certificate import Certificate
from nlctl.lint.containers import Container, containers
from nlctl.lint.nodes import Node

_ADDRESS: Final = re.compile(r"(?:[a-z]+://)?(?P<host>\[[^\]]*\]|[^:/]*)(?::(?P<port>\d+))?(?:/.*)?")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::]", ""})  # noqa: S104


class Runs(StrEnum):
    """Which program the configs are for."""

    NLSERVER = "nlserver"
    NATIVELINK = "nativelink"


@dataclass(frozen=True)
class File:
    """One config: its name for people, and what it says."""

    name: str
    config: Config

    @cached_property
    def values(self) -> Mapping[str, Value]:
        """Every value as the file writes it, by its config path."""
        return {value.place.path: value for value in values(self.config.source.document.root)}

    @cached_property
    def keys(self) -> Mapping[str, Name]:
        """Every key by the config path of its value."""
        return {name.place.path: name for value in self.values.values() for name, _ in value.pairs}

    def says(self, spec: Spec, key: str) -> Value | None:
        """What the file writes for a field of a Spec; None where it has its default."""
        if not self.config.source.origins.says(spec, key):
            return None
        return self.values.get(self.config.place(spec, key).path)

    def specs(self) -> Iterator[Any]:
        """Every Spec of the file."""
        return nested(self.config)

    def store(self, name: str) -> Any:
        """The root store of this name behind any `ref_store`; None when there is none."""
        return self.behind(next((entry.spec for entry in self.config.stores if entry.name == name), None))

    def behind(self, store: Any) -> Any:
        """The store that a `ref_store` stands for, any other store itself."""
        seen: set[int] = set()
        while store is not None and store.tag == "ref_store" and id(store) not in seen:
            seen.add(id(store))
            store = next((entry.spec for entry in self.config.stores if entry.name == store.name), None)
        return None if store is not None and store.tag == "ref_store" else store


@dataclass(frozen=True)
class Probe:
    """A health check of a deployment file: `GET path` at this port; where it stands."""

    file: str
    line: int
    column: int
    port: int
    path: str
    excerpt: str


@dataclass(frozen=True)
class Published:
    """A port of a container that a deployment file opens on every interface of its machine."""

    file: str
    line: int
    column: int
    port: int
    excerpt: str


@dataclass(frozen=True)
class Asked:
    """Something that a text for people or for Bazel asks: `value` of an option, and where it stands."""

    option: str
    value: str
    place: Place
    excerpt: str


@dataclass(frozen=True)
class Broken:
    """A deployment file that cannot be read: why, and from where on."""

    reason: str
    place: Place
    excerpt: str


@dataclass(frozen=True)
class Disk:
    """Facts about directories and files that configs name, by path; a path that is not here is unknown."""

    devices: Mapping[str, int] = field(default_factory=dict)
    """The device that it is on, or will be made on."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the whole file system."""
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    """The first certificate of each file that a config names."""
    machine: str = ""
    """What this machine's processor is, as `uname -m` says it."""
    now: float = 0.0
    """Seconds since 1970."""


@dataclass(frozen=True)
class Scene:
    """The files that are judged together. Each runs as a process of its own."""

    files: tuple[File, ...]
    runs: Runs = Runs.NLSERVER
    disk: Disk = field(default_factory=Disk)
    probes: tuple[Probe, ...] = ()
    published: tuple[Published, ...] = ()
    deployments: tuple[Node, ...] = ()
    broken: tuple[Broken, ...] = ()
    asked: tuple[Asked, ...] = ()
    contained: bool = False
    """Whether each runs in a container of its own, whose network nobody reaches but through ports that are opened."""

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        """Every container of every deployment file."""
        return tuple(containers(self.deployments))

    def run_by(self, container: Container) -> list[File]:
        """The configs that a container runs, as far as they are among the files."""
        names = container.configs
        return [file for file in self.files if posixpath.basename(file.name) in names]

    def specs(self) -> Iterator[tuple[File, Any]]:
        """Every Spec of every file."""
        for file in self.files:
            for spec in file.specs():
                yield file, spec

    def tagged(self, tag: str) -> Iterator[tuple[File, Any]]:
        """Every store, scheduler or worker of a kind."""
        return ((file, spec) for file, spec in self.specs() if spec.tag == tag)

    @cached_property
    def listeners(self) -> tuple[Listener, ...]:
        """Every listener of every file."""
        return tuple(
            Listener(file, server, *address(server.listener.socket_address))
            for file in self.files
            for server in file.config.servers
        )

    def at(self, port: int) -> list[Listener]:
        """Who listens on a port. Names of hosts mean something else in each network, so ports alone are compared."""
        return [listener for listener in self.listeners if listener.port == port and port]

    def workers(self) -> Iterator[tuple[File, Any]]:
        """Every worker."""
        for file in self.files:
            for worker in file.config.workers or ():
                yield file, worker


@dataclass(frozen=True)
class Listener:
    """An address that some file listens on."""

    file: File
    server: ServerSpec
    host: str
    port: int

    @property
    def spec(self) -> HttpListenerSpec:
        """What the config says of the address."""
        return self.server.listener

    def service(self, name: str) -> Any:
        """What the config says of a service, None when it is not served."""
        return getattr(self.server.services, name, None)


def address(text: str) -> tuple[str, int]:
    """Host and port of `grpc://host:port` or `host:port`; port 0 where there is none."""
    match = _ADDRESS.fullmatch(text.strip())
    return (match["host"], int(match["port"] or 0)) if match else (text, 0)


def loopback(host: str) -> bool:
    """Whether it means this machine."""
    return host in _LOOPBACK


def everywhere(host: str) -> bool:
    """Whether listening there means every interface."""
    return host in ("0.0.0.0", "[::]")  # noqa: S104


def values(value: Value) -> Iterator[Value]:
    """The value itself and every one inside it."""
    yield value
    for item in (*value.items, *(item for _, item in value.pairs)):
        yield from values(item)
