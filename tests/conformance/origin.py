"""An HTTP server of this machine to fetch from: a test writes its answers, and reads what it was asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_PATIENCE_SECONDS: Final = 30.0
_LONGEST_HEAD: Final = 64 << 10

Speak = Callable[[socket.socket], None]


@dataclass(frozen=True)
class Asked:
    """A request as it came: its path, and its headers by lower-case name."""

    path: str
    headers: dict[str, str]


@dataclass
class Origin:
    """Answers by path, each on a connection of its own; what has no answer is 404."""

    asked: list[Asked] = field(default_factory=list)
    _answers: dict[str, Speak] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more; `shutdown` wakes the thread that accepts."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The URL of a path, by any name for this host."""
        return f"http://{host}:{self.port}{path}"

    def says(self, path: str, status: int, body: bytes = b"", **headers: str) -> str:
        """Answer with exactly this and end the connection; returns the URL."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        answer = f"HTTP/1.1 {status} Words\r\n{lines}connection: close\r\n\r\n".encode("latin-1") + body
        return self.speaks(path, lambda connection: connection.sendall(answer))

    def has(self, path: str, body: bytes) -> str:
        """Answer with this body and its length; returns the URL."""
        return self.says(path, 200, body, content_length=str(len(body)))

    def leads(self, path: str, to: str) -> str:
        """Redirect; returns the URL."""
        return self.says(path, 302, location=to, content_length="0")

    def speaks(self, path: str, speak: Speak) -> str:
        """Answer by calling this with the connection, once the request was read; returns the URL."""
        self._answers[path] = speak
        return self.url(path)

    def count(self, path: str) -> int:
        """How often this path was asked for."""
        return sum(asked.path == path for asked in self.asked)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(_PATIENCE_SECONDS)
        with connection:
            try:
                head = b""
                while b"\r\n\r\n" not in head and len(head) < _LONGEST_HEAD:
                    if not (data := connection.recv(4096)):
                        return
                    head += data
                first, *lines = head.decode("latin-1").split("\r\n")
                path = first.split(" ")[1]
                pairs = (line.partition(": ") for line in lines if line)
                self.asked.append(Asked(path, {name.lower(): value for name, _, value in pairs}))
                self._answers.get(path, _absent)(connection)
            except OSError:
                return


def _absent(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 404 Words\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
