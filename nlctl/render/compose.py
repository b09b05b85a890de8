"""A compose file: one service for each kind of part, so that `docker compose up --scale worker=8` works."""

from __future__ import annotations

from typing import Any, Final

from nlctl.render.shape import CAS, CLIENTS, PROBE, SOCKET, Shape
from nlctl.render.yaml import dump

_HEAD: Final = """\
# Written by nlctl config render. Start it with:  docker compose up --detach --scale worker=8
# Clients use grpc://127.0.0.1:50052. The worker API is not published: whoever reaches it can become a worker.
# CAS_PORT, CLIENT_PORT and PUBLISH in the environment choose other ports, and another address than this machine's own.
"""
# Every container has a host name of its own, which names the worker; compose reads $$ as $.
_WORKER: Final = f'WORKER_NAME="$$(hostname)" exec nlserver --admin-socket {SOCKET} /etc/nlserver/worker.json5'


def files(shape: Shape) -> dict[str, str]:
    """compose.yml and the configs that it mounts."""
    return {"compose.yml": _HEAD + dump(_compose(shape)), **shape.configs}


def _compose(shape: Shape) -> dict[str, Any]:
    cas = {
        **_service(shape, "cas"),
        "volumes": [_config("cas"), "cas:/data"],
        "ports": [_published("CAS_PORT", CAS)],
    }
    scheduler = {
        **_service(shape, "scheduler"),
        "volumes": [_config("scheduler")],
        "ports": [_published("CLIENT_PORT", CLIENTS)],
        "depends_on": {"cas": {"condition": "service_healthy"}},
    }
    worker = {
        **_service(shape, "worker"),
        "entrypoint": ["tini", "--", "/bin/sh", "-c", _WORKER],
        "command": [],
        # What one worker fetched the others have, too; each has a work directory of its own there.
        "volumes": [_config("worker"), "workers:/data"],
        "deploy": {"replicas": shape.workers, **shape.resources},
        "depends_on": {"scheduler": {"condition": "service_healthy"}},
        "stop_grace_period": "10m",
    }
    return {"services": {"cas": cas, "scheduler": scheduler, "worker": worker}, "volumes": {"cas": {}, "workers": {}}}


def _service(shape: Shape, part: str) -> dict[str, Any]:
    return {
        "image": shape.image,
        "restart": "unless-stopped",
        "command": [f"/etc/nlserver/{part}.json5"],
        "environment": shape.environments[part],
        "healthcheck": {"test": ["CMD", *PROBE], "interval": "5s", "timeout": "30s", "retries": 12},
    }


def _config(part: str) -> str:
    return f"./{part}.json5:/etc/nlserver/{part}.json5:ro"


def _published(variable: str, port: int) -> str:
    return f"${{PUBLISH:-127.0.0.1}}:${{{variable}:-{port}}}:{port}"
