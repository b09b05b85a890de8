"""`nlctl bench`: how fast a server is, as a share of what gRPC itself can do on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.faults import UNREACHABLE, USAGE, Fault, fix
from nlctl.session import Session
from nlctl.ui import Column

if TYPE_CHECKING:
    from nlctl.bench.lines import Line
    from nlctl.bench.orders import Target
    from nlctl.bench.rounds import Effort

EPILOG = """\b
Examples:
  nlctl bench cas                                        the cluster that runs here
  nlctl bench cas --size 64K -j 16 --duration 5s
  nlctl bench cas ac --target ours=grpc://127.0.0.1:50051 --target theirs=grpc://127.0.0.1:8980
\b
Exit status: 0 measured, 4 unreachable, 10 no line could be measured, 11 some calls failed
"""
SUITES: Final = ("cas", "ac")


def command(
    ctx: typer.Context,
    suite: Annotated[list[str], typer.Argument(help=f"What to measure: {', '.join(SUITES)}.", metavar="SUITE...")],
    target: Annotated[
        list[str] | None, typer.Option(help="[NAME=]URL of a server; several are measured side by side.")
    ] = None,
    line: Annotated[
        list[str] | None, typer.Option(help="Only lines that match, such as 'read-*'; may be repeated.")
    ] = None,
    size: Annotated[list[str] | None, typer.Option(help="Blobs of this size only; may be repeated.")] = None,
    duration: Annotated[str, typer.Option(help="How long a round is.")] = "1s",
    count: Annotated[int, typer.Option(help="Calls of a round, in place of its length.", min=0)] = 0,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", help="Calls at a time.", min=1)] = None,
    rounds: Annotated[int, typer.Option(help="How many rounds.", min=1)] = 3,
    loaders: Annotated[int | None, typer.Option(help="How many load processes; one for two cores.", min=1)] = None,
    rate: Annotated[float, typer.Option(help="Calls a second of the open loop; half of what the slowest can.")] = 0.0,
    compressible: Annotated[float, typer.Option(help="Share of each blob that is zeros.", min=0.0, max=1.0)] = 0.0,
) -> int:
    """Measure a server, next to a bare gRPC server on this machine, in turns.

    Rates are medians of closed-loop rounds. Latencies are of an open loop, in which calls are due at instants that are
    fixed before, so that a slow answer delays no question. OF BARE is the share of the rate that bare gRPC has for
    messages of the same size. Everything that is read is checked, outside of what is timed by its hash.
    """
    session: Session = ctx.obj
    from nlctl.bench.rounds import Effort

    lines = _lines(suite, size or (), line or (), jobs)
    targets = _targets(session, target or ())
    effort = Effort(seconds(duration), rounds, calls=count, rate=rate, compressible=compressible)
    rows = list(_measured(session, lines, targets, effort, loaders))
    session.ui.items("nlctl.bench/v1", rows, _columns(), facts=_facts(effort))
    return _exit(rows)


def _lines(suites: Sequence[str], sizes: Sequence[str], patterns: Sequence[str], jobs: int | None) -> list[Line]:
    from nlctl.bench import lines
    from nlctl.sizes import parse

    made: list[Line] = []
    for suite in suites:
        match suite:
            case "cas":
                made += lines.cas([parse(one) for one in sizes])
            case "ac":
                made += lines.ac()
            case _:
                raise Fault(USAGE, f"there is no suite {suite!r}", fixes=[fix(f"choose of {', '.join(SUITES)}")])
    if not (kept := lines.chosen(made, patterns)):
        names = ", ".join(one.name for one in made)
        raise Fault(USAGE, "no line matches", why=f"there are {names}", fixes=[fix("give one of these names")])
    return lines.with_at_once(kept, jobs)


def _targets(session: Session, words: Sequence[str]) -> list[Target]:
    from nlserver.reapi.channel import target_of

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


def _measured(
    session: Session, lines: Sequence[Line], targets: Sequence[Target], effort: Effort, loaders: int | None
) -> Iterator[dict[str, Any]]:
    import os

    from nlctl.bench import report
    from nlctl.bench.crew import Crew
    from nlctl.bench.rounds import Bench

    with Crew(loaders or max(1, (os.cpu_count() or 1) // 2)) as crew:
        for target in targets:
            if (reason := crew.nobody_at(target)) is not None:
                raise Fault(
                    UNREACHABLE, f"nobody answers at {target.cas}", why=reason, fixes=[fix("check the address")]
                )
        bench = Bench(crew, targets, effort, session.ui.waiting)
        for line in lines:
            items = report.items(bench.measure(line), crew.bare)
            for item in items:
                session.ui.step("bench", item["line"], report.sentence(item), target=item["target"])
                yield item


def _facts(effort: Effort) -> dict[str, Any]:
    from dataclasses import asdict

    from nlctl.bench.machine import facts

    return {"machine": facts(), "effort": asdict(effort)}


def _columns() -> tuple[Column, ...]:
    from nlctl.bench import report

    return (
        Column("LINE", "line"),
        Column("TARGET", "target"),
        Column("VALUE", "value", report.human_value),
        Column("UNIT", "unit"),
        Column("SPREAD", "spread", report.human_share),
        Column("MB/S", "bytes_per_second", report.human_megabytes),
        Column("OF BARE", "of_bare", report.human_share),
        Column("P50 MS", "p50_ms", report.human_value),
        Column("P95 MS", "p95_ms", report.human_value),
        Column("P99 MS", "p99_ms", report.human_value),
        Column("CPU US", "server_cpu_us", report.human_value),
        Column("CLIENT US", "client_cpu_us", report.human_value),
        Column("NOTE", "note"),
    )


def _exit(rows: Sequence[dict[str, Any]]) -> int:
    theirs = [row for row in rows if not row["bare"]]
    if all(row["cannot"] for row in theirs):
        return Exit.UNSUPPORTED
    return Exit.PARTIAL if any(row["errors"] for row in theirs) else Exit.OK
