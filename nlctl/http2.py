"""The little of HTTP/2 (RFC 9113) that a call of gRPC with one request takes, for whom the library costs too much.

Statuses are not read: an answer counts by what it says, and what has none is asked again with the library.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

MOST_SENT: Final = 8 << 10
"""The most bytes of a message: it fits into one frame, and into the window that every server opens."""
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 1, 1, 4, 8
_INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE = 4, 5
_FRAME_HEAD: Final = 9
_PREFIX: Final = 5
_FRAME_BYTES: Final = 1 << 20
_WINDOW: Final = 16 << 20
_AHEAD_BYTES: Final = 64 << 10
GREETING: Final = _PREFACE + bytes(3) + bytes([_SETTINGS]) + bytes(5)
"""What a client of HTTP/2 says first: the preface and an empty SETTINGS frame (RFC 9113, 3.4)."""


class Call:
    """A call on a connection of its own. `patience` gives the seconds that the next wait may take.

    Everything raises OSError when the connection fails, the server resets the call or is no server of HTTP/2.
    """

    def __init__(self, connection: socket.socket, patience: Callable[[], float], method: str, message: bytes) -> None:
        assert len(message) <= MOST_SENT
        self._connection = connection
        self._patience = patience
        self._ahead = memoryview(bytearray(_AHEAD_BYTES))
        self._at = self._end = 0
        self._left = 0
        self._taken = 0
        self._ended = False
        connection.settimeout(patience())
        connection.sendall(_request(method, message))

    def message_bytes(self) -> int | None:
        """The length of the next message of the answer, whose bytes are read then; None after the last one."""
        prefix = memoryview(bytearray(_PREFIX))
        if not self._more():
            return None
        self.read(prefix)
        if prefix[0]:
            raise ConnectionError("the answer is compressed")
        return int.from_bytes(prefix[1:], "big")

    def read(self, into: memoryview) -> None:
        """Fill this with the next bytes of the answer. Raises OSError, also at its end."""
        while into:
            if not self._more():
                raise ConnectionError("the answer ended too early")
            some = min(len(into), self._left)
            self._fill(into[:some])
            into = into[some:]
            self._left -= some
            self._taken += some
            if self._taken >= _WINDOW // 2:
                more = self._taken.to_bytes(4, "big")
                self._connection.sendall(_frame(_WINDOW_UPDATE, 0, 0, more) + _frame(_WINDOW_UPDATE, 0, 1, more))
                self._taken = 0

    def _more(self) -> bool:
        """Go on to bytes of the answer; False at its end."""
        while not self._left and not self._ended:
            self._next_frame()
        return self._left > 0

    def _next_frame(self) -> None:
        head = memoryview(bytearray(_FRAME_HEAD))
        self._fill(head)
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        if length > _FRAME_BYTES or kind in (_RST_STREAM, _GOAWAY) or (kind == _DATA and flags & _PADDED):
            raise ConnectionError("the server ends the call")
        if kind == _DATA:
            self._left = length
        else:
            payload = bytearray(length)
            self._fill(memoryview(payload))
            if kind in (_SETTINGS, _PING) and not flags & _ACK:
                self._connection.sendall(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        self._ended = kind in (_DATA, _HEADERS) and bool(flags & _END_STREAM)

    def _fill(self, view: memoryview) -> None:
        """Large pieces come from the socket to where they shall be, small ones with what follows them."""
        while view:
            if self._at < self._end:
                some = min(len(view), self._end - self._at)
                view[:some] = self._ahead[self._at : self._at + some]
                self._at += some
                view = view[some:]
            elif len(view) < _AHEAD_BYTES:
                self._at, self._end = 0, self._received(self._ahead)
            else:
                view = view[self._received(view) :]

    def _received(self, view: memoryview) -> int:
        self._connection.settimeout(self._patience())
        some = self._connection.recv_into(view)
        if not some:
            raise ConnectionError("the server hung up")
        return some


def _request(method: str, message: bytes) -> bytes:
    # RFC 7541: indexed fields of the static table, then literals that are not indexed.
    block = b"\x83\x86" + _literal(4, method) + _literal(1, "localhost") + _literal(31, "application/grpc")
    block += b"\x00" + _text("te") + _text("trailers")
    body = b"\x00" + len(message).to_bytes(4, "big") + message
    settings = _setting(_INITIAL_WINDOW_SIZE, _WINDOW) + _setting(_MAX_FRAME_SIZE, _FRAME_BYTES)
    return b"".join(
        (
            _PREFACE,
            _frame(_SETTINGS, 0, 0, settings),
            _frame(_WINDOW_UPDATE, 0, 0, _WINDOW.to_bytes(4, "big")),
            _frame(_HEADERS, _END_HEADERS, 1, block),
            _frame(_DATA, _END_STREAM, 1, body),
        )
    )


def _setting(name: int, value: int) -> bytes:
    return name.to_bytes(2, "big") + value.to_bytes(4, "big")


def _frame(kind: int, flags: int, stream: int, payload: bytes | bytearray) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _literal(index: int, value: str) -> bytes:
    return (bytes([index]) if index < 15 else bytes([15, index - 15])) + _text(value)


def _text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()
