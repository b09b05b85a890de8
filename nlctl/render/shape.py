"""What is rendered: the size of the cluster, and the texts of its configs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CAS: Final = 50051
CLIENTS: Final = 50052
WORKERS: Final = 50061
HEALTH: Final = "/status"


@dataclass(frozen=True)
class Shape:
    """A cluster: `configs` are the texts of cas.json5, scheduler.json5 and worker.json5 by these names.

    `program` is the path of nlserver where it is installed on the machine itself, `image` the one that holds it.
    """

    name: str
    workers: int
    cas_size: str
    configs: Mapping[str, str]
    image: str
    program: str

    @property
    def environments(self) -> dict[str, dict[str, str]]:
        """Variables of each part where every part is a host of its own, called cas and scheduler."""
        return {
            "cas": {"DATA": "/data", "CAS_LISTEN": f"0.0.0.0:{CAS}", "CAS_SIZE": self.cas_size},
            "scheduler": {
                "CLIENT_LISTEN": f"0.0.0.0:{CLIENTS}",
                "WORKER_API_LISTEN": f"0.0.0.0:{WORKERS}",
                "CAS_ENDPOINT": f"cas:{CAS}",
            },
            "worker": {
                "DATA": "/data",
                "CAS_ENDPOINT": f"cas:{CAS}",
                "SCHEDULER_ENDPOINT": f"scheduler:{WORKERS}",
            },
        }
