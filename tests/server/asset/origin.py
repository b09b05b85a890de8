"""An HTTP server whose answers a test writes byte by byte, and that remembers what it was asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]


Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Origin:
    """Answers by path; what has no answer is 404."""

    port: int = 0
    answers: dict[str, Speak] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    open: int = 0

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def serve(self, path: str, body: bytes, **headers: str) -> None:
        """Answer with this body and its length."""
        self.says(path, 200, body, **{"content-length": str(len(body)), **headers})

    def redirect(self, path: str, to: str, status: int = 302) -> None:
        self.says(path, status, b"", **{"location": to, "content-length": "0"})

    def says(self, path: str, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer with exactly this, and end the connection."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())

        async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(f"HTTP/1.1 {status} Words\r\n{lines}connection: close\r\n\r\n".encode("latin-1") + body)
            await writer.drain()

        self.answers[path] = speak

    def count(self, path: str) -> int:
        return sum(asked.path == path for asked in self.asked)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            path = first.split(" ")[1]
            pairs = [line.partition(": ") for line in lines if line]
            self.asked.append(Asked(path, {name.lower(): value for name, _, value in pairs}))
            if path not in self.answers:
                self.says(path, 404)
            await self.answers[path](reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def serving(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
    """An origin on a free port of this address."""
    origin = Origin()
    server = await asyncio.start_server(origin.connected, host, 0, ssl=tls)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        server.close()
