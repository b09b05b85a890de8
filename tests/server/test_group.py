"""Several processes of one server: `nlserver --processes`, by its own words and from the wire."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from nlserver.group import delay_seconds
from nlserver.proto import admin_pb2, admin_pb2_grpc
from nlserver.proto import remote_execution_pb2 as reapi
from nlserver.proto import remote_execution_pb2_grpc as reapi_grpc

from nlctl.launch.process import children

LIMIT = 120.0


def _config(folder: Path, *, store: str = "", address: str = "127.0.0.1:0", extra: str = "") -> Path:
    kept = f'filesystem: {{ content_path: "{folder}/cas", temp_path: "{folder}/tmp" }}'
    path = folder / "cas.json5"
    path.write_text(f"""{{
      stores: [
        {{ name: "CAS", {store or kept} }},
        {{ name: "AC", filesystem: {{ content_path: "{folder}/ac", temp_path: "{folder}/actmp" }} }},
      ],
      {extra}
      servers: [
        {{ listener: {{ http: {{ socket_address: "{address}" }} }},
          services: {{ cas: [{{ cas_store: "CAS" }}], ac: [{{ ac_store: "AC" }}], bytestream: [{{ cas_store: "CAS" }}],
                      capabilities: [] }} }},
        {{ listener: {{ http: {{ socket_address: "127.0.0.1:0" }} }}, services: {{ health: {{}}, admin: {{}} }} }},
      ],
    }}""")
    return path


@contextmanager
def _running(config: Path, processes: int = 2) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The parent, the address of the CAS, and that of health and admin, once all processes serve."""
    reading, writing = os.pipe()
    log = config.with_suffix(".log")
    with log.open("w") as said:
        parent = subprocess.Popen(
            [sys.executable, "-m", "nlserver", "--processes", str(processes), str(config)],
            stderr=said,
            text=True,
            pass_fds=[writing],
            env={**os.environ, "NLSERVER_READY_FD": str(writing)},
        )
    os.close(writing)
    try:
        assert os.read(reading, 100) == b"READY=1\n", log.read_text()
        addresses = list(dict.fromkeys(re.findall(r"Ready, listening on (\S+)", log.read_text())))
        yield parent, addresses[0], addresses[1]
    finally:
        os.close(reading)
        parent.kill()
        parent.wait()


def _part(address: str) -> admin_pb2.Part:
    with grpc.insecure_channel(address) as channel:
        return admin_pb2_grpc.AdminStub(channel).GetPart(admin_pb2.GetPartRequest(), timeout=LIMIT)  # type: ignore[no-any-return]


def _until_serving(address: str, count: int, restarts: int = 0) -> admin_pb2.Part:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        try:
            part = _part(address)
        except grpc.RpcError:
            continue
        serving = sum(one.phase == admin_pb2.Process.SERVING for one in part.processes)
        if serving == count and sum(one.restarts for one in part.processes) == restarts:
            return part
    raise AssertionError(f"never {count} processes")


