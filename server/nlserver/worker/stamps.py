"""The times of one action, in order, and what they look like in its result."""

from __future__ import annotations

from typing import Final

from nlserver.clock import Clock
from nlserver.proto import remote_execution_pb2 as re_pb

_NANOS: Final = 10**9
_ORDER: Final = (
    "worker_start",
    "input_fetch_start",
    "input_fetch_completed",
    "execution_start",
    "execution_completed",
    "output_upload_start",
    "output_upload_completed",
    "worker_completed",
)


class Stamps:
    """Wall-clock times that never run backwards: read once, then carried on by the monotonic clock.

    They begin no earlier than `queued_ns`, when the scheduler took the action in by its own clock.
    """

    def __init__(self, clock: Clock, queued_ns: int) -> None:
        self._clock = clock
        self._queued = queued_ns
        self._offset = max(clock.wall(), queued_ns / _NANOS) - clock.monotonic()
        self._made: dict[str, int] = {}

    def mark(self, *names: str) -> None:
        """It is now the time of these (`execution_start`, ...)."""
        now = round((self._clock.monotonic() + self._offset) * _NANOS)
        for name in names:
            self._made[name] = now

    def write(self, metadata: re_pb.ExecutedActionMetadata) -> None:
        """Fill in every timestamp; what was never reached took no time after what was reached last."""
        metadata.queued_timestamp.FromNanoseconds(self._queued)
        last = self._queued
        for name in _ORDER:
            last = self._made.get(name, last)
            getattr(metadata, f"{name}_timestamp").FromNanoseconds(last)
        ran = self._made.get("execution_completed", 0) - self._made.get("execution_start", 0)
        metadata.virtual_execution_duration.FromNanoseconds(max(0, ran))
