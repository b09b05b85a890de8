"""Logs of every kind are recognised by their bytes, read piece by piece, and tell the first thing that went wrong."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.wire import varint

from nlctl.buildlog.advice import given as advised
from nlctl.buildlog.causes import Cause
from nlctl.buildlog.gathered import Gathered
from nlctl.buildlog.opening import Kind, gather
from nlctl.buildlog.words import Words
from nlctl.faults import BAD_LOG, NO_LOG, Fault

H = "7fd25e01d12373a2d1712e446881c9246a9698da4e7eafecdaeeaaff62195a82"
BUILD = f"""\
INFO: Invocation ID: 1
[1 / 20] Compiling a.cc; 1s remote
\x1b[31mERROR: \x1b[0m/w/BUILD:2:8: Compiling b.cc failed: (Exit 34): Missing digest: {H}/148 for a.h
a second line
INFO: Elapsed time: 12.500s, Critical Path: 3.25s
INFO: 45 processes: 5 internal, 30 remote cache hit, 10 remote.
ERROR: /w/BUILD:9:1: Linking c failed: (Exit 1): gcc failed
FAILED: Build did NOT complete successfully
ERROR: Build did NOT complete successfully
"""


def field(number: int, value: int | bytes) -> bytes:
    """A field of a message as bytes of the wire."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def entry(method: str, begin: int, ms: int, code: int = 0, message: str = "", details: bytes = b"") -> bytes:
    """A LogEntry behind its length."""
    status = field(2, (field(1, code) if code else b"") + field(2, message.encode()))
    end = field(1, begin + ms // 1000) + field(2, ms % 1000 * 1_000_000)
    data = status + field(3, f"build.bazel.remote.execution.v2.{method}".encode())
    data += field(4, details) + field(5, field(1, begin)) + field(6, end)
    return varint(len(data)) + data


def written(tmp_path: Path, data: bytes | str, name: str = "log") -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_the_first_real_error_comes_with_its_lines_and_facts(tmp_path: Path) -> None:
    kind, found = gather(written(tmp_path, BUILD))
    assert kind is Kind.TEXT
    assert found.trouble is not None
    assert (found.trouble.at, found.trouble.cause) == (3, Cause.MISSING_BLOB)
    assert found.trouble.lines[1:] == ["a second line"]
    assert (found.hits, found.misses, found.elapsed_ms, found.critical_path_ms) == (30, 10, 12500.0, 3250.0)


def test_a_warning_of_the_cache_is_told_where_no_error_is(tmp_path: Path) -> None:
    text = "WARNING: Reading from Remote Cache:\nUNAVAILABLE: io exception\nINFO: Build completed successfully\n"
    _, found = gather(written(tmp_path, text))
    assert found.trouble is not None
    assert found.trouble.level == "warning"
    assert found.trouble.lines == ["WARNING: Reading from Remote Cache:", "UNAVAILABLE: io exception"]


def test_a_good_build_has_no_error(tmp_path: Path) -> None:
    _, found = gather(written(tmp_path, "INFO: Build completed successfully, 3 total actions\n"))
    assert found.trouble is None


def test_calls_are_counted_and_the_first_error_in_time_comes_first(tmp_path: Path) -> None:
    write = field(6, field(1, f"uploads/1/blobs/{H}/9".encode()) + field(3, 900))
    data = b"".join(
        [
            *(entry("ActionCache/GetActionResult", 100, 5) for _ in range(30)),
            *(entry("ActionCache/GetActionResult", 100, 5, 5, "no result") for _ in range(10)),
            *(entry("ByteStream/Write", 200, 1500, details=write) for _ in range(3)),
            entry("ByteStream/Read", 400, 10, 14, "io exception"),
            entry("Execution/Execute", 300, 2000, 9, f"Object {H}-9 not found in either fast or slow store"),
        ]
    )
    kind, found = gather(written(tmp_path, data))
    assert kind is Kind.GRPC
    assert (found.entries, found.hits, found.misses, found.uploaded_again) == (45, 30, 10, 2)
    assert found.trouble is not None
    assert (found.trouble.cause, found.trouble.at) == (Cause.MISSING_BLOB, 45)
    writes = found.calls["ByteStream/Write"]
    assert (len(writes.times), writes.size_bytes) == (3, 2700)
    assert found.slowest[0].method == "Execution/Execute"
    assert found.calls["ActionCache/GetActionResult"].failed == 0


def test_a_command_that_failed_is_told_with_its_action(tmp_path: Path) -> None:
    from google.longrunning import operations_pb2

    answer = re_pb.ExecuteResponse(result=re_pb.ActionResult(exit_code=7))
    times = answer.result.execution_metadata
    times.execution_start_timestamp.seconds, times.execution_completed_timestamp.seconds = 100, 103
    operation = operations_pb2.Operation(done=True)
    operation.response.Pack(answer)
    asked = re_pb.ExecuteRequest(action_digest=re_pb.Digest(hash=H, size_bytes=142))
    details = field(7, field(1, asked.SerializeToString()) + field(2, operation.SerializeToString()))
    _, found = gather(written(tmp_path, entry("Execution/Execute", 100, 4000, details=details)))
    assert found.trouble is not None
    assert found.trouble.cause is Cause.COMMAND_FAILED
    assert f"action {H}/142" in found.trouble.text
    assert found.phases["execution"].total_ms == 3000


def test_a_log_that_ends_within_an_entry_tells_what_came_before(tmp_path: Path) -> None:
    data = entry("ActionCache/GetActionResult", 1, 5) * 3
    _, found = gather(written(tmp_path, data[:-4]))
    assert (found.entries, found.cut_off) == (2, True)


PROFILE = {
    "otherData": {"build_id": "x"},
    "traceEvents": [
        {"name": "thread_name", "ph": "M"},
        {"cat": "build phase marker", "name": "Load", "ph": "i", "ts": 0},
        {"cat": "build phase marker", "name": "Build", "ph": "i", "ts": 2_000_000},
        {"cat": "remote output download", "name": "d", "ph": "X", "ts": 2_000_000, "dur": 500_000},
        {"cat": "critical path component", "name": "c", "ph": "X", "ts": 0, "dur": 3_000_000},
    ],
}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_profile_tells_its_phases_packed_or_not(tmp_path: Path, indent: int | None, pack: Any) -> None:
    kind, found = gather(written(tmp_path, pack(json.dumps(PROFILE, indent=indent).encode())))
    assert kind is Kind.PROFILE
    assert found.phases["phase: Load"].total_ms == 2000
    assert found.phases["remote output download"].total_ms == 500
    assert found.critical_path_ms == 3000


def test_an_execution_log_tells_what_ran_where_and_what_failed(tmp_path: Path) -> None:
    spawns = [
        {"commandArgs": ["gcc"], "runner": "remote cache hit", "cacheHit": True},
        {"commandArgs": ["gcc"], "runner": "remote", "exitCode": 1, "targetLabel": "//a:b", "status": "NON_ZERO_EXIT"},
        {"commandArgs": ["gcc"], "runner": "remote", "metrics": {"queueTime": "1.5s"}},
    ]
    kind, found = gather(written(tmp_path, "".join(json.dumps(one, indent=2) for one in spawns)))
    assert kind is Kind.EXECUTION
    assert (found.hits, found.misses) == (1, 2)
    assert found.trouble is not None
    assert found.trouble.text.startswith("//a:b failed: (Exit 1)")
    assert found.phases["queued"].total_ms == 1500


def test_events_hold_the_words_of_the_build(tmp_path: Path) -> None:
    half = len(BUILD) // 2
    events = [
        {"id": {"started": {}}},
        {"id": {"progress": {}}, "progress": {"stderr": BUILD[:half]}},
        {"id": {"progress": {}}, "progress": {"stderr": BUILD[half:]}},
        {"id": {"buildMetrics": {}}, "buildMetrics": {"timingMetrics": {"wallTimeInMs": "4200"}}},
    ]
    kind, found = gather(written(tmp_path, "\n".join(map(json.dumps, events))))
    assert kind is Kind.EVENTS
    assert found.trouble is not None
    assert found.trouble.cause is Cause.MISSING_BLOB
    assert (found.hits, found.elapsed_ms) == (30, 4200.0)


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    path = written(tmp_path, entry("ByteStream/Read", 1, 5) * 3_000)
    tracemalloc.start()
    _, found = gather(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.entries == 3_000
    assert most < 400_000


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x02\x03" * 40, b"\x28\xb5\x2f\xfd" + b"x" * 40, b"\x1f\x8b not gzip"])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Fault) as caught:
        gather(written(tmp_path, data))
    assert caught.value.kind is BAD_LOG


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught:
        gather(tmp_path / "absent")
    assert caught.value.kind is NO_LOG


@given(st.sampled_from([BUILD.encode(), json.dumps(PROFILE).encode(), entry("A/B", 1, 1) * 3]), st.data())
def test_no_damage_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + data.draw(st.binary(max_size=5)) + whole[at + data.draw(st.integers(0, 5)) :]
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(damaged)
    with suppress(Fault):
        gather(path)


def read(lines: Iterator[str] | io.StringIO) -> Gathered:
    found = Gathered()
    words = Words(found)
    for line in lines:
        words.line(line.rstrip("\n"))
    return found


def test_few_hits_and_cut_connections_are_advised_about(tmp_path: Path) -> None:
    data = entry("ActionCache/GetActionResult", 1, 5, 5) * 30 + entry("ActionCache/GetActionResult", 1, 5)
    data += entry("ByteStream/Read", 1, 5, 14, "io exception") * 2 + entry("ByteStream/Write", 1, 5, 4) * 2
    _, found = gather(written(tmp_path, data))
    said = [one.what for one in advised(found)]
    assert any("the cache answered 3% of 31" in one for one in said)
    assert any("2 calls found the server unavailable" in one for one in said)
    assert any("longer than --remote_timeout" in one for one in said)


def test_a_healthy_log_gets_no_advice() -> None:
    assert advised(read(io.StringIO("INFO: 40 processes: 39 remote cache hit, 1 internal.\n"))) == []
