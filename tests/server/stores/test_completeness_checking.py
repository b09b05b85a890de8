"""A result is shown exactly when everything that it names is in the CAS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.clock import SystemClock
from nlserver.errors import Code, Error
from nlserver.eviction import UNBOUNDED, EvictionPolicy
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.closure import MOST_DIRECTORIES, Directories
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.reapi.tree import message_of
from nlserver.store import Key, Missing, Store, Wrapper
from nlserver.stores.completeness_checking import CompletenessChecking, CompletenessCheckingSpec
from nlserver.stores.memory import Memory, MemorySpec
from nlserver.streams import closing, gather, once

ACTION = of(b"an action")
PASTE = b"x" * 70


class Watched(Wrapper):
    """A CAS that notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__(Memory(UNBOUNDED, SystemClock()))
        self.used: set[Key] = set()
        self.read_bytes = 0
        self.failure: Error | None = None

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        if self.failure is not None:
            raise self.failure
        self.used.update(keys)
        return await super().sizes(keys)

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        data = await super().get(key, most)
        self.read_bytes += len(data)
        return data


class Bench:
    """An action cache with its CAS, and results made of blobs that are put there."""

    def __init__(self, function: Function = Function.SHA256) -> None:
        self.function = function
        self.action = of(b"an action", function)
        self.cas = Watched()
        self.results = Memory(UNBOUNDED, SystemClock())
        self.store = CompletenessChecking(self.results, self.cas)
        self.closure: set[Digest] = set()

    async def blob(self, data: bytes, *, named: bool = True) -> rx.Digest:
        digest = of(data, self.function)
        await self.cas.put(digest, data)
        if named and data:
            self.closure.add(digest)
        return message_of(digest)

    async def directory(self, files: Sequence[bytes] = (), below: Sequence[rx.Directory] = ()) -> rx.Directory:
        made = rx.Directory()
        for number, data in enumerate(files):
            made.files.add(name=f"file{number}").digest.CopyFrom(await self.blob(data))
        for number, child in enumerate(below):
            digest = of(child.SerializeToString(), self.function)
            made.directories.add(name=f"directory{number}").digest.CopyFrom(message_of(digest))
        return made

    async def tree(self, root: rx.Directory, *children: rx.Directory) -> rx.Digest:
        return await self.blob(rx.Tree(root=root, children=children).SerializeToString())

    async def root(self, root: rx.Directory, *children: rx.Directory) -> rx.Digest:
        for child in children:
            await self.blob(child.SerializeToString())
        return await self.blob(root.SerializeToString())

    async def keep(self, result: rx.ActionResult) -> None:
        await self.store.put(self.action, result.SerializeToString())

    async def shown(self) -> bool:
        """Whether the result is there, which each way of asking must agree on."""
        size = (await self.store.sizes([self.action]))[0]
        if size is None:
            with pytest.raises(Missing) as caught:
                await self.store.get(self.action)
            assert caught.value.keys == (self.action,)
            with pytest.raises(Missing):
                await anext(self.store.read(self.action))
            return False
        data = await self.store.get(self.action)
        assert size == len(data)
        async with closing(self.store.read(self.action)) as chunks:
            assert await gather(chunks, 1 << 20) == data == await self.results.get(self.action)
        return True

    async def hidden_without_any(self) -> None:
        """The result is shown, having used its closure and nothing else, and hidden without any blob of it."""
        self.cas.used.clear()
        assert await self.shown()
        assert {key for key in self.cas.used if key not in EMPTY.values()} == self.closure
        for digest in self.closure:
            data = await self.cas.backend.get(digest)
            await self.cas.remove(digest)
            assert not await self.shown(), digest
            await self.cas.put(digest, data)
        assert await self.shown()


@pytest.fixture(params=Function)
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


async def test_files_and_streams_are_looked_for(bench: Bench) -> None:
    result = rx.ActionResult(stdout_digest=await bench.blob(b"out"), stderr_digest=await bench.blob(b"err"))
    for data in (b"one", b"two", b""):
        result.output_files.add(path=f"file{data}").digest.CopyFrom(await bench.blob(data))
    await bench.keep(result)
    await bench.hidden_without_any()
    assert bench.cas.read_bytes == 0


async def test_a_stream_that_stands_in_the_result_has_its_blob_too(bench: Bench) -> None:
    await bench.keep(rx.ActionResult(stdout_raw=b"out", stdout_digest=await bench.blob(b"out")))
    await bench.hidden_without_any()


