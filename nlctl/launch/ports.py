"""Which ports of this machine are taken, by whom, and which are free."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from nlctl.launch.process import title
from nlctl.launch.wish import HOST, Ports

_LISTENING: Final = "0A"


@dataclass(frozen=True)
class Holder:
    """Who listens on a port; pid 0 when it belongs to someone whom we may not look at."""

    port: int
    pid: int
    title: str

    def __str__(self) -> str:
        if not self.pid:
            return f"port {self.port} is in use by a process that this user cannot see"
        return f"pid {self.pid} ({self.title}) listens on port {self.port}"


def free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
            trial.listen(1)
        except (OSError, OverflowError):
            return False
    return True


def taken(ports: Iterable[int]) -> list[int]:
    """The ports among these on which no server could listen."""
    return [port for port in ports if not free(port)]


def pick() -> Ports:
    """Three free ports. They are held together while picking, so that they differ."""
    held = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(3)]
    try:
        for one in held:
            one.bind((HOST, 0))
        return Ports(*(one.getsockname()[1] for one in held))
    finally:
        for one in held:
            one.close()


def holder(port: int) -> Holder:
    """Who listens on this port."""
    inodes = _inodes(port)
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        if _has_socket(pid, inodes):
            return Holder(port, pid, title(pid)[:120])
    return Holder(port, 0, "")


def _inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError), open(table, encoding="ascii") as file:
            for line in list(file)[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def _has_socket(pid: int, inodes: set[str]) -> bool:
    folder = f"/proc/{pid}/fd"
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):
                if os.readlink(f"{folder}/{name}") in inodes:
                    return True
    return False
