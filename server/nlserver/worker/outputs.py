"""What an action left behind, as an ActionResult and the blobs that belong to it.

Laws: no symlink is followed on any segment below the execution root, special files are never opened, every walk is
bounded, and what changes while it is looked at is an error. Everything but `upload` blocks and is for a thread, after
the last process of the action is gone.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from nlserver import fs
from nlserver.errors import Code, Error, invalid
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.action import Outputs
from nlserver.reapi.digest import EMPTY, Digest, Function, hasher, is_empty
from nlserver.reapi.parallel import each
from nlserver.reapi.tree import Entry, File, Subdirectory, Symlink, blob_of, directory, set_digest, tree_blob
from nlserver.store import LocalFiles
from nlserver.streams import CHUNK_BYTES
from nlserver.worker import beneath
from nlserver.worker.finish import Stop

MOST_DEPTH: Final = 200
MOST_ENTRIES: Final = 500_000
"""The most files, directories and symlinks of all outputs together, as many as an input root may have."""
MOST_DIRECTORY_BYTES: Final = 64 << 20
"""The most bytes that the Directory messages of all outputs may have together."""
MOST_INLINE_BYTES: Final = 16 << 10
"""Standard output up to this size travels inside the result, beside its digest."""
_SMALL_BYTES: Final = 64 << 10
_MOST_HELD_BYTES: Final = 8 << 20
_MOST_UPLOADS: Final = 16
_BLOCK_BYTES: Final = 512
_OWN_NAMES: Final = 2
_EXECUTABLE: Final = 0o111
_SPECIAL: Final = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# What opening a name says that stood for something else, or for anything at all, a moment ago.
_CHANGED: Final = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.ESTALE)
)


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A blob by a path, and what was there when it was hashed."""

    path: str
    status: os.stat_result

    def changed(self) -> bool:
        """Whether the file was written to, or is another one, since then."""
        was, now = self.status, os.lstat(self.path)
        return (
            (now.st_ino, now.st_size, now.st_mtime_ns) != (was.st_ino, was.st_size, was.st_mtime_ns)
            # No process can set this time. A file with more names than ours is an input, which every action links.
            or (now.st_ctime_ns != was.st_ctime_ns and was.st_nlink <= _OWN_NAMES)
        )


@dataclass
class Blobs:
    """Blobs to upload, each once: small ones by their bytes, others by a path."""

    function: Function
    found: dict[Digest, bytes | OnDisk] = field(default_factory=dict)
    held_bytes: int = 0

    @property
    def files(self) -> bool:
        """Whether any of them is still to be read from its path."""
        return any(isinstance(source, OnDisk) for source in self.found.values())

    def add_file(self, stop: Stop, fd: int, path: str, name: Callable[[], str]) -> tuple[Digest, bytes | None]:
        """Add the content of an open regular file, and say it where it is small.

        `path` is for people; where the content is not held, `name` makes an absolute path that leads to the file until
        the action's directory goes.
        """
        before = os.fstat(fd)
        check = hasher(self.function)
        size, data = 0, b""
        while size <= before.st_size and (chunk := os.read(fd, CHUNK_BYTES)):
            stop.check()
            check.update(chunk)
            size += len(chunk)
            data = data + chunk if size <= _SMALL_BYTES else b""
        if size != before.st_size:
            raise _changed(path)
        digest = Digest(check.hexdigest(), size, self.function) if size else EMPTY[self.function]
        small = size <= _SMALL_BYTES
        if size and digest not in self.found:
            hold = small and self.held_bytes + size <= _MOST_HELD_BYTES
            self.held_bytes += size if hold else 0
            self.found[digest] = data if hold else self._on_disk(fd, before, path, name)
        return digest, data if small else None

    def _on_disk(self, fd: int, before: os.stat_result, path: str, name: Callable[[], str]) -> OnDisk:
        now = os.fstat(fd)
        if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise _changed(path)
        lasting = name()
        found = OnDisk(lasting, os.lstat(lasting))
        if (found.status.st_ino, found.status.st_mtime_ns) != (now.st_ino, now.st_mtime_ns):
            raise _changed(path)
        return found


def add_stream(stop: Stop, blobs: Blobs, path: str, digest: re_pb.Digest) -> bytes:
    """Add standard output or error, whose file may be absent; returns its bytes where they may travel inline.

    Raises Error FAILED_PRECONDITION when the action put something else in the place of the file.
    """
    set_digest(digest, EMPTY[blobs.function])
    try:
        fd = os.open(path, beneath.FILE)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise _replaced(path) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _replaced(path)
        found, data = blobs.add_file(stop, fd, path, lambda: path)
    finally:
        os.close(fd)
    set_digest(digest, found)
    return data if data is not None and len(data) <= MOST_INLINE_BYTES else b""


