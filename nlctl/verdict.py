"""What needs attention in a cluster, from facts that others gathered. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nlctl.admin import Overview
from nlctl.launch.backend import Report

_SILENT_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Attention:
    """One thing that is not as it should be, and the command that tells more or mends it."""

    what: str
    command: tuple[str, ...]


def attention(
    reports: Sequence[Report], workers: Sequence[str], seen: Overview | None, trouble: str, now: float
) -> list[Attention]:
    """Everything that keeps a cluster from being healthy. `trouble` says why `seen` is None; "" where nobody tells."""
    found = [_part(one) for one in reports if one.state != "ready"]
    if seen is None and not trouble:
        return found
    if seen is None:
        return [*found, Attention(f"the scheduler does not answer: {trouble}", ("nlctl", "logs", "scheduler"))]
    found += [Attention(f"{one.name}: {one.message}", ("nlctl", "logs")) for one in seen.health if not one.ok]
    names = {one.name for one in seen.workers}
    absent = [name for name in workers if name not in names]
    if absent:
        text = f"not registered with the scheduler: {', '.join(absent)}"
        found.append(Attention(text, ("nlctl", "logs", absent[0])))
    for one in seen.workers:
        if one.state in ("draining", "paused"):
            found.append(Attention(f"{one.name} is {one.state}", ("nlctl", "workers", "ls")))
        if one.last_seen and now - one.last_seen > _SILENT_SECONDS:
            found.append(Attention(f"{one.name} is silent for {now - one.last_seen:.0f}s", ("nlctl", "logs", one.name)))
    return found + _queue(seen)


def _part(report: Report) -> Attention:
    what = f"{report.name} is {report.state}"
    if report.last_exit:
        what += f" after {report.last_exit}"
    if report.retry_in_ms is not None:
        what += f", next start in {report.retry_in_ms / 1000:.0f}s"
    return Attention(what, ("nlctl", "logs", report.name))


def _queue(seen: Overview) -> list[Attention]:
    stuck = [one for one in seen.queued if one.unsatisfiable]
    if not stuck:
        return []
    why = f" ({stuck[0].explanation})" if stuck[0].explanation else ""
    return [Attention(f"{len(stuck)} actions match no worker{why}", ("nlctl", "workers", "ls"))]
