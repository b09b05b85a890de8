"""`up`: from the asked shape to a cluster that proved it works, or back to what was before."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from nlctl.faults import EDITED_CONFIG, NOT_READY, PART_FAILED, PORT_TAKEN, USAGE, Fault, fix
from nlctl.launch import backends
from nlctl.launch import ports as machine
from nlctl.launch.backend import Backend, Report
from nlctl.launch.backends.processes import lost, tail
from nlctl.launch.containers import Containers, expect_ours
from nlctl.launch.ledger import Ledger, Record, write
from nlctl.launch.offers import Offers, config_text
from nlctl.launch.plan import Running, Sign, Step, steps
from nlctl.launch.plan import Wanted as Planned
from nlctl.launch.roster import Wanted
from nlctl.launch.templates import template
from nlctl.launch.wish import (
    Member,
    Ports,
    Wish,
    cas_processes,
    checked_processes,
    fingerprint,
    members,
    resized,
    running_fingerprint,
    workers_of,
)
from nlctl.launch.written import isa
from nlctl.ui import Ui

DEFAULT_WORKERS: Final = 3
DEFAULT_CAS_SIZE: Final = "10gb"
_DRAIN_SECONDS: Final = 600.0
_UNDO_SECONDS: Final = 5.0
_CANARY_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Asked:
    """What is asked of `up`; None keeps what the cluster has, or the default.

    `idle` are the workers that go before others; without `prove` no canary runs. `offers` are what new workers offer
    beside the properties of the template; `templates` is a folder that configs are made of. `containers` tells what
    parts of a new cluster run in, and those of an old one shall; None for processes.
    """

    workers: int | None = None
    cas_size: str | None = None
    cas_processes: int | None = None
    base_port: str | None = None
    wait: bool = True
    wait_seconds: float = 60.0
    keep_on_fail: bool = False
    idle: Collection[str] = ()
    prove: bool = True
    offers: Offers = field(default_factory=dict)
    templates: Path | None = None
    containers: Containers | None = None


@dataclass(frozen=True)
class Config:
    """One member's config: what the file shall hold, whether a person wrote it, and what it runs in beside it."""

    member: Member
    text: str
    generated: str
    edited: bool = False
    beside: str = ""

    @property
    def fingerprint(self) -> str:
        """Of what the member runs: the content, by how many processes, and in what."""
        return running_fingerprint(f"{self.beside}: {self.text}" if self.beside else self.text, self.member.processes)


@dataclass
class Plan:
    """What this command will do. `notes` are sentences about choices that it made.

    `proven` tells that the workers that stay have proved themselves, `steady` that every part that stays is ready.
    """

    wish: Wish
    configs: list[Config]
    steps: list[Step]
    notes: list[str] = field(default_factory=list)
    proven: bool = False
    steady: bool = False
    templates: Path | None = None
    containers: Containers | None = None

    @property
    def changes(self) -> bool:
        """Whether any part starts, ends, or starts anew."""
        return any(step.changes for step in self.steps)

    @property
    def done(self) -> bool:
        """Whether there is nothing to start, to wait for, or to prove."""
        return not self.changes and self.proven and self.steady

    @property
    def names(self) -> list[str]:
        """The members that shall run."""
        return [config.member.name for config in self.configs]

    @property
    def workers(self) -> list[str]:
        """The workers that shall run."""
        return workers_of(self.names)

    @property
    def unproven(self) -> list[str]:
        """The workers on which a canary shall run: all when CAS or scheduler start, else those that do.

        What was proven before stays so, and may be busy for longer than anybody waits.
        """
        starting = {step.member for step in self.steps if step.sign in (Sign.ADD, Sign.CHANGE)}
        if not self.proven or not starting <= set(self.workers):
            return self.workers
        return [name for name in self.workers if name in starting]

    def wanted(self, ledger: Ledger) -> list[Wanted]:
        """For the backend."""
        return [
            Wanted(
                c.member.name,
                str(ledger.config(c.member.name)),
                c.fingerprint,
                c.member.after,
                c.member.processes,
                str(ledger.admin_socket(c.member.name)),
            )
            for c in self.configs
        ]


