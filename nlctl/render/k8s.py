"""Objects of Kubernetes: a StatefulSet for the CAS, Deployments for the scheduler and for workers."""

from __future__ import annotations

from typing import Any, Final

from nlctl.render.shape import CAS, CLIENTS, HEALTH, PROBE, WORKERS, Shape
from nlctl.render.yaml import documents

_HEAD: Final = """\
# Written by nlctl config render. Apply it with:  kubectl apply --filename cluster.yml
# Clients use grpc://scheduler:50052. Only workers may reach port 50061, where the network enforces policies.
# The autoscaler asks for the external metric nlctl_operations_queued (nlctl metrics --prom), which an adapter of
# metrics offers; without one the number of workers stays as it is.
"""
_CONFIGS: Final = "nlserver"
_USER: Final = 10001
_WAITING_PER_WORKER: Final = 4
_MOST_TIMES: Final = 5


def files(shape: Shape) -> dict[str, str]:
    """One file with every object; the configs are in it."""
    return {"cluster.yml": _HEAD + documents(objects(shape))}


def objects(shape: Shape) -> list[dict[str, Any]]:
    """Every object, in the order in which they are to be made."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _meta(shape, _CONFIGS),
            "data": dict(shape.configs),
        },
        _service(shape, "cas", {"grpc": CAS}),
        _service(shape, "scheduler", {"grpc": CLIENTS, "workers": WORKERS}),
        _cas(shape),
        _scheduler(shape),
        _worker(shape),
        _policy(shape),
        *(_budget(shape, part) for part in ("cas", "scheduler", "worker")),
        _autoscaler(shape),
    ]


def _labels(shape: Shape, part: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "nlserver",
        "app.kubernetes.io/instance": shape.name,
        "app.kubernetes.io/component": part,
    }


def _meta(shape: Shape, part: str) -> dict[str, Any]:
    return {"name": part, "labels": _labels(shape, part)}


def _service(shape: Shape, part: str, ports: dict[str, int]) -> dict[str, Any]:
    listed = [{"name": name, "port": port, "targetPort": name} for name, port in ports.items()]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(shape, part),
        "spec": {"selector": _labels(shape, part), "ports": listed},
    }


def _pod(shape: Shape, part: str, container: dict[str, Any], grace_seconds: int, volumes: list[Any]) -> dict[str, Any]:
    environment = [{"name": name, "value": value} for name, value in shape.environments[part].items()]
    made = {
        "name": part,
        "image": shape.image,
        "args": [f"/etc/nlserver/{part}.json5"],
        **container,
        "env": [*environment, *container.get("env", [])],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "configs", "mountPath": "/etc/nlserver", "readOnly": True},
            *container.get("volumeMounts", []),
        ],
    }
    return {
        "metadata": {"labels": _labels(shape, part)},
        "spec": {
            "terminationGracePeriodSeconds": grace_seconds,
            "securityContext": {"runAsNonRoot": True, "runAsUser": _USER, "fsGroup": _USER},
            "containers": [made],
            "volumes": [{"name": "configs", "configMap": {"name": _CONFIGS}}, *volumes],
        },
    }


def _probes(port: str) -> dict[str, Any]:
    probe = {"httpGet": {"path": HEALTH, "port": port}}
    return {
        "startupProbe": {**probe, "periodSeconds": 2, "failureThreshold": 60},
        "readinessProbe": {**probe, "periodSeconds": 5},
        "livenessProbe": {**probe, "periodSeconds": 20, "failureThreshold": 6},
    }


def _port(name: str, port: int) -> dict[str, Any]:
    return {"name": name, "containerPort": port}


_DATA: Final = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}


def _cas(shape: Shape) -> dict[str, Any]:
    container = {"ports": [_port("grpc", CAS)], **_probes("grpc"), **_DATA}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _meta(shape, "cas"),
        "spec": {
            "serviceName": "cas",
            "replicas": 1,
            "selector": {"matchLabels": _labels(shape, "cas")},
            "template": _pod(shape, "cas", container, 60, []),
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "data"},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": _volume(shape.cas_size)}},
                    },
                }
            ],
        },
    }


def _volume(size: str) -> str:
    """Room for the CAS, for results and for what is being written: a quarter more, in Gi."""
    from nlctl.sizes import parse

    return f"{max(2, -(-parse(size) * 5 // (4 << 30)))}Gi"


def _scheduler(shape: Shape) -> dict[str, Any]:
    container = {"ports": [_port("grpc", CLIENTS), _port("workers", WORKERS)], **_probes("workers")}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(shape, "scheduler"),
        "spec": {
            # The queue is in the memory of one process: never two, not even while one replaces the other.
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _labels(shape, "scheduler")},
            "template": _pod(shape, "scheduler", container, 60, []),
        },
    }


def _worker(shape: Shape) -> dict[str, Any]:
    named = {"name": "WORKER_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    container: dict[str, Any] = {"env": [named], **_DATA}
    # Alive is whose process lives: to restart workers because their scheduler is away would end what they run.
    container["readinessProbe"] = {"exec": {"command": list(PROBE)}, "periodSeconds": 5, "timeoutSeconds": 30}
    container["resources"] = {
        "requests": _amounts(shape, 2) or {"cpu": "1", "memory": "1Gi"},
        **({"limits": limits} if (limits := _amounts(shape, 1)) else {}),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(shape, "worker"),
        "spec": {
            "replicas": shape.workers,
            "selector": {"matchLabels": _labels(shape, "worker")},
            "template": _pod(shape, "worker", container, 660, [{"name": "data", "emptyDir": {}}]),
        },
    }


def _amounts(shape: Shape, share: int) -> dict[str, str]:
    """So many parts of the most that a worker may take."""
    cpu = {} if shape.cpus is None else {"cpu": f"{round(shape.cpus * 1000 / share)}m"}
    return cpu if shape.memory is None else {**cpu, "memory": str(shape.memory // share)}


def _budget(shape: Shape, part: str) -> dict[str, Any]:
    """How many pods of a part may be away when nodes are emptied: one at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _meta(shape, part),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(shape, part)}},
    }


def _autoscaler(shape: Shape) -> dict[str, Any]:
    """More workers while operations wait, fewer only after the queue has been short for long."""
    least = max(1, shape.workers)
    queue = {
        "type": "External",
        "external": {
            "metric": {"name": "nlctl_operations_queued"},
            "target": {"type": "AverageValue", "averageValue": str(_WAITING_PER_WORKER)},
        },
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _meta(shape, "worker"),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"},
            "minReplicas": least,
            "maxReplicas": _MOST_TIMES * least,
            "metrics": [queue],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
        },
    }


def _policy(shape: Shape) -> dict[str, Any]:
    workers = [{"podSelector": {"matchLabels": _labels(shape, "worker")}}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _meta(shape, "scheduler"),
        "spec": {
            "podSelector": {"matchLabels": _labels(shape, "scheduler")},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": [{"port": "grpc"}]},
                {"from": workers, "ports": [{"port": "workers"}]},
            ],
        },
    }
