"""A server under test as clients see it: its stubs, the calls that most rules need, and an eye on every status.

Nothing here is of the server's own code but the generated messages, so that a mistake of ours is not made twice.
"""

from __future__ import annotations

import hashlib
import os
import queue
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final, NamedTuple, NoReturn, Self

import grpc
import pytest
from blake3 import blake3
from google.longrunning import operations_pb2_grpc
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2_grpc
from nlserver.proto import (
    bytestream_pb2,
    bytestream_pb2_grpc,
    remote_asset_pb2_grpc,
    remote_execution_pb2,
    remote_execution_pb2_grpc,
)

rx: Final = remote_execution_pb2
bs: Final = bytestream_pb2
Code: Final = grpc.StatusCode

REAPI: Final = "build.bazel.remote.execution.v2"
ASSET: Final = "build.bazel.remote.asset.v1"
_PATIENCE_SECONDS: Final = 60.0
_LEAK: Final = re.compile(
    r"Traceback|<class |\b[A-Z]\w*(?:Exception|Error)\b|\bobject at 0x|\.py\b|site-packages|\bself\.|\bNoneType\b"
)
_HASHES: Final[Mapping[str, Callable[[bytes], str]]] = {
    "SHA256": lambda data: hashlib.sha256(data).hexdigest(),
    "SHA1": lambda data: hashlib.sha1(data).hexdigest(),
    "MD5": lambda data: hashlib.md5(data).hexdigest(),
    "SHA384": lambda data: hashlib.sha384(data).hexdigest(),
    "SHA512": lambda data: hashlib.sha512(data).hexdigest(),
    "BLAKE3": lambda data: blake3(data).hexdigest(),
}


def not_applicable(reason: str) -> NoReturn:
    """End the test: its rule is about something that this server does not offer."""
    pytest.skip(reason)


def digest(data: bytes | Message, function: str = "SHA256") -> rx.Digest:
    """The digest of these bytes, or of a message in its binary form."""
    content = data if isinstance(data, bytes) else data.SerializeToString()
    return rx.Digest(hash=_HASHES[function](content), size_bytes=len(content))


def fresh(size: int) -> bytes:
    """Bytes that no server has seen before."""
    return os.urandom(size)


def key(message: rx.Digest) -> tuple[str, int]:
    """A digest as a value to compare and to keep in sets."""
    return message.hash, message.size_bytes


def function_number(name: str) -> int:
    """The number of a digest function on the wire."""
    return int(rx.DigestFunction.Value.Value(name))


class Refusal(NamedTuple):
    """The status with which a call ended."""

    code: grpc.StatusCode
    words: str


@contextmanager
def refused(*codes: grpc.StatusCode) -> Iterator[None]:
    """The call inside ends with one of these codes."""
    ended, words = Code.OK, ""
    try:
        yield
    except grpc.RpcError as error:
        ended, words = error.code(), error.details() or ""
    assert ended in codes, f"{ended}: {words}"


