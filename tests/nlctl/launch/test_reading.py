"""Logs of several parts are read as one, without losing or cutting a line."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from nlctl.launch.journal import previous
from nlctl.launch.reading import Entry, Follower, entries, merged

T1, T2, T3 = (f"2026-01-01T00:00:0{n}.000Z" for n in (1, 2, 3))


def test_a_traceback_stays_with_its_event() -> None:
    lines = ["early", f"{T1} INFO a", "Traceback", "  x", f"{T2} INFO b"]
    assert [one.lines for one in entries("cas", lines)] == [
        ("early",),
        (f"{T1} INFO a", "Traceback", "  x"),
        (f"{T2} INFO b",),
    ]


def test_json_lines_have_times_too() -> None:
    assert [one.stamp for one in entries("cas", [f'{{"time": "{T1}", "event": "x"}}'])] == [T1]


def test_parts_are_merged_by_time() -> None:
    cas = [Entry("cas", T1, ("a",)), Entry("cas", T3, ("c",))]
    worker = [Entry("worker-1", T2, ("b",))]
    assert [one.lines[0] for one in merged([cas, worker])] == ["a", "b", "c"]


def test_history_begins_in_the_previous_file(tmp_path: Path) -> None:
    log = tmp_path / "cas.log"
    previous(log).write_text(f"{T1} old\n")
    log.write_text(f"{T2} new\n")
    [found] = map(list, Follower({"cas": log}).history())
    assert [one.lines[0] for one in found] == [f"{T1} old", f"{T2} new"]


def test_a_half_written_line_is_shown_once_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "cas.log"
    log.write_text(f"{T1} one\n{T2} tw")
    follower = Follower({"cas": log})
    assert [one.lines[0] for one in follower.history()[0]] == [f"{T1} one"]
    with log.open("a") as file:
        file.write("o\n")
    assert [one.lines[0] for one in follower.more()[0]] == [f"{T2} two"]


def test_following_goes_on_in_the_new_file_after_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "cas.log"
    log.write_text(f"{T1} one\n")
    follower = Follower({"cas": log})
    assert [len(list(one)) for one in follower.history()] == [1]
    with log.open("a") as file:
        file.write(f"{T2} two\n")
    log.rename(previous(log))
    log.write_text(f"{T3} three\n")
    assert [one.lines[0] for one in follower.more()[0]] == [f"{T2} two", f"{T3} three"]


def test_a_part_that_has_not_logged_yet_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "cas.log"
    follower = Follower({"cas": log})
    assert [list(one) for one in follower.history()] == [[]]
    log.write_text(f"{T1} one\n")
    assert [one.lines[0] for one in follower.more()[0]] == [f"{T1} one"]


def test_what_comes_between_the_last_look_and_the_move_is_not_lost(tmp_path: Path) -> None:
    log = tmp_path / "cas.log"
    log.write_text(f"{T1} one\n")
    follower = Follower({"cas": log})
    [list(one) for one in follower.history()]
    with log.open("a") as late:
        log.rename(previous(log))
        log.write_text(f"{T3} three\n")
        late.write(f"{T2} two\n")
        late.flush()
        assert [one.lines[0] for one in follower.more()[0]] == [f"{T2} two", f"{T3} three"]
        # Another process of the part moves on a little later.
        late.write(f"{T2} too\n")
        late.flush()
        assert [one.lines[0] for one in follower.more()[0]] == [f"{T2} too"]


def test_levels_are_read_from_both_forms() -> None:
    lines = [f"{T1} WARN  cas x", f'{{"time": "{T1}", "level": "warning", "event": "x"}}', "Fatal: out of memory", "y"]
    assert [one.level for one in entries("cas", lines)] == ["warn", "warn"]
    assert [one.level for one in entries("cas", lines[2:])] == [None]


def test_lines_of_five_parts_that_write_fast_are_all_seen_once_and_whole(tmp_path: Path) -> None:
    """Statement 42: also while their files are moved away."""
    logs = {f"worker-{number}": tmp_path / f"worker-{number}.log" for number in range(1, 6)}
    follower = Follower(logs)
    assert [list(one) for one in follower.history()] == [[]] * 5

    noticed = {part: threading.Event() for part in logs}

    def write(part: str, path: Path) -> None:
        for number in range(2000):
            # As a part does it: each line in one write, and a new file when the old one is too large.
            if number == 1200:
                assert noticed[part].wait(60)
                path.rename(previous(path))
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, f"{T1} INFO  {part} {number} {'x' * (number % 300)}\n".encode())
            os.close(descriptor)

    writers = [threading.Thread(target=write, args=one) for one in logs.items()]
    for one in writers:
        one.start()
    seen: dict[str, list[str]] = {part: [] for part in logs}
    ended = False
    while not ended:
        # One more look after the last line was written.
        ended = not any(one.is_alive() for one in writers)
        for entry in merged(follower.more()):
            seen[entry.part] += entry.lines
            noticed[entry.part].set()
    for part, lines in seen.items():
        assert [line.split()[3] for line in lines] == [str(number) for number in range(2000)], part