def plan(ledger: Ledger, asked: Asked, reports: Sequence[Report] | None) -> Plan:
    """What it takes; looks at files and ports and changes nothing.

    Raises Fault PORT_TAKEN or EDITED_CONFIG, and UNSUPPORTED for what Compose runs.
    """
    record = ledger.load()
    if record is not None:
        expect_ours(ledger.name, record.project, asked.workers)
    notes: list[str] = []
    before = record.ports if record else None
    containers = asked.containers or (record.containers if record else None)
    chosen = _ports(asked.base_port, before, running=bool(reports), notes=notes)
    beside: Callable[[str], str] = lambda _: ""  # noqa: E731
    if containers is not None:
        from nlctl.launch.backends.docker import Docker

        engine = Docker(ledger)
        chosen = replace(chosen, host=engine.reached(containers))
        image = engine.image(containers.image)
        containers = replace(containers, foreign=not image.ours)
        beside = partial(containers.beside, image.id, ports=chosen)
    workers = _workers(asked, record)
    wish = Wish(
        ledger.name,
        workers,
        asked.cas_size or (record.cas_size if record else DEFAULT_CAS_SIZE),
        chosen,
        ledger.data,
        isa(),
        1 if containers and containers.foreign else _cas_processes(asked, record),
        _offers(asked, record, workers),
        tuple(dict.fromkeys([*(record.knows if record else ()), *asked.offers])),
        containers.inside if containers else None,
    )
    generated = record.generated if record else {}
    own = asked.templates or (Path(record.templates) if record and record.templates else None)
    configs = [
        replace(_config(member, ledger.config(member.name), generated, own), beside=beside(member.name))
        for member in members(wish)
    ]
    running = {one.name: Running(one.fingerprint, one.state) for one in reports or ()}
    planned = [Planned(c.member.name, c.fingerprint, c.member.summary, c.edited) for c in configs]
    made = steps(planned, running)
    steady = all(running[step.member].state == "ready" for step in made if step.sign is Sign.KEEP)
    return Plan(wish, configs, made, notes, record is not None and record.proven, steady, own, containers)


def _workers(asked: Asked, record: Record | None) -> tuple[str, ...]:
    names = record.workers if record else ()
    count = asked.workers if asked.workers is not None else len(names) if record else DEFAULT_WORKERS
    return resized(names, count, asked.idle)


def _offers(asked: Asked, record: Record | None, workers: Sequence[str]) -> dict[str, Offers]:
    """What each worker offers: those that there were as before, new ones as asked."""
    old, before = (record.offers, record.workers) if record else ({}, ())
    made = {name: old.get(name, {}) if name in before else asked.offers for name in workers}
    return {name: offered for name, offered in made.items() if offered}


def _cas_processes(asked: Asked, record: Record | None) -> int:
    if asked.cas_processes is not None:
        return checked_processes(asked.cas_processes)
    return record.cas_processes if record else cas_processes(len(os.sched_getaffinity(0)))


def _ports(base: str | None, before: Ports | None, *, running: bool, notes: list[str]) -> Ports:
    if base is not None and base != "auto":
        return _fixed(base, before if running else None)
    if running and before is not None:
        return before
    if base == "auto" and before is None:
        return machine.pick()
    preferred = before or Ports()
    busy = machine.taken(preferred.all())
    if not busy:
        return preferred
    picked = machine.pick()
    notes.append(f"{machine.holder(busy[0])}; using free ports instead: {', '.join(map(str, picked.all()))}")
    return picked


def _fixed(base: str, ours: Ports | None) -> Ports:
    if not base.isdigit() or not 1024 <= int(base) <= 65525:
        raise Fault(USAGE, f"--base-port {base!r} cannot be", fixes=[fix("a number from 1024 to 65525, or auto")])
    chosen = Ports.from_base(int(base))
    held = ours.all() if ours else ()
    if busy := machine.taken(port for port in chosen.all() if port not in held):
        raise Fault(
            PORT_TAKEN,
            f"port {busy[0]} is in use",
            why=str(machine.holder(busy[0])),
            fixes=[fix("use free ports", "nlctl", "up", "--base-port", "auto")],
        )
    return chosen


def _config(member: Member, path: Path, generated: Mapping[str, str], own: Path | None) -> Config:
    """What this member shall run with: our text, unless a person changed the file and we want no change."""
    text = config_text(member, template(member.template, own))
    ours = fingerprint(text)
    recorded = generated.get(member.name)
    try:
        on_disk = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config(member, text, ours)
    if recorded is None or fingerprint(on_disk) in (recorded, ours):
        return Config(member, text, ours)
    if ours == recorded:
        return Config(member, on_disk, ours, edited=True)
    raise Fault(
        EDITED_CONFIG,
        f"{path} was edited by hand, and what you ask for would overwrite it",
        why="it differs from what nlctl wrote, and this up would write something else",
        fixes=[fix("make the change in that file too, or remove the file and run up again")],
    )


