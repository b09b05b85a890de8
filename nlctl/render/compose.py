"""A compose file: one service for each kind of part, so that `docker compose up --scale worker=8` works."""

from __future__ import annotations

from typing import Any, Final

from nlctl.render.shape import CAS, CLIENTS, HEALTH, WORKERS, Shape
from nlctl.render.yaml import dump

_HEAD: Final = """\
# Written by nlctl config render. Start it with:  docker compose up --detach
# Clients use grpc://127.0.0.1:50052. The worker API is not published: whoever reaches it can become a worker.
"""
# Every container has a host name of its own, which names the worker; compose reads $$ as $.
_WORKER: Final = 'WORKER_NAME="$$(hostname)" exec nlserver --admin-socket none /etc/nlserver/worker.json5'


def files(shape: Shape) -> dict[str, str]:
    """compose.yml and the configs that it mounts."""
    return {"compose.yml": _HEAD + dump(_compose(shape)), **shape.configs}


def _compose(shape: Shape) -> dict[str, Any]:
    cas = {
        **_service(shape, "cas"),
        "volumes": [_config("cas"), "cas:/data"],
        "ports": [f"127.0.0.1:{CAS}:{CAS}"],
        "healthcheck": _health(CAS),
    }
    scheduler = {
        **_service(shape, "scheduler"),
        "volumes": [_config("scheduler")],
        "ports": [f"127.0.0.1:{CLIENTS}:{CLIENTS}"],
        "healthcheck": _health(WORKERS),
        "depends_on": {"cas": {"condition": "service_healthy"}},
    }
    worker = {
        **_service(shape, "worker"),
        "entrypoint": ["/bin/sh", "-c", _WORKER],
        # A volume without a name is this container's alone.
        "volumes": [_config("worker"), "/data"],
        "deploy": {"replicas": shape.workers},
        "depends_on": {"scheduler": {"condition": "service_healthy"}},
        "stop_grace_period": "10m",
    }
    return {
        "name": shape.name,
        "services": {"cas": cas, "scheduler": scheduler, "worker": worker},
        "volumes": {"cas": {}},
    }


def _service(shape: Shape, part: str) -> dict[str, Any]:
    return {
        "image": shape.image,
        "init": True,
        "restart": "unless-stopped",
        "entrypoint": ["nlserver", "--admin-socket", "none", f"/etc/nlserver/{part}.json5"],
        "environment": shape.environments[part],
    }


def _config(part: str) -> str:
    return f"./{part}.json5:/etc/nlserver/{part}.json5:ro"


def _health(port: int) -> dict[str, Any]:
    probe = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}{HEALTH}', timeout=3)"
    return {"test": ["CMD", "python3", "-c", probe], "interval": "5s", "timeout": "5s", "retries": 12}
