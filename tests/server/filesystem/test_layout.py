"""Any text is a key, and no key is a way out of the directory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from nlserver.filesystem.layout import file_name, is_value, key_text
from nlserver.reapi.digest import Digest, of

TEXTS = st.text() | st.text(alphabet="./%2Fab\0 ", max_size=12) | st.text(min_size=200, max_size=400)


@given(TEXTS)
def test_a_free_key_is_one_plain_name(key: str) -> None:
    directory, _, name = file_name(key).partition("/")
    assert directory == "s"
    assert name.isascii()
    assert name.isprintable()
    assert 0 < len(name) <= 255
    assert "/" not in name
    assert not name.startswith(".")
    assert is_value("s", name)


@given(TEXTS, TEXTS)
def test_two_keys_have_two_names(one: str, other: str) -> None:
    assert (file_name(one) == file_name(other)) == (one == other)


@given(st.text(max_size=20))
def test_the_key_can_be_told_from_the_name(key: str) -> None:
    if key:
        assert key_text(file_name(key)) == key


def test_names_that_nativelink_would_give_stay_the_same() -> None:
    for key in ("plain", "bep-events_2026.json", "a b"):
        assert file_name(key) == f"s/{key}"


def test_a_digest_is_named_without_its_function() -> None:
    digest = of(b"data")
    assert file_name(digest) == f"d/{digest.hash}-4"
    assert key_text(file_name(digest)) == str(digest)
    assert is_value("d", f"{digest.hash}-4")


def test_other_names_among_digests_are_no_values() -> None:
    digest = Digest("ab" * 32, 5)
    for name in (digest.hash, f"{digest.hash}-", f"{digest.hash}-05", f"{digest.hash}-5x", f"{digest.hash.upper()}-5"):
        assert not is_value("d", name)
