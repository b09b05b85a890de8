"""When a server that is not ours counts as ready, by what it lets see from outside."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from docker import APIClient

from nlctl.containers.states import State
from nlctl.launch.ledger import Ledger
from nlctl.launch.readiness import Readiness, serves
from tests.nlctl import elsewhere

HOST = "127.0.0.1"


@pytest.fixture
def status(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that answers `GET /status` so, and speaks no HTTP/2."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param if self.path == "/status" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with HTTPServer((HOST, 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False), (404, False)], indirect=["status"])
def test_its_status_page_is_believed(status: int, ready: bool) -> None:
    assert serves(HOST, status) is ready


@pytest.mark.parametrize("services", [{"health": {}}, {}], ids=["with a page", "by gRPC"])
def test_a_server_that_is_well_is_ready(tmp_path: Path, services: dict[str, object]) -> None:
    with elsewhere.server(tmp_path, elsewhere.everything(tmp_path, services)) as [port]:
        assert serves(HOST, port)


def test_a_port_that_is_open_before_anybody_listens_behind_it_is_not(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as listening:

        def shut() -> None:
            for _ in range(3):
                listening.accept()[0].close()

        thread = threading.Thread(target=shut)
        thread.start()
        port = listening.getsockname()[1]
        assert not serves(HOST, port)
        thread.join()
    assert not serves(HOST, port)


@pytest.mark.parametrize(
    ("said_at", "ready"), [(1_000.0, False), (1_999.0, False), (2_004.9, True), (2_006.0, True)], ids=str
)
def test_a_part_of_ours_is_ready_by_what_it_said_since_its_last_run_ended(
    tmp_path: Path, said_at: float, ready: bool
) -> None:
    """A busy engine tells its start, here at 2,005, later than the part says that it serves."""
    ledger = Ledger(tmp_path / "dev")
    file = ledger.run / "cas/ready"
    file.parent.mkdir(parents=True)
    file.write_text("READY=1\n")
    os.utime(file, (said_at, said_at))
    state = State(
        *("id", "nlctl-dev-cas", "cas", "running", 7, 0, False, 1, 2_005.0, 2_000.0, "sha256:1", "nlctl:1"),
        announces=True,
    )
    assert Readiness(ledger, remote=False).ready(APIClient("tcp://127.0.0.1:1", version="1.41"), state, None) is ready
