"""The processor time of a server on this machine, found by the port that it listens on.

Rates tell who is faster on an idle machine; processor time a call tells it on a busy one too.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from nlserver.reapi.address import target_of

_LISTEN: Final = "0A"
_TICK: Final = os.sysconf("SC_CLK_TCK")
_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")


def processes(addresses: Iterable[str]) -> frozenset[int]:
    """The processes that listen at these addresses; empty where they are on other machines or not ours to look at."""
    ports = {port for address in addresses if (port := _local_port(address)) is not None}
    sockets = {inode for table in _TABLES for inode in _listening(table, ports)}
    return frozenset(pid for pid in _pids() if sockets and sockets & _sockets(pid))


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes so far, that of their children which ended included."""
    return sum(map(_cpu_seconds, pids))


def _local_port(address: str) -> int | None:
    host, _, port = target_of(address).name.rpartition(":")
    with suppress(OSError, ValueError):
        if ipaddress.ip_address(socket.gethostbyname(host.strip("[]") or "::1")).is_loopback or host in ("[::1]",):
            return int(port)
    return None


def _listening(table: str, ports: set[int]) -> list[str]:
    """The inodes of sockets that listen on one of these ports."""
    found = []
    with suppress(OSError), open(table) as lines:
        for line in list(lines)[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) in ports:
                found.append(f"socket:[{fields[9]}]")
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _sockets(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def _cpu_seconds(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICK
