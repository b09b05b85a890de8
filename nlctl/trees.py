"""Trees of Directories as far as a CAS has them: what they hold, and how they are drawn. Pure.

Laws: walks are iterative, and counted before they are made, since a few kilobytes of Directories can describe a tree
of any size.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import Digest, digest_of, digests_of
from nlserver.reapi.tree import MOST_NODES

from nlctl.faults import TOO_LARGE, Fault, fix


@dataclass(frozen=True)
class Loaded:
    """A tree. `directories` are those that could be read, `absent` those that the CAS lacks."""

    root: Digest
    directories: Mapping[Digest, re_pb.Directory]
    absent: frozenset[Digest] = frozenset()

    def files(self) -> dict[Digest, None]:
        """The digests of all files, each once."""
        found = (node.digest for one in self.directories.values() for node in one.files)
        return dict.fromkeys(digests_of(found, self.root.function))


@dataclass(frozen=True, slots=True)
class Total:
    """What is in a directory and below it, as far as it could be read; `broken` where something is missing."""

    files: int = 0
    directories: int = 0
    symlinks: int = 0
    size_bytes: int = 0
    broken: bool = False

    @property
    def nodes(self) -> int:
        """All entries."""
        return self.files + self.directories + self.symlinks


@dataclass(frozen=True, slots=True)
class Node:
    """One entry. `path` is from the root, `ends` tells for it and all above it whether it is the last of its siblings.

    `kind` is `file`, `directory` or `symlink`; `size_bytes` of a directory is that of the files below it, None where
    the directory itself is missing.
    """

    path: str
    kind: str
    digest: Digest | None
    size_bytes: int | None
    files: int
    executable: bool
    target: str | None
    missing: bool
    ends: tuple[bool, ...]

    @property
    def name(self) -> str:
        """The last segment of the path."""
        return self.path.rpartition("/")[2]


_NOTHING: Final = Total()


def totals(tree: Loaded, missing: Collection[Digest] = ()) -> dict[Digest, Total]:
    """What each directory comes to; `missing` are files and directories that the CAS lacks.

    Raises Fault TOO_LARGE for a tree of more than a million nodes.
    """
    made: dict[Digest, Total] = {}
    row = [(tree.root, False)]
    while row:
        digest, below_done = row.pop()
        if digest in made:
            continue
        found = tree.directories.get(digest)
        if found is None:
            made[digest] = Total(broken=True)
            continue
        below = [digest_of(node.digest, digest.function) for node in found.directories]
        if below_done or not below:
            made[digest] = _total(found, [made.get(one, _NOTHING) for one in below], missing, digest)
        else:
            row.append((digest, True))
            row += [(one, False) for one in below if one not in made]
    return made


def _total(found: re_pb.Directory, below: list[Total], missing: Collection[Digest], digest: Digest) -> Total:
    files = digests_of((node.digest for node in found.files), digest.function)
    total = Total(
        files=len(files) + sum(one.files for one in below),
        directories=len(below) + sum(one.directories for one in below),
        symlinks=len(found.symlinks) + sum(one.symlinks for one in below),
        size_bytes=sum(one.size_bytes for one in files) + sum(one.size_bytes for one in below),
        broken=any(one.broken for one in below) or any(one in missing for one in files),
    )
    if total.nodes > MOST_NODES:
        raise Fault(
            TOO_LARGE,
            f"the tree has more than {MOST_NODES} files and directories",
            why="a few small directories that contain each other many times can describe a tree of any size",
            fixes=[fix("look at one directory of it", "nlctl", "cas", "get", digest.written)],
        )
    return total


def nodes(
    tree: Loaded, sums: Mapping[Digest, Total], missing: Collection[Digest] = (), depth: int | None = None
) -> Iterator[Node]:
    """The entries below the root, as they are drawn: of each directory its directories, files and symlinks.

    Below `depth` only what is missing is shown, with the directories that lead there.
    """
    row = [_entries(tree, tree.root, "", (), sums, missing)]
    while row:
        node = next(row[-1], None)
        if node is None:
            row.pop()
            continue
        deep = depth is not None and len(node.ends) > depth
        broken = node.missing or (node.kind == "directory" and node.digest is not None and sums[node.digest].broken)
        if deep and not broken:
            continue
        yield node
        if node.kind == "directory" and not node.missing:
            assert node.digest is not None
            row.append(_entries(tree, node.digest, node.path, node.ends, sums, missing))


def _entries(
    tree: Loaded,
    digest: Digest,
    path: str,
    ends: tuple[bool, ...],
    sums: Mapping[Digest, Total],
    missing: Collection[Digest],
) -> Iterator[Node]:
    found = tree.directories.get(digest, re_pb.Directory())
    left = len(found.directories) + len(found.files) + len(found.symlinks)
    at = f"{path}/" if path else ""
    for below in found.directories:
        left -= 1
        own = digest_of(below.digest, digest.function)
        total, gone = sums.get(own, _NOTHING), own in tree.absent
        size = None if gone else total.size_bytes
        yield Node(f"{at}{below.name}", "directory", own, size, total.files, False, None, gone, (*ends, not left))
    for file in found.files:
        left -= 1
        own = digest_of(file.digest, digest.function)
        yield Node(
            f"{at}{file.name}",
            "file",
            own,
            own.size_bytes,
            1,
            file.is_executable,
            None,
            own in missing,
            (*ends, not left),
        )
    for link in found.symlinks:
        left -= 1
        yield Node(f"{at}{link.name}", "symlink", None, 0, 0, False, link.target, False, (*ends, not left))


def rails(ends: tuple[bool, ...]) -> str:
    """The lines before a name in the drawing of a tree."""
    before = "".join("   " if last else "│  " for last in ends[:-1])
    return before + ("└─ " if ends[-1] else "├─ ")


def bar(share: float, width: int) -> str:
    """A share of 1 as a bar of at most `width` characters, in eighths."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def leaves_first(tree: Loaded) -> list[Digest]:
    """The directories that could be read, each once, those below before those above."""
    done: dict[Digest, None] = {}
    row = [(tree.root, False)]
    while row:
        digest, below_done = row.pop()
        if digest in done or digest not in tree.directories:
            continue
        if below_done:
            done[digest] = None
        else:
            row.append((digest, True))
            row += [(digest_of(node.digest, digest.function), False) for node in tree.directories[digest].directories]
    return list(done)


