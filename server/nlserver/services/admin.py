"""Admin: what an operator may ask of a running process (proto/admin.proto)."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.spec import Spec


@dataclass(frozen=True, kw_only=True)
class AdminSpec(Spec):
    """Serves the admin gRPC service, and `POST {path}/scheduler/NAME/set_drain_worker/ID/0|1`, on this listener.

    There is no authentication: keep it off open networks.
    """

    path: str = "/admin"
    """Where the HTTP route stands; empty means `/admin`."""
