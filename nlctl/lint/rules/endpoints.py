"""Who calls whom: addresses that configs dial, and what is served there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from nlctl.lint.finding import Finding, Severity
from nlctl.lint.rule import Rule, as_severe, rule
from nlctl.lint.scene import File, Listener, Scene, address, loopback

_NEEDS: Final = {"cas": ("cas", "bytestream"), "ac": ("ac",), "worker_api": ("worker_api",)}
_BEHIND: Final = ("backend", "slow", "content_store", "upper_store")


@dataclass(frozen=True)
class _Call:
    """An address that a config dials, and the services that it needs there."""

    file: File
    spec: Any
    key: str
    text: str
    needs: tuple[str, ...]


def _calls(scene: Scene) -> Iterator[_Call]:
    for file, store in scene.tagged("grpc"):
        if hasattr(store, "store_type"):
            for endpoint in store.endpoints:
                yield _Call(file, endpoint, "address", endpoint.address, _NEEDS[store.store_type])
    for file, worker in scene.workers():
        endpoint = worker.worker_api_endpoint
        yield _Call(file, endpoint, "uri", endpoint.uri, _NEEDS["worker_api"])


@rule(
    "NL-CFG-120",
    Severity.WARNING,
    "nobody listens on an address that is dialled",
    "calls to it fail as unavailable, for as long as nothing else listens there",
)
def nobody(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Addresses without a listener among the other files, where those listen at all."""
    for call in _calls(scene):
        host, port = address(call.text)
        others = sorted({one.port for one in scene.listeners if one.file is not call.file and one.port})
        if others and port and not scene.at(port):
            what = f"{call.text}: none of these files listens on port {port}"
            found = self.at(call.file, call.spec, call.key, what, f"one of {', '.join(map(str, others))}")
            # Another machine may run what is not among the files.
            yield found if loopback(host) else as_severe(found, Severity.INFO)


@rule(
    "NL-CFG-122",
    Severity.ERROR,
    "an address that does not serve what is asked there",
    "every call is answered with unimplemented",
)
def unserved(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Addresses whose listener lacks the services that the caller needs."""
    for call in _calls(scene):
        _, port = address(call.text)
        listeners = scene.at(port)
        lacking = [name for name in call.needs if not any(one.service(name) is not None for one in listeners)]
        if listeners and lacking:
            there = listeners[0]
            right = [one for one in scene.listeners if all(one.service(name) is not None for name in call.needs)]
            fix = f"port {right[0].port}, as in {right[0].file.name}" if right else f"serve {lacking[0]} there"
            what = f"{there.file.name} serves no {' and no '.join(lacking)} at port {port}"
            yield self.at(call.file, call.spec, call.key, what, fix)


@rule(
    "NL-CFG-144",
    Severity.ERROR,
    "workers and clients use different CASes",
    'workers do not find what clients upload: "not found in either fast or slow store"',
)
def split(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Workers whose slow tier ends elsewhere than the CAS that executions are read from."""
    for file, worker in scene.workers():
        tiers = file.store(worker.cas_fast_slow_store)
        theirs = home(scene, file, tiers)
        _, port = address(worker.worker_api_endpoint.uri)
        for listener in scene.at(port):
            wanted = _executions(scene, listener)
            if theirs and wanted and theirs not in wanted:
                what = f"this worker's blobs are at {theirs}, those of its scheduler's clients at {sorted(wanted)[0]}"
                fix = "one CAS server for both: set the slow tier's endpoint"
                yield self.at(file, worker, "cas_fast_slow_store", what, fix)


def _executions(scene: Scene, listener: Listener) -> set[str]:
    """Where the CASes are that the executions of a listener's process are read from."""
    found = {
        home(scene, one.file, one.file.store(item.cas_store))
        for one in scene.listeners
        if one.file is listener.file
        for item in one.service("execution") or ()
    }
    return {place for place in found if place}


def home(scene: Scene, file: File, store: Any, hops: int = 8) -> str:
    """Where the blobs of a store are in the end: a directory, a server; empty when it cannot be told."""
    store = file.behind(store)
    if store is None or hops == 0:
        return ""
    if store.tag == "grpc" and getattr(store, "store_type", "") == "cas" and store.endpoints:
        return _home_of_server(scene, store, hops)
    if store.tag == "fast_slow" and (slow := file.behind(store.slow)) is not None and slow.tag == "noop":
        return home(scene, file, store.fast, hops - 1)
    if store.tag == "filesystem":
        return str(store.content_path)
    for key in _BEHIND:
        if hasattr(store, key):
            return home(scene, file, getattr(store, key), hops - 1)
    return f"{file.name} ({store.tag})"


def _home_of_server(scene: Scene, store: Any, hops: int) -> str:
    host, port = address(store.endpoints[0].address)
    for listener in scene.at(port):
        for item in listener.service("cas") or ():
            if item.instance_name == store.instance_name:
                return home(scene, listener.file, listener.file.store(item.cas_store), hops - 1)
    shown = "127.0.0.1" if loopback(host) else host
    return f"{shown}:{port}" + (f" instance {store.instance_name!r}" if store.instance_name else "")
