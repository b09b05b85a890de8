"""Directories and Trees: built in canonical form, checked when they come from outside, and walked within bounds. Pure.

Laws: a Directory that passed `check_directory` cannot lead outside its parent; walks are iterative and bounded, since
a few kilobytes of Directories can describe a tree of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError, Message

from nlserver.errors import Code, Error, invalid
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import EMPTY, Digest, Function, digest_of, digests_of, is_empty, of
from nlserver.reapi.wire import field, records

MOST_NODES: Final = 1_000_000
"""The most files, directories and symlinks of a walk; a directory counts wherever it stands."""
LONGEST_NAME_BYTES: Final = 255
LONGEST_PATH_BYTES: Final = 4096
_ROOT: Final = b"\x0a"
_CHILD: Final = b"\x12"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a directory."""

    name: str
    digest: Digest
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Subdirectory:
    """A directory of a directory, by the digest of its own Directory message."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link of a directory; the target is kept verbatim."""

    name: str
    target: str


Entry = File | Subdirectory | Symlink


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes and their name."""

    digest: Digest
    data: bytes


def set_digest(message: re_pb.Digest, digest: Digest) -> None:
    """Write a digest into a message; the empty one's field becomes present, too."""
    message.hash, message.size_bytes = digest.hash, digest.size_bytes


def message_of(digest: Digest) -> re_pb.Digest:
    """The message of a digest."""
    return re_pb.Digest(hash=digest.hash, size_bytes=digest.size_bytes)


def blob_of(message: Message, function: Function = Function.SHA256) -> Blob:
    """A message as the blob that it is in the CAS."""
    data = message.SerializeToString(deterministic=True)
    return Blob(of(data, function), data)


def directory(entries: Iterable[Entry]) -> re_pb.Directory:
    """The Directory of these entries in canonical form (REAPI v2, Directory).

    Raises Error INVALID_ARGUMENT for names that no Directory may have.
    """
    made = re_pb.Directory()
    # The order of code points is that of UTF-8 bytes.
    for entry in sorted(entries, key=_name_of):
        match entry:
            case File():
                node = made.files.add(name=_text(entry.name), is_executable=entry.executable)
                set_digest(node.digest, entry.digest)
            case Subdirectory():
                set_digest(made.directories.add(name=_text(entry.name)).digest, entry.digest)
            case Symlink():
                made.symlinks.add(name=_text(entry.name), target=_text(entry.target))
    check_directory(made)
    return made


def _name_of(entry: Entry) -> str:
    return entry.name


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise invalid(f"{shown!r} is not UTF-8: no message can hold it") from None
    return text


def directory_of(data: bytes, function: Function = Function.SHA256) -> re_pb.Directory:
    """The checked Directory in a blob. Raises Error INVALID_ARGUMENT."""
    try:
        found = re_pb.Directory.FromString(data)
    except DecodeError:
        raise invalid("the blob is not a Directory") from None
    check_directory(found, function)
    return found


def check_directory(found: re_pb.Directory, function: Function = Function.SHA256) -> None:
    """Refuse what could not be laid out as it stands; any order of the entries is taken (REAPI v2, Directory).

    Raises Error INVALID_ARGUMENT for names that are not one path segment, names that occur twice, malformed digests
    and targets.
    """
    seen: set[str] = set()
    for name in _names(found):
        check_name(name)
        if name in seen:
            raise invalid(f"the name {name!r} occurs twice in a directory")
        seen.add(name)
    digests_of((node.digest for node in found.files), function)
    digests_of((node.digest for node in found.directories), function)
    for link in found.symlinks:
        check_target(link.name, link.target)


def _names(found: re_pb.Directory) -> Iterator[str]:
    yield from (node.name for node in found.files)
    yield from (node.name for node in found.directories)
    yield from (node.name for node in found.symlinks)


