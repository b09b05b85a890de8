"""buildbox, a REAPI implementation of others, is content with our server: as a proxy in front of it and as a runner."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from nlserver.proto import remote_execution_pb2, remote_execution_pb2_grpc
from nlserver.reapi.digest import Function, of

from tests.real import build, sites
from tests.real.bazel import Bazel
from tests.real.programs import Part
from tests.real.sites import Site

pytestmark = pytest.mark.real
PROXY = "127.0.0.1:50955"
HOST_FOLDERS = ("/bin", "/lib", "/lib64", "/usr")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites.all_in_one(tmp_path_factory.mktemp("all")) as running:
        yield running


@pytest.fixture(scope="module")
def channel(site: Site) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(site.endpoint.removeprefix("grpc://")) as made:
        yield made


def digest(data: bytes) -> remote_execution_pb2.Digest:
    made = of(data, Function.SHA256)
    return remote_execution_pb2.Digest(hash=made.hash, size_bytes=made.size_bytes)


class Blobs:
    """The CAS of a server, one small blob at a time."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = remote_execution_pb2_grpc.ContentAddressableStorageStub(channel)

    def put(self, data: bytes | Message) -> remote_execution_pb2.Digest:
        data = data if isinstance(data, bytes) else data.SerializeToString()
        blob = remote_execution_pb2.BatchUpdateBlobsRequest.Request(digest=digest(data), data=data)
        answer = self._stub.BatchUpdateBlobs(remote_execution_pb2.BatchUpdateBlobsRequest(requests=[blob]))
        assert [response.status.code for response in answer.responses] == [0]
        return blob.digest

    def get(self, wanted: remote_execution_pb2.Digest) -> bytes:
        answer = self._stub.BatchReadBlobs(remote_execution_pb2.BatchReadBlobsRequest(digests=[wanted]))
        assert [response.status.code for response in answer.responses] == [0]
        return bytes(answer.responses[0].data)


@pytest.fixture(scope="module")
def proxy(site: Site, buildbox: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """casd between clients and our server; its own cache begins empty."""
    scratch = tmp_path_factory.mktemp("proxy")
    remote = site.endpoint.replace("grpc://", "http://")
    remotes = [f"--{service}-remote={remote}" for service in ("cas", "ac", "exec")]
    command = [str(buildbox / "buildbox-casd"), f"--bind={PROXY}", *remotes, str(scratch / "cache")]
    running = Part("buildbox-casd", command, scratch / "casd.log")
    try:
        with grpc.insecure_channel(PROXY) as waiting:
            grpc.channel_ready_future(waiting).result(timeout=20)
        yield scratch
    finally:
        running.kill()


def test_bazel_builds_through_casd_as_a_proxy(proxy: Path, bazel: Bazel) -> None:
    bazel.workspace.cluster(build.remote(f"grpc://{PROXY}"))
    bazel.clean()
    first = bazel.run("test", "//gen/...", "//check:s0")
    assert first.processes["remote"] > 0
    assert first.passed == 1
    bazel.clean()
    again = bazel.run("test", "//gen/...", "//check:s0")
    assert again.processes["remote cache hit"] == first.processes["remote"]


def test_a_large_blob_passes_the_proxy_in_both_directions(proxy: Path, site: Site, channel: grpc.Channel) -> None:
    large = bytes(range(256)) * 12_000
    with grpc.insecure_channel(PROXY) as through:
        wanted = Blobs(through).put(large)
    assert Blobs(channel).get(wanted) == large


def test_buildbox_run_executes_an_action_out_of_our_cas(
    site: Site, channel: grpc.Channel, buildbox: Path, tmp_path: Path
) -> None:
    blobs = Blobs(channel)
    script = blobs.put(
        b"#!/bin/sh\ncat data/in.txt\ntr a-z A-Z < data/in.txt > out/upper.txt\nmkdir out/tree\ndate > out/tree/a\n"
    )
    inner = remote_execution_pb2.Directory()
    inner.files.add(name="in.txt", digest=blobs.put(b"hello\n"))
    root = remote_execution_pb2.Directory()
    root.files.add(name="run.sh", digest=script, is_executable=True)
    root.directories.add(name="data", digest=blobs.put(inner))
    command = remote_execution_pb2.Command(
        arguments=["./run.sh"], output_files=["out/upper.txt"], output_directories=["out/tree"]
    )
    command.environment_variables.add(name="PATH", value="/usr/bin:/bin")
    action = remote_execution_pb2.Action(command_digest=blobs.put(command), input_root_digest=blobs.put(root))
    (tmp_path / "action").write_bytes(action.SerializeToString())
    ended = subprocess.run(
        [
            buildbox / "buildbox-run",
            "--disable-localcas",
            f"--remote={site.endpoint.replace('grpc://', 'http://')}",
            f"--action={tmp_path / 'action'}",
            f"--action-result={tmp_path / 'result'}",
            *(f"--bind-mount={folder}:{folder}" for folder in HOST_FOLDERS),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    result = remote_execution_pb2.ActionResult.FromString((tmp_path / "result").read_bytes())
    assert result.exit_code == 0
    assert (result.stdout_raw or blobs.get(result.stdout_digest)) == b"hello\n"
    assert [blobs.get(file.digest) for file in result.output_files] == [b"HELLO\n"]
    (tree,) = result.output_directories
    kept = remote_execution_pb2.Tree.FromString(blobs.get(tree.tree_digest))
    assert [file.name for file in kept.root.files] == ["a"]
