"""What the allocator keeps is given back: when it may be worth it, and that it works."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from nlserver.memory import Surplus

MIB: Final = 1 << 20

# Large pieces between small ones that stay: nothing of them lies at the end, where the allocator gives back by itself.
_FRAGMENT: Final = """
import os
from nlserver import memory

del (first := [bytearray(1_000_000) for _ in range(8)])[:]
small, large = [], []
for _ in range(150):
    large.append(bytearray(900_000))
    small.append(bytearray(2_000))
del large[:]
before = memory.resident()
memory.give_back()
print(before - memory.resident())
"""


def test_pieces_between_others_that_stay_are_given_back() -> None:
    ran = subprocess.run([sys.executable, "-c", _FRAGMENT], capture_output=True, text=True, check=True)
    assert int(ran.stdout) > 100 * MIB


def test_it_is_due_only_while_much_more_is_resident_than_at_the_beginning() -> None:
    surplus = Surplus()
    assert not surplus.due(0, 40 * MIB)
    assert not surplus.due(1, 70 * MIB)
    assert surplus.due(2, 73 * MIB)
    assert not surplus.due(3, 30 * MIB)
    assert surplus.due(4, 63 * MIB)


def test_after_a_try_there_is_a_pause_that_doubles_as_long_as_little_is_gained() -> None:
    surplus = Surplus()
    surplus.due(0, 30 * MIB)
    tries, now = [], 0.0
    while now < 200:
        if surplus.due(now, 400 * MIB):
            tries.append(now)
            surplus.gave_back(now, 0)
        now += 1
    assert tries == [0, 10, 30, 70, 110, 150, 190]
    surplus.gave_back(now, 100 * MIB)
    assert not surplus.due(now + 4, 400 * MIB)
    assert surplus.due(now + 5, 400 * MIB)
