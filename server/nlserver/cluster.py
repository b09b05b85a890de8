"""The whole config as one Spec, and reading it from a file.

Services, stores, schedulers and workers are imported only when a file has them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, cast

from nlserver.config import legacy
from nlserver.config.decode import Decoder
from nlserver.config.document import LARGEST_FILE, Document, Object, Value, parse
from nlserver.config.origins import Origins
from nlserver.config.problem import ConfigError, Problem, Sort, render
from nlserver.config.walk import mapped, nested
from nlserver.spec import U32, Key, Number, Place, Size, Spec, Text, Unavailable, key
from nlserver.verdict import judge

if TYPE_CHECKING:
    from nlserver.scheduler import SchedulerSpec
    from nlserver.services.ac import AcSpec
    from nlserver.services.admin import AdminSpec
    from nlserver.services.bep import BepSpec
    from nlserver.services.bytestream import ByteStreamSpec
    from nlserver.services.capabilities import CapabilitiesSpec
    from nlserver.services.cas import CasSpec
    from nlserver.services.execution import ExecutionSpec
    from nlserver.services.fetch import FetchSpec
    from nlserver.services.health import HealthSpec
    from nlserver.services.push import PushSpec
    from nlserver.services.worker_api import WorkerApiSpec
    from nlserver.store import StoreSpec
    from nlserver.worker.local import WorkerSpec

__all__ = ["Config", "ConfigError", "Problem", "judge", "load", "loads", "render"]

Algorithm = Literal["none", "gzip"]
_NOWHERE: Final = Value(Place("", 0, 0), Object(()))


@dataclass(frozen=True, kw_only=True)
class StoreEntry(Spec):
    """A named store: `{name: "X", KIND: {...}}`."""

    ignores_unknown = True
    buffered = True
    elsewhere: ClassVar[Mapping[str, str]] = {"StoreSpec": "nlserver.store"}

    name: str
    """The name that services, workers and `ref_store` use; taken literally, once in a file."""
    spec: StoreSpec = key(beside=True)
    """The store, by its kind: its key stands beside `name`."""


@dataclass(frozen=True, kw_only=True)
class SchedulerEntry(Spec):
    """A named scheduler: `{name: "X", KIND: {...}}`."""

    ignores_unknown = True
    buffered = True
    elsewhere: ClassVar[Mapping[str, str]] = {"SchedulerSpec": "nlserver.scheduler"}

    name: str
    """The name that services use; taken literally."""
    spec: SchedulerSpec = key(beside=True)
    """The scheduler, by its kind: its key stands beside `name`."""


@dataclass(frozen=True, kw_only=True)
class CompressionSpec(Spec):
    """Compression of whole gRPC messages."""

    send_compression_algorithm: Algorithm | None = None
    """How answers are compressed when the client accepts it."""
    accepted_compression_algorithms: tuple[Algorithm, ...]
    """How requests may be compressed."""


@dataclass(frozen=True, kw_only=True)
class AdvancedHttpSpec(Spec):
    """Settings of HTTP/2 itself; what is left out keeps the library's own value."""

    http2_keep_alive_interval: Number | None = key(default=None, most=U32)
    """Seconds between pings to an idle client."""
    experimental_http2_max_pending_accept_reset_streams: Number | None = key(default=None, most=U32)
    """The most streams that a client may have reset before it was answered."""
    experimental_http2_initial_stream_window_size: Number | None = key(default=None, most=U32)
    """Bytes that a client may send on one stream before it is told to go on."""
    experimental_http2_initial_connection_window_size: Number | None = key(default=None, most=U32)
    """Bytes that a client may send on one connection before it is told to go on."""
    experimental_http2_adaptive_window: bool | None = None
    """Fit the windows to the network."""
    experimental_http2_max_frame_size: Number | None = key(default=None, most=U32)
    """Bytes of the largest frame."""
    experimental_http2_max_concurrent_streams: Number | None = key(default=None, most=U32)
    """The most calls under way on one connection."""
    experimental_http2_keep_alive_timeout_s: Number | None = key(
        default=None, most=U32, alias="experimental_http2_keep_alive_timeout"
    )
    """Seconds that a ping may stay unanswered before the connection is closed."""
    experimental_http2_max_send_buf_size: Number | None = key(default=None, most=U32)
    """Bytes kept for one stream until the client takes them."""
    experimental_http2_enable_connect_protocol: bool | None = None
    """Accept the extended CONNECT protocol."""
    experimental_http2_max_header_list_size: Number | None = key(default=None, most=U32)
    """Bytes of headers that a request may have."""


