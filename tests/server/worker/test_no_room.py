"""Outputs that find no room: told as a failure of the attempt, because "not now" would be tried for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from nlserver.errors import Code
from nlserver.eviction import EvictionPolicy
from nlserver.stores.fast_slow import FastSlowSpec
from nlserver.stores.filesystem import FilesystemSpec
from nlserver.stores.memory import MemorySpec

from tests.server.worker.shop import Shop


@pytest.fixture
def cas_spec(tmp_path: Path) -> FastSlowSpec:
    fast = FilesystemSpec(content_path=str(tmp_path / "content"), temp_path=str(tmp_path / "temp"))
    return FastSlowSpec(fast=fast, slow=MemorySpec(eviction_policy=EvictionPolicy(max_bytes=50_000)))


async def test_outputs_that_the_cas_has_no_room_for_cost_an_attempt(shop: Shop) -> None:
    result = await shop.sh("head -c 100000 /dev/zero > out", outputs=["out"])
    assert result.internal_error.code == Code.INTERNAL
    assert "max_bytes = 50000" in result.internal_error.message
