"""What the scripts of this folder find out: figures, each beside what is wanted of it."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nlctl.bench.report import human_value


@dataclass(frozen=True)
class Finding:
    """One figure. `holds` tells whether it is as wanted, None where nothing is."""

    what: str
    measured: str
    wanted: str = ""
    holds: bool | None = None


def figure(
    what: str, values: Sequence[float], unit: str, *, most: float | None = None, least: float | None = None
) -> Finding:
    """The median of these values with its range; wanted is `most` or `least`."""
    middle = statistics.median(values)
    reach = f" ({human_value(min(values))} to {human_value(max(values))})" if len(values) > 1 else ""
    measured = f"{human_value(middle)} {unit}{reach}"
    if most is not None:
        return Finding(what, measured, f"at most {human_value(most)} {unit}", middle <= most)
    if least is not None:
        return Finding(what, measured, f"at least {human_value(least)} {unit}", middle >= least)
    return Finding(what, measured)


HEAD: Final = "| what | measured | wanted | |\n|---|---|---|---|"
"""The head of a table whose rows `show` prints."""


def show(one: Finding) -> None:
    """Print it as a row of a Markdown table."""
    verdict = {None: "", True: "holds", False: "**does not hold**"}[one.holds]
    print(f"| {one.what:<84} | {one.measured:<28} | {one.wanted:<22} | {verdict} |", flush=True)


def note(text: str) -> None:
    """Tell whoever waits what is being done."""
    print(f"# {text}", file=sys.stderr, flush=True)


def memory_mib(pid: int, kind: str = "Pss") -> float:
    """Memory of a process in MiB: `Pss` is what is its own and its part of what is shared, `Rss` all that it maps."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{kind}:"))) / 1024


def peak_mib(pid: int) -> float:
    """The most resident memory that a process ever had, in MiB, since `forget_peak`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024


def forget_peak(pid: int) -> None:
    """Count the peak from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
