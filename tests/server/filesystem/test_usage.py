"""The sum that processes share: nothing that is there is ever overlooked, whoever counts at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nlserver.eviction import Held
from nlserver.filesystem.usage import Usage


@pytest.fixture
def usage(tmp_path: Path) -> Usage:
    return Usage(str(tmp_path / "usage"))


def test_nothing_is_known_before_somebody_counted(usage: Usage) -> None:
    usage.add(1, 4096)
    assert usage.read() is None
    assert usage.counted(Held(5, 5 * 4096), usage.state())
    assert usage.read() == Held(5, 5 * 4096)


def test_another_process_sees_the_same_sum(usage: Usage, tmp_path: Path) -> None:
    usage.counted(Held(0, 0), usage.state())
    Usage(str(tmp_path / "usage")).add(2, 8192)
    assert usage.read() == Held(2, 8192)


def test_what_came_during_the_first_count_is_in_it(usage: Usage) -> None:
    begun = usage.state()
    usage.add(1, 4096)
    assert not usage.counted(Held(3, 3 * 4096), begun)
    assert usage.read() == Held(4, 4 * 4096)


def test_a_file_that_did_not_go_after_all_stays_counted(usage: Usage) -> None:
    usage.counted(Held(1, 4096), usage.state())
    with usage.leaving(4096):
        assert usage.read() == Held(0, 0)
    assert usage.read() == Held(1, 4096)


# What happens to each of the files while somebody scans: `seen` tells whether the scan finds it.
_FATES = st.lists(st.sampled_from(["stays", "comes seen", "comes unseen", "goes seen", "goes unseen"]), max_size=20)


@given(_FATES)
def test_a_count_never_overlooks_what_is_there(tmp_path_factory: pytest.TempPathFactory, fates: list[str]) -> None:
    usage = Usage(str(tmp_path_factory.mktemp("usage") / "usage"))
    usage.counted(Held(len([fate for fate in fates if "comes" not in fate]), 0), usage.state())
    leaving = [usage.leaving(0) for fate in fates if fate == "goes unseen"]
    departures = [one.__enter__() for one in leaving]
    begun = usage.state()
    for fate in fates:
        if "comes" in fate:
            usage.add(1, 0)
        if fate == "goes seen":
            with usage.leaving(0) as leaves:
                leaves()
    usage.counted(Held(len([fate for fate in fates if "unseen" not in fate]), 0), begun)
    for one, leaves in zip(leaving, departures, strict=True):
        leaves()
        one.__exit__(None, None, None)
    there = len([fate for fate in fates if "goes" not in fate])
    held = usage.read()
    assert held is not None
    assert held.count >= there
    usage.close()
