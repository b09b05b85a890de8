"""What the doctor looks for and the lab causes no fault of, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

UNCAUSED: Final[Mapping[str, str]] = {
    "NLD-WRK-05": "it takes a second release of nlctl beside this one",
    "NLD-SHR-02": "it is no fault: of the lab, whose workers share a directory, it is told while all is well",
    "NLD-QUE-02 failed": "WEDGED: the scheduler would have to leave an action alone which a worker has room for",
    "NLD-QUE-04 failed": "the scheduler would have to keep an action of a worker that is gone: it queues it again",
}
"""Checks by their ids; a word after one stands for that verdict of it alone."""
