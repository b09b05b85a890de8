"""Calls without the gRPC library: the answer as it is, or none."""

from __future__ import annotations

import pytest

from nlctl.unary import at_port, at_socket
from nlctl.wire import field, fields
from tests.nlctl.answering import DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, answering, frame, prefixed

PREFIXED = prefixed(b"right")
END = frame(HEADERS, END_STREAM | END_HEADERS, b"")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        pytest.param(frame(DATA, 0, PREFIXED) + END, b"right", id="a message and its end"),
        pytest.param(frame(DATA, 0, PREFIXED[:7]) + frame(DATA, END_STREAM, PREFIXED[7:]), b"right", id="in two"),
        pytest.param(frame(DATA, END_STREAM, bytes(5)), b"", id="a message of no bytes"),
        pytest.param(END, None, id="a status alone"),
        pytest.param(frame(DATA, 0, PREFIXED[:7]), None, id="half a message"),
        pytest.param(frame(DATA, 0, PREFIXED) + frame(RST_STREAM, 0, bytes(4)), None, id="a stream that is reset"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", None, id="another protocol"),
        pytest.param(frame(DATA, 0, PREFIXED), None, id="a message without an end"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_only_a_whole_message_is_an_answer(answer: bytes, found: bytes | None) -> None:
    with answering(answer) as port:
        assert at_port("127.0.0.1", port, "/a.B/C", b"", 60) == found


def test_nobody_there_is_no_answer(tmp_path: object) -> None:
    assert at_socket(f"{tmp_path}/nobody.sock", "/a.B/C", b"", 60) is None


def test_fields_are_read_as_they_are_written() -> None:
    written = field(1, b"text") + field(2, 300) + field(3, b"") + field(4, 0)
    assert list(fields(written)) == [(1, b"text"), (2, 300)]
