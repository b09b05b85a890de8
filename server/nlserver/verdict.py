"""What can be known of a config without starting anything: names that lead nowhere, cycles, addresses, duplicates."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

from nlserver.config import shape
from nlserver.config.problem import Problem, Sort, nearest
from nlserver.config.walk import nested
from nlserver.spec import Spec, Unavailable

if TYPE_CHECKING:
    from nlserver.cluster import Config, HttpListenerSpec, ServicesSpec
    from nlserver.services.cas import CasSpec

S = TypeVar("S", bound=Spec)
# Fields that hold a store's name where they hold a text; in some kinds the same key holds a store itself.
_STORE_KEYS: Final = frozenset(
    (
        "cas_store",
        "ac_store",
        "fetch_store",
        "push_store",
        "index_store",
        "redis_store",
        "store",
        "cas_fast_slow_store",
        "historical_results_store",
    )
)
_INSTANCE_LISTS: Final = ("cas", "ac", "capabilities", "execution", "bytestream", "fetch", "push")
_LARGEST_PORT: Final = 65_535


def judge(config: Config) -> list[Problem]:
    """Every problem that decoding alone does not show, and what was strange while decoding."""
    return [
        *config.warnings,
        *_entries(config),
        *_dangling(config),
        *_cycles(config),
        *_listeners(config),
        *_services(config),
        *_workers(config),
        *_unavailable(config),
    ]


def _entries(config: Config) -> Iterator[Problem]:
    for first, again in _repeated(config.stores, lambda entry: entry.name):
        reason = f"Store name '{again.name}' already exists in the store manager: line {_line(config, first)} has it"
        yield config.problem(again, "name", reason)
    for earlier, later in _repeated(config.schedulers or (), lambda entry: entry.name):
        reason = f"line {_line(config, earlier)} has a scheduler '{later.name}' too: the last one is used"
        yield config.problem(later, "name", reason, fatal=False)


def _repeated(specs: Iterable[S], name: Callable[[S], object]) -> Iterator[tuple[S, S]]:
    """The first and each later of those that are named alike."""
    first: dict[object, S] = {}
    for spec in specs:
        if first.setdefault(name(spec), spec) is not spec:
            yield first[name(spec)], spec


def _line(config: Config, spec: Spec) -> int:
    return config.place(spec).line


def _references(config: Config) -> Iterator[tuple[Spec, str, Literal["stores", "schedulers"], str]]:
    """Every Spec and field that names a store or a scheduler, with the list it is in and the name."""
    for spec in nested(config):
        for slot in shape.slots(type(spec)):
            value = getattr(spec, slot.field)
            if not isinstance(value, str):
                continue
            if slot.field in _STORE_KEYS or (spec.tag == "ref_store" and slot.field == "name"):
                yield spec, slot.field, "stores", value
            elif slot.field == "scheduler":
                yield spec, slot.field, "schedulers", value


def _dangling(config: Config) -> Iterator[Problem]:
    names = {"stores": config.names("stores"), "schedulers": config.names("schedulers")}
    for spec, field, kind, name in _references(config):
        known = names[kind]
        if name in known:
            continue
        have = "" if known else f": this config has no {kind}"
        near = nearest(name, known)
        listed = f"; {kind} here: {', '.join(known[:8])}" if known and near is None else have
        reason = f"{kind.removesuffix('s')} '{name}' does not exist{listed}"
        yield config.problem(spec, field, reason, near, sort=Sort.NAME)


def _cycles(config: Config) -> Iterator[Problem]:
    """Stores that reach themselves through `ref_store`; each cycle once."""
    links: dict[str, list[tuple[Spec, str]]] = {
        entry.name: [(spec, _name(spec)) for spec in nested(entry) if spec.tag == "ref_store"]
        for entry in config.stores
    }
    done: set[str] = set()
    for start in links:
        yield from _cycles_from(config, start, links, [], done)


def _cycles_from(
    config: Config, name: str, links: dict[str, list[tuple[Spec, str]]], trail: list[str], done: set[str]
) -> Iterator[Problem]:
    if name in done:
        return
    for reference, target in links.get(name, ()):
        if target in [*trail, name]:
            cycle = [*trail, name, target]
            shown = " -> ".join(cycle[cycle.index(target) :])
            yield config.problem(reference, "name", f"store '{target}' refers to itself: {shown}")
        else:
            yield from _cycles_from(config, target, links, [*trail, name], done)
    done.add(name)


def _name(spec: Any) -> str:
    return str(spec.name)


def _listeners(config: Config) -> Iterator[Problem]:
    taken: list[tuple[HttpListenerSpec, _Address]] = []
    for server in config.servers:
        listener = server.listener
        address = _address(listener.socket_address)
        if address is None:
            reason = f"Invalid address '{listener.socket_address}': write IP:PORT, such as 0.0.0.0:50051 or [::]:50051"
            yield config.problem(listener, "socket_address", reason)
            continue
        for other, occupied in taken:
            if _collide(address, occupied):
                reason = f"line {config.place(other, 'socket_address').line} listens on {other.socket_address} already"
                yield config.problem(listener, "socket_address", reason)
        taken.append((listener, address))


_Address = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]


def _address(text: str) -> _Address | None:
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.IPv6Address(host[1:-1]) if bracketed else ipaddress.IPv4Address(host)
    except ValueError:
        return None
    digits = port.isascii() and port.isdigit() and len(port) <= len(str(_LARGEST_PORT))
    return (address, int(port)) if digits and int(port) <= _LARGEST_PORT else None


def _collide(one: _Address, other: _Address) -> bool:
    """Whether the second cannot be bound beside the first; the system chooses for port 0."""
    (host, port), (other_host, other_port) = one, other
    if port != other_port or port == 0 or host.version != other_host.version:
        return False
    return host == other_host or host.is_unspecified or other_host.is_unspecified


def _services(config: Config) -> Iterator[Problem]:
    kinds = {entry.name: _innermost(entry.spec).tag for entry in config.schedulers or ()}
    for server in config.servers:
        services = server.services
        if services is None:
            if not config.source.origins.wrong(server, "services"):
                yield config.problem(server, "services", "'services' must be configured")
            continue
        yield from _instances(config, services)
        api = services.worker_api
        if api is not None and kinds.get(api.scheduler) == "grpc":
            reason = (
                f"scheduler '{api.scheduler}' is a grpc one, which takes no workers: they join the server behind it"
            )
            yield config.problem(api, "scheduler", reason)
        for item in services.cas or ():
            yield from _chunking(config, item)


def _chunking(config: Config, item: CasSpec) -> Iterator[Problem]:
    """A `grpc` store leaves splitting to the server behind it; any other needs an index (NativeLink behaviour)."""
    chunking, store = item.experimental_chunking, _resolved(config, item.cas_store)
    if chunking is None or store is None:
        return
    if store.tag == "grpc" and chunking.index_store is not None:
        reason = f"'{item.cas_store}' is a grpc store: the server behind it keeps which chunks make which blob"
        yield config.problem(chunking, "index_store", f"{reason}, so there must be no index_store")
    if store.tag != "grpc" and chunking.index_store is None:
        reason = f"experimental_chunking of cas instance '{item.instance_name}' needs an index_store"
        yield config.problem(chunking, "index_store", reason)


def _innermost(scheduler: Any) -> Spec:
    """What the kinds that wrap a scheduler pass everything on to."""
    while isinstance(behind := getattr(scheduler, "scheduler", None), Spec):
        scheduler = behind
    return cast(Spec, scheduler)


def _instances(config: Config, services: ServicesSpec) -> Iterator[Problem]:
    for field in _INSTANCE_LISTS:
        for first, again in _repeated(getattr(services, field) or (), lambda item: item.instance_name):
            reason = f"line {_line(config, first)} has instance '{again.instance_name}' too: the last one is used"
            yield config.problem(again, "instance_name", reason, fatal=False)


def _workers(config: Config) -> Iterator[Problem]:
    workers: list[Any] = list(config.workers or ())
    names = {id(worker): worker.name or f"worker_{index}" for index, worker in enumerate(workers)}
    for _, again in _repeated(workers, lambda worker: names[id(worker)]):
        yield config.problem(again, "name", f"Duplicate worker name '{names[id(again)]}' found in config")
    for worker in workers:
        yield from _worker_store(config, worker)


def _worker_store(config: Config, worker: Any) -> Iterator[Problem]:
    """A worker links inputs from local files: its store is a fast_slow above a filesystem (NativeLink behaviour)."""
    field = "cas_fast_slow_store"
    store: Any = _resolved(config, worker.cas_fast_slow_store)
    if store is None:
        return
    if store.tag != "fast_slow":
        reason = f"Expected store for LocalWorker's store to be a FastSlowStore: '{worker.cas_fast_slow_store}' is a"
        yield config.problem(worker, field, f"{reason} {store.tag}")
        return
    fast = _resolved(config, store.fast.name) if store.fast.tag == "ref_store" else store.fast
    if fast is not None and fast.tag != "filesystem":
        reason = (
            "the worker hard-links inputs, so 'fast' of its store must be a filesystem store, or a ref_store to one"
        )
        yield config.problem(worker, field, f"{reason}: it is a {fast.tag}")


def _resolved(config: Config, name: str) -> Spec | None:
    """The root store of this name behind any `ref_store`; None when the names lead nowhere or round in a cycle."""
    stores: dict[str, Any] = {entry.name: entry.spec for entry in config.stores}
    seen: set[str] = set()
    while name in stores and name not in seen:
        seen.add(name)
        spec: Spec = stores[name]
        if spec.tag != "ref_store":
            return spec
        name = _name(spec)
    return None


def _unavailable(config: Config) -> Iterator[Problem]:
    for spec in nested(config):
        if isinstance(spec, Unavailable):
            reason = f"{spec.called or spec.tag} is not available yet, so this config does not start"
            yield config.problem(spec, "", f"{reason}. {spec.instead}".rstrip(), fatal=False, sort=Sort.UNAVAILABLE)
