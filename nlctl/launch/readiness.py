"""Whether a container serves: what our parts say in a file, and what others let see from outside."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from nlctl.containers.states import State
from nlctl.http2 import GREETING
from nlctl.launch.containers import RUN
from nlctl.launch.ledger import Ledger
from nlctl.launch.wish import Ports
from nlctl.unary import at_port

if TYPE_CHECKING:
    from docker import APIClient

_SAID: Final = b"READY=1"
_REGISTERED: Final = b"Worker registered with scheduler"
_ANSWER_SECONDS: Final = 2.0
_FRAME_HEAD: Final = 9
_SETTINGS: Final = b"\x04"
_CHECK: Final = "/grpc.health.v1.Health/Check"
_SERVING: Final = b"\x08\x01"
"""A HealthCheckResponse with `status: SERVING`."""


class Readiness:
    """Of the containers of one cluster. A container that was found ready stays so until it starts anew."""

    def __init__(self, ledger: Ledger, *, remote: bool) -> None:
        self._ledger = ledger
        self._remote = remote
        self._found: set[tuple[str, float]] = set()

    def ready(self, engine: APIClient, one: State, ports: Ports | None) -> bool:
        """Whether it serves; a worker does once it is registered."""
        if one.status != "running":
            return False
        key = one.id, one.started
        if key not in self._found and self._asked(engine, one, ports):
            self._found.add(key)
        return key in self._found

    def _asked(self, engine: APIClient, one: State, ports: Ports | None) -> bool:
        if not one.announces and one.health is not None:
            return one.health == "healthy"
        if not one.announces:
            return self._seen(engine, one, ports)
        if self._remote:
            started = engine.exec_create(one.id, ["cat", f"{RUN}/{one.part}/ready"])
            return bool(engine.exec_start(started["Id"]).startswith(_SAID))
        with suppress(OSError):
            path = self._ledger.run / one.part / "ready"
            # One of an earlier run is older than that run's end. A busy engine tells the start of this one too late.
            return path.stat().st_mtime > one.finished and path.read_bytes().startswith(_SAID)
        return False

    def _seen(self, engine: APIClient, one: State, ports: Ports | None) -> bool:
        """Another server of such configs: its listeners answer, its workers log that they are registered."""
        if one.part.startswith("worker-"):
            said = engine.logs(one.id, stdout=True, stderr=True, since=int(one.started))
            return _REGISTERED in said
        if ports is None:
            return False
        return serves(ports.host, ports.cas if one.part == "cas" else ports.scheduler)


def serves(host: str, port: int) -> bool:
    """Whether a server there says that it is well: by `GET /status`, or else by grpc.health.v1.

    Where its config has neither it is enough that it speaks HTTP/2.
    """
    status = _status(host, port)
    if status in (200, 503):
        return status == 200
    if (said := at_port(host, port, _CHECK, b"", _ANSWER_SECONDS)) is not None:
        return said == _SERVING
    return _speaks(host, port)


def _status(host: str, port: int) -> int | None:
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/status")
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _speaks(host: str, port: int) -> bool:
    """Whether it is a server of HTTP/2: a port that the engine forwards is open before anybody listens."""
    with suppress(OSError), socket.create_connection((host, port), _ANSWER_SECONDS) as connection:
        connection.sendall(GREETING)
        # It begins with its own settings (RFC 9113, 3.4).
        return connection.recv(_FRAME_HEAD)[3:4] == _SETTINGS
    return False
