"""Protobuf messages of any type with any content, biased towards what real and hostile clients send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import EMPTY, Digest, Function, of

DEEPEST = 4
KNOWN = (b"", b"abc", b"x" * 70_000, b"\x0a\x00")
"""Blobs to which digests of messages lead, if somebody keeps them."""

# U+0085 and U+2028 end lines for some; U+FF0F looks like a slash; U+202E turns the reading direction.
HOSTILE = [
    *(
        "",
        ".",
        "..",
        "/",
        "//",
        "a/b",
        "../x",
        "a/../b",
        "/nonexistent/x",
        "\0",
        "a\0b",
        "a\n",
        "\r\n",
        " ",
        "-rf",
        "~",
    ),
    *("a=b", "%2e%2e%2f", "${HOME}", "`id`", "\x1b[31m", "\x85", "\u2028", "\uff0f", "\u202e", "\U0001f600", "con"),
    *("x" * 255, "x" * 256, "\u00e9" * 128, "y" * 5000),
    *("blobs", "uploads", "operations/x", "a/b", "main", "sha256", "blake3", "zstd"),
]
names = st.one_of(
    st.sampled_from(["a", "b", "c", "file", "dir"]),
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
)
numbers = st.one_of(st.sampled_from([0, 1, -1, 2, 3, 127, 128, 2**31 - 1, -(2**31)]), st.integers(-(2**31), 2**31 - 1))
long_numbers = st.one_of(numbers, st.sampled_from([2**62, 2**63 - 1, -(2**63), 10**18, 1 << 40]))


def digest_message(digest: Digest) -> re_pb.Digest:
    return re_pb.Digest(hash=digest.hash, size_bytes=digest.size_bytes)


digests = st.one_of(
    st.sampled_from([digest_message(of(data)) for data in KNOWN]),
    st.sampled_from([digest_message(of(data, Function.BLAKE3)) for data in KNOWN]),
    st.sampled_from(
        [
            re_pb.Digest(),
            re_pb.Digest(hash=of(b"abc").hash, size_bytes=4),
            re_pb.Digest(hash=of(b"abc").hash, size_bytes=-1),
            re_pb.Digest(hash=of(b"abc").hash.upper(), size_bytes=3),
            re_pb.Digest(hash=of(b"abc").hash + "\n", size_bytes=3),
            re_pb.Digest(hash=of(b"never").hash, size_bytes=5),
            re_pb.Digest(hash=of(b"huge").hash, size_bytes=2**62),
            re_pb.Digest(hash=EMPTY[Function.SHA256].hash, size_bytes=5),
            re_pb.Digest(hash="../../../../nonexistent", size_bytes=3),
            re_pb.Digest(hash="a" * 40, size_bytes=3),
        ]
    ),
    st.builds(re_pb.Digest, hash=names, size_bytes=long_numbers),
)

Overrides = Mapping[str, st.SearchStrategy[Any]]
"""Strategies for fields, by `Message.field`, or for messages, by their full name."""


@st.composite
def messages(draw: st.DrawFn, kind: type[Message], overrides: Overrides | None = None, depth: int = DEEPEST) -> Message:
    """A message with any of its fields set; fields named in `overrides` take their value from there."""
    made = kind()
    special = overrides or {}
    for field in made.DESCRIPTOR.fields:
        wanted = special.get(f"{made.DESCRIPTOR.name}.{field.name}")
        if wanted is None and not draw(st.booleans()):
            continue
        if field.is_repeated:
            _repeat(draw, made, field, wanted, special, depth)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            if depth:
                getattr(made, field.name).CopyFrom(
                    draw(wanted if wanted is not None else _message(field, special, depth))
                )
        else:
            setattr(made, field.name, draw(wanted if wanted is not None else _scalar(field)))
    return made


def _repeat(
    draw: st.DrawFn,
    made: Message,
    field: FieldDescriptor,
    wanted: st.SearchStrategy[Any] | None,
    special: Overrides,
    depth: int,
) -> None:
    if field.type != FieldDescriptor.TYPE_MESSAGE:
        getattr(made, field.name).extend(draw(st.lists(wanted if wanted is not None else _scalar(field), max_size=4)))
    elif field.message_type.GetOptions().map_entry or not depth:
        return
    else:
        getattr(made, field.name).extend(
            draw(st.lists(wanted if wanted is not None else _message(field, special, depth), max_size=4))
        )


def _message(field: FieldDescriptor, special: Overrides, depth: int) -> st.SearchStrategy[Message]:
    name = field.message_type.full_name
    if name in special:
        return special[name]
    if name.endswith(".Digest"):
        return digests
    if name == "google.protobuf.Any":
        return st.builds(AnyMessage, type_url=names, value=st.binary(max_size=20))
    return messages(GetMessageClass(field.message_type), special, depth - 1)


def _scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return st.binary(max_size=40) if field.type == FieldDescriptor.TYPE_BYTES else names
        case FieldDescriptor.CPPTYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.CPPTYPE_ENUM:
            return st.sampled_from([0, 1, 1, 9, 9, 2, 77, 999, -1])
        case FieldDescriptor.CPPTYPE_INT32:
            return numbers
        case FieldDescriptor.CPPTYPE_INT64:
            return long_numbers
        case FieldDescriptor.CPPTYPE_UINT32:
            return numbers.map(abs).filter(lambda number: number < 2**32)
        case FieldDescriptor.CPPTYPE_UINT64:
            return long_numbers.map(abs)
        case _:
            return st.floats(width=32)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes that were changed, cut, repeated or lengthened on their way; or that were not."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["change", "cut", "insert", "repeat"])):
            case "change" if data:
                data[min(at, len(data) - 1)] = draw(st.integers(0, 255))
            case "cut":
                del data[at : at + draw(st.integers(1, 8))]
            case "insert":
                data[at:at] = draw(st.binary(max_size=8))
            case _:
                data[at:at] = data[at : at + 16]
    return bytes(data)


def encoded(kind: type[Message], overrides: Overrides | None = None) -> st.SearchStrategy[bytes]:
    """A message's bytes, damaged or not, or any bytes."""
    whole = messages(kind, overrides).map(lambda message: message.SerializeToString())
    return st.one_of(damaged(whole), st.binary(max_size=200))
