"""The input root of an action: resolved from Directory blobs, then laid out by hard links from the fast store.

Laws: nothing is created before the whole tree is known and valid; names are single segments and unique, so that no
entry can lie about where the next one goes; an action never gets a writable link to a blob of the store.
"""

from __future__ import annotations

import errno
import os
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from nlserver import fs
from nlserver.errors import Code, Error, invalid
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import Digest, Function, digest_of, is_empty
from nlserver.reapi.parallel import each
from nlserver.reapi.times import moment_of
from nlserver.reapi.tree import directory_of
from nlserver.store import LocalFiles, Missing
from nlserver.streams import closing
from nlserver.worker.finish import Stop, stoppable
from nlserver.worker.messages import Source

MOST_NODES: Final = 500_000
"""The most files, directories and symlinks of one input root (the same directory counts wherever it stands)."""
_MOST_DIRECTORY_BYTES: Final = 16 << 20
_MOST_CACHED_NODES: Final = 20_000
_SMALL_BYTES: Final = 64 << 10
_READ_AT_ONCE: Final = 32
# Larger trees are flattened in a thread, so that other actions go on.
_NODES_INLINE: Final = 5_000
# A thread costs as much as making so many names (measured), which is a fraction of what starting the process takes.
_FEW_NODES: Final = 16
_DIRECTORY_MODE: Final = 0o755
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Inputs(Protocol):
    """What reading inputs needs of the worker's `fast_slow` store."""

    @property
    def local(self) -> LocalFiles:
        """The fast tier."""
        ...

    async def localize(self, digests: Sequence[Digest]) -> None:
        """See `WorkerStore.localize`."""
        ...

    def read(self, key: Digest, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """See `Store.read`."""
        ...


@dataclass(frozen=True, slots=True)
class File:
    """A file of an input root; `mode` and `mtime_ns` where node properties ask for more than content."""

    path: str
    digest: Digest
    executable: bool
    mode: int | None = None
    mtime_ns: int | None = None

    def below(self, directory: str) -> File:
        """The same file with another path: `directory` (which ends in a slash) before its own."""
        return File(directory + self.path, self.digest, self.executable, self.mode, self.mtime_ns)

    @property
    def private(self) -> bool:
        """Whether it needs an inode of its own."""
        return self.mode is not None or self.mtime_ns is not None


@dataclass
class Layout:
    """An input root, flat: paths from the root, directories after their parents."""

    directories: list[str] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    symlinks: list[tuple[str, str]] = field(default_factory=list)

    @property
    def nodes(self) -> int:
        """How many names there are below the root."""
        return len(self.directories) + len(self.files) + len(self.symlinks)


@dataclass(frozen=True, slots=True)
class _Listing:
    """A valid Directory, in little memory."""

    directories: tuple[tuple[str, Digest], ...]
    files: tuple[File, ...]
    symlinks: tuple[tuple[str, str], ...]

    @property
    def nodes(self) -> int:
        return len(self.directories) + len(self.files) + len(self.symlinks) + 1


class Resolver:
    """Resolves input roots, and remembers the directories that successive actions share."""

    def __init__(self, store: Inputs, messages: Source) -> None:
        self._store = store
        self._messages = messages
        self._known: OrderedDict[Digest, _Listing] = OrderedDict()
        self._known_nodes = 0

    async def resolve(self, root: Digest) -> Layout:
        """The layout of an input root.

        Raises Error INVALID_ARGUMENT for a tree that is malformed or too large, and Missing when directories of it are
        nowhere to be had; that names every blob which is missing, files included.
        """
        listings, nodes, missing = await self._walked(root)
        if not missing:
            return await fs.in_thread(_flat, root, listings) if nodes > _NODES_INLINE else _flat(root, listings)
        files = distinct(file.digest for listing in listings.values() for file in listing.files)
        try:
            await self._store.localize(files)
        except Missing as absent:
            missing.append(absent)
        raise missing_all(missing)

    async def _walked(self, root: Digest) -> tuple[dict[Digest, _Listing], int, list[Missing]]:
        """Every directory of the tree, how many nodes they make, and what is missing; each is looked at once."""
        listings: dict[Digest, _Listing] = {}
        missing: list[Missing] = []
        nodes = 0
        level = Counter([root])
        while level:
            listings |= await self._listings([digest for digest in level if digest not in listings], missing)
            below: Counter[Digest] = Counter()
            for digest, times in level.items():
                if (listing := listings.get(digest)) is not None:
                    nodes += times * listing.nodes
                    for _, child in listing.directories:
                        below[child] += times
            if nodes > MOST_NODES:
                raise invalid(f"the input root has more than {MOST_NODES} files and directories")
            level = below
        return listings, nodes, missing

    async def _listings(self, digests: Sequence[Digest], missing: list[Missing]) -> dict[Digest, _Listing]:
        found = {digest: self._known[digest] for digest in digests if digest in self._known}
        for digest in found:
            self._known.move_to_end(digest)

        async def read(digest: Digest) -> None:
            try:
                found[digest] = self._remembered(digest, await self._read(digest))
            except Missing as lost:
                missing.append(lost)

        absent = [digest for digest in digests if digest not in found]
        # Large ones one by one, for the sake of memory.
        await each((digest for digest in absent if digest.size_bytes <= _SMALL_BYTES), read, _READ_AT_ONCE)
        await each((digest for digest in absent if digest.size_bytes > _SMALL_BYTES), read, 1)
        return found

    async def _read(self, digest: Digest) -> _Listing:
        if digest.size_bytes > _MOST_DIRECTORY_BYTES:
            raise invalid(f"Directory {digest} is larger than {_MOST_DIRECTORY_BYTES} bytes")
        data = b"" if is_empty(digest) else await self._messages.get(digest)
        return _listing(directory_of(data, digest.function), digest.function)

    def _remembered(self, digest: Digest, listing: _Listing) -> _Listing:
        self._known[digest] = listing
        self._known_nodes += listing.nodes
        while self._known_nodes > _MOST_CACHED_NODES:
            self._known_nodes -= self._known.popitem(last=False)[1].nodes
        return listing


def distinct(digests: Iterable[Digest]) -> list[Digest]:
    """Each once, in order."""
    return list(dict.fromkeys(digests))


def missing_all(parts: Sequence[Missing]) -> Missing:
    """One Missing of several, with the words of the first."""
    keys = dict.fromkeys(key for part in parts for key in part.keys)
    return Missing(*keys, message=parts[0].message)


def _flat(root: Digest, listings: Mapping[Digest, _Listing]) -> Layout:
    layout = Layout()
    level = [("", root)]
    while level:
        below: list[tuple[str, Digest]] = []
        for at, digest in level:
            listing = listings[digest]
            children = [(at + name, child) for name, child in listing.directories]
            layout.directories += [path for path, _ in children]
            layout.files += [file.below(at) for file in listing.files] if at else listing.files
            layout.symlinks += [(at + name, target) for name, target in listing.symlinks]
            below += [(f"{path}/", child) for path, child in children]
        level = below
    return layout


def _listing(directory: re_pb.Directory, function: Function) -> _Listing:
    return _Listing(
        tuple((node.name, digest_of(node.digest, function)) for node in directory.directories),
        tuple(_file(node, function) for node in directory.files),
        tuple((node.name, node.target) for node in directory.symlinks),
    )


def _file(node: re_pb.FileNode, function: Function) -> File:
    properties = node.node_properties
    mode = mtime = None
    if properties.HasField("unix_mode"):
        # No setuid, setgid or sticky bits from outside.
        mode = properties.unix_mode.value & 0o777
    if properties.HasField("mtime"):
        mtime = moment_of(properties.mtime)
        if mtime is None:
            raise invalid(f"the mtime of {node.name!r} is no time")
    return File(node.name, digest_of(node.digest, function), node.is_executable, mode, mtime)


def too_large(layout: Layout, path: str) -> Error | None:
    """Why the file system of a path could never hold this input root, by the declared sizes; None where it could.

    Each blob counts once, since its files share it.
    """
    space = os.statvfs(path)
    most = space.f_blocks * space.f_frsize
    if sum(file.digest.size_bytes for file in layout.files) <= most:
        return None
    declared = sum(digest.size_bytes for digest in distinct(file.digest for file in layout.files))
    if declared <= most:
        return None
    return Error(Code.RESOURCE_EXHAUSTED, f"the inputs have {declared} bytes; the disk of this worker has {most}")


async def lay_out(layout: Layout, make_root: Callable[[], str], parents: Sequence[str], store: Inputs) -> None:
    """Create the input root in the empty directory that `make_root` makes, then the directories `parents` of outputs.

    Raises Missing naming every file that is nowhere to be had, Error otherwise; what was created is for the caller to
    remove.
    """
    try:
        if layout.nodes + len(parents) <= _FEW_NODES:
            root, absent, copies = _lay_out(Stop(), make_root, layout, parents, store.local)
        else:
            root, absent, copies = await stoppable(_lay_out, make_root, layout, parents, store.local)
        if absent or copies:
            with _opened(root) as fd:
                await _complete(fd, absent, copies, store)
    except OSError as error:
        raise _failure(error) from error


@contextmanager
def _opened(root: str) -> Iterator[int]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


async def _complete(fd: int, absent: Sequence[File], copies: Sequence[File], store: Inputs) -> None:
    fetched = await _fetched(absent, fd, store) if absent else []
    for file in (*copies, *fetched):
        await _copy(file, fd, store)


async def _fetched(absent: Sequence[File], fd: int, store: Inputs) -> list[File]:
    """Fetch files into the fast tier and link them; those that must be copied."""
    await store.localize(distinct(file.digest for file in absent))
    again, copies = await stoppable(_linked, absent, fd, store.local)
    if again:
        lost = distinct(file.digest for file in again)
        raise Missing(*lost, message=f"{lost[0]} was evicted from the fast store before it could be used: enlarge it")
    return copies


def _lay_out(
    stop: Stop, make_root: Callable[[], str], layout: Layout, parents: Sequence[str], local: LocalFiles
) -> tuple[str, list[File], list[File]]:
    """The root, the files that are absent from the fast tier, and those to be copied."""
    root = make_root()
    with _opened(root) as fd:
        for path in layout.directories:
            stop.check()
            os.mkdir(path, _DIRECTORY_MODE, dir_fd=fd)
        absent, copies = _linked(stop, layout.files, fd, local)
        for path, target in layout.symlinks:
            os.symlink(target, path, dir_fd=fd)
        _make_parents(fd, parents, {"", *layout.directories})
    return root, absent, copies


def _linked(stop: Stop, files: Sequence[File], fd: int, local: LocalFiles) -> tuple[list[File], list[File]]:
    """Link files; those absent from the fast tier, and those that need an inode of their own."""
    absent: list[File] = []
    copies: list[File] = []
    for file in files:
        stop.check()
        if is_empty(file.digest):
            os.close(_created(file, fd))
        elif file.private:
            copies.append(file)
        elif not local.link(file.digest, file.path, executable=file.executable, dir_fd=fd):
            absent.append(file)
    return absent, copies


def _make_parents(fd: int, parents: Sequence[str], made: set[str]) -> None:
    """Make directories where nothing stands; what leads through a file or a symlink is the action's own business."""
    for parent in parents:
        path = ""
        for segment in parent.split("/"):
            path = f"{path}/{segment}" if path else segment
            if path in made:
                continue
            try:
                os.mkdir(path, _DIRECTORY_MODE, dir_fd=fd)
            except FileExistsError:
                break
            made.add(path)


async def _copy(file: File, fd: int, store: Inputs) -> None:
    """A private file with a blob's bytes, from whichever tier has it."""
    own = _created(file, fd)
    try:
        async with closing(store.read(file.digest)) as chunks:
            async for chunk in chunks:
                await fs.in_thread(fs.write_all, own, [chunk])
        _dated(file, own)
    finally:
        os.close(own)


def _created(file: File, fd: int) -> int:
    """An empty file open for writing, with the mode and the time that are asked for."""
    own = os.open(file.path, _NEW, 0o600, dir_fd=fd)
    os.fchmod(own, (file.mode if file.mode is not None else 0o644) | (0o111 if file.executable else 0))
    _dated(file, own)
    return own


def _dated(file: File, fd: int) -> None:
    if file.mtime_ns is not None:
        os.utime(fd, ns=(file.mtime_ns, file.mtime_ns))


def _failure(error: OSError) -> Error:
    if error.errno == errno.ENAMETOOLONG:
        return invalid("the input root has a path that is longer than this system allows")
    made = fs.error_of(error, "laying out the inputs")
    # Nothing here is the action's fault, so another worker may try.
    return Error(Code.INTERNAL, str(made)) if made.code is Code.FAILED_PRECONDITION else made
