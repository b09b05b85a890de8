"""What is examined: a server, and, when it runs here, the cluster around it. Each fact is asked for once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

from nlserver.errors import Error
from nlserver.reapi.digest import Function

from nlctl import layers
from nlctl.admin import OperationFacts, Overview, PartFacts, operations, overview, part
from nlctl.doctor.check import NotHere
from nlctl.launch.backend import Report, answering
from nlctl.launch.ledger import Ledger, Record
from nlctl.session import Session, Target

if TYPE_CHECKING:
    from nlserver.proto import remote_execution_pb2 as re_pb
    from nlserver.reapi.client import Client

    from nlctl.lint import judging

T = TypeVar("T")
_MOST: Final = 1000
STOPPED: Final = "stopped"
"""The state of a part whose process a signal holds."""


class Folder(NamedTuple):
    """Where a layer keeps its files: as its config names it, and as this machine finds it."""

    layer: layers.Layer
    name: str
    path: str


class Patience(NamedTuple):
    """How long operations may wait, and run, before that is worth a word, in seconds."""

    waits: float = 300.0
    runs: float = 3600.0


_PATIENCE: Final = Patience()


class Site:
    """`ledger` is that of a cluster which nlctl runs on this machine, None for any other server."""

    def __init__(
        self,
        target: Target,
        client: Client,
        ledger: Ledger | None,
        environment: Mapping[str, str],
        patience: Patience = _PATIENCE,
    ) -> None:
        self.target = target
        self.client = client
        self.environment = environment
        self.patience = patience
        self.began = time.time()
        self._ledger = ledger
        self._asked: dict[str, asyncio.Task[Any]] = {}

    @property
    def ledger(self) -> Ledger:
        """The folder of the cluster. Raises NotHere for a server that does not run here."""
        if self._ledger is None:
            raise NotHere("nlctl did not start this server, so its processes and files are not in reach")
        return self._ledger

    @property
    def record(self) -> Record:
        """The shape in which the cluster was brought up. Raises NotHere."""
        found = self.ledger.load()
        if found is None:
            raise NotHere("the cluster has no record")
        return found

    @property
    def admin(self) -> str:
        """Where the admin API of the schedulers is. Raises NotHere for a server without one."""
        if self.target.admin is None:
            raise _no_admin()
        return self.target.admin

    async def reports(self) -> list[Report]:
        """The parts, as their supervisor sees them, or `STOPPED` where it cannot see that. Raises NotHere."""
        ledger = self.ledger
        return await self.once("reports", lambda: asyncio.to_thread(_reports, ledger))

    async def sockets(self) -> dict[str, str]:
        """Where the parts that run answer operators; one that stands still answers nobody. Raises NotHere."""
        reports = await self.reports()
        if self.target.admin is None:
            raise _no_admin()
        return answering(one for one in reports if one.state != STOPPED)

    async def nearby(self) -> dict[str, str]:
        """The sockets of the cluster; of a server elsewhere, those that this user's servers on this machine have.

        Whether the latter have to do with what is examined is for the caller to see.
        """
        if self._ledger is not None:
            return await self.sockets()
        from nlserver.unix_listener import default_path

        folder = default_path(self.environment).parent
        return {f"pid {one.stem}": str(one) for one in await asyncio.to_thread(lambda: sorted(folder.glob("*.sock")))}

    async def parts(self) -> dict[str, PartFacts]:
        """What each part that answers says of itself. Raises NotHere."""
        sockets = await self.sockets()
        return await self.once("parts", lambda: _asked(sockets))

    async def layers(self) -> list[layers.Layer]:
        """Every layer of every store of every part. Raises NotHere."""
        sockets = await self.sockets()
        return await self.once("layers", lambda: asyncio.to_thread(layers.layers, sockets))

    async def folders(self) -> list[Folder]:
        """The directories of all layers that keep files. Raises NotHere."""
        found = await self.layers()
        parts = {one.name: one for one in await self.reports()}
        named = ((one, one.facts.get("content_path")) for one in found)
        return [Folder(one, path, parts[one.part].here(path)) for one, path in named if path]

    async def overview(self) -> Overview:
        """Workers, queue and health. Raises NotHere, Error."""
        where = self.admin
        return await self.once("overview", lambda: asyncio.to_thread(overview, where))

    async def executing(self) -> list[OperationFacts]:
        """What runs, the oldest first. Raises NotHere, Error."""
        where = self.admin
        found, _ = await self.once("executing", lambda: asyncio.to_thread(operations, where, ["executing"], _MOST))
        return found

    async def capabilities(self) -> re_pb.ServerCapabilities:
        """What the CAS endpoint offers. Raises Error."""
        return await self.once("capabilities", self.client.capabilities)

    async def function(self) -> Function:
        """The digest function by which probes are named: SHA-256, or one that the server takes. Raises Error."""
        offered = set((await self.capabilities()).cache_capabilities.digest_functions)
        return next((one for one in Function if int(one) in offered), Function.SHA256)

    @asynccontextmanager
    async def speaker(self) -> AsyncIterator[Client]:
        """A client that names all that it uploads by this function. Raises Error."""
        from nlctl.remote import client

        function = await self.function()
        if function is self.client.function:
            yield self.client
            return
        async with client(self.target, function) as made:
            yield made

    async def configs(self) -> judging.Verdict:
        """The configs of the cluster's parts, and what is wrong with them. Raises NotHere, Fault."""
        folder, contained = self.ledger.configs, self.record.containers is not None
        return await self.once("configs", lambda: asyncio.to_thread(_judged, folder, self.environment, contained))

    async def once(self, name: str, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` answers, asked the first time only; whoever gives up leaves it to the others."""
        if name not in self._asked:
            self._asked[name] = asyncio.ensure_future(ask())
        return cast("T", await asyncio.shield(self._asked[name]))


@asynccontextmanager
async def opened(
    session: Session,
    name: str = "",
    function: Function = Function.SHA256,
    patience: Patience = _PATIENCE,
) -> AsyncIterator[Site]:
    """What this invocation is about, also when it does not run now. Raises Fault when there is none.

    And NO_ENGINE for containers whose engine does not answer: nothing could be told of them.
    """
    from nlctl.launch import backends
    from nlctl.remote import client

    target = session.recorded(name)
    ledger = session.ledger(name) if target.cluster else None
    if ledger is not None and (record := ledger.load()) is not None and record.containers:
        backends.of(ledger).runs()
    async with client(target, function) as remote:
        yield Site(target, remote, ledger, session.environment, patience)


def _no_admin() -> NotHere:
    return NotHere("this server has no admin API")


async def _asked(sockets: Mapping[str, str]) -> dict[str, PartFacts]:
    def ask(socket: str) -> PartFacts | None:
        try:
            return part(socket)
        except Error:
            return None

    found = await asyncio.gather(*(asyncio.to_thread(ask, socket) for socket in sockets.values()))
    return {name: said for name, said in zip(sockets, found, strict=True) if said is not None}


def _reports(ledger: Ledger) -> list[Report]:
    from nlctl.launch import backends
    from nlctl.launch.process import stands_still

    found = backends.of(ledger).reports() or []
    return [replace(one, state=STOPPED) if one.pid and stands_still(one.pid) else one for one in found]


def _judged(folder: Path, environment: Mapping[str, str], contained: bool) -> judging.Verdict:
    from nlctl import configs

    texts = configs.read(sorted(folder.glob("*.json5")))
    if contained:
        # Containers of one service run one file, and each has its own copy here.
        texts = list({one.content: one for one in texts}.values())
    return configs.judged(texts, environment, contained=contained)
