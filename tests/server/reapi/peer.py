"""A small server of the Remote Execution API in memory, that breaks calls, lies and forgets when it is told to."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import zstandard
from google.longrunning import operations_pb2
from google.rpc import status_pb2
from nlserver.proto import bytestream_pb2, bytestream_pb2_grpc, remote_execution_pb2_grpc
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import Digest, Function, digest_of, function_of, is_empty, of
from nlserver.reapi.names import Compressor, parse_read, parse_write
from nlserver.reapi.tree import message_of

Code = grpc.StatusCode
Script = Callable[["Peer", re_pb.ExecuteRequest], AsyncIterator[operations_pb2.Operation]]


@dataclass(frozen=True)
class Fault:
    """How a call fails: before it does anything, with this code, words and details."""

    code: grpc.StatusCode
    words: str = "out of order"
    details: status_pb2.Status | None = None


@dataclass
class Peer:
    """State that tests prepare and look into. `faults` are used up, one by each call of the method."""

    blobs: dict[Digest, bytes] = field(default_factory=dict)
    results: dict[Digest, bytes] = field(default_factory=dict)
    lies: dict[Digest, bytes] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    metadata: dict[str, Any] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    batch_limit: int = 0
    largest_message: int = 0
    zstd: bool = False
    """Announces zstd, and gives batches so."""
    packs: dict[bytes, bytes] = field(default_factory=dict)
    """What it sends in the place of the zstd stream of these bytes."""
    packed: int = 0
    """How many blobs travelled so."""
    busy: int = 0
    most_busy: int = 0
    partial: dict[str, bytearray] = field(default_factory=dict)
    resumes: bool = True
    early: bool = False
    """Answers an upload of a blob that is there after its first message."""
    committed: int | None = None
    """What it claims to have kept of every upload."""
    cut_reads: deque[int] = field(default_factory=deque)
    """After so many bytes the next read breaks."""
    short_reads: deque[int] = field(default_factory=deque)
    """After so many bytes the next read ends as if all was well."""
    cut_trees: deque[int] = field(default_factory=deque)
    """After so many pages the next tree breaks."""
    chunks: dict[Digest, list[Digest]] = field(default_factory=dict)
    """What SplitBlob answers; of other blobs, that they are not split."""
    cut_writes: deque[int] = field(default_factory=deque)
    """After so many bytes the next upload breaks."""
    hang: asyncio.Event = field(default_factory=asyncio.Event)
    hangs: set[str] = field(default_factory=set)
    """Methods that do nothing until `hang` is set."""
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    executions: deque[Script] = field(default_factory=deque)
    waits: deque[Script] = field(default_factory=deque)
    cancelled: list[str] = field(default_factory=list)
    address: str = ""

    def keep(self, data: bytes, function: Function = Function.SHA256) -> Digest:
        digest = of(data, function)
        self.blobs[digest] = data
        return digest

    def has(self, digest: Digest) -> bool:
        return is_empty(digest) or digest in self.blobs

    def sent_packed(self, data: bytes) -> bytes:
        self.packed += 1
        return self.packs.get(data) or zstandard.ZstdCompressor().compress(data)

    def unpacked(self, data: bytes) -> bytes:
        self.packed += 1
        try:
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
        except zstandard.ZstdError:
            return b"no zstd stream"

    async def began(self, method: str, count: int = 1) -> None:
        """Return when so many calls of this method have come."""
        async with asyncio.timeout(60):
            while self.calls[method] < count:
                self.stirred.clear()
                await self.stirred.wait()

    async def begin(self, method: str, context: Any) -> None:
        self.calls[method] += 1
        self.stirred.set()
        self.metadata = dict(context.invocation_metadata() or ())
        if method in self.hangs:
            await self.hang.wait()
        if self.faults[method]:
            fault = self.faults[method].popleft()
            trailers = (("grpc-status-details-bin", fault.details.SerializeToString()),) if fault.details else ()
            await context.abort(fault.code, fault.words, trailers)


class _Cas(remote_execution_pb2_grpc.ContentAddressableStorageServicer):
    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    async def FindMissingBlobs(self, request: Any, context: Any) -> Any:
        await self.peer.begin("FindMissingBlobs", context)
        function = function_of(request.digest_function)
        asked = [digest_of(message, function) for message in request.blob_digests]
        absent = [message_of(digest) for digest in asked if not self.peer.has(digest)]
        return re_pb.FindMissingBlobsResponse(missing_blob_digests=reversed(absent))

    async def BatchUpdateBlobs(self, request: Any, context: Any) -> Any:
        await self.peer.begin("BatchUpdateBlobs", context)
        self.peer.batches.append(sum(len(one.data) for one in request.requests))
        self.peer.largest_message = max(self.peer.largest_message, request.ByteSize())
        answer = re_pb.BatchUpdateBlobsResponse()
        function = function_of(request.digest_function)
        for one in request.requests:
            digest = digest_of(one.digest, function)
            data = self.peer.unpacked(one.data) if one.compressor == re_pb.Compressor.ZSTD else one.data
            right = of(data, function) == digest
            if right:
                self.peer.blobs[digest] = data
            status = status_pb2.Status(code=0 if right else 3, message="" if right else "wrong hash")
            answer.responses.add(digest=one.digest, status=status)
        return answer

    async def BatchReadBlobs(self, request: Any, context: Any) -> Any:
        await self.peer.begin("BatchReadBlobs", context)
        answer = re_pb.BatchReadBlobsResponse()
        for message in reversed(request.digests):
            digest = digest_of(message, function_of(request.digest_function))
            if self.peer.has(digest):
                data = self.peer.lies.get(digest, self.peer.blobs.get(digest, b""))
                packs = self.peer.zstd and re_pb.Compressor.ZSTD in request.acceptable_compressors
                one = answer.responses.add(digest=message, data=data, status=status_pb2.Status())
                if packs:
                    one.data, one.compressor = self.peer.sent_packed(data), re_pb.Compressor.ZSTD
            else:
                answer.responses.add(digest=message, status=status_pb2.Status(code=5, message="gone"))
        self.peer.batches.append(sum(len(one.data) for one in answer.responses))
        return answer

    async def GetTree(self, request: Any, context: Any) -> Any:
        await self.peer.begin("GetTree", context)
        row = [digest_of(request.root_digest)]
        found = []
        while row:
            directory = re_pb.Directory.FromString(self.peer.blobs.get(row.pop(), b""))
            found.append(directory)
            row += [digest_of(node.digest) for node in directory.directories]
        # Two pages of one each in a stream, then a token.
        start = int(request.page_token or 0)
        cut = self.peer.cut_trees.popleft() if self.peer.cut_trees else None
        for number, directory in enumerate(found[start : start + 2], start + 1):
            if number - start - 1 == cut:
                await context.abort(Code.UNAVAILABLE, "the wire was cut")
            more = str(number) if number < len(found) else ""
            await context.write(re_pb.GetTreeResponse(directories=[directory], next_page_token=more))

    async def SplitBlob(self, request: Any, context: Any) -> Any:
        await self.peer.begin("SplitBlob", context)
        blob = digest_of(request.blob_digest, function_of(request.digest_function))
        if not self.peer.has(blob):
            await context.abort(Code.NOT_FOUND, "gone")
        return re_pb.SplitBlobResponse(chunk_digests=map(message_of, self.peer.chunks.get(blob, [])))

    async def SpliceBlob(self, request: Any, context: Any) -> Any:
        await self.peer.begin("SpliceBlob", context)
        function = function_of(request.digest_function)
        chunks = [digest_of(message, function) for message in request.chunk_digests]
        if not all(map(self.peer.has, chunks)):
            await context.abort(Code.NOT_FOUND, "a chunk is gone")
        data = b"".join(self.peer.blobs[chunk] for chunk in chunks)
        if of(data, function) != digest_of(request.blob_digest, function):
            await context.abort(Code.INVALID_ARGUMENT, "another hash")
        self.peer.keep(data, function)
        return re_pb.SpliceBlobResponse(blob_digest=request.blob_digest)


class _ByteStream(bytestream_pb2_grpc.ByteStreamServicer):
    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    async def Read(self, request: Any, context: Any) -> None:
        peer = self.peer
        await peer.begin("Read", context)
        peer.names.append(request.resource_name)
        name = parse_read(request.resource_name)
        digest = name.digest
        if not peer.has(digest):
            await context.abort(Code.NOT_FOUND, "gone")
        data = peer.lies.get(digest, peer.blobs.get(digest, b""))[request.read_offset :]
        data = data[: request.read_limit] if request.read_limit else data
        if name.compressor is Compressor.ZSTD:
            assert not request.read_limit
            data = peer.sent_packed(data)
        cut = peer.cut_reads.popleft() if peer.cut_reads else None
        short = peer.short_reads.popleft() if peer.short_reads else None
        data = data[: min(len(data), *(n for n in (cut, short) if n is not None))] if cut or short else data
        for start in range(0, len(data), 100_000):
            await context.write(bytestream_pb2.ReadResponse(data=data[start : start + 100_000]))
        if cut is not None:
            await context.abort(Code.UNAVAILABLE, "the wire was cut")

    async def Write(self, requests: Any, context: Any) -> Any:
        peer = self.peer
        await peer.begin("Write", context)
        peer.busy += 1
        peer.most_busy = max(peer.most_busy, peer.busy)
        try:
            return await self._write(requests, context)
        finally:
            peer.busy -= 1

    async def _write(self, requests: Any, context: Any) -> Any:
        peer = self.peer
        cut = peer.cut_writes.popleft() if peer.cut_writes else None
        name, taken, finished = "", 0, False
        async for message in requests:
            peer.largest_message = max(peer.largest_message, message.ByteSize())
            name = name or message.resource_name
            digest = parse_write(name).digest
            if peer.early and peer.has(digest):
                return bytestream_pb2.WriteResponse(committed_size=-1)
            held = peer.partial.setdefault(name, bytearray())
            if message.write_offset == 0 and taken == 0:
                held.clear()
            if message.write_offset != len(held):
                await context.abort(Code.INVALID_ARGUMENT, f"offset {message.write_offset}, not {len(held)}")
            held += message.data
            taken += len(message.data)
            finished = message.finish_write
            if cut is not None and taken >= cut:
                await context.abort(Code.UNAVAILABLE, "the wire was cut")
        peer.names.append(name)
        data = bytes(peer.partial.pop(name))
        sent = len(data)
        if parse_write(name).compressor is Compressor.ZSTD:
            data = peer.unpacked(data)
        if not finished or of(data, digest.function) != digest:
            await context.abort(Code.INVALID_ARGUMENT, "wrong hash")
        peer.blobs[digest] = data
        size = sent if peer.committed is None else peer.committed
        return bytestream_pb2.WriteResponse(committed_size=size)

    async def QueryWriteStatus(self, request: Any, context: Any) -> Any:
        await self.peer.begin("QueryWriteStatus", context)
        if not self.peer.resumes:
            await context.abort(Code.UNIMPLEMENTED, "no")
        if self.peer.has(parse_write(request.resource_name).digest):
            return bytestream_pb2.QueryWriteStatusResponse(committed_size=1, complete=True)
        held = len(self.peer.partial.get(request.resource_name, b""))
        return bytestream_pb2.QueryWriteStatusResponse(committed_size=held)


class _ActionCache(remote_execution_pb2_grpc.ActionCacheServicer):
    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    async def GetActionResult(self, request: Any, context: Any) -> Any:
        await self.peer.begin("GetActionResult", context)
        found = self.peer.results.get(digest_of(request.action_digest, function_of(request.digest_function)))
        if found is None:
            await context.abort(Code.NOT_FOUND, "a miss")
        return re_pb.ActionResult.FromString(found)

    async def UpdateActionResult(self, request: Any, context: Any) -> Any:
        await self.peer.begin("UpdateActionResult", context)
        action = digest_of(request.action_digest, function_of(request.digest_function))
        self.peer.results[action] = request.action_result.SerializeToString()
        return request.action_result


class _Capabilities(remote_execution_pb2_grpc.CapabilitiesServicer):
    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    async def GetCapabilities(self, request: Any, context: Any) -> Any:
        await self.peer.begin("GetCapabilities", context)
        cache = re_pb.CacheCapabilities(max_batch_total_size_bytes=self.peer.batch_limit)
        if self.peer.zstd:
            cache.supported_compressors.append(re_pb.Compressor.ZSTD)
            cache.supported_batch_update_compressors.append(re_pb.Compressor.ZSTD)
        return re_pb.ServerCapabilities(cache_capabilities=cache)


class _Execution(remote_execution_pb2_grpc.ExecutionServicer):
    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    async def Execute(self, request: Any, context: Any) -> None:
        await self.peer.begin("Execute", context)
        await self._played(self.peer.executions.popleft(), request, context)

    async def WaitExecution(self, request: Any, context: Any) -> None:
        await self.peer.begin("WaitExecution", context)
        await self._played(self.peer.waits.popleft(), request, context)

    async def _played(self, script: Script, request: Any, context: Any) -> None:
        async for operation in script(self.peer, request):
            if operation is CUT:
                await context.abort(Code.UNAVAILABLE, "the wire was cut")
            await context.write(operation)


class _Operations:
    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    async def cancel(self, request: Any, context: Any) -> Any:
        await self.peer.begin("CancelOperation", context)
        self.peer.cancelled.append(request.name)
        return operations_pb2.google_dot_protobuf_dot_empty__pb2.Empty()


CUT = operations_pb2.Operation(name="cut")
"""In a script: the connection breaks here."""


@asynccontextmanager
async def serving(peer: Peer | None = None, credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[Peer]:
    """A peer on a free port of this machine."""
    peer = peer or Peer()
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 4 << 20), ("grpc.so_reuseport", 0)])
    remote_execution_pb2_grpc.add_ContentAddressableStorageServicer_to_server(_Cas(peer), server)
    remote_execution_pb2_grpc.add_ActionCacheServicer_to_server(_ActionCache(peer), server)
    remote_execution_pb2_grpc.add_CapabilitiesServicer_to_server(_Capabilities(peer), server)
    remote_execution_pb2_grpc.add_ExecutionServicer_to_server(_Execution(peer), server)
    bytestream_pb2_grpc.add_ByteStreamServicer_to_server(_ByteStream(peer), server)
    cancel = grpc.unary_unary_rpc_method_handler(
        _Operations(peer).cancel,
        operations_pb2.CancelOperationRequest.FromString,
        operations_pb2.google_dot_protobuf_dot_empty__pb2.Empty.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler("google.longrunning.Operations", {"CancelOperation": cancel})
    server.add_generic_rpc_handlers((handlers,))
    if credentials is None:
        peer.address = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    else:
        peer.address = f"grpcs://localhost:{server.add_secure_port('127.0.0.1:0', credentials)}"
    await server.start()
    try:
        yield peer
    finally:
        peer.hang.set()
        await server.stop(0)


def operation(stage: int, name: str = "op", response: re_pb.ExecuteResponse | None = None) -> operations_pb2.Operation:
    """An Operation in this stage; done when it has a response."""
    made = operations_pb2.Operation(name=name, done=response is not None)
    made.metadata.Pack(re_pb.ExecuteOperationMetadata(stage=stage))
    if response is not None:
        made.response.Pack(response)
    return made


def script(*operations: operations_pb2.Operation) -> Script:
    """Says these, one after the other."""

    async def play(peer: Peer, request: Any) -> AsyncIterator[operations_pb2.Operation]:
        for one in operations:
            yield one

    return play
