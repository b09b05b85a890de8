"""What the grpc store does beyond the contract that all stores keep."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest
from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import EMPTY, Function, of
from nlserver.reapi.endpoint import EndpointSpec, RetrySpec
from nlserver.spec import Site
from nlserver.store import Missing, Store
from nlserver.stores.grpc import GrpcSpec, ReadBatchingSpec

from tests.server.reapi.peer import Fault, Peer, serving

NOISE = random.Random(9).randbytes(2_500_000)
RESULT = re_pb.ActionResult(exit_code=3, stdout_raw=b"x").SerializeToString()
ACTION = of(b"action", Function.BLAKE3)
Make = Callable[..., Store]


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with serving() as made:
        yield made


@pytest.fixture
async def make(peer: Peer) -> AsyncIterator[Make]:
    """Builds stores that talk to the peer, as a config would."""
    site = Site()

    def build(store_type: str = "cas", **keys: object) -> Store:
        spec = {"endpoints": (EndpointSpec(address=peer.address),), "retry": RetrySpec(max_retries=3, delay=0.001)}
        return GrpcSpec(store_type=store_type, **{**spec, **keys}).build(site)

    yield build
    await site.close()


async def pieces(data: bytes, size: int = 1 << 20) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def whole(store: Store, key: object, offset: int = 0, limit: int | None = None) -> bytes:
    async with aclosing(store.read(key, offset, limit)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_names_state_the_function_where_it_is_needed(make: Make, peer: Peer) -> None:
    digest, b3 = of(NOISE), of(NOISE, Function.BLAKE3)
    store = make(instance_name="main")
    for key in (digest, b3):
        await store.write(key, pieces(NOISE))
        assert await whole(store, key) == NOISE
    upload, read, upload_b3, read_b3 = peer.names
    assert upload.startswith("main/uploads/")
    assert upload.endswith(f"/blobs/{digest.hash}/2500000")
    assert read == f"main/blobs/{digest.hash}/2500000"
    assert upload_b3.endswith(f"/blobs/blake3/{b3.hash}/2500000")
    assert read_b3 == f"main/blobs/blake3/{b3.hash}/2500000"


async def test_names_never_state_the_function_where_it_is_unknown(make: Make, peer: Peer) -> None:
    key = of(NOISE, Function.BLAKE3)
    with pytest.raises(Missing):
        await whole(make(use_legacy_resource_names=True), key)
    assert peer.names == [f"blobs/{key.hash}/2500000"]


async def test_small_values_travel_together(make: Make, peer: Peer) -> None:
    store = make()
    data = [b"%d" % number for number in range(400)]
    await asyncio.gather(*(store.write(of(one), pieces(one)) for one in data))
    assert await asyncio.gather(*(store.get(of(one)) for one in data)) == data
    assert await asyncio.gather(*(store.sizes([of(one)]) for one in data)) == [[len(one)] for one in data]
    calls = [peer.calls[name] for name in ("BatchUpdateBlobs", "BatchReadBlobs", "FindMissingBlobs")]
    assert max(calls) <= 3


async def test_files_are_uploaded_whatever_their_size(make: Make, peer: Peer, tmp_path: Path) -> None:
    store = make()
    for data in (b"", b"small", NOISE):
        (tmp_path / "file").write_bytes(data)
        await store.write_file(of(data), tmp_path / "file")
        assert await store.get(of(data)) == data


async def test_a_broken_upload_of_a_file_is_resumed(make: Make, peer: Peer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(NOISE)
    peer.cut_writes.extend([1_500_000, 200_000])
    await make().write_file(of(NOISE), tmp_path / "file")
    assert peer.blobs[of(NOISE)] == NOISE


async def test_a_stream_that_breaks_within_its_first_chunk_is_sent_again(make: Make, peer: Peer) -> None:
    peer.faults["Write"].extend([Fault(grpc.StatusCode.UNAVAILABLE)] * 2)
    await make().write(of(NOISE), pieces(NOISE, len(NOISE)))
    assert peer.blobs[of(NOISE)] == NOISE


async def test_a_stream_that_breaks_later_fails_and_leaves_nothing(make: Make, peer: Peer) -> None:
    peer.cut_writes.append(1_500_000)
    with pytest.raises(Error) as raised:
        await make().write(of(NOISE), pieces(NOISE, 100_000))
    assert raised.value.code is Code.UNAVAILABLE
    assert peer.blobs == {}


@pytest.mark.parametrize("data", [b"x" * 999, b"x" * 1001, NOISE[:-1]])
async def test_values_of_another_size_are_refused(make: Make, peer: Peer, data: bytes) -> None:
    key = of(NOISE) if len(data) > 2000 else of(b"x" * 1000)
    with pytest.raises(Error) as raised:
        await make().write(key, pieces(data))
    assert raised.value.code is Code.INVALID_ARGUMENT
    assert peer.blobs == {}


async def test_the_empty_blob_needs_no_server(make: Make, peer: Peer) -> None:
    store, empty = make(), EMPTY[Function.SHA256]
    await store.put(empty, b"")
    assert await store.sizes([empty]) == [0]
    assert await whole(store, empty) == b""
    assert not peer.calls


async def test_damaged_blobs_are_not_given(make: Make, peer: Peer) -> None:
    small, large = peer.keep(b"right"), peer.keep(NOISE)
    peer.lies = {small: b"wrong", large: NOISE[:-1] + b"?"}
    for work in (make().get(small), whole(make(), large)):
        with pytest.raises(Error) as raised:
            await work
        assert raised.value.code is Code.DATA_LOSS


async def test_free_keys_are_refused(make: Make) -> None:
    for store in (make("cas"), make("ac")):
        for work in (store.put("text", b"x"), store.get("text"), store.sizes(["text"])):
            with pytest.raises(Error) as raised:
                await work
            assert raised.value.code is Code.INVALID_ARGUMENT


async def test_more_than_may_be_held_is_refused_unread(make: Make, peer: Peer) -> None:
    with pytest.raises(Error) as raised:
        await make().get(peer.keep(NOISE), most=1000)
    assert raised.value.code is Code.RESOURCE_EXHAUSTED
    assert peer.calls["Read"] == 0


async def test_results_are_kept_in_the_action_cache(make: Make, peer: Peer) -> None:
    store = make("ac")
    other = of(b"other action")
    assert await store.sizes([ACTION]) == [None]
    with pytest.raises(Missing):
        await store.get(ACTION)
    with pytest.raises(Missing):
        await whole(store, ACTION)
    await store.put(ACTION, RESULT)
    await store.write(other, pieces(RESULT, 3))
    assert peer.results == {ACTION: RESULT, other: RESULT}
    assert await store.get(ACTION) == RESULT
    assert await whole(store, ACTION, 1, 2) == RESULT[1:3]
    assert await store.sizes([other, of(b"none"), ACTION]) == [len(RESULT), None, len(RESULT)]


async def test_an_empty_result_is_a_result(make: Make, peer: Peer) -> None:
    store = make("ac")
    await store.put(ACTION, b"")
    assert await store.get(ACTION) == b""
    assert await store.sizes([ACTION]) == [0]


async def test_failures_of_the_action_cache_are_no_misses(make: Make, peer: Peer) -> None:
    peer.faults["GetActionResult"].append(Fault(grpc.StatusCode.PERMISSION_DENIED, "not you"))
    with pytest.raises(Error, match="not you") as raised:
        await make("ac").get(ACTION)
    assert not isinstance(raised.value, Missing)


async def test_a_dead_endpoint_is_passed_over(make: Make, peer: Peer) -> None:
    async with serving() as gone:
        dead = gone.address
    store = make(endpoints=(EndpointSpec(address=dead), EndpointSpec(address=peer.address)), retry=RetrySpec())
    digest = peer.keep(NOISE)
    for _ in range(3):
        assert await store.sizes([digest]) == [len(NOISE)]
        assert await whole(store, digest) == NOISE


async def test_headers_and_limits_hold_for_every_call(make: Make, peer: Peer) -> None:
    store = make(headers={"Authorization": "Bearer x"}, max_concurrent_requests=2, connections_per_endpoint=2)
    data = [NOISE[number:] for number in range(6)]
    peer.hangs.add("Write")
    writing = [asyncio.create_task(store.write(of(one), pieces(one))) for one in data]
    await peer.began("Write", 2)
    for _ in range(50):
        await asyncio.sleep(0)
    assert peer.calls["Write"] == 2
    peer.hang.set()
    await asyncio.gather(*writing)
    assert len(peer.blobs) == 6
    assert peer.metadata["authorization"] == "Bearer x"


async def test_a_call_may_take_so_long_and_no_longer(make: Make, peer: Peer) -> None:
    peer.hangs.add("FindMissingBlobs")
    with pytest.raises(Error) as raised:
        await make(rpc_timeout_s=1, retry=RetrySpec()).sizes([of(b"x")])
    assert raised.value.code is Code.DEADLINE_EXCEEDED


async def test_read_batching_is_as_configured(make: Make, peer: Peer) -> None:
    store = make(experimental_read_batching=ReadBatchingSpec(max_blob_size_bytes=10, max_batch_bytes=20))
    small, large = [peer.keep(b"%09d" % number) for number in range(5)], peer.keep(b"x" * 11)
    await asyncio.gather(*(store.get(digest) for digest in [*small, large]))
    assert sorted(peer.batches) == [9, 18, 18]
    assert peer.calls["Read"] == 1


async def test_headers_of_requests_cannot_be_passed_on_yet(make: Make) -> None:
    with pytest.raises(Error, match="not available yet") as raised:
        make(forward_headers=("authorization",))
    assert raised.value.code is Code.UNIMPLEMENTED


def test_a_store_without_a_server_is_no_store() -> None:
    empty = GrpcSpec(endpoints=(), store_type="cas")
    assert GrpcSpec.problems(empty) == ["endpoints is empty: name at least one server"]
    both = GrpcSpec(
        endpoints=(EndpointSpec(address="grpc://h:1"),),
        store_type="cas",
        forward_headers=("a",),
        experimental_read_batching=ReadBatchingSpec(),
    )
    assert "forward_headers" in GrpcSpec.problems(both)[0]
    assert ReadBatchingSpec.problems(ReadBatchingSpec(dispatch_slots=0))
