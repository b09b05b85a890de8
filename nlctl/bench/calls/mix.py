"""A mix of calls, as builds make them."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Final

from nlctl.bench.calls import ac, cas
from nlctl.bench.calls.call import Call, Connection
from nlctl.bench.calls.upload import put
from nlctl.bench.mix import FIND_DIGESTS, SHARES, Step, sizes, steps
from nlctl.bench.orders import Exchange
from nlctl.bench.payload import Payload

_READS: Final = 1000
"""The largest of so many has 15 MB."""
_WRITES: Final = 300
"""As many as one round writes, so that every round writes the same sizes; the largest has 6 MB."""
_STEPS: Final = 1000
_SMALL: Final = 64


class Mixed(Call):
    """Reads and writes of many sizes, results, and questions; one call after the other in random order."""

    def __init__(self, connection: Connection, seed: int, compressible: float) -> None:
        reads = Payload.several(sizes(_READS), seed, compressible)
        writes = Payload.several(sizes(_WRITES), seed + 2, compressible)
        [small] = Payload.several([_SMALL], seed + 1)
        self._calls: dict[Step, Call] = {
            Step.READ: _Reads(connection, reads),
            Step.WRITE: _Writes(connection, writes),
            Step.FIND: cas.Find(connection, FIND_DIGESTS, FIND_DIGESTS // 2, small),
            Step.RESULT: ac.Hit(connection, small),
        }
        assert self._calls.keys() == SHARES.keys()
        self._turn = itertools.cycle(steps(_STEPS, seed))
        bytes_of = {Step.READ: statistics.fmean(sizes(_READS)), Step.WRITE: statistics.fmean(sizes(_WRITES))}
        moved = sum(SHARES[step] * mean for step, mean in bytes_of.items()) / sum(SHARES.values())
        self._mean_exchange = Exchange(0, int(moved))

    async def set_up(self) -> Exchange:
        """Upload what is read, and make a call of each kind."""
        for call in self._calls.values():
            await call.set_up()
        return self._mean_exchange

    async def once(self) -> int:
        """The next call."""
        return await self._calls[next(self._turn)].once()


class _Reads(Call):
    """Reads of one size after the other."""

    def __init__(self, connection: Connection, payloads: Sequence[Payload]) -> None:
        self._connection = connection
        self._blobs = [payload.fresh() for payload in payloads]
        self._uploaded = False
        requests = [(cas.read_request(connection.prefix, blob.digest), blob.digest.size_bytes) for blob in self._blobs]
        # The sizes are sorted: taken in another order, small ones and large ones alternate.
        stride = 7 * len(requests) // 11 | 1
        self._turn = itertools.cycle([requests[place * stride % len(requests)] for place in range(len(requests))])

    async def set_up(self) -> Exchange:
        if not self._uploaded:
            await put(self._connection, self._blobs)
            self._uploaded = True
        await cas.read_back(self._connection, self._blobs[len(self._blobs) // 2])
        return Exchange(0, 0)

    async def once(self) -> int:
        request, size = next(self._turn)
        return await cas.read_through(self._connection, request, size)


class _Writes(Call):
    """Writes of one size after the other."""

    def __init__(self, connection: Connection, payloads: Sequence[Payload]) -> None:
        self._calls = [cas.Write(connection, payload) for payload in payloads]
        stride = 5 * len(payloads) // 11 | 1
        self._turn = itertools.cycle([self._calls[place * stride % len(payloads)] for place in range(len(payloads))])

    async def set_up(self) -> Exchange:
        return await self._calls[len(self._calls) // 2].set_up()

    async def once(self) -> int:
        return await next(self._turn).once()
