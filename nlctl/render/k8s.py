"""Objects of Kubernetes: a StatefulSet for the CAS, a Deployment for the scheduler, a StatefulSet for workers."""

from __future__ import annotations

from typing import Any, Final

from nlctl.render.shape import CAS, CLIENTS, HEALTH, WORKERS, Shape
from nlctl.render.yaml import documents

_HEAD: Final = """\
# Written by nlctl config render. Apply it with:  kubectl apply --filename cluster.yml
# Clients use grpc://scheduler:50052. Only workers may reach port 50061, where the network enforces policies.
"""
_CONFIGS: Final = "nlserver"
_USER: Final = 10001


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
        _service(shape, "worker", {}),
        _cas(shape),
        _scheduler(shape),
        _worker(shape),
        _policy(shape),
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": _meta(shape, "worker"),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(shape, "worker")}},
        },
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
    # A service without ports only gives the pods of a StatefulSet their names.
    spec: dict[str, Any] = {"ports": listed} if listed else {"clusterIP": "None"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(shape, part),
        "spec": {"selector": _labels(shape, part), **spec},
    }


def _pod(shape: Shape, part: str, container: dict[str, Any], grace_seconds: int, volumes: list[Any]) -> dict[str, Any]:
    environment = [{"name": name, "value": value} for name, value in shape.environments[part].items()]
    made = {
        "name": part,
        "image": shape.image,
        "command": ["nlserver", "--admin-socket", "none", f"/etc/nlserver/{part}.json5"],
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
    container = {"env": [named], **_DATA}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _meta(shape, "worker"),
        "spec": {
            "serviceName": "worker",
            "replicas": shape.workers,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": _labels(shape, "worker")},
            "template": _pod(shape, "worker", container, 660, [{"name": "data", "emptyDir": {}}]),
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
