"""One listening address: a gRPC server, and a front door before it where HTTP/1.1 must be answered too."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_reflection.v1alpha import reflection

from nlserver import log
from nlserver.certificates import Certificates
from nlserver.errors import Code, Error
from nlserver.front import Front, Route, hidden
from nlserver.service import Service

if TYPE_CHECKING:
    from nlserver.cluster import HttpListenerSpec

_LARGEST_MESSAGE: Final = 8 << 20
"""More than any client sends in one message: they stay below 4 MiB and add names and framing (measured)."""
_LARGEST_METADATA: Final = 64 << 10
_MOST_WAITING_CALLS: Final = 16_384
"""Calls that have arrived and that we did not look at yet. Past 1000 of them gRPC begins to cancel some by chance, and
past 3000 all (measured): a client that asks for thousands of actions at once then sees its calls cancelled."""
_HEALTH: Final = "/grpc.health.v1.Health/"
_IP_FREEBIND: Final = 15
_BACKLOG: Final = 1024
_ALIVE_MS: Final = 60_000
_GREETING_MS: Final = 20_000
_WINDOW_BYTES: Final = 2 << 20
"""What may be on its way in one stream: gRPC's own probing comes to 12 MiB and more, which it holds for each upload
when disks are slower than the network (measured)."""
_FASTEST_PING_MS: Final = 5_000


class Listener:
    """Serves services on one address. `start` binds and accepts; `stop` lets calls under way end.

    `shared` when other processes listen on the address too, each with a socket of its own (see `reserve`).
    """

    def __init__(
        self,
        spec: HttpListenerSpec,
        services: Sequence[Service],
        routes: Sequence[Route],
        *,
        identity: bool = False,
        shared: bool = False,
    ) -> None:
        self._spec = spec
        self._shared = shared
        self._routes = routes
        self._front: Front | None = None
        self._backend: int | None = None
        self.address = spec.socket_address
        interceptors = (_IdentityRequired(),) if identity else ()
        self._server = grpc.aio.server(
            interceptors=interceptors,
            options=_options(spec, shared=shared),
            compression=grpc.Compression.Gzip if spec.compression.send_compression_algorithm == "gzip" else None,
        )
        names = [descriptor.full_name for service in services for descriptor in service.descriptors]
        for service in services:
            self._server.add_generic_rpc_handlers(service.handlers())
        reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], self._server)

    async def start(self) -> None:
        """Bind and accept. Raises Error when the address cannot be had."""
        listening = _bound(self._spec, shared=self._shared)
        self.address = _text(listening.getsockname())
        if self._routes or self._spec.freebind:
            await self._start_behind_door(listening)
        else:
            # gRPC binds by itself; the socket was opened to get a clear error and, for port 0, a free port.
            listening.close()
            self._bind_directly()
            await self._server.start()
        log.info(f"Ready, listening on {self.address}")

    async def _start_behind_door(self, listening: socket.socket) -> None:
        self._backend = await hidden(self._server)
        tls = Certificates(self._spec.tls).context() if self._spec.tls else None
        self._front = Front(f"/proc/self/fd/{self._backend}", self._routes, tls)
        await self._front.start(listening)

    def _bind_directly(self) -> None:
        try:
            if self._spec.tls is None:
                self._server.add_insecure_port(self.address)
            else:
                self._server.add_secure_port(self.address, Certificates(self._spec.tls).credentials())
        except RuntimeError as error:
            raise Error(Code.UNAVAILABLE, f"Address {self.address!r} could not be bound", where=str(error)) from error

    async def stop(self, grace_seconds: float) -> None:
        """Accept nothing new, give calls under way so many seconds, then end them."""
        if self._front is not None:
            self._front.close()
        await self._server.stop(grace_seconds)
        if self._front is not None:
            await self._front.abort()
        if self._backend is not None:
            os.close(self._backend)
            self._backend = None


class _IdentityRequired(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Refuses calls without `baggage: enduser.id=...` (NativeLink's experimental_identity_header.required).

    Health is asked by machines without an identity, as NativeLink's `GET /status` is.
    """

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        if details.method.startswith(_HEALTH):
            return await continuation(details)
        metadata = dict(details.invocation_metadata or ())
        members = str(metadata.get("baggage", "")).split(",")
        identities = [value for name, _, value in (m.strip().partition("=") for m in members) if name == "enduser.id"]
        handler = await continuation(details)
        return handler if any(identities) or handler is None else _refusing(handler)


