"""Data and talk go their own ways, and nothing is cut or coloured where a machine reads."""

from __future__ import annotations

import fcntl
import io
import json
import os
import struct
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from nlctl import faults
from nlctl.faults import Fault, fix
from nlctl.ui import Column, Display, Ui, human_bytes, human_span

DIGEST = {"hash": "7fd25e01" * 8, "size_bytes": 148, "function": "sha256"}
ROWS = [
    {"digest": DIGEST, "there": True, "size": 148, "note": "a\tb\x1b[31m"},
    {"digest": DIGEST, "there": None, "size": None, "note": ""},
]
COLUMNS = (
    Column("DIGEST", "digest"),
    Column("THERE", "there"),
    Column("SIZE", "size", human_bytes),
    Column("NOTE", "note"),
)


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Pipe(io.StringIO):
    """A stream that a program reads."""

    encoding = "utf-8"


@contextmanager
def terminal_of(columns: int) -> Iterator[tuple[TextIO, Callable[[str], str]]]:
    """A real terminal of this width, and what its screen was sent until then, a text that ends so."""
    main, other = os.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with open(main, "rb", buffering=0) as screen, open(other, "w", encoding="utf-8") as stream:

        def seen(ending: str) -> str:
            stream.flush()
            # A terminal may hand its lines over one by one.
            data = b""
            while not data.decode(errors="ignore").replace("\r\n", "\n").endswith(ending):
                data += screen.read(4096)
            return data.decode().replace("\r\n", "\n")

        yield stream, seen


def _ui(
    display: Display | None = None, *, terminal: bool = False, **environment: str
) -> tuple[Ui, io.StringIO, io.StringIO]:
    out, err = (Terminal(), Terminal()) if terminal else (Pipe(), Pipe())
    return Ui(display or Display(), environment, out, err), out, err


def test_a_pipe_gets_whole_digests_in_tabs_without_a_header() -> None:
    ui, out, _ = _ui(COLUMNS="20", GITHUB_ACTIONS="true")
    ui.items("s/v1", ROWS, COLUMNS)
    first, second = out.getvalue().splitlines()
    assert first.split("\t") == [f"{DIGEST['hash']}/148", "yes", "148", "a\\x09b\\x1b[31m"]
    assert second.split("\t")[1:] == ["", "", ""]
    assert "\x1b" not in out.getvalue()


def test_a_terminal_gets_a_table_with_whole_digests() -> None:
    ui, out, _ = _ui(terminal=True, COLUMNS="20")
    ui.items("s/v1", ROWS, COLUMNS)
    header, first, _ = out.getvalue().splitlines()
    assert "DIGEST" in header
    assert f"{DIGEST['hash']}/148" in first
    assert "148 B" in first


@pytest.mark.parametrize(("columns", "shown"), [(120, f"{DIGEST['hash']}/148"), (80, "7fd25e01…5e01/148")])
def test_a_digest_is_shortened_only_on_a_terminal_that_is_too_narrow(columns: int, shown: str) -> None:
    with terminal_of(columns) as (terminal, seen):
        Ui(Display(color="never"), {}, terminal, Pipe()).items("s/v1", ROWS[:1], COLUMNS)
        assert shown in seen("1b[31m\n")


def test_a_text_is_broken_between_words_and_goes_on_below_its_last_column() -> None:
    lines = ["  why   one two three four five six", "  CAS_STORE   grpc   leads to another part of it", "short   line"]
    with terminal_of(34) as (terminal, _):
        made = Ui(Display(), {}, terminal, Pipe()).fitted("\n".join(lines)).split("\n")
    assert made == [
        "  why   one two three four five",
        "        six",
        "  CAS_STORE   grpc   leads to",
        "              another part of it",
        "short   line",
    ]
    ui, _, _ = _ui()
    assert ui.fitted("\n".join(lines)) == "\n".join(lines)


