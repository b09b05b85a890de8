"""gRPC by hand: HTTP/2 frame by frame over a socket, for what the gRPC library would never send."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from tests.conformance.target import leak

_PATIENCE_SECONDS: Final = 90.0
Header = tuple[bytes | str, bytes | str]


def framed(message: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message as it stands in the body of a request."""
    return struct.pack(">?I", compressed, len(message)) + message


class Wire:
    """One HTTP/2 connection. Requests are sent as they are; what comes back is remembered by stream."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=_PATIENCE_SECONDS)
        settings = h2.config.H2Configuration(
            client_side=True,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
        )
        self.http = h2.connection.H2Connection(settings)
        # Huffman's code in Python takes seconds for a megabyte.
        self.http.encoder.encode = partial(self.http.encoder.encode, huffman=False)
        self.headers: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        self.pongs = 0
        self.closed = False
        self.goaway: h2.events.ConnectionTerminated | None = None
        self.http.initiate_connection()
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Send what is due; a connection that the server has ended takes nothing more."""
        try:
            self.socket.sendall(self.http.data_to_send())
        except OSError:
            self.closed = True

    def begin(self, path: str, *headers: Header, end: bool = False) -> int:
        """Open a stream for a call of this method; returns its number."""
        number: int = self.http.get_next_available_stream_id()
        usual: Sequence[Header] = (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        )
        self.http.send_headers(number, [*usual, *headers], end_stream=end)
        self.flush()
        return number

    def call(self, path: str, message: bytes, *headers: Header, compressed: bool = False) -> int:
        """Open a stream, send one message and end it; returns its number."""
        number = self.begin(path, *headers)
        self.send(number, framed(message, compressed=compressed), end=True)
        return number

    def send(self, number: int, body: bytes, *, end: bool = False) -> None:
        """Send a part of a body, as far as the server lets us, and then the rest."""
        while len(body) > (room := self._room(number)):
            self.http.send_data(number, body[:room])
            body = body[room:]
            self.flush()
            while self._room(number) == 0 and self._going(number):
                self.receive()
            if not self._going(number):
                return
        self.http.send_data(number, body, end_stream=end)
        self.flush()

    def _room(self, number: int) -> int:
        try:
            return min(self.http.local_flow_control_window(number), self.http.max_outbound_frame_size)
        except h2.exceptions.ProtocolError:
            return 1 << 30

    def _going(self, number: int) -> bool:
        return not self.closed and number not in self.ended | self.reset

    def receive(self) -> None:
        """Take what comes next."""
        try:
            data = self.socket.recv(64 << 10)
        except TimeoutError:
            raise AssertionError("the server said nothing more") from None
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return
        try:
            events = self.http.receive_data(data)
        except h2.exceptions.ProtocolError:
            # The library takes nothing after GOAWAY, though a server may still end the calls that it had begun.
            if self.http.state_machine.state is not h2.connection.ConnectionState.CLOSED:
                raise
            self.closed = True
            return
        for event in events:
            self._note(event)
        self.flush()

    def _note(self, event: Any) -> None:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                found = self.headers.setdefault(event.stream_id, {})
                found.update((str(name), str(value)) for name, value in event.headers)
                assert not leak(found.get("grpc-message", "")), found
            case h2.events.DataReceived():
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                if event.flow_controlled_length:
                    self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.ended.add(event.stream_id)
            case h2.events.StreamReset():
                self.reset.add(event.stream_id)
            case h2.events.PingAckReceived():
                self.pongs += 1
            case h2.events.ConnectionTerminated():
                self.goaway = event
                self.closed = True

    def status(self, number: int) -> int | None:
        """The gRPC status of a call once it has ended; None when there is none, because it was reset or cut off."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._going(number):
            assert time.monotonic() < deadline, "the call did not end"
            self.receive()
        text = self.headers.get(number, {}).get("grpc-status")
        return None if text is None else int(text)


@contextmanager
def raw(address: str, data: bytes = b"") -> Iterator[socket.socket]:
    """A bare connection on which these bytes were sent."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=_PATIENCE_SECONDS) as connection:
        connection.sendall(data)
        yield connection


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    got = b""
    while True:
        try:
            data = connection.recv(64 << 10)
        except ConnectionError:
            return got
        if not data:
            return got
        got += data