@dataclass(frozen=True, kw_only=True)
class ServerTlsSpec(Spec):
    """TLS of a listener."""

    cert_file: Text
    """PEM file with the certificate, followed by those between it and the authority."""
    key_file: Text
    """PEM file with the certificate's private key."""
    client_ca_file: Text | None = None
    """PEM file with authorities; when given, clients must show a certificate that descends from one (mTLS)."""
    client_crl_file: Text | None = None
    """Revocation lists for client certificates; no effect without `client_ca_file`."""


class ListenerSpec(Spec, kinds=""):
    """An address to listen on, by its kind: `http` is the only one."""


@dataclass(frozen=True, kw_only=True)
class HttpListenerSpec(ListenerSpec, tag="http"):
    """gRPC over HTTP/2, and HTTP/1.1 for `health` and `admin`, on one address."""

    socket_address: Text
    """`IP:PORT`, such as `0.0.0.0:50051` or `[::]:50051`; no host names. Port 0 takes a free one."""
    freebind: bool = False
    """Bind an address that this machine does not have yet (Linux)."""
    compression: CompressionSpec = key(default_factory=lambda: CompressionSpec(accepted_compression_algorithms=()))
    """Compression of messages."""
    advanced_http: AdvancedHttpSpec = key(default_factory=AdvancedHttpSpec)
    """Settings of HTTP/2."""
    max_decoding_message_size: Size | None = key(zero=None)
    """Bytes of the largest message that is taken; 0 means the usual limit, which is enough for every client."""
    tls: ServerTlsSpec | None = None
    """Speak TLS."""


@dataclass(frozen=True, kw_only=True)
class IdentityHeaderSpec(Spec):
    """Whether clients must say who they are."""

    ignores_unknown = True

    header_name: Text | None = None
    """Has no effect: the identity is read from the standard header `baggage`."""
    required: bool = False
    """Refuse calls whose header `baggage` has no `enduser.id`."""


@dataclass(frozen=True, kw_only=True)
class ServicesSpec(Spec):
    """What is served on a listener. Each list has one item for each instance name."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "AcSpec": "nlserver.services.ac",
        "AdminSpec": "nlserver.services.admin",
        "BepSpec": "nlserver.services.bep",
        "ByteStreamSpec": "nlserver.services.bytestream",
        "CapabilitiesSpec": "nlserver.services.capabilities",
        "CasSpec": "nlserver.services.cas",
        "ExecutionSpec": "nlserver.services.execution",
        "FetchSpec": "nlserver.services.fetch",
        "HealthSpec": "nlserver.services.health",
        "PushSpec": "nlserver.services.push",
        "WorkerApiSpec": "nlserver.services.worker_api",
    }

    cas: tuple[CasSpec, ...] | None = None
    """Blobs in batches: ContentAddressableStorage."""
    ac: tuple[AcSpec, ...] | None = None
    """Results of actions: ActionCache."""
    capabilities: tuple[CapabilitiesSpec, ...] | None = None
    """What clients are told that they can use."""
    execution: tuple[ExecutionSpec, ...] | None = None
    """Running actions: Execution and Operations."""
    bytestream: tuple[ByteStreamSpec, ...] | None = None
    """Single blobs of any size."""
    fetch: tuple[FetchSpec, ...] | None = None
    """Remote assets: asking for what a URL has."""
    push: tuple[PushSpec, ...] | None = None
    """Remote assets: saying what a URL has."""
    worker_api: WorkerApiSpec | None = None
    """Where workers connect."""
    experimental_bep: BepSpec | None = None
    """Keeping build events."""
    admin: AdminSpec | None = None
    """What operators ask of a running process."""
    health: HealthSpec | None = None
    """`GET /status`."""


@dataclass(frozen=True, kw_only=True)
class ServerSpec(Spec):
    """One listener and what it serves."""

    name: Text = ""
    """For people; has no effect."""
    listener: HttpListenerSpec
    """The address."""
    services: ServicesSpec | None = None
    """What is served there; needed to start."""
    experimental_identity_header: IdentityHeaderSpec = key(default_factory=IdentityHeaderSpec)
    """Whether clients must say who they are."""


@dataclass(frozen=True, kw_only=True)
class GlobalSpec(Spec):
    """Settings of the whole process."""

    max_open_files: Number = field(metadata={"key": Key(zero=24_576)})
    """How many files this process may have open; bounded by the system's hard limit."""
    default_digest_hash_function: Literal["sha256", "blake3"] | None = None
    """The digest function of requests that name none; `sha256` unless stated."""
    default_digest_size_health_check: Size = key(zero=1 << 20)
    """Bytes of the blob with which NativeLink probes stores for health; no effect here, where stores are asked."""


