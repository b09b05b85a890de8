"""Containers as requests: what the engine was asked to make, and how it differs from what it should have been. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_WORDS: Final = ("Entrypoint", "Cmd", "User", "WorkingDir", "Hostname", "StopTimeout", "Healthcheck", "ExposedPorts")
_COMMAND: Final = ("Entrypoint", "Cmd", "User")
_LIMITS: Final = {"Memory": "memory", "NanoCpus": "CPUs"}


def request_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The `POST /containers/create` that makes a container like that which `inspect` tells of."""
    config, host = facts["Config"], facts["HostConfig"]
    networks = facts["NetworkSettings"].get("Networks") or {}
    mode = host["NetworkMode"]
    endpoints = {mode: {"Aliases": _aliases(facts, mode)}} if mode in networks else {}
    return {
        **{key: config[key] for key in (*_WORDS, "Env", "Labels") if config.get(key) is not None},
        "Image": facts["Image"],
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": endpoints},
    }


def differences(facts: Mapping[str, Any], meant: Mapping[str, Any]) -> list[str]:
    """In what a container differs from what this request asks for, as phrases; none for labels."""
    return list(_differences(facts, meant))


def _differences(facts: Mapping[str, Any], meant: Mapping[str, Any]) -> Iterator[str]:
    config, host, wanted = facts["Config"], facts["HostConfig"], meant["HostConfig"]
    if facts["Image"] != meant["Image"]:
        yield "another image"
    there = {_mount(one, one.get("Name"), one["Destination"], not one.get("RW", True)) for one in facts["Mounts"]}
    asked = {_mount(one, one["Source"], one["Target"], one.get("ReadOnly", False)) for one in wanted["Mounts"] or ()}
    yield from (f"no {source} at {target}" for source, target, _ in sorted(asked - there))
    yield from (f"{source} at {target}" for source, target, _ in sorted(there - asked))
    if (host.get("PortBindings") or {}) != (wanted.get("PortBindings") or {}):
        yield "other published ports"
    for key, name in _LIMITS.items():
        if (host.get(key) or 0) != (wanted.get(key) or 0):
            yield f"another limit of {name}"
    for network, endpoint in meant["NetworkingConfig"]["EndpointsConfig"].items():
        if host["NetworkMode"] != network:
            yield f"the network {host['NetworkMode']}"
        elif not set(endpoint["Aliases"] or ()) <= set(_aliases(facts, network)):
            yield f"another name than {', '.join(endpoint['Aliases'])}"
    if any(config.get(key) != meant[key] for key in _COMMAND if key in meant):
        yield "another command"
    if not set(meant.get("Env") or ()) <= set(config.get("Env") or ()):
        yield "other variables"
    if "Healthcheck" in meant and config.get("Healthcheck") != meant["Healthcheck"]:
        yield "another health check"


def _mount(one: Mapping[str, Any], source: str | None, target: str, read_only: bool) -> tuple[str, str, bool]:
    named = source if one["Type"] == "volume" else one.get("Source")
    return named or one["Type"], target, read_only


def _aliases(facts: Mapping[str, Any], network: str) -> list[str]:
    """What it is called on a network; the engine adds its id."""
    known = facts["NetworkSettings"]["Networks"].get(network, {}).get("Aliases") or ()
    return [one for one in known if not facts["Id"].startswith(one)]
