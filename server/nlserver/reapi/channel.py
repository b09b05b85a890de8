"""Connections to other servers: TLS, patience, and the one place where foreign gRPC errors become `Error`.

Laws: nothing connects before the first call; whoever dials closes; every failure of a call leaves here as an Error
whose `where` is the endpoint.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Generic, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2

from nlserver.errors import Code, Error
from nlserver.reapi.address import target_of
from nlserver.reapi.endpoint import EndpointSpec, RetrySpec, TlsSpec
from nlserver.reapi.status import error_of

Q = TypeVar("Q", bound="Message | bytes")
A = TypeVar("A")
Headers = Sequence[tuple[str, str | bytes]]

MOST_RECEIVED_BYTES: Final = 64 << 20
"""The largest message that is taken from a server. NativeLink answers GetTree with the whole tree in one."""
_MOST_METADATA_BYTES: Final = 64 << 10
_FRAME_BYTES: Final = 1 << 20
_DOWN_SECONDS: Final = 1.0
_SOONEST_RECONNECT_MS: Final = 100
_LATEST_RECONNECT_MS: Final = 5_000
_NAME_IS_GOOD_MS: Final = 1_000
_END: Final[object] = grpc.aio.EOF  # type: ignore[attr-defined]
_DETAILS: Final = "grpc-status-details-bin"


@dataclass(frozen=True, eq=False)
class Method(Generic[Q, A]):
    """One RPC: its full path, and how an answer is made of bytes. Requests are messages, or bytes already written."""

    path: str
    read: Callable[[bytes], A]


def waits(retry: RetrySpec, chance: Callable[[], float] = random.random) -> Iterator[float]:
    """The seconds to wait before each repetition: 2, 4, 8, ... times the delay, spread by the jitter."""
    for attempt in range(1, retry.max_retries + 1):
        yield retry.delay * 2**attempt * (1 + retry.jitter * (chance() - 0.5))


class Patience:
    """How long one call, or one transfer in several calls, is tried again."""

    def __init__(self, retry: RetrySpec, alternatives: int = 0) -> None:
        self._retry = retry
        self._codes = retry.codes
        self._alternatives = alternatives
        self.renew()

    def renew(self) -> None:
        """There was progress: count from the beginning."""
        self._waits = waits(self._retry)
        self._free = self._alternatives

    async def after(self, error: Error) -> None:
        """Return when it is time to try again; raise the error when it is not worth it any more.

        Another endpoint is tried at once when one is unavailable.
        """
        if error.code is Code.UNAVAILABLE and self._free > 0:
            self._free -= 1
            return
        if error.code not in self._codes:
            raise error
        seconds = next(self._waits, None)
        if seconds is None:
            raise error
        await asyncio.sleep(seconds)


class _Connection:
    """One HTTP/2 connection to one endpoint, made when it is first used."""

    def __init__(self, endpoint: EndpointSpec) -> None:
        self.endpoint = endpoint
        self.busy = 0
        self.down_until = 0.0
        limit = endpoint.concurrency_limit
        self.slots = asyncio.Semaphore(limit) if limit else nullcontext()
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[Method[Any, Any], Any] = {}

    def call(self, kind: str, method: Method[Any, Any]) -> Any:
        """What gRPC calls a method with; `kind` is `unary_unary` and so on. Raises Error for unusable TLS files."""
        made = self._calls.get(method)
        if made is None:
            if self._channel is None:
                self._channel = _opened(self.endpoint)
            made = self._calls[method] = getattr(self._channel, kind)(method.path, _serialize, None)
        return made

    async def close(self) -> None:
        """End the connection and every call on it."""
        if self._channel is not None:
            await self._channel.close(None)


class Channel:
    """Calls to one service that is served at one or several endpoints, over one or several connections each.

    Calls go to the connection that has the fewest under way; an endpoint that was unavailable a moment ago comes last.
    """

    def __init__(
        self,
        endpoints: Sequence[EndpointSpec],
        *,
        connections: int = 1,
        retry: RetrySpec | None = None,
        headers: Headers = (),
        most_at_once: int | None = None,
    ) -> None:
        for endpoint in endpoints:
            target_of(endpoint.address)
        self.retry = retry or RetrySpec()
        self.where = ", ".join(endpoint.address for endpoint in endpoints)
        self._headers = tuple(headers)
        self._alternatives = len(endpoints) - 1
        self._connections = [_Connection(endpoint) for _ in range(max(1, connections)) for endpoint in endpoints]
        self._slots = asyncio.Semaphore(most_at_once) if most_at_once else nullcontext()
        self._turn = 0
        self._closed = False

    def patience(self) -> Patience:
        """A fresh count of repetitions, for transfers that resume by themselves."""
        return Patience(self.retry, self._alternatives)

    async def unary(self, method: Method[Q, A], request: Q, timeout_seconds: float | None = None) -> A:
        """One request, one answer; repeated as the RetrySpec says. Raises Error."""
        patience: Patience | None = None
        while True:
            try:
                return await self._unary(method, request, timeout_seconds)
            except Error as error:
                patience = patience or self.patience()
                await patience.after(error)

    async def _unary(self, method: Method[Q, A], request: Q, timeout_seconds: float | None) -> A:
        async with self._slots:
            connection = self._chosen()
            async with connection.slots:
                with self._under_way(connection):
                    call = connection.call("unary_unary", method)
                    return method.read(await call(request, timeout=timeout_seconds, metadata=self._headers))

    async def receive(
        self, method: Method[Q, A], request: Q, *, idle_seconds: float | None = None
    ) -> AsyncGenerator[A, None]:
        """One request, a stream of answers, not repeated.

        Closing the generator cancels the call. Raises Error, DEADLINE_EXCEEDED when nothing comes for `idle_seconds`.
        """
        async with self._slots:
            connection = self._chosen()
            async with connection.slots:
                with self._under_way(connection):
                    call = connection.call("unary_stream", method)(request, metadata=self._headers)
                    try:
                        while (message := await _within(call.read(), idle_seconds)) is not _END:
                            yield method.read(message)
                    finally:
                        call.cancel()

    async def send(self, method: Method[Q, A], requests: AsyncIterator[Q], *, idle_seconds: float | None = None) -> A:
        """A stream of requests, one answer, not repeated.

        What the iterator raises ends the call and comes out as it is. The server may answer early; the iterator is
        then left where it stands. Raises Error, DEADLINE_EXCEEDED when the server takes nothing for `idle_seconds`.
        """
        async with self._slots:
            connection = self._chosen()
            async with connection.slots:
                with self._under_way(connection):
                    call = connection.call("stream_unary", method)(metadata=self._headers)
                    try:
                        await _fed(call, requests, idle_seconds)
                        return method.read(await _within(call, idle_seconds))
                    finally:
                        call.cancel()

    def duplex(self, method: Method[Q, A]) -> Duplex[Q, A]:
        """A stream each way, not repeated; the caller cancels or ends it. Raises Error."""
        connection = self._chosen()
        with self._under_way(connection):
            call = connection.call("stream_stream", method)(metadata=self._headers)
        return Duplex(call, method, lambda: self._under_way(connection))

    def _chosen(self) -> _Connection:
        if self._closed:
            raise Error(Code.CANCELLED, "the connection is closed", where=self.where)
        connections = self._connections
        if len(connections) == 1:
            return connections[0]
        now = monotonic()
        self._turn = (self._turn + 1) % len(connections)
        row = (*connections[self._turn :], *connections[: self._turn])
        return min(row, key=lambda one: (one.down_until > now, one.busy))

    @contextmanager
    def _under_way(self, connection: _Connection) -> Iterator[None]:
        """Count a call, and translate its failure."""
        connection.busy += 1
        try:
            yield
        except grpc.aio.AioRpcError as failure:
            error = translated(failure, connection.endpoint.address)
            if error.code is Code.UNAVAILABLE:
                connection.down_until = monotonic() + _DOWN_SECONDS
            raise error from failure
        except DecodeError as failure:
            message = "the server answered with something that is no message of this method's type"
            raise Error(Code.INTERNAL, message, where=connection.endpoint.address) from failure
        except TimeoutError as failure:
            message = "the server did nothing for too long"
            raise Error(Code.DEADLINE_EXCEEDED, message, where=connection.endpoint.address) from failure
        except asyncio.CancelledError as failure:
            # gRPC cancels the calls of a channel that is closed; only the task's owner may cancel the task.
            if self._closed and not _being_cancelled():
                message = "the connection was closed meanwhile"
                raise Error(Code.CANCELLED, message, where=connection.endpoint.address) from failure
            raise
        finally:
            connection.busy -= 1

    async def close(self) -> None:
        """End every call and connection. May be called twice."""
        self._closed = True
        for connection in self._connections:
            await connection.close()


class Duplex(Generic[Q, A]):
    """A call with a stream each way. One task may send while another receives."""

    def __init__(self, call: Any, method: Method[Q, A], guard: Callable[[], Any]) -> None:
        self._call = call
        self._method = method
        self._guard = guard

    async def send(self, message: Q) -> None:
        """Send a message; returns when gRPC has taken it over. Raises Error when the call has ended."""
        with self._guard():
            if not await _written(self._call, message):
                raise Error(Code.UNAVAILABLE, "the server has ended the stream")

    async def receive(self) -> AsyncGenerator[A, None]:
        """The server's messages until it ends the stream. Raises Error."""
        with self._guard():
            while (message := await self._call.read()) is not _END:
                yield self._method.read(message)

    async def end(self) -> None:
        """Tell the server that no more will be sent."""
        with self._guard():
            await _ended(self._call)

    def cancel(self) -> None:
        """End the call at once; does nothing after the first time."""
        self._call.cancel()


