"""The containers that compose files and objects of Kubernetes describe, told alike. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nlctl.lint.nodes import Node

_CONFIG: Final = re.compile(r"[\w./${}-]+\.json5?\b")
_OURS: Final = re.compile(r"\b(?:nativelink|nlserver|nlctl)\b")
_POD: Final = ("spec", "template", "spec")
_PODS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")


@dataclass(frozen=True)
class Mount:
    """What stands at a path of a container. `source` is a path, or the name of a volume."""

    source: str
    target: str
    node: Node

    @property
    def is_named(self) -> bool:
        """Whether a volume is mounted, no path of the machine."""
        return bool(self.source) and self.source[0] not in "./~$"


@dataclass(frozen=True)
class Variable:
    """A variable that a container is given; `value` is None where it is taken from elsewhere."""

    name: str
    value: str | None
    node: Node


@dataclass(frozen=True)
class Container:
    """A service of a compose file or a container of a pod; `workload` is the object of the pod, None in a compose file.

    `name` is the node of its name, `body` that of everything said of it.
    """

    name: Node
    body: Node
    mounts: tuple[Mount, ...]
    variables: tuple[Variable, ...]
    workload: Node | None = None

    @property
    def command(self) -> str:
        """Everything that it may run, in one line."""
        parts = [self.body.get(key) for key in ("entrypoint", "command", "args")]
        return " ".join(word for part in parts if part for word in part.words())

    @property
    def environment(self) -> dict[str, str]:
        """The values of its variables, "" for those that are taken from elsewhere."""
        return {one.name: one.value or "" for one in self.variables}

    @property
    def image(self) -> str:
        """Its image, and what that is built of."""
        return " ".join((self.body.said("image"), self.body.said("build"), self.body.said("build", "dockerfile")))

    @property
    def configs(self) -> list[str]:
        """The names of the config files that its command line names, as they are called where they are mounted from."""
        sources = {mount.target: mount.source for mount in self.mounts if not mount.is_named}
        named = _CONFIG.findall(self.command)
        return [posixpath.basename(sources.get(path, path)) for path in named]

    @property
    def is_ours(self) -> bool:
        """Whether it runs NativeLink or nlserver."""
        return bool(_OURS.search(f"{self.image} {self.command}"))

    def volume(self, name: str) -> Node | None:
        """What the pod says of a volume; None where it says nothing, as of a claim of a StatefulSet."""
        volumes = self.workload.listed(*_POD, "volumes") if self.workload else []
        return next((one for one in volumes if one.said("name") == name), None)


def containers(documents: Sequence[Node]) -> Iterator[Container]:
    """Every container of these documents."""
    for document in documents:
        services = document.get("services")
        for name, body in services.pairs if services else ():
            yield Container(name, body, tuple(_compose_mounts(body)), tuple(_compose_variables(body)))
        if document.said("kind") in _PODS:
            yield from _of_pod(document)


def _of_pod(workload: Node) -> Iterator[Container]:
    for body in workload.listed(*_POD, "containers"):
        mounts = [Mount(one.said("name"), one.said("mountPath"), one) for one in body.listed("volumeMounts")]
        variables = [
            Variable(one.said("name"), value.text if (value := one.get("value")) else None, one)
            for one in body.listed("env")
        ]
        yield Container(body.get("name") or body, body, tuple(mounts), tuple(variables), workload)


def _compose_mounts(body: Node) -> Iterator[Mount]:
    for one in body.listed("volumes"):
        source, colon, rest = one.text.partition(":")
        if colon:
            yield Mount(source, rest.partition(":")[0], one)
        elif one.said("target"):
            yield Mount(one.said("source"), one.said("target"), one)


def _compose_variables(body: Node) -> Iterator[Variable]:
    for one in body.listed("environment"):
        name, equals, value = one.text.partition("=")
        yield Variable(name, value if equals else None, one)
    given = body.get("environment")
    for key, node in given.pairs if given else ():
        yield Variable(key.text, node.text, key)
