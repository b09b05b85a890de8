"""What to change, by what was gathered of a build. Pure.

Each piece of advice needs enough of a reason: a share of the time or of the calls, never a single slow one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from nlctl.buildlog.gathered import Calls, Gathered
from nlctl.faults import Fix, fix
from nlctl.ui import human_bytes, human_span

_ENOUGH: Final = 20
_FEW_HITS: Final = 0.3
_LOCAL: Final = ("local", "linux-sandbox", "processwrapper-sandbox", "sandboxed", "darwin-sandbox", "standalone")
_REMOTE: Final = ("remote", "remote cache hit")
_LONG_MS: Final = 1000.0


class Advice(NamedTuple):
    """Something to change: what was seen, why that is, and how."""

    what: str
    because: str
    fixes: tuple[Fix, ...]


def given(gathered: Gathered) -> list[Advice]:
    """Everything that is advised."""
    return [
        *_hits(gathered),
        *_local(gathered),
        *_broken(gathered),
        *_slow_uploads(gathered),
        *_stages(gathered),
        *_downloads(gathered),
        *_again(gathered),
        *_looking(gathered),
    ]


def _hits(gathered: Gathered) -> Iterator[Advice]:
    rate, looked = gathered.hit_rate, (gathered.hits or 0) + (gathered.misses or 0)
    if rate is not None and looked >= _ENOUGH and rate < _FEW_HITS:
        yield Advice(
            f"the cache answered {rate:.0%} of {looked} actions",
            "a first build has no hits; a second one without has other commands, inputs or variables than the first",
            (
                fix("see which input, argument or variable differs", "nlctl", "action", "diff", "A", "B"),
                fix("build with --incompatible_strict_action_env, and look for time stamps in inputs"),
            ),
        )


def _local(gathered: Gathered) -> Iterator[Advice]:
    local = sum(gathered.runners[name] for name in _LOCAL)
    remote = sum(gathered.runners[name] for name in _REMOTE)
    if local and remote and local * 5 > remote:
        yield Advice(
            f"{local} actions ran on this machine, {remote} remotely",
            "--remote_local_fallback, tags such as no-remote, or strategies keep them here",
            (fix("see which options do", "nlctl", "bazelrc", "--check"),),
        )


def _broken(gathered: Gathered) -> Iterator[Advice]:
    cut = sum(one.statuses["UNAVAILABLE"] for one in gathered.calls.values())
    well = sum(one.statuses["OK"] for one in gathered.calls.values())
    if cut and well:
        yield Advice(
            f"{cut} calls found the server unavailable, {well} were answered",
            "connections break now and then: something between cuts idle ones, or the server starts anew",
            (
                fix("watch the way", "nlctl", "doctor", "net", "--every", "5s"),
                fix("--grpc_keepalive_time=30s --remote_retries=10"),
            ),
        )
    late = {name: one.statuses["DEADLINE_EXCEEDED"] for name, one in gathered.calls.items()}
    for name, count in late.items():
        if count:
            yield Advice(
                f"{count} calls of {name} took longer than --remote_timeout",
                "60 s is Bazel's default, for a blob of any size",
                (fix("--remote_timeout=600"), fix("see how fast the CAS is", "nlctl", "bench", "cas")),
            )


def _slow_uploads(gathered: Gathered) -> Iterator[Advice]:
    calls = gathered.calls.get("ByteStream/Write", Calls())
    speed = calls.size_bytes / calls.total_ms * 1000 if calls.total_ms else 0.0
    if calls.size_bytes > 100_000_000 and speed < 5_000_000:
        yield Advice(
            f"uploads moved {human_bytes(calls.size_bytes)} at {human_bytes(round(speed))}/s a stream",
            "at this speed large files take long, and one of them may exceed --remote_timeout",
            (fix("--experimental_remote_cache_compression, which is --remote_cache_compression from Bazel 7"),),
        )


def _stages(gathered: Gathered) -> Iterator[Advice]:
    phases = gathered.phases
    if (ran := phases.get("execution")) is None:
        return
    queued, fetched = phases.get("queued"), phases.get("input fetch") or phases.get("setup")
    if queued and queued.total_ms > ran.total_ms and queued.longest_ms > _LONG_MS:
        yield Advice(
            f"actions waited {human_span(queued.total_ms)} for a worker and ran {human_span(ran.total_ms)}",
            "more work was asked for than there are slots, or properties leave few workers to choose from",
            (fix("run more workers", "nlctl", "scale", "8"), fix("see what waits", "nlctl", "queue", "ls")),
        )
    if fetched and fetched.total_ms > ran.total_ms and fetched.longest_ms > _LONG_MS:
        yield Advice(
            f"workers fetched inputs for {human_span(fetched.total_ms)} and ran {human_span(ran.total_ms)}",
            "fast tiers of workers are cold or too small for the inputs of this build",
            (fix("see how full they are", "nlctl", "status"), fix("raise max_bytes of the fast tier")),
        )


def _downloads(gathered: Gathered) -> Iterator[Advice]:
    fetched = next((one for name, one in gathered.phases.items() if name in _FETCHES), None)
    ran = next((one for name, one in gathered.phases.items() if name in _RUNS), None)
    if fetched and fetched.count >= _ENOUGH and (ran is None or fetched.total_ms > ran.total_ms):
        yield Advice(
            f"downloads of outputs took {human_span(fetched.total_ms)}",
            "outputs of every action come to this machine, needed or not",
            (fix("--remote_download_minimal, or --remote_download_toplevel"),),
        )


_FETCHES: Final = ("remote output download", "download of outputs")
_RUNS: Final = ("remote action execution", "remote execution process wall time", "execution")


def _again(gathered: Gathered) -> Iterator[Advice]:
    calls = gathered.calls.get("ByteStream/Write", Calls())
    count = sum(calls.statuses.values())
    if gathered.uploaded_again >= _ENOUGH and gathered.uploaded_again * 10 > count:
        yield Advice(
            f"{gathered.uploaded_again} of {count} uploads were of blobs that had been uploaded before",
            "what was there is gone, or uploads were retried",
            (fix("see what the stores evict", "nlctl", "doctor", "storage"),),
        )


def _looking(gathered: Gathered) -> Iterator[Advice]:
    for name in ("ContentAddressableStorage/FindMissingBlobs", "ActionCache/GetActionResult"):
        calls = gathered.calls.get(name, Calls())
        median = calls.times.quantile(0.5)
        if len(calls.times) >= _ENOUGH and median and median / 1000 > _LONG_MS:
            yield Advice(
                f"half of the calls of {name} took more than {human_span(median / 1000)}",
                "looking something up should take milliseconds: the server or the line is overloaded",
                (fix("see what it does", "nlctl", "top"), fix("measure it", "nlctl", "bench", "cas")),
            )
