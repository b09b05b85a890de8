"""The walk of GetTree and its page tokens, without any I/O."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.digest import Digest, Function, of
from nlserver.transfer.limits import MOST_DIRECTORY_BYTES
from nlserver.transfer.tree_walk import Pages, Walk, start_of, token_of

ROOT = of(b"root")


@settings(deadline=None)
@given(st.text())
def test_any_token_is_a_directory_or_an_error(token: str) -> None:
    try:
        start = start_of("scope", token, ROOT)
    except Error:
        return
    assert start is None or token == token_of("scope", start)


@pytest.mark.parametrize("function", list(Function))
def test_a_token_comes_back_as_its_directory(function: Function) -> None:
    digest = of(b"x", function)
    assert start_of("scope", token_of("scope", digest), digest) == digest
    with pytest.raises(Error):
        start_of("another scope", token_of("scope", digest), digest)


def test_a_batch_holds_few_enough_bytes_to_be_fetched_at_once() -> None:
    walk = Walk(ROOT)
    large = [Digest(f"{n:064x}", MOST_DIRECTORY_BYTES) for n in range(1, 4)]
    nodes = [rx.DirectoryNode(name=d.hash, digest=rx.Digest(hash=d.hash, size_bytes=d.size_bytes)) for d in large]
    walk.take()
    walk.found(ROOT, rx.Directory(directories=nodes).SerializeToString())
    assert [walk.take(), walk.take(), walk.take(), walk.take()] == [[d] for d in large] + [[]]


def test_a_tree_has_no_more_directories_than_can_be_remembered() -> None:
    walk = Walk(ROOT, most=3)
    nodes = [rx.DirectoryNode(name=str(n), digest=rx.Digest(hash=f"{n:064x}", size_bytes=9)) for n in (1, 2, 1, 2, 3)]
    walk.found(ROOT, rx.Directory(directories=nodes[:4]).SerializeToString())
    with pytest.raises(Error, match="more than 3 directories") as caught:
        walk.found(ROOT, rx.Directory(directories=nodes).SerializeToString())
    assert caught.value.code is Code.RESOURCE_EXHAUSTED


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 700_000), min_size=1, max_size=12), st.integers(0, 4))
def test_pages_hold_every_directory_once_in_order_and_stay_small(sizes: list[int], most: int) -> None:
    pages = Pages("scope", most, None)
    directories = [(Digest(f"{n:064x}", size), b"\x0a" + bytes(size - 1)) for n, size in enumerate(sizes, 1)]
    made = [page for digest, data in directories if (page := pages.add(digest, data))]
    made.append(pages.last())
    assert sum(len(page) for page in made) >= sum(sizes)
    assert all(len(page) <= 1 << 20 for page in made)
    if most:
        assert len(made) >= len(sizes) / most
