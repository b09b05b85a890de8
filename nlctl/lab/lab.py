"""A practice cluster, and what faults are made of: each change writes down its undoing before it happens."""

from __future__ import annotations

import os
import resource
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nlserver.errors import Error
from nlserver.reapi.digest import Digest, Function

from nlctl import admin
from nlctl.arguments import Rank
from nlctl.faults import (
    BROKEN_ALREADY,
    NO_FAULT,
    NOT_A_LAB,
    NOT_POSSIBLE,
    NOT_READY,
    NOT_RUNNING,
    OTHER_LAB,
    Fault,
    fix,
)
from nlctl.lab.injection import Clue, Injection
from nlctl.lab.journal import Journal
from nlctl.lab.undo import Awake, Ended, Files, Moved, Stopped, Text, Uncordoned, Undo, Unqueued
from nlctl.launch import backends
from nlctl.launch.backend import Backend
from nlctl.launch.backends.processes import Processes
from nlctl.launch.ledger import Ledger, write
from nlctl.launch.ports import pick
from nlctl.launch.process import Identity, end, identity, tell
from nlctl.launch.reconcile import Asked, Reconciliation, plan
from nlctl.launch.wish import AIM, HOST, Ports
from nlctl.session import Session, Target
from nlctl.spelling import nearest

if TYPE_CHECKING:
    from nlserver.proto import remote_execution_pb2 as re_pb

NAME: Final = "lab"
SHAPE: Final = Asked(workers=2, cas_size="2gb", cas_processes=1, base_port="auto")
_RESULT: Final = "lab"
_GRACE_SECONDS: Final = 5.0
_WAIT_SECONDS: Final = 180.0
_LOOK_SECONDS: Final = 0.02