def _refusing(handler: Any) -> Any:
    async def refuse(_request: Any, context: Any) -> None:
        await context.abort(
            grpc.StatusCode.FAILED_PRECONDITION, "this listener requires `baggage: enduser.id=YOUR_IDENTITY`"
        )

    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    return make(refuse)


def _options(spec: HttpListenerSpec, *, shared: bool) -> list[tuple[str, Any]]:
    advanced = spec.advanced_http
    patience_ms = (advanced.experimental_http2_keep_alive_timeout_s or 20) * 1000
    chosen: dict[str, Any] = {
        "grpc.max_receive_message_length": spec.max_decoding_message_size or _LARGEST_MESSAGE,
        "grpc.max_send_message_length": -1,
        "grpc.server.max_pending_requests": _MOST_WAITING_CALLS,
        "grpc.server.max_pending_requests_hard_limit": _MOST_WAITING_CALLS,
        "grpc.max_metadata_size": advanced.experimental_http2_max_header_list_size or _LARGEST_METADATA,
        # Elsewhere a second server would share the port silently.
        "grpc.so_reuseport": int(shared),
        # Buck2 and others ping idle connections every 30 s; gRPC's own defaults answer with GOAWAY (measured).
        "grpc.http2.min_ping_interval_without_data_ms": _FASTEST_PING_MS,
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.max_ping_strikes": 0,
        "grpc.keepalive_time_ms": (advanced.http2_keep_alive_interval or 0) * 1000 or _ALIVE_MS,
        # gRPC waits for the answer to a ping for the second of these, a minute by default, whatever the first says
        # (measured).
        "grpc.keepalive_timeout_ms": patience_ms,
        "grpc.http2.ping_timeout_ms": patience_ms,
        # Who connects and says nothing would keep a descriptor for gRPC's own two minutes.
        "grpc.server_handshake_timeout_ms": _GREETING_MS,
        "grpc.max_concurrent_streams": advanced.experimental_http2_max_concurrent_streams,
        "grpc.http2.max_frame_size": advanced.experimental_http2_max_frame_size,
        "grpc.http2.lookahead_bytes": advanced.experimental_http2_initial_stream_window_size or _WINDOW_BYTES,
        "grpc.http2.bdp_probe": int(advanced.experimental_http2_adaptive_window or False),
    }
    return [(name, value) for name, value in chosen.items() if value is not None]


def reserve(spec: HttpListenerSpec) -> tuple[str, socket.socket]:
    """Take an address for several processes: it, with its real port, and the socket that holds it and never accepts.

    Raises Error when somebody has it, which a shared socket alone would not notice.
    """
    with _bound(spec, shared=False) as alone:
        address = _text(alone.getsockname())
    return address, _bound(replace(spec, socket_address=address), shared=True, listen=False)


def _bound(spec: HttpListenerSpec, *, shared: bool, listen: bool = True) -> socket.socket:
    address = spec.socket_address
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if spec.freebind:
            listening.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
        listening.bind((host.strip("[]"), int(port)))
        if listen:
            listening.listen(_BACKLOG)
    except (OSError, ValueError, OverflowError) as error:
        listening.close()
        raise _bind_error(address, error) from error
    return listening


def _bind_error(address: str, error: Exception) -> Error:
    match error:
        case OSError(errno=98):
            return Error(
                Code.ALREADY_EXISTS,
                f"Address {address!r} is already in use by another process",
                remedy=f"Stop that process (`ss -ltnp` names it) or choose another port than {address}.",
            )
        case PermissionError():
            return Error(
                Code.PERMISSION_DENIED,
                f"Permission denied. You may need root privileges to bind to address {address!r}",
                remedy="Choose a port above 1023.",
            )
        case ValueError() | OverflowError():
            return Error(Code.INVALID_ARGUMENT, f"Invalid address {address!r}", remedy="Write IP:PORT.")
    return Error(Code.UNAVAILABLE, f"Address {address!r} could not be bound: {error}")


def _text(name: tuple[Any, ...]) -> str:
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
