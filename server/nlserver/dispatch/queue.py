"""Queued operations, grouped by what they need, so that what found no worker is not tried again for nothing.

Operations with equal needs fit the same workers: when the first of a group finds no place, none of the group does,
until some worker becomes able to do more. A pass therefore looks at groups, best first operation first, and not at
operations.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from nlserver.dispatch.properties import Needs
from nlserver.dispatch.records import Operation

Rank = tuple[int, int]


class Group:
    """The queued operations with equal needs.

    `blocked`: no worker that was ready could take its first. `fitting` counts the connected workers that could run
    it with nothing else to do (None: not counted yet); while it is 0, `explanation` says what keeps the `nearest`.
    """

    __slots__ = ("blocked", "explanation", "fitting", "heap", "listed", "members", "nearest", "needs", "serial")

    def __init__(self, needs: Needs, serial: int) -> None:
        self.needs = needs
        self.serial = serial
        self.members: dict[str, Operation] = {}
        self.heap: list[tuple[int, int, Operation]] = []
        self.blocked = False
        self.listed: Rank | None = None
        self.fitting: int | None = None
        self.nearest: tuple[int, str] = (0, "")
        self.explanation = ""

    def put(self, operation: Operation) -> None:
        """Add an operation, or list it under its new rank."""
        self.members[operation.id] = operation
        heappush(self.heap, (*operation.rank, operation))

    def head(self) -> Operation | None:
        """The operation that runs first, or None when there is none."""
        while self.heap:
            priority, _, operation = self.heap[0]
            if self.members.get(operation.id) is operation and operation.priority == priority:
                return operation
            heappop(self.heap)
        return None

    def drop(self, operation: Operation) -> None:
        """Take an operation out."""
        del self.members[operation.id]
        if len(self.heap) > 64 + 2 * len(self.members):
            self.heap = [(*member.rank, member) for member in self.members.values()]
            heapify(self.heap)


class Queue:
    """All queued operations. Between passes every group is blocked."""

    def __init__(self) -> None:
        self.groups: dict[Needs, Group] = {}
        self.count = 0
        self._fresh: list[tuple[Rank, int, Group]] = []
        self._blocked: list[tuple[Rank, int, Group]] = []
        self._serial = 0

    def put(self, operation: Operation) -> None:
        """Queue an operation."""
        group = self.groups.get(operation.needs)
        if group is None:
            self._serial += 1
            group = self.groups[operation.needs] = Group(operation.needs, self._serial)
        group.put(operation)
        self.count += 1
        self._list(group, operation.rank)

    def promote(self, operation: Operation) -> None:
        """Reckon with the better priority that a queued operation was given."""
        group = self.groups[operation.needs]
        group.put(operation)
        self._list(group, operation.rank)

    def drop(self, operation: Operation) -> None:
        """Take a queued operation out."""
        group = self.groups[operation.needs]
        group.drop(operation)
        self.count -= 1
        if not group.members:
            group.listed = None
            del self.groups[group.needs]

    def pop(self, *, blocked_too: bool) -> Group | None:
        """The group whose first operation has the best rank, taken off the lists, or None.

        Groups that are blocked are left out unless asked for. Put it back with `back` or `block`.
        """
        fresh, blocked = self._top(self._fresh), self._top(self._blocked) if blocked_too else None
        if fresh is None and blocked is None:
            return None
        heap = self._fresh if blocked is None or (fresh is not None and fresh < blocked) else self._blocked
        _, _, group = heappop(heap)
        group.listed = None
        return group

    def back(self, group: Group) -> None:
        """List a group again that `pop` gave, if anything is left of it."""
        head = group.head()
        if head is not None:
            self._list(group, head.rank)

    def block(self, group: Group) -> None:
        """List a group again whose first operation found no worker."""
        group.blocked = True
        self.back(group)

    def _list(self, group: Group, rank: Rank) -> None:
        if group.listed is not None and group.listed <= rank:
            return
        group.listed = rank
        heap = self._blocked if group.blocked else self._fresh
        heappush(heap, (rank, group.serial, group))
        if len(heap) > 64 + 2 * len(self.groups):
            heap[:] = [entry for entry in heap if entry[2].listed == entry[0]]
            heapify(heap)

    def _top(self, heap: list[tuple[Rank, int, Group]]) -> tuple[Rank, int] | None:
        """Rank and serial of the first group of a list, after entries that are no longer true are gone."""
        while heap:
            rank, serial, group = heap[0]
            if group.listed != rank or group.blocked != (heap is self._blocked):
                heappop(heap)
                continue
            head = group.head()
            if head is not None and head.rank == rank:
                return rank, serial
            heappop(heap)
            group.listed = None
            self.back(group)
        return None
