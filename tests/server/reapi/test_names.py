import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nlserver.errors import Code, Error
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.reapi.names import (
    LONGEST_NAME,
    RESERVED,
    Compressor,
    ReadName,
    WriteName,
    parse_read,
    parse_write,
    read_name,
    write_name,
)

ABC = of(b"abc")
B3 = of(b"abc", Function.BLAKE3)
H = ABC.hash

segment = st.text(st.characters(exclude_characters="/\\", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
plain = segment.filter(lambda s: s not in RESERVED and s not in (".", ".."))
instances = st.lists(plain, max_size=4).map("/".join)
digests = st.builds(lambda data, function: of(data, function), st.binary(max_size=40), st.sampled_from(Function))
compressors = st.sampled_from(Compressor)
names = st.lists(
    st.one_of(
        st.sampled_from(["blobs", "uploads", "compressed-blobs", "zstd", "sha256", "blake3", "", "..", H, "3", "03"]),
        segment,
    ),
    max_size=14,
).map("/".join)


def value_or_error(parse, text):
    try:
        return parse(text)
    except Error as error:
        return error


@given(instances, digests, compressors, st.booleans())
def test_a_read_name_parses_back_to_what_it_was_made_of(instance, digest, compressor, stated):
    made = read_name(instance, digest, compressor, states_function=True if stated else None)
    assert parse_read(made) == ReadName(instance, digest, compressor)


@given(instances, plain, digests, compressors, st.lists(segment, max_size=3))
def test_a_write_name_with_any_metadata_parses_back(instance, upload, digest, compressor, metadata):
    made = "/".join([write_name(instance, upload, digest, compressor), *metadata])
    assert parse_write(made) == WriteName(instance, upload, digest, compressor)


@given(st.one_of(st.text(max_size=300), names))
def test_any_text_gives_a_value_or_an_error(text):
    for parse in (parse_read, parse_write):
        found = value_or_error(parse, text)
        if isinstance(found, Error):
            assert found.code is Code.INVALID_ARGUMENT
        else:
            assert found.digest.hash in text


def test_names_are_written_as_the_spec_says():
    assert read_name("", ABC) == f"blobs/{H}/3"
    assert read_name("a/b", B3) == f"a/b/blobs/blake3/{B3.hash}/3"
    assert read_name("m", ABC, Compressor.ZSTD) == f"m/compressed-blobs/zstd/{H}/3"
    assert read_name("m", B3, states_function=False) == f"m/blobs/{B3.hash}/3"
    assert write_name("m", "u", ABC, states_function=True) == f"m/uploads/u/blobs/sha256/{H}/3"


def test_a_leading_slash_is_tolerated_before_the_empty_instance():
    assert parse_read(f"/blobs/{H}/3").instance_name == ""
    assert parse_write(f"/uploads/u/blobs/sha256/{H}/3").instance_name == ""


def test_a_name_that_states_no_function_has_the_default_one():
    assert parse_read(f"blobs/{B3.hash}/3", Function.BLAKE3).digest == B3
    assert parse_read(f"blobs/sha256/{H}/3", Function.BLAKE3).digest == ABC


def test_a_read_may_carry_one_more_segment():
    assert parse_read(f"m/blobs/{H}/3/file.o").digest == ABC


def test_the_empty_blob_has_a_name():
    assert parse_read(read_name("", EMPTY[Function.BLAKE3])).digest == EMPTY[Function.BLAKE3]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "blobs",
        f"blobs/{H}",
        f"blobs/{H}/",
        f"blobs/{H}/03",
        f"blobs/{H}/+3",
        f"blobs/{H}/3_0",
        f"blobs/{H}/ 3",
        f"blobs/{H}/0x3",
        f"blobs/{H}/٣",
        f"blobs/{H}/{'9' * 400}",
        f"blobs/{H}/-3",
        f"blobs/{H}/{2**63}",
        f"blobs/{H}/0",
        f"blobs/{H.upper()}/3",
        f"blobs/{H}\n/3",
        f"blobs/{H[1:]}/3",
        f"blobs/../../etc/passwd/{H}/3",
        f"blobs/SHA256/{H}/3",
        f"blobs/sha512/{H}/3",
        f"compressed-blobs/lz4/{H}/3",
        f"compressed-blobs/{H}/3",
        f"blobs/{H}/3/a/b",
        f"blobs/{H}/3/",
        f"/main/blobs/{H}/3",
        f"main//blobs/{H}/3",
        f"../blobs/{H}/3",
        f"a\\b/blobs/{H}/3",
        f"a\0b/blobs/{H}/3",
        f"blobs/blobs/{H}/3",
        f"uploads/u/blobs/{H}/3",
        f"{'a' * LONGEST_NAME}/blobs/{H}/3",
    ],
)
def test_malformed_read_names_are_refused(text):
    with pytest.raises(Error) as raised:
        parse_read(text)
    assert raised.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "text",
    [
        f"blobs/{H}/3",
        f"uploads//blobs/{H}/3",
        f"uploads/blobs/{H}/3",
        f"uploads/u/blobs/{H}/",
        f"uploads/u/uploads/v/blobs/{H}/3",
    ],
)
def test_malformed_write_names_are_refused(text):
    with pytest.raises(Error) as raised:
        parse_write(text)
    assert raised.value.code is Code.INVALID_ARGUMENT


def test_the_error_says_what_is_wrong():
    with pytest.raises(Error, match="digest function sha512 is not served here"):
        parse_read(f"m/blobs/sha512/{H}/3")
    with pytest.raises(Error, match="lower-case hex"):
        parse_read(f"m/blobs/{H.upper()}/3")


def test_ten_thousand_segments_cost_next_to_nothing():
    began = time.process_time()
    for text in ("blobs/" * 10_000, "blobs/" * (LONGEST_NAME // 6), "uploads/u/blobs/" * 200):
        with pytest.raises(Error):
            parse_write(text)
    assert time.process_time() - began < 0.5


def test_a_digest_with_another_size_is_another_name():
    assert parse_read(f"blobs/{H}/4").digest == Digest(H, 4)


def test_metadata_that_looks_like_a_name_is_metadata():
    assert parse_write(f"uploads/u/blobs/{H}/3/uploads/v/blobs/{H}/4") == WriteName("", "u", ABC, Compressor.IDENTITY)
