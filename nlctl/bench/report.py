"""From what was measured to rows, and from rows to the cells of a table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nlctl.bench.figures import ratios
from nlctl.bench.orders import Tally
from nlctl.bench.outcome import Measured, Round, calls_per_second
from nlctl.bench.row import Row, median, spread

_MILLI: Final = 1e-6
"""Nanoseconds to milliseconds."""
_MICRO: Final = 1e6


def rows(measured: Sequence[Measured]) -> list[Row]:
    """One row for each target of one line, in this order."""
    beside = next((one for one in measured if one.target.is_bare), None)
    return [_row(one, beside) for one in measured]


def _row(one: Measured, beside: Measured | None) -> Row:
    rates = [calls_per_second(each) for each in one.rounds]
    against = [calls_per_second(each) for each in beside.rounds] if beside is not None and rates else []
    shares = ratios(rates, against) if against and all(against) else []
    server, bare_server = _server_cpu(one.rounds), _server_cpu(beside.rounds) if beside is not None else None
    tally = one.latency.tally if one.latency else Tally()
    errors = _errors(one)
    return Row(
        suite=one.line.suite,
        line=one.line.name,
        what=one.line.what,
        target=one.target.name,
        bare=one.target.is_bare,
        rounds=rates,
        of_bare_rounds=shares,
        value=median(rates),
        spread=spread(rates),
        of_bare=median(shares),
        of_bare_cpu=bare_server / server if bare_server and server else None,
        bytes_per_second=_bytes_per_second(one.rounds),
        calls=sum(each.tally.calls for each in one.rounds),
        at_once=one.line.at_once,
        loop_p50_ms=_milliseconds(_closed(one.rounds).times.quantile(0.5)),
        server_cpu_us=server,
        client_cpu_us=_client_cpu(one.rounds),
        open_rate=one.rate if one.latency else None,
        open_calls=tally.calls,
        p50_ms=_milliseconds(tally.times.quantile(0.5)),
        p95_ms=_milliseconds(tally.times.quantile(0.95)),
        p99_ms=_milliseconds(tally.times.quantile(0.99)),
        most_ms=_milliseconds(tally.times.largest()),
        lag_p99_ms=_milliseconds(tally.lags.quantile(0.99)),
        errors=errors,
        cannot=one.cannot,
        note=f"cannot: {one.cannot}" if one.cannot else ", ".join(f"{n} {name}" for name, n in errors.items()) or None,
    )


def timed(suite: str, line: str, what: str, target: str, seconds: Sequence[float], bare: Sequence[float] = ()) -> Row:
    """A row of how long something takes; `bare` are the times of what stands beside it."""
    shares = ratios(bare, seconds) if bare else []
    return Row(
        suite=suite,
        line=line,
        what=what,
        target=target,
        unit="s",
        more_is_better=False,
        rounds=seconds,
        of_bare_rounds=shares,
        value=median(seconds),
        spread=spread(seconds),
        of_bare=median(shares),
        calls=len(seconds),
    )


def _bytes_per_second(rounds: Sequence[Round]) -> float | None:
    if not any(one.tally.moved_bytes for one in rounds):
        return None
    return median([one.tally.moved_bytes / one.tally.seconds for one in rounds])


def _closed(rounds: Sequence[Round]) -> Tally:
    return Tally.together([one.tally for one in rounds])


def _client_cpu(rounds: Sequence[Round]) -> float | None:
    whole = _closed(rounds)
    return whole.cpu_seconds / whole.calls * _MICRO if whole.calls else None


def _server_cpu(rounds: Sequence[Round]) -> float | None:
    """Processor time of one call in microseconds, over all rounds."""
    calls = sum(one.tally.calls for one in rounds)
    known = [one.server_cpu_seconds for one in rounds if one.server_cpu_seconds is not None]
    return sum(known) / calls * _MICRO if calls and known else None


def _errors(one: Measured) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in [*one.rounds, *([one.latency] if one.latency else [])]:
        for name, count in each.tally.errors.items():
            found[name] = found.get(name, 0) + count
    return found


def _milliseconds(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds * _MILLI


def sentence(row: Row) -> str:
    """One finished row, for whoever watches."""
    head = f"{row.line} {row.target}"
    if row.value is None:
        return f"{head}: {row.note}"
    share = f", {human_share(row.of_bare)} of bare" if row.of_bare is not None and not row.bare else ""
    bulk = f", {human_megabytes(row.bytes_per_second)} MB/s" if row.bytes_per_second else ""
    return f"{head}: {human_value(row.value)} {row.unit}{bulk}{share}"


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


def human_percent(share: float | None) -> str:
    """0.15 is `+15%`."""
    return "-" if share is None else f"{share:+.0%}"
