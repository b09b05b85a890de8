"""The exit codes: one table, stable; a new code may be added, and an unknown one is a failure."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended. `run` alone also passes on the status of the command that it ran remotely."""

    OK = 0
    """Done, or nothing to do."""
    INTERNAL = 1
    """A bug or an unclassified failure; the traceback is in a file that the message names."""
    USAGE = 2
    """A bad flag, digest text or prefix."""
    NOT_FOUND = 3
    """A blob, action result, worker, operation or context is absent."""
    UNREACHABLE = 4
    """Refused, unresolvable, TLS failed, or no cluster is running."""
    UNHEALTHY = 5
    """Reachable, but a check or a state is bad."""
    TIMEOUT = 6
    """A wait or the whole command ran out of time."""
    CONFLICT = 7
    """A port or name is taken, or a lock is held."""
    DENIED = 8
    """Authentication, permission, or a read-only store."""
    CORRUPT = 9
    """Bytes do not match their digest."""
    UNSUPPORTED = 10
    """This server lacks what the command needs."""
    PARTIAL = 11
    """Some of several items failed, the rest were done."""
    DIFFERS = 12
    """A comparison found differences."""
    INVALID = 13
    """A config or file that we were asked to judge is wrong."""
    NOT_RUN = 125
    """`run`: the command never gave a status."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""
    BROKEN_PIPE = 141
    """Whoever read our output stopped reading."""
    TERMINATED = 143
    """Ended by SIGTERM."""

    @property
    def label(self) -> str:
        """The name that messages show: `not-found`."""
        return self.name.lower().replace("_", "-")
