"""A program that actions of the tests run: it does the deeds that it is told to, to nothing but its own directories.

It works below two descriptors that it opens first, its working directory and the one above, and follows no link, so
that whatever harm comes to another place was done by the worker. Standard library alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
ABOVE = os.open("..", os.O_RDONLY | os.O_DIRECTORY)
SLEEP = ["/bin/sleep", "1000"]


def parent(path: str) -> tuple[int, str]:
    """A descriptor of the directory in which the last segment of a path stands, and that segment."""
    fd, _, rest = path.partition(":")
    base = {"here": HERE, "above": ABOVE}[fd]
    *segments, last = rest.split("/")
    for segment in segments:
        base = os.open(segment, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=base)
    return base, last


def do(deed: str, path: str, detail: str) -> None:
    fd, name = parent(path)
    match deed:
        case "mkdir":
            os.mkdir(name, int(detail, 8), dir_fd=fd)
        case "write":
            made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
            os.write(made, detail.encode())
        case "overwrite":
            made = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
            os.write(made, detail.encode())
        case "hole":
            made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
            os.ftruncate(made, int(detail))
        case "link":
            os.symlink(detail, name, dir_fd=fd)
        case "fifo":
            os.mkfifo(name, dir_fd=fd)
        case "socket":
            os.fchdir(fd)
            socket.socket(socket.AF_UNIX).bind(name)
        case "remove":
            try:
                os.unlink(name, dir_fd=fd)
            except OSError:
                shutil.rmtree(name, dir_fd=fd)
        case "rename":
            os.rename(name, detail, src_dir_fd=fd, dst_dir_fd=fd)
        case "mode":
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
            os.fchmod(handle, int(detail, 8))
        case "name":
            os.close(os.open(os.fsencode(name) + bytes.fromhex(detail), os.O_CREAT | os.O_EXCL, dir_fd=fd))
        case "sleeper":
            subprocess.Popen(SLEEP, start_new_session=detail == "session", close_fds=detail != "open")
        case "orphan":
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.execve(SLEEP[0], SLEEP, {})
                os._exit(0)
        case "signal":
            os.kill(os.getpid(), int(detail))
        case "say":
            os.write(int(detail), b"words\n" * 1000)
        case "close":
            os.close(int(detail))
        case "wait":
            time.sleep(float(detail))
        case "exit":
            os._exit(int(detail))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for line in sys.argv[1:]:
        with contextlib.suppress(OSError):
            do(*line.split("|"))
