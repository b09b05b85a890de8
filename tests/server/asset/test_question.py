"""URIs and qualifiers: what is meant by them, and what is refused before anything is looked up."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nlserver.asset.question import question, unsupported, without_query
from nlserver.asset.records import Kind, key_of
from nlserver.errors import Code, Error
from nlserver.reapi.digest import Function
from nlserver.reapi.status import status_of

URL = "https://example.org/a.tar.gz"
SRI = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


@dataclass
class Qualifier:
    name: str
    value: str


def ask(*uris: str, **qualifiers: str):
    return asks(uris or (URL,), [Qualifier(*pair) for pair in qualifiers.items()])


def asks(uris, qualifiers, function=Function.SHA256):
    return question(uris, qualifiers, function)


def refused(uris, qualifiers=()):
    with pytest.raises(Error) as caught:
        asks(uris, qualifiers)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert len(caught.value.message) < 400
    return caught.value.message


@pytest.mark.parametrize(
    "uris",
    [
        [],
        [URL] * 10_000,
        ["https://example.org/" + "x" * (1 << 20)],
        ["not a url"],
        ["/etc/passwd"],
        [""],
        ["https://"],
        ["https:///path"],
        ["https://example.org:0/"],
        ["https://example.org:99999/"],
        ["https://example.org:port/"],
        ["https://[::1/"],
        ["https://example.org/a b"],
        ["https://example.org/\r\nHost: evil"],
        ["https://example.org/\0"],
        ["https://example.org/\x7f\x85"],
        ["https://good.org\\@evil.org/"],
        ["https://user:secret@example.org/"],
        ["git://host/x --upload-pack=touch /tmp/x"],
        [URL, "nonsense"],
    ],
)
def test_what_is_no_uri_is_refused_without_repeating_it_at_length(uris: list[str]) -> None:
    assert "secret" not in refused(uris)


@pytest.mark.parametrize("uri", ["urn:fdc:buildstream.build:2020:artifact:a/b/c", "file:///etc/passwd", "ext::sh"])
def test_any_scheme_is_a_name(uri: str) -> None:
    assert ask(uri).uris == (uri,)


def test_the_order_of_qualifiers_means_nothing() -> None:
    one = asks([URL], [Qualifier("a", "1"), Qualifier("b", "2")])
    two = asks([URL], [Qualifier("b", "2"), Qualifier("a", "1")])
    assert key_of(Kind.BLOB, one, URL) == key_of(Kind.BLOB, two, URL)


def test_everything_else_tells_assets_apart() -> None:
    plain = ask(URL, a="1")
    others = [
        key_of(Kind.DIRECTORY, plain, URL),
        key_of(Kind.BLOB, plain, URL + "?"),
        key_of(Kind.BLOB, asks([URL], [Qualifier("a", "1")], Function.BLAKE3), URL),
        key_of(Kind.BLOB, ask(URL), URL),
        key_of(Kind.BLOB, ask(URL, a="2"), URL),
        key_of(Kind.BLOB, ask(URL, a1=""), URL),
        key_of(Kind.BLOB, ask(URL, a="1", b=""), URL),
        key_of(Kind.BLOB, asks([URL], [Qualifier("bazel.canonical_id", "1")]), URL),
    ]
    assert len({key_of(Kind.BLOB, plain, URL), *others}) == len(others) + 1


def test_headers_tell_assets_apart_only_where_no_checksum_does() -> None:
    token, other = Qualifier("http_header:Authorization", "x"), Qualifier("http_header:Authorization", "y")
    checksum = Qualifier("checksum.sri", SRI)

    def key(*qualifiers: Qualifier) -> str:
        return key_of(Kind.BLOB, asks([URL], qualifiers), URL)

    assert key(token, checksum) == key(other, checksum) == key(checksum)
    assert len({key(token), key(other), key()}) == 3


def test_headers_go_to_the_uris_that_they_are_meant_for() -> None:
    found = asks(
        ["https://a/x", "https://b/x"],
        [
            Qualifier("http_header:Accept", "text/plain"),
            Qualifier("http_header_url:1:Authorization", "Bearer t"),
            Qualifier("http_header_url:1:accept", "*/*"),
            Qualifier("http_header:Accept-Encoding", "gzip"),
            Qualifier(
                "bazel.auth_headers", json.dumps({"https://a/x": {"X-Token": "1"}, "https://c": {"X-Token": "2"}})
            ),
        ],
    )
    assert [dict(each) for each in found.headers] == [
        {"accept": "text/plain", "x-token": "1"},
        {"accept": "*/*", "authorization": "Bearer t"},
    ]
    assert found.unsupported == ()


def test_the_same_header_may_stand_twice_and_nothing_else_may() -> None:
    twice = [Qualifier("http_header:Accept", "a"), Qualifier("http_header:Accept", "b")]
    assert dict(asks([URL], twice).headers[0]) == {"accept": "b"}
    assert "twice" in refused([URL], [Qualifier("vcs.branch", "a"), Qualifier("vcs.branch", "a")])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "x"),
        ("a\nb", "x"),
        ("x" * 2000, ""),
        ("x", "y" * 100_000),
        ("checksum.sri", "md5-1B2M2Y8AsgTpgAmY7PhCfg=="),
        ("http_header:", "x"),
        ("http_header:Bad Name", "x"),
        ("http_header:X", "a\r\nHost: evil"),
        ("http_header:X", "\0"),
        ("http_header:X", "\u20ac"),
        ("http_header:Host", "evil"),
        ("http_header:content-length", "0"),
        ("http_header:Transfer-Encoding", "chunked"),
        ("http_header:Connection", "close"),
        ("http_header:Range", "bytes=0-1"),
        ("http_header_url:1:X", "out of range"),
        ("http_header_url:-1:X", ""),
        ("http_header_url::X", ""),
        ("http_header_url:\u0661:X", ""),
        ("http_header_url:9999999999999:X", ""),
        ("http_header_url:0", ""),
        ("bazel.auth_headers", "nonsense"),
        ("bazel.auth_headers", "[]"),
        ("bazel.auth_headers", '{"a": 1}'),
        ("bazel.auth_headers", '{"a": {"b": 1}}'),
        ("bazel.auth_headers", '{"https://example.org/a.tar.gz": {"Host": "evil"}}'),
        ("bazel.auth_headers", "[" * 60_000),
    ],
)
def test_qualifiers_that_mean_nothing_or_harm_are_refused(name: str, value: str) -> None:
    refused([URL], [Qualifier(name, value)])


def test_too_many_qualifiers_are_refused() -> None:
    refused([URL], [Qualifier(f"q{number}", "") for number in range(5000)])


def test_what_may_be_a_secret_is_not_written_down() -> None:
    found = asks([URL], [Qualifier("http_header:Authorization", "Bearer t"), Qualifier("vcs.commit", "c")])
    assert found.shown == (("http_header:Authorization", ""), ("vcs.commit", "c"))
    assert without_query("https://h/p?X-Amz-Signature=s#f") == "https://h/p"


def test_a_refusal_names_each_qualifier_in_a_detail() -> None:
    found = ask(URL, foo="1", bar="2", **{"checksum.sri": SRI})
    assert found.unsupported == ("bar", "foo")
    (detail,) = status_of(unsupported(found.unsupported)).details
    assert detail.type_url.endswith("google.rpc.BadRequest")
    assert b'"foo" not supported' in detail.value


@given(
    st.lists(st.text(max_size=40) | st.from_regex(r"https?://[^/]{0,20}(/.*)?", fullmatch=True), max_size=3),
    st.lists(
        st.tuples(
            st.sampled_from(["http_header:", "http_header_url:", "bazel.auth_headers", ""]),
            st.text(max_size=20),
            st.text(max_size=20),
        ),
        max_size=3,
    ),
)
def test_any_texts_are_a_question_or_an_error(uris, parts) -> None:
    with suppress(Error):
        assert asks(uris, [Qualifier(prefix + name, value) for prefix, name, value in parts])
