"""Equal work that is asked for at a time is done once, for as long as anybody wants it."""

from __future__ import annotations

import asyncio

import pytest
from nlserver.asset.flights import Flights
from nlserver.errors import Code, Error


class Work:
    def __init__(self) -> None:
        self.started = 0
        self.cancelled = 0
        self.going = asyncio.Event()
        self.end = asyncio.Event()

    async def __call__(self) -> int:
        self.started += 1
        number = self.started
        self.going.set()
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return number


async def test_everybody_gets_what_one_run_gave() -> None:
    flights, work = Flights[int](), Work()
    waiting = [asyncio.create_task(flights.join("x", work)) for _ in range(20)]
    other = asyncio.create_task(flights.join("y", work))
    await work.going.wait()
    work.end.set()
    assert await asyncio.gather(*waiting) == [1] * 20
    assert await other == 2
    assert await flights.join("x", work) == 3


async def test_work_goes_on_while_one_still_waits_and_ends_with_the_last() -> None:
    flights, work = Flights[int](), Work()
    one, two = (asyncio.create_task(flights.join("x", work)) for _ in range(2))
    await work.going.wait()
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    assert work.cancelled == 0
    two.cancel()
    await asyncio.gather(two, return_exceptions=True)
    assert (work.started, work.cancelled) == (1, 1)
    work.end.set()
    assert await flights.join("x", work) == 2


async def test_a_failure_is_everybodys_and_the_next_tries_again() -> None:
    flights = Flights[int]()
    runs = 0

    async def failing() -> int:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)
        raise Error(Code.ABORTED, f"run {runs}")

    waiting = [asyncio.create_task(flights.join("x", failing)) for _ in range(3)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["run 1"] * 3
    with pytest.raises(Error, match="run 2"):
        await flights.join("x", failing)
