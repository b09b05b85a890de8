"""Directories that an action may leave: made on the disk, and as values that say what should be found in them."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st
from nlserver.errors import Code
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import Digest, digest_of, of

SECRET: Final = b"what no action may see"


@dataclass(frozen=True)
class File:
    data: bytes
    mode: int


@dataclass(frozen=True)
class Sparse:
    size: int


@dataclass(frozen=True)
class Link:
    target: bytes


@dataclass(frozen=True)
class Special:
    kind: int


@dataclass(frozen=True)
class Directory:
    entries: Mapping[bytes, Node]
    mode: int


Node = File | Sparse | Link | Special | Directory

names = st.one_of(
    st.sampled_from([b"a", b"b", b"c", b"out", b"d"]),
    st.sampled_from(
        [b"a\nb", b" ", b"-rf", b"\xff", b"\xed\xa0\x80", "\u00e9".encode(), "e\u0301".encode(), b"x" * 255]
    ),
    st.binary(min_size=1, max_size=6).filter(lambda name: not set(name) & set(b"/\0") and name not in (b".", b"..")),
)
modes = st.sampled_from([0o644, 0o755, 0o444, 0o555, 0, 0o6755, 0o200, 0o100, 0o1777])
files = st.builds(File, st.one_of(st.binary(max_size=9), st.sampled_from([0, 65_536, 65_537]).map(bytes)), modes)
links = st.builds(
    Link,
    st.sampled_from(
        [b"a", b"../secret", b"{secret}", b"{secret}/..", b".", b"loop", b"{root}/a", b"\xff", b"/nonexistent"]
    ),
)
_KINDS: Final = [stat.S_IFIFO, stat.S_IFSOCK, *([stat.S_IFCHR, stat.S_IFBLK] if os.geteuid() == 0 else [])]
leaves = st.one_of(
    files,
    files,
    files,
    links,
    st.builds(Sparse, st.sampled_from([0, 100_000, 1 << 45])),
    st.builds(Special, st.sampled_from(_KINDS)),
)
directories = st.recursive(
    st.builds(Directory, st.dictionaries(names, leaves, max_size=4), modes),
    lambda below: st.builds(Directory, st.dictionaries(names, st.one_of(below, leaves), max_size=4), modes),
    max_leaves=8,
)


def make(node: Node, name: bytes, fd: int, root: bytes, secret: bytes) -> None:
    """Make a node under this name in an open directory. No link leads to anything but the secret and what is made."""
    match node:
        case File(data, mode):
            own = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd)
            os.write(own, data)
            os.fchmod(own, mode)
            os.close(own)
        case Sparse(size):
            own = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd)
            os.ftruncate(own, min(size, 1 << 43))
            os.close(own)
        case Link(target):
            os.symlink(target.replace(b"{root}", root).replace(b"{secret}", secret), name, dir_fd=fd)
        case Special(stat.S_IFSOCK):
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(
                    f"/proc/self/fd/{fd}/".encode() + name if len(name) < 80 else f"/proc/self/fd/{fd}/s".encode()
                )
        case Special(kind):
            os.mknod(name, kind | 0o666, os.makedev(1, 5), dir_fd=fd)
        case Directory(entries, mode):
            os.mkdir(name, 0o700, dir_fd=fd)
            own = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            for entry, below in entries.items():
                make(below, entry, own, root, secret)
            os.fchmod(own, mode)
            os.close(own)


def is_text(name: bytes) -> bool:
    """Whether a message can hold it."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def refusals(node: Node) -> set[Code]:
    """With which codes an output that holds this may be refused; none for one that is fine."""
    match node:
        case Special():
            return {Code.INVALID_ARGUMENT}
        case Sparse(size) if size >= 1 << 43:
            return {Code.FAILED_PRECONDITION}
        case Link(target) if not is_text(target):
            return {Code.FAILED_PRECONDITION}
        case Directory(entries):
            bad = {Code.FAILED_PRECONDITION for name in entries if not is_text(name)}
            return bad.union(*map(refusals, entries.values()))
        case _:
            return set()


def found(node: Node, path: tuple[bytes, ...]) -> Node | None:
    """What stands at a path that is followed through directories alone."""
    for segment in path:
        if not isinstance(node, Directory) or segment not in node.entries:
            return None
        node = node.entries[segment]
    return node


def agrees(node: Node, told: re_pb.Directory, children: Mapping[Digest, re_pb.Directory]) -> bool:
    """Whether a Directory says exactly what there is."""
    assert isinstance(node, Directory)
    seen = {child.name.encode() for kind in (told.files, told.directories, told.symlinks) for child in kind}
    if seen != set(node.entries):
        return False
    for file in told.files:
        match node.entries[file.name.encode()]:
            case File(data, mode):
                if digest_of(file.digest) != of(data) or file.is_executable != bool(mode & 0o111):
                    return False
            case Sparse(size):
                if digest_of(file.digest) != of(bytes(size)):
                    return False
            case _:
                return False
    if not all(isinstance(node.entries[link.name.encode()], Link) for link in told.symlinks):
        return False
    return all(
        agrees(node.entries[below.name.encode()], children[digest_of(below.digest)], children)
        for below in told.directories
    )
