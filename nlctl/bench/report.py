"""From what was measured to the items of the document (schema nlctl.bench/v1) and the cells of the table. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Final

from nlctl.bench.figures import ratios
from nlctl.bench.orders import Tally, Target
from nlctl.bench.outcome import Measured, Round, calls_per_second

SCHEMA: Final = "nlctl.bench/v1"
Item = dict[str, Any]
_MILLI: Final = 1e-6
"""Nanoseconds to milliseconds."""
_MICRO: Final = 1e6


def items(measured: Sequence[Measured], bare: Target) -> list[Item]:
    """One item for each target of one line, the bare one last. Keys are always there."""
    beside = next((one for one in measured if one.target == bare), None)
    return [_item(one, beside) for one in measured]


def _item(one: Measured, beside: Measured | None) -> Item:
    rates = [calls_per_second(each) for each in one.rounds]
    against = [calls_per_second(each) for each in beside.rounds] if beside is not None and rates else []
    server = _cpu(one.rounds, server=True)
    bare_server = _cpu(beside.rounds, server=True) if beside is not None else None
    return {
        "suite": one.line.suite,
        "line": one.line.name,
        "what": one.line.what,
        "target": one.target.name,
        "bare": one is beside,
        "unit": "calls/s",
        "more_is_better": True,
        "value": statistics.median(rates) if rates else None,
        "spread": (max(rates) - min(rates)) / statistics.median(rates) if any(rates) else None,
        "rounds": rates,
        "bytes_per_second": _bytes_per_second(one.rounds),
        "of_bare": statistics.median(ratios(rates, against)) if against and all(against) else None,
        "of_bare_cpu": bare_server / server if bare_server and server else None,
        "calls": sum(each.tally.calls for each in one.rounds),
        "at_once": one.line.at_once,
        "client_cpu_us": _cpu(one.rounds, server=False),
        "server_cpu_us": server,
        **_latency(one),
        "errors": _errors(one),
        "cannot": one.cannot,
        "note": _note(one),
    }


def _bytes_per_second(rounds: Sequence[Round]) -> float | None:
    if not any(one.tally.moved_bytes for one in rounds):
        return None
    return statistics.median(one.tally.moved_bytes / one.tally.seconds for one in rounds)


def _cpu(rounds: Sequence[Round], *, server: bool) -> float | None:
    """Processor time of one call in microseconds, over all rounds."""
    calls = sum(one.tally.calls for one in rounds)
    spent = [one.server_cpu_seconds if server else one.tally.cpu_seconds for one in rounds]
    known = [seconds for seconds in spent if seconds is not None]
    return sum(known) / calls * _MICRO if calls and known else None


def _latency(one: Measured) -> Item:
    tally = one.latency.tally if one.latency else Tally()
    times = {f"p{share:g}_ms": tally.times.quantile(share / 100) for share in (50, 95, 99)}
    times |= {"most_ms": tally.times.largest(), "lag_p99_ms": tally.lags.quantile(0.99)}
    shown = {name: None if value is None else value * _MILLI for name, value in times.items()}
    return {"open_rate": one.rate if one.latency else None, "open_calls": tally.calls, **shown}


def _errors(one: Measured) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in [*one.rounds, *([one.latency] if one.latency else [])]:
        for name, count in each.tally.errors.items():
            found[name] = found.get(name, 0) + count
    return found


def _note(one: Measured) -> str | None:
    """Why there are no figures, or which calls failed."""
    if one.cannot:
        return f"cannot: {one.cannot}"
    return ", ".join(f"{count} {name}" for name, count in _errors(one).items()) or None


def sentence(item: Item) -> str:
    """One finished line of a target, for whoever watches."""
    head = f"{item['line']} {item['target']}"
    if item["value"] is None:
        return f"{head}: {item['note']}"
    share = f", {human_share(item['of_bare'])} of bare" if item["of_bare"] is not None and not item["bare"] else ""
    bulk = f", {human_megabytes(item['bytes_per_second'])} MB/s" if item["bytes_per_second"] else ""
    return f"{head}: {human_value(item['value'])} {item['unit']}{bulk}{share}"


def human_value(value: float | None) -> str:
    """Three digits, and all before the point."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def human_megabytes(bytes_per_second: float | None) -> str:
    """Millions of bytes a second."""
    return "-" if bytes_per_second is None else human_value(bytes_per_second / 1e6)


def human_share(share: float | None) -> str:
    """0.7 is `0.70`."""
    return "-" if share is None else f"{share:.2f}"
