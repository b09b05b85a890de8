"""What starts and stops the members of a cluster. The kinds stand in `backends/`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from nlctl.launch.roster import Wanted


@dataclass(frozen=True)
class Report:
    """What the backend says of one member; `state` "gone" means that it is none any more."""

    name: str
    state: str
    pid: int | None = None
    config: str = ""
    fingerprint: str = ""
    after: tuple[str, ...] = ()
    processes: int = 1
    admin_socket: str = ""
    restarts: int = 0
    since_ms: int = 0
    last_exit: str | None = None
    retry_in_ms: int | None = None

    @property
    def wanted(self) -> Wanted:
        """What the backend is told so that this member goes on as it is."""
        return Wanted(self.name, self.config, self.fingerprint, self.after, self.processes, self.admin_socket)


class Backend(Protocol):
    """Keeps members running. Methods raise Fault when the backend itself cannot be reached."""

    def reports(self) -> list[Report] | None:
        """All members in the order of their start; None when nothing supervises this cluster."""
        ...

    def start(self) -> None:
        """Begin to supervise; returns before members run."""
        ...

    def apply(self, wanted: Sequence[Wanted], grace_seconds: float) -> None:
        """Run exactly these from now on."""
        ...

    def watch(self, deadline: float) -> Iterator[Report]:
        """Every member as it stands and then each change, until the monotonic deadline or the backend's end."""
        ...

    def stop(self, grace_seconds: float, deadline: float) -> Iterator[Report]:
        """End all members, those first on which no other leans; changes as they come, until all are gone."""
        ...
