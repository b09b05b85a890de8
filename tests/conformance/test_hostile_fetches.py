"""HF: hostile fetches and pushes."""

from __future__ import annotations

import gzip
import io
import os
import socket
import tarfile
import threading
import uuid
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tests.conformance.assets import checksum, fetch, fetch_directory, moment, outcome, push
from tests.conformance.catalogue import rule
from tests.conformance.origin import Origin
from tests.conformance.own import Own
from tests.conformance.target import Code, Target, digest, fresh, refused, rx

NOWHERE = "http://127.0.0.1:1/x"
UNDELIVERED = {Code.PERMISSION_DENIED, Code.NOT_FOUND, Code.INVALID_ARGUMENT, Code.ABORTED, Code.UNAVAILABLE}


def urn() -> str:
    return f"urn:hostile:{uuid.uuid4()}"


@rule("HF-01")
@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["http://127.0.0.1:1/"] * 10_000,
        ["http://127.0.0.1:1/" + "x" * (1 << 20)],
        ["not a uri"],
        [""],
        ["http://a/\r\nX: y"],
        ["http://a/\0"],
        ["http://a/\x1b[2J"],
        ["http:///x"],
        ["http://a:99999/"],
        ["http://[::1"],
        ["http://a\\@b/"],
    ],
    ids=lambda uris: f"{len(uris)}-{uris[0][:20]!r}" if uris else "none",
)
def test_impossible_uris_are_refused(target: Target, uris: list[str]) -> None:
    with refused(Code.INVALID_ARGUMENT):
        fetch(target, *uris)


@rule("HF-02")
@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "ftp://127.0.0.1/",
        "data:text/plain,x",
        "unix:/run/x.sock",
        "jar:file:x",
    ],
)
def test_schemes_that_read_the_servers_own_files_bring_nothing(target: Target, uri: str) -> None:
    code, _ = outcome(lambda: fetch(target, uri))
    assert code in (Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED, Code.NOT_FOUND)


@rule("HF-03")
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "localhost",
        "LOCALHOST.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0",
        "0.0.0.0",
        "2130706433",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "[::]",
        "[64:ff9b::7f00:1]",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00::1]",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_addresses_inside_of_the_servers_network_are_refused(target: Target, own: Own, host: str) -> None:
    data = fresh(10)
    origin = Origin()
    try:
        origin.has("/inner", data)
        code, _ = outcome(
            lambda: fetch(
                target,
                origin.url("/inner", host),
                qualifiers=[checksum(data)],
                instance_name=target.other_instance,
                timeout=Duration(seconds=5),
            )
        )
        assert code in (Code.PERMISSION_DENIED, Code.INVALID_ARGUMENT, Code.NOT_FOUND), host
        assert origin.asked == []
    finally:
        origin.close()


@rule("HF-03")
@pytest.mark.parametrize("to", ["http://10.0.0.1/", "http://[::1]/", "file:///etc/passwd", "gopher://127.0.0.1/"])
def test_a_redirect_does_not_lead_inside(target: Target, origin: Origin, to: str) -> None:
    code, _ = outcome(lambda: fetch(target, origin.leads("/away", to), timeout=Duration(seconds=5)))
    assert code in UNDELIVERED


@rule("HF-03")
def test_redirects_without_end_end(target: Target, origin: Origin) -> None:
    code, _ = outcome(lambda: fetch(target, origin.leads("/round", origin.url("/round"))))
    assert code is not Code.OK
    assert origin.count("/round") <= 21


@rule("HF-04")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_header_url:99:X", "v"),
        ("http_header_url:-1:X", "v"),
        ("http_header_url:x:X", "v"),
        ("http_header_url:0", "v"),
        ("http_header:X", "a\r\nY: b"),
        ("http_header:X\r\nY", "a"),
        ("http_header:", "a"),
        ("http_header:Host", "elsewhere"),
        ("http_header:Content-Length", "10"),
        ("http_header:Transfer-Encoding", "chunked"),
        ("http_header:Connection", "upgrade"),
        ("http_header:X", "\0"),
    ],
)
def test_headers_that_smuggle_are_refused(target: Target, name: str, value: str) -> None:
    with refused(Code.INVALID_ARGUMENT):
        fetch(target, NOWHERE, qualifiers=[(name, value)])


@rule("HF-04")
def test_credentials_in_a_uri_are_refused(target: Target) -> None:
    with refused(Code.INVALID_ARGUMENT):
        fetch(target, "http://user:password@127.0.0.1:1/x")


