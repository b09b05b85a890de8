"""`nlctl bench`: how fast a server is, as a share of what gRPC itself can do on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.faults import REGRESSED, UNREACHABLE, UNREADABLE, USAGE, Fault, fix
from nlctl.session import Session
from nlctl.ui import Column

if TYPE_CHECKING:
    from nlctl.bench.lines import Line
    from nlctl.bench.orders import Target
    from nlctl.bench.rounds import Effort
    from nlctl.bench.row import Row

EPILOG = """\b
Examples:
  nlctl bench cas                      the cluster that runs here
  nlctl bench cas --size 64Ki -j 16 --duration 5s
  nlctl bench cas ac --target ours=grpc://127.0.0.1:50051 --target theirs=grpc://127.0.0.1:8980 --plot both.svg
  nlctl bench cas --save main          and after a change:
  nlctl bench cas --compare main --max-regress 5%
\b
Exit status: 0 measured, 3 no such result, 4 unreachable, 5 worse than allowed, 10 no line could be measured,
11 some calls failed, 13 the file to compare with is no result
"""
SUITES: Final = ("cas", "ac", "exec", "mix", "startup")


def command(
    ctx: typer.Context,
    suite: Annotated[list[str], typer.Argument(help=f"What to measure: {', '.join(SUITES)}.", metavar="SUITE...")],
    target: Annotated[
        list[str] | None, typer.Option(help="[NAME=]URL of a server; several are measured side by side.")
    ] = None,
    line: Annotated[
        list[str] | None, typer.Option(help="Only lines that match, such as 'read-*'; may be repeated.")
    ] = None,
    size: Annotated[list[str] | None, typer.Option(help="cas: blobs of this size only; may be repeated.")] = None,
    duration: Annotated[str, typer.Option(help="How long a round is.")] = "1s",
    count: Annotated[int, typer.Option(help="Calls of a round, in place of its length.", min=0)] = 0,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", help="Calls at a time.", min=1)] = None,
    rounds: Annotated[int, typer.Option(help="How many rounds.", min=1)] = 3,
    loaders: Annotated[int | None, typer.Option(help="How many load processes; one for two cores.", min=1)] = None,
    rate: Annotated[
        float, typer.Option(help="Calls a second of the open loop; by default half of what the slowest can.", min=0.0)
    ] = 0.0,
    compressible: Annotated[float, typer.Option(help="Share of each blob that is zeros.", min=0.0, max=1.0)] = 0.0,
    blobs: Annotated[int, typer.Option(help="startup: blobs in the full store.", min=1)] = 20_000,
    save: Annotated[str, typer.Option(help="Keep the result under this name, or as this path.")] = "",
    compare: Annotated[str, typer.Option(help="Show the change since the result of this name or path.")] = "",
    max_regress: Annotated[str, typer.Option(help="With --compare: the largest loss that is no failure.")] = "10%",
    plot: Annotated[Path | None, typer.Option(help="Draw the result into this SVG file.")] = None,
) -> int:
    """Measure a server, next to a bare gRPC server on this machine, in turns.

    Rates are medians of closed-loop rounds. Latencies are of an open loop, in which calls are due at instants that are
    fixed before, so that a slow answer delays no question. OF BARE is the share of the rate that bare gRPC has for
    messages of the same size; OF CPU is the same in processor time of the server, where that runs here. Everything
    that is read is checked by its size, and outside of what is timed by its hash.
    """
    session: Session = ctx.obj
    from nlctl.bench.baseline import compared
    from nlctl.bench.machine import facts
    from nlctl.bench.rounds import Effort
    from nlctl.bench.row import SCHEMA
    from nlctl.bench.shelf import Shelf

    effort = Effort(seconds(duration), rounds, calls=count, rate=rate, compressible=compressible)
    asked = _asked(session, suite, line or (), size or (), jobs, target or ())
    shelf, limit = Shelf(session.state), _share(max_regress)
    old = shelf.rows(compare) if compare else []
    about = {"machine": facts(), "effort": effort.document()}
    rows = list(_measured(session, asked, effort, loaders, blobs))
    if compare:
        rows = compared(rows, old, limit)
    documents = [row.document() for row in rows]
    if save:
        shelf.keep(save, {**about, "items": documents})
        session.ui.say(f"kept as {save}; after a change: nlctl bench {' '.join(suite)} --compare {save}")
    if plot is not None:
        _draw(plot, rows, about["machine"])
        session.ui.say(f"wrote {plot}")
    session.ui.items(SCHEMA, documents, _columns(comparing=bool(compare)), facts=about)
    _refuse_losses(rows, limit)
    return _exit(rows)


@dataclass(frozen=True)
class _Asked:
    lines: Sequence[Line]
    targets: Sequence[Target]
    startup: bool


def _asked(
    session: Session,
    suites: Sequence[str],
    patterns: Sequence[str],
    sizes: Sequence[str],
    jobs: int | None,
    targets: Sequence[str],
) -> _Asked:
    from nlctl.bench import lines
    from nlctl.sizes import parse

    for suite in suites:
        if suite not in SUITES:
            raise Fault(USAGE, f"there is no suite {suite!r}", fixes=[fix(f"choose of {', '.join(SUITES)}")])
    made = {
        "cas": lines.cas([parse(one) for one in sizes]),
        "ac": lines.ac(),
        "exec": lines.execute(),
        "mix": lines.mix(),
        "startup": [],
    }
    wanted = [one for suite in suites for one in made[suite]]
    kept = lines.chosen(wanted, patterns)
    if wanted and not kept:
        names = ", ".join(one.name for one in wanted)
        raise Fault(USAGE, "no line matches", why=f"there are {names}", fixes=[fix("give one of these names")])
    return _Asked(
        lines.with_at_once(kept, jobs), _targets(session, targets) if wanted else [], startup="startup" in suites
    )


def _targets(session: Session, words: Sequence[str]) -> list[Target]:
    from nlserver.reapi.address import target_of

    from nlctl.bench.orders import Target

    if not words:
        chosen = session.target()
        return [Target(chosen.cluster or "server", chosen.cas, chosen.executor, chosen.instance)]
    made = []
    for number, word in enumerate(words, 1):
        name, equals, url = word.rpartition("=")
        target_of(url)
        made.append(Target(name if equals else f"server-{number}", url, url, session.instance))
    if len({*(one.name for one in made), "bare"}) <= len(made):
        raise Fault(USAGE, "each --target needs a name of its own, and not 'bare'", fixes=[fix("write NAME=URL")])
    return made


def _share(text: str) -> float:
    """`10%` or `0.1`."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise Fault(USAGE, f"{text!r} is no share", fixes=[fix("write 10% or 0.1")])
    return value