async def test_a_result_that_names_nothing_is_complete(bench: Bench) -> None:
    await bench.keep(rx.ActionResult(exit_code=1))
    await bench.hidden_without_any()


async def test_every_file_inside_of_trees_is_looked_for(bench: Bench) -> None:
    leaf = await bench.directory([b"leaf", b""])
    middle = await bench.directory([b"middle"], [leaf, leaf])
    orphan = await bench.directory([b"orphan"])
    result = rx.ActionResult()
    root = await bench.directory([b"root"], [middle])
    tree = await bench.tree(root, root, leaf, middle, orphan, leaf)
    result.output_directories.add(path="first").tree_digest.CopyFrom(tree)
    other = await bench.tree(await bench.directory([b"other"]))
    result.output_directories.add(path="second").tree_digest.CopyFrom(other)
    empty = await bench.tree(rx.Directory())
    result.output_directories.add(path="third").tree_digest.CopyFrom(empty)
    await bench.keep(result)
    await bench.hidden_without_any()


@pytest.mark.parametrize("with_tree", [False, True])
async def test_all_below_a_root_directory_is_looked_for(bench: Bench, with_tree: bool) -> None:
    leaf = await bench.directory([b"leaf"])
    middle = await bench.directory([b"middle"], [leaf])
    root = await bench.directory([b"root"], [middle, leaf, rx.Directory()])
    result = rx.ActionResult()
    output = result.output_directories.add(path="out")
    output.root_directory_digest.CopyFrom(await bench.root(root, middle, leaf))
    if with_tree:
        output.tree_digest.CopyFrom(await bench.tree(root, middle, leaf, rx.Directory()))
    await bench.keep(result)
    await bench.hidden_without_any()


async def test_what_the_tree_says_is_not_read_again(bench: Bench) -> None:
    leaf = await bench.directory([b"leaf"])
    root = await bench.directory([b"root"], [leaf])
    result = rx.ActionResult()
    output = result.output_directories.add(path="out", root_directory_digest=await bench.root(root, leaf))
    output.tree_digest.CopyFrom(await bench.tree(root, leaf))
    await bench.keep(result)
    await bench.store.get(bench.action)
    assert bench.cas.read_bytes == output.tree_digest.size_bytes


@settings(deadline=None, max_examples=60)
@given(st.data())
async def test_the_closure_is_exact(data: st.DataObject) -> None:
    bench = Bench(data.draw(st.sampled_from(Function)))
    contents = st.lists(st.binary(max_size=3), max_size=3)
    directories = [rx.Directory()]
    for _ in range(data.draw(st.integers(0, 6))):
        below = data.draw(st.lists(st.sampled_from(directories), max_size=3))
        directories.append(await bench.directory(data.draw(contents), below))
    result = rx.ActionResult(stdout_digest=await bench.blob(data.draw(st.binary(max_size=3))))
    for content in data.draw(contents):
        result.output_files.add(path="f").digest.CopyFrom(await bench.blob(content))
    output = result.output_directories.add(path="d")
    forms = data.draw(st.sampled_from(["tree", "root", "both"]))
    if forms != "tree":
        output.root_directory_digest.CopyFrom(await bench.root(directories[-1], *directories[:-1]))
    if forms != "root":
        output.tree_digest.CopyFrom(await bench.tree(directories[-1], *directories[:-1]))
    # Directories that are not below the root are nobody's but the Tree's.
    bench.closure = reachable(result, bench, directories, with_orphans=forms != "root")
    await bench.blob(b"nobody names this", named=False)
    await bench.keep(result)
    await bench.hidden_without_any()


def reachable(
    result: rx.ActionResult, bench: Bench, made: Sequence[rx.Directory], *, with_orphans: bool
) -> set[Digest]:
    """The closure, as the API describes it."""

    def digest(message: rx.Digest) -> Digest:
        return Digest(message.hash, message.size_bytes, bench.function)

    by_digest = {of(one.SerializeToString(), bench.function): one for one in made}
    output = result.output_directories[0]
    row = [digest(output.root_directory_digest)] if output.HasField("root_directory_digest") else []
    found = {digest(file.digest) for file in result.output_files} | {digest(result.stdout_digest), *row}
    if output.HasField("tree_digest"):
        found.add(digest(output.tree_digest))
    while row:
        one = by_digest[row.pop()]
        below = {digest(node.digest) for node in one.directories}
        row += below - found
        found |= below | {digest(node.digest) for node in one.files}
    if with_orphans:
        found |= {digest(node.digest) for one in made for node in one.files}
    return {one for one in found if one.size_bytes}