class Lab:
    """The cluster of this ledger, which runs when something is broken in it. Methods raise Fault and Error."""

    def __init__(self, session: Session, ledger: Ledger) -> None:
        self._session = session
        self._ui = session.ui
        self.ledger = ledger
        self.journal = Journal(ledger)
        self._blobs = ledger.data

    @cached_property
    def _backend(self) -> Backend:
        """What runs its parts, once it was brought up."""
        return backends.of(self.ledger)

    @property
    def kind(self) -> str:
        """The name of that."""
        record = self.ledger.load()
        return backends.DOCKER if record is not None and record.containers else backends.PROCESS

    @property
    def target(self) -> Target:
        """Where clients of it go."""
        return self._session.recorded(self.ledger.name)

    @property
    def ports(self) -> Ports:
        """Where it listens."""
        record = self.ledger.load()
        assert record is not None
        return record.ports

    @property
    def admin(self) -> str:
        """Where its scheduler answers operators."""
        return self.ports.urls[2]

    # The cluster

    def start(self, asked: Asked) -> None:
        """Bring it up in this shape; a lab that runs well is left alone."""
        with self.ledger.locked():
            self._reconcile(asked)
            if not self.journal.exists:
                self.journal.begin()

    def restore(self) -> str:
        """Undo what is broken, and bring everything up again; the name of the fault that it was, "" for none."""
        with self.ledger.locked():
            was = self.journal.broken
            self.journal.undo(lambda undo, error: self._ui.warn(f"{undo.document()['kind']}: {error}"))
            self._forget_restarts()
            self._reconcile(Asked(prove=False))
            self.journal.begin()
            return was

    def broken_by(self, injection: Injection) -> Clue:
        """Put this fault in; what the doctor is told of it. One that cannot be put in whole is taken out again."""
        if injection.backend != self.kind:
            start = fix("start one", "nlctl", "lab", "start", "--backend", injection.backend, "--name", "NAME")
            why = f"this lab runs with the backend {self.kind}"
            raise Fault(
                OTHER_LAB, f"{injection.name} needs a lab of backend {injection.backend}", why=why, fixes=[start]
            )
        with self.ledger.locked():
            if was := self.journal.broken:
                mend = fix("mend it", "nlctl", "lab", "restore")
                raise Fault(BROKEN_ALREADY, f"the lab is broken already: {was}", fixes=[mend])
            self.journal.begin(injection.name)
            try:
                return injection.breaks(self) or Clue()
            except BaseException:
                self.journal.undo(lambda _undo, _error: None)
                self._reconcile(Asked(prove=False))
                self.journal.begin()
                raise

    def stop(self) -> None:
        """Undo what is broken outside of it, end all parts, and remove everything."""
        with self.ledger.locked():
            self.journal.undo(lambda _undo, _error: None)
            for _ in self._backend.stop(_GRACE_SECONDS, time.monotonic() + _WAIT_SECONDS):
                pass
            end(self.ledger.leftovers(), _GRACE_SECONDS)
            self._backend.forget(data=True)
            self.ledger.forget(data=True)
        self._session.forget(self.ledger.name)

    def _forget_restarts(self) -> None:
        """Take parts away that were started again, so that those that come in their place have no past."""
        if worn := [one.name for one in self._backend.reports() or () if one.restarts]:
            self.apply(*worn, wait=False)
            self.until(lambda: not {one.name for one in self._backend.reports() or ()} & set(worn), "parts end")

    def _reconcile(self, asked: Asked) -> None:
        work = Reconciliation(self.ledger, self._ui, asked, "lab")
        reports = work.reports()
        made = plan(self.ledger, asked, reports)
        if not made.done:
            work.carry_out(made, reports, _GRACE_SECONDS)
        self.registered(*made.workers)

    def registered(self, *names: str) -> None:
        """Wait until the scheduler has these workers, or all of the cluster, also when it came after them."""
        record = self.ledger.load()
        assert record is not None
        wanted = set(names or record.workers)
        self.until(lambda: {one.name for one in admin.workers(self.admin)} >= wanted, "the workers register")

    def apply(self, *without: str, wait: bool = True) -> None:
        """Run the configs as they stand now, without these parts; returns when each serves or has failed to."""
        made = plan(self.ledger, Asked(), self._backend.reports())
        wanted = {one.name: one for one in made.wanted(self.ledger) if one.name not in without}
        # One that has nothing to run does not stay.
        self._backend.start()
        self._backend.apply(list(wanted.values()), _GRACE_SECONDS)
        if not wait:
            return
        running = {one.name for one in self._backend.reports() or ()}
        pending = {*wanted, *(running & set(without))}
        for report in self._backend.watch(time.monotonic() + _WAIT_SECONDS):
            if report.name in wanted:
                settled = report.state in ("ready", "backoff", "failed")
                done = settled and report.fingerprint == wanted[report.name].fingerprint
            else:
                done = report.state == "gone"
            if done:
                pending.discard(report.name)
            if not pending:
                return
        raise Fault(NOT_READY, f"{', '.join(sorted(pending))} did not settle", fixes=[fix("see", "nlctl", "ps")])

    def process(self, part: str) -> Identity:
        """The process of a part that runs."""
        pid = next(one.pid for one in self._backend.reports() or () if one.name == part)
        found = identity(pid) if pid else None
        if found is None:
            raise Fault(NOT_READY, f"{part} does not run", fixes=[fix("start it", "nlctl", "lab", "restore")])
        return found

    def seat(self, worker: str) -> str:
        """The id by which the scheduler knows a worker, "" while it does not."""
        return self.seats().get(worker, "")

    def seats(self) -> dict[str, str]:
        """The ids by which the scheduler knows workers, by their names."""
        return {one.name: one.id for one in admin.workers(self.admin)}

    def supervisor(self) -> Identity:
        """The process that keeps the parts running."""
        found = identity(Processes(self.ledger).supervisor() or 0)
        assert found is not None
        return found

    def until(self, look: Callable[[], object], what: str) -> None:
        """Wait until `look` finds something; an Error is nothing."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            try:
                if look():
                    return
            except Error:
                pass
            time.sleep(_LOOK_SECONDS)
        see = fix("see how it is", "nlctl", "-C", self.ledger.name, "ps")
        raise Fault(NOT_READY, f"the lab waited in vain: {what}", fixes=[see])

    # Changes

    def edit(self, part: str, old: str, new: str) -> None:
        """Replace a text in the config of a part, which is there."""
        path = self.ledger.config(part)
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{path} has no {old!r}"
        self.write(path, text.replace(old, new))

    def write(self, path: Path, text: str) -> None:
        """Let a file hold this text."""
        before = path.read_text(encoding="utf-8") if path.exists() else None
        self.note(Text(str(path), before))
        write(path, text)

    def move_aside(self, path: Path) -> None:
        """Let nothing stand at this path."""
        # Not beside it: it may be a store's directory, in which this would be foreign.
        aside = self.ledger.data / f"{path.name}.aside"
        self.note(Moved(str(path), str(aside)))
        path.rename(aside)

    def leave(self, path: Path) -> None:
        """A file that comes to stand there, or changes there, goes in the end."""
        self.note(Text(str(path), None))

    def keep(self, path: Path) -> None:
        """Remember a file, or that it is absent, for what will happen to it."""
        self.note(Text(str(path), path.read_text(encoding="utf-8") if path.exists() else None))

    def halt(self, who: Identity) -> None:
        """Let a process stand still."""
        self.note(Awake(who.pid, who.start))
        tell(who, signal.SIGSTOP)

    def allow_files(self, who: Identity, count: int) -> None:
        """Let a process have at most so many files open."""
        soft, hard = resource.prlimit(who.pid, resource.RLIMIT_NOFILE)
        self.note(Files(who.pid, who.start, soft, hard))
        resource.prlimit(who.pid, resource.RLIMIT_NOFILE, (count, hard))

    def anew(self, **environment: str) -> None:
        """Start every part anew with these variables in its environment."""
        stopped = Stopped(str(self.ledger.home))
        self.note(stopped)
        stopped.carry_out()
        before = dict(os.environ)
        os.environ.update(environment)
        try:
            self.apply()
        finally:
            os.environ.clear()
            os.environ.update(before)
        self.registered()

    def cordon(self, worker: str) -> None:
        """Give a worker no work."""
        self.note(Uncordoned(self.admin, worker))
        admin.set_drain(self.admin, [worker], draining=True)

    def ask_for(self, platform: str, *command: str, stage: str = "queued", count: int = 1) -> None:
        """Let a client wait for an action that asks for this property; returns when so many are in this stage."""
        self.note(Unqueued(self.admin))
        self.stand_in("run", str(self.target.cas), str(self.target.executor), platform, "--", *command)
        self.until(lambda: len(admin.operations(self.admin, (stage,), count)[0]) == count, f"the action is {stage}")

    def stand_in(self, *words: str) -> str:
        """Start a process of `stand_in`; what it says once it serves. Raises Fault DENIED with why it may not."""
        with open(self.ledger.log("stand-in"), "ab") as log:
            started = subprocess.Popen(
                [sys.executable, "-P", "-m", "nlctl.lab.stand_in", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        who = identity(started.pid)
        assert started.stdin is not None
        assert started.stdout is not None
        assert who is not None
        self.note(Ended(who.pid, who.start))
        started.stdin.write(b"\n")
        started.stdin.close()
        said = started.stdout.readline().decode().strip()
        if said.startswith("refused") or not said:
            why = said.partition(": ")[2] or f"see {self.ledger.log('stand-in')}"
            raise Fault(NOT_POSSIBLE, f"{words[0]} cannot be had here", why=why, fixes=[fix("run it as root")])
        # It outlives this command; nobody waits for it.
        started.returncode = 0
        return str(who.pid) if said == "mounted" else said

    def other_server(self) -> Ports:
        """Start another CAS with another scheduler beside this cluster; where they listen."""
        ports = pick()
        self.serve(_OTHER.format(host=HOST, cas=ports.cas, api=ports.worker_api))
        return ports

    def serve(self, text: str) -> None:
        """Start a server of this config beside the cluster."""
        config = self.ledger.run / "other.json5"
        write(config, text)
        self.stand_in("server", str(config))

    def renew_stores(self, max_bytes: str = "2gb") -> None:
        """Let the CAS and the action cache begin with nothing, in directories of their own."""
        old, new = str(self.ledger.data), f"{self.ledger.data}/{secrets.token_hex(4)}"
        self._blobs = Path(new)
        self.edit("cas", f"{old}/cas/", f"{new}/cas/")
        self.edit("cas", 'max_bytes: "2gb"', f'max_bytes: "{max_bytes}"')
        for part in ("cas", "scheduler"):
            self.edit(part, f"{old}/ac/", f"{new}/ac/")
        self.apply()
        self.registered()

    def remember_presence(self) -> None:
        """Let the CAS believe for a while what it once saw of its own files."""
        self.edit("cas", 'name: "CAS_STORE",\n      filesystem: {', 'name: "CAS_FILES",\n      filesystem: {')
        store = '{ name: "CAS_STORE", existence_cache: { backend: { ref_store: { name: "CAS_FILES" } } } }'
        self.edit("cas", "stores: [\n", f"stores: [\n    {store},\n")

    # What clients do

    def put(self, data: bytes, *, function: Function = Function.SHA256, instance: str = "") -> Digest:
        """Upload a blob."""
        from nlctl.remote import client

        async def upload() -> Digest:
            async with client(replace(self.target, instance=instance), function) as remote:
                return (await remote.upload([data]))[0]

        return self._session.wait_for(upload())

    def put_all(self, blobs: Iterable[bytes]) -> Sequence[Digest]:
        """Upload blobs, about as many at a time as a call takes."""
        from nlctl.remote import client

        async def upload() -> Sequence[Digest]:
            async with client(self.target) as remote:
                return await remote.upload(list(blobs))

        return self._session.wait_for(upload())

    def known(self, *digests: Digest) -> None:
        """Let the CAS say that it has these blobs."""
        from nlctl.remote import client

        async def ask() -> None:
            async with client(self.target) as remote:
                assert not await remote.missing(digests)

        self._session.wait_for(ask())

    def put_result(self, result: re_pb.ActionResult) -> None:
        """Write a result under a fresh key."""
        from nlserver.reapi.digest import of

        from nlctl.remote import client

        async def update() -> None:
            async with client(self.target) as remote:
                await remote.update_action_result(of(os.urandom(64)), result)

        self._session.wait_for(update())

    def run(self, *command: str, inputs: Path) -> None:
        """Run an action on some worker."""
        self.run_each([(command, inputs)])

    def run_each(self, actions: Iterable[tuple[Sequence[str], Path]]) -> None:
        """Run commands with their input roots, one after the other."""
        from nlctl.remote import client

        async def perform() -> None:
            async with client(self.target) as remote:
                for command, inputs in actions:
                    await remote.run(command, input_root=inputs)

        self._session.wait_for(perform())

    def run_on(self, worker: str, *command: str) -> None:
        """Run an action on this worker."""
        from nlctl.remote import client

        async def perform() -> None:
            async with client(self.target) as remote:
                await remote.run(command, platform={AIM: worker})

        self._session.wait_for(perform())

    def measure(self, url: str) -> None:
        """Keep a result of a short benchmark of this server."""
        from nlctl.bench.shelf import Shelf

        self.leave(Shelf(self._session.state).path(_RESULT))
        measuring = ("--quiet", "--endpoint", url, "bench", "cas", "--line", "find-100", "--save", _RESULT)
        command = [sys.executable, "-P", "-m", "nlctl", *measuring]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

    def blob(self, digest: Digest) -> Path:
        """The file in which the CAS keeps it."""
        return self._blobs / "cas" / "content" / "d" / digest.written.replace("/", "-")

    def note(self, undo: Undo) -> None:
        """Write down how what is done next is undone."""
        self.journal.note(undo)


_OTHER: Final = """\
{{
  stores: [
    {{ name: "CAS", memory: {{ eviction_policy: {{ max_bytes: "20mb" }} }} }},
    {{ name: "AC", completeness_checking: {{ backend: {{ memory: {{ eviction_policy: {{ max_bytes: "1mb" }} }} }},
      cas_store: {{ ref_store: {{ name: "CAS" }} }} }} }},
  ],
  schedulers: [{{ name: "MAIN", simple: {{ supported_platform_properties: {{
    cpu_count: "minimum", OSFamily: "priority", "container-image": "priority", ISA: "exact", "nlctl-worker": "exact",
  }} }} }}],
  servers: [
    {{
      listener: {{ http: {{ socket_address: "{host}:{cas}" }} }},
      services: {{
        cas: [{{ cas_store: "CAS" }}], ac: [{{ ac_store: "AC" }}], bytestream: [{{ cas_store: "CAS" }}],
        execution: [{{ cas_store: "CAS", scheduler: "MAIN" }}],
        capabilities: [{{ remote_execution: {{ scheduler: "MAIN" }} }}],
      }},
    }},
    {{
      listener: {{ http: {{ socket_address: "{host}:{api}" }} }},
      services: {{ worker_api: {{ scheduler: "MAIN" }} }},
    }},
  ],
}}
"""


def damaged(path: Path, data: bytes) -> None:
    """Let a blob's file hold other bytes, as a failing disk or a careless hand does."""
    path.chmod(0o644)
    path.write_bytes(data)