def _upload(address: str, data: bytes) -> reapi.Digest:
    digest = reapi.Digest(hash=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    with grpc.insecure_channel(address) as channel:
        request = reapi.BatchUpdateBlobsRequest(requests=[{"digest": digest, "data": data}])
        [one] = reapi_grpc.ContentAddressableStorageStub(channel).BatchUpdateBlobs(request, timeout=LIMIT).responses
    assert one.status.code == 0
    return digest


def _missing(address: str, digest: reapi.Digest) -> int:
    # A pool of its own makes every channel another connection, which the kernel gives to any of the processes.
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        request = reapi.FindMissingBlobsRequest(blob_digests=[digest])
        stub = reapi_grpc.ContentAddressableStorageStub(channel)
        return len(stub.FindMissingBlobs(request, timeout=LIMIT).missing_blob_digests)


def test_what_one_process_keeps_every_process_has_at_once(tmp_path: Path) -> None:
    with _running(_config(tmp_path)) as (_, cas, _admin):
        for number in range(10):
            digest = _upload(cas, b"%d" % number)
            assert [_missing(cas, digest) for _ in range(4)] == [0] * 4


def test_calls_land_on_every_process_and_their_counts_are_added_up(tmp_path: Path) -> None:
    with _running(_config(tmp_path)) as (parent, cas, admin):
        digest = _upload(cas, b"counted")
        for _ in range(40):
            _missing(cas, digest)
        part = _until_serving(admin, 2)
        assert sorted(one.pid for one in part.processes) == sorted(children(parent.pid))
        assert part.counters.calls >= 42
        assert part.counters.received_bytes > 41 * digest.ByteSize()
        assert part.counters.failed_calls == 0
        assert (part.counters.asked_blobs, part.counters.missing_blobs) == (40, 0)


def test_a_process_that_is_killed_comes_back_while_the_other_serves(tmp_path: Path) -> None:
    with _running(_config(tmp_path)) as (parent, cas, admin):
        digest = _upload(cas, b"kept")
        victim = children(parent.pid)[0]
        os.kill(victim, signal.SIGKILL)
        part = _until_serving(admin, 2, restarts=1)
        assert victim not in [one.pid for one in part.processes]
        assert [_missing(cas, digest) for _ in range(8)] == [0] * 8
        with urllib.request.urlopen(f"http://{admin}/status") as answer:
            assert b"2 of 2 processes serve" in answer.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_parent_ends_all_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with _running(_config(tmp_path), 3) as (parent, _cas, _admin):
        pids = children(parent.pid)
        assert len(pids) == 3
        parent.send_signal(number)
        assert parent.wait(LIMIT) == 128 + number
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert not [name for name in os.listdir(tmp_path / "tmp") if not name.startswith(".")]


def test_no_process_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    with _running(_config(tmp_path)) as (parent, _cas, _admin):
        watched = [os.pidfd_open(pid) for pid in children(parent.pid)]
        parent.kill()
        for pidfd in watched:
            # The pidfd becomes readable when the process ends.
            import select

            assert select.select([pidfd], [], [], LIMIT)[0]
            os.close(pidfd)


def _refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nlserver", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)


def test_a_store_of_one_process_forbids_it_and_is_named_with_its_line(tmp_path: Path) -> None:
    config = _config(tmp_path, store="verify: { backend: { memory: {} }, verify_size: true }")
    for arguments in (["--check"], []):
        done = _refused(*arguments, "--processes", "2", str(config))
        assert done.returncode == 13
        assert f"{config}:3:" in done.stdout + done.stderr
        assert "memory of one process, so store 'CAS' cannot be shared" in done.stdout + done.stderr
    assert _refused("--check", str(config)).returncode == 0


def test_a_scheduler_and_a_worker_forbid_it(tmp_path: Path) -> None:
    config = _config(tmp_path, extra='schedulers: [{ name: "MAIN", simple: {} }],')
    done = _refused("--check", "--processes", "2", str(config))
    assert done.returncode == 13
    assert "scheduler 'MAIN' decides in one process" in done.stdout


def test_an_address_that_somebody_has_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        config = _config(tmp_path, address=f"127.0.0.1:{other.getsockname()[1]}")
        done = _refused("--processes", "2", str(config))
    assert done.returncode == 1
    assert "already in use" in done.stderr


def test_processes_that_cannot_start_end_the_server_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "cas").write_text("no directory")
    done = _refused("--processes", "2", str(_config(tmp_path)))
    assert done.returncode == 1
    assert "the filesystem store cannot use its directories" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_number_of_processes_is_from_1_to_64(tmp_path: Path) -> None:
    for number in ("0", "65", "-1", "two"):
        done = _refused("--processes", number, str(_config(tmp_path)))
        assert done.returncode == 2
        assert "is not a number from 1 to 64" in done.stderr


def test_a_process_that_keeps_dying_is_started_again_at_growing_distances() -> None:
    delays = [delay_seconds(0.1, 0.0)]
    while len(delays) < 7:
        delays.append(delay_seconds(0.1, delays[-1]))
    assert delays == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert delay_seconds(3600.0, 30.0) == 0.0
