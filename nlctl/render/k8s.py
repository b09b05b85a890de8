"""Objects of Kubernetes: a StatefulSet for the CAS, Deployments for the scheduler and for workers.

Beside them stands what leads the length of the queue from the scheduler to the autoscaler: Prometheus finds the
scheduler by annotations of its pod or by a ServiceMonitor, and prometheus-adapter offers the metric by a rule.
"""

from __future__ import annotations

from typing import Any, Final

from nlctl.render.shape import CAS, CLIENTS, HEALTH, PROBE, WORKERS, Shape
from nlctl.render.yaml import documents, dump

_HEAD: Final = """\
# Written by nlctl config render. Apply it with:  kubectl apply --filename cluster.yml
# Clients use grpc://scheduler:50052. Only workers may reach port 50061, where the network enforces policies.
# The autoscaler asks for the external metric nlctl_operations_queued. Prometheus reads it from the scheduler, which it
# finds by the annotations of the pod, or by service-monitor.yml; prometheus-adapter offers it by the rule in
# adapter-values.yml. Without them the number of workers stays as it is.
"""
_MONITOR_HEAD: Final = """\
# Written by nlctl config render, for the Prometheus Operator, which does not read the annotations of pods.
# Apply it with:  kubectl apply --filename service-monitor.yml
# Where the operator selects monitors by a label of its own, such as release, add that.
"""
_ADAPTER_HEAD: Final = """\
# Written by nlctl config render: values of the Helm chart prometheus-adapter, which let the autoscaler ask for the
# operations that more workers would help. Without Helm the list stands below externalRules in the adapter's config.
#   helm upgrade --install adapter prometheus-community/prometheus-adapter --values adapter-values.yml
#   kubectl get --raw /apis/external.metrics.k8s.io/v1beta1/namespaces/default/nlctl_operations_queued
"""
_CONFIGS: Final = "nlserver"
_USER: Final = 10001
_WAITING_PER_WORKER: Final = 4
_MOST_TIMES: Final = 5
_QUEUED: Final = "nlctl_operations_queued"
_UNSATISFIABLE: Final = "nlctl_operations_unsatisfiable"
_METRICS: Final = "/metrics"


def files(shape: Shape) -> dict[str, str]:
    """One file with every object, the configs in it; and two for what monitors it."""
    return {
        "cluster.yml": _HEAD + documents(objects(shape)),
        "service-monitor.yml": _MONITOR_HEAD + dump(_monitor(shape)),
        "adapter-values.yml": _ADAPTER_HEAD + dump(_adapter()),
    }


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
    return {**_common(shape), "app.kubernetes.io/component": part}


def _common(shape: Shape) -> dict[str, str]:
    return {"app.kubernetes.io/name": "nlserver", "app.kubernetes.io/instance": shape.name}


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


def _scraped(pod: dict[str, Any], port: int) -> dict[str, Any]:
    """The same pod with what a Prometheus without operator looks for by custom."""
    said = {"prometheus.io/scrape": "true", "prometheus.io/port": str(port), "prometheus.io/path": _METRICS}
    return {**pod, "metadata": {**pod["metadata"], "annotations": said}}


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
            "template": _scraped(_pod(shape, "cas", container, 60, []), CAS),
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
            "template": _scraped(_pod(shape, "scheduler", container, 60, []), CLIENTS),
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
            "metric": {"name": _QUEUED},
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


def _monitor(shape: Shape) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": _meta(shape, "nlserver"),
        "spec": {
            "selector": {"matchLabels": _common(shape)},
            "endpoints": [{"port": "grpc", "path": _METRICS, "interval": "15s"}],
        },
    }


def _adapter() -> dict[str, Any]:
    """More workers of the same kind do not help operations that none could ever run."""
    # A scheduler that is found in both ways is read twice: the sum would tell a queue of twice the length.
    waiting, hopeless = (f"max({series}{{<<.LabelMatchers>>}})" for series in ("<<.Series>>", _UNSATISFIABLE))
    rule = {
        "seriesQuery": f'{_QUEUED}{{namespace!=""}}',
        "resources": {"overrides": {"namespace": {"resource": "namespace"}}},
        "metricsQuery": f"{waiting} - {hopeless}",
    }
    return {"rules": {"external": [rule]}}
