"""Push from the wire: what was registered is found by Fetch, for as long as it holds and is whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nlserver.errors import Code
from nlserver.proto import remote_asset_pb2 as ra
from nlserver.proto import remote_asset_pb2_grpc
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.digest import Digest, Function, of
from nlserver.services import fetch, push
from nlserver.spec import Site
from nlserver.stores.filesystem import FilesystemSpec

from tests.server.services.conftest import Cache, Given, HandClock, Shelf
from tests.server.services.test_fetch import Q, checksum

URN = "urn:fdc:buildstream.build:2020:artifact:project/element/key"
message = Cache.message


@dataclass
class Desk:
    """Push, a read-only Push for the instance "closed", and Fetch."""

    store: Shelf
    clock: HandClock
    fetcher: remote_asset_pb2_grpc.FetchStub
    pusher: remote_asset_pb2_grpc.PushStub

    refuses = staticmethod(Cache.refuses)

    async def push(self, *uris: str, blob: Digest | None = None, **facts: Any) -> None:
        sent = None if blob is None else message(blob)
        request = ra.PushBlobRequest(uris=uris or [URN], blob_digest=sent, **facts)
        await self.pusher.PushBlob(request)

    async def push_directory(self, *uris: str, root: Digest, **facts: Any) -> None:
        request = ra.PushDirectoryRequest(uris=uris or [URN], root_directory_digest=message(root), **facts)
        await self.pusher.PushDirectory(request)

    async def fetch(self, *uris: str, **facts: Any) -> ra.FetchBlobResponse:
        return await self.fetcher.FetchBlob(ra.FetchBlobRequest(uris=uris or [URN], **facts))

    async def found(self, *uris: str, **facts: Any) -> str:
        """The hash of the blob that is registered; empty for none."""
        response = await self.fetch(*uris, **facts)
        assert Code(response.status.code) in (Code.OK, Code.NOT_FOUND), response.status.message
        return response.blob_digest.hash

    async def found_directory(self, *uris: str, **facts: Any) -> str:
        request = ra.FetchDirectoryRequest(uris=uris or [URN], **facts)
        response = await self.fetcher.FetchDirectory(request)
        assert Code(response.status.code) in (Code.OK, Code.NOT_FOUND), response.status.message
        return response.root_directory_digest.hash

    def tree(self, depth: int = 3) -> tuple[Digest, list[Digest]]:
        """A directory of directories with a file in each: its root, and all blobs."""
        kept: list[Digest] = []
        child = rx.Directory()
        for level in range(depth):
            file = self.store.keep(b"file %d" % level)
            parent = rx.Directory(files=[rx.FileNode(name="f", digest=message(file))])
            if level:
                parent.directories.add(name="d", digest=message(kept[-1]))
            child = parent
            kept += [file, self.store.keep(child.SerializeToString())]
        return kept[-1], kept


@pytest.fixture
async def desk(clock: HandClock, store: Shelf) -> AsyncIterator[Desk]:
    site = Site({"store": {"CAS": Given(store), "ASSETS": Given(Shelf())}}, clock=clock)
    specs = [
        push.PushSpec(push_store="ASSETS"),
        push.PushSpec(instance_name="closed", push_store="ASSETS", read_only=True),
    ]
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 8 << 20)])
    for service in (
        push.build(specs, site, cas={"": store, "closed": store}),
        fetch.build([fetch.FetchSpec(fetch_store="ASSETS")], site, cas={"": store}, taught=["ASSETS"]),
    ):
        server.add_generic_rpc_handlers(service.handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Desk(store, clock, remote_asset_pb2_grpc.FetchStub(channel), remote_asset_pb2_grpc.PushStub(channel))
    await server.stop(0)


async def test_what_is_registered_is_found_under_each_of_its_uris(desk: Desk) -> None:
    blob = desk.store.keep(b"artifact")
    await desk.push(URN, "https://example.org/x", blob=blob)
    for uri in (URN, "https://example.org/x"):
        response = await desk.fetch("urn:other", uri)
        assert (response.uri, response.blob_digest.hash, response.blob_digest.size_bytes) == (uri, blob.hash, 8)
        assert not response.HasField("expires_at")
    assert await desk.found("urn:other") == ""


async def test_all_qualifiers_must_agree_in_whatever_order(desk: Desk) -> None:
    blob = desk.store.keep(b"commit")
    one, two = Q(name="vcs.branch", value="main"), Q(name="vcs.commit", value="c0ffee")
    await desk.push(blob=blob, qualifiers=[one, two])
    response = await desk.fetch(qualifiers=[two, one])
    assert response.blob_digest.hash == blob.hash
    assert {each.name for each in response.qualifiers} == {"vcs.branch", "vcs.commit"}
    for others in ([], [one], [one, Q(name="vcs.commit", value="other")], [one, two, Q(name="directory", value="d")]):
        assert await desk.found(qualifiers=others) == ""


async def test_the_latest_registration_counts(desk: Desk) -> None:
    for data in (b"old", b"new"):
        await desk.push(blob=desk.store.keep(data))
    assert await desk.found() == of(b"new").hash


async def test_blobs_and_directories_are_kept_apart(desk: Desk) -> None:
    root, _ = desk.tree()
    await desk.push_directory(root=root)
    assert await desk.found() == ""
    assert await desk.found_directory() == root.hash


async def test_functions_are_kept_apart(desk: Desk) -> None:
    blob = desk.store.keep(b"artifact", Function.BLAKE3)
    await desk.push(blob=blob, digest_function=rx.DigestFunction.BLAKE3)
    response = await desk.fetch(digest_function=rx.DigestFunction.BLAKE3)
    assert (response.blob_digest.hash, response.digest_function) == (blob.hash, rx.DigestFunction.BLAKE3)
    assert await desk.found() == ""


async def test_what_has_expired_is_not_found(desk: Desk) -> None:
    blob = desk.store.keep(b"artifact")
    await desk.push(blob=blob, expire_at=Timestamp(seconds=1_700_000_160))
    response = await desk.fetch()
    assert (response.blob_digest.hash, response.expires_at.seconds) == (blob.hash, 1_700_000_160)
    desk.clock.now += 60
    assert await desk.found() == ""


async def test_what_has_expired_before_it_is_registered_is_taken_and_not_found(desk: Desk) -> None:
    await desk.push(blob=desk.store.keep(b"artifact"), expire_at=Timestamp(seconds=1))
    assert await desk.found() == ""
    with desk.refuses(grpc.StatusCode.INVALID_ARGUMENT, "expire_at"):
        await desk.push(blob=desk.store.keep(b"artifact"), expire_at=Timestamp(seconds=2**40))


async def test_what_is_older_than_accepted_is_not_found(desk: Desk) -> None:
    await desk.push(blob=desk.store.keep(b"artifact"))
    assert await desk.found(oldest_content_accepted=Timestamp(seconds=1_700_000_100)) != ""
    assert await desk.found(oldest_content_accepted=Timestamp(seconds=1_700_000_101)) == ""


async def test_what_is_gone_from_the_cas_is_not_found(desk: Desk) -> None:
    root, kept = desk.tree()
    blob = desk.store.keep(b"artifact")
    await desk.push(blob=blob, references_directories=[message(root)])
    await desk.push_directory(root=root)
    for gone in kept:
        data = desk.store.blobs.pop(gone)
        assert (await desk.found(), await desk.found_directory()) == ("", "")
        desk.store.blobs[gone] = data
    del desk.store.blobs[blob]
    assert (await desk.found(), await desk.found_directory()) == ("", root.hash)


async def test_everything_that_an_asset_needs_is_marked_as_used(desk: Desk) -> None:
    root, kept = desk.tree()
    log = desk.store.keep(b"log")
    await desk.push(
        blob=desk.store.keep(b"artifact"), references_directories=[message(root)], references_blobs=[message(log)]
    )
    desk.store.asked.clear()
    await desk.found()
    # Directories are read, which is use as well.
    assert sum(desk.store.asked) == 2 + sum(1 for each in kept if desk.store.blobs[each].startswith(b"file"))


async def test_what_is_not_in_the_cas_cannot_be_registered_and_is_named(desk: Desk) -> None:
    root, kept = desk.tree()
    blob, absent = desk.store.keep(b"artifact"), of(b"absent")
    del desk.store.blobs[kept[0]]
    facts: list[dict[str, Any]] = [
        {"blob": absent},
        {"blob": blob, "references_blobs": [message(absent)]},
        {"blob": blob, "references_directories": [message(root)]},
    ]
    for fact, gone in zip(facts, (absent, absent, kept[0]), strict=True):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await desk.push(**fact)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        trailers = dict(caught.value.trailing_metadata() or ())
        (detail,) = status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details
        failure = error_details_pb2.PreconditionFailure()
        assert detail.Unpack(failure)
        assert [(each.type, each.subject) for each in failure.violations] == [("MISSING", gone.subject)]
    assert await desk.found() == ""


async def test_a_directory_that_is_none_cannot_be_registered(desk: Desk) -> None:
    with desk.refuses(grpc.StatusCode.INVALID_ARGUMENT, "not a Directory"):
        await desk.push_directory(root=desk.store.keep(b"\xff no directory"))


async def test_a_checksum_in_the_qualifiers_must_be_the_blobs(desk: Desk) -> None:
    large = Cache.noise(3_000_000)
    blob = desk.store.keep(large)
    for algorithm in ("sha256", "sha512"):
        await desk.push(blob=blob, qualifiers=[checksum(large, algorithm)])
        assert await desk.found(qualifiers=[checksum(large, algorithm)]) == blob.hash
        with desk.refuses(grpc.StatusCode.INVALID_ARGUMENT, "checksum"):
            await desk.push("https://example.org/x", blob=blob, qualifiers=[checksum(b"expected", algorithm)])


async def test_a_read_only_instance_takes_nothing(desk: Desk) -> None:
    with desk.refuses(grpc.StatusCode.PERMISSION_DENIED, "read only"):
        await desk.push(blob=desk.store.keep(b"x"), instance_name="closed")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"uris": []}, "uris"),
        ({"uris": ["nonsense"]}, "uri"),
        ({"uris": ["urn:a\nb"]}, "uri"),
        ({"blob_digest": None}, "missing"),
        ({"blob_digest": rx.Digest(hash="zz", size_bytes=1)}, "Invalid hash"),
        ({"blob_digest": rx.Digest(hash="0" * 64, size_bytes=-1)}, "negative"),
        ({"qualifiers": [Q(name="a"), Q(name="a")]}, "twice"),
        ({"qualifiers": [Q(name="")]}, "qualifier"),
        ({"references_blobs": [rx.Digest()] * 1_000_000}, "references"),
        ({"references_directories": [rx.Digest()] * 1_000_000}, "references"),
        ({"references_blobs": [rx.Digest()]}, "Invalid hash"),
        ({"instance_name": "other"}, "instance_name"),
        ({"digest_function": 5}, "digest function"),
    ],
)
async def test_malformed_requests_are_refused(desk: Desk, facts: dict[str, Any], words: str) -> None:
    blob = message(desk.store.keep(b"x"))
    request = ra.PushBlobRequest(**{"uris": [URN], "blob_digest": blob, **facts})
    with desk.refuses(grpc.StatusCode.INVALID_ARGUMENT, words):
        await desk.pusher.PushBlob(request)
    assert await desk.found() == ""


async def test_an_empty_request_is_refused_as_probing_clients_expect(desk: Desk) -> None:
    with desk.refuses(grpc.StatusCode.INVALID_ARGUMENT):
        await desk.pusher.PushBlob(ra.PushBlobRequest())
    with desk.refuses(grpc.StatusCode.INVALID_ARGUMENT):
        await desk.pusher.PushDirectory(ra.PushDirectoryRequest())


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200))
async def test_any_bytes_as_a_directory_are_registered_or_refused(desk: Desk, data: bytes) -> None:
    request = ra.PushDirectoryRequest(uris=[URN], root_directory_digest=message(desk.store.keep(data)))
    code = await desk.pusher.PushDirectory(request).code()
    assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)


async def test_assets_survive_a_restart(tmp_path: Path, clock: HandClock) -> None:
    spec = FilesystemSpec(content_path=str(tmp_path / "content"), temp_path=str(tmp_path / "temp"))
    blob = of(b"artifact")
    for run in range(2):
        site = Site({"store": {"CAS": spec}}, clock=clock, spawn=lambda coroutine, name: coroutine.close())
        store = site.named("store", "CAS")
        pusher = push.build([push.PushSpec(push_store="CAS")], site)
        fetcher = fetch.build([fetch.FetchSpec(fetch_store="CAS")], site)
        if run == 0:
            await store.put(blob, b"artifact")
            request = ra.PushBlobRequest(uris=[URN], blob_digest=message(blob))
            await pusher.PushBlob(request, _Nobody())  # type: ignore[attr-defined]
        response = await fetcher.FetchBlob(ra.FetchBlobRequest(uris=[URN]), _Nobody())  # type: ignore[attr-defined]
        assert response.blob_digest.hash == blob.hash
        await site.close()


class _Nobody:
    @staticmethod
    def peer() -> str:
        return "nobody"
