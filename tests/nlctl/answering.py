"""A server of HTTP/2 that says to everybody what a test makes it say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

DATA, HEADERS, RST_STREAM, PING = 0, 1, 3, 6
END_STREAM, END_HEADERS, PADDED = 1, 4, 8


def frame(kind: int, flags: int, payload: bytes) -> bytes:
    """A frame of the one stream."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + (1).to_bytes(4, "big") + payload


def prefixed(message: bytes) -> bytes:
    """A message as gRPC sends it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """The port at which this is said to whoever has asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        yield listener.getsockname()[1]
        serving.join()
