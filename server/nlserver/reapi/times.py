"""Timestamps and durations from outside, which may be none: protobuf's own conversions raise ValueError then. Pure."""

from __future__ import annotations

from typing import Final, Protocol

_NANOS: Final = 10**9
# google.protobuf.Timestamp: from the year 1 to the end of 9999. google.protobuf.Duration: 10,000 years either way.
_FIRST_SECOND: Final = -62_135_596_800
_LAST_SECOND: Final = 253_402_300_799
_MOST_SECONDS: Final = 315_576_000_000


class Time(Protocol):
    """The protobuf messages Timestamp and Duration."""

    @property
    def seconds(self) -> int:
        """Whole seconds, rounded down in a Timestamp and towards zero in a Duration."""
        ...

    @property
    def nanos(self) -> int:
        """What is left, in nanoseconds."""
        ...


def moment_of(timestamp: Time) -> int | None:
    """Nanoseconds since 1970; None for what is no Timestamp."""
    if not (_FIRST_SECOND <= timestamp.seconds <= _LAST_SECOND and 0 <= timestamp.nanos < _NANOS):
        return None
    return timestamp.seconds * _NANOS + timestamp.nanos


def span_of(duration: Time) -> int | None:
    """Nanoseconds, negative ones too; None for what is no Duration."""
    seconds, nanos = duration.seconds, duration.nanos
    if abs(seconds) > _MOST_SECONDS or abs(nanos) >= _NANOS or seconds * nanos < 0:
        return None
    return seconds * _NANOS + nanos
