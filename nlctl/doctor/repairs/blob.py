"""A blob that the CAS lost, cannot read, or has wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest, Function

from nlctl import layers, tiers
from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.blob_replaced import Replaced
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.faults import fix
from nlctl.layers import Layer

_ELSEWHERE: Final = ("grpc", "ref_store", "noop")
"""Kinds that ask another layer, which is asked itself."""
_CHANGING: Final = ("compression", "dedup")


class Copy(NamedTuple):
    """What one layer holds under the digest: right, wrong or unreadable; `file` is where, "" when unknown."""

    layer: str
    is_cas: bool
    is_right: bool
    file: str


class Copies(NamedTuple):
    """Every copy of a blob, and the layers that stand for the CAS."""

    digest: Digest
    copies: Sequence[Copy]
    cas: Sequence[str]
    keep: str


def look(ground: Ground, about: tuple[str, ...]) -> Copies:
    """Read every copy to its end; `about` is hash, size and digest function."""
    hash_, size, function = about
    digest = Digest(hash_, int(size), Function[function])
    sockets = ground.sockets()
    if not sockets:
        raise NoRepair(
            "the layers of this server cannot be asked",
            fix("take it from another server", "nlctl", "cas", "heal", digest.written, "--from", "CONTEXT"),
        )
    known = layers.layers(sockets)
    leaves = {one.name: one for one in _leaves(known)}
    copies = [
        Copy(whole.name, seen.part == "cas", _right(sockets[seen.part], whole, digest), _file(leaves[name], digest))
        for seen in layers.trace(sockets, digest)
        if (name := f"{seen.part}:{seen.path}") in leaves and seen.state == "present"
        for whole in [_whole(leaves[name], known)]
    ]
    cas = [_whole(one, known).name for one in leaves.values() if one.part == "cas"]
    return Copies(digest, copies, cas, os.path.join(ground.keep, f"{digest.hash}-{digest.size_bytes}"))


def plan(found: Copies) -> Sequence[Change]:
    """Set wrong copies aside, each once; bring the blob back from a right one. Raises NoRepair."""
    digest = found.digest
    wrong = list({one.file or one.layer: one for one in found.copies if not one.is_right}.values())
    good = [one.layer for one in found.copies if one.is_right]
    has = any(one.is_cas and one.is_right for one in found.copies)
    if has and not wrong:
        raise NoRepair("the CAS has it, and its bytes are right")
    if not good and not wrong:
        raise NoRepair("no layer has it", fix("upload it", "nlctl", "cas", "put", "PATH"))
    names, files = tuple(one.layer for one in wrong), tuple(one.file for one in wrong)
    size, function = digest.size_bytes, digest.function.name
    source = good[0] if good and not has else ""
    return [Replaced(digest.hash, size, function, names, files, source, tuple(found.cas), found.keep)]


def _leaves(known: Sequence[Layer]) -> list[Layer]:
    """The layers that hold blobs themselves."""
    return [
        one
        for one in known
        if "cas" in one.roles
        and one.kind not in _ELSEWHERE
        and "/cas_store" not in one.path
        and not any(other.part == one.part and other.path.startswith(f"{one.path}/") for other in known)
    ]


def _whole(leaf: Layer, known: Sequence[Layer]) -> Layer:
    """The layer through which a leaf gives blobs as they are: one that cuts or compresses them stands above it."""
    above = (one for one in known if one.part == leaf.part and leaf.path.startswith(f"{one.path}/"))
    return next((one for one in above if one.kind in _CHANGING), leaf)


def _right(socket: str, layer: Layer, digest: Digest) -> bool:
    try:
        for _ in tiers.verified(layers.read(socket, layer.path, digest), digest, layer):
            pass
    except Error as error:
        if error.code not in (Code.DATA_LOSS, Code.NOT_FOUND):
            raise
        return False
    return True


def _file(layer: Layer, digest: Digest) -> str:
    folder = layer.facts.get("content_path", "")
    path = os.path.join(folder, "d", f"{digest.hash}-{digest.size_bytes}") if folder else ""
    return path if path and os.path.exists(path) else ""


REPAIR: Final = Repair(
    "blob",
    "bring a blob back into the CAS from a tier that has it right; set wrong bytes aside",
    "what is copied is verified; what is set aside is kept, and undoing puts it back",
    look,
    plan,
)
