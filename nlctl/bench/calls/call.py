"""What a call of the benchmark is, and the connection that it goes over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import grpc
from nlserver.reapi.address import target_of

from nlctl.bench.orders import Exchange, Target

T = TypeVar("T")
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
_PATIENCE_SECONDS: Final = 5.0
_NOBODY: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_REAPI: Final = "/build.bazel.remote.execution.v2"
_CAS: Final = f"{_REAPI}.ContentAddressableStorage"
_CACHE: Final = f"{_REAPI}.ActionCache"
_STREAM: Final = "/google.bytestream.ByteStream"


class Wrong(Exception):
    """The server answered something that it must not."""


class Call(ABC):
    """One kind of call to one server. `once` is what is timed; everything else may take its time."""

    @abstractmethod
    async def set_up(self) -> Exchange:
        """Upload what is needed and make a call whose answer is looked at closely. Raises Wrong or AioRpcError."""

    def arm(self, calls: int) -> None:
        """Have so many new requests ready."""

    @abstractmethod
    async def once(self) -> int:
        """One call; answers the bytes of blobs that it moved. Raises Wrong or AioRpcError."""

    async def check(self) -> None:
        """Look closely at one more call. Raises Wrong or AioRpcError."""
        await self.set_up()

    async def close(self) -> None:
        """Let go of what this kind of call alone has."""


class Fresh(Generic[T]):
    """Requests that are used once: made ahead by `arm`, and on the spot where those do not suffice."""

    def __init__(self, make: Callable[[], T], most: int) -> None:
        self._make = make
        self._most = most
        self._ready: list[T] = []

    def arm(self, count: int) -> None:
        """Have so many ready, as far as memory allows."""
        self._ready += [self._make() for _ in range(min(count, self._most) - len(self._ready))]

    def next(self) -> T:
        """One that nobody had."""
        return self._ready.pop() if self._ready else self._make()


class Connection:
    """One HTTP/2 connection to a server: its methods take and give serialised messages."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.instance = target.instance
        self.prefix = f"{target.instance}/" if target.instance else ""
        self.channel: Any = _channel(target.cas)
        self._cache: Any = _channel(target.cache) if target.cache else self.channel
        self.find_missing = self.channel.unary_unary(f"{_CAS}/FindMissingBlobs")
        self.batch_read = self.channel.unary_unary(f"{_CAS}/BatchReadBlobs")
        self.batch_update = self.channel.unary_unary(f"{_CAS}/BatchUpdateBlobs")
        self.read = self.channel.unary_stream(f"{_STREAM}/Read")
        self.write = self.channel.stream_unary(f"{_STREAM}/Write")
        self.get_result = self._cache.unary_unary(f"{_CACHE}/GetActionResult")
        self.put_result = self._cache.unary_unary(f"{_CACHE}/UpdateActionResult")

    async def greet(self) -> None:
        """Return when somebody answers, whatever the answer is. Raises AioRpcError UNAVAILABLE or DEADLINE_EXCEEDED."""
        try:
            await self.channel.unary_unary(f"{_REAPI}.Capabilities/GetCapabilities")(b"", timeout=_PATIENCE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() in _NOBODY:
                raise

    async def close(self) -> None:
        """Hang up."""
        await self.channel.close()
        await self._cache.close()


def _channel(address: str) -> Any:
    # Any: what its methods give takes and gives bytes of the wire where no serialisers are named.
    target = target_of(address)
    if target.secure:
        return grpc.aio.secure_channel(target.name, grpc.ssl_channel_credentials(), options=_OPTIONS)
    return grpc.aio.insecure_channel(target.name, options=_OPTIONS)
