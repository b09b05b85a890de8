"""A scheduler behind another server."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.reapi.endpoint import EndpointSpec, RetrySpec
from nlserver.scheduler import SchedulerSpec
from nlserver.spec import Number, Unavailable, key


@dataclass(frozen=True, kw_only=True)
class GrpcSpec(Unavailable, SchedulerSpec, tag="grpc"):
    """Passes actions on to the Execution service of another server; takes no workers itself. Not available yet."""

    called = "scheduler grpc"
    instead = "Point clients at that server, or use a simple scheduler here."

    endpoint: EndpointSpec
    """The server."""
    retry: RetrySpec = key(default_factory=RetrySpec)
    """How failed calls are repeated."""
    max_concurrent_requests: Number | None = key(zero=None)
    """Calls at a time; 0 means no limit."""
    connections_per_endpoint: Number = key(zero=1)
    """Connections to the server."""
