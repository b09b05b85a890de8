"""Reading one layer of one part by itself, verified."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

from nlserver.errors import Code, Error
from nlserver.fs import in_thread
from nlserver.reapi.digest import Digest, hasher
from nlserver.store import Missing

from nlctl.faults import fix
from nlctl.layers import Layer, layers, named, read
from nlctl.session import Session


async def chunks(
    session: Session, tier: str, wanted: Digest, span: tuple[int, int] | None = None
) -> AsyncGenerator[bytes, None]:
    """The bytes of a blob as the layer PART:STORE/LAYER holds them, from `span[0]` on at most `span[1]` of them.

    Raises Fault NO_STORE, Missing, and at the end of a whole blob Error DATA_LOSS when it was damaged.
    """
    parts = session.parts(instead=fix("read what clients read: leave --from out"))
    layer = named(layers(parts), tier)
    source = verified(read(parts[layer.part], layer.path, wanted), wanted, layer)
    skip, left = span or (0, None)
    while (chunk := await in_thread(next, source, None)) is not None:
        piece = chunk[skip:]
        skip = max(0, skip - len(chunk))
        if left is not None:
            piece, left = piece[:left], max(0, left - len(piece))
        if piece:
            yield piece
        if left == 0:
            return


def verified(source: Iterator[bytes], wanted: Digest, layer: Layer) -> Iterator[bytes]:
    """The same chunks. Raises Missing, and Error DATA_LOSS at the end when they are not the blob."""
    check, size = hasher(wanted.function), 0
    try:
        for chunk in source:
            check.update(chunk)
            size += len(chunk)
            yield chunk
    except Error as error:
        if error.code is not Code.NOT_FOUND:
            raise
        raise Missing(wanted, message=f"{layer.name} does not hold {wanted}") from error
    if Digest(check.hexdigest(), size, wanted.function) != wanted:
        raise Error(
            Code.DATA_LOSS,
            f"{layer.name} holds other bytes than those of {wanted.written}",
            where=layer.name,
            remedy="Below a compression store that is right: ask the layer above.",
        )
