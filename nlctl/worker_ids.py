"""The ids that schedulers give workers. Pure."""

from __future__ import annotations

import re
from typing import Final

_NAMED: Final = re.compile(r"(.+)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def worker_name(worker_id: str) -> str:
    """The configured name in a worker's id, which is that name and a UUID (NativeLink behaviour); of others the id."""
    found = _NAMED.fullmatch(worker_id)
    return found[1] if found else worker_id
