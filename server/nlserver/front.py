"""The front door of a listener that answers HTTP/1.1 beside gRPC on one port.

NativeLink answers `GET /status` and its admin route on the gRPC port, and people's container health checks use that;
gRPC's own server cannot. The door looks at a connection's first bytes: HTTP/2 is carried on to the gRPC server behind
it, HTTP/1.1 is answered here. Listeners without such routes have no door.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import h11

from nlserver import log

if TYPE_CHECKING:
    import grpc

_PREFACE: Final = b"PRI"
"""How HTTP/2 with prior knowledge begins (RFC 9113, 3.4); no HTTP/1.1 method does."""
_FIRST_BYTES_SECONDS: Final = 20.0
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
        self.backend = backend
        self._routes = routes
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._doors: set[_Door] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listening: socket.socket) -> None:
        """Accept connections on a bound socket, of the network or a Unix one."""
        loop = asyncio.get_running_loop()
        create = loop.create_unix_server if listening.family == socket.AF_UNIX else loop.create_server
        self._server = await create(lambda: _Door(self), sock=listening, ssl=self._tls)

    def close(self) -> None:
        """Accept no more connections; those that are open go on."""
        if self._server is not None:
            self._server.close()

    async def abort(self) -> None:
        """End the connections that are still open."""
        for task in self._tasks:
            task.cancel()
        for door in list(self._doors):
            door.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def opened(self, door: _Door) -> None:
        """A connection came."""
        self._doors.add(door)

    def closed(self, door: _Door) -> None:
        """A connection ended."""
        self._doors.discard(door)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Serve a connection in a task of its own; ordinary ends of connections end it."""
        task = asyncio.get_running_loop().create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def answer(self, first: bytes, transport: asyncio.Transport) -> None:
        """Serve HTTP/1.1 on a connection whose first bytes were read."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LARGEST_HEAD)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        transport.resume_reading()
        try:
            await self._converse(first, reader, writer)
        finally:
            writer.close()

    async def _converse(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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


async def hidden(server: grpc.aio.Server) -> int:
    """Start a gRPC server that only this process can reach, at /proc/self/fd of the descriptor that is answered.

    Once the socket's name is gone, what leads to it is this descriptor, and a kill leaves no litter.
    """
    with tempfile.TemporaryDirectory(prefix="nlserver-") as private:
        # gRPC takes no more than 107 bytes for a socket's path: the folder's descriptor stands for the folder.
        folder = os.open(private, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            server.add_insecure_port(f"unix:/proc/self/fd/{folder}/grpc")
            await server.start()
            return os.open(f"{private}/grpc", os.O_PATH | os.O_CLOEXEC)
        finally:
            os.close(folder)


class _End(asyncio.Protocol):
    """One end of a connection that is carried on: what comes in goes out at the other end, no faster than it takes it.

    HTTP/2 knows no half of a connection: when one end closes, so does the other, after it has sent what it was given.
    """

    transport: asyncio.Transport

    def __init__(self, other: _End | None = None) -> None:
        self.other = other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop says that it is there."""
        # uvloop's are no subclasses.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        other = self.other
        if other is not None and not other.transport.is_closing():
            other.transport.write(data)

    def pause_writing(self) -> None:
        """More was given to this end than it got rid of."""
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """There is room at this end again."""
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing comes or goes at this end any more."""
        if self.other is not None:
            self.other.transport.close()


class _Door(_End):
    """The end at which a client stands: it is asked who shall serve it by its first bytes."""

    def __init__(self, front: Front) -> None:
        super().__init__()
        self._front = front
        self._first = b""
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._front.opened(self)
        self._patience = asyncio.get_running_loop().call_later(_FIRST_BYTES_SECONDS, self.abort)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            super().data_received(data)
            return
        self._first += data
        if len(self._first) >= len(_PREFACE) and self._patience is not None:
            self._patience.cancel()
            self._patience = None
            # Until somebody is there who takes more.
            self.transport.pause_reading()
            http2 = self._first.startswith(_PREFACE)
            self._front.spawn(self._carry() if http2 else self._front.answer(self._first, self.transport))

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.closed(self)
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def abort(self) -> None:
        """End the connection at once."""
        self.transport.abort()

    async def _carry(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            # What the server says first may come before this returns.
            _, inner = await loop.create_unix_connection(lambda: _End(self), self._front.backend)
        except OSError:
            self.abort()
            raise
        self.other = inner
        inner.transport.write(self._first)
        if self.transport.is_closing():
            inner.transport.close()
        else:
            self.transport.resume_reading()


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as reason:
        log.debug("Connection ended early", reason=type(reason).__name__)


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