BAD_DIGESTS = [
    rx.Digest(),
    rx.Digest(hash="a" * 63, size_bytes=1),
    rx.Digest(hash="A" * 64, size_bytes=1),
    rx.Digest(hash="a" * 64, size_bytes=-1),
    rx.Digest(hash="a" * 64, size_bytes=0),
]


@pytest.mark.parametrize("bad", BAD_DIGESTS)
async def test_a_malformed_digest_anywhere_hides_the_result(bad: rx.Digest) -> None:
    bench = Bench()
    with_file, with_child = rx.Directory(), rx.Directory()
    with_file.files.add(name="f").digest.CopyFrom(bad)
    with_child.directories.add(name="d").digest.CopyFrom(bad)
    output = rx.OutputDirectory
    results = [
        rx.ActionResult(output_files=[rx.OutputFile(path="f", digest=bad)]),
        rx.ActionResult(output_directories=[output(path="d", tree_digest=bad)]),
        rx.ActionResult(output_directories=[output(path="d", root_directory_digest=bad)]),
        rx.ActionResult(output_directories=[output(path="d", tree_digest=await bench.tree(with_file))]),
        rx.ActionResult(output_directories=[output(path="d", tree_digest=await bench.tree(with_child))]),
        rx.ActionResult(output_directories=[output(path="d", root_directory_digest=await bench.root(with_file))]),
        rx.ActionResult(output_directories=[output(path="d", root_directory_digest=await bench.root(with_child))]),
    ]
    if bad.hash:
        results.append(rx.ActionResult(stderr_digest=bad))
    for result in results:
        await bench.keep(result)
        assert not await bench.shown(), result


async def test_a_stream_without_a_hash_was_not_kept() -> None:
    bench = Bench()
    await bench.keep(rx.ActionResult(exit_code=1, stdout_digest=rx.Digest(), stderr_digest=rx.Digest()))
    assert await bench.shown()


async def test_what_is_no_tree_hides_the_result() -> None:
    bench = Bench()
    leaf = await bench.directory([b"leaf"])
    wrong_wire = b"\x08\x01"
    bad_utf8 = b"\x0a\x05\x0a\x03\x0a\x01\xff"
    lacking = rx.Tree(root=await bench.directory([], [leaf])).SerializeToString()
    for data in (b"\x0a\x05ab", wrong_wire, bad_utf8, lacking, PASTE):
        tree = await bench.blob(data)
        await bench.keep(rx.ActionResult(output_directories=[rx.OutputDirectory(path="d", tree_digest=tree)]))
        assert not await bench.shown(), data
    for data in (b"\x0a\x05ab", b"\x0a\x03\x0a\x01\xff"):
        root = await bench.blob(data)
        await bench.keep(rx.ActionResult(output_directories=[rx.OutputDirectory(path="d", root_directory_digest=root)]))
        assert not await bench.shown(), data


@pytest.mark.parametrize("damaged", [b"", b"\xff\xff", b"\x0a\x05ab"])
async def test_a_damaged_result_is_hidden(damaged: bytes) -> None:
    bench = Bench()
    await bench.results.put(bench.action, damaged)
    assert not await bench.shown()


async def test_a_tree_that_is_too_large_is_not_read() -> None:
    bench = Bench()
    large = rx.Digest(hash="a" * 64, size_bytes=(64 << 20) + 1)
    half = rx.Digest(hash="b" * 64, size_bytes=33 << 20)
    for trees in ([large], [half, rx.Digest(hash="c" * 64, size_bytes=33 << 20)]):
        outputs = [rx.OutputDirectory(path=tree.hash, tree_digest=tree) for tree in trees]
        await bench.keep(rx.ActionResult(output_directories=outputs))
        with pytest.raises(Missing, match="its Trees have"):
            await bench.store.get(bench.action)
    directory = rx.OutputDirectory(path="d", root_directory_digest=await bench.blob(bytes(5 << 20)))
    await bench.keep(rx.ActionResult(output_directories=[directory]))
    with pytest.raises(Missing, match="directories have"):
        await bench.store.get(bench.action)
    assert bench.cas.read_bytes == 0


