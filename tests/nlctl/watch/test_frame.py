"""Screens of `top` from recorded facts: they fit, and nothing in them is broken by what others wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.reapi.digest import of

from nlctl.admin import OperationFacts, WorkerFacts
from nlctl.layers import Layer
from nlctl.watch.facts import PartFacts, Snapshot
from nlctl.watch.frame import Frame
from nlctl.watch.history import History
from nlctl.watch.keys import keys
from nlctl.watch.spans import cut, encoded, fit, width_of
from nlctl.watch.view import PANES, Drain, Explain, Quit, Row, View

NOW = 1_800_000_000.0


def operation(number: int, stage: str, worker: str = "") -> OperationFacts:
    explanation = "worker-1 offers ISA=x86-64, asked sparc" if stage == "queued" else ""
    return OperationFacts(
        f"{number:08d}-0000", stage, NOW - 41, NOW - 41, worker, explanation, bool(explanation), of(b"%d" % number), "",
        0, 1, 2, {"ISA": ["sparc"]},
    )  # fmt: skip


def worker(number: int) -> WorkerFacts:
    id_ = f"worker-{number}" + "0" * 36
    return WorkerFacts(
        f"worker-{number}", id_, "MAIN", "busy", {}, {}, [f"{number:08d}-0000"], 2, 17, NOW - 600, NOW - 0.4
    )


def snapshot(workers: int = 50, **changed: object) -> Snapshot:
    layer = Layer("cas", "CAS_STORE", "filesystem", {"content_path": "/data"}, 17, 1_200_000_000, 10_000_000_000, True)
    counters = {"calls": 1000, "found_results": 9, "missed_results": 1, "received_bytes": 5, "sent_bytes": 7}
    parts = [PartFacts("cas", "ready", 1, started=NOW - 720, counters=counters, stores=[layer], cpu_seconds=5.0)]
    parts += [PartFacts(f"worker-{n}", "ready", n, resident_bytes=50_000_000, cpu_seconds=1.0) for n in range(workers)]
    made = Snapshot(
        "dev", NOW, 100.0, parts, [worker(n) for n in range(workers)],
        [operation(n, "executing", worker(n).id) for n in range(workers)], workers, [operation(999, "queued")], 1,
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


def later(now: Snapshot) -> Snapshot:
    parts = [
        replace(part, counters={name: value * 2 for name, value in part.counters.items()}, cpu_seconds=7.0)
        for part in now.parts
    ]
    return replace(now, moment=now.moment + 2, parts=parts)


def history(*snapshots: Snapshot) -> History:
    made = History()
    for one in snapshots:
        made.add(one)
    return made


@pytest.mark.parametrize("pane", PANES)
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (40, 10), (20, 3), (1, 1)])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_frame_has_exactly_the_lines_of_the_terminal_and_none_is_wider(
    pane: str, width: int, height: int, ascii_only: bool
) -> None:
    now = snapshot()
    lines = Frame(ascii_only=ascii_only).lines(later(now), history(now, later(now)), View(pane), width, height)
    assert len(lines) == height
    assert max(map(width_of, lines)) <= width
    assert not ascii_only or all(text.isascii() for line in lines for text, _ in line)


def test_the_head_says_how_the_cluster_stands() -> None:
    now = snapshot()
    lines = Frame(ascii_only=False).lines(later(now), history(now, later(now)), View(), 100, 24)
    title, sums, rates = ("".join(text for text, _ in line) for line in lines[:3])
    assert title.startswith("dev DEGRADED  up 12m")
    assert "slots █████      50/100" in sums
    assert "queue 1" in sums
    assert "hit 90%" in sums
    assert "CAS_STORE 1.2 GB/10.0 GB" in sums
    assert "calls 500/s" in rates
    assert "waits 41s" in rates


@settings(deadline=None)
@given(st.text(max_size=100), st.integers(0, 40))
def test_text_of_others_is_cut_to_its_cells_without_control_characters(text: str, width: int) -> None:
    line = [(fit(text, width), "")]
    assert width_of(line) == width
    assert "\x1b" not in encoded(line, color=False)
    assert width_of([(cut(text, width), "")]) <= width


def test_the_chosen_row_stays_in_sight() -> None:
    now = snapshot()
    view = View("workers", chosen={"workers": worker(40).id})
    lines = Frame(ascii_only=True).lines(now, history(now), view, 80, 24)
    assert any("> worker-40" in "".join(text for text, _ in line) for line in lines)


def test_rates_are_those_of_the_last_seconds_and_restarts_are_no_negative_ones() -> None:
    now = snapshot()
    seen = history(now, later(now))
    assert seen.rate("calls") == 500
    assert seen.cpu("cas") == 1.0
    assert seen.hit_ratio() == 0.9
    fresh = replace(now, moment=110.0, parts=[replace(now.parts[0], counters={"calls": 3}, cpu_seconds=0.0)])
    seen.add(fresh)
    assert seen.rate("calls") == 0
    assert seen.cpu("cas") == 0
    assert history(now).rate("calls") is None


ROWS = [Row("id-1", "worker-1"), Row("id-2", "worker-2", draining=True)]


def test_a_worker_is_drained_only_after_yes_and_one_that_drains_is_given_back() -> None:
    view = View()
    assert view.press("d", ROWS, "") is None
    assert view.press("x", ROWS, "") is None
    view.press("d", ROWS, "")
    assert view.press("y", ROWS, "") == Drain("id-1", "worker-1", draining=True)
    view.press("down", ROWS, "")
    view.press("d", ROWS, "")
    assert view.press("y", ROWS, "") == Drain("id-2", "worker-2", draining=False)


def test_the_chosen_operation_is_explained_and_elsewhere_the_oldest() -> None:
    view = View()
    assert view.press("e", ROWS, "") is None
    assert view.message == "nothing waits"
    assert view.press("e", ROWS, "oldest") == Explain("oldest")
    view.press("3", ROWS, "")
    view.press("end", [Row("op-1", "op-1"), Row("op-2", "op-2")], "")
    assert view.press("e", [Row("op-1", "op-1"), Row("op-2", "op-2")], "oldest") == Explain("op-2")


def test_what_is_typed_into_the_filter_is_no_command() -> None:
    view = View()
    for key in ("/", "q", "1", "d", "backspace"):
        assert view.press(key, ROWS, "") is None
    assert (view.filter, view.typing) == ("q1", True)
    view.press("enter", ROWS, "")
    assert view.press("q", ROWS, "") == Quit()


@settings(deadline=None)
@given(st.lists(st.sampled_from(["d", "y", "n", "/", "e", "1", "3", "5", "up", "down", "end", "escape", "enter", "x"])))
def test_no_keys_bring_the_view_out_of_order(pressed: list[str]) -> None:
    view, frame, now = View(), Frame(ascii_only=False), snapshot(3)
    for key in pressed:
        view.press(key, frame.rows(now, history(now), view), "")
        assert len(frame.lines(now, history(now), view, 80, 24)) == 24


def test_keys_are_named_and_unknown_sequences_left_out() -> None:
    assert keys("q\x1b[A\x1b[6~\x1bOF\r\x7f\x1b") == ["q", "up", "pagedown", "end", "enter", "backspace", "escape"]
    assert keys("\x1b[200~ä\x1b[1;5C\x01") == ["ä"]
