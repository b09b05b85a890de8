"""A directory of this machine as the blobs of an input root. Blocking: for a thread.

Symbolic links are kept as links, never followed; of the mode only the owner's executable bit counts.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest, Function, hasher
from nlserver.reapi.tree import Entry, File, Subdirectory, Symlink, blob_of, directory
from nlserver.streams import CHUNK_BYTES

_HASHERS: Final = 4
_FILES_A_JOB: Final = 64


@dataclass
class Capture:
    """An input root: its digest, and every blob of it, by bytes or by the file that holds them."""

    root: Digest
    blobs: dict[Digest, bytes | Path] = field(default_factory=dict)
    files: int = 0
    directories: int = 0
    symlinks: int = 0
    total_bytes: int = 0


@dataclass
class _Listing:
    """What stands in one directory."""

    path: str
    files: list[tuple[str, bool]] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    symlinks: list[Symlink] = field(default_factory=list)


def capture(path: Path, function: Function = Function.SHA256, stop: threading.Event | None = None) -> Capture:
    """Read a whole directory. Files are hashed by a few threads.

    Raises Error FAILED_PRECONDITION for what no input root can hold (sockets, devices, names that are not UTF-8) and
    for files that cannot be read, CANCELLED when `stop` was set.
    """
    try:
        listings = _listed(os.fspath(path), stop)
        digests = _hashed(listings, function, stop)
    except OSError as error:
        raise unreadable(error) from error
    return _assembled(listings, digests, function)


def digest_file(path: Path | str, function: Function = Function.SHA256) -> Digest:
    """The digest of a file's content, which must not change meanwhile. Raises OSError."""
    check, size = hasher(function), 0
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        while chunk := os.read(fd, CHUNK_BYTES):
            check.update(chunk)
            size += len(chunk)
    finally:
        os.close(fd)
    return Digest(check.hexdigest(), size, function)


def unreadable(error: OSError) -> Error:
    """The Error for a file or directory that cannot be read."""
    return Error(Code.FAILED_PRECONDITION, f"{error.filename} cannot be read: {error.strerror}")


def _listed(top: str, stop: threading.Event | None) -> list[_Listing]:
    """Every directory, parents before children."""
    found: list[_Listing] = []
    row = [top]
    while row:
        _check(stop)
        listing = _listing(row.pop())
        found.append(listing)
        row += [f"{listing.path}/{name}" for name in listing.directories]
    return found


def _listing(path: str) -> _Listing:
    listing = _Listing(path)
    with os.scandir(path) as entries:
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISREG(mode):
                listing.files.append((entry.name, bool(mode & stat.S_IXUSR)))
            elif stat.S_ISDIR(mode):
                listing.directories.append(entry.name)
            elif stat.S_ISLNK(mode):
                listing.symlinks.append(Symlink(entry.name, os.readlink(entry.path)))
            else:
                raise Error(Code.FAILED_PRECONDITION, f"{entry.path} is neither file, directory nor symlink")
    return listing


def _hashed(listings: Sequence[_Listing], function: Function, stop: threading.Event | None) -> dict[str, Digest]:
    paths = [f"{listing.path}/{name}" for listing in listings for name, _ in listing.files]

    def some(start: int) -> list[tuple[str, Digest]]:
        _check(stop)
        return [(path, digest_file(path, function)) for path in paths[start : start + _FILES_A_JOB]]

    starts = range(0, len(paths), _FILES_A_JOB)
    if len(starts) <= 1:
        return dict(pair for start in starts for pair in some(start))
    with ThreadPoolExecutor(_HASHERS, thread_name_prefix="hash") as pool:
        return dict(pair for job in pool.map(some, starts) for pair in job)


def _check(stop: threading.Event | None) -> None:
    if stop is not None and stop.is_set():
        raise Error(Code.CANCELLED, "reading the directory was given up")


def _assembled(listings: Sequence[_Listing], digests: dict[str, Digest], function: Function) -> Capture:
    """Children before parents, since a directory names its children by their digests."""
    made: dict[str, Digest] = {}
    captured = Capture(Digest("", 0, function))
    for listing in reversed(listings):
        entries: list[Entry] = list(listing.symlinks)
        for name, executable in listing.files:
            path = f"{listing.path}/{name}"
            digest = digests[path]
            captured.blobs.setdefault(digest, Path(path))
            captured.total_bytes += digest.size_bytes
            entries.append(File(name, digest, executable))
        entries += [Subdirectory(name, made[f"{listing.path}/{name}"]) for name in listing.directories]
        blob = blob_of(directory(entries), function)
        made[listing.path] = captured.root = blob.digest
        captured.blobs[blob.digest] = blob.data
        captured.files += len(listing.files)
        captured.symlinks += len(listing.symlinks)
        captured.directories += 1
    return captured