def raised(call: Callable[[], Any]) -> grpc.RpcError | None:
    """The error of this call, where its trailers matter."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    return None


def status_of(call: Callable[[], Any]) -> Refusal:
    """How this call ends, for rules about which the answers may differ."""
    try:
        call()
    except grpc.RpcError as error:
        return Refusal(error.code(), error.details() or "")
    return Refusal(Code.OK, "")


class Target:
    """One server and one of its instances."""

    def __init__(self, address: str, instance: str, other_instance: str | None = None) -> None:
        self.address = address
        self.instance = instance
        self._other_instance = other_instance
        self.leaks: list[str] = []
        self._served: dict[str, bool] = {}
        self._plain = grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)])
        self.channel = grpc.intercept_channel(self._plain, _Watch(self.leaks))

    def close(self) -> None:
        """Give the connection back."""
        self._plain.close()

    @property
    def other_instance(self) -> str:
        """A second instance; a test that needs one is not applicable without."""
        return self._other_instance if self._other_instance is not None else not_applicable("one instance is known")

    # One stub a service. Whoever asks for a service that is not there is not applicable.

    @cached_property
    def cas(self) -> remote_execution_pb2_grpc.ContentAddressableStorageStub:
        """ContentAddressableStorage."""
        self._expect(f"/{REAPI}.ContentAddressableStorage/FindMissingBlobs")
        return remote_execution_pb2_grpc.ContentAddressableStorageStub(self.channel)

    @cached_property
    def ac(self) -> remote_execution_pb2_grpc.ActionCacheStub:
        """ActionCache."""
        self._expect(f"/{REAPI}.ActionCache/GetActionResult")
        return remote_execution_pb2_grpc.ActionCacheStub(self.channel)

    @cached_property
    def bytestream(self) -> bytestream_pb2_grpc.ByteStreamStub:
        """ByteStream."""
        self._expect("/google.bytestream.ByteStream/Read")
        return bytestream_pb2_grpc.ByteStreamStub(self.channel)

    @cached_property
    def execution(self) -> remote_execution_pb2_grpc.ExecutionStub:
        """Execution."""
        self._expect(f"/{REAPI}.Execution/Execute")
        return remote_execution_pb2_grpc.ExecutionStub(self.channel)

    @cached_property
    def operations(self) -> operations_pb2_grpc.OperationsStub:
        """google.longrunning.Operations."""
        self._expect("/google.longrunning.Operations/GetOperation")
        return operations_pb2_grpc.OperationsStub(self.channel)

    @cached_property
    def fetch(self) -> remote_asset_pb2_grpc.FetchStub:
        """Fetch of the Remote Asset API."""
        self._expect(f"/{ASSET}.Fetch/FetchBlob")
        return remote_asset_pb2_grpc.FetchStub(self.channel)

    @cached_property
    def push(self) -> remote_asset_pb2_grpc.PushStub:
        """Push of the Remote Asset API."""
        self._expect(f"/{ASSET}.Push/PushBlob")
        return remote_asset_pb2_grpc.PushStub(self.channel)

    @cached_property
    def capabilities_service(self) -> remote_execution_pb2_grpc.CapabilitiesStub:
        """Capabilities."""
        self._expect(f"/{REAPI}.Capabilities/GetCapabilities")
        return remote_execution_pb2_grpc.CapabilitiesStub(self.channel)

    @cached_property
    def health(self) -> health_pb2_grpc.HealthStub:
        """grpc.health.v1."""
        self._expect("/grpc.health.v1.Health/Check")
        return health_pb2_grpc.HealthStub(self.channel)

    @cached_property
    def capabilities(self) -> rx.ServerCapabilities:
        """What the instance under test announces."""
        return self.capabilities_service.GetCapabilities(rx.GetCapabilitiesRequest(instance_name=self.instance))

    @property
    def cache(self) -> rx.CacheCapabilities:
        """What it announces of its cache."""
        return self.capabilities.cache_capabilities

    @property
    def functions(self) -> list[str]:
        """The announced digest functions by name, those that we can compute."""
        names = [rx.DigestFunction.Value.Name(number) for number in self.cache.digest_functions]
        return [name for name in names if name in _HASHES]

    @property
    def compressors(self) -> list[str]:
        """The announced compressors of ByteStream as resource names spell them, those that we can pack."""
        names = [rx.Compressor.Value.Name(number).lower() for number in self.cache.supported_compressors]
        return [name for name in names if name in ("zstd", "deflate")]

    @property
    def most_batch_bytes(self) -> int:
        """The announced largest batch, or what clients assume where none is announced."""
        return self.cache.max_batch_total_size_bytes or 4 << 20

    def serves(self, method: str) -> bool:
        """Whether there is such a method."""
        if method not in self._served:
            self._served[method] = status_of(lambda: self.raw(method, b"")).code is not Code.UNIMPLEMENTED
        return self._served[method]

    def _expect(self, method: str) -> None:
        if not self.serves(method):
            not_applicable(f"{method.split('/')[1]} is not served")

    def raw(self, method: str, *messages: bytes, timeout: float = _PATIENCE_SECONDS, **options: Any) -> list[bytes]:
        """The answers to these bytes, sent as they are. Raises grpc.RpcError."""
        call = self.channel.stream_stream(method, _as_it_is, _as_it_is)
        return list(call(iter(messages), timeout=timeout, **options))

    # The calls that most rules need.

    def find_missing(self, *digests: rx.Digest, **fields: Any) -> list[rx.Digest]:
        """FindMissingBlobs."""
        request = rx.FindMissingBlobsRequest(**{"instance_name": self.instance, "blob_digests": digests, **fields})
        return list(self.cas.FindMissingBlobs(request).missing_blob_digests)

    def is_present(self, wanted: rx.Digest, **fields: Any) -> bool:
        """Whether FindMissingBlobs says that the blob is there."""
        return not self.find_missing(wanted, **fields)

    def update(self, *blobs: bytes | tuple[rx.Digest, bytes], **fields: Any) -> list[status_pb2.Status]:
        """BatchUpdateBlobs: the status of each of these blobs, whose digests are computed where none is given."""
        pairs = [(digest(blob), blob) if isinstance(blob, bytes) else blob for blob in blobs]
        requests = [rx.BatchUpdateBlobsRequest.Request(digest=name, data=data) for name, data in pairs]
        request = rx.BatchUpdateBlobsRequest(**{"instance_name": self.instance, "requests": requests, **fields})
        answer = self.cas.BatchUpdateBlobs(request)
        by_key = {key(one.digest): one.status for one in answer.responses}
        assert len(answer.responses) == len(pairs)
        return [by_key[key(name)] for name, _ in pairs]

    def put(self, data: bytes | Message, function: str = "SHA256") -> rx.Digest:
        """Have this blob on the server; returns its digest."""
        content = data if isinstance(data, bytes) else data.SerializeToString()
        name = digest(content, function)
        if len(content) > self.most_batch_bytes:
            self.write(self.write_name(name, function), content)
            return name
        (status,) = self.update((name, content), digest_function=function_number(function))
        assert status.code == 0, status
        return name

    def get(self, *digests: rx.Digest, **fields: Any) -> list[rx.BatchReadBlobsResponse.Response]:
        """BatchReadBlobs."""
        request = rx.BatchReadBlobsRequest(**{"instance_name": self.instance, "digests": digests, **fields})
        return list(self.cas.BatchReadBlobs(request).responses)

    def read_name(
        self, wanted: rx.Digest, function: str = "", compressor: str = "", instance: str | None = None
    ) -> str:
        """The resource name to read a blob by."""
        return _joined(self.instance if instance is None else instance, _blob_name(wanted, function, compressor))

    def write_name(
        self,
        wanted: rx.Digest,
        function: str = "",
        compressor: str = "",
        upload_id: str = "",
        instance: str | None = None,
    ) -> str:
        """The resource name to upload a blob by, with a new id where none is given."""
        name = f"uploads/{upload_id or uuid.uuid4()}/{_blob_name(wanted, function, compressor)}"
        return _joined(self.instance if instance is None else instance, name)

    def read(self, name: str, offset: int = 0, limit: int = 0, **options: Any) -> bytes:
        """ByteStream.Read from start to end."""
        request = bs.ReadRequest(resource_name=name, read_offset=offset, read_limit=limit)
        return b"".join(message.data for message in self.bytestream.Read(request, **options))

    def write(self, name: str, data: bytes, chunk_bytes: int = 1 << 20, **options: Any) -> int:
        """ByteStream.Write of all of this; returns the committed size."""
        return self.send(messages(name, data, chunk_bytes), **options)

    def send(self, requests: Iterable[bs.WriteRequest], **options: Any) -> int:
        """ByteStream.Write of these messages; returns the committed size."""
        return int(self.bytestream.Write(iter(requests), **options).committed_size)

    def progress(self, name: str) -> bs.QueryWriteStatusResponse:
        """QueryWriteStatus."""
        return self.bytestream.QueryWriteStatus(bs.QueryWriteStatusRequest(resource_name=name))

    def committed(self, name: str) -> int:
        """How much of an upload the server has, as far as it says so."""
        try:
            return int(self.progress(name).committed_size)
        except grpc.RpcError as error:
            # The two answers of servers that keep nothing to go on with.
            if error.code() in (Code.NOT_FOUND, Code.UNIMPLEMENTED):
                return 0
            raise


class Feed:
    """The messages of a stream, one by one as a test says so; the stream ends with the block."""

    def __init__(self) -> None:
        self._row: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    def say(self, message: Message) -> None:
        """Send this message."""
        self._row.put(message)

    def end(self) -> None:
        """Send no more."""
        self._row.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def __iter__(self) -> Iterator[Message]:
        while (message := self._row.get()) is not None:
            yield message


def until(condition: Callable[[], bool], seconds: float = 90.0) -> bool:
    """Look again and again until this holds; whether it ever did."""
    deadline = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held


def messages(name: str, data: bytes, chunk_bytes: int = 1 << 20, first_offset: int = 0) -> Iterator[bs.WriteRequest]:
    """The WriteRequests of an upload: the name in the first, `finish_write` in the last."""
    starts = range(0, len(data), chunk_bytes) or range(1)
    for start in starts:
        yield bs.WriteRequest(
            resource_name=name if start == 0 else "",
            write_offset=first_offset + start,
            data=data[start : start + chunk_bytes],
            finish_write=start == starts[-1],
        )


def leak(text: str) -> str | None:
    """What of Python shows through in this text, if anything."""
    found = _LEAK.search(text)
    return found.group() if found else None


def statuses(message: Message) -> Iterator[status_pb2.Status]:
    """Every google.rpc.Status inside of a message."""
    if isinstance(message, status_pb2.Status):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for below in value if isinstance(value, Iterable) else (value,):
            yield from statuses(below)


def _as_it_is(data: bytes) -> bytes:
    return data


def _joined(instance: str, rest: str) -> str:
    return f"{instance}/{rest}" if instance else rest


def _blob_name(wanted: rx.Digest, function: str, compressor: str) -> str:
    kind = f"compressed-blobs/{compressor}" if compressor else "blobs"
    # The functions whose numbers came first are never spelt out (REAPI v2, ByteStream).
    stated = f"{function.lower()}/" if function and function_number(function) > 7 else ""
    return f"{kind}/{stated}{wanted.hash}/{wanted.size_bytes}"


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any


class _Watch(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Notes what leaks through statuses, and lets no call wait for ever."""

    def __init__(self, leaks: list[str]) -> None:
        self._leaks = leaks

    def _go(self, continuation: Any, details: Any, request: Any) -> Any:
        timeout = _PATIENCE_SECONDS if details.timeout is None else details.timeout
        call = continuation(
            _Details(
                details.method,
                timeout,
                details.metadata,
                details.credentials,
                getattr(details, "wait_for_ready", None),
                getattr(details, "compression", None),
            ),
            request,
        )
        call.add_done_callback(lambda done: self._note(details.method, done))
        return call

    def _note(self, method: str, call: Any) -> None:
        words = [call.details() or ""]
        words += [str(value) for _, value in call.trailing_metadata() or ()]
        if call.code() is Code.OK and isinstance(result := _result(call), Message):
            words += [status.message for status in statuses(result)]
        self._leaks += [f"{method}: {leak(text)} in {text[:500]}" for text in words if leak(text)]

    intercept_unary_unary = _go
    intercept_unary_stream = _go
    intercept_stream_unary = _go
    intercept_stream_stream = _go


def _result(call: Any) -> object:
    # Calls that answer a stream have no result.
    return call.result() if hasattr(call, "result") and not hasattr(call, "__next__") else None
