"""ContentAddressableStorage from the wire: FindMissing, the batches and GetTree (REAPI v2)."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.service import Service
from nlserver.services import cas
from nlserver.spec import Site

INVALID = grpc.StatusCode.INVALID_ARGUMENT
GOOD = "a" * 64
LIMIT = 3_500 << 10


async def missing(cache, *digests, function=0, instance="") -> list[tuple[str, int]]:
    request = rx.FindMissingBlobsRequest(
        instance_name=instance, blob_digests=[cache.message(d) for d in digests], digest_function=function
    )
    response = await cache.cas.FindMissingBlobs(request)
    return [(d.hash, d.size_bytes) for d in response.missing_blob_digests]


async def update(cache, *pairs, function=0, instance="") -> list[rx.BatchUpdateBlobsResponse.Response]:
    requests = [rx.BatchUpdateBlobsRequest.Request(digest=cache.message(d), data=data) for d, data in pairs]
    request = rx.BatchUpdateBlobsRequest(instance_name=instance, requests=requests, digest_function=function)
    return list((await cache.cas.BatchUpdateBlobs(request)).responses)


async def read(cache, *digests, function=0) -> list[rx.BatchReadBlobsResponse.Response]:
    request = rx.BatchReadBlobsRequest(digests=[cache.message(d) for d in digests], digest_function=function)
    return list((await cache.cas.BatchReadBlobs(request)).responses)


class TestFindMissingBlobs:
    async def test_answers_exactly_the_absent_ones_in_one_look_up(self, cache, store) -> None:  # FMB-01
        here = [store.keep(bytes([n])) for n in range(3)]
        absent = [of(b"x"), of(b"y")]
        assert await missing(cache, here[0], absent[0], here[1], absent[1], here[2]) == [d[:2] for d in absent]
        assert store.asked == [5]

    async def test_names_a_digest_once_that_was_asked_for_twice(self, cache, store) -> None:  # FMB-02
        absent = of(b"x")
        assert await missing(cache, absent, absent, absent) == [absent[:2]]
        assert store.asked == [1]

    async def test_answers_nothing_to_an_empty_list_and_asks_no_store(self, cache, store) -> None:  # FMB-03
        assert await missing(cache) == []
        assert store.asked == []

    @pytest.mark.parametrize("function", list(Function))
    async def test_the_empty_blob_is_always_there(self, cache, function) -> None:  # DIG-05
        assert await missing(cache, EMPTY[function], function=int(function)) == []

    async def test_the_size_is_part_of_the_name(self, cache, store) -> None:  # DIG-02, HD-07
        digest = store.keep(b"abc")
        assert await missing(cache, digest._replace(size_bytes=4)) == [(digest.hash, 4)]

    async def test_the_function_is_part_of_the_name(self, cache, store) -> None:  # DIG-10
        digest = store.keep(b"abc")
        assert await missing(cache, digest, function=int(Function.BLAKE3)) == [digest[:2]]

    @pytest.mark.parametrize(
        ("hash_", "size"),
        [
            (GOOD.upper(), 1),
            (GOOD[1:], 1),
            (GOOD + "a", 1),
            (GOOD + "\n", 1),
            ("g" * 64, 1),
            ("", 0),
            ("", 5),
            ("a/../" + GOOD[5:], 1),
            ("\0" * 64, 1),
            ("ä" * 64, 1),
            ("a" * 10_000, 1),
            (GOOD, -1),
            (GOOD, -(2**63)),
            (GOOD, 0),
            (EMPTY[Function.SHA256].hash, 5),
        ],
    )
    async def test_one_malformed_digest_fails_the_whole_call(self, cache, hash_, size) -> None:  # FMB-07, HD-01..08
        good = rx.Digest(hash=GOOD, size_bytes=1)
        request = rx.FindMissingBlobsRequest(blob_digests=[good, rx.Digest(hash=hash_, size_bytes=size)])
        with cache.refuses(INVALID):
            await cache.cas.FindMissingBlobs(request)

    @pytest.mark.parametrize("function", [2, 5, 999])
    async def test_an_unannounced_function_is_refused(self, cache, function) -> None:  # DIG-11, HD-10
        with cache.refuses(INVALID, "digest function"):
            await missing(cache, of(b"x"), function=function)

    async def test_an_enormous_size_is_only_missing(self, cache) -> None:  # HD-02
        assert await missing(cache, Digest(GOOD, 2**62)) == [(GOOD, 2**62)]

    async def test_an_unknown_instance_is_an_invalid_argument(self, cache) -> None:  # INS-04
        with cache.refuses(INVALID, "'instance_name' not configured for 'nope'"):
            await missing(cache, of(b"x"), instance="nope")

    async def test_fifty_five_thousand_digests_pass_in_one_call(self, cache, store) -> None:  # FMB-06, HC-01
        here = store.keep(b"here")
        digests = [Digest(f"{n:064x}", 7) for n in range(1, 55_000)]
        assert len(await missing(cache, *digests, here)) == 54_999
        assert store.asked == [55_000]

    async def test_a_request_that_is_no_message_is_an_invalid_argument(self, cache) -> None:  # NET-04
        call = cache.channel.unary_unary(
            "/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs",
            request_serializer=bytes,
            response_deserializer=bytes,
        )
        with cache.refuses(INVALID):
            await call(b"\xff\xff\xff")


class TestBatchUpdateBlobs:
    async def test_each_blob_has_its_own_outcome(self, cache, store) -> None:  # BUB-01, BUB-02, DIG-18
        good, bad = of(b"good"), of(b"what was meant")
        answers = await update(cache, (good, b"good"), (bad, b"what was sent!"))
        assert [(a.digest.hash, a.status.code) for a in answers] == [(good.hash, 0), (bad.hash, 3)]
        assert all(a.HasField("status") for a in answers)
        assert store.blobs == {good: b"good"}

    async def test_a_wrong_size_is_refused_for_that_blob(self, cache, store) -> None:  # DIG-02
        wrong = of(b"abc")._replace(size_bytes=4)
        [answer] = await update(cache, (wrong, b"abc"))
        assert answer.status.code == 3
        assert store.blobs == {}

    @pytest.mark.parametrize("function", list(Function))
    @pytest.mark.parametrize("size", [1, 100_000])
    async def test_blobs_are_verified_by_the_function_of_the_request(self, cache, store, function, size) -> None:
        data = cache.noise(size)
        other = Function.BLAKE3 if function is Function.SHA256 else Function.SHA256
        right, wrong = of(data, function), of(data, other)
        answers = await update(cache, (right, data), (wrong, data), function=int(function))
        assert [a.status.code for a in answers] == [0, 3]
        assert store.blobs == {right: data}

    async def test_the_announced_total_passes_and_one_byte_more_keeps_nothing(self, cache, store) -> None:  # BUB-03/04
        exact = [(of(data), data) for data in (cache.noise(LIMIT - 5), b"12345")]
        assert [a.status.code for a in await update(cache, *exact)] == [0, 0]
        store.blobs.clear()
        over = [(of(data), data) for data in (cache.noise(LIMIT - 5, 1), b"123456")]
        with cache.refuses(INVALID, "max_batch_total_size_bytes"):
            await update(cache, *over)
        assert store.blobs == {}

    async def test_the_total_may_be_of_many_small_blobs(self, cache, store) -> None:  # BUB-04
        pairs = [(of(data), data) for data in (n.to_bytes(350, "big") for n in range(10_000))]
        assert all(a.status.code == 0 for a in await update(cache, *pairs))
        assert len(store.blobs) == 10_000

    async def test_a_hundred_thousand_blobs_in_one_batch_are_refused(self, cache) -> None:  # HC-03
        one = rx.BatchUpdateBlobsRequest.Request(digest=cache.message(EMPTY[Function.SHA256]))
        with cache.refuses(INVALID):
            await cache.cas.BatchUpdateBlobs(rx.BatchUpdateBlobsRequest(requests=[one] * 100_000))

    async def test_an_unannounced_compressor_is_refused_for_that_blob(self, cache, store) -> None:  # BUB-06
        digest = of(b"abc")
        requests = [
            rx.BatchUpdateBlobsRequest.Request(digest=cache.message(digest), data=b"abc", compressor=compressor)
            for compressor in (1, 77)
        ]
        response = await cache.cas.BatchUpdateBlobs(rx.BatchUpdateBlobsRequest(requests=requests))
        assert [a.status.code for a in response.responses] == [3, 3]
        assert store.blobs == {}

    async def test_what_is_present_is_not_written_again(self, cache, store) -> None:  # BUB-08
        digest = store.keep(b"here")
        [answer] = await update(cache, (digest, b"here"))
        assert answer.status.code == 0
        assert store.written == 0

    async def test_one_digest_twice_and_the_empty_blob_are_fine(self, cache, store) -> None:  # BUB-09, BUB-10
        digest = of(b"twice")
        answers = await update(cache, (digest, b"twice"), (digest, b"twice"), (EMPTY[Function.SHA256], b""))
        assert [a.status.code for a in answers] == [0, 0, 0]
        assert store.blobs == {digest: b"twice"}
        assert await update(cache) == []

    async def test_a_store_without_room_says_so_for_each_blob(self, cache, store) -> None:  # BUB-07
        store.failure = Error(Code.RESOURCE_EXHAUSTED, "the disk is full")
        [answer] = await update(cache, (of(b"abc"), b"abc"))
        assert (answer.status.code, answer.status.message) == (8, "the disk is full")

    async def test_an_unexpected_failure_shows_nothing_of_the_inside(self, cache, store) -> None:  # NET-05
        store.failure = ValueError("a secret of the server")
        with cache.refuses(grpc.StatusCode.INTERNAL, "internal error"):
            await update(cache, (of(b"abc"), b"abc"), (of(b"abd"), b"abd"))

    async def test_a_malformed_digest_keeps_nothing_of_the_batch(self, cache, store) -> None:
        bad = rx.BatchUpdateBlobsRequest.Request(digest=rx.Digest(hash="x", size_bytes=1), data=b"a")
        good = rx.BatchUpdateBlobsRequest.Request(digest=cache.message(of(b"a")), data=b"a")
        with cache.refuses(INVALID):
            await cache.cas.BatchUpdateBlobs(rx.BatchUpdateBlobsRequest(requests=[good, bad]))
        assert store.blobs == {}


class TestBatchReadBlobs:
    async def test_each_blob_has_its_own_status_and_its_digest(self, cache, store) -> None:  # BRB-01, BUB-02
        here, absent = store.keep(b"here"), of(b"absent")
        answers = await read(cache, here, absent, here)
        assert [(a.digest.hash, a.data, a.status.code) for a in answers] == [
            (here.hash, b"here", 0),
            (absent.hash, b"", 5),
            (here.hash, b"here", 0),
        ]
        assert all(a.HasField("status") for a in answers)
        assert all(a.compressor == rx.Compressor.IDENTITY for a in answers)

    async def test_the_empty_blob_is_read_though_never_kept(self, cache) -> None:  # BRB-05
        [answer] = await read(cache, EMPTY[Function.BLAKE3], function=int(Function.BLAKE3))
        assert (answer.status.code, answer.data, answer.digest.size_bytes) == (0, b"", 0)

    async def test_declared_sizes_past_the_total_are_refused_before_any_read(
        self, cache, store
    ) -> None:  # BRB-02, HC-04
        digest = store.keep(cache.noise(LIMIT // 2 + 1))
        with cache.refuses(INVALID, "max_batch_total_size_bytes"):
            await read(cache, digest, digest)
        assert store.read_bytes == 0
        with cache.refuses(INVALID):
            await read(cache, Digest(GOOD, 2**63 - 1), Digest(GOOD, 2**63 - 1))  # HD-03

    async def test_an_answer_of_the_whole_total_reaches_a_client_of_default_limits(
        self, cache, store
    ) -> None:  # BRB-03
        digests = [store.keep(n.to_bytes(700, "big")) for n in range(LIMIT // 700)]
        async with grpc.aio.insecure_channel(cache.address) as channel:
            stub = type(cache.cas)(channel)
            response = await stub.BatchReadBlobs(rx.BatchReadBlobsRequest(digests=map(cache.message, digests)))
        assert [a.data for a in response.responses] == [n.to_bytes(700, "big") for n in range(LIMIT // 700)]

    async def test_compressors_that_a_client_would_accept_are_its_wish_only(self, cache, store) -> None:  # BRB-04
        digest = store.keep(b"plain")
        request = rx.BatchReadBlobsRequest(digests=[cache.message(digest)], acceptable_compressors=[1, 77])
        [answer] = (await cache.cas.BatchReadBlobs(request)).responses
        assert (answer.compressor, answer.data) == (rx.Compressor.IDENTITY, b"plain")

    async def test_a_malformed_digest_fails_the_whole_call(self, cache) -> None:  # BRB-07
        with cache.refuses(INVALID):
            await read(cache, Digest(GOOD.upper(), 1))

    async def test_a_blob_of_another_size_than_its_digest_is_damaged(self, cache, store) -> None:
        digest = of(b"whole")
        store.blobs[digest] = b"who"
        [answer] = await read(cache, digest)
        assert answer.status.code == Code.DATA_LOSS


def directory(store, *children: Digest, name: str = "d", files: int = 0) -> Digest:
    nodes = [
        rx.DirectoryNode(name=f"{name}{place}", digest=rx.Digest(hash=child.hash, size_bytes=child.size_bytes))
        for place, child in enumerate(children)
    ]
    node = rx.FileNode(name="f" * 40, digest=rx.Digest(hash=GOOD, size_bytes=1))
    return store.keep(rx.Directory(directories=nodes, files=[node] * files).SerializeToString())


async def pages(cache, root: Digest, size: int = 0, token: str = "", instance: str = "") -> list[rx.GetTreeResponse]:
    request = rx.GetTreeRequest(
        instance_name=instance, root_digest=cache.message(root), page_size=size, page_token=token
    )
    return [page async for page in cache.cas.GetTree(request)]


def digests_in(answers: list[rx.GetTreeResponse]) -> list[Digest]:
    return [of(found.SerializeToString()) for page in answers for found in page.directories]


class TestGetTree:
    async def test_every_directory_comes_once_root_first_and_breadth_first(
        self, cache, store
    ) -> None:  # GTR-02, GTR-04
        leaf = directory(store, files=1)
        left, right = directory(store, leaf, name="l"), directory(store, leaf, leaf, name="r")
        root = directory(store, left, right, leaf)
        assert digests_in(await pages(cache, root)) == [root, left, right, leaf]

    async def test_a_missing_root_is_not_found(self, cache) -> None:  # GTR-01
        with cache.refuses(grpc.StatusCode.NOT_FOUND):
            await pages(cache, of(b"root"))

    async def test_a_missing_subtree_is_left_out(self, cache, store) -> None:  # GTR-03
        child, gone = directory(store, files=1), directory(store, files=2)
        root = directory(store, gone, child)
        del store.blobs[gone]
        assert digests_in(await pages(cache, root)) == [root, child]

    async def test_a_diamond_of_thirty_levels_has_thirty_one_directories(self, cache, store) -> None:  # GTR-04, HC-27
        root = directory(store, files=1)
        for _ in range(30):
            root = directory(store, root, root)
        assert len(digests_in(await pages(cache, root))) == 31

    async def test_a_chain_of_five_thousand_directories_is_walked(self, cache, store) -> None:  # HC-28
        root = directory(store, files=1)
        for _ in range(5000):
            root = directory(store, root)
        assert len(digests_in(await pages(cache, root))) == 5001

    async def test_any_page_can_be_resumed_by_its_token(self, cache, store) -> None:  # GTR-05
        root = directory(store, *(directory(store, files=n) for n in range(1, 5)))
        answers = await pages(cache, root, size=2)
        assert [len(page.directories) for page in answers] == [2, 2, 1]
        assert answers[-1].next_page_token == ""
        whole = digests_in(answers)
        for cut in (1, 2):
            rest = await pages(cache, root, size=2, token=answers[cut - 1].next_page_token)
            assert digests_in(rest) == whole[2 * cut :]

    async def test_a_page_can_be_resumed_though_its_first_directory_has_gone(self, cache, store) -> None:
        children = [directory(store, files=n) for n in range(1, 5)]
        answers = await pages(cache, root := directory(store, *children), size=2)
        del store.blobs[children[1]]
        rest = await pages(cache, root, token=answers[0].next_page_token)
        assert digests_in(rest) == children[2:]

    async def test_tokens_of_others_are_refused(self, cache, store) -> None:  # GTR-06, HC-30, INS-05
        root = directory(store, *(directory(store, files=n) for n in range(1, 5)))
        other = directory(store, root)
        token = (await pages(cache, root, size=1))[0].next_page_token
        digest, _, _ = token.rpartition("-")
        for forged in (
            "x",
            "1",
            digest,
            f"{digest}-",
            f"{digest}-0",
            "-".join((GOOD, "1", "0")),
            "ä-1-2",
            "\0",
            "9" * 5000,
        ):
            with cache.refuses(INVALID, "page_token"):
                await pages(cache, root, token=forged)
        for where in ({"root": other}, {"root": root, "instance": "a/b"}):
            with cache.refuses(INVALID, "page_token"):
                await pages(cache, token=token, **where)

    @pytest.mark.parametrize("size", [-1, -(2**31)])
    async def test_a_negative_page_size_is_refused(self, cache, store, size) -> None:  # GTR-05, HC-30
        with cache.refuses(INVALID, "page_size"):
            await pages(cache, directory(store), size=size)

    async def test_messages_stay_near_one_mebibyte(self, cache, store) -> None:  # GTR-07
        children = [directory(store, directory(store, files=n + 1), files=4000) for n in range(12)]
        root = directory(store, *children)
        answers = await pages(cache, root)
        assert len(answers) > 3
        assert max(page.ByteSize() for page in answers) <= 1 << 20
        assert len(digests_in(answers)) == 1 + 12 + 12

    async def test_a_directory_too_large_for_a_message_is_refused_before_it_is_read(
        self, cache
    ) -> None:  # HC-29, HC-31
        with cache.refuses(INVALID, "too large"):
            await pages(cache, Digest(GOOD, 5 << 30))

    @pytest.mark.parametrize("data", [b"\xff\xff\xff", b"just some text"])
    async def test_a_blob_that_is_no_directory_is_refused(self, cache, store, data) -> None:  # GTR-08
        with cache.refuses(INVALID, "is not a Directory"):
            await pages(cache, store.keep(data))
        with cache.refuses(INVALID, "is not a Directory"):
            await pages(cache, directory(store, store.keep(data)))

    async def test_a_malformed_digest_inside_is_refused(self, cache, store) -> None:  # HD-01
        with cache.refuses(INVALID):
            await pages(cache, directory(store, Digest("../../etc/passwd", 5)))

    async def test_the_empty_root_is_one_empty_directory(self, cache) -> None:  # GTR-09
        [page] = await pages(cache, EMPTY[Function.SHA256])
        assert [len(page.directories), page.directories[0].ByteSize()] == [1, 0]

    async def test_a_client_that_leaves_ends_the_walk(self, cache, store) -> None:
        root = directory(store, *(directory(store, directory(store, files=n + 1), files=9000) for n in range(30)))
        call = cache.cas.GetTree(rx.GetTreeRequest(root_digest=cache.message(root)))
        await call.read()
        call.cancel()
        await cache.until(lambda: store.open_reads == 0)


async def test_split_and_splice_are_not_served(cache) -> None:  # SPL-01
    for call, request in ((cache.cas.SplitBlob, rx.SplitBlobRequest()), (cache.cas.SpliceBlob, rx.SpliceBlobRequest())):
        with cache.refuses(grpc.StatusCode.UNIMPLEMENTED):
            await call(request)


async def test_a_huge_look_up_lets_others_in_between(store, site) -> None:  # HC-01
    service: Service = cas.build([cas.CasSpec(cas_store="CAS")], site)
    request = rx.FindMissingBlobsRequest(
        blob_digests=[rx.Digest(hash=f"{n:064x}", size_bytes=7) for n in range(50_000)]
    )
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    await service.FindMissingBlobs(request, None)
    other.cancel()
    assert turns > 20


def test_chunking_needs_an_index(site: Site) -> None:
    spec = cas.CasSpec(cas_store="CAS", experimental_chunking=cas.ChunkingSpec())
    with pytest.raises(Error, match="has no index_store") as caught:
        cas.build([spec], site)
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert caught.value.remedy


def test_chunking_is_judged_with_the_config() -> None:
    assert cas.ChunkingSpec.problems(cas.ChunkingSpec(avg_chunk_size_bytes=1023))
    assert not cas.ChunkingSpec.problems(cas.ChunkingSpec())
    same = cas.CasSpec(cas_store="CAS", experimental_chunking=cas.ChunkingSpec(index_store="CAS"))
    assert cas.CasSpec.problems(same)
