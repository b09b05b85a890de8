"""What starts and stops the members of a cluster. The kinds stand in `backends/`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nlctl.launch.roster import Wanted


@dataclass(frozen=True)
class Report:
    """What the backend says of one member; `state` "gone" means that it is none any more.

    `pid` is that of a process of this machine, and `admin_socket` where it answers operators: a socket or a URL, ""
    where this machine does not reach it. `container` is its id where it runs in one, and `begun` when that began, in
    seconds since 1970, 0 while it does not run; `cpus` and `memory_bytes` are the most that it may take, None for all.
    """

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
    container: str | None = None
    begun: float = 0.0
    cpus: float | None = None
    memory_bytes: int | None = None

    @property
    def runs(self) -> bool:
        """Whether it runs, here or elsewhere."""
        return self.pid is not None or self.begun > 0

    @property
    def run(self) -> tuple[int | None, float]:
        """What tells this run of it from those before."""
        return self.pid, self.begun

    @property
    def place(self) -> str:
        """Which process it is, or which container where that is no process of this machine."""
        if self.pid is None and self.container is not None:
            return f"container {self.container[:12]}"
        return f"pid {self.pid}"

    def here(self, path: str) -> str:
        """Where this machine has a path that the member names: a container has a root of its own; "" for nowhere."""
        if self.container is None:
            return path
        return f"/proc/{self.pid}/root{path}" if self.pid is not None else ""

    @property
    def wanted(self) -> Wanted:
        """What the backend is told so that this member goes on as it is."""
        return Wanted(self.name, self.config, self.fingerprint, self.after, self.processes, self.admin_socket)


def answering(reports: Iterable[Report]) -> dict[str, str]:
    """Where those that run answer operators, as far as this machine reaches them."""
    return {one.name: one.admin_socket for one in reports if one.runs and one.admin_socket}


@dataclass(frozen=True)
class Used:
    """What a member uses by itself: CPU seconds so far, resident bytes and its own share of them, and in how many
    processes. `oom_kills` are its processes that the kernel killed for want of memory, None where nobody counts them.
    """

    cpu_seconds: float
    resident_bytes: int
    own_bytes: int | None
    processes: int
    oom_kills: int | None = None


class Backend(Protocol):
    """Keeps members running. Methods raise Fault when the backend itself cannot be reached."""

    def reports(self) -> list[Report] | None:
        """All members in the order of their start; None when nothing supervises this cluster."""
        ...

    def runs(self) -> bool:
        """Whether anything supervises this cluster."""
        ...

    def start(self) -> None:
        """Begin to supervise; returns before members run."""
        ...

    def apply(self, wanted: Sequence[Wanted], grace_seconds: float) -> None:
        """Run exactly these from now on."""
        ...

    def restart(self, fingerprints: Mapping[str, str], grace_seconds: float) -> None:
        """Start these members anew with their configs as they are now; each may finish what it does for so long.

        What each then runs has this fingerprint; "" leaves it as it is.
        """
        ...

    def watch(self, deadline: float) -> Iterator[Report]:
        """Every member as it stands and then each change, until the monotonic deadline or the backend's end."""
        ...

    def stop(self, grace_seconds: float, deadline: float) -> Iterator[Report]:
        """End all members, those first on which no other leans; changes as they come, until all are gone."""
        ...

    def sweep(self, grace_seconds: float) -> int:
        """End what was left without anybody who supervises it; answers how much."""
        ...

    def used(self, reports: Sequence[Report]) -> Mapping[str, Used]:
        """What these members use, of those that run."""
        ...

    def gather_logs(self) -> None:
        """Bring the log files of the ledger up to what the members said until now."""
        ...

    def data_bytes(self) -> int:
        """How much disk the blobs and work take."""
        ...

    def forget(self, *, data: bool) -> None:
        """Remove what stopped members leave, their blobs only on demand; the ledger's own folder stays."""
        ...
