"""A unary call of one of our own servers without the gRPC library: importing that takes longer than the call itself."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import Final

from nlctl.http2 import Call

_MOST_RECEIVED: Final = 1 << 20


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
    deadline = time.monotonic() + seconds

    def left() -> float:
        if (seconds := deadline - time.monotonic()) <= 0:
            raise TimeoutError
        return seconds

    call = Call(connection, left, method, message)
    length = call.message_bytes()
    if length is None or length > _MOST_RECEIVED:
        return None
    answer = bytearray(length)
    call.read(memoryview(answer))
    return bytes(answer) if call.message_bytes() is None else None
