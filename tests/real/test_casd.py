"""buildbox-casd as the proxy of a machine: directories go through it into our CAS and come back on another machine."""

from __future__ import annotations

import filecmp
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from nlserver.proto import admin_pb2, admin_pb2_grpc, remote_execution_pb2, remote_execution_pb2_grpc

from tests.real import sites
from tests.real.programs import Part
from tests.real.sites import HERE, Site

pytestmark = pytest.mark.real
HERE_PROXY, THERE_PROXY = "127.0.0.1:50955", "127.0.0.1:50956"
OPERATORS = "127.0.0.1:50161"
LARGE_BYTES = 12_000_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites.all_in_one(tmp_path_factory.mktemp("all")) as running:
        yield running


@pytest.fixture(params=["older", "newer"])
def casd(request: pytest.FixtureRequest, buildbox: Path, newer_buildbox: Path) -> Path:
    return (buildbox if request.param == "older" else newer_buildbox) / "buildbox-casd"


@contextmanager
def proxy(program: Path, address: str, site: Site, cache: Path, *options: str) -> Iterator[None]:
    """A casd in front of our server, with an empty cache."""
    remote = site.endpoint.replace("grpc://", "http://")
    command = [str(program), f"--bind={address}", f"--remote={remote}", *options, str(cache)]
    running = Part("buildbox-casd", command, cache.parent / f"{cache.name}.log")
    try:
        with grpc.insecure_channel(address) as waiting:
            grpc.channel_ready_future(waiting).result(timeout=20)
        yield
    finally:
        running.kill()


def local_cas(buildstream: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [buildstream / "python", HERE / "local_cas.py", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def write_tree(root: Path, seed: int) -> None:
    """A directory with a bit of everything, none of it known to the server yet."""
    noise = random.Random(seed)
    (root / "a/b").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "a/small.txt").write_bytes(noise.randbytes(10))
    (root / "a/b/zero").touch()
    (root / "a/b/program").write_bytes(noise.randbytes(200_000))
    (root / "a/b/program").chmod(0o755)
    (root / "a/link").symlink_to("b/program")
    (root / "large").write_bytes(noise.randbytes(LARGE_BYTES))
    for number in range(200):
        (root / "a/b" / f"file{number}").write_bytes(noise.randbytes(number))


def same(one: Path, other: Path) -> bool:
    compared = filecmp.dircmp(one, other)
    names = [*compared.left_only, *compared.right_only, *compared.funny_files]
    _, differing, wrong = filecmp.cmpfiles(one, other, compared.common_files, shallow=False)
    executable = [os.access(one / name, os.X_OK) == os.access(other / name, os.X_OK) for name in compared.common_files]
    links = [(one / name).is_symlink() == (other / name).is_symlink() for name in compared.common]
    alike = not (names or differing or wrong) and all(executable) and all(links)
    return alike and all(same(one / name, other / name) for name in compared.common_dirs)


def test_a_directory_that_one_machine_captures_is_staged_by_another(
    casd: Path, site: Site, buildstream: Path, tmp_path: Path
) -> None:
    write_tree(tmp_path / "tree", seed=len(casd.parts))
    with proxy(casd, HERE_PROXY, site, tmp_path / "here"):
        digest = local_cas(buildstream, "capture", HERE_PROXY, "", str(tmp_path / "tree"))
    with proxy(casd, THERE_PROXY, site, tmp_path / "there"):
        local_cas(buildstream, "stage", THERE_PROXY, "", digest, str(tmp_path / "staged"))
    assert same(tmp_path / "tree", tmp_path / "staged")


@pytest.fixture
def received() -> Iterator[admin_pb2_grpc.AdminStub]:
    with grpc.insecure_channel(OPERATORS) as channel:
        yield admin_pb2_grpc.AdminStub(channel)


def test_of_a_large_file_that_changes_a_little_only_chunks_travel(
    newer_buildbox: Path, site: Site, buildstream: Path, received: admin_pb2_grpc.AdminStub, tmp_path: Path
) -> None:
    def bytes_so_far() -> int:
        return int(received.GetPart(admin_pb2.GetPartRequest()).counters.received_bytes)

    write_tree(tmp_path / "tree", seed=99)
    chunked = ("--proxy-instance=px:", "--enable-chunking-for-instance=px")
    with proxy(newer_buildbox / "buildbox-casd", HERE_PROXY, site, tmp_path / "here", *chunked):
        begin = bytes_so_far()
        local_cas(buildstream, "capture", HERE_PROXY, "px", str(tmp_path / "tree"))
        first = bytes_so_far() - begin
        with (tmp_path / "tree/large").open("r+b") as file:
            file.seek(LARGE_BYTES // 2)
            file.write(b"changed")
        digest = local_cas(buildstream, "capture", HERE_PROXY, "px", str(tmp_path / "tree"))
        second = bytes_so_far() - begin - first
    assert first >= LARGE_BYTES
    assert second < LARGE_BYTES / 3
    with proxy(newer_buildbox / "buildbox-casd", THERE_PROXY, site, tmp_path / "there", *chunked):
        local_cas(buildstream, "stage", THERE_PROXY, "px", digest, str(tmp_path / "staged"))
    assert same(tmp_path / "tree", tmp_path / "staged")


def test_assets_pass_the_proxy(casd: Path, site: Site, tmp_path: Path) -> None:
    from nlserver.proto import remote_asset_pb2, remote_asset_pb2_grpc
    from nlserver.reapi.digest import of

    data = b"asset " + casd.parent.name.encode() + str(len(casd.parts)).encode()
    digest = remote_execution_pb2.Digest(hash=of(data).hash, size_bytes=len(data))
    uri = f"urn:test:{digest.hash}"
    with proxy(casd, HERE_PROXY, site, tmp_path / "here"), ExitStack() as stack:
        through, direct = (
            stack.enter_context(grpc.insecure_channel(where))
            for where in (HERE_PROXY, site.endpoint.removeprefix("grpc://"))
        )
        blob = remote_execution_pb2.BatchUpdateBlobsRequest.Request(digest=digest, data=data)
        remote_execution_pb2_grpc.ContentAddressableStorageStub(through).BatchUpdateBlobs(
            remote_execution_pb2.BatchUpdateBlobsRequest(requests=[blob])
        )
        push = remote_asset_pb2.PushBlobRequest(uris=[uri], blob_digest=digest)
        remote_asset_pb2_grpc.PushStub(through).PushBlob(push)
        for channel in (through, direct):
            fetched = remote_asset_pb2_grpc.FetchStub(channel).FetchBlob(remote_asset_pb2.FetchBlobRequest(uris=[uri]))
            assert (fetched.status.code, fetched.blob_digest) == (0, digest)
