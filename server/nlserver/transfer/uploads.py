"""Uploads under way: each is a write of the store that pulls from a slot for one chunk, whoever fills it.

So a broken connection only pauses the store's own write: what has come so far stands wherever the store keeps what it
is writing, and a second stream may go on. Here stands at most one chunk an upload, and how many may wait for a second
stream is limited.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final, NamedTuple

from nlserver.errors import Code, Error, invalid
from nlserver.reapi.digest import Digest
from nlserver.store import Store
from nlserver.streams import CHUNK_BYTES, Chunks
from nlserver.transfer.intake import put_verified
from nlserver.verified import check_whole, verified


class UploadName(NamedTuple):
    """Whose upload of what: clients use one id for many blobs, so the id alone names nothing."""

    instance: str
    upload_id: str
    digest: Digest


class Upload:
    """One blob on its way into a store. Only its latest owner may push and finish: see `Uploads.open`."""

    def __init__(self, store: Store, name: UploadName, tasks: set[asyncio.Task[None]]) -> None:
        self.name = name
        self.received = 0
        self.owner: object = None
        self._store = store
        self._tasks = tasks
        self._first = b""
        self._slot = _Slot()
        self._writing: asyncio.Task[None] | None = None
        self._present = False
        self._largest = 0

    @property
    def held(self) -> int:
        """The most bytes that stand in memory for it: here, and with a store that gathers what it is to write."""
        return min(self.received, 2 * self._largest + CHUNK_BYTES)

    async def push(self, owner: object, chunk: bytes) -> None:
        """Take the next chunk, which is not empty, as soon as there is room for it.

        Raises Error INVALID_ARGUMENT past the declared size, ABORTED when another stream took over, and what the
        store raises.
        """
        size = self.name.digest.size_bytes
        if self.received + len(chunk) > size:
            raise invalid(f"Sent too much data. Expected {size}, but so far received {self.received + len(chunk)}")
        self._largest = max(self._largest, len(chunk))
        if self.received == 0:
            self.check(owner)
            self._first = chunk
        else:
            await self._hand_over(owner, chunk)
        self.received += len(chunk)

    async def room(self) -> None:
        """Return when `push` would not have to wait: a message that is not fetched before stays with gRPC."""
        await self._slot.room()

    async def finish(self, owner: object) -> None:
        """Return when the blob is kept. Raises Error INVALID_ARGUMENT for too few bytes or another hash."""
        self.check(owner)
        digest = self.name.digest
        if self.received != digest.size_bytes:
            check_whole(digest, self.received, "")
        if self._first:
            await put_verified(self._store, digest, self._first)
        elif self.received and not self._present:
            await self._hand_over(owner, b"")
            # All bytes are here: a client that leaves now shall find the blob when it asks again.
            await asyncio.shield(self._task())

    def abandon(self) -> None:
        """End the store's write; it leaves nothing behind."""
        self.owner = None
        if self._writing is not None:
            self._writing.cancel()

    def check(self, owner: object) -> None:
        """Raise Error ABORTED when another stream took over."""
        if owner is not self.owner:
            raise Error(Code.ABORTED, f"the upload of {self.name.digest} goes on in another stream")

    async def _hand_over(self, owner: object, chunk: bytes) -> None:
        if self._first:
            await self._start()
        await self._slot.room()
        self.check(owner)
        if self._writing is not None and self._writing.done():
            # The store has the blob already, or failed.
            self._writing.result()
        else:
            self._slot.put(chunk)

    async def _start(self) -> None:
        """Begin the store's write, which the first chunk alone is not worth; what is present only flows past."""
        present = (await self._store.sizes([self.name.digest]))[0] is not None
        if not self._first:
            return
        first, self._first, self._present = self._first, b"", present
        if present:
            self._slot.close()
            return
        self._slot.put(first)
        chunks = verified(self._slot.chunks(), self.name.digest)
        self._writing = asyncio.create_task(
            self._store.write(self.name.digest, chunks), name=f"upload {self.name.digest}"
        )
        self._tasks.add(self._writing)
        self._writing.add_done_callback(self._written)

    def _task(self) -> asyncio.Task[None]:
        assert self._writing is not None
        return self._writing

    def _written(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slot.close()
        if not task.cancelled():
            # Whoever pushes or finishes next is told; a parked upload may have nobody left to tell.
            task.exception()


class _Slot:
    """Room for one chunk between one who puts and one who pulls. The empty chunk ends the stream."""

    def __init__(self) -> None:
        self._chunk = b""
        self._closed = False
        self._free = asyncio.Event()
        self._free.set()
        self._filled = asyncio.Event()

    async def room(self) -> None:
        """Wait until a chunk can be put."""
        await self._free.wait()

    def put(self, chunk: bytes) -> None:
        """Leave a chunk; there must be room. Once closed it is dropped."""
        if self._closed:
            return
        self._chunk = chunk
        self._free.clear()
        self._filled.set()

    def close(self) -> None:
        """Nobody pulls any more."""
        self._closed = True
        self._chunk = b""
        self._free.set()

    async def chunks(self) -> Chunks:
        """The chunks that are put, until the empty one."""
        while True:
            await self._filled.wait()
            chunk, self._chunk = self._chunk, b""
            self._filled.clear()
            self._free.set()
            if not chunk:
                return
            yield chunk


class Uploads:
    """The uploads of one service: those under way, and those that wait for a second stream.

    A client that lost its connection may continue for `keep_seconds`. Of those that wait, the oldest are given up
    first when there are more than `most` of them, or when they are of more than `most_bytes`.
    """

    # Each may hold an open file and one of the store's places for writers.
    MOST: Final = 128
    MOST_BYTES: Final = 4 << 30
    MOST_HELD_BYTES: Final = 64 << 20

    def __init__(self, keep_seconds: float, *, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._keep_seconds = keep_seconds
        self._most = most
        self._most_bytes = most_bytes
        self._known: dict[UploadName, Upload] = {}
        self._parked: OrderedDict[UploadName, asyncio.TimerHandle] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._known)

    def open(self, owner: object, store: Store, name: UploadName, offset: int) -> Upload:
        """The upload that a stream which begins at this offset fills; the caller parks or forgets it in the end.

        Offset 0 begins anew, whatever there was. Another one goes on with what is known under this name, and takes
        it from a stream that may still hold it: the server can be the last to learn that a connection is dead.
        Raises Error INVALID_ARGUMENT for an offset past what has come so far.
        """
        known = self._known.get(name)
        if offset and (known is None or offset > known.received):
            expected = 0 if known is None else known.received
            raise invalid(f"Received out of order data. Got {offset}, expected {expected}")
        self._unpark(name)
        if known is None or not offset:
            if known is not None and known.owner is None:
                known.abandon()
            known = self._known[name] = Upload(store, name, self._tasks)
        known.owner = owner
        return known

    def received(self, name: UploadName) -> int:
        """How many bytes of this upload have come so far; 0 for an unknown one."""
        known = self._known.get(name)
        return 0 if known is None else known.received

    def park(self, upload: Upload, owner: object) -> None:
        """The owner's connection is gone: keep what came for a while, unless another stream went on with it."""
        if upload.owner is not owner:
            return
        if self._known.get(upload.name) is not upload or not upload.received:
            self.forget(upload, owner)
            return
        upload.owner = None
        expire = asyncio.get_running_loop().call_later(self._keep_seconds, self._give_up, upload.name)
        self._parked[upload.name] = expire
        self._make_room()

    def forget(self, upload: Upload, owner: object) -> None:
        """The owner is done with it, for good or ill; does nothing when it is another's by now."""
        if upload.owner is not owner:
            return
        upload.abandon()
        if self._known.get(upload.name) is upload:
            del self._known[upload.name]

    async def close(self) -> None:
        """Give everything up and return when the store's writes have ended."""
        for name in list(self._parked):
            self._give_up(name)
        for upload in self._known.values():
            upload.abandon()
        self._known.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _make_room(self) -> None:
        waiting = [self._known[name] for name in self._parked]
        received = sum(upload.received for upload in waiting)
        held = sum(upload.held for upload in waiting)
        for upload in waiting[:-1]:
            left = len(self._parked)
            if left <= self._most and received <= self._most_bytes and held <= self.MOST_HELD_BYTES:
                return
            received -= upload.received
            held -= upload.held
            self._give_up(upload.name)

    def _give_up(self, name: UploadName) -> None:
        self._unpark(name)
        self._known.pop(name).abandon()

    def _unpark(self, name: UploadName) -> None:
        timer = self._parked.pop(name, None)
        if timer is not None:
            timer.cancel()