def chosen(names: Sequence[str]) -> list[Injection]:
    """The faults of these names, all for none. Raises Fault NO_FAULT."""
    from nlctl.lab.faults import every

    known = every()
    for name in names:
        if name not in known:
            near = nearest(name, known)
            meant = [fix(f"did you mean {near[0]}?")] if near else []
            see = fix("see what there is", "nlctl", "lab", "ls")
            raise Fault(
                NO_FAULT,
                f"the lab has no fault {name!r}",
                fixes=[*meant, see],
            )
    return [known[name] for name in names] if names else list(known.values())


def ledger_of(session: Session, asked: str) -> Ledger:
    """The folder of the cluster that is meant: by --name, by -C, else the one called lab."""
    chosen, origin = session.choice(asked)
    return session.ledger(chosen if origin.rank is Rank.FLAG else NAME)


def opened(session: Session, asked: str) -> Lab:
    """The lab that is meant, which runs. Raises Fault NOT_RUNNING, or NOT_A_LAB for any other cluster."""
    ledger = ledger_of(session, asked)
    start = fix("start one", "nlctl", "lab", "start")
    if not ledger.exists:
        raise Fault(NOT_RUNNING, "no lab is running", fixes=[start])
    lab = Lab(session, ledger)
    if not lab.journal.exists:
        why = "faults are put into clusters that `nlctl lab start` made, and into no other"
        raise Fault(NOT_A_LAB, f"cluster {ledger.name!r} is no lab", why=why, fixes=[start])
    return lab
