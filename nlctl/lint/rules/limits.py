"""How much stores keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from nlserver.store import StoreSpec

from nlctl.lint.finding import Finding, Severity
from nlctl.lint.rule import Rule, instead, rule
from nlctl.lint.scene import Scene
from nlctl.ui import human_bytes as human

_KEEPERS: Final = ("filesystem", "memory")


@rule(
    "NL-CFG-117",
    Severity.WARNING,
    "a store that never evicts",
    "nothing is ever evicted, so writes fail once the disk or the memory is full",
    nlx="NLX011",
)
def unbounded(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Stores on disk or in memory without any limit."""
    for file, store in scene.specs():
        if store.tag not in _KEEPERS or not isinstance(store, StoreSpec):
            continue
        policy = store.eviction_policy  # type: ignore[attr-defined]
        if not (policy and policy.bounded):
            key = "eviction_policy" if policy else ""
            yield self.at(
                file, store, key, f"this {store.tag} store has no limit", 'eviction_policy: { max_bytes: "10gb" }'
            )


@rule(
    "NL-CFG-118",
    Severity.WARNING,
    "evict_bytes is not less than max_bytes",
    "a pass that should free space evicts nothing for its size then, and the store grows past its limit",
)
def evicts_nothing(self: Rule, scene: Scene) -> Iterator[Finding]:
    """A low-water mark of zero or less."""
    for file, store in scene.specs():
        policy = getattr(store, "eviction_policy", None)
        if policy is not None and policy.max_bytes and policy.evict_bytes >= policy.max_bytes:
            what = f"evict_bytes ({human(policy.evict_bytes)}) is not less than max_bytes ({human(policy.max_bytes)})"
            yield self.at(file, policy, "evict_bytes", what, "a tenth of max_bytes is usual")


@rule(
    "NL-CFG-128",
    Severity.WARNING,
    "max_bytes is more than the disk has",
    "eviction compares its own books with max_bytes and comes too late when the disk is full first",
)
def larger_than_its_disk(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Limits that the file system cannot hold."""
    for file, store in scene.tagged("filesystem"):
        size, limit = scene.disk.sizes.get(store.content_path), _limit(store)
        if size is not None and limit > size:
            what = f"max_bytes is {human(limit)}, and the file system of {store.content_path} has {human(size)}"
            less = size * 4 // 5
            edits = instead(file, store.eviction_policy, "max_bytes", f'"{less // 1_000_000}mb"')
            yield self.at(file, store.eviction_policy, "max_bytes", what, f"{human(less)} or less", edits=edits)


def _limit(store: Any) -> int:
    return store.eviction_policy.max_bytes if store.eviction_policy else 0
