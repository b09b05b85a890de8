"""Stores upon stores: orders that cannot work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from nlctl.lint.finding import Finding, Severity
from nlctl.lint.rule import Rule, as_severe, rule
from nlctl.lint.scene import File, Runs, Scene


@rule(
    "NL-CFG-119",
    Severity.ERROR,
    "several workers, and a slow tier that keeps nothing",
    "what one worker makes or a client uploads is nowhere to be found for the other workers",
    nlx="NLX014",
)
def noop_slow(self: Rule, scene: Scene) -> Iterator[Finding]:
    """A `noop` slow tier of workers while there is more than one."""
    workers = list(scene.workers())
    for file, worker in workers:
        tiers = file.store(worker.cas_fast_slow_store)
        slow = file.behind(getattr(tiers, "slow", None))
        if len(workers) > 1 and slow is not None and slow.tag == "noop":
            what = f"the slow tier of this worker is noop, and there are {len(workers)} workers"
            fix = 'slow: { grpc: { store_type: "cas", endpoints: [{ address: "grpc://CAS_HOST:50051" }] } }'
            yield self.at(file, tiers, "slow", what, fix)


@rule(
    "NL-CFG-135",
    Severity.INFO,
    "an existence_cache above another server",
    "NativeLink stops at start here: a grpc store cannot tell the cache what it evicts",
)
def existence_of_another(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Existence caches whose backend is a `grpc` store, also as a tier."""
    for file, store in scene.tagged("existence_cache"):
        backend = file.behind(store.backend)
        tiers = [backend, *(file.behind(getattr(backend, name, None)) for name in ("fast", "slow"))]
        if any(tier is not None and tier.tag == "grpc" for tier in tiers):
            found = self.at(
                file, store, "backend", "this existence_cache asks a grpc store", "leave the cache out here"
            )
            yield as_severe(found, Severity.ERROR) if scene.runs is Runs.NATIVELINK else found


@rule(
    "NL-CFG-136",
    Severity.ERROR,
    "verify below a store that changes the bytes",
    "compressed or cut values never have the size and the hash of their digest, so every upload is refused",
)
def verify_below(self: Rule, scene: Scene) -> Iterator[Finding]:
    """`verify` as the backend of compression or as the content of dedup."""
    for file, store in scene.specs():
        if store.tag not in ("compression", "dedup"):
            continue
        key = "backend" if store.tag == "compression" else "index_store"
        below = file.behind(getattr(store, key))
        if below is not None and below.tag == "verify" and (below.verify_size or below.verify_hash):
            yield self.at(file, store, key, f"verify stands below {store.tag}", f"verify above, {store.tag} below")


@rule(
    "NL-CFG-132",
    Severity.WARNING,
    "an action cache that does not look at the outputs",
    "a result stays an answer after its outputs were evicted; builds then fail late, with lost inputs",
)
def incomplete(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Action caches whose own store is served without completeness_checking."""
    for listener in scene.listeners:
        for item in listener.service("ac") or ():
            store = listener.file.store(item.ac_store)
            if store is not None and store.tag != "grpc" and not _checks(listener.file, store):
                what = f"'{item.ac_store}' gives results without looking whether their outputs are there"
                fix = "completeness_checking: { backend: { ... }, cas_store: { ref_store: { name: CAS } } }"
                yield self.at(listener.file, item, "ac_store", what, fix)


_PASSING: Final = ("backend", "fast", "slow", "lower_store", "upper_store")


def _checks(file: File, store: Any) -> bool:
    if store is None or store.tag in ("completeness_checking", "grpc"):
        return store is not None
    return any(_checks(file, file.behind(getattr(store, name))) for name in _PASSING if hasattr(store, name))
