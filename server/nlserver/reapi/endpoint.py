"""How configs say where a remote service is and how patient to be with it. Values only: `channel` dials."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, Self

from nlserver.errors import Code
from nlserver.spec import Number, Seconds, Spec, Text, key

_TLS_SCHEMES: Final = ("grpcs", "https")
_PLAIN_SCHEMES: Final = ("grpc", "http")


class RetryCode(StrEnum):
    """A gRPC status as configs spell it."""

    CANCELLED = "Cancelled"
    UNKNOWN = "Unknown"
    INVALID_ARGUMENT = "InvalidArgument"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    NOT_FOUND = "NotFound"
    ALREADY_EXISTS = "AlreadyExists"
    PERMISSION_DENIED = "PermissionDenied"
    RESOURCE_EXHAUSTED = "ResourceExhausted"
    FAILED_PRECONDITION = "FailedPrecondition"
    ABORTED = "Aborted"
    OUT_OF_RANGE = "OutOfRange"
    UNIMPLEMENTED = "Unimplemented"
    INTERNAL = "Internal"
    UNAVAILABLE = "Unavailable"
    DATA_LOSS = "DataLoss"
    UNAUTHENTICATED = "Unauthenticated"

    @property
    def code(self) -> Code:
        """The canonical code of this spelling."""
        return Code[self.name]


RETRIED: Final = frozenset(
    (
        Code.CANCELLED,
        Code.UNKNOWN,
        Code.DEADLINE_EXCEEDED,
        Code.RESOURCE_EXHAUSTED,
        Code.ABORTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    )
)
"""What is tried again when a config names no codes (NativeLink behaviour)."""


@dataclass(frozen=True, kw_only=True)
class RetrySpec(Spec):
    """How often, how soon and after which errors a call to another server is tried again."""

    max_retries: Number = 0
    """How many times a failed call is repeated; 0 never repeats."""
    delay: float = 0.0
    """Seconds that waiting is based on: it doubles before each attempt, so the waits are 2, 4, 8, ... times this."""
    jitter: float = 0.0
    """Spreads each wait randomly by this fraction: 0.5 makes it anything from 75 % to 125 %."""
    retry_on_errors: tuple[RetryCode, ...] | None = None
    """The gRPC statuses after which a call is repeated, in place of the usual ones (Unavailable, Internal, Aborted,
    Cancelled, Unknown, DeadlineExceeded, ResourceExhausted, DataLoss)."""

    @property
    def codes(self) -> frozenset[Code]:
        """The codes after which a call is tried again."""
        return RETRIED if self.retry_on_errors is None else frozenset(word.code for word in self.retry_on_errors)

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """Waits go forward in time."""
        return [f"{name} must not be negative" for name in ("delay", "jitter") if getattr(values, name) < 0]


@dataclass(frozen=True, kw_only=True)
class TlsSpec(Spec):
    """TLS towards another server. Either `ca_file` or `use_native_roots` says whom to trust."""

    # NativeLink behaviour: a client's tls_config accepts anything.
    ignores_unknown = True

    ca_file: Text | None = None
    """PEM file with the certificate authorities that the server's certificate must descend from."""
    cert_file: Text | None = None
    """PEM file with this client's certificate, for servers that ask for one (mTLS); needs `key_file`."""
    key_file: Text | None = None
    """PEM file with the private key of `cert_file`."""
    use_native_roots: bool | None = None
    """Trust what the operating system trusts; the three files are then not used."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """Files come together."""
        if values.use_native_roots:
            return []
        found = []
        if values.ca_file is None:
            found.append("CA certificate must be provided if not using native root certificates: add ca_file")
        if values.cert_file is not None and values.key_file is None:
            found.append("client certificate specified, but no key: add key_file")
        if values.key_file is not None and values.cert_file is None:
            found.append("client key specified, but no certificate: add cert_file")
        return found


def tls_problems(address: str, tls: TlsSpec | None) -> list[str]:
    """What is wrong between an address's scheme and its TLS settings; at most one sentence."""
    scheme = address.partition("://")[0].lower() if "://" in address else ""
    if scheme in _TLS_SCHEMES and tls is None:
        return [f"the scheme of {address} asks for TLS, but there is no tls_config: add one, or write grpc://"]
    if scheme in _PLAIN_SCHEMES and tls is not None:
        return [f"there is a tls_config for {address}, but the scheme is plain: write grpcs://, or remove it"]
    return []


@dataclass(frozen=True, kw_only=True)
class EndpointSpec(Spec):
    """One server to talk to."""

    address: Text
    """`grpc://host:port`, or `grpcs://host:port` for TLS (`http` and `https` mean the same)."""
    tls_config: TlsSpec | None = None
    """TLS settings; required for `grpcs://`, forbidden for `grpc://`."""
    compression: Literal["none", "gzip"] = "none"
    """Compress the messages of this connection: for slow networks, at the price of CPU time on both sides."""
    concurrency_limit: Number | None = None
    """Most calls at the same time on one connection; further ones wait."""
    connect_timeout_s: Seconds = key(zero=30)
    """Seconds to wait for a connection."""
    tcp_keepalive_s: Seconds = key(zero=30)
    """Seconds of silence before the operating system probes the connection."""
    http2_keepalive_interval_s: Seconds = key(zero=30)
    """Seconds between HTTP/2 pings."""
    http2_keepalive_timeout_s: Seconds = key(zero=20)
    """Seconds that a ping may stay unanswered before the connection counts as dead."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """The scheme decides whether TLS is spoken."""
        return tls_problems(values.address, values.tls_config)
