"""Looking into containers: their configs, where paths lie, and which names they resolve. Asks the engine."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from nlctl.containers.connection import told
from nlctl.containers.housing import (
    Dialled,
    Housed,
    Kept,
    command_of,
    config_of,
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
_AT_ONCE: Final = 8
_LOOK: Final = """\
while [ $# -gt 0 ] && [ "$1" != -- ]; do stat -L -c 'place %d %i %n' "$1" 2>/dev/null; shift; done
shift
sed -n 's/^oom_kill /killed /p' /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control 2>/dev/null
command -v getent >/dev/null || exit 0
# Where no server of names is reached, a wrong name would take a minute.
export RES_OPTIONS='timeout:1 attempts:2'
while [ $# -gt 0 ]; do
    if getent hosts "$1" >/dev/null; then echo "host known $1"; else echo "host unknown $1"; shift 2; continue; fi
    if command -v bash >/dev/null && ! timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; then
        echo "closed $2 $1"
    fi
    shift 2
done
"""


def housed(engine: APIClient, filters: Mapping[str, Any]) -> list[Housed]:
    """Every container that runs a config among those that these filters choose. Raises Fault."""
    with told(), ThreadPoolExecutor(_AT_ONCE) as pool:
        rows = engine.containers(all=True, filters=dict(filters))
        return [one for one in pool.map(lambda row: _present(engine, row["Id"]), rows) if one is not None]


def _present(engine: APIClient, container: str) -> Housed | None:
    """None for one that runs no config, or went meanwhile."""
    from docker.errors import NotFound

    try:
        return _housed(engine, engine.inspect_container(container))
    except NotFound:
        return None


def _housed(engine: APIClient, facts: Mapping[str, Any]) -> Housed | None:
    words = command_of(facts)
    config = config_of(facts)
    if config is None:
        return None
    state = read(facts)
    text = _text(engine, state.id, config)
    file = _file(config, text, environment_of(facts))
    keeps = tuple(_keeps(file)) if file else ()
    dials = tuple(dict.fromkeys(_dials(file))) if file else ()
    running = state.status == "running"
    networks = facts["NetworkSettings"].get("Networks") or {}
    inside = _inside(engine, state.id, [one.path for one in keeps], dials) if running else Inside()
    return Housed(
        state,
        mounts_of(facts),
        keeps,
        inside.places,
        opened_of(facts),
        dials,
        inside.resolved,
        tuple(_worker_ports(file)) if file else (),
        tuple(networks),
        any(word.rpartition("/")[2] == "nlserver" for word in " ".join(words).split()),
        (facts["Config"].get("Labels") or {}).get(_VERSION, ""),
        file is not None,
        next((one["IPAddress"] for one in networks.values() if one["IPAddress"]), ""),
        text,
        tuple(inside.closed),
        inside.killed,
    )


def _text(engine: APIClient, container: str, path: str) -> str:
    """The config that it runs; "" where it cannot be read."""
    from docker.errors import APIError

    try:
        pieces, _ = engine.get_archive(container, path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
            content = tar.extractfile(tar.getmembers()[0])
            return content.read(_LARGEST).decode(errors="replace") if content else ""
    except (APIError, tarfile.TarError):
        return ""


def _file(path: str, text: str, environment: Mapping[str, str]) -> File | None:
    from nlctl.lint.judging import Text, single

    files = single([Text(path, text)], environment).files
    return files[0] if files else None


def _keeps(file: File) -> Iterator[Kept]:
    for spec in file.specs():
        named = {key: path for key in _DIRECTORIES if isinstance(path := getattr(spec, key, None), str) and path}
        for key, path in named.items():
            yield Kept(key, path, named.get("content_path", ""))


def _dials(file: File) -> Iterator[Dialled]:
    for spec in file.specs():
        role = getattr(spec, "store_type", "cas")
        rows = [(role, getattr(one, "address", "")) for one in getattr(spec, "endpoints", ()) or ()]
        if (api := getattr(spec, "worker_api_endpoint", None)) is not None:
            rows.append(("worker", getattr(api, "uri", "")))
        if (one := getattr(spec, "endpoint", None)) is not None:
            rows.append((role, getattr(one, "address", "") or ""))
        for what, url in rows:
            parts = urlsplit(url if "://" in str(url) else f"grpc://{url}")
            if parts.hostname:
                yield Dialled(parts.hostname, parts.port or _SERVER_PORT, what)


def _worker_ports(file: File) -> Iterator[int]:
    for server in file.config.servers:
        if server.services is not None and getattr(server.services, "worker_api", None) is not None:
            port = server.listener.socket_address.rpartition(":")[2]
            if port.isdecimal():
                yield int(port)


@dataclass
class Inside:
    """What a container sees itself, as `Housed` has it."""

    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    resolved: dict[str, bool] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    killed: int = 0


def _inside(engine: APIClient, container: str, paths: Sequence[str], dials: Sequence[Dialled]) -> Inside:
    """Nothing where it has no shell; one program for all, because to start one takes the engine long."""
    calls = [word for host, port in dict.fromkeys((one.host, one.port) for one in dials) for word in (host, str(port))]
    seen = Inside()
    for line in _said(
        engine, container, ["/bin/sh", "-c", _LOOK, "-", *dict.fromkeys(paths), "--", *calls]
    ).splitlines():
        match line.split(" ", 3):
            case ["place", device, inode, path]:
                seen.places[path] = (int(device), int(inode))
            case ["host", "known" | "unknown" as known, host]:
                seen.resolved[host] = known == "known"
            case ["closed", port, host]:
                seen.closed.append(f"{host}:{port}")
            case ["killed", count]:
                seen.killed = int(count)
    return seen


def _said(engine: APIClient, container: str, words: Sequence[str]) -> str:
    """What a program in the container writes; "" where there is no such program, or the container just ended."""
    from docker.errors import APIError

    try:
        started = engine.exec_create(container, list(words))
        said: bytes = engine.exec_start(started["Id"])
    except APIError:
        return ""
    return said.decode(errors="replace")
