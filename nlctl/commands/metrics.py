"""`nlctl metrics`: every number of a cluster, once, over time, or as Prometheus reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.launch.ledger import write
from nlctl.session import Session
from nlctl.ui import Column
from nlctl.watch.catalogue import METRICS, Sample, samples
from nlctl.watch.curves import Curve, curves, drawn, picture, short
from nlctl.watch.document import moment
from nlctl.watch.exposition import text
from nlctl.watch.facts import Snapshot
from nlctl.watch.gathering import Gatherer
from nlctl.watch.places import gatherer
from nlctl.watch.spans import Line, cut

EPILOG = """\b
Examples:
  nlctl metrics
  nlctl metrics server cache.hit_ratio -o json
  nlctl metrics operations.queued -w --interval 500ms
  nlctl metrics --prom > /var/lib/node_exporter/nlctl.prom
  nlctl metrics server.calls --plot --for 1m
  nlctl metrics server.calls --plot calls.svg
\b
Exit status: 0 shown, 2 no such metric, 4 no cluster is running, 10 this server has no admin API
"""
_COLUMNS: Final = (
    Column("METRIC", "name"),
    Column("LABELS", "labels"),
    Column("VALUE", "value", short),
    Column("UNIT", "unit"),
)
_CHART_LINES: Final = 6
_LEAST_SECONDS: Final = 0.1
Taken = list[tuple[float, Sequence[Sample]]]


def command(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help="Metrics, or the first words of their names; all. FILE.svg for --plot.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again and again.")] = False,
    interval: Annotated[str, typer.Option(help="The time between two looks.")] = "1s",
    prom: Annotated[bool, typer.Option("--prom", help="The text format of Prometheus.")] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Draw them over time, here or into FILE.svg.")] = False,
    span: Annotated[str, typer.Option("--for", help="How long to look before drawing.")] = "30s",
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show the counters and gauges of every part, worker, queue and store under stable names.

    Counters grow from the start of their part; drawn, they are what they grow in a second. With -w off a terminal
    each look is a line of JSON.
    """
    session: Session = ctx.obj
    wanted, file = _split(names or [], plot=plot)
    pause = max(_LEAST_SECONDS, seconds(interval))
    if prom and (plot or watch or session.ui.structured):
        raise Fault(USAGE, "--prom is a format by itself, written once", fixes=[fix("leave -o, -w and --plot out")])
    with gatherer(session, name) as opened:
        source = _Source(opened, wanted, pause)
        if watch and file is None and session.ui.format == "table":
            _live(session, source, plot=plot)
        elif plot:
            _plot(session, source, seconds(span), file)
        elif watch:
            _lines(session, source)
        else:
            _once(session, source.look()[1], prom=prom)
    return Exit.OK


def _split(names: Sequence[str], *, plot: bool) -> tuple[list[str], Path | None]:
    """The metrics that are meant, and the file. Raises Fault USAGE for a name that no metric begins with."""
    import difflib

    files = [name for name in names if plot and name.endswith(".svg")]
    wanted = [name for name in names if name not in files]
    for name in wanted:
        if not any(_meant(metric.name, name) for metric in METRICS):
            close = difflib.get_close_matches(name, [metric.name for metric in METRICS], n=1)
            hints = [fix("did you mean this?", "nlctl", "metrics", close[0])] if close else []
            raise Fault(USAGE, f"there is no metric {name!r}", fixes=[*hints, fix("see all", "nlctl", "metrics", "-q")])
    return wanted, Path(files[0]) if files else None


def _meant(metric: str, name: str) -> bool:
    return metric == name or metric.startswith(f"{name}.")


@dataclass(frozen=True)
class _Source:
    gatherer: Gatherer
    wanted: Sequence[str]
    pause: float

    def look(self) -> tuple[Snapshot, list[Sample]]:
        """The cluster now, and what is wanted of it."""
        now = self.gatherer.take(everything=True)
        meant = [
            one for one in samples(now) if not self.wanted or any(_meant(one.metric.name, name) for name in self.wanted)
        ]
        return now, meant

    def looks(self) -> Iterator[tuple[Snapshot, list[Sample]]]:
        """Again and again."""
        due = time.monotonic()
        while True:
            yield self.look()
            due = max(due + self.pause, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))


def _once(session: Session, found: Sequence[Sample], *, prom: bool) -> None:
    if prom:
        session.ui.raw(text(found).encode())
    else:
        session.ui.items("nlctl.metrics/v1", [_row(one) for one in found], _COLUMNS)


def _row(sample: Sample) -> dict[str, Any]:
    return {
        "name": sample.metric.name,
        "labels": dict(sample.labels),
        "value": sample.value,
        "kind": sample.metric.kind,
        "unit": sample.metric.unit,
        "help": sample.metric.help,
    }


def _lines(session: Session, source: _Source) -> None:
    for now, found in source.looks():
        item = {"time": moment(now.when), "samples": [_row(one) for one in found]}
        session.ui.event("nlctl.metrics.look/v1", item)


def _plot(session: Session, source: _Source, span: float, file: Path | None) -> None:
    taken: Taken = []
    for now, found in source.looks():
        taken.append((now.moment, found))
        passed = now.moment - taken[0][0]
        # A counter has no curve before the third look.
        if len(taken) > 2 and passed >= span:
            break
        session.ui.waiting(f"looking for {passed:.0f} of {span:g} seconds")
    made = curves(taken)
    if file is not None:
        write(file, picture(made, f"{session.chosen()}, {moment(time.time())}"))
        session.ui.say(f"wrote {file}")
    item = {"path": str(file) if file else None, "curves": [_drawn(one) for one in made]}
    lines = [] if file else drawn(made, session.ui.width, _CHART_LINES, ascii_only=session.ui.ascii_only)
    session.ui.item("nlctl.metrics.plot/v1", item, "\n".join(lines), name=str(file or ""))


def _drawn(one: Curve) -> dict[str, Any]:
    return {"title": one.title, "unit": one.unit, "points": [{"seconds": x, "value": y} for x, y in one.points]}


def _live(session: Session, source: _Source, *, plot: bool) -> None:
    taken: Taken = []
    with session.ui.taken_over() as terminal:
        pressed: list[str] = []
        while "q" not in pressed:
            now, found = source.look()
            taken.append((now.moment, found))
            width, height = terminal.size
            del taken[: -4 * width]
            shown = (_charts(session, taken, width, height) if plot else _rows(found, width))[:height]
            terminal.paint([*shown, *[()] * (height - len(shown))])
            pressed = terminal.wait(source.pause)


def _rows(found: Sequence[Sample], width: int) -> Sequence[Line]:
    longest = max((len(one.title) for one in found), default=0)
    return [[(cut(f"{one.title:<{longest}}  {short(one.value)} {one.metric.unit}", width), "")] for one in found]


def _charts(session: Session, taken: Taken, width: int, height: int) -> Sequence[Line]:
    made = curves(taken)
    each = max(3, min(_CHART_LINES * 2, (height - 2) // max(1, len(made)) - 1))
    return [[(line, "")] for line in drawn(made, width, each, ascii_only=session.ui.ascii_only)]
