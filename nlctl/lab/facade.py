"""A server of another make, in a lab: what it is asked it lets a server of ours answer, but for one mistake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message_factory import GetMessageClass
from nlserver.proto import bytestream_pb2
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi import methods
from nlserver.reapi.digest import Digest, Function, digest_of, function_of, is_empty
from nlserver.reapi.names import parse_read, parse_write
from nlserver.reapi.tree import message_of

from nlctl.launch.wish import HOST

_SERVICES: Final = re_pb.DESCRIPTOR.services_by_name
_REQUESTS: Final = {
    f"/{service.full_name}/{method.name}": GetMessageClass(method.input_type)
    for service in (_SERVICES["ContentAddressableStorage"], _SERVICES["ActionCache"])
    for method in service.methods
    if "digest_function" in method.input_type.fields_by_name
}
"""The requests that say by which function their digests are."""


@dataclass(frozen=True)
class Mistake:
    """What such a server does wrong.

    `announces` changes its capabilities; digests by `refuses` are no digests to it; it may not know of the empty blob
    what everybody knows; and messages above `most_bytes` do not pass.
    """

    announces: Callable[[re_pb.ServerCapabilities], None] = lambda _: None
    refuses: Function | None = None
    lacks_the_empty_blob: bool = False
    most_bytes: int = -1


class Facade:
    """Such a server before the one at `behind`, an address without scheme."""

    def __init__(self, behind: str, mistake: Mistake) -> None:
        self._mistake = mistake
        self._lacks_the_empty_blob = mistake.lacks_the_empty_blob
        limits = [("grpc.max_receive_message_length", mistake.most_bytes), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.aio.insecure_channel(behind, options=limits)
        self._server = grpc.aio.server(handlers=[_Everything(self)], options=limits)

    async def start(self) -> int:
        """Serve; the port."""
        port = self._server.add_insecure_port(f"{HOST}:0")
        await self._server.start()
        return port

    async def serve(self) -> None:
        """Until the process ends."""
        await self._server.wait_for_termination()

    async def answered(
        self, method: str, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        """What the server behind says to these requests, with the mistake in it."""
        first = await anext(aiter(requests))
        refused = self._mistake.refuses
        if refused and self._function(method, first) is refused:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the digest function is not served here")
        if method == methods.WRITE.path and is_empty(_written(first)):
            self._lacks_the_empty_blob = False
        try:
            async for answer in self._channel.stream_stream(method, None, None)(_all(first, requests)):
                yield self._changed(method, first, answer)
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")

    def _function(self, method: str, first: bytes) -> Function | None:
        if method in _REQUESTS:
            return function_of(_REQUESTS[method].FromString(first).digest_function)  # type: ignore[attr-defined]
        if method == methods.WRITE.path:
            return _written(first).function
        if method == methods.READ.path:
            return parse_read(bytestream_pb2.ReadRequest.FromString(first).resource_name).digest.function
        return None

    def _changed(self, method: str, request: bytes, answer: bytes) -> bytes:
        if method == methods.GET_CAPABILITIES.path:
            offered = methods.GET_CAPABILITIES.read(answer)
            self._mistake.announces(offered)
            return offered.SerializeToString()
        if method == methods.FIND_MISSING.path and self._lacks_the_empty_blob:
            asked = re_pb.FindMissingBlobsRequest.FromString(request)
            missing = methods.FIND_MISSING.read(answer)
            function = function_of(asked.digest_function)
            digests = [digest_of(one, function) for one in asked.blob_digests]
            missing.missing_blob_digests.extend(message_of(one) for one in digests if is_empty(one))
            return missing.SerializeToString()
        return answer


class _Everything(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Every method, as a stream of bytes either way: on the wire all of them are."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(partial(self._facade.answered, details.method))


async def _all(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for one in rest:
        yield one


def _written(first: bytes) -> Digest:
    return parse_write(bytestream_pb2.WriteRequest.FromString(first).resource_name).digest


def _by(*functions: Function) -> Callable[[re_pb.ServerCapabilities], None]:
    def announce(offered: re_pb.ServerCapabilities) -> None:
        del offered.cache_capabilities.digest_functions[:]
        offered.cache_capabilities.digest_functions.extend(one.value for one in functions)  # type: ignore[misc]

    return announce


def _old(offered: re_pb.ServerCapabilities) -> None:
    offered.low_api_version.major = offered.high_api_version.major = 1


def _large_batches(offered: re_pb.ServerCapabilities) -> None:
    offered.cache_capabilities.max_batch_total_size_bytes = 64 << 20


def _compressed(offered: re_pb.ServerCapabilities) -> None:
    offered.cache_capabilities.supported_compressors.append(re_pb.Compressor.ZSTD)


MISTAKES: Final = {
    "old": Mistake(_old),
    "blake3-only": Mistake(_by(Function.BLAKE3), refuses=Function.SHA256),
    "sha256-only": Mistake(refuses=Function.BLAKE3),
    "announces-sha256": Mistake(_by(Function.SHA256)),
    "large-batches": Mistake(_large_batches),
    "compressed": Mistake(_compressed),
    "empty-blob": Mistake(lacks_the_empty_blob=True),
    "small-messages": Mistake(most_bytes=2 << 20),
}
"""By the names under which a stand-in is asked for them."""
