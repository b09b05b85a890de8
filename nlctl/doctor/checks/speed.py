"""Whether the server is as fast as it was when a result of `nlctl bench` was saved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import Evidence, Finding, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level

if TYPE_CHECKING:
    from nlctl.bench.row import Row

_LINES: Final = ("find-100", "find-1", "batch-read-10x1KiB")
"""What is measured anew, the first that the saved result has: short calls, which everything else is made of."""
_ROUND_SECONDS: Final = 0.15
_ROUNDS: Final = 5
_LOST: Final = 0.5
_SOURCE: Final = "nlctl bench"


class Speed(NamedTuple):
    """A line of a saved result, measured anew."""

    saved: str
    row: Row


async def _speed(site: Site) -> Speed:
    from nlctl.session import state_home

    return await asyncio.to_thread(_measured, site, state_home(site.environment))


def _measured(site: Site, state: Path) -> Speed:
    from nlctl.bench import lines, report
    from nlctl.bench.baseline import compared
    from nlctl.bench.crew import Crew
    from nlctl.bench.orders import Target
    from nlctl.bench.rounds import Bench, Effort

    name, old = _saved(state)
    target = site.target
    there = {row.line for row in old if not row.bare and row.rounds}
    wanted = next((one for one in _LINES if one in there), None)
    if wanted is None:
        raise NotHere(f"the saved result {name} has no line that can be measured in a moment")
    [line] = lines.chosen(lines.cas(), [wanted])
    aim = Target(target.cluster or "server", target.cas, target.executor, target.instance)
    with Crew(1) as crew:
        measured = Bench(crew, [aim], Effort(_ROUND_SECONDS, _ROUNDS), lambda _: None).measure(line)
    [row] = [row for row in compared(report.rows(measured), old, _LOST) if not row.bare]
    return Speed(name, row)


def _saved(state: Path) -> tuple[str, Sequence[Row]]:
    """The latest result that was saved. Raises NotHere, Fault."""
    from nlctl.bench.shelf import Shelf

    files = sorted((state / "bench").glob("*.json"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise NotHere("no result of `nlctl bench cas --save NAME` is there to compare with")
    return files[-1].stem, Shelf(state).rows(files[-1].stem)


def judge_speed(speed: Speed) -> Iterable[Finding]:
    """Whether half of the speed is lost, beyond chance."""
    row = speed.row
    if row.cannot or row.change is None:
        return [
            Finding(Verdict.INFO, f"{row.line} could not be measured beside {speed.saved}: {row.cannot or 'alone'}")
        ]
    value, was = f"{row.value or 0:.0f} {row.unit}", f"{row.was or 0:.0f} {row.unit}"
    evidence = (
        Evidence("now", value, f"{_SOURCE} {row.line}, {len(row.rounds)} short rounds"),
        Evidence("saved", was, speed.saved),
    )
    if row.regressed:
        sure = "" if row.change_low is None else f", with 95 % confidence at least {row.change_low:.0%}"
        what = f"{row.line} has lost {row.change:.0%} of the speed that {speed.saved} kept{sure}"
        because = "compared as shares of what bare gRPC does on this machine at the same time, so its load cancels out"
        remedies = (
            fix("measure it well", "nlctl", "bench", "cas", "--compare", speed.saved),
            fix("see what the parts do", "nlctl", "top"),
        )
        return [Finding(Verdict.WARNING, what, because, evidence, remedies, certain=False)]
    return [ok(f"{row.line} is as fast as {speed.saved} kept it, as far as a moment tells", *evidence)]


CHECKS: Final = (
    Check(
        "NLD-PERF-01",
        "speed",
        "the server is as fast as it was",
        Level.STANDARD,
        "one line of the latest saved benchmark in short rounds, beside bare gRPC; skipped where none was saved",
        "warning: half of the speed is lost, beyond chance",
        "`nlctl bench cas --compare NAME`",
        _speed,
        judge_speed,
        needs=("NLD-CAS-01", "NLD-EXE-01"),
        seconds=20.0,
        by_hand="what became slower is found by measuring",
    ),
)
