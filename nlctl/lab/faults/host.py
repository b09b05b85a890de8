"""A machine that gives the cluster too little, or another time."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Final

from nlctl.doctor.finding import Verdict
from nlctl.lab.confinement import confined
from nlctl.lab.injection import Injection
from nlctl.lab.lab import Lab
from nlctl.launch import cgroups

_FILES: Final = 1024
_CONNECTIONS: Final = 900
_MEMORY: Final = 512 << 20
_HOARDED: Final = 490 << 20
_PROCESSES: Final = 600
_THREADS: Final = 530
_CLOCK: Final = "import time\n\nreal = time.time\ntime.time = lambda: real() + {seconds}\n"


def _connections(lab: Lab) -> None:
    lab.allow_files(lab.process("cas"), _FILES)
    lab.stand_in("connections", str(lab.ports.cas), str(_CONNECTIONS))


def _memory(lab: Lab) -> None:
    lab.stand_in("hoard", str(confined(lab, "worker-2", cgroups.MEMORY, _MEMORY)), str(_HOARDED))


def _processes(lab: Lab) -> None:
    lab.stand_in("crowd", str(confined(lab, "worker-2", cgroups.PIDS, _PROCESSES)), str(_THREADS))


def _ahead(seconds: int) -> Callable[[Lab], None]:
    return partial(_shifted, seconds)


def _shifted(seconds: int, lab: Lab) -> None:
    folder = lab.ledger.run / "clock"
    folder.mkdir(exist_ok=True)
    lab.write(folder / "sitecustomize.py", _CLOCK.format(seconds=seconds))
    lab.anew(PYTHONPATH=os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))))


def _in_memory(lab: Lab) -> None:
    path = lab.ledger.config("cas")
    text = path.read_text(encoding="utf-8")
    begin = text.index("filesystem: {", text.index('name: "ASSET_STORE"'))
    end = text.index("\n    },", begin)
    lab.write(path, f'{text[:begin]}memory: {{ eviction_policy: {{ max_bytes: "64tb" }} }},{text[end:]}')
    lab.apply()


FAULTS: Final = (
    Injection(
        "many-connections",
        "the CAS has nearly all files open that it may",
        f"{_CONNECTIONS} clients hold connections to the CAS, which may have {_FILES} files open.",
        _connections,
        "NLD-ENV-02",
        mended_by=("allow_files",),
    ),
    Injection(
        "short-memory",
        "a worker has hardly any memory left",
        f"worker-2 is in a control group of {_MEMORY >> 20} MiB, as a unit with MemoryMax is, and something else there "
        "has nearly all of it. Needs root.",
        _memory,
        "NLD-ENV-03",
        Verdict.WARNING,
    ),
    Injection(
        "clock-ahead",
        "clocks that differ a little",
        "The parts run by a clock that is 10 s ahead of that of the client.",
        _ahead(10),
        "NLD-ENV-04",
        Verdict.WARNING,
    ),
    Injection(
        "clock-wrong",
        "clocks that differ by an hour",
        "The parts run by a clock that is an hour ahead of that of the client: one that nobody set right.",
        _ahead(3600),
        "NLD-ENV-04",
    ),
    Injection(
        "quiet-log",
        "the log leaves out what one will look for",
        "The cluster was started with RUST_LOG=error: who registered, and why something waits, is written nowhere.",
        lambda lab: lab.anew(RUST_LOG="error"),
        "NLD-ENV-05",
        Verdict.INFO,
    ),
    Injection(
        "few-processes",
        "a worker may hardly start a process more",
        f"worker-2 is in a control group of {_PROCESSES} processes and threads, as a unit with TasksMax is, and nearly "
        "all are there. Needs root.",
        _processes,
        "NLD-ENV-06",
        Verdict.WARNING,
    ),
    Injection(
        "endless-memory",
        "a store in memory that is larger than it",
        "The store of assets was moved into memory, with a max_bytes of 64 TB: the kernel will end the CAS first.",
        _in_memory,
        "NLD-ENV-07",
        Verdict.WARNING,
    ),
)
