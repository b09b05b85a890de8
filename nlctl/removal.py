"""Letting stores forget blobs and results: which layers hold them, and the question before they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nlserver.reapi.digest import Digest

from nlctl import layers


@dataclass(frozen=True)
class Place:
    """A layer that holds a value: PART:STORE/LAYER."""

    digest: Digest
    layer: layers.Layer
    size_bytes: int


def places(
    parts: Mapping[str, str], wanted: Sequence[Digest], role: str, asked: str, *, everywhere: bool
) -> list[Place]:
    """The layers to remove these from: root stores of this role that services use, or the layer that was asked for.

    A root lets all that is below it forget, too. `everywhere` adds the tiers of workers. Raises Fault NO_STORE.
    """
    known = layers.layers(parts)
    chosen = [layers.named(known, asked)] if asked else [one for one in known if _counts(one, known, role, everywhere)]
    names = {one.name: one for one in chosen}
    found = []
    for digest in wanted:
        for seen in layers.trace(parts, digest):
            layer = names.get(f"{seen.part}:{seen.path}")
            if layer is not None and seen.state == "present":
                found.append(Place(digest, layer, seen.size_bytes))
    return found


def _counts(layer: layers.Layer, known: Sequence[layers.Layer], role: str, everywhere: bool) -> bool:
    """Whether a value is removed from this layer itself."""
    if role not in layer.roles or layer.kind in ("grpc", "ref_store", "completeness_checking"):
        return False
    if "/cas_store" in layer.path:
        # What an action cache looks into is a root store, too, and stands there.
        return False
    above = [one for one in known if one.part == layer.part and layer.path.startswith(f"{one.path}/")]
    remote = any(
        one.kind == "grpc" for one in known if one.part == layer.part and one.path.startswith(f"{_root(layer.path)}/")
    )
    if not remote:
        return all(one.kind == "completeness_checking" for one in above)
    # A worker's tiers reach beyond this machine: only what is local is its own.
    leaf = not any(one.path.startswith(f"{layer.path}/") for one in known if one.part == layer.part)
    return everywhere and leaf


def _root(path: str) -> str:
    return path.partition("/")[0]


def remove(parts: Mapping[str, str], found: Sequence[Place]) -> list[bool]:
    """Let each of these layers forget; whether it still had the value. Raises Error."""
    return [layers.remove(parts[one.layer.part], one.layer.path, one.digest) for one in found]


def count(found: Sequence[Place], noun: str) -> str:
    """How much this is, for people: `3 blobs from 2 stores`."""
    values, stores = len({one.digest for one in found}), len({one.layer.name for one in found})
    return f"{values} {noun}{'s' if values > 1 else ''} from {stores} store{'s' if stores > 1 else ''}"