@dataclass(frozen=True, kw_only=True)
class PublisherSpec(Spec):
    """Where origin events go."""

    ignores_unknown = True

    store: Text
    """The store, by its name in `stores`."""


@dataclass(frozen=True, kw_only=True)
class OriginEventsSpec(Unavailable):
    """A record of every call, written to a store in batches. Not available yet."""

    ignores_unknown = True
    called = "experimental_origin_events"
    instead = "Take it out; the log has every execution."

    publisher: PublisherSpec
    """Where they go."""
    max_event_queue_size: Number = key(zero=65_536)
    """How many events may wait to be written."""


@dataclass(frozen=True)
class Source:
    """The file that a Config was read from, for whoever explains it."""

    document: Document = field(default_factory=lambda: Document(_NOWHERE))
    origins: Origins = field(default_factory=Origins)
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Config(Spec):
    """A config file: what one process stores, schedules, serves and works."""

    elsewhere: ClassVar[Mapping[str, str]] = {"WorkerSpec": "nlserver.worker.local"}

    stores: tuple[StoreEntry, ...]
    """The stores, by name."""
    schedulers: tuple[SchedulerEntry, ...] | None = None
    """The schedulers, by name."""
    servers: tuple[ServerSpec, ...]
    """The listeners and what each serves."""
    workers: tuple[WorkerSpec, ...] | None = None
    """Workers that run in this process."""
    globals: GlobalSpec | None = key(name="global", default=None)
    """Settings of the whole process."""
    experimental_origin_events: OriginEventsSpec | None = None
    """A record of every call."""
    source: Source = field(default_factory=Source, compare=False, repr=False, metadata={"aside": True})

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What was strange while reading, and did not keep the config from being read."""
        return self.source.warnings

    def place(self, spec: Spec, key: str = "") -> Place:
        """Where a field of a Spec of this config stands; the object itself when the file does not say the field."""
        return self.source.origins.place(spec, key)

    def places(self) -> dict[str, Place]:
        """The place of every value of the file by its config path, such as `stores[0].filesystem.content_path`."""
        return {value.place.path: value.place for value in _values(self.source.document.root)}

    def problem(
        self,
        spec: Spec,
        key: str,
        reason: str,
        nearest: str | None = None,
        *,
        fatal: bool = True,
        sort: Sort = Sort.TOGETHER,
    ) -> Problem:
        """A problem of a field of a Spec of this config."""
        place = self.place(spec, key)
        return Problem(place, reason, nearest, fatal, self.source.document.excerpt(place), sort)

    def names(self, kind: Literal["stores", "schedulers"]) -> list[str]:
        """The names of the entries of a list, in order, also of those that could not be decoded."""
        entries = self.source.document.root.get(kind)
        if entries is None:
            return [entry.name for entry in getattr(self, kind) or ()]
        named = (entry.get("name") for entry in entries.items)
        return [name.content for name in named if name is not None and isinstance(name.content, str)]


def _values(value: Value) -> Iterator[Value]:
    yield value
    for item in (*value.items, *(item for _, item in value.pairs)):
        yield from _values(item)


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """The config in a file. Raises ConfigError with every problem of the file, also when it cannot be read."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError([_unreadable(path, f"Could not open config file {path}: {reason}")]) from error
    if len(data) > LARGEST_FILE:
        raise ConfigError([_unreadable(path, f"a config has {LARGEST_FILE} bytes at most; this file has more")])
    return loads(_text(data, str(path)), str(path), environment)