class Collector:
    """Fills a result with the outputs found below an execution root.

    Files that are not held in memory get a second name in `staging`, a directory on the same file system that goes
    with the action: a path there is short, and nobody can lead it elsewhere.
    """

    def __init__(self, stop: Stop, root: str, staging: str, blobs: Blobs, result: re_pb.ActionResult) -> None:
        self._stop = stop
        self._root = root
        self._staging = staging
        self._blobs = blobs
        self._result = result
        self._left = MOST_ENTRIES
        self._directory_bytes_left = MOST_DIRECTORY_BYTES
        self._holes_left = 0

    def collect(self, wanted: Outputs) -> None:
        """Add each output that exists. Where `output_paths` declared them, symlinks go to `output_symlinks` as well.

        Raises Error INVALID_ARGUMENT for a special file, FAILED_PRECONDITION for an output of another kind than the
        lists of REAPI 2.0 say, for a name that no message can hold, for more than the bounds allow, and for what
        changes meanwhile.
        """
        with _failing("the execution root"):
            root = beneath.opened_directory(beneath.HERE, self._root)
        try:
            # More than the file system has: no store of this machine could keep it, and hashing it would take hours.
            space = os.fstatvfs(root)
            self._holes_left = space.f_blocks * space.f_frsize
            for declared, path in wanted.paths:
                self._stop.check()
                with _failing(f"output {path!r}"):
                    self._one(root, declared, path, wanted)
        finally:
            os.close(root)

    def _one(self, root: int, declared: str, path: str, wanted: Outputs) -> None:
        parent, _, name = path.rpartition("/")
        fd = _descended(root, parent)
        if fd is None:
            return
        try:
            found = _status(fd, name or ".")
            if found is not None:
                _check_kind(wanted, declared, found)
                self._entry(fd, declared, path, name or ".", found, wanted.modern)
        finally:
            os.close(fd)

    def _entry(self, fd: int, declared: str, path: str, name: str, found: os.stat_result, modern: bool) -> None:
        self._count()
        if stat.S_ISREG(found.st_mode):
            digest = self._file(fd, name, path)
            output = self._result.output_files.add(path=declared, is_executable=bool(found.st_mode & _EXECUTABLE))
            set_digest(output.digest, digest)
        elif stat.S_ISDIR(found.st_mode):
            self._directory(fd, declared, path, name)
        elif stat.S_ISLNK(found.st_mode):
            self._symlink(fd, declared, path, name, modern)
        else:
            raise _special(path, found)

    def _symlink(self, fd: int, declared: str, path: str, name: str, modern: bool) -> None:
        target = self._target(fd, path, name)
        try:
            to_directory = stat.S_ISDIR(os.stat(name, dir_fd=fd).st_mode)
        except OSError:
            to_directory = False
        result = self._result
        # Clients before 2.1 read these two, newer ones the third; each path has the same target in both.
        legacy = result.output_directory_symlinks if to_directory else result.output_file_symlinks
        legacy.add(path=declared, target=target)
        if modern:
            result.output_symlinks.add(path=declared, target=target)

    def _directory(self, fd: int, declared: str, path: str, name: str) -> None:
        closure: dict[Digest, bytes] = {}
        root = self._tree(fd, name, path, closure, MOST_DEPTH)
        tree = tree_blob(root, closure)
        self._blobs.found.update(closure)
        self._blobs.found[tree.digest] = tree.data
        output = self._result.output_directories.add(path=declared, is_topologically_sorted=True)
        set_digest(output.tree_digest, tree.digest)
        set_digest(output.root_directory_digest, root)

    def _tree(self, fd: int, name: str, path: str, closure: dict[Digest, bytes], depth: int) -> Digest:
        """The digest of a directory; its blob and those of all directories below it enter the closure."""
        if depth == 0:
            raise _too_much(f"output directories are nested more than {MOST_DEPTH} deep")
        own = beneath.opened_directory(fd, name)
        try:
            entries = [self._node(own, entry, _joined(path, entry), closure, depth) for entry in self._names(own)]
        finally:
            os.close(own)
        made = blob_of(directory(entries), self._blobs.function)
        if not is_empty(made.digest) and made.digest not in closure:
            self._directory_bytes_left -= len(made.data)
            if self._directory_bytes_left < 0:
                raise _too_much(f"the directories of the outputs have more than {MOST_DIRECTORY_BYTES} bytes")
            closure[made.digest] = made.data
        return made.digest

    def _names(self, fd: int) -> list[str]:
        names = []
        with os.scandir(fd) as found:
            for entry in found:
                self._count()
                names.append(entry.name)
        return names

    def _node(self, fd: int, name: str, path: str, closure: dict[Digest, bytes], depth: int) -> Entry:
        self._stop.check()
        _check_text(name, path)
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            return File(name, self._file(fd, name, path), executable=bool(found.st_mode & _EXECUTABLE))
        if stat.S_ISDIR(found.st_mode):
            return Subdirectory(name, self._tree(fd, name, path, closure, depth - 1))
        if stat.S_ISLNK(found.st_mode):
            return Symlink(name, self._target(fd, path, name))
        raise _special(path, found)

    def _file(self, fd: int, name: str, path: str) -> Digest:
        own = beneath.opened(fd, name, beneath.FILE)
        try:
            status = os.fstat(own)
            if not stat.S_ISREG(status.st_mode):
                raise _changed(path)
            self._holes_left -= max(0, status.st_size - status.st_blocks * _BLOCK_BYTES)
            if self._holes_left < 0:
                raise _too_much(f"output {path!r} is a sparse file of {status.st_size} bytes: no disk here holds that")
            return self._blobs.add_file(self._stop, own, path, lambda: self._staged(fd, name))[0]
        finally:
            os.close(own)

    def _staged(self, fd: int, name: str) -> str:
        path = f"{self._staging}/{secrets.token_hex(8)}"
        os.link(name, path, src_dir_fd=fd, follow_symlinks=False)
        return path

    def _target(self, fd: int, path: str, name: str) -> str:
        """The target as it is; one into the execution root, which nobody else has, becomes relative."""
        target = os.readlink(name, dir_fd=fd)
        _check_text(target, path)
        if target == self._root or target.startswith(f"{self._root}/"):
            return os.path.relpath(target, os.path.dirname(f"{self._root}/{path}"))
        return target

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _too_much(f"the outputs are more than {MOST_ENTRIES} files and directories")


