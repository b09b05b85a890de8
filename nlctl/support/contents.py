"""What goes into a bundle: each file by its name, and where its text comes from. Nothing is changed anywhere."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Final

from nlserver.errors import Error

from nlctl import VERSION
from nlctl.admin import Admin
from nlctl.launch.journal import previous
from nlctl.launch.ledger import Ledger
from nlctl.launch.process import title
from nlctl.support.archive import Full, opened
from nlctl.support.redaction import Redactor
from nlctl.watch.catalogue import samples
from nlctl.watch.exposition import text
from nlctl.watch.facts import Snapshot
from nlctl.watch.gathering import Place

_ANSWER_SECONDS: Final = 3.0
_MOST_LINES: Final = 20_000
_LINE_BYTES: Final = 64 << 10
_CUT: Final = 4 << 10
_MOST_CONFIG_BYTES: Final = 4 << 20
_SHOWN_VARIABLES: Final = frozenset({"LANG", "LC_ALL", "TERM", "TZ", "SHELL", "NO_COLOR", "CI", "PYTHONUNBUFFERED"})
_LIMITS: Final = ("RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_MEMLOCK")


@dataclass(frozen=True)
class Item:
    """One file of a bundle; `source` is where its text comes from. `pieces` asks for it, piece by piece.

    `is_log` tells that only its last part matters where there is no room for all.
    """

    name: str
    source: str
    pieces: Callable[[Redactor, int], Iterator[str]]
    is_log: bool = False


def of_configs(ledger: Ledger) -> list[Item]:
    """The shape of a cluster and its configs: these are read first, and teach the redactor what is secret."""
    paths = [ledger.home / "cluster.json", *sorted(_names(ledger.configs, (".json5", ".json")))]
    return [Item(f"cluster/{path.relative_to(ledger.home)}", str(path), _config(path)) for path in paths]


def of_machine(ledger: Ledger, environment: Mapping[str, str], pids: Mapping[str, int]) -> list[Item]:
    """The machine, the tool, and the processes of the cluster."""
    return [
        _document("machine.json", "this machine", lambda redactor: _machine(ledger, dict(environment), redactor)),
        _document("processes.json", "/proc", lambda _: _processes(pids)),
    ]


def of_parts(places: Sequence[Place], since: float) -> list[Item]:
    """What each part says of itself: stores, what they evicted, events, and of schedulers workers and operations."""
    made = []
    for place in places:
        for name, ask in _QUESTIONS.items():
            made.append(Item(f"parts/{place.name}/{name}", place.endpoint, _asked(place, ask, since)))
    return made


def of_snapshot(name: str, now: Snapshot) -> list[Item]:
    """Every metric, and what the whole cluster looked like."""
    return [
        Item(f"{name}.prom", "all parts", lambda redactor, _: iter([redactor.text(text(samples(now)))])),
        _document(f"{name}.json", "all parts", lambda _: now),
    ]


def of_logs(ledger: Ledger, since: str) -> list[Item]:
    """The logs of all parts, from this RFC 3339 time on."""
    paths = sorted(_names(ledger.logs, (".log", previous(Path(".log")).name)))
    return [Item(f"logs/{path.name}", str(path), _log(path, since), is_log=True) for path in paths]


def of_crashes(state: Path, since: float) -> list[Item]:
    """What nlctl itself wrote when it failed."""
    paths = sorted(_names(state / "crashes", (".txt",)))
    recent = [path for path in paths if path.lstat().st_mtime >= since]
    return [Item(f"crashes/{path.name}", str(path), _config(path)) for path in recent]


def _document(name: str, source: str, make: Callable[[Redactor], Any]) -> Item:
    def pieces(redactor: Redactor, _room: int) -> Iterator[str]:
        yield _json(redactor.document(_plain(make(redactor))))

    return Item(name, source, pieces)


def _config(path: Path) -> Callable[[Redactor, int], Iterator[str]]:
    def pieces(redactor: Redactor, room: int) -> Iterator[str]:
        with opened(path) as file:
            if file is not None:
                # As a whole: a value may stand on the line after its name, and half a secret would not be recognised.
                most = min(room, _MOST_CONFIG_BYTES)
                if len(data := file.read(most + 1)) > most:
                    raise Full(path.name)
                yield redactor.text(data.decode(errors="replace"))

    return pieces


def _log(path: Path, since: str) -> Callable[[Redactor, int], Iterator[str]]:
    def pieces(redactor: Redactor, room: int) -> Iterator[str]:
        with opened(path) as file:
            if file is None:
                return
            size = os.fstat(file.fileno()).st_size
            # What happened last tells the most.
            file.seek(max(_near(file, size, since), size - room))
            yield from redactor.lines(_lines(file, size, since))

    return pieces


def _lines(file: Any, end: int, since: str) -> Iterator[str]:
    """From the first line whose time is not older: a private key whose head is cut off would not be recognised."""
    begun = False
    while file.tell() < end and (data := file.readline(_LINE_BYTES)):
        line = data.decode(errors="replace")
        begun = begun or (bool(_stamp(line)) and _stamp(line) >= since)
        if not data.endswith(b"\n") and len(data) == _LINE_BYTES:
            # For the same reason nothing is kept near the place where an endless line is cut.
            line = f"{line[:-_CUT]} [cut]\n"
            while (rest := file.readline(_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
        if begun:
            yield line


def _near(file: Any, size: int, since: str) -> int:
    """A place before the first line that is not older, and not far from it: lines are in the order of time."""
    low, high = 0, size
    while high - low > _LINE_BYTES:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        stamp = _next_stamp(file)
        low, high = (low, middle) if stamp is None or stamp >= since else (middle, high)
    return low


def _next_stamp(file: Any) -> str | None:
    for _ in range(100):
        if not (line := file.readline(_LINE_BYTES)):
            return None
        if stamp := _stamp(line.decode(errors="replace")):
            return stamp
    return None


def _stamp(line: str) -> str:
    text = line.removeprefix('{"time": "')[:24]
    return text if text[:2] == "20" and text[4:5] == "-" and text.endswith("Z") else ""


def _names(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.endswith(endings) and entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def _part(admin: Admin, _since: float) -> Any:
    from nlserver.proto import admin_pb2

    return admin.call("GetPart", admin_pb2.GetPartRequest())


def _stores(admin: Admin, _since: float) -> Any:
    from nlserver.proto import admin_pb2

    return admin.call("ListStores", admin_pb2.ListStoresRequest())


def _workers(admin: Admin, _since: float) -> Any:
    from nlserver.proto import admin_pb2

    return admin.call("ListWorkers", admin_pb2.ListWorkersRequest())


def _operations(admin: Admin, _since: float) -> Any:
    from nlserver.proto import admin_pb2

    return admin.call("ListOperations", admin_pb2.ListOperationsRequest())


def _queues(admin: Admin, _since: float) -> Any:
    from nlserver.proto import admin_pb2

    return admin.call("ListQueues", admin_pb2.ListQueuesRequest())


def _events(admin: Admin, _since: float) -> Iterator[Any]:
    from nlserver.proto import admin_pb2

    return admin.stream("WatchEvents", admin_pb2.WatchEventsRequest(level="debug"))


def _evictions(admin: Admin, since: float) -> Iterator[Any]:
    from nlserver.proto import admin_pb2

    request = admin_pb2.ListEvictionsRequest()
    request.since.FromMilliseconds(int(since * 1000))
    for page in admin.stream("ListEvictions", request):
        yield from page.evictions


_QUESTIONS: Final[Mapping[str, Callable[[Admin, float], Any]]] = {
    "part.json": _part,
    "stores.json": _stores,
    "workers.json": _workers,
    "operations.json": _operations,
    "queues.json": _queues,
    "events.jsonl": _events,
    "evictions.jsonl": _evictions,
}


def _asked(place: Place, ask: Callable[[Admin, float], Any], since: float) -> Callable[[Redactor, int], Iterator[str]]:
    def pieces(redactor: Redactor, _room: int) -> Iterator[str]:
        try:
            with Admin(place.endpoint, _ANSWER_SECONDS) as admin:
                answer = ask(admin, since)
                if isinstance(answer, Iterator):
                    for number, one in enumerate(answer):
                        if number < _MOST_LINES:
                            yield json.dumps(redactor.document(_plain(one))) + "\n"
                else:
                    yield _json(redactor.document(_plain(answer)))
        except Error as error:
            yield _json({"error": redactor.text(error.message), "code": error.code.name})

    return pieces


def _machine(ledger: Ledger, environment: dict[str, str], redactor: Redactor) -> Mapping[str, Any]:
    import resource
    import sys

    def disk(path: Path) -> Mapping[str, int] | None:
        try:
            return shutil.disk_usage(path)._asdict()
        except OSError:
            return None

    return {
        "nlctl": VERSION,
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": " ".join(os.uname()),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "load": list(os.getloadavg()),
        "memory": _read("/proc/meminfo").splitlines()[:5],
        "limits": {name: list(resource.getrlimit(getattr(resource, name))) for name in _LIMITS},
        "cgroup": _read("/proc/self/cgroup").splitlines(),
        "disks_bytes": {str(path): disk(path) for path in (ledger.home, ledger.data)},
        "environment": redactor.environment(environment, _SHOWN_VARIABLES),
    }


def _processes(pids: Mapping[str, int]) -> Any:
    from nlctl.launch.process import usage_of_trees

    used = usage_of_trees(pids)
    return {
        name: {"pid": pid, "command": title(pid), "status": _read(f"/proc/{pid}/status").splitlines(),
               "usage": used.get(name)}
        for name, pid in pids.items()
    }  # fmt: skip


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""


def _plain(value: Any) -> Any:
    """Dataclasses and messages as JSON values."""
    if hasattr(value, "DESCRIPTOR"):
        from google.protobuf.json_format import MessageToDict

        return MessageToDict(value, preserving_proto_field_name=True)
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"