def loads(text: str, file_name: str, environment: Mapping[str, str]) -> Config:
    """The config in a text; `file_name` is for messages. Raises ConfigError with every problem of the text."""
    document = parse(text, file_name)
    decoder = Decoder(document, environment)
    decoder.problems += document.problems
    root = legacy.rewritten(document.root, environment, decoder.note)
    made = decoder.spec(Config, root)
    if made is None:
        raise ConfigError(decoder.problems)
    source = Source(document, decoder.origins)
    config = dataclasses.replace(made, source=source)
    source.origins.moved(made, config)
    config, strange = _with_wire_compression(config)
    problems = [*decoder.problems, *strange, *_shared_stores(config)]
    if any(problem.fatal for problem in problems):
        raise ConfigError([*problems, *judge(config)])
    return _moved(config, dataclasses.replace(config, source=dataclasses.replace(source, warnings=tuple(problems))))


def _moved(old: Config, new: Config) -> Config:
    new.source.origins.moved(old, new)
    return new


def _text(data: bytes, file: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        reason = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise ConfigError([Problem(Place("", line, column, file), reason, sort=Sort.SYNTAX)]) from error


def _unreadable(path: Path, reason: str) -> Problem:
    return Problem(Place("", 0, 0, str(path)), reason, sort=Sort.SYNTAX)


def _shared_stores(config: Config) -> Iterator[Problem]:
    """A CAS and an action cache must not share a store: keys of both are digests (NativeLink's own check)."""
    for server in config.servers:
        services = server.services or ServicesSpec()
        taken = {(item.instance_name, item.cas_store) for item in services.cas or ()}
        for item in services.ac or ():
            if (item.instance_name, item.ac_store) in taken:
                reason = f"CAS and AC use the same store '{item.ac_store}' in the config"
                yield config.problem(item, "ac_store", reason)


def _with_wire_compression(config: Config) -> tuple[Config, list[Problem]]:
    """One wish for zstd on the wire, of a service or a store, holds for every `grpc` CAS store that says nothing."""
    compress: Final = "experimental_remote_cache_compression"
    remote = [spec for spec in nested(config) if spec.tag == "grpc" and hasattr(spec, compress)]
    wished = any(getattr(spec, compress) and _is_cas(spec) for spec in remote) or any(
        item.remote_cache_compression
        for server in config.servers
        for item in (server.services.capabilities if server.services else None) or ()
    )

    def change(spec: Spec) -> Spec:
        silent = spec.tag == "grpc" and getattr(spec, compress, False) is None and _is_cas(spec)
        return cast(Spec, dataclasses.replace(cast(Any, spec), **{compress: True})) if silent else spec

    strange = list(_strange_compression(config, remote, compress, wished=wished))
    return (mapped(config, change, config.source.origins.moved) if wished else config), strange


def _strange_compression(config: Config, remote: list[Spec], compress: str, *, wished: bool) -> Iterator[Problem]:
    for spec in remote:
        said = getattr(spec, compress)
        if said and not _is_cas(spec):
            yield config.problem(
                spec, compress, "no effect: an action cache is not compressed on the wire", fatal=False
            )
        if said is False and wished and _is_cas(spec):
            reason = "stays false although remote cache compression is wished for elsewhere in this file"
            yield config.problem(spec, compress, reason, fatal=False)


def _is_cas(spec: Spec) -> bool:
    return getattr(spec, "store_type", None) == "cas"