def _status(fd: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _descended(root: int, path: str) -> int | None:
    """A descriptor of the directory `path` below `root`; None when any segment is no directory."""
    fd = os.dup(root)
    for segment in path.split("/") if path else ():
        try:
            below = beneath.opened_directory(fd, segment)
        except (FileNotFoundError, NotADirectoryError):
            return None
        finally:
            os.close(fd)
        fd = below
    return fd


@contextmanager
def _failing(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _CHANGED:
            raise _changed(what) from error
        raise fs.error_of(error, f"reading {what}") from error


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise Error(Code.FAILED_PRECONDITION, f"output '{shown}' has a name that is not UTF-8") from None


def _check_kind(wanted: Outputs, declared: str, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode) and declared in wanted.files:
        raise Error(Code.FAILED_PRECONDITION, f"output {declared!r} is a directory; output_files says it is a file")
    if stat.S_ISREG(found.st_mode) and declared in wanted.directories:
        raise Error(Code.FAILED_PRECONDITION, f"output {declared!r} is a file; output_directories says otherwise")


def _special(path: str, found: os.stat_result) -> Error:
    kind = _SPECIAL.get(stat.S_IFMT(found.st_mode), "a special file")
    return invalid(f"output {path!r} is {kind}; only files, directories and symlinks can be outputs")


def _changed(path: str) -> Error:
    return Error(Code.FAILED_PRECONDITION, f"{path!r} changed while it was collected as an output")


def _replaced(path: str) -> Error:
    name = os.path.basename(path)
    return Error(Code.FAILED_PRECONDITION, f"the action put something else in the place of the file of its {name}")


def _too_much(message: str) -> Error:
    # Not RESOURCE_EXHAUSTED, which clients repeat: the same action leaves the same outputs.
    return Error(Code.FAILED_PRECONDITION, message)


class Sink(Protocol):
    """What uploading needs of a store; see `Store`."""

    async def sizes(self, keys: Sequence[Digest]) -> list[int | None]:
        """See `Store.sizes`."""
        ...

    async def put(self, key: Digest, data: bytes) -> None:
        """See `Store.put`."""
        ...

    async def write_file(self, key: Digest, path: Path) -> None:
        """See `Store.write_file`."""
        ...

    @property
    def local(self) -> LocalFiles:
        """See `WorkerStore.local`."""
        ...


async def upload(store: Sink, blobs: Blobs) -> None:
    """Bring into the store what it does not have, a bounded number at a time.

    Raises Error FAILED_PRECONDITION when a file is no longer what was hashed.
    """
    digests: Sequence[Digest] = list(blobs.found)
    if not digests:
        return
    sizes = await store.sizes(digests)
    absent = [digest for digest, size in zip(digests, sizes, strict=True) if size is None]

    async def give(digest: Digest) -> None:
        source = blobs.found[digest]
        if isinstance(source, bytes):
            await store.put(digest, source)
            return
        await store.write_file(digest, Path(source.path))
        if source.changed():
            # A store may have taken other bytes under this name, without looking at them.
            await store.local.remove(digest)
            raise _changed(source.path)

    await each(absent, give, _MOST_UPLOADS)
