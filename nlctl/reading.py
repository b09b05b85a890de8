"""A blob of a server on this machine, read without the gRPC library.

The library moves a large blob through three threads and copies it four times; where server, network and client share a
machine that costs more than hashing it. Here each piece comes from the socket to where it is hashed and written from.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final

from nlserver.reapi.address import is_local, target_of
from nlserver.reapi.digest import Digest, hasher
from nlserver.reapi.names import read_name

from nlctl.http2 import MOST_SENT, Call
from nlctl.session import Target
from nlctl.wire import field, varint

_METHOD: Final = "/google.bytestream.ByteStream/Read"
_SECONDS: Final = 10.0
_MOST_MESSAGE: Final = 16 << 20
_DATA: Final = 10 << 3 | 2


class Unread(Exception):
    """The blob did not come whole, for whatever reason: the library asks again, and explains."""


def is_near(target: Target) -> bool:
    """Whether the CAS of this target is asked so: one on this machine, without TLS and token."""
    where = target_of(target.cas)
    return not (where.secure or target.access.token_file or where.name.startswith("unix:")) and is_local(target.cas)


def chunks(target: Target, digest: Digest) -> Iterator[memoryview]:
    """The bytes of a blob; each piece is good until the next is asked for. Raises Unread, also when they are others."""
    request = field(1, read_name(target.instance, digest).encode())
    if len(request) > MOST_SENT:
        raise Unread
    host, _, port = target_of(target.cas).name.rpartition(":")
    made = hasher(digest.function)
    left = digest.size_bytes
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _SECONDS) as connection:
            call = Call(connection, lambda: _SECONDS, _METHOD, request)
            buffer = bytearray()
            while (length := call.message_bytes()) is not None:
                if length > _MOST_MESSAGE:
                    raise Unread
                if length > len(buffer):
                    buffer = bytearray(length)
                message = memoryview(buffer)[:length]
                call.read(message)
                data = _data(message)
                left -= len(data)
                if left < 0:
                    raise Unread
                made.update(data)
                yield data
    except OSError as error:
        raise Unread from error
    if left or made.hexdigest() != digest.hash:
        raise Unread


def _data(message: memoryview) -> memoryview:
    """The one field of a ReadResponse (google.bytestream)."""
    try:
        length, at = varint(message, 1)
        if message[0] != _DATA or at + length != len(message):
            raise Unread
    except IndexError:
        raise Unread from None
    return message[at:]
