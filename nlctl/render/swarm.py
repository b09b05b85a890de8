"""A stack of Docker's Swarm mode: the parts of a cluster as services on the nodes of a swarm."""

from __future__ import annotations

from typing import Any, Final

from nlctl.render.shape import CAS, CLIENTS, PROBE, Shape
from nlctl.render.yaml import dump

_HEAD: Final = """\
# Written by nlctl config render. Start it with:  docker stack deploy --compose-file stack.yml NAME
# Clients use grpc://NODE:50052, where NODE is the one that runs the scheduler; the worker API is not published.
# The CAS keeps its blobs on the node that runs it: where there are several managers, name one in its constraint
# (node.hostname == NAME). More workers:  docker service scale NAME_worker=8
"""


def files(shape: Shape) -> dict[str, str]:
    """stack.yml and the configs that the swarm takes from beside it."""
    return {"stack.yml": _HEAD + dump(_stack(shape)), **shape.configs}


def _stack(shape: Shape) -> dict[str, Any]:
    manager = {"placement": {"constraints": ["node.role == manager"]}}
    cas = {
        **_service(shape, "cas", 1, manager, "60s"),
        "volumes": [{"type": "volume", "source": "cas", "target": "/data"}],
        "ports": [_port("CAS_PORT", CAS)],
    }
    # The queue is in the memory of one process: never two, so the old one ends before the new one starts.
    scheduler = {**_service(shape, "scheduler", 1, manager, "60s"), "ports": [_port("CLIENT_PORT", CLIENTS)]}
    worker = {
        **_service(shape, "worker", shape.workers, shape.resources, "10m"),
        # The workers of one machine share what they fetched; each has a work directory of its own there.
        "volumes": [{"type": "volume", "source": "workers", "target": "/data"}],
    }
    worker["environment"] = {**worker["environment"], "WORKER_NAME": "worker-{{.Task.Slot}}"}
    return {
        "version": "3.8",
        "services": {"cas": cas, "scheduler": scheduler, "worker": worker},
        "networks": {"cluster": {"driver": "overlay"}},
        "volumes": {"cas": {}, "workers": {}},
        "configs": {part: {"file": f"./{part}.json5"} for part in ("cas", "scheduler", "worker")},
    }


def _service(shape: Shape, part: str, replicas: int, deploy: dict[str, Any], grace: str) -> dict[str, Any]:
    return {
        "image": shape.image,
        "command": [f"/etc/nlserver/{part}.json5"],
        "environment": shape.environments[part],
        "configs": [{"source": part, "target": f"/etc/nlserver/{part}.json5"}],
        "networks": ["cluster"],
        "healthcheck": {"test": ["CMD", *PROBE], "interval": "5s", "timeout": "30s", "retries": 12},
        "stop_grace_period": grace,
        "deploy": {
            "replicas": replicas,
            # Connections live for hours: a name leads to the container itself, and no balancer stands between.
            "endpoint_mode": "dnsrr",
            "restart_policy": {"condition": "any", "delay": "1s"},
            "update_config": {"parallelism": 1, "order": "stop-first"},
            **deploy,
        },
    }


def _port(variable: str, port: int) -> dict[str, Any]:
    return {"target": port, "published": f"${{{variable}:-{port}}}", "protocol": "tcp", "mode": "host"}
