"""Bringing blobs back into a CAS that lost them, from wherever they still are: a tier of a worker, another server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nlserver.errors import Code, Error
from nlserver.fs import in_thread
from nlserver.reapi.client import Client
from nlserver.reapi.digest import Digest

from nlctl import layers, tiers

_NO_SOURCES: Final = ("grpc", "ref_store")
"""Kinds that only ask another part, which is asked itself."""


@dataclass(frozen=True)
class Healed:
    """What became of a blob: `there`, `healed`, `found` (a dry run would heal it) or `lost`; `source` had it."""

    digest: Digest
    state: str
    source: str | None = None


class Layers:
    """The layers of a cluster's parts, as sources."""

    def __init__(self, parts: Mapping[str, str], only: str = "") -> None:
        self._parts = parts
        known = layers.layers(parts)
        self._known = {one.name: one for one in ([layers.named(known, only)] if only else known)}

    def having(self, digest: Digest) -> list[layers.Layer]:
        """The layers that hold this blob as it is, the deepest first."""
        found = []
        for seen in layers.trace(self._parts, digest):
            layer = self._known.get(f"{seen.part}:{seen.path}")
            plain = seen.state == "present" and seen.size_bytes == digest.size_bytes
            if layer is not None and plain and "cas" in layer.roles and layer.kind not in _NO_SOURCES:
                found.append(layer)
        return sorted(found, key=lambda layer: -layer.path.count("/"))

    def chunks(self, layer: layers.Layer, digest: Digest) -> AsyncGenerator[bytes, None]:
        """Its bytes, verified. Raises Missing, Error DATA_LOSS."""
        return _pulled(self._parts[layer.part], layer, digest)


async def _pulled(part: str, layer: layers.Layer, digest: Digest) -> AsyncGenerator[bytes, None]:
    source = tiers.verified(layers.read(part, layer.path, digest), digest, layer)
    while (chunk := await in_thread(next, source, None)) is not None:
        yield chunk


async def from_layers(
    remote: Client, sources: Layers, wanted: Sequence[Digest], told: Callable[[Healed], None], *, dry: bool
) -> list[Healed]:
    """Bring back those of these that the CAS lacks, each from the first layer whose bytes are right."""
    absent = await remote.missing(wanted)
    made = []
    for digest in wanted:
        healed = await _from_layer(remote, sources, digest, dry=dry) if digest in absent else Healed(digest, "there")
        told(healed)
        made.append(healed)
    return made


async def _from_layer(remote: Client, sources: Layers, digest: Digest, *, dry: bool) -> Healed:
    for layer in await in_thread(sources.having, digest):
        if dry:
            return Healed(digest, "found", layer.name)
        try:
            await remote.blobs.write(digest, _opener(sources, layer, digest))
        except Error as error:
            # Gone meanwhile, or damaged there: another layer may have it.
            if error.code not in (Code.NOT_FOUND, Code.DATA_LOSS):
                raise
            continue
        return Healed(digest, "healed", layer.name)
    return Healed(digest, "lost")


def _opener(
    sources: Layers, layer: layers.Layer, digest: Digest
) -> Callable[[int], AsyncGenerator[bytes, None] | None]:
    """A layer is read from its beginning only."""
    return lambda offset: None if offset else sources.chunks(layer, digest)


async def from_server(
    remote: Client,
    source: Client,
    name: str,
    wanted: Sequence[Digest],
    told: Callable[[Healed], None],
    *,
    dry: bool,
) -> list[Healed]:
    """Bring back those of these that the CAS lacks, from another CAS."""
    absent = await remote.missing(wanted)
    gone = await source.missing(absent)
    made = []
    for digest in wanted:
        if digest not in absent:
            healed = Healed(digest, "there")
        elif digest in gone:
            healed = Healed(digest, "lost")
        else:
            if not dry:
                await remote.blobs.write(digest, _reader(source, digest))
            healed = Healed(digest, "found" if dry else "healed", name)
        told(healed)
        made.append(healed)
    return made


def _reader(source: Client, digest: Digest) -> Callable[[int], AsyncGenerator[bytes, None] | None]:
    return lambda offset: source.stream(digest, offset)
