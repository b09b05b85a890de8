"""`nlserver-probe SOCKET`: does every process behind this admin socket do what it is for? For health checks.

Exit status 0 and the reports when all are well, else 1. It runs every few seconds beside each part, so it needs nothing
but the lightest of the standard library.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Final

_REQUEST: Final = b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_SECONDS: Final = 10.0


def main() -> int:
    """Ask, print what was answered, and return the exit status."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: nlserver-probe SOCKET\n")
        return 2
    try:
        answers = [_asked(path) for path in _sockets(sys.argv[1])]
    except OSError as failure:
        sys.stdout.write(f"no answer: {failure}\n")
        return 1
    sys.stdout.write("".join(f"{body}\n" for _, body in answers))
    return 0 if all(status == "200" for status, _ in answers) else 1


def _sockets(path: str) -> list[str]:
    """The socket, and those of further processes and configs, which are numbered beside it."""
    folder, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)
    beside = [one for one in os.listdir(folder or ".") if one.startswith(f"{stem}.") and one.endswith(suffix)]
    return [path, *(os.path.join(folder, one) for one in sorted(beside) if one != name)]


def _asked(path: str) -> tuple[str, str]:
    """The status code and the body."""
    # No more than 107 bytes may be a socket's path: its descriptor stands for it.
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as talk:
            talk.settimeout(_SECONDS)
            talk.connect(f"/proc/self/fd/{place}")
            talk.sendall(_REQUEST)
            answer = b"".join(iter(lambda: talk.recv(1 << 16), b""))
    finally:
        os.close(place)
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    return head[9:12], body


if __name__ == "__main__":
    sys.exit(main())
