"""Starting parts anew: all that were asked for at once, or one after the other so that the cluster goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nlserver.errors import Error

from nlctl.faults import NOT_READY, PART_FAILED, Fault, fix
from nlctl.launch import draining
from nlctl.launch.backend import Backend, Report
from nlctl.launch.backends.processes import lost, tail
from nlctl.launch.ledger import Ledger
from nlctl.launch.wish import Ports, running_fingerprint
from nlctl.ui import Ui

_SIGN_OFF_SECONDS: Final = 5.0
_CANARY_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Limits:
    """How long parts may finish what they do, and how long new ones may take until they are ready."""

    finish_seconds: float
    ready_seconds: float


class Restart:
    """Starts parts of one cluster anew. Run it under the ledger's lock."""

    def __init__(self, ledger: Ledger, ports: Ports, backend: Backend, ui: Ui, limits: Limits) -> None:
        self._ledger = ledger
        self._ports = ports
        self._backend = backend
        self._ui = ui
        self._limits = limits
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it took so far."""
        return time.monotonic() - self._began

    def together(self, names: Sequence[str]) -> None:
        """All at once: workers finish first and start last. Raises Fault PART_FAILED or NOT_READY."""
        self._anew(names, self._limits.finish_seconds)

    def rolling(self, names: Sequence[str]) -> None:
        """One after the other; a worker finishes what it runs, starts anew and proves itself before the next.

        Raises Fault PART_FAILED, NOT_READY or CANARY_FAILED; then those that follow are as they were.
        """
        from nlctl.launch.canary import prove

        for name in names:
            if not name.startswith("worker-"):
                self._anew([name], self._limits.finish_seconds)
                continue
            self._anew([name], self._finished(name))
            prove(self._ports, [name], _CANARY_SECONDS)
            self._ui.step("restart", name, f"{name} proved itself by a canary   {self.seconds:.1f}s", state="proven")

    def _finished(self, name: str) -> float:
        """Let this worker finish; answers how many seconds it may take to end: none where it had them in vain."""
        endpoint, running = self._ports.urls[2], 0
        try:
            drained = draining.drain(endpoint, [name])
            for seen in draining.until_idle(endpoint, drained, time.monotonic() + self._limits.finish_seconds):
                match seen:
                    case draining.Waiting(running):
                        self._ui.waiting(f"{name} still runs {running} actions")
                    case _:
                        running = 0
        except Error:
            # The scheduler is away, or it is NativeLink's, which tells nothing of workers. This one finishes what it
            # runs when it is told to end.
            return self._limits.finish_seconds
        except BaseException:
            draining.release(endpoint, [name])
            raise
        if running:
            self._ui.warn(f"{name} still runs {running} actions at the deadline; others run them again")
        return 0.0 if running else _SIGN_OFF_SECONDS

    def _anew(self, names: Sequence[str], grace_seconds: float) -> None:
        reports = [one for one in self._backend.reports() or () if one.name in names]
        before = {one.name: one for one in reports}
        # What it will run is what the file says now, so that nobody takes it for out of date afterwards.
        self._backend.restart({one.name: on_disk(one) for one in reports}, grace_seconds)
        waiting = set(names)
        for report in self._backend.watch(time.monotonic() + grace_seconds + self._limits.ready_seconds):
            if report.name not in waiting or report.run == before[report.name].run:
                continue
            if report.state in ("backoff", "failed"):
                self._backend.gather_logs()
                raise part_failed(self._ledger, report.name, report.last_exit)
            if report.state == "ready":
                waiting.discard(report.name)
                text = f"{report.name} ready   {report.place}   {self.seconds:.1f}s"
                self._ui.step("restart", report.name, text, pid=report.pid, was=before[report.name].pid)
            if not waiting:
                return
            self._ui.waiting(f"waiting for {', '.join(sorted(waiting))}")
        if self._backend.reports() is None:
            raise lost(self._ledger)
        raise self._late(sorted(waiting)[0])

    def _late(self, name: str) -> Fault:
        self._backend.gather_logs()
        more = fix("allow more time", "nlctl", "restart", name, "--wait-timeout", "5m")
        return Fault(
            NOT_READY,
            f"{name} is not ready again within {self._limits.ready_seconds:g}s",
            fixes=[more, fix("see what it says", "nlctl", "logs", name)],
            log=tail(self._ledger, name),
        )


def on_disk(report: Report) -> str:
    """The fingerprint of what this member would run if it started now; "" when its config cannot be read.

    And "" for a container, whose fingerprint counts more than the config in.
    """
    if report.container is not None:
        return ""
    try:
        text = Path(report.config).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    return running_fingerprint(text, report.processes)


def part_failed(ledger: Ledger, name: str, last_exit: str | None) -> Fault:
    """A part ended while it started."""
    return Fault(
        PART_FAILED,
        f"{name} did not start",
        why=f"it ended with {last_exit}; its last log lines are below",
        fixes=[fix("see all that it says", "nlctl", "logs", name), fix("mend it", "nlctl", "up")],
        log=tail(ledger, name),
    )
