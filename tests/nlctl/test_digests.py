"""Every text that holds a digest leads to it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nlserver.reapi.digest import Function

from nlctl.digests import Found, Prefix, find, is_action, parse
from nlctl.exits import Exit
from nlctl.faults import Fault

H = "7fd25e01d12373a2d1712e446881c9246a9698da4e7eafecdaeeaaff62195a82"
G = "85d96d20ba51d1a4d7d1ffd8b6d2c51f0b6c6b0e0f3c1d9a7e1b2c3d4e5f6071"
T = H[:48] + "a508000000000000"
"""How NativeLink calls the file in which the blob of H is being written."""
U = "123e4567-e89b-42d3-a456-426614174000"
B3 = Function.BLAKE3


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (H, [Found(H)]),
        (H.upper(), [Found(H)]),
        (f"  {H}\n", [Found(H)]),
        (f"{H}/148", [Found(H, 148)]),
        (f"{H}-148", [Found(H, 148)]),
        (f"{H}:148", [Found(H, 148)]),
        (f"{H}/0", [Found(H, 0)]),
        (f"blake3/{H}/148", [Found(H, 148, B3)]),
        (f"sha256:{H}", [Found(H, None, Function.SHA256)]),
        (f"bytestream://cache.example:443/main/blobs/{H}/148", [Found(H, 148, None, "main")]),
        (f"bytestream://cache.example/blobs/{H}/148", [Found(H, 148, None, "")]),
        (f"main/sub/compressed-blobs/zstd/{H}/148", [Found(H, 148, None, "main/sub")]),
        (f"main/uploads/{U}/blobs/{H}/148", [Found(H, 148, None, "main")]),
        (f"uploads/{U}/compressed-blobs/zstd/blake3/{H}/148", [Found(H, 148, B3, "")]),
        (f"blobs/blake3/{H}/148", [Found(H, 148, B3, "")]),
        (f"http://host:8080/cas/{H}", [Found(H)]),
        (f"http://host:8080/ac/{H}", [Found(H)]),
        (f"Missing digest: {H}/148 for bazel-out/k8-fastbuild/bin/a.o", [Found(H, 148)]),
        (f"Lost inputs no longer available remotely: a.h ({H}/148), b.h ({G}/9)", [Found(H, 148), Found(G, 9)]),
        (f"Object {H}-148 not found in either fast or slow store. If using multiple workers", [Found(H, 148)]),
        (f"Object {H[:40]}\n    {H[40:]}-148 not found\nin either fast or slow store.", [Found(H, 148)]),
        (f"Error hardlinking /data/fast/content/d/{H}-148 to /work/op/a.o", [Found(H, 148)]),
        (f'Digest {{ hash: "{H}", size_bytes: 335 }}', [Found(H, 335)]),
        (f'{{"hash":"{H}","sizeBytes":"42"}}', [Found(H, 42)]),
        (f'{{"sizeBytes": "42", "hash": "{H}"}}', [Found(H, 42)]),
        (f'action_digest {{\n  hash: "{H}"\n  size_bytes: 142\n}}', [Found(H, 142)]),
        (f'{{"hash": "{H}", "size_bytes": 148, "function": "sha256"}}', [Found(H, 148)]),
        (f"FAILED_PRECONDITION: MISSING blobs/{H}/148; blobs/{H}/148", [Found(H, 148, None, "")]),
        (f"{H} and later {H}/148", [Found(H, 148)]),
        (f"in {H}/148.", [Found(H, 148)]),
        (f"{'0' * 64}/1", [Found("0" * 64, 1)]),
        (f'for digest DigestInfo {{ size_bytes: 148, hash: \\"{H}\\" }}', [Found(H, 148)]),
        (
            f'temp file \\"/c/tmp/{T}-148\\", for digest DigestInfo {{ size_bytes: 148, hash: \\"{H}\\" }}',
            [Found(H, 148)],
        ),
        (f"Error writing digest `{H}:148` to `buck-out/v2/gen/root/a`", [Found(H, 148)]),
        (f'Digest(DigestInfo {{ hash: "{H}", size: 148 }})', [Found(H, 148)]),
        (f"Object not found [hash: {H} sizebytes: 148]", [Found(H, 148)]),
        (f"Shard 1: Object not found: 3-{H}-148-main", [Found(H, 148)]),
        (f"{H}/148 {G}/9", [Found(H, 148), Found(G, 9)]),
    ],
)
def test_a_text_leads_to_its_digests(text: str, found: list[Found]) -> None:
    """Statement 26."""
    assert find(text) == found


@pytest.mark.parametrize(("text", "digits"), [("7fd25e01", "7fd25e01"), ("7FD25E01d1", "7fd25e01d1"), (H[:63], H[:63])])
def test_the_first_digits_of_a_hash_are_a_prefix(text: str, digits: str) -> None:
    assert parse(text) == Prefix(digits)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("7fd25e01…5a82/148", Prefix("7fd25e01", "5a82", 148)),
        ("7FD25E01...5A82-148", Prefix("7fd25e01", "5a82", 148)),
        ("7fd25e01…/148", Prefix("7fd25e01", "", 148)),
        ("7fd25e01…", Prefix("7fd25e01")),
    ],
)
def test_a_digest_that_a_terminal_shortened_is_taken_back(text: str, prefix: Prefix) -> None:
    assert parse(text) == prefix
    assert prefix.fits(H, 148)
    assert not prefix.fits(G, 148)
    assert not Prefix("7fd25e01", "5a82", 148).fits(H, 149)


def test_what_a_temporary_name_has_kept_of_a_hash_is_its_beginning() -> None:
    assert parse(f'File is already a temp file, key: Digest(DigestInfo("{T}-148"))') == Prefix(H[:48], "", 148)
    assert parse(f"{T}/148") == [Found(T, 148)]


@pytest.mark.parametrize(
    ("text", "blob", "action"),
    [
        (f"Action {G}/142 is invalid: the file `a` {H}/148 was not found in the CAS", H, G),
        (f"{H}:148 is missing in the CAS (File({H}:148)) was produced by a RE action ({G}:142 retrieved)", H, G),
        (f'action_digest {{ hash: "{G}" size_bytes: 142 }} missing blobs/{H}/148', H, G),
    ],
)
def test_an_action_that_needed_a_blob_is_told_from_the_blob(text: str, blob: str, action: str) -> None:
    told = {one.hash: is_action(text, one) for one in find(text)}
    assert told == {blob: False, action: True}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("not a digest", "no hash in it"),
        ("", "no hash in it"),
        (H + "0", "65 hex digits"),
        (H + H, "128 hex digits"),
        ("da39a3ee5e6b4b0d3255bfef95601890afd80709", "SHA-1"),
        (f"{H}/99999999999999999999", "larger than any blob"),
        ("7fd25e0", "no hash in it"),
        ("prefix 7fd25e01", "a whole hash has 64"),
    ],
)
def test_other_texts_are_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(Fault) as caught:
        parse(text)
    assert caught.value.exit is Exit.USAGE
    assert why in caught.value.why


_PIECES = st.sampled_from([H, G, "/", "-", ":", "148", "blobs", "uploads", U, '"', "size_bytes", "hash", "\n", " "])


@given(st.lists(_PIECES | st.text(max_size=8)).map("".join))
def test_any_text_makes_digests_a_prefix_or_a_usage_fault(text: str) -> None:
    """Statement 26."""
    with suppress(Fault):
        made = parse(text)
        assert isinstance(made, Prefix) or all(len(one.hash) == 64 for one in made)
