"""The grammars of sizes and durations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.config.units import duration, size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1024", 1024),
        ("7b", 7),
        ("7B", 7),
        ("10k", 10_000),
        ("10kb", 10_000),
        ("64KB", 64_000),
        ("10gb", 10**10),
        ("10Gb", 10**10),
        ("10GB", 10**10),
        ("10g", 10**10),
        ("1t", 10**12),
        ("1p", 10**15),
        ("1e", 10**18),
        ("10Gi", 10 << 30),
        ("10gib", 10 << 30),
        ("1ki", 1024),
        ("1MiB", 1 << 20),
        ("1ti", 1 << 40),
        ("1pi", 1 << 50),
        ("1ei", 1 << 60),
        ("1.5k", 1500),
        ("0.1b", 1),
        ("0.3", 1),
        ("1.0001k", 1001),
        ("8bit", 1),
        ("9 bits", 2),
        ("8kbit", 1000),
        ("1kibits", 128),
        ("  10 gb ", 10**10),
        ("10   mb", 10**7),
    ],
)
def test_a_size_is_a_number_and_a_unit_in_any_case_rounded_up(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "  ", "gb", "-1", "10x", "10 g b", "1,5k", "1.k", ".5k", "1e3", "0x10", "10gbb", "\u0661k"]
)
def test_what_is_no_size_has_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        size(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("0s", 0),
        ("90s", 90),
        ("90 sec", 90),
        ("2secs", 2),
        ("1second", 1),
        ("2 seconds", 2),
        ("1m", 60),
        ("2min", 120),
        ("2mins 1minute", 180),
        ("1h2m3s", 3723),
        ("1m 30s", 90),
        ("1.5h", 5400),
        ("1hr", 3600),
        ("2hrs", 7200),
        ("3 hours", 10_800),
        ("1d", 86_400),
        ("2days", 172_800),
        ("1w", 604_800),
        ("1wk 1week", 1_209_600),
        ("1M", 2_630_016),
        ("1month", 2_630_016),
        ("1y", 31_557_600),
        ("2 years", 63_115_200),
        ("100ms", 0),
        ("1.5s", 1),
        ("999ms 1ms", 1),
        ("600ms600ms", 1),
        ("1000000us", 1),
        ("1000000µs", 1),
        ("1000000000ns", 1),
        ("  5s  ", 5),
    ],
)
def test_a_duration_is_a_sequence_of_numbers_with_units_in_whole_seconds(text: str, expected: int) -> None:
    assert duration(text) == expected


def test_units_of_time_are_case_sensitive() -> None:
    assert duration("1m") == 60
    assert duration("1M") == 2_630_016
    with pytest.raises(ValueError, match="unknown time unit"):
        duration("1S")


def test_a_bare_number_asks_for_a_unit() -> None:
    with pytest.raises(ValueError, match="time unit needed, for example 10sec or 10ms"):
        duration("10")


@pytest.mark.parametrize("text", ["", " ", "-1", "-1s", "s", "1s x", "1h2", "ten s", "1..5s", "0x1s"])
def test_what_is_no_duration_has_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|unit|missing"):
        duration(text)


@pytest.mark.parametrize("read", [size, duration])
@settings(deadline=None)
@given(text=st.text(alphabet="0123456789.kKmMgiIbBhs -+eE\tµ", max_size=30) | st.text(max_size=20))
def test_any_text_is_a_number_or_a_value_error(read: Callable[[str], int], text: str) -> None:
    with contextlib.suppress(ValueError):
        assert read(text) >= 0


@settings(deadline=None)
@given(number=st.integers(0, 2**64), blanks=st.sampled_from(["", " ", "\t"]))
def test_a_plain_number_is_as_many_bytes(number: int, blanks: str) -> None:
    assert size(f"{blanks}{number}{blanks}b") == number
