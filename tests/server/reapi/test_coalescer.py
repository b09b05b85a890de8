import asyncio

import pytest
from nlserver.errors import Code, Error
from nlserver.reapi.coalescer import Coalescer


class Recorder:
    """Doubles numbers, remembers the batches, and holds them back until it is told to go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()

    async def send(self, numbers):
        self.batches.append(list(numbers))
        await self.go.wait()
        return [Error(Code.NOT_FOUND, str(number)) if number < 0 else number * 2 for number in numbers]


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_is_asked_in_one_turn_goes_out_together():
    recorder = Recorder()
    recorder.go.set()
    coalescer = Coalescer(recorder.send, most_weight=100)
    assert await asyncio.gather(*(coalescer.ask(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert recorder.batches == [[0, 1, 2, 3, 4]]


async def test_what_comes_while_all_slots_are_busy_goes_out_together_afterwards():
    recorder = Recorder()
    coalescer = Coalescer(recorder.send, most_weight=100, slots=1)
    asked = [asyncio.create_task(coalescer.ask(0))]
    await turns()
    asked += [asyncio.create_task(coalescer.ask(number)) for number in (1, 2, 3)]
    await turns()
    assert recorder.batches == [[0]]
    recorder.go.set()
    assert await asyncio.gather(*asked) == [0, 2, 4, 6]
    assert recorder.batches == [[0], [1, 2, 3]]


async def test_batches_keep_their_weight_and_their_number():
    recorder = Recorder()
    recorder.go.set()
    coalescer = Coalescer(recorder.send, most_weight=10, most_items=3, slots=1)
    await asyncio.gather(*(coalescer.ask(number, weight) for number, weight in enumerate([6, 6, 50, 0, 0, 0, 0])))
    assert recorder.batches == [[0], [1], [2], [3, 4, 5], [6]]
    assert coalescer.queued_weight == 0


async def test_one_question_may_fail_and_the_others_succeed():
    recorder = Recorder()
    recorder.go.set()
    coalescer = Coalescer(recorder.send, most_weight=100)
    good, bad = await asyncio.gather(coalescer.ask(1), coalescer.ask(-1), return_exceptions=True)
    assert good == 2
    assert isinstance(bad, Error)


async def test_a_call_that_fails_fails_for_everybody_and_the_next_goes_on():
    broken = True

    async def send(numbers):
        if broken:
            raise ValueError("a defect")
        return numbers

    coalescer = Coalescer(send, most_weight=100, slots=1)
    answers = await asyncio.gather(coalescer.ask(1), coalescer.ask(2), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["a defect", "a defect"]
    broken = False
    assert await coalescer.ask(3) == 3


async def test_who_is_cancelled_while_waiting_is_left_out_and_disturbs_nobody():
    recorder = Recorder()
    coalescer = Coalescer(recorder.send, most_weight=100, slots=1)
    first = asyncio.create_task(coalescer.ask(0))
    await turns()
    second, third = asyncio.create_task(coalescer.ask(1)), asyncio.create_task(coalescer.ask(2))
    await turns()
    first.cancel()
    second.cancel()
    await turns()
    recorder.go.set()
    assert await third == 4
    assert recorder.batches == [[0], [2]]


async def test_closing_fails_whoever_waits():
    recorder = Recorder()
    coalescer = Coalescer(recorder.send, most_weight=100, slots=1)
    asked = [asyncio.create_task(coalescer.ask(0))]
    await turns()
    asked.append(asyncio.create_task(coalescer.ask(1)))
    await turns()
    await coalescer.close()
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(answer, Error)
        assert answer.code is Code.CANCELLED
    with pytest.raises(Error):
        await coalescer.ask(2)
