"""A snapshot as `top` and `metrics` say it to machines. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from nlctl.layers import Layer
from nlctl.watch.facts import PartFacts, Snapshot
from nlctl.watch.history import History


def top(now: Snapshot, history: History) -> dict[str, Any]:
    """The item of `nlctl.top/v1`."""
    return {
        "time": moment(now.when),
        "cluster": now.cluster,
        "slots": now.slots,
        "running": now.running,
        "queued": now.queue_length,
        "oldest_ms": None if now.oldest_seconds is None else int(now.oldest_seconds * 1000),
        "hit_ratio": history.hit_ratio(),
        "calls_per_second": history.rate("calls"),
        "received_bytes_per_second": history.rate("received_bytes"),
        "sent_bytes_per_second": history.rate("sent_bytes"),
        "finished_actions_per_second": history.rate("finished_actions"),
        "parts": [_part(now, history, part) for part in now.parts],
        "workers": [
            {
                "name": one.name,
                "id": one.id,
                "state": one.state,
                "running": len(one.operations),
                "most": one.most_operations or None,
                "completed": one.completed,
                "operations": list(one.operations),
            }
            for one in now.workers
        ],
        "stores": [_store(part, layer) for part in now.parts for layer in part.stores],
    }


def moment(when: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _part(now: Snapshot, history: History, part: PartFacts) -> dict[str, Any]:
    return {
        "name": part.name,
        "state": part.state,
        "pid": part.pid,
        "restarts": part.restarts,
        "trouble": part.trouble or None,
        "ailments": list(part.ailments),
        "uptime_ms": int((now.when - part.started) * 1000) if part.started else None,
        "cpu_ratio": history.cpu(part.name),
        "resident_bytes": part.resident_bytes,
    }


def _store(part: PartFacts, layer: Layer) -> dict[str, Any]:
    return {
        "part": part.name,
        "path": layer.path,
        "kind": layer.kind,
        "values": layer.values,
        "size_bytes": layer.size_bytes,
        "max_bytes": layer.max_bytes or None,
    }
