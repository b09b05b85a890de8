"""Facts, good and bad, and the verdict that the judges of parts, endpoints and stores come to: see test_judges.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import of

from nlctl.admin import HealthFacts, OperationFacts, PartFacts, ProcessFacts, WorkerFacts
from nlctl.doctor.checks import (
    attempts,
    dangling,
    fast_tiers,
    forms,
    hygiene,
    limits,
    machine,
    network,
    ports,
    reach,
    samples,
    seats,
)
from nlctl.doctor.finding import Finding, Verdict
from nlctl.launch.backend import Report

NOW = 1_000_000.0
WORKER = WorkerFacts("worker-1", "worker-1x", "MAIN", "ready", {"cpu_count": ["2"]}, {}, [], 2, 0, NOW, NOW)
RUNS = OperationFacts("op", "executing", NOW - 9, NOW - 9, "worker-1x", "", False, of(b""), "", 0, 1, 1, {})
READY = Report("cas", "ready", 10, since_ms=1000)
PART = PartFacts("1", 10, [HealthFacts("CAS", True, "")], [ProcessFacts(10, 0, False)], 0.0)


def offered(*functions: int, executes: bool = True) -> re_pb.ServerCapabilities:
    made = re_pb.ServerCapabilities()
    made.cache_capabilities.digest_functions.extend(functions)  # type: ignore[arg-type]
    made.execution_capabilities.exec_enabled = executes
    made.execution_capabilities.digest_functions.extend(functions)  # type: ignore[arg-type]
    return made


def holder(part: str, pid: int = 7, title: str = "nc -l") -> list[ports.Holder]:
    return [ports.Holder(50051, "cas", part, pid, title)]


def reached(*steps: network.Step, refusal: str = "", elsewhere: tuple[str, ...] = ()) -> list[reach.Reached]:
    way = network.Way("the CAS", "grpc://h:1", steps, True)
    return [reach.Reached(["worker-1"], "cas", way, refusal, elsewhere)]


def running(*executing: OperationFacts, lost: tuple[OperationFacts, ...] = ()) -> attempts.Running:
    return attempts.Running([], executing, lost, NOW, 3600.0)


def tier(again_bytes: int, max_bytes: int = 100) -> fast_tiers.Tiers:
    one = fast_tiers.Tier(["worker-1:CAS/fast"], "/fast", max_bytes, 9, 4, again_bytes)
    return fast_tiers.Tiers([one], 1000)


def store(evicted: int, size: int = 10) -> list[samples.Turnover]:
    return [samples.Turnover("cas:CAS", size, 100, evicted)]


CASES: list[tuple[Callable[[Any], Iterable[Finding]], Any, Verdict, str]] = [
    (ports.judge_holders, holder("cas"), Verdict.OK, ""),
    (ports.judge_holders, [], Verdict.OK, ""),
    (ports.judge_holders, holder("process 7"), Verdict.OK, ""),
    (ports.judge_holders, holder(""), Verdict.FAILED, "port 50051 of cas is held by process 7 (nc -l)"),
    (ports.judge_holders, holder("", 0), Verdict.FAILED, "a process of another user"),
    (ports.judge_holders, holder("scheduler"), Verdict.FAILED, "held by scheduler"),
    (reach.judge_reached, reached(network.Step("name", 1), network.Step("HTTP/2", 1)), Verdict.OK, ""),
    (reach.judge_reached, reached(network.Step("name", 1), elsewhere=("worker-1",)), Verdict.INFO, "another network"),
    (
        reach.judge_reached,
        reached(network.Step("connection", 1, "connection refused")),
        Verdict.FAILED,
        "worker-1 cannot reach the CAS at grpc://h:1: layer connection",
    ),
    (reach.judge_reached, reached(refusal="UNIMPLEMENTED: no"), Verdict.FAILED, "does not serve it"),
    (limits.judge_offers, limits.Offers(offered(1), offered(1)), Verdict.OK, ""),
    (limits.judge_offers, limits.Offers(offered(1), offered(1, 9)), Verdict.INFO, "execution SHA256, BLAKE3"),
    (limits.judge_offers, limits.Offers(offered(1), offered(9)), Verdict.FAILED, "blobs by SHA256"),
    (limits.judge_offers, limits.Offers(offered(1), offered(1, executes=False)), Verdict.FAILED, "executes nothing"),
    (limits.judge_batch, limits.Batch(4 << 20, 4 << 20), Verdict.OK, ""),
    (limits.judge_batch, limits.Batch(4 << 20, 9, "BatchReadBlobs", "x"), Verdict.WARNING, "one of 9 fails at Batch"),
    (limits.judge_batch, limits.Batch(4 << 20, 9, "BatchReadBlobs", "x", "NLD-API-05"), Verdict.SKIPPED, "NLD-API-05"),
    (limits.judge_messages, (100, [limits.Messages("cas", "h:1", 100, "f:1")]), Verdict.OK, ""),
    (limits.judge_messages, (100, [limits.Messages("cas", "h:1", 99, "f:1")]), Verdict.WARNING, "99 bytes at most"),
    (forms.judge_packed, forms.Packed("aa/64"), Verdict.OK, ""),
    (forms.judge_packed, forms.Packed("aa/64", "read", "DATA_LOSS: x"), Verdict.FAILED, "fails at read"),
    (forms.judge_functions, {"SHA256": "", "BLAKE3": ""}, Verdict.OK, ""),
    (forms.judge_functions, {"SHA256": "", "BLAKE3": "INTERNAL: x"}, Verdict.FAILED, "BLAKE3 is announced"),
    (dangling.judge_sampled, dangling.Sampled(9, {}), Verdict.OK, ""),
    (dangling.judge_sampled, dangling.Sampled(0, {}), Verdict.OK, ""),
    (dangling.judge_sampled, dangling.Sampled(9, {"aa/64": "out bb/1"}), Verdict.FAILED, "1 of 9 sampled results"),
    (seats.judge_slots, seats.Slots([WORKER], 2, 1 << 34), Verdict.OK, ""),
    (seats.judge_slots, seats.Slots([replace(WORKER, most_operations=0)], 0, 0), Verdict.OK, ""),
    (seats.judge_slots, seats.Slots([replace(WORKER, most_operations=900)], 2, 1 << 34), Verdict.WARNING, "take 900"),
    (
        seats.judge_slots,
        seats.Slots([replace(WORKER, properties={"cpu_count": ["0"]})], 2, 1 << 34),
        Verdict.WARNING,
        "takes no action",
    ),
    (seats.judge_offered, seats.Offered({"cpu_count": "minimum"}, [WORKER]), Verdict.OK, ""),
    (seats.judge_offered, seats.Offered({"cpu_count": "minimum"}, []), Verdict.OK, ""),
    (seats.judge_offered, seats.Offered({"ISA": "exact"}, [WORKER]), Verdict.INFO, "no worker offers it"),
    (attempts.judge_attempts, running(RUNS), Verdict.OK, ""),
    (attempts.judge_attempts, running(replace(RUNS, attempts=3)), Verdict.WARNING, "3 times or more"),
    (attempts.judge_ends, running(RUNS), Verdict.OK, ""),
    (attempts.judge_ends, running(replace(RUNS, since=NOW - 7200)), Verdict.WARNING, "more than 1h, the longest"),
    (attempts.judge_ends, running(RUNS, lost=(RUNS,)), Verdict.FAILED, "not connected"),
    (fast_tiers.judge_tiers, tier(50), Verdict.OK, "1 fast tiers hold"),
    (fast_tiers.judge_tiers, tier(9, max_bytes=0), Verdict.OK, ""),
    (fast_tiers.judge_tiers, tier(51), Verdict.WARNING, "again and again to worker-1:CAS/fast"),
    (samples.judge_bytes, samples.Sample("cas:CAS", 9), Verdict.OK, ""),
    (samples.judge_bytes, samples.Sample("cas:CAS", 9, ["aa/64"]), Verdict.FAILED, "1 of 9 sampled blobs"),
    (samples.judge_promise, samples.Promise(9), Verdict.OK, ""),
    (samples.judge_promise, samples.Promise(9, ["aa/64"]), Verdict.FAILED, "cannot read them"),
    (samples.judge_turnover, store(0), Verdict.OK, ""),
    (samples.judge_turnover, store(10, 99), Verdict.INFO, "full"),
    (samples.judge_turnover, store(100, 99), Verdict.WARNING, "every 60 minutes"),
    (machine.judge_clocks, machine.Clocks({"cas": 0.5}, None), Verdict.OK, ""),
    (machine.judge_clocks, machine.Clocks({"cas": 3.0}, True), Verdict.WARNING, "cas +3.0s"),
    (machine.judge_clocks, machine.Clocks({"cas": -40.0}, False), Verdict.FAILED, "cas -40.0s"),
    (machine.judge_levels, {"cas": "", "scheduler": "info"}, Verdict.OK, ""),
    (machine.judge_levels, {"cas": "nativelink=warn"}, Verdict.INFO, "the log of cas"),
    (machine.judge_limits, [machine.Limit("pids.max", 7, 10)], Verdict.OK, ""),
    (machine.judge_limits, [machine.Limit("pids.max", 9, 10)], Verdict.WARNING, "9 of 10 processes"),
    (machine.judge_tiers, machine.Tiers({"cas:CAS": 50}, 100), Verdict.OK, ""),
    (machine.judge_tiers, machine.Tiers({}, 100), Verdict.OK, ""),
    (machine.judge_tiers, machine.Tiers({"cas:CAS": 0}, 100), Verdict.WARNING, "without a limit"),
    (machine.judge_tiers, machine.Tiers({"a": 40 << 20, "b": 40 << 20}, 100 << 20), Verdict.WARNING, "80 of 100"),
    (hygiene.judge_strays, hygiene.Strays([], []), Verdict.OK, ""),
    (
        hygiene.judge_strays,
        hygiene.Strays([], [hygiene.Stray(7, "", "sleep 99")]),
        Verdict.WARNING,
        "7 (sleep 99)",
    ),
    (
        hygiene.judge_strays,
        hygiene.Strays([hygiene.Stray(7, "worker-1", "sh")], []),
        Verdict.WARNING,
        "below worker-1",
    ),
    (hygiene.judge_litter, [hygiene.Litter("worker-1", "/w", [])], Verdict.OK, ""),
    (hygiene.judge_litter, [hygiene.Litter("worker-1", "/w", ["a"])], Verdict.WARNING, "1 old entries"),
    (hygiene.judge_restarts, [READY], Verdict.OK, ""),
    (hygiene.judge_restarts, [replace(READY, restarts=1, last_exit="signal 9")], Verdict.INFO, "runs again"),
    (hygiene.judge_restarts, [replace(READY, restarts=5, last_exit="exit 0")], Verdict.OK, ""),
    (hygiene.judge_restarts, [replace(READY, restarts=3, last_exit="exit 1")], Verdict.WARNING, "started 4 times"),
    (hygiene.judge_health, {"cas": PART}, Verdict.OK, ""),
    (
        hygiene.judge_health,
        {"cas": replace(PART, health=[HealthFacts("CAS", False, "full")])},
        Verdict.FAILED,
        "cas says of CAS: full",
    ),
    (
        hygiene.judge_health,
        {"cas": replace(PART, processes=[ProcessFacts(7, 0, True)])},
        Verdict.FAILED,
        "process 7 of cas",
    ),
]
