"""What was read lately is held, within bounds."""

from __future__ import annotations

from nlserver.reapi.recent import Recent


def test_what_was_used_least_lately_goes_first() -> None:
    recent: Recent[str] = Recent(160)
    for key in range(16):
        recent.put(str(key), bytes(10))
    assert recent.get("0") == bytes(10)
    recent.put("new", bytes(10))
    assert recent.get("1") is None
    assert recent.get("0") == recent.get("new") == bytes(10)


def test_replacing_counts_once() -> None:
    recent: Recent[str] = Recent(160)
    for _ in range(100):
        recent.put("same", bytes(10))
    recent.put("other", bytes(10))
    assert recent.get("same") == bytes(10)


def test_what_is_large_is_not_held() -> None:
    recent: Recent[str] = Recent(160)
    recent.put("large", bytes(11))
    assert recent.get("large") is None
