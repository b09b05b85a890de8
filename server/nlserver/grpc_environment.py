"""What gRPC's core is to be told through the environment. It reads it once, when `grpc` is first imported."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

SETTINGS: Final = {
    # Its own notes about connections have no time, part or facts, and are not for anybody's terminal.
    "GRPC_VERBOSITY": "ERROR",
    # The thread that waits for the core's answers then does its network I/O, too. The event engine hands each message
    # through two more threads: a call costs five waits in place of two, and 30-45 % more processor time when calls are
    # small, 25 % more where blobs come in (measured with grpcio 1.85).
    "GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener",
}


def prepare(environment: MutableMapping[str, str]) -> None:
    """Add the settings that the environment does not have yet. Call it before anything imports `grpc`."""
    for name, value in SETTINGS.items():
        environment.setdefault(name, value)
