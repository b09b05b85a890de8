"""NativeLink's container of lz4 blocks, format version 1: a header, data frames, and a footer with an index. Pure.

Little endian. Header: u8 version, u32 block size, u32 kind and u64 number of the size that was announced. Data frame:
u8 0, u32 length, one lz4 block of at most `block size` plain bytes; all but the last hold exactly so many. Footer:
u8 1, u32 length of the rest, u64 count and as many u32 lengths of all data frames but the last, u32 count again,
u64 plain size, u32 block size, u8 version.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import lz4.block

from nlserver.errors import Code, Error

_VERSION: Final = 1
_DATA: Final = 0
_FOOTER: Final = 1
# The announced size is for people who debug; 1 says that it is a maximum.
_ANNOUNCED_MAXIMUM: Final = 1
_HEADER: Final = struct.Struct("<BIIQ")
_FRAME: Final = struct.Struct("<BI")
_COUNT: Final = struct.Struct("<Q")
_END: Final = struct.Struct("<IQIB")
FIXED_FOOTER_BYTES: Final = _FRAME.size + _COUNT.size + _END.size
"""The bytes of a footer without its index; each entry adds `INDEX_ENTRY_BYTES`."""
INDEX_ENTRY_BYTES: Final = 4


def corrupt(reason: str) -> Error:
    """The Error for stored bytes that are not this format."""
    return Error(
        Code.DATA_LOSS,
        f"a compressed value cannot be read: {reason}",
        remedy="remove the value; it was damaged, or not written by a compression store",
    )


@dataclass(frozen=True)
class Footer:
    """Where the blocks stand: lengths of all frames' data but the last's, and the plain bytes in all and in each."""

    lengths: Sequence[int]
    size: int
    block_size: int

    def pack(self) -> bytes:
        """The footer frame."""
        count = len(self.lengths)
        body = struct.pack(f"<Q{count}I", count, *self.lengths) + _END.pack(count, self.size, self.block_size, _VERSION)
        return _FRAME.pack(_FOOTER, len(body)) + body

    def start(self, block: int) -> int:
        """Where the frame of this block begins in the stored value."""
        return _HEADER.size + sum(self.lengths[:block]) + block * _FRAME.size

    @property
    def blocks(self) -> int:
        """How many data frames there are."""
        return -(-self.size // self.block_size)


def footer_bytes(tail: bytes) -> int:
    """From the last bytes of a stored value, how many of them its footer has. Raises Error DATA_LOSS."""
    if len(tail) < FIXED_FOOTER_BYTES:
        raise corrupt("it is too short for a footer")
    count = _END.unpack_from(tail, len(tail) - _END.size)[0]
    return FIXED_FOOTER_BYTES + int(count) * INDEX_ENTRY_BYTES


def parse_footer(frame: bytes) -> Footer:
    """The footer in exactly its bytes, from its frame header on. Raises Error DATA_LOSS."""
    if len(frame) < FIXED_FOOTER_BYTES or len(frame) != footer_bytes(frame):
        raise corrupt("its footer has another length than its index needs")
    kind, length = _FRAME.unpack_from(frame)
    (count,) = _COUNT.unpack_from(frame, _FRAME.size)
    again, size, block_size, version = _END.unpack_from(frame, len(frame) - _END.size)
    if (kind, length, count, version) != (_FOOTER, len(frame) - _FRAME.size, again, _VERSION):
        raise corrupt("its footer contradicts itself")
    footer = Footer(struct.unpack_from(f"<{count}I", frame, _FRAME.size + _COUNT.size), size, max(1, block_size))
    if count != max(0, footer.blocks - 1):
        raise corrupt(f"its footer counts {count + 1} blocks for {size} bytes")
    return footer


def ends_before(footer: Footer, tail: bytes, stored_bytes: int) -> bool:
    """Whether the last data frame, where `tail` shows it, ends where the footer begins, as its index says."""
    frame = footer.start(max(0, footer.blocks - 1)) - (stored_bytes - len(tail))
    if frame < 0 or footer.blocks == 0:
        return True
    begins = len(tail) - FIXED_FOOTER_BYTES - len(footer.lengths) * INDEX_ENTRY_BYTES
    if frame + _FRAME.size > begins:
        return False
    kind, length = _FRAME.unpack_from(tail, frame)
    return bool(kind == _DATA and frame + _FRAME.size + length == begins)


class Encoder:
    """Makes the container from plain bytes as they come."""

    def __init__(self, block_size: int, announced: int) -> None:
        self._block_size = block_size
        self._announced = announced
        self._plain = bytearray()
        self._lengths: list[int] = []
        self._size = 0
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """Take plain bytes, and give what is ready. Compresses about 0.5-2 GB/s."""
        parts = self._header()
        view = memoryview(data)
        if self._plain:
            missing = self._block_size - len(self._plain)
            self._plain += view[:missing]
            view = view[missing:]
            if len(self._plain) == self._block_size:
                self._frame(self._plain, parts)
                self._plain = bytearray()
        whole = len(view) - len(view) % self._block_size
        for start in range(0, whole, self._block_size):
            self._frame(view[start : start + self._block_size], parts)
        self._plain += view[whole:]
        return b"".join(parts)

    def finish(self) -> bytes:
        """What is left, and the footer."""
        parts = self._header()
        if self._plain:
            self._frame(self._plain, parts)
        parts.append(Footer(self._lengths[:-1], self._size, self._block_size).pack())
        return b"".join(parts)

    def _header(self) -> list[bytes]:
        if self._begun:
            return []
        self._begun = True
        return [_HEADER.pack(_VERSION, self._block_size, _ANNOUNCED_MAXIMUM, self._announced)]

    def _frame(self, plain: memoryview | bytearray, parts: list[bytes]) -> None:
        block = lz4.block.compress(plain, store_size=False)
        parts += (_FRAME.pack(_DATA, len(block)), block)
        self._lengths.append(len(block))
        self._size += len(plain)


class Decoder:
    """Makes plain bytes from the container as it comes, and checks every field. Raises Error DATA_LOSS.

    `block_size` given means that the bytes begin with a data frame and have neither header nor footer.
    """

    def __init__(self, most_block_bytes: int, block_size: int = 0) -> None:
        self._most_block_bytes = most_block_bytes
        self._block_size = block_size
        self._headless = block_size > 0
        self._stored = b""
        self._at = 0
        self._size = 0
        self._footer: Footer | None = None

    def feed(self, data: bytes) -> None:
        """Take the next stored bytes; `take` gives what they hold."""
        rest = self._stored[self._at :]
        self._stored = rest + data if rest else data
        self._at = 0

    def take(self, most: int) -> bytes:
        """The next plain bytes, up to the block that passes `most`; none when more stored bytes are needed."""
        plain: list[bytes] = []
        size = 0
        while size < most and (frame := self._frame()) is not None:
            block = self._plain(frame)
            plain.append(block)
            size += len(block)
        self._size += size
        return b"".join(plain)

    @property
    def waiting(self) -> int:
        """Stored bytes that `take` has not used yet."""
        return len(self._stored) - self._at

    def finish(self) -> None:
        """Check, at the end of the stored bytes, that they were whole."""
        if self._headless and not self.waiting:
            return
        if self._footer is None or self.waiting:
            raise corrupt("it ends too early" if self._footer is None else "bytes follow its footer")
        if self._footer.size != self._size:
            raise corrupt(f"it holds {self._size} bytes and its footer says {self._footer.size}")

    def _frame(self) -> memoryview | None:
        """The lz4 block of the next data frame, or None when it is not here yet or there is none."""
        if self._footer is not None or (not self._block_size and not self._header()) or self.waiting < _FRAME.size:
            return None
        kind, length = _FRAME.unpack_from(self._stored, self._at)
        if kind == _DATA and length > 2 * self._block_size + 64:
            raise corrupt(f"a block of {length} bytes cannot come from {self._block_size}")
        if kind not in (_DATA, _FOOTER):
            raise corrupt(f"a frame has the unknown kind {kind}")
        if self.waiting < _FRAME.size + length:
            return None
        start, self._at = self._at, self._at + _FRAME.size + length
        if kind == _FOOTER:
            self._footer = parse_footer(self._stored[start : self._at])
            return None
        return memoryview(self._stored)[start + _FRAME.size : self._at]

    def _header(self) -> bool:
        if self.waiting < _HEADER.size:
            return False
        version, block_size, _, _ = _HEADER.unpack_from(self._stored, self._at)
        if version != _VERSION or block_size == 0:
            raise corrupt(f"its header has version {version} and blocks of {block_size} bytes")
        check_block_size(block_size, self._most_block_bytes)
        self._block_size = block_size
        self._at += _HEADER.size
        return True

    def _plain(self, block: memoryview) -> bytes:
        try:
            return bytes(lz4.block.decompress(block, uncompressed_size=self._block_size))
        except (lz4.block.LZ4BlockError, ValueError) as failure:
            raise corrupt(f"a block does not decompress: {failure}") from failure


def check_block_size(found: int, most: int) -> None:
    """Raise Error FAILED_PRECONDITION when a value's blocks are larger than this store may decode."""
    if found > most:
        raise Error(
            Code.FAILED_PRECONDITION,
            f"Block size is too large in compression, got {found} > {most}",
            remedy="raise compression_algorithm.lz4.max_decode_block_size",
        )
