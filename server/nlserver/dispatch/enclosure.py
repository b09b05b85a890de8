"""Messages that travel with an order, so that its worker need not fetch what the scheduler read just before."""

from __future__ import annotations


class Room:
    """The memory that enclosures may hold together.

    When it is used up, later orders travel without: those that came first also start first.
    """

    def __init__(self, most_bytes: int, most_bytes_each: int) -> None:
        self.left = most_bytes
        self._most_bytes_each = most_bytes_each

    def enclose(self, action: bytes, command: bytes) -> Enclosure | None:
        """Hold these for an order; None where they are too large or too many."""
        if len(action) + len(command) > min(self._most_bytes_each, self.left):
            return None
        return Enclosure(self, action, command)


class Enclosure:
    """The serialised Action and Command of one order. They take room until they are taken out, or forgotten."""

    __slots__ = ("_messages", "_room")

    def __init__(self, room: Room, action: bytes, command: bytes) -> None:
        self._room = room
        self._messages = action, command
        room.left -= len(action) + len(command)

    def take(self) -> tuple[bytes, bytes]:
        """Action and Command, once: a second attempt finds them empty."""
        action, command = self._messages
        self._room.left += len(action) + len(command)
        self._messages = b"", b""
        return action, command

    def __del__(self) -> None:
        # An operation that ended before it was started has nobody else who would give the room back.
        self.take()
