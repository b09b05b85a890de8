"""The workers of a cluster as commands show them: what the scheduler says of each, and what its own stores say."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlctl import admin
from nlctl.session import Session, Target
from nlctl.ui import stamp


@dataclass(frozen=True)
class Tier:
    """The fast tier of a worker's store: what it holds, and the most that it may hold (None for no limit)."""

    size_bytes: int | None
    max_bytes: int | None


def fast_tiers(session: Session, target: Target, names: Collection[str]) -> dict[str, Tier]:
    """The fast tiers of these workers by name, as far as they are parts of a cluster that nlctl started."""
    from nlctl.layers import Layer, layers

    if target.cluster is None:
        return {}
    sockets = {part: socket for part, socket in session.sockets(target.cluster).items() if part in names}
    found: dict[str, Layer] = {}
    for layer in layers(sockets):
        if layer.path.endswith("/fast"):
            found.setdefault(layer.part, layer)
    return {part: Tier(layer.size_bytes, layer.max_bytes or None) for part, layer in found.items()}


def facts(worker: admin.WorkerFacts, tier: Tier | None) -> dict[str, Any]:
    """A worker as documents show it, without its operations."""
    return {
        "name": worker.name,
        "state": worker.state,
        "running": len(worker.operations),
        "most": worker.most_operations or None,
        "completed": worker.completed,
        "fast_tier_bytes": tier.size_bytes if tier else None,
        "fast_tier_max_bytes": tier.max_bytes if tier else None,
        "last_seen": stamp(worker.last_seen),
        "connected": stamp(worker.connected),
        "properties": worker.properties,
        "remaining": worker.remaining,
        "scheduler": worker.scheduler,
        "id": worker.id,
    }


def natural(name: str) -> tuple[str, int]:
    """A key by which worker-2 stands before worker-10."""
    head, _, number = name.rpartition("-")
    return (head, int(number)) if number.isdigit() else (name, 0)


def running(operations: Sequence[admin.OperationFacts]) -> Mapping[str, list[admin.OperationFacts]]:
    """What executes, by the worker's id, the oldest first."""
    found: dict[str, list[admin.OperationFacts]] = {}
    for one in operations:
        found.setdefault(one.worker, []).append(one)
    return found