class Reconciliation:
    """Carries out a plan; on failure it takes back what it did. Run it under the ledger's lock."""

    def __init__(self, ledger: Ledger, ui: Ui, asked: Asked, command: str = "up") -> None:
        self._ledger = ledger
        self._ui = ui
        self._asked = asked
        self._command = command
        self._backend = backends.of(ledger, backends.DOCKER if asked.containers else backends.PROCESS)
        self._began = time.monotonic()
        self._deadline = self._began + asked.wait_seconds

    def reports(self) -> list[Report] | None:
        """What runs; parts that lost their supervisor are ended first."""
        reports = self._backend.reports()
        if reports is None and (orphans := self._backend.sweep(_UNDO_SECONDS)):
            self._ui.say(f"{orphans} parts lost their supervisor; they were ended")
        return reports

    @staticmethod
    def look(ledger: Ledger) -> list[Report] | None:
        """What runs, without touching anything."""
        return backends.of(ledger).reports() if ledger.exists else None

    def carry_out(self, made: Plan, before: Sequence[Report] | None, grace_seconds: float = _DRAIN_SECONDS) -> None:
        """Make it so, wait until it is, and prove it. Raises Fault after undoing.

        Parts that go, or start anew, may finish what they do for `grace_seconds`.
        """
        undo = _Undo(self._ledger, before)
        self._judge_edited(made)
        try:
            self._write(made)
            self._backend.start()
            self._backend.apply(made.wanted(self._ledger), grace_seconds)
            if self._asked.wait:
                self._until_proven(made)
        except BaseException:
            if not self._asked.keep_on_fail:
                undo.run(self._backend)
            raise

    @property
    def seconds(self) -> float:
        """How long it took so far."""
        return time.monotonic() - self._began

    def _judge_edited(self, made: Plan) -> None:
        """A config that a person changed is judged before a running part is stopped for it."""
        edited = [self._ledger.config(c.member.name) for c in made.configs if c.edited]
        changing = {step.member for step in made.steps if step.changes}
        if paths := [path for path in edited if path.stem in changing]:
            from nlctl.launch.judged import judge

            judge(paths)

    def _write(self, made: Plan) -> None:
        self._ledger.prepare()
        written = [config for config in made.configs if not config.edited]
        for config in written:
            path = self._ledger.config(config.member.name)
            if not path.exists() or path.read_text(encoding="utf-8") != config.text:
                write(path, config.text)
        # Proven again only once the canary is back.
        self._save(made, proven=False)
        self._ui.step(self._command, "configs", f"configs written        {self._ledger.configs}", files=len(written))

    def _save(self, made: Plan, *, proven: bool) -> None:
        old = self._ledger.load()
        generated = {config.member.name: config.generated for config in made.configs}
        wish = made.wish
        created = old.created if old else time.time()
        shape = (wish.name, wish.workers, wish.cas_size, wish.ports)
        properties = (wish.offers, wish.knows, str(made.templates) if made.templates else None)
        self._ledger.save(Record(*shape, created, generated, wish.cas_processes, proven, *properties, made.containers))

    def _until_proven(self, made: Plan) -> None:
        importing = threading.Thread(target=_import_canary, name="import")
        if self._asked.prove and made.unproven:
            importing.start()
        try:
            self._until_ready(made)
        finally:
            if importing.ident is not None:
                importing.join()
        if self._asked.prove:
            if made.unproven:
                self._canary(made)
            self._save(made, proven=True)

    def _canary(self, made: Plan) -> None:
        from nlctl.launch.canary import prove

        workers = made.unproven
        self._ui.waiting("canary: an action on every worker")
        prove(made.wish.ports, workers, max(_CANARY_SECONDS, self._deadline - time.monotonic()))
        count = len(workers)
        which = "workers" if count == len(made.workers) else "new workers"
        text = f"canary                 ran on {count}/{count} {which}; output read back; second run was a cache hit"
        self._ui.step(self._command, "canary", f"{text}   {self.seconds:.1f}s", workers=count, ms=self._ms())

    def _until_ready(self, made: Plan) -> None:
        wanted = {config.member.name: config.fingerprint for config in made.configs}
        shown: set[str] = set()
        latest: dict[str, Report] = {}
        leaving = {step.member for step in made.steps if step.sign is Sign.REMOVE}
        drained = any(step.sign in (Sign.REMOVE, Sign.CHANGE) for step in made.steps)
        for report in self._backend.watch(self._deadline + (_DRAIN_SECONDS if drained else 0)):
            latest[report.name] = report
            if report.name in wanted and report.fingerprint == wanted[report.name]:
                self._look_at(report, shown)
            gone = all(latest[name].state == "gone" for name in leaving if name in latest)
            if gone and wanted.keys() <= shown:
                break
            self._ui.waiting(_pending(wanted, shown, leaving))
        if missing := [name for name in wanted if name not in shown]:
            raise self._late(missing) if self._backend.reports() is not None else lost(self._ledger)
        if leaving:
            self._ui.step(
                self._command, "removed", f"removed                {', '.join(sorted(leaving))}", state="gone"
            )
        if workers := made.workers:
            text = f"workers registered     {len(workers)}/{len(workers)}   {self.seconds:.1f}s"
            self._ui.step(self._command, "workers", text, count=len(workers), ms=self._ms())

    def _look_at(self, report: Report, shown: set[str]) -> None:
        if report.state in ("backoff", "failed"):
            raise self._failed(report)
        if report.state != "ready" or report.name in shown:
            return
        shown.add(report.name)
        if not report.name.startswith("worker-"):
            text = f"{report.name + ' ready':<23}{report.place}   {self.seconds:.1f}s"
            self._ui.step(self._command, report.name, text, pid=report.pid, ms=self._ms())

    def _failed(self, report: Report) -> Fault:
        self._backend.gather_logs()
        log = self._ledger.log(report.name)
        return Fault(
            PART_FAILED,
            f"{report.name} did not start",
            why=f"it ended with {report.last_exit}; its last log lines are below",
            fixes=[
                fix("keep what was started to look into it", "nlctl", "up", "--keep-on-fail"),
                fix(f"run it by hand: nlserver {report.config}") if self._asked.keep_on_fail else fix(f"log: {log}"),
            ],
            log=tail(self._ledger, report.name),
        )

    def _late(self, missing: Sequence[str]) -> Fault:
        self._backend.gather_logs()
        return Fault(
            NOT_READY,
            f"not ready within {self._asked.wait_seconds:g}s: {', '.join(missing[:10])}",
            why=f"the last log lines of {missing[0]} are below",
            fixes=[fix("allow more time", "nlctl", "up", "--wait-timeout", f"{self._asked.wait_seconds * 2:g}s")],
            log=tail(self._ledger, missing[0]),
        )

    def _ms(self) -> int:
        return int(self.seconds * 1000)


