"""Files that commands write for their user: each stands under its name only when it is whole."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, closing
from pathlib import Path


def keep(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Write a file, whole or not at all. Raises Error, and what the chunks raise."""
    from nlserver.fs import write_all
    from nlserver.reapi.outputs import Place

    with closing(Place(os.fspath(path.parent))) as place, place.file(path.name, executable=False) as fd:
        for chunk in chunks:
            write_all(fd, (chunk,))


async def keep_all(path: Path, chunks: AsyncGenerator[bytes, None], seen: Callable[[bytes], object]) -> None:
    """Write a file from a stream, whole or not at all; `seen` is told of each chunk. Raises Error, and the stream's."""
    from nlserver.fs import in_thread, write_all
    from nlserver.reapi.outputs import Place

    with closing(Place(os.fspath(path.parent))) as place, place.file(path.name, executable=False) as fd:
        async with aclosing(chunks):
            async for chunk in chunks:
                await in_thread(write_all, fd, (chunk,))
                seen(chunk)
