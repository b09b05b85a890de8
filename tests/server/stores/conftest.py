"""Stores as an engine builds them, with a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from nlserver.eviction import EvictionPolicy
from nlserver.spec import Site
from nlserver.store import Store, StoreSpec
from nlserver.stores.filesystem import Filesystem, FilesystemSpec


class ManualClock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def build(clock: ManualClock) -> AsyncIterator[Callable[..., Store]]:
    """Builds a store from its spec; background work waits for the test to ask for it."""
    sites: list[Site] = []

    def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> None:
        coroutine.close()

    def made(spec: StoreSpec, **named: StoreSpec) -> Store:
        sites.append(Site({"store": dict(named)}, clock=clock, spawn=spawn))
        return spec.build(sites[-1])

    yield made
    await asyncio.gather(*(site.close() for site in sites))


@pytest.fixture
def files(tmp_path: Path, build: Callable[..., Store]) -> Callable[..., Filesystem]:
    """Opens the filesystem store below `tmp_path`, as often as asked: each is another process to the others."""

    def opened(policy: EvictionPolicy | None = None, **keys: Any) -> Filesystem:
        spec = FilesystemSpec(
            content_path=f"{tmp_path}/content", temp_path=f"{tmp_path}/temp", eviction_policy=policy, **keys
        )
        store = build(spec)
        assert isinstance(store, Filesystem)
        return store

    return opened