def test_an_error_shows_the_two_ends_of_a_digest_only_where_the_terminal_has_no_room() -> None:
    fault = Fault(faults.BLOB_MISSING, f"{DIGEST['hash']}-148 not found", why="w", fixes=[fix("look")])
    with terminal_of(80) as (terminal, seen):
        Ui(Display(color="never"), {}, Pipe(), terminal).fault(fault)
        assert "7fd25e01…5e01/148 not found" in seen("not-found)\n")
    ui, _, err = _ui()
    ui.fault(fault)
    assert f"{DIGEST['hash']}-148 not found" in err.getvalue()


def test_data_come_after_the_waiting_line_is_gone() -> None:
    stream = Terminal()
    ui = Ui(Display(color="never"), {}, stream, stream)
    for show in (lambda: ui.items("s/v1", ROWS, COLUMNS), lambda: ui.item("s/v1", {}, "text"), lambda: ui.text("line")):
        ui.waiting("29 of 30")
        show()
        assert "29 of 30\r\x1b[2K" in stream.getvalue()
        stream.truncate(0)


def test_a_list_without_rows_is_told_and_has_no_header() -> None:
    ui, out, err = _ui(terminal=True)
    ui.items("s/v1", [], COLUMNS, none="no blob is there")
    assert (out.getvalue(), err.getvalue()) == ("", "no blob is there\n")


def test_a_terminal_without_room_leaves_spare_columns_out() -> None:
    columns = (Column("DIGEST", "digest"), Column("THERE", "there", spare=True), Column("NOTE", "note"))
    for wide, header in ((120, "DIGEST  THERE  NOTE"), (36, "DIGEST  NOTE")):
        with terminal_of(wide) as (terminal, seen):
            Ui(Display(color="never"), {}, terminal, Pipe()).items("s/v1", ROWS[:1], columns)
            assert " ".join(seen("1b[31m\n").partition("\n")[0].split()) == " ".join(header.split())


def test_a_wide_table_is_whole_on_any_terminal() -> None:
    columns = (Column("DIGEST", "digest"), Column("THERE", "there", spare=True), Column("NOTE", "note"))
    with terminal_of(20) as (terminal, seen):
        Ui(Display(output="wide", color="never"), {}, terminal, Pipe()).items("s/v1", ROWS[:1], columns)
        header, row, _ = seen("1b[31m\n").split("\n")
    assert header.split() == ["DIGEST", "THERE", "NOTE"]
    assert row.startswith(f"{DIGEST['hash']}/148")


def test_columns_are_chosen_by_the_keys_of_items() -> None:
    ui, out, _ = _ui(Display(output="cols=size,digest"))
    ui.items("s/v1", ROWS[:1], COLUMNS)
    assert out.getvalue() == f"148\t{DIGEST['hash']}/148\n"
    ui, out, _ = _ui(Display(output="cols=size"), terminal=True, NO_COLOR="1")
    ui.items("s/v1", ROWS[:1], COLUMNS)
    assert out.getvalue() == "SIZE\n148\n"
    with pytest.raises(Fault, match="there is no column 'sizes'"):
        _ui(Display(output="cols=sizes"))[0].items("s/v1", ROWS, COLUMNS)


def test_json_is_one_document_with_items_and_every_key() -> None:
    ui, out, err = _ui(Display(output="json"))
    ui.items("nlctl.x/v1", ROWS, COLUMNS, warnings=["odd"])
    document = json.loads(out.getvalue())
    assert document["schema"] == "nlctl.x/v1"
    assert document["items"] == ROWS
    assert document["warnings"] == ["odd"]
    assert "odd" in err.getvalue()


def test_quiet_lists_are_names_alone() -> None:
    ui, out, _ = _ui(Display(quiet=1))
    ui.items("s/v1", ROWS, COLUMNS)
    assert out.getvalue().splitlines() == [f"{DIGEST['hash']}/148"] * 2


def test_json_wins_over_quiet() -> None:
    ui, out, _ = _ui(Display(quiet=1, output="json"))
    ui.items("s/v1", ROWS, COLUMNS)
    assert json.loads(out.getvalue())["items"]


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_no_colour_gets_none(environment: dict[str, str]) -> None:
    ui, out, err = _ui(terminal=True, FORCE_COLOR="1", **environment)
    ui.items("s/v1", ROWS, COLUMNS)
    ui.fault(Fault(faults.USAGE, "bad"))
    assert "\x1b" not in out.getvalue() + err.getvalue()


