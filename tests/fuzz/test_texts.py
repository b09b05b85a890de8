"""Texts from outside: each is read as a value, or refused with the error that its reader promises."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import strategies as st
from nlserver.config import units
from nlserver.errors import Error
from nlserver.reapi import names
from nlserver.reapi.digest import EMPTY, LARGEST_SIZE, Function, digest_of, of, parse_size
from nlserver.reapi.names import RESERVED, Compressor, parse_read, parse_write, read_name, write_name

from nlctl import arguments, digests, sizes
from nlctl.faults import Fault
from nlctl.registry import FLAGS
from tests.fuzz.executions import fuzz
from tests.fuzz.messages import HOSTILE, long_numbers
from tests.fuzz.outcomes import taken

H = of(b"abc").hash
any_text = st.one_of(st.text(max_size=200), st.sampled_from(HOSTILE))
# Digits that `int` takes and no protocol does, and numbers past what an int may be read from.
digits = st.one_of(
    st.integers(-5, 2**70).map(str),
    st.sampled_from(
        ["+5", "005", "5_0", " 5", "5 ", "0x5", "\u0663", "\u00b2", "5" * 400, "5" * 5000, "-0", "5\n", "1e3"]
    ),
)
segments = st.one_of(
    st.sampled_from([*RESERVED, "zstd", "deflate", "identity", "sha256", "blake3", "BLAKE3", "vso", H, H.upper(), "3"]),
    digits,
    any_text,
)


@st.composite
def resource_names(draw: st.DrawFn) -> str:
    """A good name with segments lost, doubled, swapped or put in; or any segments."""
    digest = of(draw(st.binary(max_size=4)), draw(st.sampled_from(Function)))
    compressor = draw(st.sampled_from(Compressor))
    made = draw(
        st.sampled_from(
            [read_name("", digest, compressor), read_name("a/b", digest), write_name("main", "u-1", digest, compressor)]
        )
    )
    parts = made.split("/")
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(parts)))
        match draw(st.sampled_from(["lose", "put", "double"])):
            case "lose":
                del parts[at : at + 1]
            case "put":
                parts.insert(at, draw(segments))
            case _:
                parts[at:at] = parts[at : at + 2]
    return "/".join(parts)


@fuzz(300, st.one_of(resource_names(), st.lists(segments, max_size=14).map("/".join), any_text))
def test_a_resource_name_is_read_as_what_it_says_or_refused(text: str) -> None:
    for parse in (parse_read, parse_write):
        if (found := taken(parse, text)) is None:
            continue
        digest = found.digest
        assert f"/{digest.hash}/{digest.size_bytes}" in f"/{text}"
        assert not RESERVED & set(found.instance_name.split("/"))
        assert (digest.size_bytes == 0) == (digest.hash in {empty.hash for empty in EMPTY.values()})


def test_the_longest_names_are_refused_without_being_read() -> None:
    for text in ("a/" * (1 << 20), "x" * (1 << 20), "blobs/" * 10_000 + f"{H}/3"):
        assert len(text) > names.LONGEST_NAME
        for parse in (parse_read, parse_write):
            with suppress(Error):
                raise AssertionError(parse(text))


@fuzz(200, digits)
def test_a_size_is_plain_decimal_or_refused(text: str) -> None:
    size = taken(parse_size, text)
    assert size is None or (str(size) == text and 0 <= size <= LARGEST_SIZE)


class Claim:
    """What a Digest message may hold, and more."""

    def __init__(self, hash_: str, size_bytes: int) -> None:
        self.hash = hash_
        self.size_bytes = size_bytes


hashes = st.one_of(any_text, st.sampled_from([H, H.upper(), H[:-1], H + "0", H + "\n", of(b"").hash, "\u0661" * 64]))


@fuzz(200, st.builds(Claim, hashes, long_numbers), st.sampled_from(Function))
def test_a_digest_is_64_lower_case_digits_and_a_size_that_can_be_or_refused(claim: Claim, function: Function) -> None:
    if (digest := taken(digest_of, claim, function)) is not None:
        assert set(digest.hash) <= set("0123456789abcdef")
        assert (len(digest.hash), digest.size_bytes >= 0) == (64, True)


pieces = st.lists(
    st.one_of(
        st.sampled_from(
            [H, H.upper(), H[:40], H[:20], "blobs/", "uploads/", "size_bytes", '"hash":', "-", "/", ":", " "]
        ),
        st.sampled_from(["bytestream://host/a/", "sha256:", "blake3/", "\n", "{", "}", '"', "compressed-blobs/zstd/"]),
        digits,
        any_text,
    ),
    max_size=12,
).map("".join)


@fuzz(300, pieces)
def test_what_people_paste_leads_to_digests_or_a_usage_fault(text: str) -> None:
    for found in digests.find(text):
        assert found.size_bytes is None or 0 <= found.size_bytes <= LARGEST_SIZE
        assert found.hash == found.hash.lower()
        assert len(found.hash) == 64
    with suppress(Fault):
        digests.parse(text)


quantities = st.one_of(
    st.builds(
        "{}{}{}".format,
        digits,
        st.sampled_from(["", " ", "\t"]),
        st.sampled_from(["k", "Ki", "gb", "Gb", "gib", "e", "Eb", "ms", "s", "M", "mo", "y"]),
    ),
    st.builds("{}.{}{}".format, digits, digits, st.sampled_from(["gb", "s", "h", "bits"])),
    st.lists(
        st.builds("{}{}".format, st.integers(0, 99), st.sampled_from(["h", "m", "s", "ms", "d", "w", "y"])), max_size=6
    ).map("".join),
    digits,
    any_text,
)


@fuzz(300, quantities)
def test_sizes_and_durations_of_configs_are_numbers_or_value_errors(text: str) -> None:
    for read in (units.size, units.duration):
        try:
            reason, number = "", read(text)
        except ValueError as error:
            reason, number = str(error), 0
        assert number >= 0
        assert "int_max_str_digits" not in reason
        assert len(reason) < 300


@fuzz(200, quantities)
def test_sizes_and_durations_of_the_command_line_are_numbers_or_faults(text: str) -> None:
    with suppress(Fault):
        assert sizes.parse(text) > 0
    with suppress(Fault):
        assert 0 <= arguments.seconds(text) < 10**9


words = st.one_of(
    st.sampled_from(
        ["up", "run", "cas", "get", "put", "--", "-", "-o", "-ojson", "-vvq", "--output=", "--timeout", "-h"]
    ),
    st.sampled_from([spelling for flag in FLAGS for spelling in flag.spellings]),
    quantities,
    any_text,
)
variables = [flag.variable for flag in FLAGS if flag.variable]


@fuzz(300, st.lists(words, max_size=8), st.dictionaries(st.sampled_from(variables), st.one_of(quantities, any_text)))
def test_any_command_line_is_cut_or_a_usage_fault(line: list[str], environment: dict[str, str]) -> None:
    with suppress(Fault):
        arguments.cut(line, environment)
