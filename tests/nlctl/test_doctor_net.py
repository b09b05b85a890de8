"""`nlctl doctor net`, run as people run it, against a gRPC server of the test's own: any server will do."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, Any

import grpc
import pytest

from tests.nlctl.conftest import LIMIT, Cli
from tests.nlctl.documents import valid, valid_lines


@contextmanager
def served(port: int = 0) -> Iterator[int]:
    """A server that knows no method at all, at this port."""
    server = grpc.server(ThreadPoolExecutor(1))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield bound
    finally:
        server.stop(None).wait()


def test_every_round_of_a_server_that_answers_is_well(cli: Cli) -> None:
    with served() as port:
        words = ("--endpoint", f"grpc://127.0.0.1:{port}", "doctor", "net", "--every", "100ms", "--count", "2")
        [first, summary] = valid_lines(cli(*words, "-o", "json").out)
        assert first["event"] == "answers"
        assert [layer["layer"] for layer in first["layers"]] == ["name", "connection", "HTTP/2", "RPC"]
        assert {(way["rounds"], way["lost"]) for way in summary["ways"]} == {(2, 0)}
        said = cli(*words)
        assert said.out.count("\t") == 4
        assert "RPC" in said.err


def test_what_never_answers_is_unreachable(cli: Cli) -> None:
    with socket.socket() as taken:
        # Bound and not listening: nobody else gets it, and connections are refused.
        taken.bind(("127.0.0.1", 0))
        url = f"grpc://127.0.0.1:{taken.getsockname()[1]}"
        done = cli("--endpoint", url, "doctor", "net", "--count", "1", code=4)
    assert "lost at the layer connection: connection refused" in done.out


def _next(stream: IO[bytes], event: str) -> Any:
    """The next line of this event; what comes before it is still lost."""
    for line in stream:
        document = valid(json.loads(line))
        if document["event"] == event:
            return document
        assert document["event"] == "still-lost", document
    raise AssertionError(f"no {event} came")


@pytest.mark.slow
def test_a_loss_and_its_end_are_told_and_ctrl_c_brings_the_summary(cli: Cli) -> None:
    with served() as port:
        words = ("--endpoint", f"grpc://127.0.0.1:{port}", "doctor", "net", "--every", "100ms", "-o", "json")
        process = cli.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        _next(process.stdout, "answers")
    lost = _next(process.stdout, "lost")
    assert lost["layers"][-1]["trouble"]
    with served(port):
        back = _next(process.stdout, "back")
        assert back["rounds_lost"] >= 1
        process.send_signal(signal.SIGINT)
        summary = _next(process.stdout, "summary")
    assert process.wait(LIMIT) == 5
    assert {way["layer"] for way in summary["ways"]} >= {"connection", "RPC"}
