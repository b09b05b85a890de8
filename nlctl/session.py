"""The facts of one invocation: which cluster, context or endpoint it speaks to, and where its state is.

A *context* is anything that has a name: a cluster that runs here, or one elsewhere that `nlctl context add` wrote down.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from nlctl import homes
from nlctl.arguments import Invocation, Origin, Rank
from nlctl.contexts import SCHEMES, Access, Address, Context, Contexts, config_home
from nlctl.faults import CONTEXT_TAKEN, NO_CONTEXT, NOT_RUNNING, UNCONFIRMED, UNSUPPORTED, USAGE, Fault, Fix, fix
from nlctl.launch.ledger import Ledger, known, write
from nlctl.launch.wish import checked_name
from nlctl.registry import FLAGS
from nlctl.ui import Ui

if TYPE_CHECKING:
    from nlctl.clients.client import Server
    from nlctl.launch.backend import Backend

T = TypeVar("T")
DEFAULT_NAME: Final = "dev"
_BUILT_IN: Final = Origin(Rank.DEFAULT, "built in")


@dataclass(frozen=True)
class Route:
    """NativeLink's admin route: its HTTP address, and the config name of the scheduler."""

    url: str
    scheduler: str


@dataclass(frozen=True)
class Target:
    """Where requests go, and what opens it.

    `admin` is None for a server without our admin service; `route` is NativeLink's in its place, where that is known.
    `cluster` is the name of a cluster that runs here, `context` that of either kind.
    """

    cas: str
    executor: str
    admin: str | None
    instance: str
    cluster: str | None = None
    context: str | None = None
    access: Access = field(default_factory=Access)
    route: Route | None = None

    @property
    def server(self) -> Server:
        """What clients are told of it."""
        from nlctl.clients.client import Server

        access = self.access
        files = (access.ca_file, access.cert_file, access.key_file, access.token_file)
        return Server(self.cas, self.executor, self.instance, *files)

    @property
    def words(self) -> str:
        """What people call it."""
        return f"cluster {self.cluster}" if self.cluster else self.executor