def _measured(session: Session, asked: _Asked, effort: Effort, loaders: int | None, blobs: int) -> Iterator[Row]:
    import os

    from nlctl.bench import report, startup
    from nlctl.bench.crew import Crew
    from nlctl.bench.rounds import Bench

    def told(rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            session.ui.step("bench", row.line, report.sentence(row), target=row.target, value=row.value)
            yield row

    with Crew(loaders or max(1, (os.cpu_count() or 1) // 2)) as crew:
        for target in asked.targets:
            if (reason := crew.nobody_at(target)) is not None:
                remedy = fix("check that it runs and that the address is right")
                raise Fault(UNREACHABLE, f"nobody answers at {target.cas}", why=reason, fixes=[remedy])
        bench = Bench(crew, asked.targets, effort, session.ui.waiting)
        for line in asked.lines:
            yield from told(iter(report.rows(bench.measure(line))))
        if asked.startup:
            yield from told(startup.measure(crew, effort.rounds, blobs, session.ui.waiting))


def _draw(path: Path, rows: Sequence[Row], machine: dict[str, Any]) -> None:
    from nlctl.bench.plot import picture

    subtitle = f"{machine['cores']} x {machine['processor']}, Python {machine['python']}, gRPC {machine['grpcio']}"
    try:
        path.write_text(picture(rows, subtitle), encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise Fault(UNREADABLE, f"{path} cannot be written", why=reason, fixes=[fix("check the path")]) from error


def _columns(*, comparing: bool) -> tuple[Column, ...]:
    from nlctl.bench.report import human_megabytes, human_percent, human_share, human_value

    change = (Column("WAS", "was", human_value), Column("WORSE BY", "change", human_percent))
    return (
        Column("LINE", "line"),
        Column("TARGET", "target"),
        Column("VALUE", "value", human_value),
        Column("UNIT", "unit"),
        *(change if comparing else ()),
        Column("SPREAD", "spread", human_share, spare=True),
        Column("MB/S", "bytes_per_second", human_megabytes),
        Column("OF BARE", "of_bare", human_share),
        Column("OF CPU", "of_bare_cpu", human_share, spare=True),
        Column("P50 MS", "p50_ms", human_value),
        Column("P95 MS", "p95_ms", human_value),
        Column("P99 MS", "p99_ms", human_value),
        Column("CPU US", "server_cpu_us", human_value, spare=True),
        Column("CLIENT US", "client_cpu_us", human_value, spare=True),
        Column("NOTE", "note"),
    )


def _refuse_losses(rows: Sequence[Row], limit: float) -> None:
    """Raise Fault REGRESSED when a row is worse than allowed."""
    from nlctl.bench.baseline import sentence

    if lost := [row for row in rows if row.regressed]:
        raise Fault(
            REGRESSED,
            f"{len(lost)} of {sum(not row.bare for row in rows)} lines are worse by more than {limit:.0%}",
            why="\n".join(sentence(row) for row in lost),
            fixes=[fix("measure again on a quiet machine, or allow more with --max-regress")],
        )


def _exit(rows: Sequence[Row]) -> int:
    theirs = [row for row in rows if not row.bare]
    if all(row.cannot for row in theirs):
        return Exit.UNSUPPORTED
    return Exit.PARTIAL if any(row.errors for row in theirs) else Exit.OK