def dial(
    endpoints: EndpointSpec | str | Sequence[EndpointSpec | str],
    *,
    connections: int = 1,
    retry: RetrySpec | None = None,
    headers: Headers = (),
    most_at_once: int | None = None,
) -> Channel:
    """A Channel to one endpoint, or to several that serve the same; `connections` to each of them.

    `headers` go with every call. A plain text is an address; `grpcs://` then trusts what this system trusts. Nothing
    connects before the first call. Raises Error INVALID_ARGUMENT for addresses that cannot be.
    """
    several = [endpoints] if isinstance(endpoints, EndpointSpec | str) else endpoints
    specs = [_endpoint(one) if isinstance(one, str) else one for one in several]
    return Channel(specs, connections=connections, retry=retry, headers=headers, most_at_once=most_at_once)


def _endpoint(address: str) -> EndpointSpec:
    tls = TlsSpec(use_native_roots=True) if target_of(address).secure else None
    return EndpointSpec(address=address, tls_config=tls)


def _serialize(message: Message | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


async def _within(work: Awaitable[Any], seconds: float | None) -> Any:
    if seconds is None:
        return await work
    async with asyncio.timeout(seconds):
        return await work


async def _fed(call: Any, requests: AsyncIterator[Any], seconds: float | None) -> None:
    """Write everything, unless the server answers first."""
    async for request in requests:
        if not await _within(_written(call, request), seconds):
            return
    await _ended(call)


async def _written(call: Any, message: Any) -> bool:
    """Write a message; False when the call has ended well. Raises AioRpcError when it has ended badly."""
    if not call.done():
        await call.wait_for_connection()
        try:
            # The bytes go to the layer below `write`: that one puts an INTERNAL of its own in the place of the server's
            # status when the server ends the call meanwhile (seen with grpcio 1.85).
            await call._cython_call.send_serialized_message(_serialize(message))  # noqa: SLF001
        except grpc.aio.BaseError:
            pass
        else:
            return True
    if await call.code() is not grpc.StatusCode.OK:
        await call
    return False


async def _ended(call: Any) -> None:
    """Say that nothing more comes; how a call ended that is over already is for its reader to find out."""
    with suppress(grpc.aio.BaseError):
        await call.done_writing()


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def translated(failure: grpc.aio.AioRpcError, where: str) -> Error:
    """The Error that a failed call stands for, with the blobs that its PreconditionFailure names as missing."""
    code = Code(failure.code().value[0])
    metadata: Any = failure.trailing_metadata() or ()
    for name, value in metadata:
        if name == _DETAILS and isinstance(value, bytes):
            try:
                error = error_of(status_pb2.Status.FromString(value), where)
            except DecodeError:
                continue
            if error.code is code:
                return error
    message = failure.details() or code.name
    if code is Code.UNAVAILABLE and "failed to connect" in message.lower():
        reason = message.rpartition(": ")[2]
        remedy = "Check that the server runs and that the address is right."
        return Error(code, f"no connection to the server: {reason}", where=where, remedy=remedy)
    return Error(code, message, where=where)


def _opened(endpoint: EndpointSpec) -> grpc.aio.Channel:
    target = target_of(endpoint.address)
    compression = grpc.Compression.Gzip if endpoint.compression == "gzip" else None
    options = _options(endpoint)
    if not target.secure:
        return grpc.aio.insecure_channel(target.name, options=options, compression=compression)
    secrets = credentials(endpoint.tls_config or TlsSpec(use_native_roots=True))
    return grpc.aio.secure_channel(target.name, secrets, options=options, compression=compression)


def _options(endpoint: EndpointSpec) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", MOST_RECEIVED_BYTES),
        ("grpc.max_send_message_length", -1),
        # In frames of 16 KiB, the default, both ends work a tenth more for a large blob.
        ("grpc.http2.max_frame_size", _FRAME_BYTES),
        # A PreconditionFailure in the trailers may be larger than the 8 KiB that gRPC takes by default.
        ("grpc.max_metadata_size", _MOST_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * _MOST_METADATA_BYTES),
        ("grpc.keepalive_time_ms", endpoint.http2_keepalive_interval_s * 1000),
        ("grpc.keepalive_timeout_ms", endpoint.http2_keepalive_timeout_s * 1000),
        # gRPC's name for the time that a connection may take to be made.
        ("grpc.min_reconnect_backoff_ms", endpoint.connect_timeout_s * 1000),
        ("grpc.initial_reconnect_backoff_ms", _SOONEST_RECONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", _LATEST_RECONNECT_MS),
        # A container that is made anew has another address; gRPC would look for it after half a minute.
        ("grpc.dns_min_time_between_resolutions_ms", _NAME_IS_GOOD_MS),
        # Proxies of the environment are for web browsers.
        ("grpc.enable_http_proxy", 0),
        # Otherwise several connections to one address would be one.
        ("grpc.use_local_subchannel_pool", 1),
    ]


def credentials(tls: TlsSpec) -> grpc.ChannelCredentials:
    """What gRPC needs to speak TLS so. Raises Error FAILED_PRECONDITION for a file that cannot be read."""
    if tls.use_native_roots:
        return grpc.ssl_channel_credentials(_native_roots())
    roots = _file(tls.ca_file, "CA certificate") if tls.ca_file else None
    key = _file(tls.key_file, "client key") if tls.key_file else None
    certificate = _file(tls.cert_file, "client certificate") if tls.cert_file else None
    return grpc.ssl_channel_credentials(roots, key, certificate)


def _native_roots() -> bytes | None:
    """What this system trusts; None (gRPC's own list) where it has no such file."""
    paths = ssl.get_default_verify_paths()
    for path in (paths.cafile, paths.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt"):
        if path and os.path.isfile(path):
            return _file(path, "CA certificate")
    return None


def _file(path: str, what: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Error(Code.FAILED_PRECONDITION, f"Could not open {what} file {path}: {error.strerror}") from error
