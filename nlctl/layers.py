"""What the stores of a cluster's parts say: each part is asked through its socket, all at the same time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from nlserver.errors import Error
from nlserver.reapi.digest import Digest, Function

from nlctl.admin import Admin
from nlctl.faults import NO_STORE, UNSUPPORTED, Fault, fix

if TYPE_CHECKING:
    from nlserver.proto import admin_pb2

T = TypeVar("T")
_LAYER_SECONDS: Final = 2.0
_SEE: Final = fix("see what there is", "nlctl", "cas", "du")
_KEY: Final = re.compile(r"([0-9a-f]{64})-([0-9]{1,19})")


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
    """One layer of a store. Its figures are None where it does not count.

    `roles` tells what it is used as: `cas`, `ac`, both or, where only other stores use it, nothing.
    """

    part: str
    path: str
    kind: str
    facts: dict[str, str]
    values: int | None
    size_bytes: int | None
    max_bytes: int
    can_list: bool
    roles: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How users name it: PART:STORE/LAYER."""
        return f"{self.part}:{self.path}"


FAST: Final = "/fast"
"""How the path of a fast tier ends: what it gives up is still in the slow one beside it."""


@dataclass(frozen=True)
class Entry:
    """One value of a listing; `used` is seconds since 1970."""

    key: str
    size_bytes: int
    used: float

    def digest(self, function: Function) -> Digest | None:
        """The digest that the key is; None for a key of another form."""
        match = _KEY.fullmatch(self.key)
        return Digest(match[1], int(match[2]), function) if match else None


def trace(sockets: Mapping[str, str | Path], digest: Digest, layer_seconds: float = _LAYER_SECONDS) -> list[Sighting]:
    """What every layer of every part says of a blob, part by part. A part that is silent is one sighting."""
    from nlserver.proto import admin_pb2

    request = admin_pb2.TraceBlobRequest(
        digest=_message(digest),
        digest_function=int(digest.function),  # type: ignore[arg-type]
        timeout_seconds=layer_seconds,
    )

    def ask(part: str, admin: Admin) -> list[Sighting]:
        return [_sighting(part, one) for one in admin.call("TraceBlob", request).sightings]

    def silent(part: str, error: Error) -> list[Sighting]:
        return [Sighting(part, "", "", "unreachable", message=str(error))]

    return [one for found in _each(sockets, ask, silent) for one in found]


def layers(sockets: Mapping[str, str | Path]) -> list[Layer]:
    """Every layer of every part that answers, parents first."""
    return [one for found in _each(sockets, layers_of, lambda _part, _error: []) for one in found]


def layers_of(part: str, admin: Admin) -> list[Layer]:
    """Every layer of this part, parents first, over a connection that stays open. Raises Error."""
    from nlserver.proto import admin_pb2

    roots = admin.call("ListStores", admin_pb2.ListStoresRequest()).stores
    row = [(node, tuple(node.roles)) for node in roots]
    found: list[Layer] = []
    while row:
        node, roles = row.pop(0)
        found.append(_layer(part, node, roles))
        row[:0] = [(child, _roles_below(child.path, roles)) for child in node.children]
    return found


def named(known: Sequence[Layer], asked: str) -> Layer:
    """The layer of this name. Raises Fault NO_STORE with those that there are."""
    for layer in known:
        if layer.name == asked:
            return layer
    there = [layer.name for layer in known]
    raise Fault(
        NO_STORE,
        f"there is no store {asked!r} here",
        why=f"there are: {', '.join(there) or 'none'}",
        fixes=[_SEE],
    )


def read(socket: str | Path, path: str, digest: Digest) -> Iterator[bytes]:
    """The bytes that a layer holds for a digest, in chunks. Raises Error, NOT_FOUND when it holds none."""
    with Admin(str(socket)) as admin:
        yield from read_of(admin, path, digest)


def read_of(admin: Admin, path: str, digest: Digest) -> Iterator[bytes]:
    """As `read`, over a connection that stays open."""
    from nlserver.proto import admin_pb2

    request = admin_pb2.ReadBlobRequest(store=path, digest=_message(digest), digest_function=int(digest.function))  # type: ignore[arg-type]
    for page in admin.stream("ReadBlob", request):
        yield page.data


