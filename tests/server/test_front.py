"""The front door carries HTTP/2 to the server behind it, byte for byte and no faster than either end takes it."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from nlserver.front import Front

GREETING = b"settings"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MUCH = 64 << 20
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Stream]]
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Both loops: parts run on uvloop, programs that embed them on either."""

    def within(work: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(work, 60))

    return within


@asynccontextmanager
async def door(path: Path, behind: Callable[[Stream], Awaitable[None]]) -> AsyncIterator[Connect]:
    """A front door, and behind it a server that greets and then does this with each connection."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        await behind((reader, writer))
        writer.close()

    server = await asyncio.start_unix_server(served, path / "socket")
    listening = socket.create_server(("127.0.0.1", 0))
    front = Front(str(path / "socket"), [])
    await front.start(listening)
    address = listening.getsockname()[:2]

    async def connect() -> Stream:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(PREFACE)
        assert await reader.readexactly(len(GREETING)) == GREETING
        return reader, writer

    yield connect
    front.close()
    await front.abort()
    server.close()


async def echo(stream: Stream) -> None:
    reader, writer = stream
    assert await reader.readexactly(len(PREFACE)) == PREFACE
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


def test_bytes_go_both_ways_unchanged(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        data = hashlib.shake_128(b"seed").digest(3 << 20)
        async with door(tmp_path, echo) as connect:
            reader, writer = await connect()
            writer.write(data)
            assert await reader.readexactly(len(data)) == data
            writer.close()

    run(main())


def test_first_bytes_may_come_one_by_one(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        async with door(tmp_path, echo) as connect:
            reader, writer = await connect()
            host, port = writer.get_extra_info("peername")[:2]
            reader, slow = await asyncio.open_connection(host, port)
            for byte in PREFACE:
                slow.write(bytes((byte,)))
                await slow.drain()
                await asyncio.sleep(0)
            assert await reader.readexactly(len(GREETING)) == GREETING

    run(main())


def test_a_client_that_reads_nothing_holds_up_the_server(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        sent = 0
        stuck = asyncio.Event()

        async def flood(stream: Stream) -> None:
            nonlocal sent
            with suppress(TimeoutError):
                while sent < MUCH:
                    stream[1].write(bytes(1 << 20))
                    async with asyncio.timeout(0.5):
                        await stream[1].drain()
                    sent += 1 << 20
            stuck.set()

        async with door(tmp_path, flood) as connect:
            _, writer = await connect()
            writer.transport.pause_reading()
            await stuck.wait()
            assert sent < MUCH
            writer.transport.abort()

    run(main())


def test_what_the_server_sent_before_it_closed_still_arrives(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        async def farewell(stream: Stream) -> None:
            stream[1].write(bytes(5 << 20))

        async with door(tmp_path, farewell) as connect:
            reader, _ = await connect()
            assert len(await reader.read()) == 5 << 20

    run(main())


def test_the_end_of_a_client_is_the_end_of_its_connection_to_the_server(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def until_the_end(stream: Stream) -> None:
            await stream[0].read()
            ended.set()

        async with door(tmp_path, until_the_end) as connect:
            _, writer = await connect()
            writer.close()
            await ended.wait()

    run(main())


def test_open_connections_end_with_the_door(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        async with door(tmp_path, echo) as connect:
            reader, _ = await connect()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)

    run(main())


def test_a_server_that_is_not_there_ends_the_connection(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        front = Front(str(tmp_path / "nothing"), [])
        await front.start(listening)
        reader, writer = await asyncio.open_connection(*listening.getsockname()[:2])
        writer.write(PREFACE)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        front.close()
        await front.abort()

    run(main())
