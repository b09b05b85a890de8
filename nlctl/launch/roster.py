"""Which member shall run now, which shall end, and when to look again: the supervisor's decisions. Pure.

Told events and the time, it answers effects; it never waits. A member that ends by itself is started again after 1,
2, 4 ... 30 seconds; the delay begins anew once it served for a minute. One whose config is wrong (exit 13) is not
started again until its config changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

LONGEST_DELAY_SECONDS: Final = 30.0
STABLE_SECONDS: Final = 60.0
_BAD_CONFIG: Final = 13


class State(StrEnum):
    """Where a member stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    FAILED = "failed"


_ALIVE: Final = frozenset({State.STARTING, State.READY, State.STOPPING})


@dataclass(frozen=True)
class Wanted:
    """A member to run: its config file, the fingerprint of what it runs, the members that must be ready first, how
    many processes serve it, and the socket where it answers operators.
    """

    name: str
    config: str
    fingerprint: str
    after: tuple[str, ...] = ()
    processes: int = 1
    admin_socket: str = ""


@dataclass(frozen=True)
class Start:
    """Start this member's process; answer with `started`."""

    wanted: Wanted


@dataclass(frozen=True)
class Terminate:
    """Ask the process to end in order; `kill` asks no more."""

    name: str
    pid: int
    kill: bool = False


@dataclass(frozen=True)
class Changed:
    """Tell the watchers about this member; `gone` when it is no longer one."""

    name: str
    gone: bool = False


Effect = Start | Terminate | Changed


@dataclass
class Unit:
    """A member's book. `wanted` is None once it shall go; times are the monotonic clock's."""

    wanted: Wanted | None
    runs: Wanted
    state: State = State.WAITING
    pid: int | None = None
    since: float = 0.0
    ready_at: float | None = None
    failures: int = 0
    restarts: int = 0
    not_before: float = 0.0
    kill_at: float | None = None
    anew: bool = False
    last_exit: str = ""


@dataclass
class Roster:
    """All members. Every method answers the effects to carry out, in order."""

    units: dict[str, Unit] = field(default_factory=dict)
    grace_seconds: float = 30.0

    def apply(self, wanted: Sequence[Wanted], now: float, grace_seconds: float) -> list[Effect]:
        """Bring the members to this set: others end, changed ones start anew, failing ones get another chance."""
        self.grace_seconds = grace_seconds
        names = {one.name for one in wanted}
        for name, unit in self.units.items():
            if name not in names:
                unit.wanted = None
        for one in wanted:
            unit = self.units.setdefault(one.name, Unit(one, one, since=now))
            unit.wanted = one
            if unit.state in (State.BACKOFF, State.FAILED):
                unit.state, unit.not_before, unit.failures, unit.since = State.WAITING, now, 0, now
        return self.settle(now)

    def restart(self, fingerprints: Mapping[str, str], now: float, grace_seconds: float) -> list[Effect]:
        """Start these anew, whether or not what they run changed; "" leaves a fingerprint as it is.

        Raises KeyError for a name that is no member.
        """
        self.grace_seconds = grace_seconds
        for unit in [self.units[name] for name in fingerprints]:
            if unit.wanted is not None and (fresh := fingerprints[unit.wanted.name]):
                unit.wanted = replace(unit.wanted, fingerprint=fresh)
            if unit.state in _ALIVE:
                unit.anew = True
            elif unit.state is not State.WAITING:
                unit.state, unit.not_before, unit.failures, unit.since = State.WAITING, now, 0, now
        return self.settle(now)

    def started(self, name: str, pid: int, now: float) -> list[Effect]:
        """The process of a `Start` exists."""
        unit = self.units[name]
        unit.pid, unit.since, unit.ready_at, unit.anew = pid, now, None, False
        return [Changed(name)]

    def ready(self, name: str, now: float) -> list[Effect]:
        """The process says that it serves."""
        unit = self.units[name]
        if unit.state is not State.STARTING:
            return []
        unit.state, unit.ready_at = State.READY, now
        return [Changed(name), *self.settle(now)]

    def exited(self, name: str, status: int, now: float) -> list[Effect]:
        """The process ended: its exit code, or minus the signal that ended it."""
        unit = self.units[name]
        asked = unit.state is State.STOPPING
        unit.last_exit = f"exit {status}" if status >= 0 else f"signal {-status}"
        served = unit.ready_at is not None and now - unit.ready_at >= STABLE_SECONDS
        unit.pid, unit.kill_at, unit.ready_at, unit.since = None, None, None, now
        if asked:
            unit.state, unit.not_before = State.WAITING, now
        elif status == _BAD_CONFIG:
            unit.state = State.FAILED
        else:
            unit.failures = 1 if served else unit.failures + 1
            unit.state, unit.not_before = State.BACKOFF, now + delay_seconds(unit.failures)
        return [Changed(name), *self.settle(now)]

    def settle(self, now: float) -> list[Effect]:
        """What is due now."""
        effects: list[Effect] = []
        for name in list(self.units):
            # Settling one may already have removed another.
            if (unit := self.units.get(name)) is not None:
                effects += self._settle_one(name, unit, now)
        return effects

    def deadline(self) -> float | None:
        """When to call `settle` again, if nothing else happens."""
        times = [unit.kill_at for unit in self.units.values() if unit.kill_at is not None]
        times += [unit.not_before for unit in self.units.values() if unit.state is State.BACKOFF]
        return min(times, default=None)

    @property
    def empty(self) -> bool:
        """Whether no member is left."""
        return not self.units

    def _settle_one(self, name: str, unit: Unit, now: float) -> list[Effect]:
        match unit.state:
            case State.WAITING | State.BACKOFF | State.FAILED if unit.wanted is None:
                del self.units[name]
                return [Changed(name, gone=True), *self.settle(now)]
            case State.WAITING | State.BACKOFF if self._may_start(unit, now):
                assert unit.wanted is not None
                unit.restarts += 1 if unit.last_exit else 0
                unit.state, unit.runs = State.STARTING, unit.wanted
                return [Start(unit.wanted)]
            case State.STARTING | State.READY if unit.pid is not None and self._must_end(name, unit):
                unit.state, unit.kill_at, unit.since = State.STOPPING, now + self.grace_seconds, now
                return [Changed(name), Terminate(name, unit.pid)]
            case State.STOPPING if unit.kill_at is not None and unit.pid is not None and now >= unit.kill_at:
                unit.kill_at = None
                return [Terminate(name, unit.pid, kill=True)]
        return []

    def _may_start(self, unit: Unit, now: float) -> bool:
        return now >= unit.not_before and all(self._serves(name) for name in (unit.wanted or unit.runs).after)

    def _serves(self, name: str) -> bool:
        """Whether it is ready and stays so."""
        unit = self.units.get(name)
        return unit is not None and unit.state is State.READY and not _is_due(unit)

    def _must_end(self, name: str, unit: Unit) -> bool:
        return _is_due(unit) and not self._leaned_on(name)

    def _leaned_on(self, name: str) -> bool:
        """Whether a process that ends anyhow still needs this one, so that workers finish before the scheduler goes."""
        return any(
            name in other.runs.after and other.state in _ALIVE and _is_due(other) for other in self.units.values()
        )


def _is_due(unit: Unit) -> bool:
    """Whether the process of this member is to end: the member goes, changes, or starts anew."""
    if unit.wanted is None or unit.anew:
        return True
    return unit.wanted.fingerprint != unit.runs.fingerprint


def delay_seconds(failures: int) -> float:
    """How long to wait before the next start after so many failures in a row."""
    return min(2.0 ** (failures - 1), LONGEST_DELAY_SECONDS)
