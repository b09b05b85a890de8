"""Every file of every store holds what its name says."""

from __future__ import annotations

import asyncio
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from nlserver.errors import Error
from nlserver.filesystem.layout import DIGESTS, STRINGS, Layout, is_value
from nlserver.reapi.digest import Digest, Function, of
from nlserver.spec import Site as EngineSite
from nlserver.stores.compression import Lz4Spec
from nlserver.stores.memory import MemorySpec
from nlserver.streams import gather

from tests.faults.check import Check
from tests.faults.scene import Scene
from tests.faults.site import StoreFiles

_LARGEST: Final = 64 << 20


class Stores(Check):
    """Hashes all of them, the compressed ones through the engine's own reader, and executable twins too."""

    name = "stores"

    async def findings(self, scene: Scene) -> list[str]:
        found: list[str] = []
        for store in scene.site.stores:
            found += await damage(store)
        return found


async def damage(store: StoreFiles) -> list[str]:
    """What is wrong in one store."""
    found = [f"{store.content / name} is none of a store's files" for name in _strangers(store)]
    for name in _names(store.content / DIGESTS):
        path = store.content / DIGESTS / name
        if not is_value(DIGESTS, name):
            found.append(f"{path} has no name of a value")
        elif store.named_by_content and (wrong := await _wrong(path, compressed=store.compressed)):
            found.append(wrong)
    twins = Path(f"{store.content}.exec") / DIGESTS
    for name in _names(twins):
        if wrong := await _wrong(twins / name, compressed=False):
            found.append(wrong)
        elif not _executable(twins / name):
            found.append(f"{twins / name} is not executable")
    return found


def _strangers(store: StoreFiles) -> list[str]:
    layout = Layout(str(store.content), "")
    own = {DIGESTS, STRINGS, *map(os.path.basename, (layout.lock, layout.counting, layout.usage))}
    return sorted(set(_names(store.content)) - own)


def _names(folder: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return sorted(os.listdir(folder))
    return []


def _executable(path: Path) -> bool:
    with suppress(FileNotFoundError):
        return stat.S_IMODE(path.stat().st_mode) & 0o111 == 0o111
    return True


async def _wrong(path: Path, *, compressed: bool) -> str:
    """What is wrong with a file that is named by its content; "" also when it was evicted meanwhile."""
    hash_, _, size = path.name.partition("-")
    try:
        data = await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError:
        return ""
    digest = Digest(hash_, int(size))
    if compressed:
        try:
            data = await _expanded(digest, data)
        except Error as error:
            return f"{path} cannot be read by its store: {error}"
    if not await asyncio.to_thread(_is_named, data, digest):
        return f"{path} holds {len(data)} bytes with the hash {of(data).hash}"
    return ""


async def _expanded(digest: Digest, data: bytes) -> bytes:
    backend = MemorySpec().build(EngineSite())
    await backend.put(digest, data)
    return await gather(Lz4Spec().build(backend).read(digest), _LARGEST)


def _is_named(data: bytes, digest: Digest) -> bool:
    if len(data) != digest.size_bytes:
        return False
    return any(of(data, function).hash == digest.hash for function in Function)
