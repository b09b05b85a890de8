"""Tables fit a terminal, and are whole everywhere else."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nlctl.tables import fitted, lines
from nlctl.watch.spans import cells

HEADERS = ("WORKER", "EMPTY", "STATE", "PROPERTIES")
ROWS = [["worker-1", "-", "ready", "cpu_count=2 OSFamily=linux ISA=x86-64"], ["w2", "-", "busy", "cpu_count=2"]]


def test_without_a_terminal_nothing_is_left_out() -> None:
    assert fitted(HEADERS, ROWS, None, ascii_only=False) == (list(HEADERS), ROWS)
    assert fitted(HEADERS, ROWS, 100, ascii_only=False) == (list(HEADERS), ROWS)


def test_columns_that_say_nothing_go_before_any_cell_is_cut() -> None:
    headers, rows = fitted(HEADERS, ROWS, 56, ascii_only=False)
    assert headers == ["WORKER", "STATE", "PROPERTIES"]
    assert rows[0][2] == ROWS[0][3]


def test_the_widest_column_gives_way_and_the_name_stays_whole() -> None:
    headers, rows = fitted(HEADERS, ROWS, 40, ascii_only=True)
    assert max(map(len, lines(headers, rows))) <= 40
    assert [row[0] for row in rows] == ["worker-1", "w2"]
    assert rows[0][2].endswith("~")
    assert lines(headers, rows)[0] == "WORKER    STATE  PROPERTIES"


CELLS = st.tuples(*[st.text("ab-界\u0301", min_size=1, max_size=30)] * 3).map(list)


@settings(deadline=None)
@given(st.lists(CELLS, max_size=5), st.integers(40, 120))
def test_a_table_of_few_columns_fits_or_is_as_narrow_as_its_names_allow(rows: list[list[str]], room: int) -> None:
    headers, shown = fitted(("A", "B", "C"), rows, room, ascii_only=False)
    first = max([1, *(cells(row[0]) for row in rows)])
    assert max(cells(line) for line in lines(headers, shown)) <= max(room, first + 20)
