"""Uploads that lost their client wait for a second stream, in bounded number, and are given up in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest
from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest, of
from nlserver.store import Key, Missing, Store
from nlserver.streams import Chunks
from nlserver.transfer.uploads import UploadName, Uploads


class Pen(Store):
    """A store that counts what it is writing; `gate` holds its writes back."""

    def __init__(self) -> None:
        self.blobs: dict[Key, bytes] = {}
        self.writing = 0
        self.pulled = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.stops_early = False

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        return [len(self.blobs[key]) if key in self.blobs else None for key in keys]

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        raise Missing(key)
        yield b""

    async def write(self, key: Key, chunks: Chunks) -> None:
        self.writing += 1
        data = b""
        try:
            async for chunk in chunks:
                await self.gate.wait()
                self.pulled += len(chunk)
                data += chunk
                if self.stops_early:
                    return
            self.blobs[key] = data
        finally:
            self.writing -= 1


@pytest.fixture
async def pen() -> Pen:
    return Pen()


@pytest.fixture
async def uploads() -> AsyncIterator[Uploads]:
    made = Uploads(60, most=3, most_bytes=10_000)
    yield made
    await made.close()


def named(data: bytes) -> UploadName:
    return UploadName("", "id", of(data))


async def park(uploads: Uploads, store: Store, name: UploadName, *chunks: bytes) -> None:
    me = object()
    upload = uploads.open(me, store, name, 0)
    for chunk in chunks:
        await upload.push(me, chunk)
    uploads.park(upload, me)


async def settled(pen: Pen, writing: int) -> None:
    async with asyncio.timeout(60):
        while pen.writing != writing:  # noqa: ASYNC110 - a store's write has no event for its end
            await asyncio.sleep(0)


async def test_what_stands_in_memory_for_an_upload_goes_by_its_largest_chunk(uploads: Uploads, pen: Pen) -> None:
    me, data = object(), bytes(20 << 20)
    upload = uploads.open(me, pen, named(data), 0)
    await upload.push(me, data[: 1 << 20])
    assert upload.held == 1 << 20
    for _ in range(8):
        await upload.push(me, data[: 2 << 20])
    assert upload.held == 5 << 20
    uploads.forget(upload, me)


async def test_one_chunk_starts_no_write_and_two_do(uploads: Uploads, pen: Pen) -> None:
    me, data = object(), b"ab"
    upload = uploads.open(me, pen, named(data), 0)
    await upload.push(me, b"a")
    assert len(uploads._tasks) == 0
    await upload.push(me, b"b")
    assert len(uploads._tasks) == 1
    await upload.finish(me)
    uploads.forget(upload, me)
    assert pen.blobs == {of(data): data}
    assert len(uploads) == 0


async def test_a_store_that_is_slow_holds_its_client_back(uploads: Uploads, pen: Pen) -> None:
    me, data = object(), bytes(100)
    pen.gate.clear()
    upload = uploads.open(me, pen, named(data), 0)
    pushed = 0

    async def fill() -> None:
        nonlocal pushed
        for _ in range(100):
            await upload.push(me, b"\0")
            pushed += 1
        await upload.finish(me)

    filling = asyncio.create_task(fill())
    for _ in range(500):
        await asyncio.sleep(0)
    assert (pushed, pen.pulled) == (2, 0)
    pen.gate.set()
    await filling
    assert pen.blobs == {of(data): data}


async def test_the_oldest_are_given_up_when_too_many_wait(uploads: Uploads, pen: Pen) -> None:
    blobs = [bytes([n]) * 10 for n in range(5)]
    for data in blobs:
        await park(uploads, pen, named(data), data[:4], data[4:8])
    await settled(pen, 3)
    assert [uploads.received(named(data)) for data in blobs] == [0, 0, 8, 8, 8]


async def test_the_oldest_are_given_up_when_too_many_bytes_wait(uploads: Uploads, pen: Pen) -> None:
    blobs = [bytes([n]) * 9000 for n in range(2)]
    for data in blobs:
        await park(uploads, pen, named(data), data[:4000], data[4000:8000])
    await settled(pen, 1)
    assert [uploads.received(named(data)) for data in blobs] == [0, 8000]


async def test_what_waits_too_long_is_given_up(pen: Pen) -> None:
    uploads = Uploads(0.01)
    await park(uploads, pen, named(b"abcdef"), b"ab", b"cd")
    assert len(uploads) == 1
    async with asyncio.timeout(60):
        while len(uploads) or uploads._tasks:  # noqa: ASYNC110 - what a timer does sets no event
            await asyncio.sleep(0.001)
    assert (pen.writing, pen.blobs) == (0, {})


async def test_one_that_goes_on_is_not_given_up(pen: Pen) -> None:
    uploads = Uploads(0.02)
    me = object()
    await park(uploads, pen, named(b"abcdef"), b"ab", b"cd")
    upload = uploads.open(me, pen, named(b"abcdef"), 4)
    await asyncio.sleep(0.05)
    await upload.push(me, b"ef")
    await upload.finish(me)
    assert of(b"abcdef") in pen.blobs


async def test_nothing_waits_of_a_client_that_sent_nothing(uploads: Uploads, pen: Pen) -> None:
    await park(uploads, pen, named(b"abc"))
    assert len(uploads) == 0


async def test_an_owner_that_was_replaced_changes_nothing(uploads: Uploads, pen: Pen) -> None:
    old, new = object(), object()
    upload = uploads.open(old, pen, named(b"abcd"), 0)
    await upload.push(old, b"ab")
    assert uploads.open(new, pen, named(b"abcd"), 2) is upload
    for act in (upload.push(old, b"cd"), upload.finish(old)):
        with pytest.raises(Error) as caught:
            await act
        assert caught.value.code is Code.ABORTED
    uploads.park(upload, old)
    uploads.forget(upload, old)
    await upload.push(new, b"cd")
    await upload.finish(new)
    assert of(b"abcd") in pen.blobs


async def test_an_owner_that_is_replaced_while_it_waits_for_room_pushes_nothing(uploads: Uploads, pen: Pen) -> None:
    old, new, name = object(), object(), named(b"abcdef")
    pen.gate.clear()
    upload = uploads.open(old, pen, name, 0)
    await upload.push(old, b"a")
    await upload.push(old, b"b")
    stuck = asyncio.create_task(upload.push(old, b"X"))
    await asyncio.sleep(0)
    uploads.open(new, pen, name, 2)
    pen.gate.set()
    with pytest.raises(Error, match="another stream"):
        await stuck
    await upload.push(new, b"cdef")
    await upload.finish(new)
    assert pen.blobs == {name.digest: b"abcdef"}


async def test_a_store_may_stop_pulling_and_the_rest_flows_past(uploads: Uploads, pen: Pen) -> None:
    me, pen.stops_early = object(), True
    upload = uploads.open(me, pen, named(b"abcdef"), 0)
    for chunk in (b"a", b"b", b"c", b"def"):
        await upload.push(me, chunk)
        await asyncio.sleep(0)
    await upload.finish(me)
    assert upload.received == 6


async def test_a_client_that_leaves_after_the_end_still_gets_its_blob(uploads: Uploads, pen: Pen) -> None:
    me, name = object(), named(b"abcd")
    pen.gate.clear()
    upload = uploads.open(me, pen, name, 0)
    await upload.push(me, b"ab")
    await upload.push(me, b"cd")
    finishing = asyncio.create_task(upload.finish(me))
    for _ in range(5):
        await asyncio.sleep(0)
    pen.gate.set()
    for _ in range(3):
        await asyncio.sleep(0)
    finishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    uploads.park(upload, me)
    await settled(pen, 0)
    assert pen.blobs == {name.digest: b"abcd"}


async def test_closing_ends_uploads_under_way_too(uploads: Uploads, pen: Pen) -> None:
    me = object()
    upload = uploads.open(me, pen, named(b"abcd"), 0)
    await upload.push(me, b"ab")
    await upload.push(me, b"c")
    await uploads.close()
    assert (pen.writing, pen.blobs, len(uploads)) == (0, {}, 0)
    assert Digest(of(b"abcd").hash, 4) not in pen.blobs
