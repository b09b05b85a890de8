"""Which parts there are to watch, from what the session chose."""

from __future__ import annotations

from nlctl.session import Session, admin_of
from nlctl.watch.gathering import Gatherer, Place


def gatherer(session: Session, asked: str = "") -> Gatherer:
    """For the parts of the chosen cluster, or the one server elsewhere that its context names.

    Raises Fault NOT_RUNNING, or UNSUPPORTED where there is no admin service.
    """
    target = session.target(asked)
    admin = admin_of(target)
    if target.cluster is None:
        elsewhere = Place(target.context or target.executor, admin)
        return Gatherer(elsewhere.name, lambda: [elsewhere])
    ledger, backend = session.running(asked)

    def places() -> list[Place]:
        return [Place(one.name, one.admin_socket, one) for one in backend.reports() or () if one.admin_socket]

    return Gatherer(ledger.name, places)
