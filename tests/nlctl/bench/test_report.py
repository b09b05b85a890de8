"""From tallies to rows, pictures and comparisons."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nlctl.bench import lines
from nlctl.bench.baseline import compared
from nlctl.bench.histogram import Histogram
from nlctl.bench.orders import Tally, Target
from nlctl.bench.outcome import Measured, Round
from nlctl.bench.plot import picture
from nlctl.bench.report import rows, sentence, timed
from nlctl.bench.row import SCHEMA, Row
from nlctl.bench.shelf import Shelf
from nlctl.faults import BAD_BASELINE, NO_BASELINE, USAGE, Fault

OURS = Target("ours", "grpc://a", "grpc://a")
BARE = Target("bare", "grpc://b", "", is_bare=True)
[READ] = [line for line in lines.cas() if line.name == "read-1MiB"]


def rounds(rates: Sequence[float], server_us: float) -> list[Round]:
    return [
        Round(
            Tally(calls=int(rate * 2), moved_bytes=int(rate * 2) << 20, seconds=2.0, times=Histogram([1_000_000] * 5)),
            rate * 2 * server_us / 1e6,
        )
        for rate in rates
    ]


def measured() -> list[Row]:
    opened = Tally(calls=200, seconds=2.0, times=Histogram([2_000_000] * 198 + [9_000_000] * 2))
    ours = Measured(READ, OURS, rounds([350, 300, 400], 2000), Round(opened), rate=150)
    return rows([ours, Measured(READ, BARE, rounds([700, 500, 1000], 1000))])


def test_a_row_has_the_median_of_its_rounds_and_the_share_of_the_round_beside_each() -> None:
    ours, bare = measured()
    assert (ours.value, ours.rounds) == (350, [350, 300, 400])
    assert ours.spread == pytest.approx(100 / 350)
    assert ours.of_bare_rounds == [0.5, 0.6, 0.4]
    assert ours.of_bare == 0.5
    assert ours.bytes_per_second == 350 << 20
    assert (ours.server_cpu_us, bare.server_cpu_us) == pytest.approx((2000, 1000))
    assert ours.of_bare_cpu == pytest.approx(0.5)
    assert (bare.bare, bare.of_bare) == (True, 1.0)


def test_times_are_those_of_the_open_loop() -> None:
    ours, bare = measured()
    assert (ours.p50_ms, ours.p95_ms) == pytest.approx((2, 2), rel=0.01)
    assert ours.p99_ms == pytest.approx(2, rel=0.01)
    assert ours.most_ms == pytest.approx(9, rel=0.01)
    assert ours.open_rate == 150
    assert ours.loop_p50_ms == pytest.approx(1, rel=0.01)
    assert (bare.p50_ms, bare.open_rate) == (None, None)


def test_what_cannot_be_measured_and_calls_that_failed_are_noted() -> None:
    [lacking] = rows([Measured(READ, OURS, cannot="UNIMPLEMENTED: no such method")])
    assert (lacking.value, lacking.note) == (None, "cannot: UNIMPLEMENTED: no such method")
    assert sentence(lacking).endswith("no such method")
    [failing] = rows([Measured(READ, OURS, [Round(Tally(calls=1, seconds=1.0, errors={"UNAVAILABLE": 3}))])])
    assert (failing.errors, failing.note) == ({"UNAVAILABLE": 3}, "3 UNAVAILABLE")


def test_times_that_are_shorter_are_a_larger_share_of_the_bare_ones() -> None:
    row = timed("startup", "up", "up", "here", [0.5, 0.4], [0.25, 0.2])
    assert (row.value, row.of_bare, row.more_is_better) == (pytest.approx(0.45), 0.5, False)


def test_the_keys_of_a_row_stay() -> None:
    assert {one.name for one in fields(Row)} >= {
        *("suite", "line", "what", "target", "bare", "unit", "more_is_better", "rounds", "of_bare_rounds", "value"),
        *("spread", "of_bare", "of_bare_cpu", "bytes_per_second", "calls", "at_once", "loop_p50_ms", "server_cpu_us"),
        *("client_cpu_us", "open_rate", "open_calls", "p50_ms", "p95_ms", "p99_ms", "most_ms", "lag_p99_ms", "errors"),
        *("cannot", "note", "was", "change", "change_low", "change_high", "regressed"),
    }
    assert SCHEMA == "nlctl.bench/v1"


def plain(name: str, values: Sequence[float], target: str = "ours") -> Row:
    return Row(suite="cas", line=name, what=name, target=target, rounds=values, value=sorted(values)[len(values) // 2])


def test_a_loss_beyond_the_limit_is_a_regression_and_a_smaller_one_is_not() -> None:
    was = [plain("a", [100, 101, 99]), plain("b", [100, 101, 99]), plain("gone", [1, 1, 1])]
    now = [plain("a", [80, 81, 79]), plain("b", [97, 98, 96]), plain("new", [1, 1, 1])]
    a, b, new = compared(now, was, limit=0.1)
    assert (a.regressed, b.regressed, new.regressed) == (True, False, None)
    assert a.change == pytest.approx(0.2, abs=0.001)
    assert (a.was, new.was) == (100, None)
    assert a.change_low is not None
    assert a.change_high is not None
    assert a.change_low < 0.2 < a.change_high


def test_a_machine_that_is_half_as_fast_is_no_regression_of_the_server() -> None:
    ours, bare = measured()
    slow = replace(ours, rounds=[v / 2 for v in ours.rounds], value=175)
    again, still = compared([slow, bare], [ours, bare], limit=0.1)
    assert (again.change, again.regressed) == (pytest.approx(0), False)
    assert still.change is None


def test_one_server_is_compared_with_one_server_whatever_their_names_are() -> None:
    [row] = compared([plain("a", [50, 50], "after")], [plain("a", [100, 100], "before")], 0.1)
    assert row.regressed
    several = [plain("a", [50, 50], "x"), plain("a", [50, 50], "y")]
    assert [row.regressed for row in compared(several, [plain("a", [100, 100], "y")], 0.1)] == [None, True]


def test_more_seconds_are_a_regression() -> None:
    slower = compared([timed("startup", "up", "", "here", [2, 2])], [timed("startup", "up", "", "here", [1, 1])], 0.1)
    assert slower[0].regressed


def test_the_picture_is_svg_with_a_bar_and_the_figures_of_every_row() -> None:
    slow = replace(measured()[0], target="<theirs>", of_bare=1.9, of_bare_rounds=[1.8, 1.9, 2.0])
    root = ElementTree.fromstring(picture([*measured(), slow], "2 cores & more"))
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"<theirs>", "ours", "2 cores & more", "ByteStream.Read, 1MiB"} <= set(texts)
    assert any(text.startswith("350 calls/s, 367 MB/s, p50 ") and text.endswith(" ms") for text in filter(None, texts))
    width = float(root.attrib["width"])
    bars = [one for one in root.iter("{http://www.w3.org/2000/svg}rect") if float(one.attrib["width"]) != 10]
    assert len(bars) == 2
    assert all(float(bar.attrib["x"]) + float(bar.attrib["width"]) < width for bar in bars)


def test_a_picture_without_any_figure_is_still_one() -> None:
    ElementTree.fromstring(picture([], ""))


def test_a_result_that_was_kept_is_read_back_by_name_and_by_path(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    made = measured()
    for name in ("main", f"{tmp_path}/elsewhere.json"):
        shelf.keep(name, {"items": [row.document() for row in made]})
        assert shelf.rows(name) == made


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (None, NO_BASELINE),
        ("", BAD_BASELINE),
        ("[]", BAD_BASELINE),
        ('{"schema": "other/v1"}', BAD_BASELINE),
        ('{"schema": "nlctl.bench/v1", "items": [{}]}', BAD_BASELINE),
    ],
)
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str | None, kind: object) -> None:
    (tmp_path / "bench").mkdir()
    if text is not None:
        (tmp_path / "bench" / "main.json").write_text(text)
    with pytest.raises(Fault) as caught:
        Shelf(tmp_path).rows("main")
    assert caught.value.kind == kind


@pytest.mark.parametrize("name", ["", ".hidden", "a b", "x" * 99])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Fault) as caught:
        Shelf(tmp_path).path(name)
    assert caught.value.kind == USAGE


def test_names_of_lines_are_unique_and_fit_into_options() -> None:
    names = [line.name for line in [*lines.cas(), *lines.ac(), *lines.execute(), *lines.mix()]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z0-9-]+", name) for name in names)