@dataclass(frozen=True, slots=True)
class Change:
    """A path that two trees hold differently. `what` is `added`, `removed`, `content`, `mode`, `target` or `kind`."""

    path: str
    what: str
    before: Node | None
    after: Node | None


def changes(before: Loaded, after: Loaded) -> Iterator[Change]:
    """Where two trees differ, by path; equal directories are not entered, and added ones shown as one."""
    row = [("", before.root, after.root)]
    while row:
        path, left, right = row.pop()
        if left == right:
            continue
        old, new = _by_name(before, left, path), _by_name(after, right, path)
        for name in sorted({*old, *new}):
            one, other = old.get(name), new.get(name)
            if one is not None and other is not None and one.kind == other.kind == "directory":
                assert one.digest is not None
                assert other.digest is not None
                row.append((one.path, one.digest, other.digest))
            elif (what := _what(one, other)) is not None:
                yield Change((one or other or _NOWHERE).path, what, one, other)


_NOWHERE: Final = Node("", "file", None, None, 0, False, None, False, ())


def _by_name(tree: Loaded, digest: Digest, path: str) -> dict[str, Node]:
    return {node.name: node for node in _entries(tree, digest, path, (), {}, ())}


def _what(before: Node | None, after: Node | None) -> str | None:
    if before is None:
        return "added"
    if after is None:
        return "removed"
    if before.kind != after.kind:
        return "kind"
    if before.target != after.target:
        return "target"
    if before.digest != after.digest:
        return "content"
    return "mode" if before.executable != after.executable else None
