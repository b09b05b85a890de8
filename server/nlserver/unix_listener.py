"""A server on a Unix socket that only its user can reach: how operators ask a process that has no port for it.

It speaks gRPC, and HTTP/1.1 to those who have nothing else at hand.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import grpc

from nlserver.errors import Code, Error
from nlserver.front import Front, Route, hidden
from nlserver.service import Service


class UnixListener:
    """Serves services and routes on a socket file. `start` makes it, in the place of one that a dead process left."""

    def __init__(self, path: Path, services: Sequence[Service], routes: Sequence[Route]) -> None:
        self._path = path
        self._routes = routes
        self._front: Front | None = None
        self._backend: int | None = None
        self._server = grpc.aio.server(options=[("grpc.max_send_message_length", -1)])
        for service in services:
            self._server.add_generic_rpc_handlers(service.handlers())

    async def start(self) -> None:
        """Bind and accept. Raises Error when the socket cannot be made."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # No more than 107 bytes may be a socket's path: the folder's descriptor stands for the folder.
            folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as failure:
            raise self._cannot(str(failure.strerror)) from failure
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _expect_ours(folder, self._path.parent)
            with suppress(FileNotFoundError):
                os.unlink(self._path)
            listening.bind(f"/proc/self/fd/{folder}/{self._path.name}")
            os.chmod(self._path, 0o600)
            self._backend = await hidden(self._server)
            self._front = Front(f"/proc/self/fd/{self._backend}", self._routes)
            await self._front.start(listening)
        except (RuntimeError, OSError) as failure:
            listening.close()
            raise self._cannot(str(failure)) from failure
        finally:
            os.close(folder)

    async def stop(self) -> None:
        """End all calls, and remove the socket."""
        if self._front is not None:
            self._front.close()
        await self._server.stop(None)
        if self._front is not None:
            await self._front.abort()
        if self._backend is not None:
            os.close(self._backend)
            self._backend = None
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    def _cannot(self, reason: str) -> Error:
        return Error(
            Code.FAILED_PRECONDITION,
            f"The admin socket cannot be made: {reason}",
            where=str(self._path),
            remedy="name another place with --admin-socket PATH, or none",
        )


def default_path(environment: Mapping[str, str]) -> Path:
    """Where the socket of this process stands unless somebody chose: in the user's runtime folder, by its pid."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    folder = Path(runtime, "nlserver") if runtime else Path(f"/tmp/nlserver-{os.getuid()}")  # noqa: S108
    return folder / f"{os.getpid()}.sock"


def numbered(path: Path, number: int) -> Path:
    """The socket of the `number`th config or process that shares a path; the first one has the path itself."""
    return path if number == 0 else path.with_name(f"{path.stem}.{number}{path.suffix}")


def _expect_ours(folder: int, path: Path) -> None:
    status = os.stat(f"/proc/self/fd/{folder}")
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o022:
        raise OSError(f"others may write into {path}")
