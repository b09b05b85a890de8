"""What a scheduler remembers as a pace."""

from __future__ import annotations

from nlctl.watch.pace import pace


def test_actions_are_counted_in_slots_of_the_last_minutes() -> None:
    found = pace([1000.0, 1299.0, 1300.0, 900.0, 1301.0], now=1300.0, since=0.0)
    assert found.seconds == 300
    # One is as old as the span, one older, and one comes from a clock that is ahead.
    assert found.slots == (*[0] * 19, 2)


def test_what_was_forgotten_shortens_the_span() -> None:
    found = pace([1290.0, 1299.5], now=1300.0, since=1290.0)
    assert found.seconds == 10
    assert found.slots == (*[0] * 18, 1, 0)
    assert pace([], now=5.0, since=5.0).seconds == 1
