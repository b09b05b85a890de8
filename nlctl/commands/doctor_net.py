"""`nlctl doctor net`: the way to every endpoint, gone again and again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.session import Session

if TYPE_CHECKING:
    from nlctl.doctor.rounds import Change, Track
    from nlctl.session import Target
    from nlctl.ui import Ui

EPILOG = """\b
Examples:
  nlctl doctor net
  nlctl doctor net --every 500ms --count 20
  nlctl --endpoint grpcs://cache.example:443 doctor net --every 1m
  nlctl doctor net -o json | jq -c 'select(.event == "lost")'
\b
Exit status: 0 every round answered, 4 no way ever answered, 5 some rounds were lost, 130 ended by Ctrl-C before the
first round
"""
_LEAST_SECONDS = 0.1
_SCHEMA = "nlctl.doctor.net/v1"


def command(
    ctx: typer.Context,
    every: Annotated[str, typer.Option(help="The time from one round to the next.")] = "5s",
    count: Annotated[int, typer.Option(min=0, help="So many rounds; 0 until Ctrl-C.")] = 0,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Go to every endpoint again and again: name, connection, TLS, HTTP/2, and a call. Ctrl-C ends it with a summary.

    Each round makes a new connection, and calls over one that stays: what cuts idle connections shows as a lost call. A
    line is written for the first round, for each one that was lost, and when a way is back.
    """
    from nlctl.doctor.rounds import Track
    from nlctl.doctor.roving import endpoints

    session: Session = ctx.obj
    target = session.recorded(name)
    tracks = {role: Track(role, url) for role, url in endpoints(target).items()}
    pause = max(_LEAST_SECONDS, seconds(every))
    try:
        session.wait_for(_rounds(session.ui, target, tracks, pause, count))
    except KeyboardInterrupt:
        if not any(track.rounds for track in tracks.values()):
            raise
    _summary(session.ui, list(tracks.values()))
    return _exit(list(tracks.values()))


async def _rounds(ui: Ui, target: Target, tracks: dict[str, Track], pause: float, count: int) -> None:
    from nlctl.doctor.roving import rounds

    urls = {role: track.url for role, track in tracks.items()}
    async for now, ways in rounds(urls, target.access, pause, count):
        for role, legs in ways.items():
            if change := tracks[role].gone(legs, now):
                _tell(ui, change)


def _tell(ui: Ui, change: Change) -> None:
    if ui.structured:
        ui.event(_SCHEMA, {**change.document(), "ways": None})
        return
    if ui.out_is_terminal:
        clock = datetime.fromtimestamp(change.at).astimezone().strftime("%H:%M:%S")
        mark = ui.mark(change.broken is None)
        ui.text(f"{clock}  {mark} {change.role} {change.url}  {change.words}")
    else:
        when = datetime.fromtimestamp(change.at).astimezone().isoformat(timespec="milliseconds")
        ui.text_fields(when, change.event, change.role, change.url, change.words)
    ui.flush()


def _summary(ui: Ui, tracks: list[Track]) -> None:
    rows = [row for track in tracks for row in track.documents()]
    if ui.structured:
        nothing = {"at": None, "role": None, "url": None, "layers": None, "rounds_lost": None, "lost_ms": None}
        ui.event(_SCHEMA, {"event": "summary", **nothing, "ways": rows})
        return
    head = f"{'':<12} {'LAYER':<10} {'ROUNDS':>7} {'LOST':>6} {'MIN':>9} {'MEDIAN':>9} {'P95':>9} {'MAX':>9}"
    lines = ["", head]
    for row in rows:
        times = " ".join(f"{_ms(row[key]):>9}" for key in ("least_ms", "median_ms", "p95_ms", "longest_ms"))
        lines.append(f"{row['role']:<12} {row['layer']:<10} {row['rounds']:>7} {row['lost']:>6} {times}")
    ui.say("\n".join(lines))


def _ms(value: Any) -> str:
    return "-" if value is None else f"{value:.2f}ms"


def _exit(tracks: list[Track]) -> int:
    if all(track.lost == track.rounds for track in tracks):
        return Exit.UNREACHABLE
    return Exit.UNHEALTHY if any(track.lost for track in tracks) else Exit.OK
