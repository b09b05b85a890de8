"""`nlctl top` on a terminal: panes, keys, filter, drain and explanation; and off one, JSON lines."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid
from tests.nlctl.screens import Screen, on_terminal

QUICK = ("top", "--interval", "200ms")
QUERIES = re.compile(rb"\x1b\[[0-9;?>]*[nc]|\x1b\]1[0-9];\?")


@contextmanager
def running(cluster: Cli, columns: int = 80, lines: int = 24, **environment: str) -> Iterator[Screen]:
    with on_terminal(cluster, *QUICK, columns=columns, lines=lines, **environment) as screen:
        screen.until(lambda text: "worker-2" in text)
        yield screen


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 50)])
def test_it_shows_workers_and_sums_within_any_terminal_and_leaves_by_q(cluster: Cli, columns: int, lines: int) -> None:
    """Statement 27."""
    with running(cluster, columns, lines) as screen:
        before = screen.text.splitlines()
        assert before[0].startswith("dev READY  up ")
        assert "q quit" in before[0]
        assert "queue 0" in before[1]
        assert "[1 workers] 2 parts" in before[3]
        assert all(re.search(rf"{name} +ready +0/", screen.text) for name in ("worker-1", "worker-2"))
        assert screen.cursor_hidden
        screen.press("q")
        assert screen.end() == 0
        assert screen.written.endswith(b"\x1b[?25h\x1b[?1049l")
        assert not QUERIES.search(screen.written)


def test_every_pane_is_reached_by_its_number(cluster: Cli) -> None:
    with running(cluster) as screen:
        for key, shown in (("2", "scheduler"), ("5", "CAS_STORE"), ("3", "nothing"), ("4", "nothing"), ("1", "DONE")):
            screen.press(key)
            screen.until(lambda text, shown=shown: shown in text)  # type: ignore[misc]


def test_only_what_changed_is_written_again(cluster: Cli) -> None:
    """Statement 13, for what goes to the terminal."""
    with running(cluster) as screen:
        first = len(screen.written)
        screen.press("2")
        screen.until(lambda text: "RESTARTS" in text)
        for _ in range(5):
            seen = len(screen.written)
            screen.until(lambda _text, seen=seen: len(screen.written) > seen)  # type: ignore[misc]
        assert b"\x1b[2J" not in screen.written[first:]
        frames = screen.written[first:].split(b"\x1b[?2026h")[2:]
        assert all(frame.count(b"\x1b[K") < 24 for frame in frames)


def test_a_filter_keeps_the_rows_that_have_it_until_escape(cluster: Cli) -> None:
    with running(cluster) as screen:
        screen.press("/er-2")
        screen.until(lambda text: "worker-1" not in text and "worker-2" in text)
        screen.press("\r")
        screen.until(lambda text: "esc shows all" in text)
        screen.press("\x1b")
        screen.until(lambda text: "worker-1" in text)


def test_the_chosen_worker_is_drained_after_a_question_and_given_back(cluster: Cli) -> None:
    with running(cluster) as screen:
        screen.press("\x1b[B")
        screen.until(lambda text: "▸ worker-2" in text)
        screen.press("d")
        screen.until(lambda text: "give no new work to worker-2? y/n" in text)
        screen.press("n")
        screen.until(lambda text: "nothing was changed" in text)
        screen.press("dy")
        screen.until(lambda text: bool(re.search(r"worker-2 +draining", text)))
        screen.press("dy")
        screen.until(lambda text: bool(re.search(r"worker-2 +ready", text)))


def test_what_waits_is_explained_worker_by_worker(cluster: Cli) -> None:
    # Given only an endpoint, `run` cannot ask before it submits.
    scheduler = cluster("status", "-o", "json").document["item"]["endpoints"]["scheduler"]
    waiting = cluster.popen(
        "--endpoint", scheduler, "run", "--platform", "ISA=sparc", "--", "true", stdout=-3, stderr=-3
    )
    with running(cluster) as screen:
        try:
            screen.until(lambda text: "queue 1" in text and "DEGRADED" in text)
            screen.press("e")
            screen.until(lambda text: text.count("NEVER") == 2 and "sparc" in text)
            screen.press("x")
            screen.until(lambda text: "WORKER" in text)
        finally:
            waiting.send_signal(signal.SIGINT)
            waiting.wait()


def test_a_smaller_terminal_is_painted_anew(cluster: Cli) -> None:
    with running(cluster, 120, 30) as screen:
        screen.resize(60, 10)
        screen.until(lambda text: text.splitlines()[0].startswith("dev READY") and "e explain" not in text)
        assert max(map(len, screen.lines)) <= 60


def test_ctrl_c_gives_the_terminal_back_and_says_one_line(cluster: Cli) -> None:
    """Statement 43."""
    with running(cluster) as screen:
        screen.press("\x03")
        assert screen.end() == 130
        after = screen.written.split(b"\x1b[?25h\x1b[?1049l")
        assert len(after) == 2
        assert after[1].count(b"\n") <= 3
        assert b"interrupted" in after[1]
        assert not screen.cursor_hidden


def test_a_screen_without_colour_or_unicode_is_plain_ascii(cluster: Cli) -> None:
    plain = {"NO_COLOR": "1", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    with running(cluster, **plain) as screen:
        assert "> worker-1" in screen.text
        assert screen.written.isascii()
        assert not re.search(rb"\x1b\[[0-9;]*m", screen.written)


def test_one_frame_is_printed_and_ends_on_a_terminal(cluster: Cli) -> None:
    with on_terminal(cluster, "top", "--once", "--interval", "200ms") as screen:
        assert screen.end() == 0
        assert screen.lines[0].startswith("dev READY")
        assert b"\x1b[?1049h" not in screen.written


def test_off_a_terminal_it_writes_json_lines_until_it_is_ended(cluster: Cli) -> None:
    running = cluster.popen("top", "--interval", "200ms", stdout=-1)
    assert running.stdout is not None
    seen = [valid(json.loads(running.stdout.readline())) for _ in range(3)]
    running.send_signal(signal.SIGINT)
    running.stdout.close()
    assert running.wait(60) in (130, 141)
    assert [one["schema"] for one in seen] == ["nlctl.top/v1"] * 3
    assert {part["name"] for part in seen[-1]["parts"]} == {"cas", "scheduler", "worker-1", "worker-2"}
    assert seen[-1]["calls_per_second"] > 0
    assert seen[-1]["parts"][0]["cpu_ratio"] is not None


def test_one_line_is_written_with_once(cluster: Cli) -> None:
    done = cluster("top", "--once", "--interval", "100ms")
    [line] = done.out.splitlines()
    assert valid(json.loads(line))["queued"] == 0
    assert "\x1b" not in done.out
