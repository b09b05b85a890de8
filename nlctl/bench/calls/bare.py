"""What stands beside the lines: gRPC with nothing behind it, and a process with nothing in it."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import grpc

from nlctl.bench import echo
from nlctl.bench.calls.call import Call, Connection, Wrong
from nlctl.bench.orders import Exchange

_EOF: Final[object] = grpc.aio.EOF  # type: ignore[attr-defined]
_TRUE: Final = "/bin/true"


class Unary(Call):
    """One request and one answer of the sizes that another call has."""

    def __init__(self, connection: Connection, exchange: Exchange, moved: int) -> None:
        self._call = connection.channel.unary_unary(f"/{echo.SERVICE}/Unary")
        self._request = echo.asking_for(exchange.response_bytes, exchange.request_bytes)
        self._answer_bytes = exchange.response_bytes
        self._moved = moved

    async def set_up(self) -> Exchange:
        """Call."""
        await self.once()
        return Exchange(len(self._request), self._answer_bytes)

    async def once(self) -> int:
        """Call."""
        if len(await self._call(self._request)) != self._answer_bytes:
            raise Wrong("an answer of another size")
        return self._moved


class Pour(Call):
    """A stream of 1 MiB messages to us."""

    def __init__(self, connection: Connection, size: int) -> None:
        self._call = connection.channel.unary_stream(f"/{echo.SERVICE}/Pour")
        self._request = echo.asking_for(size, 0)
        self._size = size

    async def set_up(self) -> Exchange:
        """Call."""
        return Exchange(len(self._request), await self.once())

    async def once(self) -> int:
        """Call."""
        call = self._call(self._request)
        got = 0
        while (message := await call.read()) is not _EOF:
            got += len(message)
        if got != self._size:
            raise Wrong(f"{got} bytes of {self._size} came")
        return got


class Sink(Call):
    """A stream of 1 MiB messages from us."""

    def __init__(self, connection: Connection, size: int) -> None:
        self._call = connection.channel.stream_unary(f"/{echo.SERVICE}/Sink")
        whole, rest = divmod(size, echo.MESSAGE_BYTES)
        self._messages = [bytes(echo.MESSAGE_BYTES)] * whole + [bytes(rest)] * bool(rest)
        self._size = size

    async def set_up(self) -> Exchange:
        """Call."""
        return Exchange(await self.once(), 0)

    async def once(self) -> int:
        """Call."""
        await self._call(iter(self._messages))
        return self._size


class Spawn(Call):
    """/bin/true, started here and waited for, one thread for each at a time."""

    async def set_up(self) -> Exchange:
        """Start it."""
        await self.once()
        return Exchange(0, 0)

    async def once(self) -> int:
        """Start it."""
        if await asyncio.to_thread(_run):
            raise Wrong(f"{_TRUE} failed")
        return 0


def _run() -> int:
    return os.waitpid(os.posix_spawn(_TRUE, [_TRUE], {}), 0)[1]
