"""The operations of a scheduler, as many as a completion shows."""

from __future__ import annotations

from typing import Final, NamedTuple

from nlctl.unary import at_socket
from nlctl.wire import field, fields

_SECONDS: Final = 0.12
_MOST: Final = 100
_STAGES: Final = {1: "cache check", 2: "queued", 3: "executing", 4: "completed"}


class Operation(NamedTuple):
    """One execution. `since` is seconds since 1970, of its stage."""

    id: str
    stage: str
    since: float


def operations(path: str) -> list[Operation]:
    """What the scheduler behind this socket works on, the oldest first; none when it does not answer in time."""
    # nlctl.admin.v1.ListOperationsRequest: limit.
    message = at_socket(path, "/nlctl.admin.v1.Admin/ListOperations", field(3, _MOST), _SECONDS) or b""
    return [_operation(value) for number, value in fields(message) if number == 1 and isinstance(value, bytes)]


def _operation(message: bytes) -> Operation:
    found = dict(fields(message))
    name, since, stage = found.get(1, b""), found.get(8, b""), found.get(6, 0)
    assert isinstance(name, bytes)
    assert isinstance(since, bytes)
    seconds = dict(fields(since)).get(1, 0)
    return Operation(name.decode(), _STAGES.get(stage if isinstance(stage, int) else 0, ""), float(seconds))