def test_directories_are_counted() -> None:
    directories = Directories(Function.SHA256)
    for number in range(MOST_DIRECTORIES):
        made = rx.Directory(symlinks=[rx.SymlinkNode(name="s", target=str(number))])
        assert list(directories.add(made.SerializeToString())) == []
    with pytest.raises(Error, match="more than 100000 directories"):
        list(directories.add(rx.Directory(symlinks=[rx.SymlinkNode(name="s", target="s")]).SerializeToString()))


async def test_the_files_of_a_large_tree_are_never_held_together() -> None:
    bench = Bench()
    most = 0

    async def sizes(keys: Sequence[Key]) -> list[int | None]:
        nonlocal most
        most = max(most, len(keys))
        return [1 for _ in keys]

    bench.cas.sizes = sizes  # type: ignore[method-assign]
    root = rx.Directory()
    for number in range(30_000):
        root.files.add(name=str(number)).digest.CopyFrom(message_of(Digest(f"{number:064x}", 1)))
    tree = await bench.tree(root)
    assert tree.size_bytes > 2 << 20
    await bench.keep(rx.ActionResult(output_directories=[rx.OutputDirectory(path="d", tree_digest=tree)]))
    await asyncio.gather(*(bench.store.get(bench.action) for _ in range(3)))
    assert most <= 4096


async def test_a_cas_that_cannot_answer_is_no_miss() -> None:
    bench = Bench()
    await bench.keep(rx.ActionResult(stdout_digest=await bench.blob(b"out")))
    bench.cas.failure = Error(Code.UNAVAILABLE, "the CAS is away")
    for asked in (bench.store.get(bench.action), bench.store.sizes([bench.action])):
        with pytest.raises(Error, match="the CAS is away"):
            await asked


async def test_a_damaged_tree_in_the_cas_is_a_miss() -> None:
    bench = Bench()
    tree = await bench.tree(await bench.directory([b"file"]))
    await bench.keep(rx.ActionResult(output_directories=[rx.OutputDirectory(path="d", tree_digest=tree)]))

    async def damaged(key: Key, most: int = 0) -> bytes:
        raise Error(Code.DATA_LOSS, "its blocks do not fit")

    bench.cas.get = damaged  # type: ignore[method-assign]
    assert not await bench.shown()


async def test_what_a_result_names_outlives_what_is_not_asked_for(build: Callable[..., Store]) -> None:
    cas = build(MemorySpec(eviction_policy=EvictionPolicy(max_count=4)))
    store = CompletenessChecking(Memory(UNBOUNDED, SystemClock()), cas)
    root = rx.Directory(files=[rx.FileNode(name="f", digest=message_of(of(b"inside")))])
    tree = rx.Tree(root=root).SerializeToString()
    for data in (b"inside", tree, b"out", b"idle"):
        await cas.put(of(data), data)
    result = rx.ActionResult(stdout_digest=message_of(of(b"out")))
    result.output_directories.add(path="d", tree_digest=message_of(of(tree)))
    await store.put(ACTION, result.SerializeToString())
    await store.get(ACTION)
    await cas.put(of(b"one more"), b"one more")
    assert await cas.sizes([of(b"idle")]) == [None]
    await store.get(ACTION)


async def test_a_miss_stays_one_and_several_may_be_asked_for(bench: Bench) -> None:
    await bench.keep(rx.ActionResult(exit_code=3))
    size = len(rx.ActionResult(exit_code=3).SerializeToString())
    absent = of(b"another action", bench.function)
    assert await bench.store.sizes([absent, bench.action, absent]) == [None, size, None]
    with pytest.raises(Missing):
        await bench.store.get(absent)


async def test_results_are_read_in_parts_written_and_removed(bench: Bench) -> None:
    data = rx.ActionResult(exit_code=3, stdout_raw=PASTE).SerializeToString()
    await bench.store.write(bench.action, once(data))
    for offset, limit in ((0, 5), (3, None), (10, 20), (1000, None), (0, 0)):
        async with closing(bench.store.read(bench.action, offset, limit)) as chunks:
            assert await gather(chunks, 1000) == data[offset : None if limit is None else offset + limit]
    assert await bench.store.remove(bench.action)
    assert not await bench.shown()


async def test_a_config_builds_it(build: Callable[..., Any]) -> None:
    store = build(CompletenessCheckingSpec(backend=MemorySpec(), cas_store=MemorySpec()))
    assert list(store.children()) == ["backend", "cas_store"]
