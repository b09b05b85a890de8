"""What a cluster shall be, and the members that make it so. Pure: nothing here touches files, ports or processes."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nlctl.faults import USAGE, Fault, fix

HOST: Final = "127.0.0.1"
MOST_WORKERS: Final = 500
MOST_PROCESSES: Final = 64
_MOST_CAS_PROCESSES: Final = 4
AIM: Final = "nlctl-worker"
"""The platform property that each worker offers with its own name, so that an action can be aimed at it."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*):-([^}]*)\}")


@dataclass(frozen=True)
class Profile:
    """What a cluster is like where no flag says otherwise; None leaves the usual default."""

    workers: int | None = None
    cas_size: str | None = None
    cas_processes: int | None = None


def profile(name: str, cores: int) -> Profile:
    """dev: three workers and 10 GB. ci: a worker a core, little disk. prod-like: many workers, several CAS processes.

    Raises Fault USAGE for another name.
    """
    match name:
        case "dev":
            return Profile()
        case "ci":
            return Profile(max(1, min(cores, MOST_WORKERS)), "2gb", 1)
        case "prod-like":
            return Profile(max(5, min(2 * cores, MOST_WORKERS)), "50gb", max(2, cas_processes(cores)))
    raise Fault(USAGE, f"there is no profile {name!r}", fixes=[fix("choose dev, ci or prod-like")])


@dataclass(frozen=True)
class Ports:
    """Where a cluster is reached: on this machine, unless another host runs it.

    `worker_host` is where the worker API is, if not there too.
    """

    cas: int = 50051
    scheduler: int = 50052
    worker_api: int = 50061
    host: str = HOST
    worker_host: str = ""

    @classmethod
    def from_base(cls, base: int) -> Ports:
        """Base, base + 1 and base + 10, as the defaults lie."""
        return cls(base, base + 1, base + 10)

    def all(self) -> tuple[int, ...]:
        """Every port, in the order of the fields."""
        return (self.cas, self.scheduler, self.worker_api)

    @property
    def urls(self) -> tuple[str, str, str]:
        """The CAS, the scheduler for clients, and the worker API, which answers operators too."""
        cas, scheduler = (f"grpc://{self.host}:{port}" for port in (self.cas, self.scheduler))
        return cas, scheduler, f"grpc://{self.worker_host or self.host}:{self.worker_api}"

    @property
    def named(self) -> dict[str, str]:
        """The same by the names that documents use."""
        return dict(zip(("cas", "scheduler", "worker_api"), self.urls, strict=True))


@dataclass(frozen=True)
class Inside:
    """How the parts of a cluster see each other: where they listen, by which names and ports they are found, the folder
    that they write in, and that of the templates which are meant for such parts.
    """

    listen: str
    cas: str
    scheduler: str
    ports: Ports
    data: str
    templates: str = ""


@dataclass(frozen=True)
class Wish:
    """The asked shape of a cluster. `workers` are their names, the oldest first; `data` is the folder that its stores
    and workers write in, `isa` what workers offer as ISA, `cas_processes` how many processes serve the CAS.

    `offers` are the values of further properties by worker and name, `knows` the names that the scheduler compares.
    Parts see each other on this machine, as clients do, unless `inside` says otherwise.
    """

    name: str
    workers: tuple[str, ...]
    cas_size: str
    ports: Ports
    data: Path
    isa: str = "x86-64"
    cas_processes: int = 1
    offers: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    knows: tuple[str, ...] = ()
    inside: Inside | None = None


@dataclass(frozen=True)
class Member:
    """One part: its template and the values for it, the members that must be ready first, where it listens.

    `offers` and `knows` are properties beside those of the template: of a worker its own, of a scheduler all.
    """

    name: str
    template: str
    values: Mapping[str, str]
    after: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    summary: str = ""
    processes: int = 1
    offers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    knows: tuple[str, ...] = ()


