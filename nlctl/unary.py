"""A unary call of one of our own servers without the gRPC library: importing that takes longer than the call itself.

A unary call is one request of HTTP/2 (RFC 9113) with one message behind a prefix of five bytes, and so is its answer.
Statuses are not read: what has no answer here is asked again, and explained, by those who can afford the library.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

MOST_SENT: Final = 8 << 10
"""The most bytes of a message: it fits into one frame, and into the window that every server opens."""
_MOST_RECEIVED: Final = 1 << 20
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_PREFIX: Final = 5
GREETING: Final = _PREFACE + bytes(3) + bytes([_SETTINGS]) + bytes(5)
"""What a client of HTTP/2 says first: the preface and an empty SETTINGS frame (RFC 9113, 3.4)."""


def at_socket(path: str, method: str, message: bytes, seconds: float) -> bytes | None:
    """The message that answers a call at a Unix socket; None when none came in time."""
    with suppress(OSError):
        # The folder's descriptor stands for it, because a socket's path has at most 107 bytes.
        folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(seconds)
                connection.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
                return _answer(connection, method, message, seconds)
        finally:
            os.close(folder)
    return None


def at_port(host: str, port: int, method: str, message: bytes, seconds: float) -> bytes | None:
    """The same at a port."""
    with suppress(OSError), socket.create_connection((host, port), seconds) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _answer(connection, method, message, seconds)
    return None


def _answer(connection: socket.socket, method: str, message: bytes, seconds: float) -> bytes | None:
    assert len(message) <= MOST_SENT
    deadline = time.monotonic() + seconds
    connection.sendall(_request(method, message))
    data = b""
    for kind, flags, payload in _frames(connection, deadline):
        if kind == _DATA:
            data += payload
        elif kind == _SETTINGS and not flags & _ACK:
            connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        if kind in (_RST_STREAM, _GOAWAY):
            return None
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            break
    else:
        return None
    whole = len(data) >= _PREFIX and len(data) - _PREFIX == int.from_bytes(data[1:_PREFIX], "big")
    return data[_PREFIX:] if whole else None


def _request(method: str, message: bytes) -> bytes:
    # RFC 7541: indexed fields of the static table, then literals that are not indexed.
    block = b"\x83\x86" + _literal(4, method) + _literal(1, "localhost") + _literal(31, "application/grpc")
    block += b"\x00" + _text("te") + _text("trailers")
    body = b"\x00" + len(message).to_bytes(4, "big") + message
    window = _MOST_RECEIVED.to_bytes(4, "big")
    return b"".join(
        (
            _PREFACE,
            _frame(_SETTINGS, 0, 0, b"\x00\x04" + window),
            _frame(_WINDOW_UPDATE, 0, 0, window),
            _frame(_HEADERS, _END_HEADERS, 1, block),
            _frame(_DATA, _END_STREAM, 1, body),
        )
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _literal(index: int, value: str) -> bytes:
    return (bytes([index]) if index < 15 else bytes([15, index - 15])) + _text(value)


def _text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()


def _frames(connection: socket.socket, deadline: float) -> Iterator[tuple[int, int, bytes]]:
    held = b""
    while (left := deadline - time.monotonic()) > 0 and len(held) < 2 * _MOST_RECEIVED:
        connection.settimeout(left)
        more = connection.recv(1 << 16)
        if not more:
            return
        held += more
        while len(held) >= 9 and len(held) >= 9 + (length := int.from_bytes(held[:3], "big")):
            yield held[3], held[4], held[9 : 9 + length]
            held = held[9 + length :]
