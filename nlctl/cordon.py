"""Workers that get no new work, or get work again: what `cordon` and `uncordon` have in common."""

from __future__ import annotations

from collections.abc import Sequence

from nlctl import admin
from nlctl.session import Session, admin_of


def turn(session: Session, cluster: str, names: Sequence[str], *, draining: bool, dry_run: bool) -> None:
    """Bring these workers there and tell how they stand; a dry run only tells. Raises Fault, and then changes none."""
    endpoint = admin_of(session.target(cluster))
    found = admin.workers_named(endpoint, names) if dry_run else admin.set_drain(endpoint, names, draining=draining)
    does = "takes no new work" if draining else "takes work again"
    for one in found:
        session.ui.say(f"{one.name} {'would be told so: it ' if dry_run else ''}{does}.")
    rows = [{"name": one.name, "id": one.id, "state": one.state} for one in found]
    schema = "nlctl.workers.cordon/v1" if draining else "nlctl.workers.uncordon/v1"
    session.ui.item(schema, {"dry_run": dry_run, "workers": rows}, "", name="\n".join(one.name for one in found))
