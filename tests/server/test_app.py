"""`nlserver` as a process: judges, starts, says when it is ready, and ends orderly."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from nlserver.proto import remote_execution_pb2 as reapi
from nlserver.proto import remote_execution_pb2_grpc as reapi_grpc

CACHE = """{
  stores: [
    { name: "CAS", memory: { eviction_policy: { max_bytes: "10mb" } } },
    { name: "AC", memory: {} },
  ],
  servers: [{
    listener: { http: { socket_address: "127.0.0.1:0" } },
    services: {
      cas: [{ cas_store: "CAS" }], ac: [{ ac_store: "AC" }], capabilities: [],
      bytestream: [{ cas_store: "CAS" }], health: {},
    },
  }],
}"""


def _nlserver(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nlserver", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@contextmanager
def _running(*paths: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A server and the addresses that it announced, once it said that it is ready."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "nlserver", *map(str, paths)],
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[writing],
        env={**os.environ, "NLSERVER_READY_FD": str(writing)},
    )
    os.close(writing)
    try:
        assert process.stderr is not None
        assert os.read(reading, 100) == b"READY=1\n", process.stderr.read()
        addresses: list[str] = []
        while len(addresses) < len(paths):
            addresses += re.findall(r"Ready, listening on (\S+)", process.stderr.readline())
        yield process, addresses
    finally:
        os.close(reading)
        process.kill()
        process.communicate()


def test_check_passes_a_good_config(tmp_path: Path) -> None:
    config = tmp_path / "cache.json5"
    config.write_text(CACHE)
    done = _nlserver("--check", str(config))
    assert (done.returncode, done.stdout) == (0, f"{config}: ok\n")


def test_every_problem_of_a_bad_config_is_said_at_once_with_its_line_and_without_a_traceback(tmp_path: Path) -> None:
    config = tmp_path / "bad.json5"
    config.write_text(CACHE.replace("max_bytes", "max_byte").replace('ac_store: "AC"', 'ac_store: "AX"'))
    for arguments in (["--check"], []):
        done = _nlserver(*arguments, str(config))
        said = done.stdout + done.stderr
        assert done.returncode == 13
        assert f"{config}:3:" in said
        assert "max_bytes" in said
        assert "Traceback" not in said


def test_a_reference_to_a_store_that_does_not_exist_names_the_nearest(tmp_path: Path) -> None:
    config = tmp_path / "bad.json5"
    config.write_text(CACHE.replace('cas_store: "CAS" }], ac', 'cas_store: "CASH" }], ac'))
    done = _nlserver(str(config))
    assert done.returncode == 13
    assert 'did you mean "CAS"?' in done.stderr


def test_a_missing_file_is_said_plainly(tmp_path: Path) -> None:
    done = _nlserver(str(tmp_path / "absent.json5"))
    assert done.returncode == 13
    assert "absent.json5" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_kind_that_is_not_available_yet_says_so_when_it_is_started(tmp_path: Path) -> None:
    config = tmp_path / "later.json5"
    config.write_text(CACHE.replace("memory: {} }", 'redis_store: { addresses: ["redis://127.0.0.1:1"] } }'))
    done = _nlserver(str(config))
    assert done.returncode == 1
    assert "not available yet" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_in_use_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    first, second = tmp_path / "first.json5", tmp_path / "second.json5"
    first.write_text(CACHE)
    with _running(first) as (_, [address]):
        second.write_text(CACHE.replace("127.0.0.1:0", address))
        done = _nlserver(str(second))
    assert done.returncode == 1
    assert "already in use" in done.stderr


def test_it_serves_until_sigterm_and_then_exits_143(tmp_path: Path) -> None:
    config = tmp_path / "cache.json5"
    config.write_text(CACHE)
    with _running(config) as (process, [address]):
        with grpc.insecure_channel(address) as channel:
            answer = reapi_grpc.CapabilitiesStub(channel).GetCapabilities(reapi.GetCapabilitiesRequest())
        assert answer.low_api_version.major == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143


def test_several_configs_run_in_one_process_each_with_its_own_names(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json5", tmp_path / "b.json5"]
    for path in paths:
        path.write_text(CACHE)
    with _running(*paths) as (_, addresses):
        assert len(set(addresses)) == 2
        for address in addresses:
            with grpc.insecure_channel(address) as channel:
                assert reapi_grpc.CapabilitiesStub(channel).GetCapabilities(reapi.GetCapabilitiesRequest())
