"""What is rendered: the size of the cluster, and the texts of its configs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

CAS: Final = 50051
CLIENTS: Final = 50052
WORKERS: Final = 50061
HEALTH: Final = "/status"
SOCKET: Final = "/run/nlserver/admin.sock"
"""Where a part in a container answers operators; the image says so too."""
PROBE: Final = ("nlserver-probe", SOCKET)


@dataclass(frozen=True)
class Shape:
    """A cluster: `configs` are the texts of cas.json5, scheduler.json5 and worker.json5 by these names.

    `program` is the path of nlserver where it is installed on the machine itself, `image` the one that holds it.
    `cpus` and `memory` are the most that one worker may take, as Docker writes them; None for no limit.
    """

    name: str
    workers: int
    cas_size: str
    configs: Mapping[str, str]
    image: str
    program: str
    cpus: float | None = None
    memory: int | None = None

    @property
    def resources(self) -> dict[str, Any]:
        """The limits of a worker, half of which is kept for it, as compose and Swarm read them; may be empty."""
        if self.cpus is None and self.memory is None:
            return {}
        return {"resources": {"limits": self._share(1), "reservations": self._share(2)}}

    def _share(self, of: int) -> dict[str, str]:
        cpus = {} if self.cpus is None else {"cpus": f"{self.cpus / of:g}"}
        return cpus if self.memory is None else {**cpus, "memory": str(self.memory // of)}

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