def check_name(name: str) -> None:
    """Refuse what is not one segment of a path. Raises Error INVALID_ARGUMENT."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise invalid(f"{name[:80]!r} cannot be the name of a file: a name is one segment of a path")
    if len(name.encode()) > LONGEST_NAME_BYTES:
        raise invalid(f"the name {name[:80]!r}... is longer than {LONGEST_NAME_BYTES} bytes")


def check_target(name: str, target: str) -> None:
    """Refuse targets that no symlink can have. Raises Error INVALID_ARGUMENT."""
    if not target or "\0" in target:
        raise invalid(f"the symlink {name!r} has no possible target: {target[:80]!r}")
    if len(target.encode()) > LONGEST_PATH_BYTES:
        raise invalid(f"the target of the symlink {name!r} is longer than {LONGEST_PATH_BYTES} bytes")


def walk(
    root: Digest, lookup: Callable[[Digest], re_pb.Directory], *, most_nodes: int = MOST_NODES
) -> Iterator[tuple[str, re_pb.Directory]]:
    """Every directory of a tree with its path from the root (`""` for the root), parents before children.

    `lookup` gives a checked Directory and raises Error where it has none; it is not asked for the empty one.
    Raises Error INVALID_ARGUMENT for a tree of more than `most_nodes` nodes or with paths that are too long.
    """
    row = [("", root)]
    nodes = 1
    while row:
        path, digest = row.pop()
        found = re_pb.Directory() if is_empty(digest) else lookup(digest)
        nodes += len(found.files) + len(found.directories) + len(found.symlinks)
        if nodes > most_nodes:
            raise invalid(f"the tree has more than {most_nodes} files and directories")
        yield path, found
        row += [
            (_below(path, node.name), digest_of(node.digest, root.function)) for node in reversed(found.directories)
        ]


def _below(path: str, name: str) -> str:
    joined = f"{path}/{name}" if path else name
    if len(joined) > LONGEST_PATH_BYTES:
        raise invalid(f"the tree has a path that is longer than {LONGEST_PATH_BYTES} bytes: {joined[:80]}...")
    return joined


def tree_blob(root: Digest, directories: Mapping[Digest, bytes]) -> Blob:
    """The Tree of a closure: root first, each directory once, parents before their children.

    That is the order which `OutputDirectory.is_topologically_sorted` promises (REAPI v2), and equal directories give
    equal Trees. `directories` holds the blobs of the closure. Raises Error NOT_FOUND when one is absent.
    """
    order = _topological(root, directories)
    pieces = [*field(_ROOT, _bytes_of(root, directories))]
    for digest in order[1:]:
        pieces += field(_CHILD, _bytes_of(digest, directories))
    data = b"".join(pieces)
    return Blob(of(data, root.function), data)


def _bytes_of(digest: Digest, directories: Mapping[Digest, bytes]) -> bytes:
    if is_empty(digest):
        return b""
    try:
        return directories[digest]
    except KeyError:
        raise Error(Code.NOT_FOUND, f"directory {digest} is not among the given ones") from None


def _topological(root: Digest, directories: Mapping[Digest, bytes]) -> list[Digest]:
    """Depth first; whoever is finished later contains what was finished before."""
    finished: list[Digest] = []
    seen: set[Digest] = set()
    row = [(root, False)]
    while row:
        digest, below_done = row.pop()
        if below_done:
            finished.append(digest)
        elif digest not in seen:
            seen.add(digest)
            row.append((digest, True))
            children = directory_of(_bytes_of(digest, directories), root.function).directories
            row += [(digest_of(node.digest, root.function), False) for node in reversed(children)]
    return finished[::-1]


@dataclass(frozen=True, slots=True)
class Tree:
    """A Tree message in checked parts. `directories` holds the root, too."""

    root: Digest
    directories: Mapping[Digest, re_pb.Directory]

    def lookup(self, digest: Digest) -> re_pb.Directory:
        """For `walk`. Raises Error INVALID_ARGUMENT when the Tree lacks a directory that it refers to."""
        try:
            return self.directories[digest]
        except KeyError:
            raise invalid(f"the Tree lacks the directory {digest}") from None

    def files(self) -> Iterator[Digest]:
        """The digest of every file, each once."""
        seen: set[Digest] = set()
        for found in self.directories.values():
            for node in found.files:
                digest = digest_of(node.digest, self.root.function)
                if digest not in seen:
                    seen.add(digest)
                    yield digest


def tree_of(data: bytes, function: Function = Function.SHA256) -> Tree:
    """The checked Tree in a blob (REAPI v2, Tree), in any order, with repeated or unused children.

    Directories are named by the bytes that stand in the Tree, whatever their encoding. Raises Error INVALID_ARGUMENT.
    """
    root: Digest = EMPTY[function]
    directories: dict[Digest, re_pb.Directory] = {root: re_pb.Directory()}
    for number, piece in records(data):
        if number not in (1, 2):
            continue
        digest = of(piece, function)
        if digest not in directories:
            directories[digest] = directory_of(bytes(piece), function)
        if number == 1:
            root = digest
    return Tree(root, directories)
