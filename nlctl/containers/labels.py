"""The labels by which containers, networks and volumes are found again: ours, and those of Compose. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CLUSTER: Final = "nlctl.cluster"
PART: Final = "nlctl.part"
HOME: Final = "nlctl.home"
"""The folder of the cluster's record: two users may give their clusters one name."""
FINGERPRINT: Final = "nlctl.fingerprint"
PROCESSES: Final = "nlctl.processes"
LAB: Final = "nlctl.lab"
"""On a container that a lab made otherwise than the record says."""
COMPOSE_PROJECT: Final = "com.docker.compose.project"
COMPOSE_SERVICE: Final = "com.docker.compose.service"
COMPOSE_NUMBER: Final = "com.docker.compose.container-number"


def part_of(labels: Mapping[str, str]) -> str | None:
    """What a container is called as a part: our name, or Compose's `worker-2`; None for anybody else's.

    The first container of a service that was not scaled is the service itself: `cas`.
    """
    if name := labels.get(PART):
        return name
    if service := labels.get(COMPOSE_SERVICE):
        number = labels.get(COMPOSE_NUMBER, "1")
        return service if number == "1" and service != "worker" else f"{service}-{number}"
    return None


def order(part: str) -> tuple[int, str, int]:
    """For sorting: CAS, scheduler, then workers by their numbers."""
    head, _, number = part.rpartition("-")
    rank = {"cas": 0, "scheduler": 1}.get(part, 2)
    return (rank, head, int(number)) if number.isdigit() else (rank, part, 0)
