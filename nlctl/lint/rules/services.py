"""What listeners serve, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from nlserver.spec import Place

from nlctl.lint.finding import Edit, Finding, Severity
from nlctl.lint.rule import Rule, rule
from nlctl.lint.scene import Listener, Scene, everywhere, loopback


@rule(
    "NL-CFG-125",
    Severity.ERROR,
    "cas without bytestream",
    "blobs of more than a few megabytes travel by bytestream alone, so the first large file fails",
)
def no_bytestream(self: Rule, scene: Scene) -> Iterator[Finding]:
    """CAS instances that the listener does not serve by streams."""
    for listener in scene.listeners:
        streamed = {item.instance_name for item in listener.service("bytestream") or ()}
        for item in listener.service("cas") or ():
            if item.instance_name in streamed:
                continue
            named = f" of instance '{item.instance_name}'" if item.instance_name else ""
            name = f'instance_name: "{item.instance_name}", ' if item.instance_name else ""
            text = f'bytestream: [{{ {name}cas_store: "{item.cas_store}" }}]'
            edits = () if streamed else _beside(listener, "cas", text)
            yield self.at(
                listener.file, item, "", f"the cas{named} has no bytestream on this listener", text, edits=edits
            )


@rule(
    "NL-CFG-126",
    Severity.ERROR,
    "a health check asks for what is not served",
    "the check fails for ever, so the container counts as unhealthy and whatever waits for it does not start",
    nlx="NLX001",
)
def unserved_health(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Probes of deployment files that no listener with this port answers."""
    for probe in scene.probes:
        for listener in scene.at(probe.port):
            health = listener.service("health")
            served = (health.path or "/status") if health is not None else ""
            if served == probe.path:
                continue
            what = f"GET {probe.path} at port {probe.port} is not served by {listener.file.name}"
            fix = f"ask for {served}" if served else f"add health: {{}} to the services of the listener at {probe.port}"
            edits = () if served else _first(listener, "health: {},")
            place = Place("", probe.line, probe.column, probe.file)
            yield self.here(place, probe.excerpt, what, fix, edits=edits)


@rule(
    "NL-CFG-131",
    Severity.WARNING,
    "the admin routes are open to the network",
    "they ask for no password: whoever reaches the port can drain every worker",
)
def open_admin(self: Rule, scene: Scene) -> Iterator[Finding]:
    """`admin` on a listener that takes connections from everywhere, without client certificates."""
    for listener in scene.listeners:
        services = listener.server.services
        guarded = listener.spec.tls is not None and listener.spec.tls.client_ca_file is not None
        shut = loopback_only(listener) or scene.contained
        if services is None or services.admin is None or shut or guarded:
            continue
        what = f"admin is served at {listener.spec.socket_address} without authentication"
        yield self.at(listener.file, services, "admin", what, "a listener of its own at 127.0.0.1")


@rule(
    "NL-CFG-145",
    Severity.WARNING,
    "the worker API is published to the network",
    "whoever reaches it can become a worker, is given actions, and answers them with results that others then use",
    nlx="NLX002",
)
def open_worker_api(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Ports of deployment files that lead to a worker_api, on every interface."""
    for published in scene.published:
        for listener in scene.at(published.port):
            if listener.service("worker_api") is not None:
                what = f"port {published.port}, where {listener.file.name} takes workers in, is published"
                place = Place("", published.line, published.column, published.file)
                fix = f'take it out, or "127.0.0.1:{published.port}:{published.port}"'
                yield self.here(place, published.excerpt, what, fix)


@rule(
    "NL-CFG-133",
    Severity.ERROR,
    "CAS and action cache are one store",
    "keys of both are digests: a result is then found as a blob, and a blob as a result",
)
def one_store(self: Rule, scene: Scene) -> Iterator[Finding]:
    """An action cache whose root store is some instance's CAS."""
    for file in scene.files:
        listeners = [listener for listener in scene.listeners if listener.file is file]
        blobs = [file.store(item.cas_store) for one in listeners for item in one.service("cas") or ()]
        for listener in listeners:
            for item in listener.service("ac") or ():
                store = file.store(item.ac_store)
                if store is not None and any(store is one for one in blobs):
                    what = f"'{item.ac_store}' is the store of a cas too"
                    yield self.at(file, item, "ac_store", what, "a store of its own for results")


@rule(
    "NL-CFG-141",
    Severity.WARNING,
    "two files listen on one address",
    "on one machine the second process to start finds the address taken",
)
def same_address(self: Rule, scene: Scene) -> Iterator[Finding]:
    """The same port in two files, where the hosts meet."""
    for first, again in combinations(() if scene.contained else scene.listeners, 2):
        meets = first.host == again.host or everywhere(first.host) or everywhere(again.host)
        if first.file is not again.file and first.port == again.port and first.port and meets:
            line = first.file.config.place(first.spec, "socket_address").line
            what = f"{again.spec.socket_address} is the address of {first.file.name}:{line} too"
            yield self.at(
                again.file, again.spec, "socket_address", what, "another port, unless each has its own machine"
            )


@rule(
    "NL-CFG-138",
    Severity.WARNING,
    "execution without capabilities",
    "clients ask for the capabilities first and then say that remote execution is not supported",
)
def no_capabilities(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Instances that execute and do not say so."""
    for listener in scene.listeners:
        told = {item.instance_name for item in listener.service("capabilities") or () if item.remote_execution}
        for item in listener.service("execution") or ():
            if item.instance_name not in told:
                fix = f'capabilities: [{{ remote_execution: {{ scheduler: "{item.scheduler}" }} }}]'
                yield self.at(listener.file, item, "", "execution is not announced by capabilities here", fix)


def loopback_only(listener: Listener) -> bool:
    """Whether only this machine can connect."""
    return loopback(listener.host) and not everywhere(listener.host)


def _beside(listener: Listener, key: str, text: str) -> tuple[Edit, ...]:
    """The edit that writes a key before another one of the same services."""
    place = listener.file.config.place(listener.server)
    name = listener.file.keys.get(f"{place.path}.services.{key}")
    return (Edit(name.place.file, name.place.line, name.place.column, 0, f"{text}, "),) if name else ()


def _first(listener: Listener, text: str) -> tuple[Edit, ...]:
    """The edit that writes a key first among the services."""
    services: Any = listener.server.services
    if services is None:
        return ()
    place = listener.file.config.place(services)
    return (Edit(place.file, place.line, place.column + 1, 0, f" {text}"),)
