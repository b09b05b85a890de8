"""What repairs look at and act on: a cluster of this machine, or a server elsewhere, as it is now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nlctl.faults import NOT_RUNNING, Fault, fix
from nlctl.launch.backend import answering
from nlctl.launch.ledger import Ledger, Record
from nlctl.session import Session

if TYPE_CHECKING:
    from nlserver.reapi.client import Client
    from nlserver.reapi.digest import Function

    from nlctl.layers import Layer

T = TypeVar("T")


class Ground:
    """Each question is asked anew; only files are read as they will be once what is planned so far is written.

    `keep` is the folder for what a repair sets aside.
    """

    def __init__(self, session: Session, name: str, keep: Path) -> None:
        self.session = session
        self.ui = session.ui
        self.target = session.recorded(name)
        self.keep = keep
        self._ledger = session.ledger(name) if self.target.cluster else None
        self._planned: dict[str, str] = {}

    @property
    def is_here(self) -> bool:
        """Whether nlctl runs it on this machine."""
        return self._ledger is not None

    @property
    def has_its_paths(self) -> bool:
        """Whether paths in its configs are paths of this machine: not those of containers."""
        return self.is_here and not self.record.containers

    @property
    def ledger(self) -> Ledger:
        """The folder of the cluster, which is here."""
        assert self._ledger is not None
        return self._ledger

    @property
    def record(self) -> Record:
        """The shape of the cluster, which is here."""
        found = self.ledger.load()
        assert found is not None
        return found

    def text(self, path: Path) -> str:
        """What a file says, or will say. Raises Fault NO_CONFIG."""
        from nlctl import configs

        planned = self._planned.get(str(path))
        return configs.read([path])[0].content if planned is None else planned

    def will_say(self, path: str, text: str) -> None:
        """A change that is planned writes this file so."""
        self._planned[path] = text

    def socket(self, part: str) -> str:
        """Where this part answers operators. Raises Fault NOT_RUNNING."""
        found = self.sockets().get(part)
        if found is None:
            raise Fault(
                NOT_RUNNING,
                f"{part} does not run, and only it can do this",
                fixes=[fix("start it", "nlctl", "up", "--name", self.ledger.name)],
            )
        return found

    def sockets(self) -> dict[str, str]:
        """Where the parts that run answer operators; none for a server elsewhere."""
        from nlctl.launch import backends

        if self._ledger is None:
            return {}
        return answering(backends.of(self._ledger).reports() or ())

    def layers(self) -> list[Layer]:
        """Every layer of every store of every part that answers."""
        from nlctl import layers

        return layers.layers(self.sockets())

    def with_client(self, work: Callable[[Client], Awaitable[T]], function: Function | None = None) -> T:
        """What this work with a client of the server answers. Raises Error."""
        from nlserver.reapi.digest import Function as Known

        from nlctl.remote import client

        async def opened() -> T:
            async with client(self.target, function or Known.SHA256) as remote:
                return await work(remote)

        return self.session.wait_for(opened())