@rule("HF-04")
def test_headers_of_the_client_do_not_follow_a_redirect_to_another_origin(target: Target, origin: Origin) -> None:
    elsewhere = Origin()
    try:
        url = origin.leads("/login", elsewhere.has("/data", b"data"))
        secret = [("http_header:Authorization", "Bearer secret"), ("http_header:X-Token", "secret")]
        assert fetch(target, url, qualifiers=secret).status.code == 0
        assert origin.asked[-1].headers["authorization"] == "Bearer secret"
        assert "secret" not in str(elsewhere.asked[-1].headers)
    finally:
        elsewhere.close()


@rule("HF-05")
def test_an_endless_body_is_resource_exhausted(target: Target, origin: Origin, own: Own) -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while True:
            connection.sendall(bytes(1 << 20))

    with own.server.grows_by_at_most(100 << 20):
        code, _ = outcome(lambda: fetch(target, origin.speaks("/endless", endless)))
    assert code is Code.RESOURCE_EXHAUSTED


@rule("HF-05")
def test_a_slow_body_ends_with_the_timeout(target: Target, origin: Origin) -> None:
    ended = threading.Event()

    def slow(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n")
        while not ended.wait(0.05):
            connection.sendall(b"x")

    code, _ = outcome(lambda: fetch(target, origin.speaks("/slow", slow), timeout=Duration(seconds=1)))
    ended.set()
    assert code is Code.DEADLINE_EXCEEDED


@rule("HF-05")
@pytest.mark.parametrize(
    "headers", [{"content_length": "200"}, {"transfer_encoding": "chunked"}, {"content_length": "x"}], ids=str
)
def test_a_body_that_is_not_as_announced_is_not_kept(target: Target, origin: Origin, headers: dict[str, str]) -> None:
    data = fresh(100)
    code, _ = outcome(lambda: fetch(target, origin.says("/odd", 200, data, **headers)))
    assert code is not Code.OK
    assert not target.is_present(digest(data))


@rule("HF-05")
def test_a_compressed_body_is_no_bomb(target: Target, origin: Origin, own: Own) -> None:
    bomb = gzip.compress(bytes(100 << 20), 1)
    url = origin.says("/bomb", 200, bomb, content_encoding="gzip", content_length=str(len(bomb)))
    with own.server.grows_by_at_most(50 << 20):
        code, _ = outcome(lambda: fetch(target, url))
    # Kept as it came, if it is kept at all.
    assert target.is_present(digest(bomb)) == (code is Code.OK)


@rule("HF-05")
def test_garbage_instead_of_http_is_no_fault_of_the_server(target: Target, origin: Origin) -> None:
    for number, garbage in enumerate((b"\0\xff" * 100, b"HTTP/1.1 999999\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n" * 9000)):
        url = origin.speaks(f"/garbage-{number}", lambda connection, said=garbage: connection.sendall(said))
        code, _ = outcome(lambda url=url: fetch(target, url))
        assert code is not Code.OK


@rule("HF-06")
@pytest.mark.parametrize(
    "names",
    [("a", "a"), ("vcs.commit", "vcs.commit"), ("",), ("checksum.sri", "checksum.sri"), ("\n",), ("x" * 100_000,)],
)
def test_doubled_and_empty_qualifiers_are_refused(target: Target, names: tuple[str, ...]) -> None:
    with refused(Code.INVALID_ARGUMENT):
        fetch(target, NOWHERE, qualifiers=[(name, "v") for name in names])


@rule("HF-06")
def test_ten_thousand_qualifiers_are_refused(target: Target) -> None:
    with refused(Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED):
        fetch(target, NOWHERE, qualifiers=[(f"q{number}", "v") for number in range(10_000)])


@rule("HF-07")
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "sha256-",
        "sha256",
        "-",
        "sha256-" + "A" * 100_000,
        "md5-1B2M2Y8AsgTpgAmY7PhCfg==",
        "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
        " ".join(["sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="] * 1000),
        "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF\n",
        "sha256-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_malformed_checksums_are_refused(target: Target, text: str) -> None:
    with refused(Code.INVALID_ARGUMENT):
        fetch(target, NOWHERE, qualifiers=[("checksum.sri", text)])


@rule("HF-08")
def test_a_checksum_brings_only_what_has_it(target: Target, origin: Origin) -> None:
    data = fresh(100)
    url = origin.has("/guarded", data)
    owner = [("http_header:Authorization", "Bearer owner"), checksum(data)]
    assert fetch(target, url, qualifiers=owner).blob_digest == digest(data)
    # Whoever names the checksum may have the blob, as from the CAS; whoever does not has to ask the origin.
    origin.says("/guarded", 403)
    assert outcome(lambda: fetch(target, url, qualifiers=[checksum(data)]))[0] in (Code.OK, Code.PERMISSION_DENIED)
    other = [("http_header:Authorization", "Bearer other")]
    assert outcome(lambda: fetch(target, url, qualifiers=other))[0] is Code.PERMISSION_DENIED


def made(folder: Path, name: str) -> bool:
    """Whether a file of this name is anywhere below, while a server makes and removes others there."""
    return any(name in files or name in folders for _, folders, files in os.walk(folder))


@rule("HF-09")
@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "a/../../escaped"])
def test_an_archive_that_climbs_out_brings_no_directory(target: Target, origin: Origin, own: Own, name: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"abc"))
    url = origin.has("/a.tar", packed.getvalue())
    assert outcome(lambda: fetch_directory(target, url, qualifiers=[checksum(packed.getvalue())]))[0] is not Code.OK
    assert not made(own.server.home.parent, "escaped")


