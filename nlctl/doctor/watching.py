"""Looking again and again: on a terminal the whole of it, redrawn; in a pipe what changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from nlctl.doctor import report
from nlctl.doctor.changes import Change, changes
from nlctl.watch.spans import cut

if TYPE_CHECKING:
    from nlctl.doctor.examination import Outcome
    from nlctl.ui import Ui

_SCHEMA: Final = "nlctl.doctor.change/v1"
Look = Callable[[], tuple[list["Outcome"], float]]
"""Examines once; what was found, and in how many seconds."""


def watch(ui: Ui, look: Look, mark: report.Mark, title: str, every: float) -> list[Outcome]:
    """Examine until somebody ends it; what was found last. A pipe is written to until its reader goes."""
    if ui.format != "table":
        return _told(ui, look, mark, every)
    outcomes: list[Outcome] = []
    with ui.taken_over() as terminal:
        pressed: list[str] = []
        while "q" not in pressed:
            outcomes, seconds = look()
            width, height = terminal.size
            head = f"{title}   {datetime.now().astimezone():%H:%M:%S}   every {every:g}s, q ends it"
            body = report.text(outcomes, mark, seconds, verbose=False).splitlines()
            lines = [[(cut(line, width, ascii_only=ui.ascii_only), "")] for line in [head, *body][:height]]
            terminal.paint([*lines, *[()] * (height - len(lines))])
            pressed = terminal.wait(every)
    return outcomes


def _told(ui: Ui, look: Look, mark: report.Mark, every: float) -> list[Outcome]:
    before: Sequence[Outcome] = ()
    while True:
        outcomes, seconds = look()
        found = list(changes(before, outcomes))
        for one in found:
            _tell(ui, one, mark)
        if not before and not found and not ui.structured:
            ui.text(report.summary(outcomes, seconds))
        ui.flush()
        before = outcomes
        time.sleep(every)


def _tell(ui: Ui, change: Change, mark: report.Mark) -> None:
    at = datetime.now().astimezone()
    if ui.structured:
        ui.event(_SCHEMA, {"at": at.isoformat(timespec="seconds"), **change.document()})
        return
    after = f"  (was: {change.before})" if change.before else ""
    found = change.finding
    ui.text(f"{at:%H:%M:%S} {mark(found.verdict)} {change.outcome.check.id}  {found.what}{after}")
