"""Looking into containers: their configs, where paths lie, and which names they resolve. Asks the engine."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from nlctl.containers.connection import told
from nlctl.containers.housing import (
    Dialled,
    Housed,
    Kept,
    command_of,
    environment_of,
    mounts_of,
    opened_of,
)
from nlctl.containers.states import read

if TYPE_CHECKING:
    from docker import APIClient

    from nlctl.lint.scene import File

_LARGEST: Final = 1 << 20
_VERSION: Final = "org.opencontainers.image.version"
_DIRECTORIES: Final = ("content_path", "temp_path", "work_directory")
_SERVER_PORT: Final = 50051


def housed(engine: APIClient, filters: Mapping[str, Any]) -> list[Housed]:
    """Every container that runs a config among those that these filters choose. Raises Fault."""
    from docker.errors import NotFound

    found = []
    with told():
        for row in engine.containers(all=True, filters=dict(filters)):
            try:
                found.append(_housed(engine, engine.inspect_container(row["Id"])))
            except NotFound:
                # It went meanwhile.
                continue
    return [one for one in found if one is not None]


def _housed(engine: APIClient, facts: Mapping[str, Any]) -> Housed | None:
    words = command_of(facts)
    configs = [word for word in words if word.endswith((".json5", ".json"))]
    if not configs:
        return None
    state = read(facts)
    file = _file(engine, state.id, configs[0], environment_of(facts))
    keeps = tuple(_keeps(file)) if file else ()
    dials = tuple(dict.fromkeys(_dials(file))) if file else ()
    running = state.status == "running"
    return Housed(
        state,
        mounts_of(facts),
        keeps,
        _places(engine, state.id, [one.path for one in keeps]) if running else {},
        opened_of(facts),
        dials,
        _resolved(engine, state.id, dict.fromkeys(one.host for one in dials)) if running else {},
        tuple(_worker_ports(file)) if file else (),
        tuple(facts["NetworkSettings"].get("Networks") or ()),
        any(word.rpartition("/")[2] == "nlserver" for word in " ".join(words).split()),
        (facts["Config"].get("Labels") or {}).get(_VERSION, ""),
        file is not None,
    )


def _file(engine: APIClient, container: str, path: str, environment: Mapping[str, str]) -> File | None:
    """The config that it runs; None where it cannot be read."""
    from docker.errors import APIError

    from nlctl.lint.judging import Text, single

    try:
        pieces, _ = engine.get_archive(container, path)
        packed = b"".join(pieces)
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            content = tar.extractfile(tar.getmembers()[0])
            text = content.read(_LARGEST).decode(errors="replace") if content else ""
    except (APIError, tarfile.TarError):
        return None
    files = single([Text(path, text)], environment).files
    return files[0] if files else None


def _keeps(file: File) -> Iterator[Kept]:
    for spec in file.specs():
        named = {key: path for key in _DIRECTORIES if isinstance(path := getattr(spec, key, None), str) and path}
        for key, path in named.items():
            yield Kept(key, path, named.get("content_path", ""))


def _dials(file: File) -> Iterator[Dialled]:
    for spec in file.specs():
        rows = [getattr(one, "address", "") for one in getattr(spec, "endpoints", ()) or ()]
        if (api := getattr(spec, "worker_api_endpoint", None)) is not None:
            rows.append(getattr(api, "uri", ""))
        if (one := getattr(spec, "endpoint", None)) is not None:
            rows.append(getattr(one, "address", "") or "")
        for url in rows:
            parts = urlsplit(url if "://" in str(url) else f"grpc://{url}")
            if parts.hostname:
                yield Dialled(parts.hostname, parts.port or _SERVER_PORT)


def _worker_ports(file: File) -> Iterator[int]:
    for server in file.config.servers:
        if server.services is not None and getattr(server.services, "worker_api", None) is not None:
            port = server.listener.socket_address.rpartition(":")[2]
            if port.isdecimal():
                yield int(port)


def _places(engine: APIClient, container: str, paths: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Device and inode of each path, as the container sees them; a path that is not there is left out."""
    said = _said(engine, container, ["stat", "-L", "-c", "%d %i %n", *dict.fromkeys(paths)]) if paths else ""
    found = {}
    for line in said.splitlines():
        device, _, rest = line.partition(" ")
        inode, _, path = rest.partition(" ")
        if device.isdecimal() and inode.isdecimal():
            found[path] = (int(device), int(inode))
    return found


def _resolved(engine: APIClient, container: str, hosts: Iterable[str]) -> dict[str, bool]:
    """Which hosts the container's own resolver knows; nothing where it has no `getent`."""
    found = {}
    for host in hosts:
        said = _said(engine, container, ["/bin/sh", "-c", 'getent hosts "$0" && echo known || echo unknown', host])
        if said.rstrip().endswith("known"):
            found[host] = not said.rstrip().endswith("unknown")
    return found


def _said(engine: APIClient, container: str, words: Sequence[str]) -> str:
    """What a program in the container writes; "" where there is no such program, or the container just ended."""
    from docker.errors import APIError

    try:
        started = engine.exec_create(container, list(words))
        said: bytes = engine.exec_start(started["Id"])
    except APIError:
        return ""
    return said.decode(errors="replace")
