"""Workers that get no new work, or get work again: what `cordon`, `uncordon` and `drain` have in common."""

from __future__ import annotations

from collections.abc import Sequence

from nlctl import admin
from nlctl.session import Route, Session, admin_of
from nlctl.worker_ids import worker_name


def turn(session: Session, cluster: str, names: Sequence[str], *, draining: bool, dry_run: bool) -> None:
    """Bring these workers there and tell how they stand; a dry run only tells. Raises Fault, and then changes none."""
    target = session.target(cluster)
    if target.admin is None and target.route is not None:
        rows = by_route(target.route, names, draining=draining, dry_run=dry_run)
    else:
        endpoint = admin_of(target)
        found = admin.workers_named(endpoint, names) if dry_run else admin.set_drain(endpoint, names, draining=draining)
        rows = [{"name": one.name, "id": one.id, "state": one.state} for one in found]
    does = "takes no new work" if draining else "takes work again"
    for row in rows:
        session.ui.say(f"{row['name']} {'would be told so: it ' if dry_run else ''}{does}.")
    schema = "nlctl.workers.cordon/v1" if draining else "nlctl.workers.uncordon/v1"
    session.ui.item(schema, {"dry_run": dry_run, "workers": rows}, "", name="\n".join(row["name"] for row in rows))


def by_route(route: Route, ids: Sequence[str], *, draining: bool, dry_run: bool) -> list[dict[str, str]]:
    """The same by NativeLink's admin route, which takes ids and tells nothing. Raises Fault at the first unknown."""
    from nlctl.nativelink import set_drain

    if not dry_run:
        set_drain(route, ids, draining=draining)
    state = "draining" if draining else "ready"
    return [{"name": worker_name(id_), "id": id_, "state": "unknown" if dry_run else state} for id_ in ids]
