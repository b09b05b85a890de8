"""checksum.sri: what is accepted as one, and what has it."""

from __future__ import annotations

import base64
import hashlib
from contextlib import suppress

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from nlserver.asset.integrity import Hashes, parse
from nlserver.errors import Code, Error
from nlserver.reapi.digest import Function, of

DATA = b"content"


def sri(algorithm: str, data: bytes = DATA) -> str:
    raw = blake3(data).digest() if algorithm == "blake3" else hashlib.new(algorithm, data).digest()
    return f"{algorithm}-{base64.b64encode(raw).decode()}"


def holds(text: str, data: bytes = DATA, function: Function = Function.SHA256) -> bool:
    hashes = Hashes(function, parse(text))
    for start in range(0, len(data), 3):
        hashes.update(data[start : start + 3])
    assert hashes.digest == of(data, function)
    return hashes.hold


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512", "blake3"])
@pytest.mark.parametrize("function", list(Function))
def test_content_has_its_own_checksum_and_no_other(algorithm: str, function: Function) -> None:
    assert holds(sri(algorithm), function=function)
    assert not holds(sri(algorithm, b"other"), function=function)


def test_one_checksum_of_a_list_is_enough() -> None:
    assert holds(f"{sri('sha256')} {sri('sha512', b'other')}")
    assert holds(f" {sri('sha256', b'other')}\n{sri('sha256')}\t")
    assert not holds(f"{sri('sha256', b'1')} {sri('sha384', b'2')}")


def test_options_after_a_question_mark_mean_nothing() -> None:
    assert holds(f"{sri('sha256')}?ct=text/plain")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "sha256",
        "sha256-",
        "sha256-!!!!",
        "sha256-AAAA",
        sri("sha256")[:-1],
        sri("sha256") + "=",
        sri("sha256").replace("-", ":"),
        sri("sha256").upper(),
        "md5-1B2M2Y8AsgTpgAmY7PhCfg==",
        "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
        f"{sri('sha256')} md5-1B2M2Y8AsgTpgAmY7PhCfg==",
        " ".join([sri("sha256")] * 1000),
        "sha256-\xe4\xf6" + "A" * 42,
    ],
)
def test_what_is_no_list_of_good_checksums_is_refused(text: str) -> None:
    with pytest.raises(Error) as caught:
        parse(text)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert len(caught.value.message) < 300


@given(st.text(max_size=200) | st.from_regex(r"(sha256|sha512)-[A-Za-z0-9+/]{0,90}=?=?( .*)?", fullmatch=True))
def test_any_text_is_a_list_of_checksums_or_an_error(text: str) -> None:
    with suppress(Error):
        assert parse(text)
