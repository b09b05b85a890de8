from collections.abc import AsyncIterator

import pytest
from nlserver.reapi.client import Client
from nlserver.reapi.endpoint import RetrySpec

from tests.server.reapi.peer import Peer, serving

SOON = RetrySpec(max_retries=3, delay=0.001)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with serving() as made:
        yield made


@pytest.fixture
async def client(peer: Peer) -> AsyncIterator[Client]:
    async with Client(cas=peer.address, executor=peer.address, retry=SOON, timeout_seconds=5) as made:
        yield made