@rule("HF-10")
@pytest.mark.parametrize(
    "uri",
    [
        "ext::sh -c 'touch pwned'",
        "ext::touch%20pwned",
        "git://127.0.0.1:1/--upload-pack=touch",
        "ssh://-oProxyCommand=touch%20pwned/x",
        "git+ssh://127.0.0.1/x",
        "http://127.0.0.1:1/x.git",
    ],
)
def test_git_urls_run_nothing(target: Target, own: Own, uri: str) -> None:
    qualifiers = [("resource_type", "application/x-git"), ("vcs.commit", "--upload-pack=touch pwned")]
    for ask in (fetch, fetch_directory):
        code, _ = outcome(lambda ask=ask: ask(target, uri, qualifiers=qualifiers))
        assert code in UNDELIVERED
    assert not made(own.server.home, "pwned")


@rule("HF-11")
@pytest.mark.parametrize(
    "timeout",
    [Duration(seconds=-1), Duration(nanos=-1), Duration(seconds=10**18), Duration(seconds=1, nanos=2 * 10**9)],
    ids=str,
)
def test_impossible_timeouts_are_refused_or_bounded(target: Target, origin: Origin, timeout: Duration) -> None:
    code, _ = outcome(lambda: fetch(target, origin.has("/quick", b"quick"), timeout=timeout))
    assert code in (Code.OK, Code.INVALID_ARGUMENT, Code.DEADLINE_EXCEEDED)


@rule("HF-11")
@pytest.mark.parametrize("seconds", [-(10**18), 253402300800, 2**62])
def test_impossible_times_are_refused_or_heeded(target: Target, origin: Origin, seconds: int) -> None:
    oldest = Timestamp(seconds=seconds)
    code, _ = outcome(lambda: fetch(target, origin.has("/old", b"old"), oldest_content_accepted=oldest))
    assert code in (Code.OK, Code.INVALID_ARGUMENT)


@rule("HF-12")
def test_pushing_expired_and_incomplete_assets_deceives_nobody(target: Target) -> None:
    blob, uri = target.put(fresh(10)), urn()
    push(target, blob, uri, expire_at=moment(-1000))
    assert outcome(lambda: fetch(target, uri))[0] is Code.NOT_FOUND
    incomplete = urn()
    code, _ = outcome(lambda: push(target, blob, incomplete, references_blobs=[digest(fresh(20))]))
    assert code in (Code.OK, Code.FAILED_PRECONDITION)
    assert outcome(lambda: fetch(target, incomplete))[0] is Code.NOT_FOUND
    with refused(Code.INVALID_ARGUMENT):
        push(target, rx.Digest(hash="x", size_bytes=1), urn())


@rule("HF-12")
def test_pushed_content_without_the_stated_checksum_deceives_nobody(target: Target) -> None:
    blob, uri, other = target.put(fresh(10)), urn(), fresh(10)
    code, _ = outcome(lambda: push(target, blob, uri, qualifiers=[checksum(other)]))
    assert code in (Code.OK, Code.INVALID_ARGUMENT)
    assert outcome(lambda: fetch(target, uri, qualifiers=[checksum(other)]))[0] is not Code.OK


@rule("HF-13")
@pytest.mark.parametrize("count", [100_000, 1_000_000])
def test_a_push_with_a_million_references_is_refused(target: Target, count: int) -> None:
    blob, absent = target.put(fresh(10)), digest(b"x")
    with refused(Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED):
        push(target, blob, urn(), references_blobs=[absent] * count)
