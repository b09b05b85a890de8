"""What the linter found, as a command writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from nlctl.lint.finding import Severity
from nlctl.lint.report import row, shown
from nlctl.ui import Column

if TYPE_CHECKING:
    from nlctl.lint.judging import Verdict
    from nlctl.session import Session

_COLUMNS: Final = (
    Column("PLACE", "place"),
    Column("SEVERITY", "severity"),
    Column("ID", "id"),
    Column("WHAT", "what"),
)


def write(session: Session, schema: str, verdict: Verdict, facts: Mapping[str, Any]) -> None:
    """Write the findings as a document with these facts beside the usual ones, or as a compiler does; notes with -v."""
    ui = session.ui
    if ui.structured or ui.format == "name" or ui.quiet:
        usual = {
            "files": [*(file.name for file in verdict.files), *verdict.unread],
            "unread": list(verdict.unread),
            "errors": verdict.count(Severity.ERROR),
            "warned": verdict.count(Severity.WARNING),
        }
        ui.items(schema, [row(one) for one in verdict.findings], _COLUMNS, facts={**usual, **facts})
        return
    for one in verdict.findings:
        if session.verbose or one.severity is not Severity.INFO:
            for line in shown(one):
                ui.text(line)