def remove(socket: str | Path, path: str, digest: Digest) -> bool:
    """Let a layer, and what is below it, forget a value; False when it was absent. Raises Error."""
    from nlserver.proto import admin_pb2

    request = admin_pb2.RemoveBlobRequest(store=path, digest=_message(digest), digest_function=int(digest.function))  # type: ignore[arg-type]
    with Admin(str(socket)) as admin:
        return bool(admin.call("RemoveBlob", request).removed)


def entries(socket: str | Path, path: str, prefix: str, limit: int) -> list[Entry]:
    """What a layer holds under keys that begin so, at most `limit` of them (0 for all), in no order. Raises Error."""
    from nlserver.proto import admin_pb2

    request = admin_pb2.ListBlobsRequest(store=path, prefix=prefix, limit=limit)
    with Admin(str(socket)) as admin:
        pages = admin.stream("ListBlobs", request)
        return [Entry(one.key, one.size_bytes, _seconds(one.used)) for page in pages for one in page.blobs]


def evictions(socket: str | Path, since: float, path: str = "") -> Iterator[admin_pb2.Eviction]:
    """What the stores of a part gave up since then, or one layer of them did, oldest first. Raises Error."""
    from google.protobuf.timestamp_pb2 import Timestamp
    from nlserver.proto import admin_pb2

    begin = Timestamp()
    begin.FromNanoseconds(int(since * 1e9))
    with Admin(str(socket)) as admin:
        for page in admin.stream("ListEvictions", admin_pb2.ListEvictionsRequest(store=path, since=begin)):
            yield from page.evictions


def listed(
    parts: Mapping[str, str | Path], role: str, asked: str, prefix: str, limit: int
) -> tuple[Layer, list[Entry]]:
    """What a store of this role holds: the layer that was asked for, or the first that can list. Raises Fault NO_STORE.

    Where there are several parts the one called `cas` counts. Raises Fault UNSUPPORTED where no part in reach can.
    """
    # Workers have tiers of their own, and need not be asked for what the CAS holds.
    part = asked.partition(":")[0] or "cas"
    meant = {part: parts[part]} if part in parts else parts
    known = [one for one in layers(meant) if one.can_list]
    fit = [one for one in known if role in one.roles and (one.part == "cas" or len(parts) == 1)]
    if not asked and not fit:
        raise Fault(
            UNSUPPORTED,
            f"no part that this machine reaches lists what its {role} holds",
            why=f"there are: {', '.join(one.name for one in known) or 'none'}",
            fixes=[fix("ask for what you know", "nlctl", "cas", "stat", "DIGEST"), _SEE],
        )
    layer = named(known, asked) if asked else fit[0]
    return layer, entries(parts[layer.part], layer.path, prefix.lower().replace("/", "-"), limit)


def listing(parts: Mapping[str, str | Path], role: str, function: Function) -> list[Digest]:
    """Every digest that the stores of this role hold."""
    _, found = listed(parts, role, "", "", 0)
    return [digest for one in found if (digest := one.digest(function)) is not None]


def _message(digest: Digest) -> Any:
    from nlserver.reapi.tree import message_of

    return message_of(digest)


def _each(
    sockets: Mapping[str, str | Path], ask: Callable[[str, Admin], T], failed: Callable[[str, Error], T]
) -> Sequence[T]:
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


def _roles_below(path: str, roles: tuple[str, ...]) -> tuple[str, ...]:
    """An action cache that checks completeness has the CAS among its layers."""
    return ("cas",) if path.rpartition("/")[2] == "cas_store" else roles


def _layer(part: str, node: Any, roles: tuple[str, ...]) -> Layer:
    return Layer(
        part,
        node.path,
        node.kind,
        dict(node.facts),
        node.values if node.is_counted else None,
        node.size_bytes if node.is_counted else None,
        node.max_bytes,
        node.can_list,
        roles,
    )


def _seconds(stamp: Any) -> float:
    return float(stamp.seconds + stamp.nanos / 1e9)