def test_the_flag_beats_the_environment_in_colour() -> None:
    ui, out, _ = _ui(Display(color="always"), NO_COLOR="1")
    assert "\x1b[1m" in ui.bold("x")
    assert out.getvalue() == ""


def test_plain_progress_has_one_line_a_step_and_no_control_characters() -> None:
    ui, out, err = _ui()
    ui.waiting("for cas")
    ui.step("up", "cas", "cas ready", pid=12, ms=402, note="two words")
    assert err.getvalue() == 'up step=cas state=ready pid=12 ms=402 note="two words"\n'
    assert out.getvalue() == ""


def test_lively_progress_replaces_its_waiting_line() -> None:
    ui, _, err = _ui(terminal=True)
    ui.waiting("waiting for cas")
    ui.step("up", "cas", "cas ready")
    assert "\r\x1b[2K" in err.getvalue()
    assert err.getvalue().endswith("cas ready\n")


def test_json_progress_is_json_lines() -> None:
    ui, _, err = _ui(Display(progress="json"))
    ui.step("up", "cas", "cas ready", pid=12)
    ui.say("done")
    events = [json.loads(line) for line in err.getvalue().splitlines()]
    assert [one["event"] for one in events] == ["up", "note"]


def test_quiet_silences_talk_and_never_errors() -> None:
    ui, _, err = _ui(Display(quiet=2))
    ui.say("hello")
    ui.step("up", "cas", "cas ready")
    ui.warn("odd")
    assert err.getvalue() == ""
    ui.fault(Fault(faults.PORT_TAKEN, "port 1 is in use"))
    assert "NL-PRC-203" in err.getvalue()


def test_an_error_says_what_why_fix_and_exit() -> None:
    ui, _, err = _ui()
    fixes = [fix("use free ports", "nlctl", "up", "--base-port", "auto"), fix("or wait")]
    ui.fault(Fault(faults.PORT_TAKEN, "port 50051 is in use", why="pid 1 (init) listens", fixes=fixes, log="one\ntwo"))
    assert err.getvalue() == (
        "error[NL-PRC-203]: port 50051 is in use\n"
        "  why   pid 1 (init) listens\n"
        "  fix   nlctl up --base-port auto                 use free ports\n"
        "        or wait\n"
        "  | one\n"
        "  | two\n"
        "  more  nlctl explain NL-PRC-203\n"
        "  (exit 7, conflict)\n"
    )


def test_with_json_an_error_is_one_json_line() -> None:
    ui, out, err = _ui(Display(output="json"))
    ui.fault(Fault(faults.BLOB_MISSING, "gone", why="w", fixes=[fix("put it", "nlctl", "cas", "put", "PATH")]))
    document = json.loads(err.getvalue())
    assert (document["schema"], document["code"], document["exit"]) == ("nlctl.error/v1", "NL-CAS-101", 3)
    assert document["fix"] == [{"text": "put it", "command": ["nlctl", "cas", "put", "PATH"]}]
    assert out.getvalue() == ""


def test_marks_fit_what_the_stream_can_show() -> None:
    ascii_out = Pipe()
    ascii_out.encoding = "ascii"  # type: ignore[misc]
    ui = Ui(Display(), {}, ascii_out, ascii_out)
    assert (ui.mark(True), ui.mark(False), ui.mark(None)) == ("ok", "xx", "!!")


def test_log_lines_cannot_move_the_cursor() -> None:
    ui, out, _ = _ui(terminal=True, NO_COLOR="1")
    ui.prefixed(0, "cas |", "a\x1b[2Jb\rc")
    assert out.getvalue() == "cas | a\\x1b[2Jb\\x0dc\n"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (1234567, "1.2 MB"), (10**15, "1000.0 TB"), (None, "-")],
)
def test_bytes_for_people(count: int | None, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(5, "5ms"), (999, "999ms"), (1000, "1s"), (61_000, "1m1s"), (3_725_000, "1h2m"), (86_400_000, "1d")],
)
def test_spans_for_people(ms: int, text: str) -> None:
    assert human_span(ms) == text
