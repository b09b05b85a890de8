"""The load processes and the bare server, as the conductor sees them: orders out, answers in."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection as Pipe
from types import TracebackType
from typing import Any, Final, Self

from nlctl.bench import echo, loader
from nlctl.bench.orders import Cannot, Exchange, Go, Greet, Order, Ready, Tally, Target

_SOON: Final = 0.02
"""Seconds from an order to its start: all load processes have it by then."""
_GRACE_SECONDS: Final = 10


class Crew:
    """So many load processes. Leaving the `with` block ends them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._processes: list[Any] = []
        self._pipes: list[Pipe] = []
        self.bare = Target("bare", "", "", is_bare=True)

    def __enter__(self) -> Self:
        self._pipes = [self._started(loader.main) for _ in range(self.size)]
        self._echo = self._started(echo.main)
        self.bare = Target("bare", f"grpc://127.0.0.1:{self._echo.recv()}", "", is_bare=True)
        return self

    def _started(self, run: Callable[[Pipe], None]) -> Pipe:
        # A forked process would inherit gRPC's threads in pieces, and the other ends of the pipes.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=run, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        self._processes.append(process)
        return ours

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in [*self._pipes, self._echo]:
            pipe.close()
        for process in self._processes:
            process.join(_GRACE_SECONDS if kind is None else 0.5)
            if process.is_alive():
                process.kill()
                process.join()

    def all(self, orders: Sequence[Order]) -> list[Any]:
        """Give each load process its order; their answers."""
        for pipe, order in zip(self._pipes, orders, strict=True):
            pipe.send(order)
        return [pipe.recv() for pipe in self._pipes]

    def nobody_at(self, target: Target) -> str | None:
        """Why this target cannot be reached; None when it answers."""
        answer = self.prepared([Greet(target)] * self.size)
        return answer if isinstance(answer, str) else None

    def prepared(self, orders: Sequence[Order]) -> Exchange | str:
        """Give orders that are answered by Ready or Cannot: what one call moves, or why it cannot be."""
        exchange = Exchange(0, 0)
        for answer in self.all(orders):
            match answer:
                case Cannot(reason):
                    return reason
                case Ready(exchange):
                    pass
        return exchange

    def round(
        self, target: str, seconds: float, at_once: int, *, calls: int = 0, rate: float = 0.0, seed: int = 0
    ) -> Tally:
        """One round of all load processes together."""
        start = time.monotonic() + _SOON
        at_once = min(at_once, calls) if calls else at_once
        shares = [_share(at_once, self.size, place) for place in range(self.size)]
        busy = sum(1 for share in shares if share)
        orders = [
            Go(
                target,
                start,
                seconds if share else 0.0,
                share,
                _share(calls, busy, place) if calls else 0,
                rate / busy if share else 0.0,
                seed + place,
            )
            for place, share in enumerate(shares)
        ]
        return Tally.together(self.all(orders))


def _share(total: int, parts: int, place: int) -> int:
    return total // parts + (place < total % parts)
