"""How many actions a second of a core's time the dispatch machine takes from submission to result, without any I/O.

.venv/bin/python tests/bench/dispatch.py
"""

from __future__ import annotations

import time
from collections import deque

from nlserver.dispatch.effects import Effect, Start
from nlserver.dispatch.events import Abandoned, Finished, Submitted, WorkerJoined
from nlserver.dispatch.model import ActionRequest, Limits, Response, WorkerOffer
from nlserver.dispatch.properties import Kinds, PropertyKind, needs_of, offer_of
from nlserver.dispatch.state import State
from nlserver.reapi.digest import Digest

KINDS: Kinds = {"cpu_count": PropertyKind.MINIMUM, "OSFamily": PropertyKind.EXACT}
RESPONSE = Response(b"x" * 500)


def request(number: int, kinds_of_needs: int) -> ActionRequest:
    """An action; needs come in so many kinds."""
    silo = (("silo", str(number % kinds_of_needs)),) if kinds_of_needs > 1 else ()
    return ActionRequest("", Digest(f"{number:064x}", 100), (("OSFamily", "linux"), ("cpu_count", "1"), *silo))


def pool(workers: int, slots: int) -> State:
    """A machine with idle workers."""
    state = State(Limits(most_retained=2000))
    for number in range(workers):
        offer = WorkerOffer(f"w{number}", (("OSFamily", "linux"), ("cpu_count", str(slots))), slots)
        state.handle(WorkerJoined(f"w{number}", offer, offer_of(offer.properties, KINDS)), 0.0)
    return state


def backlog(workers: int, queued: int, kinds_of_needs: int) -> float:
    """Actions a second when all are queued at once and workers answer at once."""
    state = pool(workers, slots=4)
    requests = [request(number, kinds_of_needs) for number in range(queued)]
    running: deque[Start] = deque()
    begun = time.process_time()
    for number, each in enumerate(requests):
        needs = needs_of(each.properties, KINDS)
        note(state.handle(Submitted(f"o{number}", f"c{number}", each, needs), 1.0), running)
    done = 0
    while running:
        start = running.popleft()
        note(state.handle(Finished(start.worker, start.run, RESPONSE), 2.0), running)
        state.handle(Abandoned(start.operation.replace("o", "c")), 2.0)
        done += 1
    assert done == queued, (done, queued)
    return queued / (time.process_time() - begun)


def one_by_one(workers: int, actions: int) -> float:
    """Actions a second when each is submitted after the one before has ended."""
    state = pool(workers, slots=4)
    running: deque[Start] = deque()
    begun = time.process_time()
    for number in range(actions):
        each = request(number, 1)
        needs = needs_of(each.properties, KINDS)
        note(state.handle(Submitted(f"o{number}", f"c{number}", each, needs), 1.0), running)
        start = running.popleft()
        state.handle(Finished(start.worker, start.run, RESPONSE), 2.0)
        state.handle(Abandoned(f"c{number}"), 2.0)
    return actions / (time.process_time() - begun)


def note(effects: list[Effect], running: deque[Start]) -> None:
    """Remember what was started."""
    for effect in effects:
        if type(effect) is Start:
            running.append(effect)


def main() -> None:
    """Print one line a course."""
    for workers in (4, 100):
        print(f"{workers:>4} workers, one by one                     {one_by_one(workers, 10_000):>9,.0f} actions/s")
        for kinds_of_needs in (1, 10, 1000):
            rate = backlog(workers, 10_000, kinds_of_needs)
            print(f"{workers:>4} workers, 10,000 queued, {kinds_of_needs:>4} kinds of needs {rate:>9,.0f} actions/s")


if __name__ == "__main__":
    main()
