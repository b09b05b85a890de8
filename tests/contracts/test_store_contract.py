"""What every kind of store promises."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from nlserver.errors import Code, Error
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.store import Missing, Store
from nlserver.streams import CHUNK_BYTES, closing, drain, gather, once

MIB = 1 << 20
NOISE = random.Random(7).randbytes(3 * MIB + 17)
ABSENT = of(b"nobody ever writes this")


def blob(number: int, size: int = 1000) -> tuple[Digest, bytes]:
    """A blob with its digest."""
    data = (b"%d " % number * size)[:size]
    return of(data), data


async def cut(data: bytes, *sizes: int) -> AsyncIterator[bytes]:
    """A stream of these sizes, and then the rest."""
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size
    if data[start:]:
        yield data[start:]


async def read_all(store: Store, key: Digest | str, offset: int = 0, limit: int | None = None) -> bytes:
    async with closing(store.read(key, offset, limit)) as chunks:
        return await gather(chunks, 1 << 30)


async def test_what_was_put_is_read(store: Store) -> None:
    key, data = blob(1)
    await store.put(key, data)
    assert await store.get(key) == data
    assert await read_all(store, key) == data


async def test_what_was_streamed_is_read(store: Store) -> None:
    key = of(NOISE)
    await store.write(key, cut(NOISE, 1, 1000, MIB, 1, 70_000))
    assert await read_all(store, key) == NOISE
    assert await store.get(key) == NOISE


async def test_large_values_may_be_put_in_one_piece(store: Store) -> None:
    await store.put(of(NOISE), NOISE)
    assert await read_all(store, of(NOISE)) == NOISE


async def test_sizes_around_the_borders_come_back_whole(store: Store) -> None:
    for size in (1, 999, 1000, 1001, 65535, 65536, 65537, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1):
        key, data = of(NOISE[:size]), NOISE[:size]
        await store.write(key, once(data))
        assert await read_all(store, key) == data, size
        assert await store.get(key) == data, size


async def test_a_stream_of_single_bytes_is_a_value_too(store: Store) -> None:
    data = NOISE[:5000]
    await store.write(of(data), cut(data, *[1] * 5000))
    assert await store.get(of(data)) == data


async def test_absence_is_known_before_the_first_chunk(store: Store) -> None:
    with pytest.raises(Missing) as caught:
        await anext(store.read(ABSENT))
    assert caught.value.code is Code.NOT_FOUND
    assert caught.value.missing == (ABSENT.subject,)
    assert caught.value.keys == (ABSENT,)
    with pytest.raises(Missing):
        await store.get(ABSENT)
    with pytest.raises(Missing):
        await read_all(store, ABSENT, 5, 5)
    assert await store.sizes([ABSENT]) == [None]


@pytest.mark.parametrize("function", Function)
async def test_the_empty_blob_is_always_there(store: Store, function: Function) -> None:
    empty = EMPTY[function]
    assert await store.sizes([empty]) == [0]
    assert await store.get(empty) == b""
    assert await read_all(store, empty) == b""
    await store.put(empty, b"")
    await store.write(empty, once(b""))
    assert await store.sizes([empty]) == [0]


async def test_no_byte_may_be_written_under_the_empty_digest(store: Store) -> None:
    for write in (store.put(EMPTY[Function.SHA256], b"x"), store.write(EMPTY[Function.SHA256], once(b"x"))):
        with pytest.raises(Error) as caught:
            await write
        assert caught.value.code is Code.INVALID_ARGUMENT
    assert await store.get(EMPTY[Function.SHA256]) == b""


async def test_ranges_are_exact(store: Store) -> None:
    await store.write(of(NOISE), once(NOISE))
    for offset in (0, 1, 1000, 65_536, MIB - 1, MIB, MIB + 1, 3 * MIB, len(NOISE) - 1):
        for limit in (0, 1, 17, 70_000, MIB, 2 * MIB + 3, None):
            end = None if limit is None else offset + limit
            assert await read_all(store, of(NOISE), offset, limit) == NOISE[offset:end], (offset, limit)


async def test_from_the_end_on_there_are_no_bytes(store: Store) -> None:
    await store.write(of(NOISE), once(NOISE))
    for offset in (len(NOISE), len(NOISE) + 1, 1 << 60):
        assert await read_all(store, of(NOISE), offset) == b""
        assert await read_all(store, of(NOISE), offset, 10) == b""


async def test_chunks_are_never_empty_and_not_much_more_than_a_mebibyte(store: Store) -> None:
    await store.write(of(NOISE), once(NOISE))
    async with closing(store.read(of(NOISE))) as chunks:
        sizes = [len(chunk) async for chunk in chunks]
    assert all(0 < size <= CHUNK_BYTES + 65_536 for size in sizes)


async def test_sizes_come_in_the_order_of_the_keys_with_duplicates(store: Store, kind_of_store: Any) -> None:
    (first, one), (second, two) = blob(1, 100), blob(2, 2000)
    await store.put(first, one)
    await store.put(second, two)
    found = await store.sizes([second, ABSENT, first, second, EMPTY[Function.SHA256], ABSENT])
    assert [size is not None for size in found] == [True, False, True, True, True, False]
    assert found[0] == found[3]
    if kind_of_store.same_sizes:
        assert found == [2000, None, 100, 2000, 0, None]


async def test_many_keys_may_be_asked_for_at_once(store: Store) -> None:
    blobs = [blob(number, 10 + number) for number in range(150)]
    for key, data in blobs[::2]:
        await store.put(key, data)
    found = await store.sizes([key for key, _ in blobs] * 3)
    assert [size is not None for size in found] == [number % 2 == 0 for number in range(150)] * 3
    assert await store.sizes([]) == []


async def failing(data: bytes) -> AsyncGenerator[bytes, None]:
    """A stream that breaks off."""
    yield data
    raise Error(Code.ABORTED, "the uploader went away")


@pytest.mark.parametrize("size", [10, 2 * MIB + 5])
async def test_a_stream_that_fails_leaves_nothing(store: Store, size: int) -> None:
    key = of(NOISE[: size + 1])
    with pytest.raises(Error, match="the uploader went away"):
        await store.write(key, failing(NOISE[:size]))
    assert await store.sizes([key]) == [None]
    with pytest.raises(Missing):
        await store.get(key)


@pytest.mark.parametrize("size", [10, 2 * MIB + 5])
async def test_a_cancelled_write_leaves_nothing(store: Store, size: int) -> None:
    key = of(NOISE[: size + 1])
    waits = asyncio.Event()

    async def stalled() -> AsyncGenerator[bytes, None]:
        yield NOISE[:size]
        waits.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(store.write(key, stalled()))
    await waits.wait()
    assert await store.sizes([key]) == [None]
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await store.sizes([key]) == [None]


async def test_a_value_that_is_being_written_is_absent(store: Store) -> None:
    key = of(NOISE)
    go = asyncio.Event()

    async def slow() -> AsyncGenerator[bytes, None]:
        yield NOISE[:-1]
        await go.wait()
        yield NOISE[-1:]

    writing = asyncio.create_task(store.write(key, slow()))
    await asyncio.sleep(0)
    assert await store.sizes([key]) == [None]
    go.set()
    await writing
    assert await store.get(key) == NOISE


async def test_many_writers_and_readers_of_one_key_all_see_whole_values(store: Store) -> None:
    key, data = of(NOISE), NOISE
    await asyncio.gather(*(store.write(key, cut(data, 1000 * n, MIB)) for n in range(1, 9)))
    found = await asyncio.gather(*(read_all(store, key) for _ in range(8)), *(store.get(key) for _ in range(8)))
    assert all(value == data for value in found)


async def test_a_reader_beside_a_writer_sees_all_or_nothing(store: Store) -> None:
    key = of(NOISE)
    writing = asyncio.create_task(store.write(key, cut(NOISE, *[100_000] * 20)))
    seen = []
    while not writing.done():
        with suppress(Missing):
            seen.append(await read_all(store, key))
        # Reading from memory never waits, and the writer must have its turns.
        await asyncio.sleep(0)
    await writing
    assert all(value == NOISE for value in seen)
    assert await read_all(store, key) == NOISE


async def test_many_small_values_at_once(store: Store) -> None:
    blobs = [blob(number, 50) for number in range(200)]
    await asyncio.gather(*(store.put(key, data) for key, data in blobs))
    assert await asyncio.gather(*(store.get(key) for key, _ in blobs)) == [data for _, data in blobs]


async def test_a_value_may_be_replaced(store: Store, kind_of_store: Any) -> None:
    if not kind_of_store.free_keys:
        pytest.skip("takes only what its digest says")
    # An action result stands under the digest of its action, and another one may follow.
    for key in (ABSENT, "a free key"):
        await store.put(key, b"first")
        await store.put(key, b"the second one")
        assert await store.get(key) == b"the second one"
        await store.write(key, once(b"third"))
        assert await store.get(key) == b"third"


FREE_KEYS = [
    "plain",
    "with/slash",
    "../../escape",
    ".hidden",
    "..",
    ".",
    "",
    "nul\0byte",
    "line\nfeed",
    "100%",
    "%2F",
    "/",
    "umlaut \u00e4 \U0001f600",
    "x" * 1000,
    "%sha256-x",
    "a" * 64 + "-5",
]


async def test_any_text_is_a_key(store: Store, kind_of_store: Any) -> None:
    if not kind_of_store.free_keys:
        pytest.skip("takes digests only")
    for number, key in enumerate(FREE_KEYS):
        await store.put(key, b"value %d" % number)
    assert [await store.get(key) for key in FREE_KEYS] == [b"value %d" % n for n in range(len(FREE_KEYS))]
    assert None not in await store.sizes(FREE_KEYS)
    assert [await store.remove(key) for key in FREE_KEYS] == [True] * len(FREE_KEYS)
    assert await store.sizes(FREE_KEYS) == [None] * len(FREE_KEYS)


async def test_a_free_key_may_have_an_empty_value(store: Store, kind_of_store: Any) -> None:
    if not kind_of_store.free_keys:
        pytest.skip("takes digests only")
    await store.put("empty", b"")
    assert await store.get("empty") == b""
    await store.write("streamed", once(b""))
    assert await read_all(store, "streamed") == b""
    assert None not in await store.sizes(["empty", "streamed"])


async def test_removed_is_absent(store: Store, kind_of_store: Any) -> None:
    if not kind_of_store.removes:
        pytest.skip("keeps what others may want")
    key, data = blob(1)
    assert not await store.remove(key)
    await store.put(key, data)
    assert await store.remove(key)
    assert await store.sizes([key]) == [None]
    with pytest.raises(Missing):
        await store.get(key)
    assert not await store.remove(key)


async def test_a_file_becomes_a_value_and_stays_a_file(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_bytes(NOISE)
    await store.write_file(of(NOISE), path)
    assert await store.get(of(NOISE)) == NOISE
    with path.open("ab") as file:
        file.write(b"the action goes on writing")
    assert await store.get(of(NOISE)) == NOISE


async def test_get_refuses_more_than_it_may_hold(store: Store) -> None:
    await store.put(of(NOISE), NOISE)
    with pytest.raises(Error) as caught:
        await store.get(of(NOISE), MIB)
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert await store.get(of(NOISE), len(NOISE)) == NOISE


async def test_a_reader_may_stop_early_at_no_cost(store: Store) -> None:
    await store.write(of(NOISE), once(NOISE))
    await read_all(store, of(NOISE))
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        async with closing(store.read(of(NOISE))) as chunks:
            await anext(chunks)
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_a_cancelled_reader_leaves_nothing_open(store: Store) -> None:
    await store.write(of(NOISE), once(NOISE))
    await read_all(store, of(NOISE))
    before = len(os.listdir("/proc/self/fd"))
    for turns in range(12):
        reading = asyncio.create_task(read_all(store, of(NOISE)))
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_large_streams_take_little_memory(store: Store, kind_of_store: Any) -> None:
    if kind_of_store.in_memory:
        pytest.skip("holds values in memory")
    size = 24 * MIB

    async def stream() -> AsyncGenerator[bytes, None]:
        for number in range(size // 65_536):
            yield number.to_bytes(4, "little") * 16_384

    data_digest = of(b"".join([chunk async for chunk in stream()]))
    tracemalloc.start()
    try:
        await store.write(data_digest, stream())
        async with closing(store.read(data_digest)) as chunks:
            assert await drain(chunks) == size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * MIB


async def test_a_store_that_works_is_healthy(store: Store) -> None:
    await store.check()
    for child in store.children().values():
        await child.check()
