"""From a file to what is gathered of it: which kind it is, by its first bytes, and its pieces one after the other."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Final, cast

from nlserver.errors import Error

from nlctl.buildlog.events import Events
from nlctl.buildlog.gathered import Gathered
from nlctl.buildlog.profiles import Profile
from nlctl.buildlog.rpcs import Rpcs, is_entry
from nlctl.buildlog.spawns import Spawns
from nlctl.buildlog.words import Words
from nlctl.faults import BAD_LOG, NO_LOG, Fault, fix

_HEAD: Final = 1 << 16
_CHUNK: Final = 1 << 18
_LONGEST_LINE: Final = 1 << 16
_LARGEST_ENTRY: Final = 64 << 20
_LONGEST_VARINT: Final = 10
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


class Kind(StrEnum):
    """What a build's log may be."""

    TEXT = "text"
    """What Bazel says: its standard error, or command.log."""
    GRPC = "grpc"
    """Its calls: --remote_grpc_log."""
    PROFILE = "profile"
    """Where its time went: --profile."""
    EXECUTION = "execution"
    """Its actions: --execution_log_json_file."""
    EVENTS = "events"
    """Its events: --build_event_json_file."""


def gather(path: Path) -> tuple[Kind, Gathered]:
    """What is told of this file, whose size does not matter. Raises Fault NO_LOG or BAD_LOG."""
    try:
        with open(path, "rb") as raw:
            packed = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=raw) if packed else raw)
            head = _head(stream)
            stream.seek(0)
            kind = recognised(head, str(path))
            return kind, _gathered(kind, stream)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _bad(str(path), "it begins like a gzip file and is none") from error
    except OSError as error:
        raise Fault(NO_LOG, f"{path} cannot be read", why=error.strerror or str(error), fixes=[_NAME]) from error


def _head(stream: IO[bytes]) -> bytes:
    # A build that still runs has not ended its file.
    with suppress(EOFError):
        return stream.read(_HEAD)
    return b""


def recognised(head: bytes, name: str) -> Kind:
    """Which kind of log begins with these bytes. Raises Fault BAD_LOG."""
    start = head.lstrip()
    if not start:
        raise _bad(name, "it is empty")
    if start.startswith(b"{"):
        if b'"traceEvents"' in head or b'"otherData"' in head:
            return Kind.PROFILE
        if start.startswith(b'{"id"'):
            return Kind.EVENTS
        if b'"commandArgs"' in head:
            return Kind.EXECUTION
    if head.startswith(_ZSTD):
        raise _bad(name, "it is a compact execution log: write --execution_log_json_file, or --remote_grpc_log")
    with suppress(EOFError):
        if is_entry(next(_messages(_Bytes(head)))):
            return Kind.GRPC
    if b"\0" in head:
        raise _bad(name, "it is neither a text nor a log of calls, a profile, an execution log or events")
    return Kind.TEXT


def _bad(name: str, why: str) -> Fault:
    return Fault(BAD_LOG, f"{name} is no log of a build", why=why, fixes=[_NAME])


_NAME: Final = fix("name what --remote_grpc_log, --profile or Bazel's standard error wrote")


def _gathered(kind: Kind, stream: IO[bytes]) -> Gathered:
    gathered = Gathered()
    try:
        _feed(kind, stream, gathered)
    except (EOFError, Error, json.JSONDecodeError):
        # A log that is still being written, or whose writer was killed, ends somewhere; what came before it counts.
        gathered.cut_off = True
    return gathered


def _feed(kind: Kind, stream: IO[bytes], gathered: Gathered) -> None:
    match kind:
        case Kind.TEXT:
            words = Words(gathered)
            while line := stream.readline(_LONGEST_LINE):
                words.line(line.decode(errors="replace").rstrip("\n"))
        case Kind.GRPC:
            calls = Rpcs(gathered)
            for message in _messages(stream):
                calls.entry(message)
        case Kind.PROFILE:
            profile = Profile(gathered)
            try:
                for event in _objects(stream, inside='"traceEvents"'):
                    profile.event(event)
            finally:
                profile.end()
        case Kind.EXECUTION:
            spawns = Spawns(gathered)
            for spawn in _objects(stream):
                spawns.spawn(spawn)
        case Kind.EVENTS:
            events = Events(gathered)
            for event in _objects(stream):
                events.event(event)


class _Bytes:
    """Bytes that are read like a file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        self._at += size
        return piece


def _messages(stream: IO[bytes] | _Bytes) -> Iterator[bytes]:
    """Messages, each behind its length. Raises EOFError for one that is cut off, Error for a length that is none."""
    while (size := _length(stream)) is not None:
        data = stream.read(size)
        if len(data) < size:
            raise EOFError
        yield data


def _length(stream: IO[bytes] | _Bytes) -> int | None:
    number = 0
    for place in range(_LONGEST_VARINT):
        byte = stream.read(1)
        if not byte:
            if place:
                raise EOFError
            return None
        number |= (byte[0] & 0x7F) << (7 * place)
        if byte[0] < 0x80:
            break
    if number > _LARGEST_ENTRY:
        raise EOFError
    return number


def _objects(stream: IO[bytes], inside: str = "") -> Iterator[dict[str, Any]]:
    """The objects of a text of JSON, one behind the other; of the list behind a key where one is given.

    Raises EOFError for a text that ends within one, or has one that is larger than any log's.
    """
    decoder = json.JSONDecoder()
    text, wanted = "", _CHUNK
    while True:
        chunk = stream.read(wanted)
        text += chunk.decode(errors="replace")
        if inside and inside in text and "[" in text.partition(inside)[2]:
            text, inside = text.partition(inside)[2].partition("[")[2], ""
        at = 0
        while not inside:
            while at < len(text) and text[at] in " \t\r\n,":
                at += 1
            if at == len(text) or text[at] == "]":
                break
            try:
                found, at = decoder.raw_decode(text, at)
            except json.JSONDecodeError:
                break
            if isinstance(found, dict):
                yield found
        if text[at : at + 1] == "]":
            return
        text = text[at:]
        if not chunk:
            if text.strip(" \t\r\n,"):
                raise EOFError
            return
        if len(text) > _LARGEST_ENTRY:
            raise EOFError
        # An object that is larger than what was read is tried again with twice as much, so that it costs no more.
        wanted = max(_CHUNK, len(text))
