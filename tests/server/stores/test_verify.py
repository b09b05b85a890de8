"""Only what its digest says gets below a verify store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest, Function, of
from nlserver.store import Store
from nlserver.stores.memory import Memory, MemorySpec
from nlserver.stores.verify import VerifySpec
from nlserver.streams import once

DATA = b"some bytes"
KEY = of(DATA)


async def refusals(store: Store, key: Digest | str, data: bytes, path: Path) -> list[str]:
    """What each way of writing says."""
    path.write_bytes(data)
    said = []
    for write in (store.put(key, data), store.write(key, once(data)), store.write_file(key, path)):
        with pytest.raises(Error) as caught:
            await write
        assert caught.value.code is Code.INVALID_ARGUMENT
        said.append(caught.value.message)
    return said


@pytest.mark.parametrize("function", Function)
async def test_a_wrong_hash_is_refused(build: Callable[..., Store], tmp_path: Path, function: Function) -> None:
    store = build(VerifySpec(backend=MemorySpec(), verify_hash=True))
    key = Digest(of(b"other text", function).hash, len(DATA), function)
    for message in await refusals(store, key, DATA, tmp_path / "file"):
        assert message.startswith(f"Hash verification using {function.name} failed: client declared {key.hash}")
    assert await store.sizes([key]) == [None]


@pytest.mark.parametrize("whole_hash", [True, False])
async def test_a_wrong_size_is_refused(build: Callable[..., Store], tmp_path: Path, whole_hash: bool) -> None:
    store = build(VerifySpec(backend=MemorySpec(), verify_size=True, verify_hash=whole_hash))
    short, long = Digest(KEY.hash, len(DATA) - 1), Digest(KEY.hash, len(DATA) + 1)
    await refusals(store, short, DATA, tmp_path / "file")
    for message in await refusals(store, long, DATA, tmp_path / "file"):
        assert message.startswith(f"Expected size {len(DATA) + 1} but got size {len(DATA)} on insert")
    assert await store.sizes([short, long]) == [None, None]


async def test_the_size_alone_may_be_checked(build: Callable[..., Store]) -> None:
    store = build(VerifySpec(backend=MemorySpec(), verify_size=True))
    await store.put(KEY, bytes(len(DATA)))
    assert await store.get(KEY) == bytes(len(DATA))


async def test_a_free_key_is_refused(build: Callable[..., Store], tmp_path: Path) -> None:
    store = build(VerifySpec(backend=MemorySpec(), verify_size=True))
    assert all("is no digest" in message for message in await refusals(store, "free", DATA, tmp_path / "file"))


async def test_a_store_that_checks_nothing_is_its_backend(build: Callable[..., Store]) -> None:
    assert isinstance(build(VerifySpec(backend=MemorySpec())), Memory)
