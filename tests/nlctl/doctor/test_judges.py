"""What the checks make of facts, good and bad: statement 45, without a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import of

from nlctl.admin import OperationFacts, WorkerFacts
from nlctl.arguments import cut
from nlctl.doctor.checks import (
    api,
    blobs,
    config,
    every,
    execution,
    network,
    parts,
    queue,
    sharing,
    storage,
    workers,
)
from nlctl.doctor.finding import Finding, Verdict
from nlctl.doctor.site import STOPPED
from nlctl.generate.everything import stale, wanted
from nlctl.launch.backend import Report
from nlctl.launch.cgroups import Room
from nlctl.layers import Sighting
from tests.nlctl.doctor import cases, cases_docker, cases_outside

NOW = 1_000_000.0
WORKER = WorkerFacts("worker-1", "worker-1x", "MAIN", "ready", {}, {}, [], 2, 0, NOW, NOW)
WAITS = OperationFacts("op", "queued", NOW, NOW - 400, "", "", False, of(b""), "", 0, 0, 1, {})
READY = Report("cas", "ready", 10)
SEEN = Sighting("worker-1", "CAS_STORE/slow", "grpc", "present")
MISSED = f"NOT_FOUND: Object {'ab' * 32}-64 not found in either fast or slow store. If using multiple workers, ..."
LEADS = {("worker-1", "CAS_STORE/slow"): "grpc://other:1"}


def capabilities(functions: Iterable[int] = (1,), batch: int = 0, major: int = 2) -> re_pb.ServerCapabilities:
    made = re_pb.ServerCapabilities()
    made.cache_capabilities.digest_functions.extend(functions)  # type: ignore[arg-type]
    made.cache_capabilities.max_batch_total_size_bytes = batch
    made.low_api_version.major = made.high_api_version.major = major
    return made


def way(*steps: network.Step) -> list[network.Way]:
    return [network.Way("CAS", "grpc://host:1", steps, False)]


def here(*steps: network.Step) -> list[network.Way]:
    return [network.Way("CAS", "grpc://host:1", steps, True)]


def never(*parts: str) -> queue.Queue:
    return queue.Queue([replace(WAITS, unsatisfiable=True)], 1, [], NOW, 300.0, parts=parts)


def grid(sighting: Sighting) -> sharing.Grid:
    return sharing.Grid("aa/64", "grpc://cas:1", [sighting], LEADS)


def room(free: int, promised: int, inodes: float = 1.0) -> list[storage.Room]:
    return [storage.Room("/data", 1000, free, inodes, promised, ["cas:CAS"])]


def down(state: str, last_exit: str | None = None, mistaken: Sequence[str] = ()) -> parts.Parts:
    return parts.Parts([replace(READY, state=state, last_exit=last_exit)], {}, mistaken)


def full(said: str) -> blobs.RoundTrip:
    return blobs.RoundTrip("aa/64", 64, "upload", said, "NLD-STO-01")


CASES: list[tuple[Callable[[Any], Iterable[Finding]], Any, Verdict, str]] = [
    (parts.judge_parts, parts.Parts([READY]), Verdict.OK, ""),
    (parts.judge_parts, down("backoff", "signal 9"), Verdict.FAILED, "no memory was left"),
    (parts.judge_parts, down(STOPPED), Verdict.FAILED, "kill -CONT 10"),
    (parts.judge_parts, down("failed", "exit 13", ["cas"]), Verdict.SKIPPED, "NLD-CFG-01 must be mended first"),
    (parts.judge_state, parts.State(["cas"], ["cas"], 0), Verdict.OK, ""),
    (parts.judge_state, parts.State(["cas", "scheduler"], ["cas"], 0), Verdict.FAILED, "scheduler"),
    (parts.judge_state, parts.State(["cas"], [], 3), Verdict.FAILED, "without their supervisor"),
    (parts.judge_files, [parts.Use("cas", 1, 50, 4096)], Verdict.OK, ""),
    (parts.judge_files, [parts.Use("cas", 1, 4000, 4096)], Verdict.FAILED, "4000 of 4096"),
    (parts.judge_files, [parts.Use("cas", 1, 50, 256)], Verdict.WARNING, "only 256"),
    (parts.judge_memory, parts.Memory(100, 50, 0), Verdict.OK, ""),
    (parts.judge_memory, parts.Memory(100, 2, 1), Verdict.WARNING, "2% of"),
    (parts.judge_memory, parts.Memory(100, 50, 0, {Room("/g", 90, 100): ["cas"]}), Verdict.OK, ""),
    (
        parts.judge_memory,
        parts.Memory(100, 50, 0, {Room("/g", 96, 100): ["cas"]}),
        Verdict.WARNING,
        "that cas may take",
    ),
    (config.judge_running, config.Prints({"cas": "a"}, {"cas": "a"}), Verdict.OK, ""),
    (config.judge_running, config.Prints({"cas": "a"}, {"cas": "b"}), Verdict.WARNING, "cas was changed"),
    (network.judge_ways, way(network.Step("name", 1), network.Step("HTTP/2", 1)), Verdict.OK, ""),
    (
        network.judge_ways,
        [network.Way("CAS", "grpc://host:1", (), True, told_by="NLD-PRC-01")],
        Verdict.SKIPPED,
        "PRC-01",
    ),
    (network.judge_ways, way(network.Step("connection", 1, "connection refused")), Verdict.FAILED, "refused"),
    (network.judge_ways, way(network.Step("HTTP/2", 1, "it wants TLS")), Verdict.FAILED, "grpcs://host:1"),
    (network.judge_ways, way(network.Step("TLS", 1, "wrong version number")), Verdict.FAILED, "grpc://host:1"),
    (network.judge_ways, way(network.Step("TLS", 1, "certificate has expired")), Verdict.FAILED, "renew"),
    (network.judge_ways, here(network.Step("connection", 1, "connection refused")), Verdict.FAILED, "which part"),
    (network.judge_proxies, network.Proxies({"http_proxy": "p:1"}, []), Verdict.OK, ""),
    (network.judge_proxies, network.Proxies({"http_proxy": "p:1"}, ["host"]), Verdict.WARNING, "no_proxy=host"),
    (api.judge_answer, api.Answer("", capabilities()), Verdict.OK, ""),
    (api.judge_answer, api.Answer("", capabilities([9])), Verdict.WARNING, "--digest_function=blake3"),
    (api.judge_answer, api.Answer("", capabilities(major=1)), Verdict.FAILED, "version 1"),
    (api.judge_answer, api.Answer("main", None, "no such instance"), Verdict.FAILED, "no instance 'main'"),
    (api.judge_answer, api.Answer("", None, "no such instance", is_here=True), Verdict.FAILED, "no instance ''"),
    (api.judge_batches, capabilities(batch=4 << 20), Verdict.OK, ""),
    (api.judge_batches, capabilities(batch=(4 << 20) + 1), Verdict.WARNING, "RESOURCE_EXHAUSTED"),
    (blobs.judge_round_trip, blobs.RoundTrip("aa/64", 64), Verdict.OK, ""),
    (blobs.judge_round_trip, blobs.RoundTrip("aa/64", 64, "read", "NOT_FOUND: x"), Verdict.FAILED, "at read"),
    (blobs.judge_round_trip, blobs.RoundTrip("a/9", 99, "upload", "UNIMPLEMENTED: x"), Verdict.FAILED, "`bytestream`"),
    (blobs.judge_round_trip, blobs.RoundTrip("aa/64", 64, "FindMissingBlobs", "x"), Verdict.FAILED, "no `noop`"),
    (blobs.judge_round_trip, full("RESOURCE_EXHAUSTED: x"), Verdict.SKIPPED, "NLD-STO-01 must be mended first"),
    (blobs.judge_empty, blobs.Empty(False, True), Verdict.OK, ""),
    (blobs.judge_empty, blobs.Empty(True, True), Verdict.WARNING, "missing"),
    (blobs.judge_empty, blobs.Empty(False, False, "x"), Verdict.WARNING, "cannot be read: x"),
    (blobs.judge_result, blobs.Written(True, True), Verdict.OK, ""),
    (blobs.judge_result, blobs.Written(True, False), Verdict.FAILED, "not found right after"),
    (blobs.judge_result, blobs.Written(True, False, "INTERNAL: x", True), Verdict.FAILED, "written: INTERNAL"),
    (execution.judge_canaries, {"worker-1": ""}, Verdict.OK, ""),
    (execution.judge_canaries, {"worker-1": "no"}, Verdict.FAILED, "worker-1 does not run actions: no"),
    (execution.judge_canaries, {"": execution.WAITS}, Verdict.WARNING, "Connected to scheduler"),
    (execution.judge_canaries, {"": MISSED}, Verdict.FAILED, "its slow tier leads to another CAS"),
    (workers.judge_registered, workers.Seats(["worker-1"], [WORKER], NOW), Verdict.OK, ""),
    (workers.judge_registered, workers.Seats(["worker-1", "w2"], [WORKER], NOW), Verdict.FAILED, "scheduler: w2"),
    (workers.judge_registered, workers.Seats(None, [], NOW), Verdict.FAILED, "no worker is connected"),
    (workers.judge_states, workers.Seats(None, [WORKER], NOW), Verdict.OK, ""),
    (workers.judge_states, workers.Seats(None, [replace(WORKER, state="paused")], NOW), Verdict.WARNING, "paused"),
    (workers.judge_states, workers.Seats(None, [WORKER], NOW + 60), Verdict.WARNING, "silent for 60s"),
    (workers.judge_losses, {"worker-1": 2}, Verdict.OK, ""),
    (workers.judge_losses, {"worker-1": 3}, Verdict.WARNING, "3 times"),
    (workers.judge_versions, {"cas": "1", "scheduler": "1"}, Verdict.OK, ""),
    (workers.judge_versions, {"cas": "1", "scheduler": "2"}, Verdict.WARNING, "different versions"),
    (queue.judge_never, queue.Queue([WAITS], 1, [], NOW, 300.0), Verdict.OK, ""),
    (queue.judge_never, never(), Verdict.FAILED, "NEVER"),
    (queue.judge_never, never("scheduler", "worker-1"), Verdict.FAILED, "NEVER"),
    (queue.judge_waiting, queue.Queue([replace(WAITS, queued=NOW)], 1, [], NOW, 300.0), Verdict.OK, ""),
    (queue.judge_waiting, queue.Queue([WAITS], 1, [], NOW, 300.0), Verdict.WARNING, "BUSY"),
    (queue.judge_waiting, queue.Queue([WAITS], 1, ["worker-1"], NOW, 300.0), Verdict.FAILED, "WEDGED"),
    (sharing.judge_grid, grid(SEEN), Verdict.OK, ""),
    (sharing.judge_grid, grid(replace(SEEN, state="absent")), Verdict.FAILED, "another CAS"),
    (sharing.judge_grid, grid(replace(SEEN, state="unreachable", message="x")), Verdict.FAILED, "cannot reach"),
    (sharing.judge_folders, sharing.Folders({(1, 1): ["a"]}, {(1, 1): "/d"}), Verdict.OK, ""),
    (sharing.judge_folders, sharing.Folders({(1, 1): ["a", "b"]}, {(1, 1): "/d"}), Verdict.INFO, "a, b share /d"),
    (storage.judge_rooms, room(500, 100), Verdict.OK, ""),
    (storage.judge_rooms, room(500, 600), Verdict.WARNING, "more than it has free"),
    (storage.judge_rooms, room(10, 1), Verdict.FAILED, "its space left"),
    (storage.judge_rooms, room(500, 1, 0.01), Verdict.FAILED, "its inodes left"),
    (storage.judge_books, [storage.Books("cas", "CAS", 1 << 30, 1 << 30)], Verdict.OK, ""),
    (storage.judge_books, [storage.Books("cas", "CAS", 2 << 30, 1 << 30)], Verdict.WARNING, "counts 2147483648"),
    (storage.judge_pressure, [storage.Pressure("cas", "CAS", 9, 7200)], Verdict.OK, ""),
    (storage.judge_pressure, [storage.Pressure("cas", "CAS", 9, 60)], Verdict.WARNING, "60s after its last use"),
    *cases.CASES,
    *cases_docker.CASES,
    *cases_outside.CASES,
]


@pytest.mark.parametrize(("judge", "facts", "verdict", "words"), CASES, ids=lambda one: getattr(one, "__name__", ""))
def test_facts_lead_to_the_verdict(
    judge: Callable[[Any], Iterable[Finding]], facts: Any, verdict: Verdict, words: str
) -> None:
    """Statement 45."""
    findings = list(judge(facts))
    assert {one.verdict for one in findings} == {verdict}
    said = " ".join(f"{one.what} {one.because} {[fix.text for fix in one.fixes]}" for one in findings)
    assert words in said
    for one in findings:
        assert verdict in (Verdict.OK, Verdict.INFO) or one.fixes or one.blocked_by, "what is bad has a fix"


def test_every_check_has_a_case_that_passes_and_one_that_does_not() -> None:
    """Statement 45. Configs are judged by the rules of the linter, whose tests have the cases."""
    good = {judge for judge, _, verdict, _ in CASES if verdict is Verdict.OK}
    bad = {judge for judge, _, verdict, _ in CASES if verdict is not Verdict.OK}
    judges = {one.judge for one in every().values()} - {config.judge_configs}
    assert judges == good == bad


def test_every_command_in_a_fix_is_one() -> None:
    """Statement 20."""
    for judge, facts, _, _ in CASES:
        for found in judge(facts):
            for fix in found.fixes:
                if fix.command:
                    assert cut(fix.command[1:], {}).leaf is not None, fix.command


def test_checks_build_on_checks_that_exist_without_going_in_circles() -> None:
    known = every()
    done: set[str] = set()
    while ready := [one.id for one in known.values() if one.id not in done and set(one.needs) <= done]:
        done |= set(ready)
    assert done == set(known)


def test_the_page_of_the_doctor_has_the_checks_that_there_are() -> None:
    assert "docs/doctor.md" not in stale(wanted()), "run make generate"
