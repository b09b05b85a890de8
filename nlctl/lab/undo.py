"""The way back from a change: facts that are written down before it, and that any later process can act upon.

Carrying one out twice, or without the change having happened, does no harm.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from nlserver.errors import Error

from nlctl.launch.cgroups import MEMBERS
from nlctl.launch.ledger import write
from nlctl.launch.process import Identity, alive, end, identity, tell

_GRACE_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Undo:
    """One way back. A kind is a subclass; its fields are what JSON holds of it."""

    kinds: ClassVar[dict[str, type[Undo]]] = {}

    def __init_subclass__(cls) -> None:
        Undo.kinds[cls.__name__.lower()] = cls

    def carry_out(self) -> None:
        """Go it."""
        raise NotImplementedError

    def document(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {"kind": type(self).__name__.lower(), **asdict(self)}


def read(document: dict[str, Any]) -> Undo:
    """What `document` made of one."""
    values = dict(document)
    return Undo.kinds[values.pop("kind")](**values)


@dataclass(frozen=True)
class Text(Undo):
    """A file holds this text again; None: it is absent again."""

    path: str
    text: str | None

    def carry_out(self) -> None:
        """Write or remove it."""
        if self.text is not None:
            write(Path(self.path), self.text)
        else:
            Path(self.path).unlink(missing_ok=True)


@dataclass(frozen=True)
class Moved(Undo):
    """What was moved aside stands at its place again, in place of whatever came there."""

    path: str
    aside: str

    def carry_out(self) -> None:
        """Move it back."""
        if os.path.lexists(self.aside):
            if os.path.isdir(self.path) and not os.path.islink(self.path):
                shutil.rmtree(self.path)
            else:
                Path(self.path).unlink(missing_ok=True)
            os.rename(self.aside, self.path)


@dataclass(frozen=True)
class Awake(Undo):
    """A process goes on."""

    pid: int
    start: int

    def carry_out(self) -> None:
        """Tell it so."""
        tell(Identity(self.pid, self.start), signal.SIGCONT)


@dataclass(frozen=True)
class Ended(Undo):
    """A process that the lab started ends."""

    pid: int
    start: int

    def carry_out(self) -> None:
        """End it."""
        end([Identity(self.pid, self.start)], _GRACE_SECONDS)


@dataclass(frozen=True)
class Files(Undo):
    """A process may have so many files open."""

    pid: int
    start: int
    soft: int
    hard: int

    def carry_out(self) -> None:
        """Allow them."""
        if alive(Identity(self.pid, self.start)):
            with suppress(ProcessLookupError):
                resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (self.soft, self.hard))


@dataclass(frozen=True)
class Joined(Undo):
    """What is in a control group that the lab made goes to another one, and the first is gone."""

    group: str
    into: str

    def carry_out(self) -> None:
        """Move the processes one by one, as the kernel wants it."""
        if not os.path.isdir(self.group):
            return
        for pid in Path(self.group, MEMBERS).read_text(encoding="ascii").split():
            with suppress(ProcessLookupError):
                Path(self.into, MEMBERS).write_text(pid, encoding="ascii")
        os.rmdir(self.group)


@dataclass(frozen=True)
class Stopped(Undo):
    """The cluster in this folder is down, so that it starts anew in other surroundings."""

    home: str

    def carry_out(self) -> None:
        """End its parts and their supervisor."""
        from nlctl.launch.backends.processes import Processes
        from nlctl.launch.ledger import Ledger

        parts = Processes(Ledger(Path(self.home)))
        supervisor = identity(parts.supervisor() or 0)
        for _ in parts.stop(_GRACE_SECONDS, time.monotonic() + _STOP_SECONDS):
            pass
        if supervisor is not None:
            # It says that all is over before it is gone itself.
            end([supervisor], _GRACE_SECONDS)


@dataclass(frozen=True)
class Removed(Undo):
    """A volume, network or image of the engine is gone; a container only while it is one that the lab made."""

    what: str
    name: str

    def carry_out(self) -> None:
        """Remove it, with whatever runs in it."""
        from docker.errors import NotFound

        from nlctl.containers.connection import connect, told
        from nlctl.containers.labels import LAB

        with told(), suppress(NotFound):
            match self.what, connect():
                case "container", engine:
                    if LAB in engine.inspect_container(self.name)["Config"]["Labels"]:
                        engine.remove_container(self.name, force=True, v=True)
                case "volume", engine:
                    engine.remove_volume(self.name)
                case "network", engine:
                    engine.remove_network(self.name)
                case _, engine:
                    engine.remove_image(self.name)


@dataclass(frozen=True)
class Uncordoned(Undo):
    """A worker is given work."""

    endpoint: str
    worker: str

    def carry_out(self) -> None:
        """Say so; a scheduler that started anew knows of nothing else."""
        from nlctl import admin
        from nlctl.faults import Fault

        with suppress(Error, Fault):
            admin.set_drain(self.endpoint, [self.worker], draining=False)


@dataclass(frozen=True)
class Unqueued(Undo):
    """Nothing waits or runs."""

    endpoint: str

    def carry_out(self) -> None:
        """Cancel it; a scheduler that is down has nothing."""
        from nlctl import admin

        with suppress(Error):
            there, _ = admin.operations(self.endpoint, ("queued", "executing"), 1000)
            admin.cancel(self.endpoint, [one.id for one in there])
