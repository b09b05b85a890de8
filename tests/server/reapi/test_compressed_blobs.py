"""The client's blobs by zstd: what is sent shrinks, what arrives is verified, what breaks goes on."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest
import zstandard
from nlserver.errors import Code, Error
from nlserver.reapi.blobs import Blobs
from nlserver.reapi.channel import dial
from nlserver.reapi.client import Client, _compresses
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.reapi.endpoint import EndpointSpec

from tests.server.reapi.conftest import SOON
from tests.server.reapi.peer import Fault, Peer
from tests.server.reapi.test_codec import zeros

NOISE = random.Random(3).randbytes(2_500_000)
TEXT = b"".join(b"line %d of a long text\n" % n for n in range(100_000))


@pytest.fixture
async def blobs(peer: Peer) -> AsyncIterator[Blobs]:
    peer.zstd = True
    channel = dial(peer.address, retry=SOON)
    made = Blobs(channel, "main/a", timeout_seconds=5, compresses=True)
    yield made
    await made.close()
    await channel.close()


async def whole(blobs: Blobs, digest: Digest, offset: int = 0, limit: int | None = None) -> bytes:
    async with aclosing(blobs.read(digest, offset, limit)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def chunked(data: bytes, size: int = 300_000) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def from_memory(data: bytes):
    return lambda offset: chunked(data[offset:])


@pytest.mark.parametrize("function", list(Function))
@pytest.mark.parametrize("data", [b"", b"a", TEXT[:5000], NOISE[:70_000], TEXT, NOISE], ids=len)
async def test_what_was_put_is_got(blobs: Blobs, peer: Peer, data: bytes, function: Function) -> None:
    digest = of(data, function)
    await blobs.put(digest, data)
    assert await blobs.get(digest) == data
    assert await whole(blobs, digest) == data


async def test_large_blobs_travel_by_zstd_under_names_that_say_so(blobs: Blobs, peer: Peer) -> None:
    digest = of(TEXT)
    await blobs.write(digest, from_memory(TEXT))
    assert await whole(blobs, digest) == TEXT
    write, read = peer.names
    assert read == f"main/a/compressed-blobs/zstd/{digest.hash}/{len(TEXT)}"
    assert write.endswith(f"/compressed-blobs/zstd/{digest.hash}/{len(TEXT)}")
    assert peer.packed == 2


async def test_small_streams_ranges_and_noise_in_batches_travel_as_they_are(blobs: Blobs, peer: Peer) -> None:
    await blobs.write(of(TEXT[:60_000]), from_memory(TEXT[:60_000]))
    digest = peer.keep(TEXT)
    assert await whole(blobs, digest, 1000, 500_000) == TEXT[1000:501_000]
    await blobs.put_many([(of(NOISE[:9000]), NOISE[:9000]), (of(b"a" * 900), b"a" * 900)])
    assert peer.packed == 0


async def test_a_range_to_the_end_travels_by_zstd(blobs: Blobs, peer: Peer) -> None:
    digest = peer.keep(TEXT)
    assert await whole(blobs, digest, 12_345) == TEXT[12_345:]
    assert await whole(blobs, digest, 12_345, len(TEXT)) == TEXT[12_345:]
    assert peer.packed == 2


async def test_batches_shrink(blobs: Blobs, peer: Peer) -> None:
    small = [TEXT[n * 5000 : n * 5000 + 5000] for n in range(50)]
    assert await blobs.put_many([(of(one), one) for one in small]) == [None] * 50
    assert await blobs.get_many([*map(of, small), EMPTY[Function.SHA256]]) == [*small, b""]
    assert peer.packed >= 100
    assert peer.batches[0] < 50 * 5000 // 4


@pytest.mark.parametrize("compresses", [True, False])
async def test_a_server_that_announces_nothing_gets_blobs_as_they_are(peer: Peer, compresses: bool) -> None:
    peer.zstd = not compresses
    channel = dial(peer.address, retry=SOON)
    blobs = Blobs(channel, compresses=compresses)
    await blobs.put(of(TEXT), TEXT)
    await blobs.put(of(TEXT[:9000]), TEXT[:9000])
    assert await blobs.get(of(TEXT)) == TEXT
    assert await blobs.get(of(TEXT[:9000])) == TEXT[:9000]
    assert peer.packed == 0
    await blobs.close()
    await channel.close()


async def test_a_broken_download_goes_on_where_its_plain_bytes_end(blobs: Blobs, peer: Peer) -> None:
    digest = peer.keep(NOISE)
    peer.cut_reads.extend([1_000_000, 500_000, 500_000, 200_000])
    peer.short_reads.extend([2_000_000] * 4)
    assert await whole(blobs, digest) == NOISE
    assert peer.calls["Read"] > 3


async def test_a_broken_upload_begins_anew(blobs: Blobs, peer: Peer) -> None:
    peer.cut_writes.extend([900_000, 900_000])
    opened = []

    def reopen(offset: int) -> AsyncGenerator[bytes, None]:
        opened.append(offset)
        return chunked(NOISE[offset:])

    await blobs.write(of(NOISE), reopen)
    assert peer.blobs[of(NOISE)] == NOISE
    assert opened == [0, 0, 0]


async def test_an_upload_that_somebody_else_finished_is_done(blobs: Blobs, peer: Peer) -> None:
    peer.cut_writes.append(900_000)
    digest = peer.keep(NOISE)
    await blobs.write(digest, from_memory(NOISE))
    assert peer.calls["Write"] == 1


@pytest.mark.parametrize("committed", [-1, len(NOISE)])
async def test_a_server_may_count_as_it_likes(blobs: Blobs, peer: Peer, committed: int) -> None:
    peer.committed = committed
    await blobs.write(of(NOISE), from_memory(NOISE))


async def test_a_server_may_answer_before_everything_is_sent(blobs: Blobs, peer: Peer) -> None:
    peer.early = True
    await blobs.write(peer.keep(NOISE), from_memory(NOISE))


async def test_a_server_that_kept_another_size_is_not_believed(blobs: Blobs, peer: Peer) -> None:
    peer.committed = 17
    peer.faults["QueryWriteStatus"].extend([Fault(grpc.StatusCode.NOT_FOUND)] * 9)
    with pytest.raises(Error, match="kept 17 of 2500000"):
        await blobs.write(of(NOISE), from_memory(NOISE))


@pytest.mark.parametrize("data", [NOISE[:-1], NOISE + b"x", b""], ids=len)
async def test_a_source_of_another_size_is_refused_and_nothing_is_kept(blobs: Blobs, peer: Peer, data: bytes) -> None:
    with pytest.raises(Error) as raised:
        await blobs.write(of(NOISE), from_memory(data))
    assert raised.value.code is Code.INVALID_ARGUMENT
    assert peer.blobs == {}


@pytest.mark.parametrize(
    "sent",
    [
        b"no zstd at all",
        zstandard.ZstdCompressor().compress(TEXT + b"more"),
        zstandard.ZstdCompressor().compress(TEXT[:-1] + b"x"),
        zeros(100_000),
    ],
    ids=["junk", "longer", "other", "bomb"],
)
async def test_what_a_server_sends_is_unpacked_within_bounds_and_verified(blobs: Blobs, peer: Peer, sent) -> None:
    large, small = peer.keep(TEXT), peer.keep(TEXT[:9000])
    peer.packs = {TEXT: sent, TEXT[:9000]: sent}
    for work in (whole(blobs, large), blobs.get(large), blobs.get(small)):
        with pytest.raises(Error) as raised:
            await work
        assert raised.value.code is Code.DATA_LOSS


@pytest.mark.parametrize("damage", [lambda sent: sent[:-1], lambda sent: sent + b"junk"], ids=["cut", "tail"])
async def test_a_blob_that_came_whole_and_right_is_taken_though_its_stream_ends_badly(blobs, peer, damage) -> None:
    digest = peer.keep(TEXT)
    peer.packs = {TEXT: damage(zstandard.ZstdCompressor().compress(TEXT))}
    assert await whole(blobs, digest) == TEXT


async def test_a_failure_of_the_server_keeps_its_code(blobs: Blobs, peer: Peer) -> None:
    digest = peer.keep(TEXT)
    peer.faults["Read"].append(Fault(grpc.StatusCode.INVALID_ARGUMENT, "no such compressor"))
    with pytest.raises(Error, match="no such compressor") as raised:
        await whole(blobs, digest)
    assert raised.value.code is Code.INVALID_ARGUMENT


async def test_a_failure_of_the_source_comes_out_as_it_is(blobs: Blobs, peer: Peer) -> None:
    failure = Error(Code.UNAVAILABLE, "the disk is gone")

    async def broken(offset: int) -> AsyncGenerator[bytes, None]:
        yield NOISE[:1_000_000]
        raise failure

    with pytest.raises(Error) as raised:
        await blobs.write(of(NOISE), broken)
    assert raised.value is failure


async def test_a_client_for_this_machine_compresses_only_when_it_is_told_to(peer: Peer, tmp_path: Path) -> None:
    peer.zstd = True
    (tmp_path / "text").write_bytes(TEXT)
    for compression, packed in (("auto", 0), ("none", 0), ("zstd", 2)):
        peer.blobs.clear()
        async with Client(cas=peer.address, retry=SOON, compression=compression) as client:
            [digest] = await client.upload([tmp_path / "text"])
            await client.download(digest, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == TEXT
        assert peer.packed == packed


def test_a_client_for_another_machine_compresses_unless_it_is_told_not_to() -> None:
    remote = EndpointSpec(address="grpc://cache.example:443")
    assert [_compresses(how, remote) for how in ("auto", "zstd", "none")] == [True, True, False]
    assert not _compresses("auto", "grpc://localhost:1")
