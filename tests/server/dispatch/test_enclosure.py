"""What travels with an order takes no more memory than it may, for no longer than it must."""

from __future__ import annotations

from nlserver.dispatch.enclosure import Room


def test_what_is_enclosed_comes_out_once_and_gives_its_room_back() -> None:
    room = Room(100, 50)
    enclosure = room.enclose(b"action", b"command")
    assert enclosure is not None
    assert room.left == 87
    assert enclosure.take() == (b"action", b"command")
    assert room.left == 100
    assert enclosure.take() == (b"", b"")
    assert room.left == 100


def test_what_is_too_large_is_not_enclosed() -> None:
    room = Room(100, 50)
    assert room.enclose(b"x" * 26, b"x" * 25) is None
    assert room.enclose(b"x" * 25, b"x" * 25) is not None


def test_a_full_room_takes_no_more_and_keeps_what_came_first() -> None:
    room = Room(100, 50)
    held = [room.enclose(b"%d" % number * 20, b"x" * 20) for number in range(3)]
    assert held[2] is None
    assert held[0] is not None
    assert held[0].take() == (b"0" * 20, b"x" * 20)
    assert room.enclose(b"x", b"y") is not None


def test_the_room_of_an_enclosure_that_nobody_opened_comes_back_with_its_end() -> None:
    room = Room(100, 50)
    enclosure = room.enclose(b"action", b"command")
    del enclosure
    assert room.left == 100
