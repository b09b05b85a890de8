"""The connected workers, and which of them may be given work, in the order in which they are asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from nlserver.dispatch.properties import Needs
from nlserver.dispatch.records import Worker


class Pool:
    """Workers by id. `ready` runs from the least to the most recently used; a worker that takes nothing is not in it.

    `gained` holds the ready workers that have become able to do more since the last `choose` found nothing: only they
    are worth asking for work that found no place before.
    """

    def __init__(self, newest_first: bool) -> None:
        self.workers: dict[str, Worker] = {}
        self.ready: OrderedDict[str, Worker] = OrderedDict()
        self.gained: set[str] = set()
        self._newest_first = newest_first

    def add(self, worker: Worker) -> None:
        """A new worker counts as the most recently used."""
        self.workers[worker.id] = worker
        self.settle(worker, gained=True)

    def remove(self, worker: Worker) -> None:
        """Forget a worker."""
        del self.workers[worker.id]
        self.ready.pop(worker.id, None)
        self.gained.discard(worker.id)

    def settle(self, worker: Worker, *, gained: bool) -> None:
        """Work with what just changed on a worker, which is now the most recently used."""
        if not worker.accepts:
            self.ready.pop(worker.id, None)
            self.gained.discard(worker.id)
            return
        self.ready[worker.id] = worker
        self.ready.move_to_end(worker.id)
        if gained:
            self.gained.add(worker.id)

    def choose(self, needs: Needs, *, gained_only: bool) -> Worker | None:
        """The worker that should run an action with these needs now, or None."""
        for worker in self._candidates(gained_only):
            if worker.fits_now(needs):
                return worker
        return None

    def _candidates(self, gained_only: bool) -> Iterable[Worker]:
        if gained_only and len(self.gained) == 1:
            return [self.ready[next(iter(self.gained))]]
        ordered = reversed(self.ready.values()) if self._newest_first else self.ready.values()
        return (worker for worker in ordered if worker.id in self.gained) if gained_only else ordered
