"""`nlctl doctor --watch`: on a terminal everything, drawn again; in a pipe what changed."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.nlctl.conftest import LIMIT, Cli
from tests.nlctl.documents import valid
from tests.nlctl.screens import on_terminal

pytestmark = pytest.mark.slow
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
WORDS = ("doctor", "network", "--watch", "--every", "100ms")


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """Something that speaks as much HTTP/2 as the way to an endpoint asks for; closed, it is a dead endpoint."""
    made = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                there, _ = made.accept()
            except OSError:
                return
            with there:
                there.sendall(SETTINGS)
                there.recv(1024)

    threading.Thread(target=serve, daemon=True).start()
    yield made
    made.close()


def test_in_a_pipe_only_changes_are_told(cli: Cli, door: socket.socket) -> None:
    url = f"grpc://127.0.0.1:{door.getsockname()[1]}"
    watching = cli.popen("--endpoint", url, *WORDS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert watching.stdout is not None
    assert watching.stdout.readline().startswith(b"nothing is wrong; ")
    door.shutdown(socket.SHUT_RDWR)
    door.close()
    told = {watching.stdout.readline().decode().split("  ", 1)[1] for _ in range(2)}
    assert {line.split(" at ")[0] for line in told} == {"CAS", "execution"}
    watching.send_signal(signal.SIGINT)
    rest, _ = watching.communicate(timeout=LIMIT)
    assert rest == b""
    assert watching.returncode == 130


def test_programs_are_told_changes_line_by_line(cli: Cli) -> None:
    words = ("--endpoint", "grpc://127.0.0.1:1", *WORDS, "-o", "jsonl")
    watching = cli.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert watching.stdout is not None
    change = valid(json.loads(watching.stdout.readline()))
    assert (change["id"], change["status"], change["before"]) == ("NLD-NET-01", "failed", None)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(LIMIT) == 130
    watching.stdout.close()


def test_on_a_terminal_the_examination_is_drawn_again_until_somebody_ends_it(cli: Cli, door: socket.socket) -> None:
    url = f"grpc://127.0.0.1:{door.getsockname()[1]}"
    with on_terminal(cli, "--endpoint", url, *WORDS) as screen:
        first = screen.until(lambda shown: "nothing is wrong" in shown)
        assert url in first.splitlines()[0]
        assert "q ends it" in first.splitlines()[0]
        door.shutdown(socket.SHUT_RDWR)
        door.close()
        screen.until(lambda shown: "NLD-NET-01" in shown and "refused" in shown)
        screen.press("q")
        assert screen.end() == 4
