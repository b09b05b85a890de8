"""The front door of a listener that answers HTTP/1.1 beside gRPC on one port.

NativeLink answers `GET /status` and its admin route on the gRPC port, and people's container health checks use that;
gRPC's own server cannot. The door looks at a connection's first bytes: HTTP/2 is carried on to the gRPC server behind
it, HTTP/1.1 is answered here. Listeners without such routes have no door.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import h11

from nlserver import log

_PREFACE: Final = b"PRI"
"""How HTTP/2 with prior knowledge begins (RFC 9113, 3.4); no HTTP/1.1 method does."""
_FIRST_BYTES_SECONDS: Final = 30.0
_PIPE_BYTES: Final = 256 << 10
_LARGEST_HEAD: Final = 16 << 10
_LARGEST_BODY: Final = 64 << 10


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `body` is sent as it is."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Route = Callable[[str, str], Awaitable[Answer | None]]
"""Told method and path (without the query); None when the path is not its own."""


class Front:
    """One listening socket in front of a gRPC server that listens on `backend`, the path of a Unix socket."""

    def __init__(self, backend: str, routes: Sequence[Route], tls: ssl.SSLContext | None = None) -> None:
        self._backend = backend
        self._routes = routes
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._aborted = False

    async def start(self, listening: socket.socket) -> None:
        """Accept connections on a bound socket."""
        self._server = await asyncio.start_server(self._connected, sock=listening, ssl=self._tls, limit=_PIPE_BYTES)

    def close(self) -> None:
        """Accept no more connections; those that are open go on."""
        if self._server is not None:
            self._server.close()

    async def abort(self) -> None:
        """End the connections that are still open."""
        self._aborted = True
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            async with asyncio.timeout(_FIRST_BYTES_SECONDS):
                first = await reader.readexactly(len(_PREFACE))
            if first == _PREFACE:
                await self._carry(first, reader, writer)
            else:
                await self._answer(first, reader, writer)
        except asyncio.CancelledError:
            # The stream server would report a cancelled connection as a failure of its own; nobody awaits this task.
            if not self._aborted:
                raise
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as reason:
            log.debug("Connection ended early", reason=type(reason).__name__)
        finally:
            self._open.discard(task)
            writer.close()

    async def _carry(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._backend, limit=_PIPE_BYTES)
        inner_writer.write(first)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pipe(reader, inner_writer))
                both.create_task(_pipe(inner_reader, writer))
        except* ConnectionError:
            pass
        finally:
            inner_writer.close()

    async def _answer(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGEST_HEAD)
        connection.receive_data(first)
        while True:
            async with asyncio.timeout(_FIRST_BYTES_SECONDS):
                try:
                    request = await _request(connection, reader)
                except h11.RemoteProtocolError as error:
                    refusal = Answer(error.error_status_hint, b"malformed HTTP request\n")
                    await _send(connection, writer, refusal, head=False)
                    return
            if request is None:
                return
            await _send(connection, writer, await self._routed(request), head=request.method == b"HEAD")
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()

    async def _routed(self, request: h11.Request) -> Answer:
        target = request.target.decode("ascii", "replace")
        path = target.partition("?")[0]
        for route in self._routes:
            answer = await route(request.method.decode("ascii", "replace"), path)
            if answer is not None:
                return answer
        return Answer(404, f"No route for {target}\n".encode())


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIPE_BYTES):
        writer.write(data)
        await writer.drain()
    with suppress(OSError, RuntimeError):
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The next request after its body was read, or None when the peer is done."""
    request: h11.Request | None = None
    body = 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_LARGEST_HEAD))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += len(event.data)
            if body > _LARGEST_BODY:
                raise h11.RemoteProtocolError("the body is too large", error_status_hint=413)
        elif isinstance(event, h11.EndOfMessage):
            return request
        else:
            return None


async def _send(connection: h11.Connection, writer: asyncio.StreamWriter, answer: Answer, *, head: bool) -> None:
    if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return
    headers = [("content-type", answer.content_type), ("content-length", str(len(answer.body)))]
    events: list[h11.Event] = [h11.Response(status_code=answer.status, headers=headers)]
    if not head:
        events.append(h11.Data(data=answer.body))
    for event in (*events, h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    await writer.drain()
