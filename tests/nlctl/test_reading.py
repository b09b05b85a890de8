"""A blob read without the gRPC library: whole and right, or asked for again with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from nlserver.reapi.digest import Digest, of

from nlctl.reading import Unread, chunks, is_near
from nlctl.session import Target
from nlctl.wire import field
from tests.nlctl.answering import DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, answering, frame, prefixed
from tests.nlctl.conftest import Cli, items
from tests.nlctl.screens import on_terminal

HALF = b"half a blob, "
BLOB = of(2 * HALF)
MESSAGE = prefixed(field(10, HALF))
END = frame(HEADERS, END_STREAM | END_HEADERS, b"")


def near(url: str) -> Target:
    return Target(cas=url, executor=url, admin=None, instance="")


def read(port: int, digest: Digest) -> bytes:
    return b"".join(map(bytes, chunks(near(f"grpc://127.0.0.1:{port}"), digest)))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(frame(DATA, 0, 2 * MESSAGE) + END, id="in one frame"),
        pytest.param(b"".join(frame(DATA, 0, bytes([one])) for one in 2 * MESSAGE) + END, id="in frames of a byte"),
        pytest.param(
            frame(DATA, 0, MESSAGE) + frame(PING, 0, bytes(8)) + frame(DATA, END_STREAM, MESSAGE), id="a ping"
        ),
    ],
)
def test_a_blob_comes_whole(answer: bytes) -> None:
    with answering(answer) as port:
        assert read(port, BLOB) == 2 * HALF


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(END, id="a status alone"),
        pytest.param(frame(DATA, 0, MESSAGE) + END, id="half of it"),
        pytest.param(frame(DATA, 0, MESSAGE), id="half of it and no end"),
        pytest.param(frame(DATA, 0, MESSAGE + prefixed(field(10, HALF[::-1]))) + END, id="other bytes"),
        pytest.param(frame(DATA, 0, 3 * MESSAGE) + END, id="more of it"),
        pytest.param(frame(DATA, 0, b"\1" + MESSAGE[1:]), id="a compressed message"),
        pytest.param(frame(DATA, PADDED, b"\0" + 2 * MESSAGE) + END, id="padding"),
        pytest.param(frame(DATA, 0, prefixed(b"")) + END, id="an empty message"),
        pytest.param(frame(DATA, 0, prefixed(b"R\xff")) + END, id="a field without an end"),
        pytest.param(frame(DATA, 0, b"\0\xff\xff\xff\xff"), id="a message of 4 GiB"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="another protocol"),
    ],
)
def test_nothing_else_is_taken_for_the_blob(answer: bytes) -> None:
    with answering(answer) as port, pytest.raises(Unread):
        read(port, BLOB)


def test_only_a_plain_server_of_this_machine_is_asked_so() -> None:
    assert is_near(near("grpc://127.0.0.1:1"))
    assert is_near(near("grpc://[::1]:1"))
    assert not is_near(near("grpcs://127.0.0.1:1"))
    assert not is_near(near("grpc://cas.example:1"))


def test_a_blob_larger_than_the_window_is_as_it_was(cluster: Cli, tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 40
    (tmp_path / "big").write_bytes(data)
    name = cluster("cas", "put", "-q", str(tmp_path / "big")).out.strip()
    assert "digest verified" in cluster("cas", "get", name, "-O", str(tmp_path / "out")).err
    assert (tmp_path / "out").read_bytes() == data
    with on_terminal(cluster, "cas", "get", name, "-O", str(tmp_path / "out")) as screen:
        assert screen.end() == 0
    assert b"of 41.9 MB" in screen.written
    assert "of 41.9 MB" not in screen.text
    # And this is the way it came.
    [bare] = items(cluster, "context", "ls")
    assert b"".join(map(bytes, chunks(near(bare["cas"]), of(data)))) == data