def state_home(environment: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/nlctl`."""
    return Path(homes.state(environment))


class Session:
    """What every command is given: the Ui, the global flags, the state directory."""

    def __init__(self, ui: Ui, invocation: Invocation, environment: Mapping[str, str]) -> None:
        self.ui = ui
        self.environment = environment
        self.state = state_home(environment)
        self.contexts = Contexts(config_home(environment))
        self._texts = invocation.texts
        self._counts = invocation.counts
        self._origins = invocation.origins

    @property
    def endpoint(self) -> str | None:
        """The server given by --endpoint, unless a context was given by greater right: -C beats NLCTL_ENDPOINT.

        Raises Fault USAGE for something that is no URL.
        """
        url = self._texts.get("endpoint")
        if url and not url.startswith(SCHEMES):
            raise Fault(USAGE, f"{url!r} is no endpoint", fixes=[fix("write grpc://HOST:PORT, or grpcs:// for TLS")])
        return url if url and self._origin("endpoint").rank <= self._origin("context").rank else None

    @property
    def instance(self) -> str:
        """The instance name given by --instance, "" for the default one."""
        return self._texts.get("instance", "")

    @property
    def verbose(self) -> int:
        """How often -v was given."""
        return self._counts.get("verbose", 0)

    def chosen(self, asked: str = "") -> str:
        """The context's name: --name, --context, the latest one, or "dev". It need not exist."""
        name, _ = self.choice(asked)
        self.ui.in_context(name)
        return checked_name(name)

    def choice(self, asked: str = "") -> tuple[str, Origin]:
        """The context that counts, and who said so."""
        if asked:
            return asked, Origin(Rank.FLAG, "--name")
        said, origin = self._texts.get("context"), self._origin("context")
        if said and origin.rank < Rank.CONTEXT:
            return said, origin
        if latest := self._latest():
            return latest, Origin(Rank.CONTEXT, "nlctl up or nlctl context use")
        return (said, origin) if said else (DEFAULT_NAME, _BUILT_IN)

    @property
    def is_here(self) -> bool:
        """Whether commands that are told nothing else speak to a cluster of this machine."""
        return self.endpoint is None and Ledger(self.state / "clusters" / self.choice()[0]).exists

    def ledger(self, asked: str = "") -> Ledger:
        """The folder of the chosen cluster, which may be empty. Raises Fault UNSUPPORTED for one elsewhere."""
        name = self.chosen(asked)
        ledger = Ledger(self.state / "clusters" / name)
        if not ledger.exists and self.contexts.has(name):
            raise _elsewhere(name, self.contexts.load(name).executor)
        return ledger

    def cluster(self, asked: str = "") -> Ledger:
        """The folder of the chosen cluster, which exists. Raises Fault NOT_RUNNING, NO_CONTEXT or UNSUPPORTED."""
        if self.endpoint is not None and not asked:
            raise _needs_cluster(self.endpoint)
        ledger = self.ledger(asked)
        if ledger.exists:
            return ledger
        if asked or self._texts.get("context"):
            raise self.unknown(ledger.name)
        raise Fault(NOT_RUNNING, "no cluster is running", fixes=[fix("start one", "nlctl", "up")])

    def settings(self) -> list[tuple[str, str | None, str]]:
        """Each global flag that takes a value: its name, what holds, and who said so."""
        found = []
        for flag in {flag.name: flag for flag in FLAGS if flag.metavar or flag.choices}.values():
            value, origin = self._texts.get(flag.name), self._origin(flag.name)
            if flag.name == "context":
                value, origin = self.choice()
            found.append((flag.name, value, origin.where))
        return found

    def unknown(self, name: str) -> Fault:
        """Nothing has this name."""
        names = sorted({*known(self.state), *self.contexts.names()})
        there = f"there are: {', '.join(names)}" if names else "there is none yet"
        create = fix("start a cluster of this name", "nlctl", "up", "--name", name)
        see = fix("see what there is", "nlctl", "context", "ls")
        return Fault(NO_CONTEXT, f"there is no cluster or context {name!r}", why=there, fixes=[create, see])

    def running(self, asked: str = "") -> tuple[Ledger, Backend]:
        """The chosen cluster, which runs, and what runs it. Raises Fault NOT_RUNNING."""
        from nlctl.launch import backends

        ledger = self.cluster(asked)
        backend = backends.of(ledger)
        if not backend.runs():
            raise Fault(
                NOT_RUNNING,
                f"cluster {ledger.name!r} is not running",
                fixes=[fix("start it", "nlctl", "up", "--name", ledger.name)],
            )
        return ledger, backend

    def sockets(self, asked: str = "") -> dict[str, str]:
        """Where the parts of the chosen cluster answer operators, by their names. Raises Fault NOT_RUNNING."""
        from nlctl.launch.backend import answering

        _, backend = self.running(asked)
        return answering(backend.reports() or ())

    def parts(self, asked: str = "", *, instead: Fix) -> dict[str, str]:
        """Where the parts of the chosen cluster answer operators, by their names; a server elsewhere is one part.

        Raises Fault UNSUPPORTED for a server without the admin service: `instead` is what works there.
        """
        target = self.target(asked)
        if target.cluster is not None and target.admin is not None:
            return self.sockets(target.cluster)
        if target.admin is not None:
            return {"server": target.admin}
        raise Fault(
            UNSUPPORTED,
            "this needs the admin service (level D), which this server does not have",
            why=f"the Remote Execution API at {target.cas} neither lists nor removes nor tells what layers hold",
            fixes=[instead, fix("say where its admin service is", "nlctl", "context", "add", "--help")],
        )

    def elsewhere(self, where: str, instance: str | None = None) -> Target:
        """Another server: the URL of a CAS, or a context. Raises Fault NO_CONTEXT."""
        if "://" in where:
            if not where.startswith(SCHEMES):
                raise Fault(USAGE, f"{where!r} is no endpoint", fixes=[fix("write grpc://HOST:PORT, or grpcs://")])
            return Target(where, where, None, instance or "")
        self.known_context(where)
        shown, _ = self.choice()
        found = self.target(where)
        # Documents speak of the context that was chosen.
        self.ui.in_context(shown)
        return found if instance is None else replace(found, instance=instance)

    def target(self, asked: str = "") -> Target:
        """Where to send requests: --endpoint, or the chosen cluster, which runs. Raises Fault when there is none."""
        found = self.recorded(asked)
        if found.cluster is not None:
            self.running(asked)
        return found

    def recorded(self, asked: str = "") -> Target:
        """The same, also of a cluster that does not run now. Raises Fault when there is none."""
        from nlctl.launch import backends

        instance = self.instance
        if self.endpoint is not None and not asked:
            return Target(self.endpoint, self.endpoint, None, instance)
        name = self.chosen(asked)
        if not Ledger(self.state / "clusters" / name).exists and self.contexts.has(name):
            return self._target_elsewhere(self.contexts.load(name))
        ledger = self.cluster(asked)
        record = ledger.load()
        assert record is not None
        cas, executor, _ = record.ports.urls
        return Target(cas, executor, backends.admin_of(ledger, record), instance, ledger.name, ledger.name)

    def _target_elsewhere(self, context: Context) -> Target:
        given = self._origin("instance").rank < Rank.CONTEXT
        access = context.access
        return Target(
            context.cas,
            context.executor,
            Address(context.admin, access) if context.admin else None,
            self.instance if given else context.instance or self.instance,
            context=context.name,
            access=access,
            route=Route(context.http, context.scheduler) if context.http else None,
        )

    def known_context(self, name: str) -> None:
        """Raises Fault NO_CONTEXT unless a cluster here or a context elsewhere has this name."""
        if checked_name(name) not in (*known(self.state), *self.contexts.names()):
            raise self.unknown(name)

    def written_context(self, name: str) -> None:
        """Raises Fault NO_CONTEXT or CONTEXT_TAKEN unless a context elsewhere has this name."""
        self.known_context(name)
        if not self.contexts.has(name):
            wipe = fix("remove the cluster", "nlctl", "down", "--name", name, "--wipe")
            raise Fault(CONTEXT_TAKEN, f"{name!r} is a cluster of this machine, no written context", fixes=[wipe])

    def free_name(self, name: str, *, replace: bool = False) -> None:
        """Raises Fault CONTEXT_TAKEN when a cluster here, or, unless it is replaced, a context has this name."""
        if Ledger(self.state / "clusters" / name).exists:
            other = fix("choose another name, or see what there is", "nlctl", "context", "ls")
            raise Fault(CONTEXT_TAKEN, f"a cluster of this machine is called {name!r}", fixes=[other])
        if self.contexts.has(name) and not replace:
            see = fix("see it", "nlctl", "context", "show", name, "--no-ask")
            raise Fault(CONTEXT_TAKEN, f"there is a context {name!r} already", fixes=[see, fix("or add --replace")])

    def renamed(self, old: str, new: str) -> None:
        """The context is called otherwise now; it stays the latest one if it was."""
        with suppress(OSError):
            if (self.state / "current").read_text(encoding="utf-8").strip() == old:
                write(self.state / "current", new + "\n")

    def remember(self, name: str) -> str | None:
        """Make this the latest context; answers the one before if it was another."""
        before = self._latest()
        self.state.mkdir(parents=True, exist_ok=True)
        write(self.state / "current", name + "\n")
        return before if before != name else None

    def forget(self, name: str) -> None:
        """It is no longer the latest one."""
        with suppress(OSError):
            if (self.state / "current").read_text(encoding="utf-8").strip() == name:
                (self.state / "current").unlink()

    def server(self, asked: str = "") -> Server:
        """What clients are told of the target. Raises Fault when there is none."""
        return self.target(asked).server

    def agrees(self, question: str) -> bool:
        """Whether the user says yes to something harmless; where nobody is there to ask, only --yes does."""
        if self._counts.get("yes"):
            return True
        if self._counts.get("no_input") or not self.ui.asks:
            return False
        return self.ui.ask(f"{question} [y/N] ").lower() in ("y", "yes")

    def asked(self, question: str) -> bool:
        """Whether the user says yes to going on, at a terminal; --yes does not go on for ever."""
        if self._counts.get("no_input") or not self.ui.asks:
            return False
        return self.ui.ask(f"{question} [Y/n] ").lower() in ("", "y", "yes")

    def confirm(self, what: str, word: str) -> None:
        """Let the user type `word` before something is destroyed. Raises Fault UNCONFIRMED otherwise."""
        if self._counts.get("yes"):
            return
        if self._counts.get("no_input") or not self.ui.asks:
            raise Fault(
                UNCONFIRMED, f"{what}: say so with --yes", why="nobody is there to ask", fixes=[fix("add --yes")]
            )
        if self.ui.ask(f"{what}. Type {word} to go on: ") != word:
            raise Fault(UNCONFIRMED, "nothing was changed", fixes=[fix(f"type {word}, or add --yes")])

    def become(self, *words: str) -> NoReturn:
        """Go on as another command of ours, in this very process."""
        self.ui.flush()
        os.execv(sys.executable, [sys.executable, "-P", "-m", "nlctl", *words])  # noqa: S606 - our own program

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run this coroutine to its end."""
        import asyncio

        made: list[T] = []

        async def kept() -> None:
            made.append(await work)

        # As its result it would be written out as text: putting SIGINT back, Python 3.11 describes the task in an error
        # that nobody sees.
        asyncio.run(kept())
        return made[0]

    def _origin(self, name: str) -> Origin:
        return self._origins.get(name, _BUILT_IN)

    def _latest(self) -> str | None:
        with suppress(OSError):
            name = (self.state / "current").read_text(encoding="utf-8").strip()
            if name and (Ledger(self.state / "clusters" / name).exists or self.contexts.has(name)):
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


def _elsewhere(name: str, executor: str) -> Fault:
    return Fault(
        UNSUPPORTED,
        "this needs a cluster that nlctl started on this machine",
        why=f"context {name!r} is a server elsewhere ({executor}): its processes, files and logs are not within reach",
        fixes=[
            fix("ask it whether it answers", "nlctl", "-C", name, "context", "show"),
            fix("run it where the cluster runs, or choose another context", "nlctl", "context", "ls"),
        ],
    )


def _another_server(cluster: str) -> Fault:
    return Fault(
        UNSUPPORTED,
        "this needs the admin service, which no other server has",
        why=f"cluster {cluster!r} runs an image of another server; it tells neither workers nor queues",
        fixes=[
            fix("see its parts", "nlctl", "ps", "--name", cluster),
            fix("see what its workers do", "nlctl", "logs", "--name", cluster, "--grep", "Executing action"),
        ],
    )


def admin_of(target: Target) -> str:
    """The admin endpoint. Raises Fault UNSUPPORTED for a server that has none."""
    if target.admin is not None:
        return target.admin
    if target.cluster is not None:
        raise _another_server(target.cluster)
    if target.context is None:
        raise _needs_cluster(target.executor)
    fixes = [fix("say where its admin service is", "nlctl", "context", "add", "--help")]
    if target.route is not None:
        fixes.insert(0, fix("NativeLink's route can drain a worker by its id", "nlctl", "workers", "drain", "--help"))
    raise Fault(
        UNSUPPORTED,
        "this needs the admin service, which no other server has",
        why=f"context {target.context!r} names none; the Remote Execution API knows neither workers nor queues",
        fixes=fixes,
    )