class _Undo:
    """What there was before, and the way back to it."""

    def __init__(self, ledger: Ledger, before: Sequence[Report] | None) -> None:
        self._ledger = ledger
        self._before = before
        self._record = ledger.load()
        paths = list(ledger.configs.glob("*.json5")) if ledger.configs.exists() else []
        self._texts = {path: path.read_text(encoding="utf-8") for path in paths}

    def run(self, backend: Backend) -> None:
        """Only what this run made goes: a new cluster altogether, new members of an old one."""
        for path in self._ledger.configs.glob("*.json5"):
            if path not in self._texts:
                path.unlink()
        for path, text in self._texts.items():
            write(path, text)
        if self._record is not None:
            self._ledger.save(self._record)
        if self._before is None:
            for _ in backend.stop(_UNDO_SECONDS, time.monotonic() + 2 * _UNDO_SECONDS):
                pass
        else:
            backend.apply([one.wanted for one in self._before], _UNDO_SECONDS)
        if self._record is None:
            backend.forget(data=True)
            self._ledger.forget(data=True)


def _pending(wanted: Mapping[str, Any], shown: set[str], leaving: set[str]) -> str:
    left = [name for name in wanted if name not in shown]
    return "waiting for " + ", ".join(left or sorted(leaving))


def _import_canary() -> None:
    """Import gRPC early: it takes a while, and the supervisor is busy with the parts meanwhile."""
    import nlctl.launch.canary  # noqa: F401
