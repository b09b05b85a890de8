"""Fetch from the wire: what the network has, what was registered, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import os
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from nlserver.errors import Code, Error
from nlserver.proto import asset_pb2, remote_asset_pb2_grpc
from nlserver.proto import remote_asset_pb2 as ra
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.services import fetch, push
from nlserver.services.fetch import DownloadSpec
from nlserver.spec import Site

from tests.server.asset import origin
from tests.server.asset.origin import Origin
from tests.server.services.conftest import Cache, Given, HandClock, Shelf

LOOPBACK = ("127.0.0.0/8",)
DATA = b"what the origin has\n" * 1000
Q = ra.Qualifier


def sri(data: bytes = DATA, algorithm: str = "sha256") -> str:
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def checksum(data: bytes = DATA, algorithm: str = "sha256") -> ra.Qualifier:
    return Q(name="checksum.sri", value=sri(data, algorithm))


@dataclass
class Shop:
    """Fetch and Push on one port."""

    blobs: Shelf
    records: Shelf
    clock: HandClock
    fetcher: remote_asset_pb2_grpc.FetchStub
    pusher: remote_asset_pb2_grpc.PushStub
    origin: Origin

    refuses = staticmethod(Cache.refuses)
    until = staticmethod(Cache.until)

    async def fetch(self, *uris: str, qualifiers: Any = (), **facts: Any) -> ra.FetchBlobResponse:
        request = ra.FetchBlobRequest(uris=uris, qualifiers=qualifiers, **facts)
        return await self.fetcher.FetchBlob(request, timeout=20)

    async def fetched(self, *uris: str, data: bytes = DATA, function: Function = Function.SHA256, **facts: Any) -> str:
        """Fetch, which must work, and give the URI that was used."""
        response = await self.fetch(*uris, **facts)
        assert response.status.code == 0, response.status.message
        assert digest(response, function) == of(data, function)
        assert data == b"" or self.blobs.blobs[digest(response, function)] == data
        return response.uri

    async def refused(self, code: Code, *uris: str, words: str = "", **facts: Any) -> str:
        """Fetch, which must fail, inside the response unless a URL comes without a checksum; give the message."""
        loud = any(uri.startswith("http") for uri in uris) and checksum().name not in str(facts)
        found, message = await self.outcome(*uris, **facts)
        assert found is code, message
        assert message.startswith("call: ") is loud
        assert words in message
        for trace in ("Traceback", "Error(", "httpx", "nlserver", "Exception", "ssl.c"):
            assert trace not in message
        return message

    async def outcome(self, *uris: str, **facts: Any) -> tuple[Code, str]:
        """The code and the message of a failed fetch, which begins with `call: ` where the whole call failed."""
        try:
            response = await self.fetch(*uris, **facts)
        except grpc.aio.AioRpcError as error:
            return Code[error.code().name], f"call: {error.details()}"
        assert not response.HasField("blob_digest")
        return Code(response.status.code), response.status.message

    def record(self, uri: str) -> asset_pb2.Record:
        """The record of this URI."""
        records = [
            asset_pb2.Record.FromString(data) for key, data in self.records.blobs.items() if isinstance(key, str)
        ]
        (found,) = [record for record in records if record.uri == uri]
        return found


def digest(response: ra.FetchBlobResponse, function: Function = Function.SHA256) -> Digest:
    assert response.digest_function == function
    return Digest(response.blob_digest.hash, response.blob_digest.size_bytes, function)


Open = Callable[..., Awaitable[Shop]]


@pytest.fixture
async def opened(clock: HandClock) -> AsyncIterator[Open]:
    """Opens a shop whose fetch service has this policy; loopback is allowed and checksums are wished for only."""
    async with origin.serving() as made, AsyncExitStack() as stack:

        async def open_shop(*, taught: bool = True, **policy: Any) -> Shop:
            blobs, records = Shelf(), Shelf()
            site = Site({"store": {"CAS": Given(blobs), "ASSETS": Given(records)}}, clock=clock)
            policy = {"allowed_networks": LOOPBACK, "require_checksum": False, **policy}
            spec = fetch.FetchSpec(fetch_store="ASSETS", cas_store="CAS", download=DownloadSpec(**policy))
            server = grpc.aio.server()
            for service in (
                fetch.build([spec], site, taught=["ASSETS"] if taught else []),
                push.build([push.PushSpec(push_store="ASSETS")], site, cas={"": blobs}),
            ):
                server.add_generic_rpc_handlers(service.handlers())
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            stack.push_async_callback(server.stop, 0)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            fetcher, pusher = remote_asset_pb2_grpc.FetchStub(channel), remote_asset_pb2_grpc.PushStub(channel)
            return Shop(blobs, records, clock, fetcher, pusher, made)

        yield open_shop


@pytest.fixture
async def shop(opened: Open) -> Shop:
    return await opened()


# What the network has


async def test_a_url_is_fetched_into_the_cas_and_known_afterwards(shop: Shop) -> None:
    url = shop.origin.url("/a")
    shop.origin.serve("/a", DATA)
    assert await shop.fetched(url, qualifiers=[checksum()]) == url
    assert await shop.fetched(url, qualifiers=[checksum()]) == url
    assert shop.origin.count("/a") == 1


async def test_what_is_fetched_is_written_down_with_where_it_came_from_and_without_secrets(shop: Shop) -> None:
    url = shop.origin.url("/a?token=1")
    shop.origin.redirect("/a?token=1", "/b?token=2")
    shop.origin.serve("/b?token=2", DATA, etag='"v1"', set_cookie="secret", content_type="text/plain")
    secret = Q(name="http_header:Authorization", value="Bearer secret")
    await shop.fetched(url, qualifiers=[secret, checksum(), Q(name="bazel.canonical_id", value="x")])
    record = shop.record(url)
    assert record.recorded.seconds == 1_700_000_100
    assert record.digest.hash == hashlib.sha256(DATA).hexdigest()
    assert list(record.download.hops) == [shop.origin.url("/a"), shop.origin.url("/b")]
    assert record.download.address == "127.0.0.1"
    assert {each.name: each.value for each in record.download.headers} == {"etag": '"v1"', "content-type": "text/plain"}
    assert {each.name for each in record.qualifiers} == {
        "bazel.canonical_id",
        "checksum.sri",
        "http_header:Authorization",
    }
    assert b"secret" not in record.SerializeToString()


async def test_the_next_mirror_is_tried_and_named(shop: Shop) -> None:
    shop.origin.serve("/good", DATA)
    good = shop.origin.url("/good")
    mirrors = ("ftp://127.0.0.1/x", shop.origin.url("/gone"), "file:///etc/passwd", good)
    assert await shop.fetched(*mirrors, qualifiers=[checksum()]) == good


async def test_a_mirror_with_other_content_is_passed_over(shop: Shop) -> None:
    shop.origin.serve("/bad", b"tampered with")
    shop.origin.serve("/good", DATA)
    uris = (shop.origin.url("/bad"), shop.origin.url("/good"))
    assert await shop.fetched(*uris, qualifiers=[checksum()]) == uris[1]
    assert len(shop.blobs.blobs) == len(shop.records.blobs) == 1


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("function", list(Function))
async def test_the_digest_is_of_the_function_asked_for_whatever_the_checksum(
    shop: Shop, algorithm: str, function: Function
) -> None:
    shop.origin.serve("/a", DATA)
    url = shop.origin.url("/a")
    await shop.fetched(url, function=function, qualifiers=[checksum(DATA, algorithm)], digest_function=function)


async def test_content_without_the_demanded_checksum_is_aborted_and_leaves_nothing(shop: Shop) -> None:
    shop.origin.serve("/a", DATA)
    url = shop.origin.url("/a")
    await shop.refused(Code.ABORTED, url, qualifiers=[checksum(b"other")], words="none of the demanded checksums")
    assert shop.blobs.blobs == shop.records.blobs == {}
    assert shop.blobs.written == 0


async def test_one_of_several_checksums_is_enough(shop: Shop) -> None:
    shop.origin.serve("/a", DATA)
    both = Q(name="checksum.sri", value=f"{sri()} {sri(b'other', 'sha512')}")
    await shop.fetched(shop.origin.url("/a"), qualifiers=[both])


async def test_an_empty_file_is_an_asset(shop: Shop) -> None:
    shop.origin.serve("/a", b"")
    response = await shop.fetch(shop.origin.url("/a"), qualifiers=[checksum(b"")])
    assert digest(response) == EMPTY[Function.SHA256]
    await shop.fetched(shop.origin.url("/a"), data=b"", qualifiers=[checksum(b"")])
    assert shop.origin.count("/a") == 1


async def test_a_body_of_unknown_length_is_taken_to_its_end(shop: Shop) -> None:
    async def chunked(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for part in (DATA[:5000], DATA[5000:]):
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
        writer.write(b"0\r\n\r\n")

    shop.origin.answers["/a"] = chunked
    await shop.fetched(shop.origin.url("/a"))


async def test_a_large_file_passes_through_in_pieces(shop: Shop) -> None:
    large = Cache.noise(5_000_001)
    shop.origin.serve("/a", large)
    await shop.fetched(shop.origin.url("/a"), data=large, qualifiers=[checksum(large, "sha512")])


async def test_another_canonical_id_is_another_asset(shop: Shop) -> None:
    shop.origin.serve("/a", DATA)
    for name in ("one", "two", "one"):
        qualifiers = [checksum(), Q(name="bazel.canonical_id", value=name)]
        await shop.fetched(shop.origin.url("/a"), qualifiers=qualifiers)
    assert shop.origin.count("/a") == 2


async def test_equal_fetches_at_a_time_ask_the_network_once(shop: Shop) -> None:
    go = asyncio.Event()

    async def later(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(DATA), DATA))

    shop.origin.answers["/a"] = later
    waiting = [asyncio.create_task(shop.fetched(shop.origin.url("/a"))) for _ in range(20)]
    await shop.until(lambda: len(shop.origin.asked) == 1)
    go.set()
    await asyncio.gather(*waiting)
    assert shop.origin.count("/a") == 1


async def test_what_was_evicted_is_fetched_again(shop: Shop) -> None:
    shop.origin.serve("/a", DATA)
    await shop.fetched(shop.origin.url("/a"))
    shop.blobs.blobs.clear()
    await shop.fetched(shop.origin.url("/a"))
    assert shop.origin.count("/a") == 2


async def test_content_that_is_older_than_accepted_is_fetched_again_and_the_future_is_no_obstacle(shop: Shop) -> None:
    shop.origin.serve("/a", DATA)
    url = shop.origin.url("/a")
    await shop.fetched(url)
    await shop.fetched(url, oldest_content_accepted=Timestamp(seconds=1_700_000_100))
    assert shop.origin.count("/a") == 1
    for seconds in (1_700_000_101, 1_700_003_700, 253_402_300_800, 2**62):
        await shop.fetched(url, oldest_content_accepted=Timestamp(seconds=seconds))
    assert shop.origin.count("/a") == 5


async def test_records_and_blobs_may_share_a_store_and_every_digest_says_what_is_under_it(clock: HandClock) -> None:
    store = Shelf()
    site = Site({"store": {"CAS": Given(store)}}, clock=clock)
    policy = DownloadSpec(allowed_networks=LOOPBACK, require_checksum=False)
    service = fetch.build([fetch.FetchSpec(fetch_store="CAS", download=policy)], site)
    async with origin.serving() as made:
        made.serve("/a", DATA)
        request = ra.FetchBlobRequest(uris=[made.url("/a")])
        for _ in range(2):
            await service.FetchBlob(request, None)  # type: ignore[attr-defined]
        assert made.count("/a") == 1
    digests = [key for key in store.blobs if isinstance(key, Digest)]
    assert [of(store.blobs[key]) for key in digests] == digests
    assert len(store.blobs) == 2


async def test_a_damaged_record_is_no_record(shop: Shop) -> None:
    shop.origin.serve("/a", DATA)
    await shop.fetched(shop.origin.url("/a"))
    for key in shop.records.blobs:
        shop.records.blobs[key] = b"\xff\xff damaged"
    await shop.fetched(shop.origin.url("/a"))
    assert shop.origin.count("/a") == 2


# What the network lacks, and how it fails


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, Code.NOT_FOUND),
        (410, Code.NOT_FOUND),
        (401, Code.PERMISSION_DENIED),
        (403, Code.PERMISSION_DENIED),
        (429, Code.RESOURCE_EXHAUSTED),
        (500, Code.ABORTED),
        (503, Code.ABORTED),
        (206, Code.ABORTED),
        (204, Code.ABORTED),
    ],
)
async def test_what_the_origin_answers_is_told_inside_the_response(shop: Shop, status: int, code: Code) -> None:
    shop.origin.says("/a", status, **{"content-length": "0"})
    await shop.refused(code, shop.origin.url("/a"), qualifiers=[checksum()], words=f"HTTP {status}")
    assert shop.blobs.blobs == {}


async def test_what_fails_without_a_checksum_fails_so_that_no_client_takes_it_for_an_empty_file(shop: Shop) -> None:
    with shop.refuses(grpc.StatusCode.NOT_FOUND, "HTTP 404"):
        await shop.fetch(shop.origin.url("/gone"))
    with shop.refuses(grpc.StatusCode.DEADLINE_EXCEEDED, "time"):
        await shop.fetch(shop.origin.url("/gone"), timeout=Duration(nanos=1))


async def test_all_reasons_are_told_and_the_gravest_is_the_code(shop: Shop) -> None:
    shop.origin.serve("/other", b"other")
    uris = (shop.origin.url("/gone"), shop.origin.url("/other"), "urn:x:y", "http://nobody.invalid/")
    message = await shop.refused(Code.ABORTED, *uris, qualifiers=[checksum()])
    assert message.count(";") == 3


async def test_a_body_that_ends_early_is_aborted(shop: Shop) -> None:
    shop.origin.says("/a", 200, DATA, **{"content-length": str(len(DATA) + 1)})
    await shop.refused(Code.ABORTED, shop.origin.url("/a"))
    assert shop.blobs.blobs == {}


async def test_what_is_longer_than_it_said_is_cut_where_it_said(shop: Shop) -> None:
    shop.origin.says("/a", 200, DATA + b"more", **{"content-length": str(len(DATA))})
    await shop.fetched(shop.origin.url("/a"))


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000])
async def test_what_is_no_http_is_aborted(shop: Shop, answer: bytes) -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    shop.origin.answers["/a"] = speak
    await shop.refused(Code.ABORTED, shop.origin.url("/a"))


async def test_an_endless_body_is_ended_at_the_limit_of_size(opened: Open) -> None:
    shop = await opened(max_bytes=3_000_000)

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(1 << 16))
            await writer.drain()

    shop.origin.answers["/a"] = endless
    await shop.refused(Code.RESOURCE_EXHAUSTED, shop.origin.url("/a"), words="max_bytes")
    assert shop.blobs.blobs == {}
    await shop.until(lambda: shop.origin.open == 0)


async def test_a_body_that_says_it_is_too_large_is_not_begun(opened: Open) -> None:
    shop = await opened(max_bytes=1000)
    for announced in ("1001", "9" * 400):
        shop.origin.says("/a", 200, b"", **{"content-length": announced})
        _, message = await shop.outcome(shop.origin.url("/a"))
        assert "max_bytes" in message or "HTTP" in message


async def test_a_silent_origin_costs_no_more_than_the_time_asked_for(shop: Shop) -> None:
    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab")
        await writer.drain()
        await asyncio.Event().wait()

    shop.origin.answers["/a"] = silent
    await shop.refused(Code.DEADLINE_EXCEEDED, shop.origin.url("/a"), timeout=Duration(nanos=50_000_000))


@pytest.mark.parametrize("seconds", [0, -5, 10**11])
async def test_a_time_that_means_nothing_is_ours(shop: Shop, seconds: int) -> None:
    shop.origin.serve("/a", DATA)
    await shop.fetched(shop.origin.url("/a"), timeout=Duration(seconds=seconds))


async def test_a_client_that_leaves_ends_its_fetch(shop: Shop) -> None:
    begun = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        begun.set()
        await reader.read()

    shop.origin.answers["/a"] = silent
    call = shop.fetcher.FetchBlob(ra.FetchBlobRequest(uris=[shop.origin.url("/a")]))
    waiting = asyncio.ensure_future(call)
    await begun.wait()
    call.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await shop.until(lambda: shop.origin.open == 0)


async def test_an_encoding_that_was_not_asked_for_is_never_decoded(shop: Shop) -> None:
    packed = gzip.compress(DATA)
    shop.origin.serve("/a", packed, content_encoding="gzip")
    await shop.refused(Code.ABORTED, shop.origin.url("/a"), words="encodes")
    await shop.refused(Code.ABORTED, shop.origin.url("/a"), qualifiers=[checksum()])
    await shop.fetched(shop.origin.url("/a"), data=packed, qualifiers=[checksum(packed)])
    assert {asked.headers["accept-encoding"] for asked in shop.origin.asked} == {"identity"}


async def test_a_full_disk_of_the_server_is_its_own_failure(shop: Shop) -> None:
    shop.origin.serve("/a", DATA)
    shop.blobs.failure = Error(Code.RESOURCE_EXHAUSTED, "the store is full")
    with shop.refuses(grpc.StatusCode.RESOURCE_EXHAUSTED, "the store is full"):
        await shop.fetch(shop.origin.url("/a"))
    assert shop.records.blobs == {}


# What must not be reached


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/a",
        "http://localhost:{port}/a",
        "http://0:{port}/a",
        "http://2130706433:{port}/a",
        "http://127.1:{port}/a",
        "http://0x7f000001:{port}/a",
        "http://[::1]:{port}/a",
        "http://[::ffff:127.0.0.1]:{port}/a",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
    ],
)
async def test_no_private_address_is_reached_under_any_spelling(opened: Open, url: str) -> None:
    shop = await opened(allowed_networks=())
    shop.origin.serve("/a", DATA)
    message = await shop.refused(Code.PERMISSION_DENIED, url.format(port=shop.origin.port), words="public internet")
    assert shop.origin.asked == []
    assert "addresses" not in message


async def test_no_redirect_leads_to_a_private_address(opened: Open) -> None:
    shop = await opened(allowed_networks=("127.0.0.1",))
    async with origin.serving("127.0.0.2") as inner:
        inner.serve("/a", DATA)
        shop.origin.redirect("/a", inner.url("/a", "127.0.0.2"))
        await shop.refused(Code.PERMISSION_DENIED, shop.origin.url("/a"), words="127.0.0.2")
        assert inner.asked == []


async def test_a_name_is_looked_up_once_and_the_address_that_was_judged_is_connected_to(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await opened(allowed_networks=("127.0.0.1",))
    shop.origin.serve("/a", DATA)
    async with origin.serving("127.0.0.2") as inner:
        inner.serve("/a", DATA)
        answers = ["127.0.0.1", "127.0.0.2", "127.0.0.2"]

        async def rebinding(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebinding)
        await shop.fetched(shop.origin.url("/a", "rebinding.example"))
        assert shop.origin.asked[0].headers["host"] == f"rebinding.example:{shop.origin.port}"
        await shop.refused(Code.PERMISSION_DENIED, inner.url("/a", "rebinding.example"))
        assert inner.asked == []


async def test_of_a_hosts_addresses_those_that_may_be_are_tried_in_turn(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await opened(allowed_networks=("127.0.0.1", "127.0.0.3"))
    shop.origin.serve("/a", DATA)

    async def several(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        # Nobody listens on the third; the second may not be connected to.
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", port)) for last in (2, 3, 1)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", several)
    await shop.fetched(shop.origin.url("/a", "several.example"))
    assert shop.record(shop.origin.url("/a", "several.example")).download.address == "127.0.0.1"


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/", "//", "http://", "http://u:p@127.0.0.1/", ""],
)
async def test_redirects_to_other_schemes_and_to_nowhere_are_refused(shop: Shop, location: str) -> None:
    shop.origin.redirect("/a", location)
    code, _ = await shop.outcome(shop.origin.url("/a"))
    assert code in (Code.PERMISSION_DENIED, Code.ABORTED)
    assert shop.blobs.blobs == {}


async def test_a_few_redirects_are_followed_and_no_more(shop: Shop) -> None:
    for number in range(6):
        shop.origin.redirect(f"/{number}", str(number + 1), status=(301, 302, 303, 307, 308)[number % 5])
    shop.origin.serve("/6", DATA)
    await shop.fetched(shop.origin.url("/1"))
    await shop.refused(Code.ABORTED, shop.origin.url("/0"), words="redirected more than")


async def test_headers_stay_with_the_origin_that_they_are_meant_for(shop: Shop) -> None:
    async with origin.serving() as other:
        shop.origin.redirect("/a", shop.origin.url("/b"))
        shop.origin.redirect("/b", other.url("/c"))
        other.redirect("/c", shop.origin.url("/d"))
        shop.origin.serve("/d", DATA)
        token = Q(name="http_header_url:0:Authorization", value="Bearer t")
        agent = Q(name="http_header:User-Agent", value="someone")
        await shop.fetched(shop.origin.url("/a"), qualifiers=[token, agent])
    seen = {each.path: each.headers for each in (*shop.origin.asked, *other.asked)}
    assert [seen[path].get("authorization") for path in ("/a", "/b", "/c", "/d")] == [
        "Bearer t",
        "Bearer t",
        None,
        None,
    ]
    assert seen["/a"]["user-agent"] == "someone"
    assert seen["/c"]["user-agent"] == "nlserver"


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "ftp://h/x", "gopher://h/", "data:,x", "unix:/run/x", "ext::x"])
async def test_schemes_that_lead_elsewhere_are_refused(shop: Shop, uri: str) -> None:
    await shop.refused(Code.PERMISSION_DENIED, uri, qualifiers=[checksum()])


async def test_by_default_nothing_is_fetched_without_a_checksum(opened: Open) -> None:
    shop = await opened(require_checksum=True)
    shop.origin.serve("/a", DATA)
    await shop.refused(Code.PERMISSION_DENIED, shop.origin.url("/a"), words="without a checksum")
    assert shop.origin.asked == []
    await shop.fetched(shop.origin.url("/a"), qualifiers=[checksum()])
    assert DownloadSpec().require_checksum
    assert DownloadSpec().allowed_networks == ()


async def test_only_allowed_hosts_are_asked_also_after_redirects(opened: Open) -> None:
    shop = await opened(allowed_hosts=("127.0.0.1",))
    shop.origin.redirect("/a", shop.origin.url("/b", "localhost"))
    shop.origin.serve("/b", DATA)
    await shop.refused(Code.PERMISSION_DENIED, shop.origin.url("/a"), words="localhost")
    await shop.refused(Code.PERMISSION_DENIED, shop.origin.url("/b", "localhost"))
    await shop.fetched(shop.origin.url("/b"))
    closed = await opened(allowed_hosts=())
    await closed.refused(Code.PERMISSION_DENIED, shop.origin.url("/b"), qualifiers=[checksum()])


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """A self-signed certificate of `localhost`, in `tmp_path/cert.pem`."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        ["openssl", "req", "-x509", *curve, *names, "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


