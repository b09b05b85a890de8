"""Whether a config may be served by several processes at a time, judged without starting anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nlserver.config.problem import Problem
from nlserver.config.walk import nested
from nlserver.store import StoreSpec

if TYPE_CHECKING:
    from nlserver.cluster import Config


def indivisible(config: Config) -> Iterator[Problem]:
    """What stands against it: schedulers and workers are one process each, and some stores cannot be shared."""
    for scheduler in config.schedulers or ():
        reason = f"scheduler '{scheduler.name}' decides in one process: serve it by an nlserver without --processes"
        yield config.problem(scheduler, "name", reason)
    for worker in config.workers or ():
        yield config.problem(worker, "name", "a worker is one process: start one nlserver for each")
    for entry in config.stores:
        for spec in nested(entry):
            if isinstance(spec, StoreSpec) and spec.solitary:
                reason = f"{spec.tag} {spec.solitary}, so store '{entry.name}' cannot be shared between processes"
                yield config.problem(spec, "", reason)
