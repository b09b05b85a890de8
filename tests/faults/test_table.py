"""Rows of several runs add up to one table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.promises import Promises
from tests.faults.stream import Stream
from tests.faults.table import Row, Table, merged
from tests.faults.workload import jobs


async def test_what_a_run_saw_can_be_added_to_what_others_saw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table("up", "actions", "quick", 7)
    load = Stream(["grpc://127.0.0.1:1"], "grpc://127.0.0.1:1", jobs(7), Promises(), tmp_path)
    for seconds, wrong in ((0.5, []), (1.5, []), (4.0, ["a blob is gone"])):
        table.begins("kill -9 CAS", "kill -9 cas", load)
        load.done["upload"] += 10
        load.errors["upload: UNAVAILABLE"] += 1
        table.ended("kill -9 CAS", seconds, load, wrong)
    table.show([])
    [row] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("kill -9 CAS")]
    assert row.split() == ["kill", "-9", "CAS", "3", "1", "failed", *("0.5", "s", "1.5", "s", "4.0", "s")]
    document = table.document()
    assert document["rows"] == [
        {"name": "kill -9 CAS", "failed": 1, "recoveries": [0.5, 1.5, 4.0], "done": 30, "refused": 3}
    ]
    text = merged([document, {**document, "seed": 8, "site": "spread"}])
    assert "| kill -9 CAS | 6 | 2 failed | 60 | 6 | 0.5 s | 1.5 s | 4.0 s |" in text
    assert "| up | actions | quick | 7 | 3 |" in text
    assert "| spread | actions | quick | 8 | 3 |" in text


def test_rows_add_up() -> None:
    row = Row("x", 1, [1.0], 5, 2)
    row.add(Row("x", 0, [2.0, 3.0], 7, 1))
    assert (row.times, row.result, row.done, row.refused) == (3, "1 failed", 12, 3)
