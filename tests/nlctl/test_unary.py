"""Calls without the gRPC library: the answer as it is, or none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nlctl.unary import at_port, at_socket
from nlctl.wire import field, fields

END = 1
PREFIXED = b"\0\0\0\0\x05" + b"right"


def frame(kind: int, flags: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + (1).to_bytes(4, "big") + payload


@contextmanager
def server(answer: bytes) -> Iterator[int]:
    """Says this to whoever has asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        yield listener.getsockname()[1]
        serving.join()


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        pytest.param(frame(0, 0, PREFIXED) + frame(1, END | 4, b""), b"right", id="a message and its end"),
        pytest.param(frame(0, 0, PREFIXED[:7]) + frame(0, END, PREFIXED[7:]), b"right", id="in two frames"),
        pytest.param(frame(0, END, bytes(5)), b"", id="a message of no bytes"),
        pytest.param(frame(1, END | 4, b""), None, id="a status alone"),
        pytest.param(frame(0, 0, PREFIXED[:7]), None, id="half a message"),
        pytest.param(frame(0, 0, PREFIXED) + frame(3, 0, bytes(4)), None, id="a stream that is reset"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", None, id="another protocol"),
        pytest.param(frame(0, 0, PREFIXED), None, id="a message without an end"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_only_a_whole_message_is_an_answer(answer: bytes, found: bytes | None) -> None:
    with server(answer) as port:
        assert at_port("127.0.0.1", port, "/a.B/C", b"", 60) == found


def test_nobody_there_is_no_answer(tmp_path: object) -> None:
    assert at_socket(f"{tmp_path}/nobody.sock", "/a.B/C", b"", 60) is None


def test_fields_are_read_as_they_are_written() -> None:
    written = field(1, b"text") + field(2, 300) + field(3, b"") + field(4, 0)
    assert list(fields(written)) == [(1, b"text"), (2, 300)]
