"""A compressed tar that is written as it grows, and read without unpacking it."""

from __future__ import annotations

import io
import os
import signal
import stat
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

_SPOOLED_BYTES: Final = 1 << 20
_GZIP: Final = (".tar.gz", ".tgz")
_GZIP_MAGIC: Final = b"\x1f\x8b"
_MOST_MEMBERS: Final = 10_000
_MOST_BYTES: Final = 4 << 30


class Full(Exception):
    """There is no room for this file."""


class Archive:
    """Takes files one by one, below one folder; `left` is how many more bytes of them it takes."""

    def __init__(self, tar: tarfile.TarFile, folder: str, most_bytes: int) -> None:
        self._tar = tar
        self._folder = folder
        self.left = most_bytes
        self.files: dict[str, int] = {}

    def add(self, name: str, chunks: Iterable[str]) -> None:
        """Keep these pieces of text as one file. Raises Full, and keeps nothing, past the room that is left."""
        with tempfile.SpooledTemporaryFile(_SPOOLED_BYTES) as spool:
            for chunk in chunks:
                spool.write(chunk.encode("utf-8", errors="replace"))
                if spool.tell() > self.left:
                    raise Full(name)
            size = spool.tell()
            spool.seek(0)
            self._put(name, spool, size)
        self.left -= size

    def end(self, name: str, text: str) -> None:
        """The last file, whatever room is left."""
        data = text.encode()
        self._put(name, io.BytesIO(data), len(data))

    def _put(self, name: str, data: IO[bytes], size: int) -> None:
        info = tarfile.TarInfo(f"{self._folder}/{name}")
        info.size, info.mode, info.mtime = size, 0o600, int(time.time())
        # Ctrl-C waits for the end of the file, so that what was gathered before it can be read.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._tar.addfile(info, data)
            self.files[name] = size
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def written(path: Path, folder: str, most_bytes: int) -> Iterator[Archive]:
    """An archive that stands at this path, for its owner alone, once the block ends well; else nothing is left."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with (
            os.fdopen(descriptor, "wb") as file,
            _packed(file, path.name) as stream,
            tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            yield Archive(tar, folder, most_bytes)
        os.replace(fresh, path)
    except BaseException:
        with suppress(FileNotFoundError):
            fresh.unlink()
        raise


@contextmanager
def _packed(file: IO[bytes], name: str) -> Iterator[Any]:
    with ExitStack() as stack:
        if name.endswith(_GZIP):
            import gzip

            yield stack.enter_context(gzip.GzipFile(fileobj=file, mode="wb"))
        else:
            import zstandard

            yield stack.enter_context(zstandard.ZstdCompressor(level=6).stream_writer(file, closefd=False))


def members(path: Path) -> Iterator[tuple[str, int, Callable[[int], bytes]]]:
    """The files of an archive by their names without its folder, their sizes, and what reads their first bytes.

    Raises OSError, tarfile.TarError, EOFError and ValueError for what is none, or an outrageous one.
    """
    with path.open("rb") as file, _unpacked(file) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        total = 0
        for number, info in enumerate(tar):
            total += info.size
            if number >= _MOST_MEMBERS or total > _MOST_BYTES:
                raise ValueError("it holds more than any bundle would")
            data = tar.extractfile(info) if info.isreg() else None
            if data is not None:
                yield info.name.partition("/")[2], info.size, data.read


@contextmanager
def _unpacked(file: IO[bytes]) -> Iterator[Any]:
    begin = file.read(2)
    file.seek(0)
    if begin == _GZIP_MAGIC:
        import gzip

        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            yield stream
    else:
        import zstandard

        try:
            with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as stream:
                yield stream
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes] | None]:
    """A file to read; None for what is no plain file, or a symbolic link, which might lead anywhere."""
    descriptor = -1
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        yield None
    elif not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        yield None
    else:
        with os.fdopen(descriptor, "rb") as file:
            yield file
