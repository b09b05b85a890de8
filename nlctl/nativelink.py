"""The one route that NativeLink has for operators: `POST {url}/scheduler/NAME/set_drain_worker/ID/0|1`.

It takes the whole id of a worker, as the logs of its scheduler show it, and tells nothing of what the worker runs. Our
own servers serve it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from nlctl.faults import UNKNOWN_WORKER, UNREACHABLE, Fault, fix
from nlctl.session import Route

_SECONDS: Final = 10.0


def set_drain(route: Route, worker_ids: Sequence[str], *, draining: bool) -> None:
    """Give these workers no new work, or work again, one after the other. Raises Fault at the first that fails."""
    for worker_id in worker_ids:
        _post(route, worker_id, draining)


def _post(route: Route, worker_id: str, draining: bool) -> None:
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    where = urlsplit(route.url)
    kind = HTTPSConnection if where.scheme == "https" else HTTPConnection
    connection = kind(where.hostname or "", where.port, timeout=_SECONDS)
    try:
        names = f"scheduler/{quote(route.scheduler, safe='')}/set_drain_worker/{quote(worker_id, safe='')}"
        connection.request("POST", f"{where.path.rstrip('/')}/{names}/{int(draining)}")
        answer = connection.getresponse()
        said = answer.read(4096).decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        see = fix("see where it should be", "nlctl", "context", "show", "--no-ask")
        raise Fault(UNREACHABLE, f"{route.url} does not answer", why=str(error), fixes=[see]) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise Fault(
            UNKNOWN_WORKER,
            f"the server did not take {worker_id!r} for a worker of scheduler {route.scheduler!r}",
            why=f"{route.url} answered {answer.status}; NativeLink knows workers by their whole ids alone",
            fixes=[fix("take the id from the log of its scheduler; --scheduler of the context may be wrong")],
            said=said,
        )
