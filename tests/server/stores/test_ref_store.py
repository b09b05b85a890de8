"""A reference is the store itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from nlserver.errors import Code, Error
from nlserver.spec import Site
from nlserver.store import Store, store_named
from nlserver.stores.memory import MemorySpec
from nlserver.stores.noop import NoopSpec
from nlserver.stores.ref_store import RefStoreSpec
from nlserver.streams import once


def test_both_names_are_one_store() -> None:
    site = Site({"store": {"ALIAS": RefStoreSpec(name="MAIN"), "MAIN": MemorySpec()}})
    assert store_named(site, "ALIAS") is store_named(site, "MAIN")


def test_an_unknown_name_says_which_names_there_are() -> None:
    site = Site({"store": {"ALIAS": RefStoreSpec(name="MIAN"), "MAIN": MemorySpec()}})
    with pytest.raises(Error, match="'MIAN' does not exist") as caught:
        store_named(site, "ALIAS")
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert "MAIN" in caught.value.remedy


def test_names_in_a_circle_are_named() -> None:
    site = Site({"store": {name: RefStoreSpec(name=target) for name, target in (("A", "B"), ("B", "C"), ("C", "A"))}})
    with pytest.raises(Error, match="A -> B -> C -> A"):
        store_named(site, "A")


async def test_noop_pulls_a_stream_to_its_end_and_keeps_nothing(build: Callable[..., Store]) -> None:
    store = build(NoopSpec())
    chunks = once(b"some bytes")
    await store.write("key", chunks)
    assert await anext(chunks, None) is None
    await store.put("key", b"some bytes")
    assert await store.sizes(["key"]) == [None]
    assert not store.keeps_values
