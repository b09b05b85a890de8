"""What faults in containers are made of, by the engine alone: each change writes down its undoing before it happens."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from nlctl.containers.connection import told
from nlctl.containers.copying import request_of
from nlctl.containers.files import Entry, packed
from nlctl.containers.labels import LAB
from nlctl.lab.undo import Removed
from nlctl.launch.backends.docker import Docker

if TYPE_CHECKING:
    from nlctl.containers.states import State
    from nlctl.lab.lab import Lab

Body = dict[str, Any]
_GRACE_SECONDS: Final = 5.0
VERSION: Final = "org.opencontainers.image.version"
"""The label of an image, which a container has from it."""


class Bench:
    """The containers of a lab. Methods raise Fault. A part that does not run is what restoring starts anyway."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._backend = Docker(lab.ledger)

    def remake(self, part: str, alter: Callable[[Body], None], *, files: tuple[Entry, ...] = ()) -> None:
        """Make the container of a part anew, otherwise than it was, as somebody does by hand; the files go into it."""
        facts = self._backend.made(part)
        assert facts is not None
        body = request_of(facts)
        body["Labels"][LAB] = ""
        alter(body)
        owner = int(body["User"].partition(":")[0])

        def prepare(container: str) -> None:
            self._backend.engine.put_archive(container, "/", packed([Entry("data"), *files], owner))

        self._lab.note(Removed("container", facts["Name"].lstrip("/")))
        self._backend.exchange(part, body, _GRACE_SECONDS, prepare)

    def remove(self, part: str) -> None:
        """Let a part have no container."""
        self._backend.end(part, _GRACE_SECONDS)

    def kill(self, part: str) -> None:
        """End a container as the kernel does."""
        with told():
            self._backend.engine.kill(self._container(part))

    def pause(self, part: str) -> None:
        """Let all processes of a container stand still."""
        with told():
            self._backend.engine.pause(self._container(part))

    def volume(self, name: str) -> str:
        """A volume that nobody has; what it is called."""
        return self._made("volume", name, self._backend.engine.create_volume)

    def network(self, name: str) -> str:
        """A network on which nobody is; what it is called."""
        return self._made("network", name, self._backend.engine.create_network)

    def image(self, part: str, version: str) -> str:
        """The image of a part, labelled as another version; what it is called."""
        facts = self._backend.made(part)
        assert facts is not None
        text = f"FROM {facts['Image']}\nLABEL {VERSION}={version}\n"

        def build(tag: str) -> None:
            for _ in self._backend.engine.build(fileobj=io.BytesIO(text.encode()), tag=tag, rm=True):
                pass

        return self._made("image", f"v{version}", build)

    def until(self, part: str, look: Callable[[State], bool], what: str) -> None:
        """Wait until the container of a part is so."""
        from nlctl.containers.states import read

        self._lab.until(lambda: (facts := self._backend.made(part)) is not None and look(read(facts)), what)

    def _made(self, kind: str, name: str, make: Callable[[str], object]) -> str:
        full = f"nlctl-{self._lab.ledger.name}-{name}"
        self._lab.note(Removed(kind, full))
        with told():
            make(full)
        return full

    def _container(self, part: str) -> str:
        """The id of the container of a part, which is there."""
        facts = self._backend.made(part)
        assert facts is not None
        return str(facts["Id"])


def mounted(body: Body, target: str) -> Body:
    """The mount of a container at this path."""
    found: Body = next(one for one in body["HostConfig"]["Mounts"] if one["Target"] == target)
    return found
