"""Looking at the stores of a process: what they are made of, and what each layer by itself says of a blob.

Functions over the tree that `Store.children` spans; a kind needs to know nothing of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from nlserver.errors import Error, not_found
from nlserver.eviction import Eviction
from nlserver.store import Journalled, Key, Store

_MOST_LAYERS: Final = 1000


@dataclass(frozen=True)
class Layer:
    """One store of the tree. `path` is the root's name and the config keys that lead here: `WORKER_CAS/fast`."""

    path: str
    store: Store

    @property
    def kind(self) -> str:
        """The JSON5 key of its kind, which its module is named after."""
        return type(self.store).__module__.rpartition(".")[2]

    def children(self) -> list[Layer]:
        """The layers right below."""
        return [Layer(f"{self.path}/{key}", store) for key, store in self.store.children().items()]


class Presence(Enum):
    """What a layer says of a key."""

    PRESENT = auto()
    ABSENT = auto()
    UNREACHABLE = auto()


@dataclass(frozen=True)
class Sighting:
    """One layer's own answer: the bytes that it holds, or why it could not say; and its last eviction of the key."""

    layer: Layer
    presence: Presence
    size: int = 0
    message: str = ""
    evicted: Eviction | None = None


def layers(roots: Mapping[str, Store]) -> Iterator[Layer]:
    """Every layer of these root stores, parents first; one that several roots share comes under each of its paths."""
    row = [Layer(name, store) for name, store in roots.items()]
    count = 0
    while row and count < _MOST_LAYERS:
        layer = row.pop(0)
        row[:0] = layer.children()
        count += 1
        yield layer


def at(roots: Mapping[str, Store], path: str) -> Layer:
    """The layer at this path. Raises Error NOT_FOUND naming those that there are."""
    known = list(layers(roots))
    for layer in known:
        if layer.path == path:
            return layer
    raise not_found(
        f"no store {path[:200]!r} runs here",
        remedy=f"Stores of this process: {', '.join(layer.path for layer in known[:20]) or 'none'}",
    )


def chosen(roots: Mapping[str, Store], name: str) -> list[Layer]:
    """The layers of the root of this name, or the one layer at this path; all where the name is empty."""
    if not name:
        return list(layers(roots))
    return list(layers({name: roots[name]})) if name in roots else [at(roots, name)]


async def trace(chain: Sequence[Layer], key: Key, timeout_seconds: float) -> list[Sighting]:
    """What each of these layers by itself says of a key, asked at the same time.

    Being asked counts as use, as for every client. A store that stands at several paths is asked once.
    """
    asked = {id(layer.store): asyncio.ensure_future(_sight(layer, key, timeout_seconds)) for layer in chain}
    await asyncio.gather(*asked.values())
    sightings = [(layer, asked[id(layer.store)].result()) for layer in chain]
    return [Sighting(layer, one.presence, one.size, one.message, one.evicted) for layer, one in sightings]


async def _sight(layer: Layer, key: Key, timeout_seconds: float) -> Sighting:
    try:
        async with asyncio.timeout(timeout_seconds):
            [size] = await layer.store.sizes([key])
            evicted = await _last_eviction(layer.store, str(key))
    except TimeoutError:
        return Sighting(layer, Presence.UNREACHABLE, message=f"no answer within {timeout_seconds:g} s")
    except (Error, OSError) as error:
        return Sighting(layer, Presence.UNREACHABLE, message=str(error))
    presence = Presence.ABSENT if size is None else Presence.PRESENT
    return Sighting(layer, presence, size or 0, evicted=evicted)


async def _last_eviction(store: Store, key: str) -> Eviction | None:
    found: Eviction | None = None
    if isinstance(store, Journalled):
        async for batch in store.evictions(key):
            for eviction in batch:
                if eviction.key == key:
                    found = eviction
    return found
