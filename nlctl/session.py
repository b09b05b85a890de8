"""The facts of one invocation: which cluster or endpoint it speaks to, and where its state is."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from nlctl.arguments import Invocation
from nlctl.faults import NO_CONTEXT, NOT_RUNNING, UNCONFIRMED, UNSUPPORTED, USAGE, Fault, fix
from nlctl.launch.ledger import Ledger, known, write
from nlctl.launch.wish import HOST, checked_name
from nlctl.ui import Ui

if TYPE_CHECKING:
    from nlctl.launch.backends.processes import Processes

T = TypeVar("T")
DEFAULT_NAME: Final = "dev"
_SCHEMES: Final = ("grpc://", "grpcs://", "http://", "https://")


@dataclass(frozen=True)
class Target:
    """Where requests go. `admin` is None for a server that nlctl did not start."""

    cas: str
    executor: str
    admin: str | None
    instance: str
    cluster: str | None = None


def state_home(environment: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/nlctl`."""
    base = environment.get("XDG_STATE_HOME") or os.path.join(environment.get("HOME") or "/", ".local", "state")
    return Path(base).absolute() / "nlctl"


class Session:
    """What every command is given: the Ui, the global flags, the state directory."""

    def __init__(self, ui: Ui, invocation: Invocation, environment: Mapping[str, str]) -> None:
        self.ui = ui
        self.environment = environment
        self.state = state_home(environment)
        self._texts = invocation.texts
        self._counts = invocation.counts

    @property
    def endpoint(self) -> str | None:
        """The server given by --endpoint. Raises Fault USAGE for something that is no URL."""
        url = self._texts.get("endpoint")
        if url and not url.startswith(_SCHEMES):
            raise Fault(USAGE, f"{url!r} is no endpoint", fixes=[fix("write grpc://HOST:PORT, or grpcs:// for TLS")])
        return url or None

    @property
    def instance(self) -> str:
        """The instance name given by --instance, "" for the default one."""
        return self._texts.get("instance", "")

    @property
    def verbose(self) -> int:
        """How often -v was given."""
        return self._counts.get("verbose", 0)

    def chosen(self, asked: str = "") -> str:
        """The cluster's name: --name, --context, the latest one, or "dev". It need not exist."""
        name = asked or self._texts.get("context") or self._latest() or DEFAULT_NAME
        self.ui.in_context(name)
        return checked_name(name)

    def ledger(self, asked: str = "") -> Ledger:
        """The folder of the chosen cluster, which may be empty."""
        return Ledger(self.state / "clusters" / self.chosen(asked))

    def cluster(self, asked: str = "") -> Ledger:
        """The folder of the chosen cluster, which exists. Raises Fault NOT_RUNNING or NO_CONTEXT."""
        if self.endpoint is not None and not asked:
            raise _needs_cluster(self.endpoint)
        ledger = self.ledger(asked)
        if ledger.exists:
            return ledger
        names = known(self.state)
        if asked or self._texts.get("context"):
            there = f"there are: {', '.join(names)}" if names else "there is none yet"
            create = fix("create it", "nlctl", "up", "--name", ledger.name)
            raise Fault(NO_CONTEXT, f"there is no cluster {ledger.name!r}", why=there, fixes=[create])
        raise Fault(NOT_RUNNING, "no cluster is running", fixes=[fix("start one", "nlctl", "up")])

    def running(self, asked: str = "") -> tuple[Ledger, Processes]:
        """The chosen cluster under its supervisor. Raises Fault NOT_RUNNING."""
        from nlctl.launch.backends.processes import Processes

        ledger = self.cluster(asked)
        backend = Processes(ledger)
        if backend.supervisor() is None:
            raise Fault(
                NOT_RUNNING,
                f"cluster {ledger.name!r} is not running",
                fixes=[fix("start it", "nlctl", "up", "--name", ledger.name)],
            )
        return ledger, backend

    def sockets(self, asked: str = "") -> dict[str, Path]:
        """Where the parts of the chosen cluster answer, by their names. Raises Fault NOT_RUNNING."""
        ledger, backend = self.running(asked)
        return {one.name: ledger.admin_socket(one.name) for one in backend.reports() or () if one.pid is not None}

    def target(self, asked: str = "") -> Target:
        """Where to send requests: --endpoint, or the chosen cluster. Raises Fault when there is none."""
        instance = self.instance
        if self.endpoint is not None and not asked:
            return Target(self.endpoint, self.endpoint, None, instance)
        ledger, _ = self.running(asked)
        record = ledger.load()
        assert record is not None
        ports = record.ports
        cas, executor, admin = (f"grpc://{HOST}:{port}" for port in ports.all())
        return Target(cas, executor, admin, instance, ledger.name)

    def remember(self, name: str) -> str | None:
        """Make this the latest cluster; answers the one before if it was another."""
        before = self._latest()
        self.state.mkdir(parents=True, exist_ok=True)
        write(self.state / "current", name + "\n")
        return before if before != name else None

    def forget(self, name: str) -> None:
        """It is no longer the latest one."""
        if self._latest() == name:
            with suppress(FileNotFoundError):
                (self.state / "current").unlink()

    def confirm(self, what: str, word: str) -> None:
        """Let the user type `word` before something is destroyed. Raises Fault UNCONFIRMED otherwise."""
        if self._counts.get("yes"):
            return
        if self._counts.get("no_input") or not self.ui.asks:
            raise Fault(
                UNCONFIRMED, f"{what}: say so with --yes", why="nobody is there to ask", fixes=[fix("add --yes")]
            )
        if self.ui.ask(f"{what}. Type {word} to go on: ") != word:
            raise Fault(UNCONFIRMED, "nothing was removed", fixes=[fix(f"type {word}, or add --yes")])

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run this coroutine to its end."""
        import asyncio

        return asyncio.run(work)

    def _latest(self) -> str | None:
        with suppress(OSError):
            name = (self.state / "current").read_text(encoding="utf-8").strip()
            if name and Ledger(self.state / "clusters" / name).exists:
                return name
        names = known(self.state)
        return names[0] if len(names) == 1 else None


def _needs_cluster(endpoint: str) -> Fault:
    return Fault(
        UNSUPPORTED,
        "this needs a cluster that nlctl started",
        why=f"{endpoint} was given by --endpoint; the Remote Execution API knows neither parts nor workers",
        fixes=[fix("leave --endpoint out to see your own cluster"), fix("start one", "nlctl", "up")],
    )


def admin_of(target: Target) -> str:
    """The admin endpoint. Raises Fault UNSUPPORTED for a server that has none."""
    if target.admin is None:
        raise _needs_cluster(target.executor)
    return target.admin
