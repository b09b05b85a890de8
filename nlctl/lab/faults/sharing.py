"""Parts that do not speak of the same blobs."""

from __future__ import annotations

import secrets
from typing import Final

from nlctl.doctor.blob import Cause
from nlctl.lab.injection import Clue, Injection
from nlctl.lab.lab import Lab
from nlctl.launch.ports import pick

_LIMIT: Final = 'eviction_policy: { max_bytes: "20mb" }'


def _split(lab: Lab) -> Clue:
    _lead(lab, "worker-2", lab.other_server().cas)
    return _uploaded(lab)


def _dead(lab: Lab) -> Clue:
    _lead(lab, "worker-2", pick().cas)
    return _uploaded(lab)


def _scheduler(lab: Lab) -> Clue:
    _lead(lab, "scheduler", lab.other_server().cas)
    lab.registered()
    return _uploaded(lab)


def _alone(lab: Lab) -> Clue:
    own = lab.ledger.data / "isolated"
    path = lab.ledger.config("worker-2")
    text = path.read_text(encoding="utf-8")
    slow = text.index(" slow: {\n") + 1
    end = text.index("\n        },\n", slow)
    paths = f'content_path: "{own}/content", temp_path: "{own}/incoming"'
    files = f"filesystem: {{ {paths}, {_LIMIT} }},"
    lab.write(path, f"{text[:slow]}slow: {{\n          {files}{text[end:]}")
    lab.apply()
    return _uploaded(lab)


def _lead(lab: Lab, part: str, port: int) -> None:
    lab.edit(part, f"127.0.0.1:{lab.ports.cas}", f"127.0.0.1:{port}")
    lab.apply()


def _uploaded(lab: Lab) -> Clue:
    """A blob that a client uploaded, in the words in which a worker misses it."""
    digest = lab.put(secrets.token_bytes(100))
    return Clue(f"Object {digest.hash}-{digest.size_bytes} not found in either fast or slow store")


FAULTS: Final = (
    Injection(
        "isolated-store",
        "a worker keeps its blobs to itself",
        "The slow tier of worker-2 is a directory of its own in place of the CAS: nothing that clients or other "
        "workers upload ever comes there, and nothing that it makes comes to them.",
        _alone,
        "NLD-SHR-01",
        cause=Cause.SPLIT_CAS,
        mended_by=("recorded",),
    ),
    Injection(
        "split-cas",
        "a worker reads from another CAS",
        "The slow tier of worker-2 leads to a second CAS server. Clients upload inputs to the first one, and worker-2 "
        "does not find them: the classical cause of `not found in either fast or slow store`.",
        _split,
        "NLD-SHR-01",
        cause=Cause.SPLIT_CAS,
        mended_by=("recorded",),
    ),
    Injection(
        "wrong-endpoint",
        "a worker's CAS endpoint is dead",
        "The slow tier of worker-2 names a port at which nothing listens: a typo, or a server that moved.",
        _dead,
        "NLD-NET-02",
        cause=Cause.SLOW_UNREACHABLE,
        mended_by=("recorded",),
    ),
    Injection(
        "scheduler-split",
        "the scheduler checks another CAS",
        "The scheduler looks for the outputs of known results in a second CAS server: it believes that they are gone, "
        "and lets everything run again.",
        _scheduler,
        "NLD-SHR-01",
        cause=Cause.SCHED_SPLIT,
        mended_by=("recorded",),
    ),
)
