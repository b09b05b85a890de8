"""The operations of a scheduler, asked without the gRPC library: importing that alone takes longer than an answer may.

A unary call is one request of HTTP/2 (RFC 9113) with one message behind a prefix of five bytes, and so is its answer.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

_SECONDS: Final = 0.12
_MOST: Final = 100
_LONGEST: Final = 1 << 20
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_STAGES: Final = {1: "cache check", 2: "queued", 3: "executing", 4: "completed"}


class Operation(NamedTuple):
    """One execution. `since` is seconds since 1970, of its stage."""

    id: str
    stage: str
    since: float


def operations(path: str) -> list[Operation]:
    """What the scheduler behind this socket works on, the oldest first; none when it does not answer in time."""
    # nlctl.admin.v1.ListOperationsRequest: limit.
    message = _call(path, "/nlctl.admin.v1.Admin/ListOperations", bytes([3 << 3, _MOST]))
    return [_operation(value) for number, value in _fields(message) if number == 1 and isinstance(value, bytes)]


def _operation(message: bytes) -> Operation:
    fields = dict(_fields(message))
    name, since, stage = fields.get(1, b""), fields.get(8, b""), fields.get(6, 0)
    assert isinstance(name, bytes)
    assert isinstance(since, bytes)
    seconds = dict(_fields(since)).get(1, 0)
    return Operation(name.decode(), _STAGES.get(stage if isinstance(stage, int) else 0, ""), float(seconds))


def _call(path: str, method: str, message: bytes) -> bytes:
    """The message that answers a unary call, b"" when none came."""
    deadline = time.monotonic() + _SECONDS
    data = b""
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.settimeout(_SECONDS)
        # The folder's descriptor stands for it, because a socket's path has at most 107 bytes.
        folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
        finally:
            os.close(folder)
        connection.sendall(_request(method, message))
        for kind, flags, payload in _frames(connection, deadline):
            if kind == _DATA:
                data += payload
            elif kind == _SETTINGS and not flags & _ACK:
                connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
            if kind in (_RST_STREAM, _GOAWAY) or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
                break
    return data[5 : 5 + int.from_bytes(data[1:5], "big")] if len(data) > 5 else b""


def _request(method: str, message: bytes) -> bytes:
    # RFC 7541: indexed fields of the static table, then literals that are not indexed.
    block = b"\x83\x86" + _literal(4, method) + _literal(1, "localhost") + _literal(31, "application/grpc")
    block += b"\x00" + _text("te") + _text("trailers")
    body = b"\x00" + len(message).to_bytes(4, "big") + message
    window = (_LONGEST).to_bytes(4, "big")
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
    while (left := deadline - time.monotonic()) > 0 and len(held) < 2 * _LONGEST:
        connection.settimeout(left)
        more = connection.recv(1 << 16)
        if not more:
            return
        held += more
        while len(held) >= 9 and len(held) >= 9 + (length := int.from_bytes(held[:3], "big")):
            yield held[3], held[4], held[9 : 9 + length]
            held = held[9 + length :]


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: numbers, and bytes of what has a length."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif kind == 2:
            length, at = _varint(message, at)
            yield tag >> 3, message[at : at + length]
            at += length
        else:
            at += 8 if kind == 1 else 4


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
