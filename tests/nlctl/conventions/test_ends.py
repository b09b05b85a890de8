"""How commands end when they are stopped or refused, and what a terminal sees of them."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.nlctl.conftest import PROGRAM, Cli

ENDLESS = [["logs", "-f"], ["events", "-f"], ["ops", "watch"], ["run", "--", "sleep", "60"]]


class _Refusing(grpc.GenericRpcHandler):
    """Answers every call with PERMISSION_DENIED."""

    def service(self, details: Any) -> Any:
        def refuse(_request: bytes, context: grpc.ServicerContext) -> bytes:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not yours")
            raise AssertionError

        return grpc.unary_unary_rpc_method_handler(refuse)


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2), handlers=[_Refusing()], options=[("grpc.so_reuseport", 0)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(None).wait()


def test_a_server_that_denies_access_is_a_failure_of_its_own(cli: Cli, refusing: str) -> None:
    """Statement 18."""
    done = cli("--endpoint", refusing, "cas", "stat", "0" * 64 + "/1", "-o", "json", code=8)
    assert done.fault["code"] == "NL-NET-104"


@pytest.mark.parametrize("words", ENDLESS, ids=" ".join)
def test_ctrl_c_is_one_line_and_130(cluster: Cli, words: list[str]) -> None:
    """Statement 43."""
    process = cluster.popen("-v", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _until_it_waits(cluster, words, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    said = [line for line in err.decode().splitlines() if "error[" in line]
    assert process.returncode == 130, err
    assert said == ["error[NL-INT-130]: interrupted  (exit 130, interrupted)"]
    assert err.decode().splitlines()[-1] == said[0]


def test_sigterm_is_one_line_and_143(cluster: Cli) -> None:
    """Statement 18."""
    process = cluster.popen("logs", "-f", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _until_it_waits(cluster, ["logs", "-f"], process)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert err.decode() == "error[NL-INT-143]: ended by SIGTERM  (exit 143, terminated)\n"


def _until_it_waits(cluster: Cli, words: list[str], process: subprocess.Popen[bytes]) -> None:
    """Until it shows that it is under way: by its first output, or by the operation that it began."""
    if words[0] == "run":
        while "executing" not in cluster("ops", "ls").out:
            assert process.poll() is None, process.communicate()
        return
    if words[0] == "ops":
        cluster("run", "--no-cache", "--", "sleep", "1")
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 60)[0]


@pytest.mark.parametrize("words", [["status"], ["up", "-n"], ["help"], ["cas", "get", "--help"], ["ps"]], ids=" ".join)
def test_a_terminal_is_never_asked_what_it_is(cluster: Cli, words: list[str]) -> None:
    """Statement 27, and 43: whatever is hidden is shown again."""
    shown = _on_a_terminal(words, {"XDG_STATE_HOME": str(cluster.home / "state")}, cluster.home)
    assert shown
    assert not any(query in shown for query in (b"\x1b]11;?", b"\x1b]10;?", b"\x1b[6n", b"\x1b[c", b"\x1b[>c"))
    assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h")


def _on_a_terminal(words: list[str], environment: dict[str, str], home: Path) -> bytes:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(home)
        os.execve(PROGRAM, [str(PROGRAM), *words], {**os.environ, "TERM": "xterm-256color", **environment})
    shown = b""
    while True:
        try:
            more = os.read(terminal, 1 << 16)
        except OSError:
            # Linux: the last one that had it open is gone.
            break
        if not more:
            break
        shown += more
    os.close(terminal)
    os.waitpid(pid, 0)
    return shown
