"""What we started: one folder for each cluster under the user's state directory, written so that a crash leaves either
the old or the new.

    cluster.json   the shape and ports, with a schema number      config/*.json5   what the members run
    logs/          one file a part                                run/             socket, process ids
    data/          blobs and work                                 lock             held while a command changes things
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from nlctl.faults import LOCKED, NEWER_STATE, Fault, fix
from nlctl.launch.containers import Containers
from nlctl.launch.process import Identity, alive, identity
from nlctl.launch.wish import Ports, Wish, resized

SCHEMA: Final = 2
_COUNTED: Final = 1
"""The schema in which workers were a number: always worker-1 to worker-N."""


@dataclass(frozen=True)
class Record:
    """A cluster as it was last brought up: the names of its workers, the oldest first, and more.

    `generated` holds the fingerprint of each config as we wrote it. `proven` tells that a canary came back from every
    worker in this shape; a command that was killed halfway leaves it false. `offers` are further properties by worker
    and name, `knows` all names that ever were offered: that workers go changes nothing for the scheduler. `templates`
    is the user's folder that configs are made of, if there is one. `containers` tells how they are run in Docker; None
    where parts are processes.
    """

    name: str
    workers: tuple[str, ...]
    cas_size: str
    ports: Ports
    created: float
    generated: Mapping[str, str] = field(default_factory=dict)
    cas_processes: int = 1
    proven: bool = False
    offers: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    knows: tuple[str, ...] = ()
    templates: str | None = None
    containers: Containers | None = None

    @property
    def project(self) -> str:
        """The project of Compose that runs it; "" for what nlctl runs."""
        return self.containers.project if self.containers else ""

    def wish(self, data: Path) -> Wish:
        """The shape in which it was."""
        return Wish(
            self.name,
            self.workers,
            self.cas_size,
            self.ports,
            data,
            cas_processes=self.cas_processes,
            offers=self.offers,
            knows=self.knows,
            inside=self.containers.inside if self.containers else None,
        )


class Ledger:
    """The folder of one cluster. Nothing is created before it is needed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.name = home.name
        self.configs = home / "config"
        self.logs = home / "logs"
        self.run = home / "run"
        self.data = home / "data"

    def config(self, member: str) -> Path:
        """Where this member's config stands."""
        return self.configs / f"{member}.json5"

    def admin_socket(self, part: str) -> Path:
        """Where this part answers operators."""
        return self.run / f"{part}.sock"

    def log(self, part: str) -> Path:
        """Where this part logs."""
        return self.logs / f"{part}.log"

    @property
    def exists(self) -> bool:
        """Whether this cluster was ever brought up and not removed."""
        return (self.home / "cluster.json").exists()

    def prepare(self) -> None:
        """Make the folders; only their owner may look into them."""
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.configs, self.logs, self.run, self.data):
            folder.mkdir(exist_ok=True)

    def load(self) -> Record | None:
        """What was recorded, None if nothing. Raises Fault NEWER_STATE for a schema that we do not know."""
        try:
            document = json.loads((self.home / "cluster.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        if document.get("schema") not in (SCHEMA, _COUNTED):
            raise Fault(
                NEWER_STATE,
                f"the state of cluster {self.name!r} was written by a newer nlctl",
                why=f"{self.home / 'cluster.json'} has schema {document.get('schema')}, this nlctl knows {SCHEMA}",
                fixes=[fix("use the nlctl that started it, or remove the folder")],
            )
        workers = document["workers"]
        values: dict[str, Any] = {key: document[key] for key in ("name", "cas_size", "created", "generated")}
        # Clusters of earlier versions have no such number.
        values["cas_processes"] = document.get("cas_processes", 1)
        values["proven"] = document.get("proven", False)
        values["templates"] = document.get("templates")
        values["containers"] = Containers(**made) if (made := document.get("containers")) else None
        values["offers"], values["knows"] = document.get("offers", {}), tuple(document.get("knows", ()))
        values["workers"] = resized((), workers) if document["schema"] == _COUNTED else tuple(workers)
        return Record(ports=Ports(**document["ports"]), **values)

    def save(self, record: Record) -> None:
        """Record this shape."""
        write(self.home / "cluster.json", json.dumps({"schema": SCHEMA, **asdict(record)}, indent=2) + "\n")

    def leftovers(self) -> list[Identity]:
        """Processes of this cluster that run without their supervisor."""
        try:
            document = json.loads((self.run / "members.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return []
        return [who for one in document for who in [Identity(one["pid"], one["start"])] if alive(who)]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes this cluster meanwhile. Raises Fault LOCKED naming the process that does.

        The kernel drops the lock with its owner, so a crash leaves none; pid and start time are there to name it.
        """
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(descriptor, self.name)
            yield
        finally:
            os.close(descriptor)

    def bytes_of_data(self) -> int:
        """How much disk the data take."""
        return sum(_size(Path(folder) / name) for folder, _, names in os.walk(self.data) for name in names)

    def forget(self, *, data: bool, logs: bool = True) -> None:
        """Remove what a stopped cluster leaves; its data and logs only on demand."""
        import shutil

        shutil.rmtree(self.run, ignore_errors=True)
        if data:
            _remove(self.data)
        if data and logs:
            _remove(self.home)


def _take(descriptor: int, name: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 100, 0).decode().split()
        pid = owner[0] if owner else "unknown"
        raise Fault(
            LOCKED,
            f"another command is changing cluster {name!r}",
            why=f"pid {pid} holds its lock",
            fixes=[fix("wait until it is done"), fix("see how far it is", "nlctl", "-C", name, "ps")],
        ) from None
    me = identity(os.getpid())
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} {me.start if me else 0} {time.time():.0f}\n".encode(), 0)


def write(path: Path, text: str) -> None:
    """Replace a file as a whole."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with open(fresh, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def known(state: Path) -> list[str]:
    """The names of all clusters in this state directory."""
    with suppress(FileNotFoundError):
        return sorted(entry.name for entry in (state / "clusters").iterdir() if (entry / "cluster.json").exists())
    return []


def _size(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0


def _remove(folder: Path) -> None:
    """Remove a tree whose folders may be read-only: workers hand actions read-only inputs."""
    import shutil

    def again(_function: Any, path: str, _error: Any) -> None:
        with suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            os.chmod(path, 0o700)
            os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)

    shutil.rmtree(folder, onerror=again)
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