def cas_processes(cores: int) -> int:
    """How many processes serve the CAS where nobody said it: workers and the scheduler need most of few cores."""
    return max(1, min(_MOST_CAS_PROCESSES, cores // 2 if cores > 2 else 1))


def checked_processes(count: int) -> int:
    """A number of processes for the CAS. Raises Fault USAGE for a count that is not from 1 to 64."""
    if not 1 <= count <= MOST_PROCESSES:
        raise Fault(USAGE, f"{count} processes cannot serve the CAS", fixes=[fix(f"ask for 1 to {MOST_PROCESSES}")])
    return count


def checked_name(name: str) -> str:
    """A name for a cluster, which is a folder's name too. Raises Fault USAGE."""
    if not _NAME.fullmatch(name):
        raise Fault(
            USAGE,
            f"{name!r} cannot name a cluster",
            fixes=[fix("use up to 40 lower-case letters, digits, dots, dashes and underscores")],
        )
    return name


def resized(names: Sequence[str], count: int, idle: Collection[str] = ()) -> tuple[str, ...]:
    """So many workers: new ones take the lowest free numbers; the youngest go, those that are idle before others.

    `names` are those that there are, the oldest first. Raises Fault USAGE for a count that is not from 0 to 500.
    """
    if not 0 <= count <= MOST_WORKERS:
        raise Fault(USAGE, f"{count} workers cannot run here", fixes=[fix(f"ask for 0 to {MOST_WORKERS}")])
    if count < len(names):
        youngest_first = list(reversed(names))
        leaving = sorted(youngest_first, key=lambda name: name not in idle)[: len(names) - count]
        return tuple(name for name in names if name not in leaving)
    fresh = (name for number in itertools.count(1) if (name := f"worker-{number}") not in names)
    return (*names, *itertools.islice(fresh, count - len(names)))


def members(wish: Wish) -> list[Member]:
    """The members of a cluster of this shape, in the order in which they start."""
    ports = wish.ports
    seen = wish.inside or Inside(HOST, HOST, HOST, ports, str(wish.data))
    cas_url, scheduler_url, _ = ports.urls
    endpoints = {
        "CAS_ENDPOINT": f"{seen.cas}:{seen.ports.cas}",
        "SCHEDULER_ENDPOINT": f"{seen.scheduler}:{seen.ports.worker_api}",
    }
    cas = Member(
        "cas",
        os.path.join(seen.templates, "cas.json5"),
        {"CAS_LISTEN": f"{seen.listen}:{seen.ports.cas}", "CAS_SIZE": wish.cas_size, "DATA": seen.data},
        ports=(ports.cas,),
        summary=f"{cas_url}   filesystem, {wish.cas_size}{_times(wish.cas_processes)}",
        processes=wish.cas_processes,
    )
    scheduler = Member(
        "scheduler",
        os.path.join(seen.templates, "scheduler.json5"),
        {
            "CLIENT_LISTEN": f"{seen.listen}:{seen.ports.scheduler}",
            "WORKER_API_LISTEN": f"{seen.listen}:{seen.ports.worker_api}",
            "CAS_ENDPOINT": endpoints["CAS_ENDPOINT"],
            "DATA": seen.data,
        },
        ports=(ports.scheduler, ports.worker_api),
        summary=f"{scheduler_url}   worker API and admin :{ports.worker_api}",
        knows=wish.knows,
    )
    return [cas, scheduler, *(_worker(name, wish, seen, endpoints) for name in wish.workers)]


def _times(processes: int) -> str:
    return f", {processes} processes" if processes > 1 else ""


def _worker(name: str, wish: Wish, seen: Inside, endpoints: Mapping[str, str]) -> Member:
    return Member(
        name,
        os.path.join(seen.templates, "worker.json5"),
        {
            **endpoints,
            "DATA": seen.data,
            "WORKER_NAME": name,
            "CAS_SIZE": wish.cas_size,
            "FAST_SIZE": wish.cas_size,
            "ISA": wish.isa,
        },
        after=("cas", "scheduler"),
        summary=f"fast tier {'of its own' if seen.templates else 'shared by the workers'}, slow tier -> cas",
        offers=wish.offers.get(name, {}),
    )


def rendered(template: str, values: Mapping[str, str]) -> str:
    """The template with these variables' `${NAME:-default}` replaced by their values; others keep their defaults.

    The result refers to no variable, so it runs alike under any environment. Raises Fault USAGE for a value that
    JSON5 or the configs' own expansion would read differently.
    """
    for name, value in values.items():
        if any(char in value for char in "\"'\\$\n"):
            raise Fault(
                USAGE,
                f"{value!r} cannot stand in a config ({name})",
                fixes=[fix("choose a path without quotes, backslashes and dollar signs: set XDG_STATE_HOME")],
            )
    return _REFERENCE.sub(lambda match: values.get(match[1], match[2]), template)


def fingerprint(text: str) -> str:
    """A short name for a config's exact content."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def running_fingerprint(text: str, processes: int) -> str:
    """A short name for what a member runs: its config, and by how many processes."""
    return fingerprint(text if processes == 1 else f"{processes} processes: {text}")


def workers_of(names: Sequence[str]) -> list[str]:
    """The workers among these members."""
    return [name for name in names if name.startswith("worker-")]
