"""When what is due: many alarms, each moved often, of which only the next matters."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Alarms(Generic[K]):
    """One moment for each key. Moving an alarm to later, as every sign of life does, costs one dictionary write."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        # For each key with an alarm one entry at or before its moment; entries that are too early are moved when met.
        self._heap: list[tuple[float, int, K]] = []
        self._listed: dict[K, float] = {}
        self._serial = 0

    def __contains__(self, key: K) -> bool:
        return key in self._due

    def set(self, key: K, moment: float) -> None:
        """Ring for this key at this moment, and at no other."""
        self._due[key] = moment
        listed = self._listed.get(key)
        if listed is None or moment < listed:
            self._list(key, moment)

    def clear(self, key: K) -> None:
        """Ring no more for this key."""
        self._due.pop(key, None)
        if len(self._heap) > 64 + 4 * len(self._due):
            self._compact()

    def next(self) -> float | None:
        """The moment of the next alarm, or None."""
        while self._heap:
            moment, _, key = self._heap[0]
            if self._due.get(key) == moment == self._listed.get(key):
                return moment
            self._unlist()
        return None

    def pop_due(self, now: float) -> Iterator[K]:
        """The keys whose moment has come, earliest first; each is cleared as it is given."""
        while (moment := self.next()) is not None and moment <= now:
            _, _, key = heappop(self._heap)
            del self._due[key], self._listed[key]
            yield key

    def _list(self, key: K, moment: float) -> None:
        self._serial += 1
        self._listed[key] = moment
        heappush(self._heap, (moment, self._serial, key))

    def _unlist(self) -> None:
        """Drop the first entry; list its key again when its alarm stands at a later moment."""
        moment, _, key = heappop(self._heap)
        if self._listed.get(key) != moment:
            return
        del self._listed[key]
        if key in self._due:
            self._list(key, self._due[key])

    def _compact(self) -> None:
        self._listed = dict(self._due)
        self._heap = [(moment, serial, key) for serial, (key, moment) in enumerate(self._due.items())]
        self._serial = len(self._heap)
        heapify(self._heap)
