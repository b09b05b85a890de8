"""What an action result names, directly and inside of Trees and Directories: without it the result is of no use. Pure.

It is read piece by piece: a Tree of 64 MiB names a million files, which are never held together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from nlserver.errors import invalid
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import EMPTY, Digest, Function, digest_of, of
from nlserver.reapi.wire import records

MOST_DIRECTORIES: Final = 100_000
"""The most directories that are followed for one result."""
_ROOT: Final = 1
_CHILD: Final = 2


@dataclass(frozen=True, slots=True)
class Named:
    """What an ActionResult names itself, each once: blobs, Trees, and roots of Directories that stand in the CAS."""

    blobs: tuple[Digest, ...]
    trees: tuple[Digest, ...]
    roots: tuple[Digest, ...]


def named_by(result: re_pb.ActionResult, function: Function) -> Named:
    """What this result names. Raises Error INVALID_ARGUMENT for malformed digests."""
    streams = (result.stdout_digest, result.stderr_digest)
    blobs = [file.digest for file in result.output_files]
    # A digest without a hash stands for a stream that was not kept.
    blobs += [stream for stream in streams if stream.hash or stream.size_bytes]
    trees, roots = [], []
    for output in result.output_directories:
        if output.HasField("root_directory_digest"):
            roots.append(output.root_directory_digest)
        if output.HasField("tree_digest") or not output.HasField("root_directory_digest"):
            trees.append(output.tree_digest)
    return Named(_checked(blobs, function), _checked(trees, function), _checked(roots, function))


def _checked(messages: Iterable[re_pb.Digest], function: Function) -> tuple[Digest, ...]:
    return tuple(dict.fromkeys(digest_of(message, function) for message in messages))


class Directories:
    """Directories by their digests, with the digests of those below them."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.below: dict[Digest, tuple[Digest, ...]] = {EMPTY[function]: ()}

    def add(self, data: bytes) -> Iterator[Digest]:
        """Take a Directory; the digests of its files. Raises Error INVALID_ARGUMENT for what is none, or too much."""
        return self._take(of(data, self.function), data)

    def add_tree(self, data: bytes) -> Iterator[Digest]:
        """Take a Tree; the digests of all files in it, whether its root leads there or not.

        Raises Error INVALID_ARGUMENT for what is no Tree, and at its end for one that lacks a directory.
        """
        own: list[Digest] = []
        for number, piece in records(data):
            if number in (_ROOT, _CHILD):
                own.append(of(piece, self.function))
                yield from self._take(own[-1], piece)
        for digest in own:
            for child in self.below[digest]:
                if child not in self.below:
                    raise invalid(f"the Tree lacks the directory {child}")

    def _take(self, digest: Digest, data: bytes | memoryview) -> Iterator[Digest]:
        if digest in self.below:
            return
        if len(self.below) > MOST_DIRECTORIES:
            raise invalid(f"the result has more than {MOST_DIRECTORIES} directories")
        try:
            found = re_pb.Directory.FromString(bytes(data))
        except DecodeError:
            raise invalid(f"{digest} is not a Directory") from None
        self.below[digest] = tuple(digest_of(node.digest, self.function) for node in found.directories)
        for node in found.files:
            yield digest_of(node.digest, self.function)
