"""What the stores of a cluster's parts say: each part is asked through its socket, all at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from nlserver.errors import Error
from nlserver.reapi.digest import Digest

from nlctl.admin import Admin

T = TypeVar("T")
_LAYER_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Eviction:
    """When a store gave a value up (seconds since 1970), by which limit, after how long without use."""

    when: float
    limit: str
    unused_seconds: float


@dataclass(frozen=True)
class Sighting:
    """What one layer of one part says of a blob. `state` is `present`, `absent` or `unreachable`.

    `path` is the config name of the root store and the keys that lead to the layer. `size_bytes` is what the layer
    holds for it.
    """

    part: str
    path: str
    kind: str
    state: str
    size_bytes: int = 0
    message: str = ""
    evicted: Eviction | None = None


@dataclass(frozen=True)
class Layer:
    """One layer of a store. Its figures are None where it does not count."""

    part: str
    path: str
    kind: str
    facts: dict[str, str]
    values: int | None
    size_bytes: int | None
    max_bytes: int
    can_list: bool


@dataclass(frozen=True)
class Entry:
    """One value of a listing; `used` is seconds since 1970."""

    key: str
    size_bytes: int
    used: float


def trace(sockets: dict[str, Path], digest: Digest) -> list[Sighting]:
    """What every layer of every part says of a blob, part by part. A part that is silent is one sighting."""
    from nlserver.proto import admin_pb2, remote_execution_pb2

    request = admin_pb2.TraceBlobRequest(
        digest=remote_execution_pb2.Digest(hash=digest.hash, size_bytes=digest.size_bytes),
        digest_function=int(digest.function),  # type: ignore[arg-type]
        timeout_seconds=_LAYER_SECONDS,
    )

    def ask(part: str, admin: Admin) -> list[Sighting]:
        return [_sighting(part, one) for one in admin.call("TraceBlob", request).sightings]

    def silent(part: str, error: Error) -> list[Sighting]:
        return [Sighting(part, "", "", "unreachable", message=str(error))]

    return [one for found in _each(sockets, ask, silent) for one in found]


def layers(sockets: dict[str, Path]) -> list[Layer]:
    """Every layer of every part that answers, parents first."""
    return [one for found in _each(sockets, layers_of, lambda _part, _error: []) for one in found]


def layers_of(part: str, admin: Admin) -> list[Layer]:
    """Every layer of this part, parents first, over a connection that stays open. Raises Error."""
    from nlserver.proto import admin_pb2

    row = list(admin.call("ListStores", admin_pb2.ListStoresRequest()).stores)
    found: list[Layer] = []
    while row:
        node = row.pop(0)
        found.append(_layer(part, node))
        row[:0] = node.children
    return found


def entries(socket: Path, path: str, prefix: str, limit: int) -> list[Entry]:
    """What a layer holds under keys that begin so, at most `limit` of them (0 for all), in no order. Raises Error."""
    from nlserver.proto import admin_pb2

    request = admin_pb2.ListBlobsRequest(store=path, prefix=prefix, limit=limit)
    with Admin(str(socket)) as admin:
        pages = admin.stream("ListBlobs", request)
        return [Entry(one.key, one.size_bytes, _seconds(one.used)) for page in pages for one in page.blobs]


def _each(sockets: dict[str, Path], ask: Callable[[str, Admin], T], failed: Callable[[str, Error], T]) -> Sequence[T]:
    from concurrent.futures import ThreadPoolExecutor

    def one(part: str) -> T:
        try:
            with Admin(str(sockets[part])) as admin:
                return ask(part, admin)
        except Error as error:
            return failed(part, error)

    with ThreadPoolExecutor(max_workers=max(1, min(16, len(sockets)))) as pool:
        return list(pool.map(one, sockets))


def _sighting(part: str, message: Any) -> Sighting:
    evicted = message.evicted if message.HasField("evicted") else None
    return Sighting(
        part,
        message.path,
        message.kind,
        type(message).State.Name(message.state).lower(),
        message.size_bytes,
        message.message,
        None if evicted is None else Eviction(_seconds(evicted.when), evicted.limit, evicted.unused_seconds),
    )


def _layer(part: str, node: Any) -> Layer:
    return Layer(
        part,
        node.path,
        node.kind,
        dict(node.facts),
        node.values if node.is_counted else None,
        node.size_bytes if node.is_counted else None,
        node.max_bytes,
        node.can_list,
    )


def _seconds(stamp: Any) -> float:
    return float(stamp.seconds + stamp.nanos / 1e9)
