"""Letting workers finish: no new work for them, and then the wait until each runs nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nlserver.errors import Code, Error

from nlctl import admin

_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Idle:
    """A worker that runs nothing any more: how many actions it finished since the drain began."""

    name: str
    finished: int


@dataclass(frozen=True)
class Waiting:
    """How many actions the workers that are not yet idle still run."""

    running: int


def drain(endpoint: str, names: Sequence[str]) -> list[admin.WorkerFacts]:
    """Give these workers no new work; those of them that are connected, as they stand. Raises Error."""
    there = [one.name for one in admin.workers(endpoint) if one.name in names]
    return admin.set_drain(endpoint, there, draining=True) if there else []


def release(endpoint: str, names: Sequence[str]) -> None:
    """Give these workers work again, those that are still connected."""
    there = [one.name for one in admin.workers(endpoint) if one.name in names]
    if there:
        admin.set_drain(endpoint, there, draining=False)


def until_idle(endpoint: str, drained: Sequence[admin.WorkerFacts], deadline: float) -> Iterator[Idle | Waiting]:
    """Each of these workers once it runs nothing, and between looks what still runs.

    Ends when all are idle, or at the monotonic deadline. A worker that went away runs nothing.
    """
    before = {one.id: one for one in drained}
    while before:
        now = {one.id: one for one in _seen(endpoint)}
        for id_, worker in list(before.items()):
            current = now.get(id_)
            if current is None or not current.operations:
                del before[id_]
                yield Idle(worker.name, current.completed - worker.completed if current else 0)
        if not before or time.monotonic() >= deadline:
            return
        yield Waiting(sum(len(now[id_].operations) for id_ in before))
        time.sleep(_LOOK_SECONDS)


def _seen(endpoint: str) -> list[admin.WorkerFacts]:
    """Nobody, while the scheduler starts anew: what ran there has ended."""
    try:
        return admin.workers(endpoint)
    except Error as error:
        if error.code is Code.UNAVAILABLE:
            return []
        raise
