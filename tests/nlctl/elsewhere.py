"""Servers that `nlctl` did not start: an `nlserver` process with a config of the test's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("nlserver")
_LISTENING = re.compile(r"Ready, listening on \S+:(\d+)")


@contextmanager
def server(folder: Path, config: Mapping[str, Any], called: str = "") -> Iterator[Sequence[int]]:
    """A server with this config, ready; the ports of its listeners in their order.

    `called` is the name under which its process is seen.
    """
    folder.mkdir(exist_ok=True)
    path, log = folder / "server.json5", folder / "server.log"
    path.write_text(json.dumps(config))
    line: list[str | Path] = [called, "-m", "nlserver", path] if called else [PROGRAM, path]
    reading, writing = os.pipe()
    with log.open("wb") as output:
        process = subprocess.Popen(
            line,
            executable=sys.executable if called else PROGRAM,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NLSERVER_READY_FD": str(writing)},
            pass_fds=[writing],
        )
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as ready:
            assert ready.readline() == b"READY=1\n", log.read_text()
        yield [int(port) for port in _LISTENING.findall(log.read_text())]
    finally:
        process.terminate()
        process.wait()


def everything(data: Path, services: Mapping[str, Any], **listener: Any) -> dict[str, Any]:
    """The config of a CAS and action cache at a free port, with further services."""
    kept = lambda name: {"name": name, "memory": {"eviction_policy": {"max_bytes": "10mb"}}}  # noqa: E731
    return {
        "stores": [kept("CAS"), kept("AC")],
        "schedulers": [{"name": "MAIN", "simple": {"supported_platform_properties": {"here": "exact"}}}],
        "servers": [
            {
                "listener": {"http": {"socket_address": "127.0.0.1:0", **listener}},
                "services": {
                    "cas": [{"cas_store": "CAS"}],
                    "ac": [{"ac_store": "AC"}],
                    "bytestream": [{"cas_store": "CAS"}],
                    "capabilities": [{"remote_execution": {"scheduler": "MAIN"}}],
                    "execution": [{"cas_store": "CAS", "scheduler": "MAIN"}],
                    **services,
                },
            }
        ],
    }


def worker(data: Path, port: int, name: str) -> dict[str, Any]:
    """The config of a worker of the scheduler whose worker API is at this port."""
    fast = {"filesystem": {"content_path": f"{data}/{name}/content", "temp_path": f"{data}/{name}/tmp"}}
    slow = {"grpc": {"store_type": "cas", "endpoints": [{"address": f"grpc://127.0.0.1:{port}"}]}}
    return {
        "stores": [{"name": "CAS", "fast_slow": {"fast": fast, "slow": slow}}],
        "workers": [
            {
                "local": {
                    "name": name,
                    "worker_api_endpoint": {"uri": f"grpc://127.0.0.1:{port}"},
                    "cas_fast_slow_store": "CAS",
                    "upload_action_result": {"upload_ac_results_strategy": "never"},
                    "work_directory": f"{data}/{name}/work",
                    "platform_properties": {"here": {"values": ["yes"]}},
                }
            }
        ],
        "servers": [],
    }