async def test_https_is_verified_by_the_name_in_the_url_and_not_by_the_address(
    opened: Open, certificate: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with origin.serving(tls=certificate) as secure:
        secure.serve("/a", DATA)
        secure.redirect("/down", "http://127.0.0.1:1/")
        named, numbered = secure.url("/a", "localhost", "https"), secure.url("/a", "127.0.0.1", "https")
        distrusting = await opened()
        message = await distrusting.refused(Code.ABORTED, named, words="certificate is not good")
        assert "self-signed" in message
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        shop = await opened()
        await shop.fetched(named)
        await shop.refused(Code.ABORTED, numbered, words="certificate is not good")
        downgraded = secure.url("/down", "localhost", "https")
        await shop.refused(Code.PERMISSION_DENIED, downgraded, words="from https to http")
        plain = await shop.refused(Code.ABORTED, secure.url("/a", "localhost", "http"))
        assert "localhost" in plain


# What was registered is asked for first; what cannot be


async def test_a_urn_that_nobody_registered_is_not_found(shop: Shop) -> None:
    await shop.refused(Code.NOT_FOUND, "urn:fdc:buildstream.build:2020:artifact:a/b/c")


async def test_an_empty_request_is_refused_by_grpc_as_probing_clients_expect(shop: Shop) -> None:
    with shop.refuses(grpc.StatusCode.INVALID_ARGUMENT, "uris"):
        await shop.fetch()
    with shop.refuses(grpc.StatusCode.INVALID_ARGUMENT, "uris"):
        await shop.fetcher.FetchDirectory(ra.FetchDirectoryRequest())


async def test_an_unknown_instance_is_refused(shop: Shop) -> None:
    with shop.refuses(grpc.StatusCode.INVALID_ARGUMENT, "instance_name"):
        await shop.fetch("urn:x:y", instance_name="other")


async def test_a_function_that_is_not_served_is_refused(shop: Shop) -> None:
    with shop.refuses(grpc.StatusCode.INVALID_ARGUMENT, "digest function"):
        await shop.fetch("urn:x:y", digest_function=rx.DigestFunction.SHA512)


async def test_unknown_qualifiers_are_a_miss_where_assets_are_registered_and_else_an_error_with_details(
    opened: Open,
) -> None:
    taught, untaught = await opened(), await opened(taught=False)
    qualifiers = [checksum(), Q(name="foo", value="1"), Q(name="vcs.branch", value="main")]
    taught.origin.serve("/a", DATA)
    await taught.refused(Code.NOT_FOUND, taught.origin.url("/a"), qualifiers=qualifiers)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await untaught.fetch(untaught.origin.url("/a"), qualifiers=qualifiers)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    trailers = dict(caught.value.trailing_metadata() or ())
    (detail,) = status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details
    request = error_details_pb2.BadRequest()
    assert detail.Unpack(request)
    assert [(each.field, each.description) for each in request.field_violations] == [
        ("qualifiers.name", '"foo" not supported'),
        ("qualifiers.name", '"vcs.branch" not supported'),
    ]
    assert taught.origin.asked == []


async def test_no_file_is_left_of_what_was_fetched_or_failed(opened: Open, tmp_path: Path) -> None:
    shop = await opened(temp_path=str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    shop.origin.serve("/a", DATA)
    await shop.fetched(shop.origin.url("/a"), qualifiers=[checksum()])
    await shop.refused(Code.ABORTED, shop.origin.url("/a"), qualifiers=[checksum(b"other")])
    assert os.listdir(tmp_path) == []
    await shop.until(lambda: shop.origin.open == 0)
    assert len(os.listdir("/proc/self/fd")) <= before + 3


def test_a_directory_for_downloads_that_cannot_be_used_is_named_at_the_start() -> None:
    with pytest.raises(Error, match=r"download\.temp_path"):
        DownloadSpec(temp_path="/nonexistent/place").build()


def test_networks_that_are_none_are_named_while_the_config_is_read() -> None:
    (problem,) = DownloadSpec.problems(DownloadSpec(allowed_networks=("10.0.0.0/8", "10.0.0.1/8")))
    assert "10.0.0.1/8" in problem
