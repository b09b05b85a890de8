"""Fields of protobuf messages as bytes, for those who cannot wait until the library is imported. Pure."""

from __future__ import annotations

from collections.abc import Iterator


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: numbers, and bytes of what has a length."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(message, at)
            yield tag >> 3, value
        elif kind == 2:
            length, at = varint(message, at)
            yield tag >> 3, message[at : at + length]
            at += length
        else:
            at += 8 if kind == 1 else 4


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protobuf message; nothing for one that has its default."""
    if not value:
        return b""
    if isinstance(value, int):
        return _written(number << 3) + _written(value)
    return _written(number << 3 | 2) + _written(len(value)) + value


def varint(message: bytes | memoryview, at: int) -> tuple[int, int]:
    """A number, and where it ends. Raises IndexError where the message ends first."""
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def _written(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
