"""Rows that were kept, and how far new ones are from them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from nlctl.bench.figures import change
from nlctl.bench.row import Row


def compared(now: Sequence[Row], was: Sequence[Row], limit: float) -> list[Row]:
    """The new rows, each with its change against the old row of its line and target; bare rows stay as they are.

    Where either side measured one server only, its name does not matter. Shares of the bare server are compared where
    both have them, since a machine is not always equally fast; otherwise the values themselves are.
    """
    names = not (_one_server(now) and _one_server(was))
    old = {_key(row, names): row for row in was if not row.bare}
    return [row if row.bare else _against(row, old.get(_key(row, names)), limit) for row in now]


def _one_server(rows: Iterable[Row]) -> bool:
    return len({row.target for row in rows if not row.bare}) == 1


def _key(row: Row, names: bool) -> tuple[str, str]:
    return row.line, row.target if names else ""


def _against(row: Row, old: Row | None, limit: float) -> Row:
    if old is None or not row.rounds or not old.rounds:
        return row
    if row.of_bare_rounds and old.of_bare_rounds:
        loss = change(row.of_bare_rounds, old.of_bare_rounds).worse(more_is_better=True)
    else:
        loss = change(row.rounds, old.rounds).worse(more_is_better=row.more_is_better)
    finite = math.isfinite(loss.low) and math.isfinite(loss.high)
    return replace(
        row,
        was=old.value,
        change=loss.by,
        change_low=loss.low if finite else None,
        change_high=loss.high if finite else None,
        regressed=loss.exceeds(limit),
    )


def sentence(row: Row) -> str:
    """What became worse, by how much, and how sure that is."""
    assert row.change is not None
    sure = "one run"
    if row.change_low is not None and row.change_high is not None:
        sure = f"{len(row.rounds)} rounds, 95% interval {row.change_low * 100:.0f} to {row.change_high * 100:.0f}"
    return f"{row.line} at {row.target} is worse by {row.change * 100:.0f}% ({sure})"
