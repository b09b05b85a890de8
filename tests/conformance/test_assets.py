"""AST: Fetch and Push of the Remote Asset API."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from nlserver.proto import remote_asset_pb2 as ra

from tests.conformance.assets import (
    checksum,
    fetch,
    fetch_directory,
    moment,
    outcome,
    push,
    push_directory,
    sri,
)
from tests.conformance.catalogue import departure, rule
from tests.conformance.origin import Origin
from tests.conformance.own import CLOSED_INSTANCE, Own
from tests.conformance.target import (
    ASSET,
    Code,
    Target,
    digest,
    fresh,
    function_number,
    not_applicable,
    raised,
    refused,
    rx,
)


def urn() -> str:
    return f"urn:fdc:buildstream.build:2020:artifact:{uuid.uuid4()}"


def code(ask: Callable[[], object]) -> grpc.StatusCode:
    return outcome(ask)[0]


def inside(ask: Callable[[], object]) -> grpc.StatusCode:
    """The code inside of the response to a call that itself is OK."""
    found, is_inside = outcome(ask)
    assert is_inside, found
    return found


@rule("AST-01")
@pytest.mark.parametrize(
    ("method", "request_type"),
    [
        ("Fetch/FetchBlob", ra.FetchBlobRequest),
        ("Fetch/FetchDirectory", ra.FetchDirectoryRequest),
        ("Push/PushBlob", ra.PushBlobRequest),
        ("Push/PushDirectory", ra.PushDirectoryRequest),
    ],
)
def test_no_uri_is_refused_as_the_probe_of_buildstream_expects(target: Target, method: str, request_type: type) -> None:
    if not target.serves(f"/{ASSET}.{method}"):
        not_applicable(f"{method} is not implemented")
    with refused(Code.INVALID_ARGUMENT):
        target.raw(f"/{ASSET}.{method}", request_type(instance_name=target.instance).SerializeToString())


@rule("AST-02")
def test_uris_are_alternatives_and_the_one_used_is_named(target: Target, origin: Origin) -> None:
    data = fresh(100)
    answer = fetch(target, origin.url("/gone"), origin.has("/there", data), qualifiers=[checksum(data)])
    assert answer.status.code == 0, answer.status
    assert answer.uri == origin.url("/there")
    assert answer.blob_digest == digest(data)


WRONGS = {
    "/gone": (404, Code.NOT_FOUND),
    "/secret": (403, Code.PERMISSION_DENIED),
    "/broken": (500, None),
}


@rule("AST-03")
def test_what_the_origin_did_wrong_stands_in_the_response(target: Target, origin: Origin) -> None:
    for path, (status, expected) in WRONGS.items():
        url = origin.says(path, status, content_length="0")
        found = inside(lambda url=url: fetch(target, url, qualifiers=[checksum(b"x")]))
        assert found is expected or (expected is None and found is not Code.OK)
    assert inside(lambda: fetch(target, "http://127.0.0.1:1/refuses", qualifiers=[checksum(b"x")])) is not Code.OK


@rule("AST-03", refused=True)
def test_without_a_checksum_too_it_stands_in_the_response(target: Target, origin: Origin) -> None:
    assert inside(lambda: fetch(target, origin.url("/gone"))) is Code.NOT_FOUND


@departure("AST-03")
def test_without_a_checksum_the_call_itself_fails(target: Target, origin: Origin) -> None:
    for path, (status, expected) in WRONGS.items():
        url = origin.says(path, status, content_length="0")
        found, is_inside = outcome(lambda url=url: fetch(target, url))
        assert not is_inside
        assert found is expected or (expected is None and found is not Code.OK)


@rule("AST-03")
def test_what_the_client_did_wrong_is_the_status_of_the_call(target: Target, origin: Origin) -> None:
    with refused(Code.INVALID_ARGUMENT):
        fetch(target, "not a uri")
    with refused(Code.INVALID_ARGUMENT):
        fetch(target, origin.has("/x", b"x"), digest_function=999)


@rule("AST-04")
def test_a_qualifier_comes_once_but_headers_repeat(target: Target, origin: Origin) -> None:
    data = fresh(100)
    url = origin.has("/q", data)
    with refused(Code.INVALID_ARGUMENT):
        fetch(target, url, qualifiers=[("vcs.branch", "a"), ("vcs.branch", "b")])
    repeated = [
        ("http_header:X-One", "a"),
        ("http_header:X-One", "b"),
        ("http_header_url:0:X-Two", "c"),
        checksum(data),
    ]
    assert code(lambda: fetch(target, url, qualifiers=repeated)) is Code.OK
    assert origin.asked[-1].headers["x-two"] == "c"


@rule("AST-05")
def test_an_unknown_qualifier_is_refused_or_matches_only_what_was_pushed_with_it(target: Target) -> None:
    url = "http://127.0.0.1:1/x"
    demanded = checksum(data := fresh(20))
    refusal = raised(lambda: fetch(target, url, qualifiers=[("foo", "bar"), demanded]))
    if refusal is not None:
        assert refusal.code() is Code.INVALID_ARGUMENT
        details = dict(refusal.trailing_metadata() or ())["grpc-status-details-bin"]
        bad = error_details_pb2.BadRequest()
        assert status_pb2.Status.FromString(details).details[0].Unpack(bad)
        assert [one.field for one in bad.field_violations] == ["qualifiers.name"]
        return
    assert target.serves(f"/{ASSET}.Push/PushBlob")
    assert code(lambda: fetch(target, url, qualifiers=[("foo", "bar"), demanded])) is Code.NOT_FOUND
    blob = target.put(data)
    push(target, blob, url, qualifiers=[("foo", "bar")])
    assert fetch(target, url, qualifiers=[("foo", "bar")]).blob_digest == blob
    assert code(lambda: fetch(target, url, qualifiers=[("foo", "other")])) is Code.NOT_FOUND


@rule("AST-06")
def test_the_order_of_qualifiers_does_not_matter(target: Target) -> None:
    uri, blob = urn(), target.put(fresh(20))
    one, two = ("vcs.branch", "main"), ("vcs.commit", "abc")
    push(target, blob, uri, qualifiers=[one, two])
    assert fetch(target, uri, qualifiers=[two, one]).blob_digest == blob
    assert code(lambda: fetch(target, uri, qualifiers=[one])) is Code.NOT_FOUND


@rule("AST-07")
def test_content_older_than_accepted_is_fetched_anew_also_when_that_is_in_the_future(
    target: Target, origin: Origin
) -> None:
    first, second = fresh(100), fresh(100)
    url = origin.has("/changes", first)
    assert fetch(target, url).blob_digest == digest(first)
    origin.has("/changes", second)
    answer = fetch(target, url, oldest_content_accepted=moment(3600))
    assert (answer.status.code, answer.blob_digest) == (0, digest(second))
    assert fetch(target, url, oldest_content_accepted=moment(-3600)).status.code == 0


@rule("AST-08")
def test_the_timeout_bounds_a_fetch(target: Target, origin: Origin) -> None:
    ended = threading.Event()
    url = origin.speaks("/slow", lambda _: ended.wait(20))
    answered = code(lambda: fetch(target, url, timeout=Duration(seconds=1)))
    ended.set()
    assert answered is Code.DEADLINE_EXCEEDED


@rule("AST-09")
def test_the_digest_function_is_used_and_echoed(target: Target, origin: Origin) -> None:
    for function in target.functions:
        data, number = fresh(100), function_number(function)
        answer = fetch(target, origin.has(f"/{function}", data), digest_function=number)
        assert (answer.status.code, answer.digest_function) == (0, number)
        assert answer.blob_digest == digest(data, function)
        assert target.is_present(answer.blob_digest, digest_function=number)
    answer = fetch(target, origin.has("/none", b"none"))
    assert answer.digest_function in (0, function_number("SHA256"))


@rule("AST-10")
def test_another_content_than_the_checksum_demands_is_aborted_and_recorded_nowhere(
    target: Target, origin: Origin
) -> None:
    data, other = fresh(100), fresh(100)
    url = origin.has("/wrong", data)
    assert inside(lambda: fetch(target, url, qualifiers=[checksum(other)])) is Code.ABORTED
    assert not target.is_present(digest(data))
    both = [("checksum.sri", f"{sri(data)} {sri(other, 'sha512')}")]
    assert inside(lambda: fetch(target, url, qualifiers=both)) is Code.OK
    for algorithm in ("sha256", "sha384", "sha512"):
        assert inside(lambda a=algorithm: fetch(target, url, qualifiers=[("checksum.sri", sri(data, a))])) is Code.OK


@rule("AST-10")
@pytest.mark.parametrize(
    "text", ["nonsense", "sha256-***", "sha256-YWJj", "", "sha256", "md5-kAFQmDzST7DWlj99KOF/cg=="]
)
def test_an_undecodable_checksum_is_refused(target: Target, text: str) -> None:
    with refused(Code.INVALID_ARGUMENT):
        fetch(target, "http://127.0.0.1:1/x", qualifiers=[("checksum.sri", text)])


@rule("AST-11")
def test_a_fetched_blob_is_in_the_cas_and_fetched_again_when_it_is_gone(
    target: Target, origin: Origin, own: Own
) -> None:
    data = fresh(100)
    url = origin.has("/kept", data)
    blob = fetch(target, url).blob_digest
    assert target.is_present(blob)
    assert fetch(target, url).blob_digest == blob
    assert origin.count("/kept") == 1
    own.file_of(blob).unlink()
    assert fetch(target, url).blob_digest == blob
    assert origin.count("/kept") == 2
    assert target.is_present(blob)


@rule("AST-11")
def test_a_pushed_asset_whose_blob_is_gone_is_no_hit(target: Target, own: Own) -> None:
    uri, blob = urn(), target.put(fresh(100))
    push(target, blob, uri)
    assert fetch(target, uri).blob_digest == blob
    own.file_of(blob).unlink()
    assert code(lambda: fetch(target, uri)) is Code.NOT_FOUND


@rule("AST-12")
def test_a_canonical_id_tells_entries_apart(target: Target, origin: Origin) -> None:
    url = origin.has("/same", fresh(100))
    for canonical_id in ("one", "two", "one"):
        assert fetch(target, url, qualifiers=[("bazel.canonical_id", canonical_id)]).status.code == 0
    assert origin.count("/same") == 2


@rule("AST-12")
@pytest.mark.parametrize("name", ["resource_type", "directory", "vcs.branch", "vcs.commit"])
def test_the_names_of_the_lexicon_can_be_pushed_with(target: Target, name: str) -> None:
    uri, blob = urn(), target.put(fresh(20))
    push(target, blob, uri, qualifiers=[(name, "x")])
    assert fetch(target, uri, qualifiers=[(name, "x")]).blob_digest == blob


@rule("AST-13")
def test_fetching_a_directory_is_served_or_unimplemented(target: Target) -> None:
    answered = code(lambda: fetch_directory(target, urn()))
    assert answered in (Code.UNIMPLEMENTED, Code.NOT_FOUND)
    if answered is Code.UNIMPLEMENTED:
        return
    leaf = rx.Directory(files=[{"name": "f", "digest": target.put(fresh(20))}])
    root = rx.Directory(directories=[{"name": "d", "digest": target.put(leaf)}])
    uri, gone = urn(), urn()
    push_directory(target, target.put(root), uri)
    assert fetch_directory(target, uri).root_directory_digest == digest(root)
    lacking = rx.Directory(directories=[{"name": "d", "digest": digest(fresh(30))}])
    refusal = code(lambda: push_directory(target, target.put(lacking), gone))
    assert refusal in (Code.OK, Code.FAILED_PRECONDITION)
    assert code(lambda: fetch_directory(target, gone)) is Code.NOT_FOUND


@rule("AST-14")
def test_pushing_may_be_refused(target: Target, own: Own) -> None:
    with refused(Code.PERMISSION_DENIED):
        push(target, target.put(fresh(10)), urn(), instance_name=CLOSED_INSTANCE)


@rule("AST-14")
def test_pushed_assets_expire_and_keep_what_they_refer_to(target: Target) -> None:
    blob, expired, lasting = target.put(fresh(10)), urn(), urn()
    push(target, blob, expired, expire_at=moment(-10))
    assert code(lambda: fetch(target, expired)) is Code.NOT_FOUND
    push(target, blob, lasting, expire_at=moment(3600), references_blobs=[target.put(fresh(11))])
    assert fetch(target, lasting).blob_digest == blob


@rule("AST-14")
def test_an_asset_without_its_blobs_is_refused_or_hidden(target: Target) -> None:
    absent = digest(fresh(30))
    for facts in ({}, {"references_blobs": [absent]}, {"references_directories": [absent]}):
        uri = urn()
        blob = target.put(fresh(10)) if facts else absent
        assert code(lambda b=blob, u=uri, f=facts: push(target, b, u, **f)) in (Code.OK, Code.FAILED_PRECONDITION)
        assert code(lambda u=uri: fetch(target, u)) is Code.NOT_FOUND


@rule("AST-15")
def test_other_uris_are_opaque_names_of_what_was_pushed(target: Target) -> None:
    assert code(lambda: fetch(target, urn())) is Code.NOT_FOUND
    for function in target.functions:
        uri, blob = urn(), target.put(fresh(20), function)
        push(target, blob, uri, digest_function=function_number(function))
        answer = fetch(target, uri, digest_function=function_number(function))
        assert (answer.status.code, answer.blob_digest, answer.uri) == (0, blob, uri)


@rule("AST-16")
@pytest.mark.parametrize("uri", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"])
def test_other_schemes_are_not_fetched(target: Target, uri: str) -> None:
    assert code(lambda: fetch(target, uri)) in (Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED, Code.NOT_FOUND)


@rule("AST-16")
def test_private_addresses_are_refused_unless_they_are_allowed(target: Target, origin: Origin, own: Own) -> None:
    data = fresh(20)
    url = origin.has("/private", data)
    for uri in (url, url.replace("127.0.0.1", "localhost"), "http://169.254.169.254/latest/meta-data/"):
        asked = lambda uri=uri: fetch(  # noqa: E731
            target, uri, qualifiers=[checksum(data)], instance_name=target.other_instance
        )
        assert inside(asked) is Code.PERMISSION_DENIED, uri
    away = origin.leads("/away", "http://169.254.169.254/latest/meta-data/")
    assert inside(lambda: fetch(target, away, qualifiers=[checksum(data)])) is Code.PERMISSION_DENIED
    assert origin.count("/private") == 0


@rule("AST-17")
def test_equal_fetches_at_once_ask_the_origin_once(target: Target, origin: Origin) -> None:
    data = fresh(1000)
    release = threading.Event()

    def answer(connection: object) -> None:
        release.wait(20)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n" + data)  # type: ignore[attr-defined]

    url = origin.speaks("/popular", answer)
    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(fetch, target, url) for _ in range(20)]
        # Whoever comes late finds it kept, so no order of events makes a second request right.
        release.set()
        assert {one.result().blob_digest.hash for one in asked} == {digest(data).hash}
    assert origin.count("/popular") == 1


@rule("AST-07")
def test_a_time_after_the_year_9999_is_no_fault_of_the_server(target: Target, origin: Origin) -> None:
    url = origin.has("/late", b"late")
    late = Timestamp(seconds=253402300800)
    assert code(lambda: fetch(target, url, oldest_content_accepted=late)) in (Code.OK, Code.INVALID_ARGUMENT)
