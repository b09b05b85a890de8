"""A key has one shard for ever, the one that NativeLink chooses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.reapi.digest import Digest, Function, of
from nlserver.sharding import Shards, place, siphash
from nlserver.spec import U32

WEIGHTS = st.lists(st.integers(0, U32), min_size=1, max_size=20).filter(any)
KEYS = st.text() | st.builds(Digest, st.binary(min_size=32, max_size=32).map(bytes.hex), st.integers(0, 2**63 - 1))


def hash_of(*words: int) -> str:
    """A hash whose first little-endian words are these."""
    return b"".join(word.to_bytes(4, "little") for word in words).hex().ljust(64, "0")


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        (Digest(hash_of(), 0), 0),
        (Digest(hash_of(0x01020304), 0), 0x01020304),
        (Digest(hash_of(0, 0, 0xF0F0F0F0, 0, 0, 0, 0, 0x0F0F0F0F), 0), U32),
        (Digest(hash_of(5), 3), 6),
        (Digest(hash_of(), 1 << 32), 1),
        (Digest(hash_of(), (7 << 32) + 2), 5),
    ],
)
def test_the_words_of_hash_and_size_are_folded_into_one(digest: Digest, expected: int) -> None:
    assert place(digest) == expected


def test_the_digest_function_has_no_say() -> None:
    digest = of(b"some bytes")
    assert place(digest) == place(digest._replace(function=Function.BLAKE3))


def test_free_keys_are_hashed_as_the_interpreter_hashes_without_a_seed() -> None:
    texts = ["a", "seven b", "eight by", "nine byte", "umlaut \u00e4", "x" * 1000]
    asked = f"import sys; assert sys.hash_info.algorithm == 'siphash13'; print(*(hash(t.encode()) for t in {texts!r}))"
    answered = subprocess.run(
        [sys.executable, "-c", asked], env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, check=True
    )
    assert [siphash(text.encode()) for text in texts] == [int(word) % 2**64 for word in answered.stdout.split()]
    assert [place(text) for text in texts] == [siphash(text.encode()) >> 32 for text in texts]


def test_an_exact_hit_of_a_border_belongs_to_what_is_before_it() -> None:
    shards = Shards([1, 1])
    half = U32 // 2
    assert [shards.of(Digest(hash_of(word), 0)) for word in (0, half, half + 1, U32)] == [0, 0, 1, 1]


def test_what_was_once_placed_so_is_placed_so_for_ever() -> None:
    shards = Shards([2, 1, 1])
    assert [shards.of(of(b"%d" % number)) for number in range(12)] == [0, 1, 1, 2, 2, 0, 0, 2, 0, 0, 0, 0]
    assert [shards.of(f"key {number}") for number in range(12)] == [2, 0, 1, 0, 2, 0, 1, 2, 0, 1, 1, 0]


def test_shards_take_their_weights() -> None:
    shards = Shards([1, 0, 2, 5])
    taken = Counter(shards.of(of(b"%d" % number)) for number in range(4000))
    assert taken[1] == 0
    for number, weight in ((0, 1), (2, 2), (3, 5)):
        assert abs(taken[number] / 4000 - weight / 8) < 0.03


@settings(deadline=None)
@given(WEIGHTS, KEYS)
def test_every_key_has_one_shard_whatever_the_weights(weights: list[int], key: Digest | str) -> None:
    number = Shards(weights).of(key)
    assert 0 <= number < len(weights)
    assert Shards(list(weights)).of(key) == number
