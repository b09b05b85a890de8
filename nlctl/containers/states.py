"""What the engine says of a container, as we need it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from nlctl.containers.labels import part_of

_BAD_CONFIG: Final = 13
_BY_SIGNAL: Final = 128
_NANO: Final = 1_000_000_000


@dataclass(frozen=True)
class State:
    """One container. Times are seconds since 1970, 0 for never; `cpus` and `memory_bytes` are limits, None for none.

    `announces` tells that its server says by itself when it serves, `admin_socket` where it answers operators, as the
    container names it.
    """

    id: str
    name: str
    part: str
    status: str
    pid: int | None
    exit_code: int
    oom_killed: bool
    restarts: int
    started: float
    finished: float
    image: str
    image_name: str
    health: str | None = None
    cpus: float | None = None
    memory_bytes: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    announces: bool = False
    admin_socket: str = ""

    @property
    def running(self) -> bool:
        """Whether it runs, or the engine is about to start it again."""
        return self.status in ("running", "paused", "restarting")

    @property
    def last_exit(self) -> str | None:
        """How it ended last; None where the engine does not remember it, which it does not once it runs again."""
        if self.status in ("running", "paused", "created") or not self.finished:
            return "out of memory" if self.oom_killed else None
        code = self.exit_code
        said = f"signal {code - _BY_SIGNAL}" if code > _BY_SIGNAL else f"exit {code}"
        return f"{said}, out of memory" if self.oom_killed else said

    def standing(self, *, ready: bool) -> str:
        """Where it stands, in the words of a supervisor."""
        match self.status:
            case "running":
                return "ready" if ready else "starting"
            case "created":
                return "waiting"
            case "restarting":
                return "failed" if self.exit_code == _BAD_CONFIG else "backoff"
            case "removing":
                return "stopping"
            case "paused":
                return "paused"
            case _:
                return "failed"

    def since_ms(self, now: float) -> int:
        """How long it stands so."""
        return max(0, int((now - (self.started if self.running else self.finished)) * 1000))


def read(facts: Mapping[str, Any]) -> State:
    """From what `inspect` says."""
    state, host, config = facts["State"], facts["HostConfig"], facts["Config"]
    health = state.get("Health")
    name = facts["Name"].lstrip("/")
    return State(
        facts["Id"],
        name,
        part_of(config.get("Labels") or {}) or name,
        state["Status"],
        state["Pid"] or None,
        state["ExitCode"],
        bool(state.get("OOMKilled")),
        facts.get("RestartCount", 0),
        moment(state["StartedAt"]),
        moment(state["FinishedAt"]),
        facts["Image"],
        config["Image"],
        health["Status"] if health else None,
        host["NanoCpus"] / _NANO if host.get("NanoCpus") else None,
        host.get("Memory") or None,
        config.get("Labels") or {},
        any(one.startswith("NLSERVER_READY_FD=") for one in config.get("Env") or ()),
        _told("--admin-socket", " ".join([*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())])),
    )


def _told(flag: str, command: str) -> str:
    """The last value of a flag on a command line, which may stand in that of a shell."""
    return next((value for name, value in reversed(list(pairwise(command.split()))) if name == flag), "")


def moment(text: str) -> float:
    """A time of the engine, which has nine digits after the point, in seconds since 1970; 0 for its "never"."""
    if text.startswith("0001-"):
        return 0.0
    head, _, rest = text.partition(".")
    digits = "".join(char for char in rest if char.isdigit())
    whole = datetime.fromisoformat(head.removesuffix("Z") + "+00:00").timestamp()
    return whole + (float(f"0.{digits}") if digits else 0.0)
