"""The client and the grpc store against buildbox-casd, a server that is not ours."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nlserver.errors import Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.client import Client, Stage
from nlserver.reapi.digest import Function, of
from nlserver.reapi.endpoint import EndpointSpec, RetrySpec
from nlserver.spec import Site
from nlserver.store import Missing
from nlserver.stores.grpc import GrpcSpec

pytestmark = pytest.mark.real

BUILDBOX = Path(os.environ.get("BUILDBOX", Path(__file__).parents[3] / ".venv/real/buildbox"))
NOISE = random.Random(11).randbytes(5_000_000)
PATIENT = RetrySpec(max_retries=8, delay=0.02)


def started(port: int, directory: Path) -> subprocess.Popen[bytes]:
    """A buildbox-casd that runs actions in a sandbox with this machine's programs."""
    program, runner = BUILDBOX / "buildbox-casd", BUILDBOX / "buildbox-run"
    assert program.exists(), f"{program} is missing: run `make test-real`"
    assert shutil.which("bwrap"), "bwrap is not installed: run `make test-real`"
    mounts = [f"--runner-arg=--bind-mount=/{name}:/{name}" for name in ("bin", "lib", "lib64", "usr", "etc")]
    command = [program, f"--bind=127.0.0.1:{port}", "--jobs=4", f"--buildbox-run={runner}", *mounts, directory / "casd"]
    with (directory / "casd.log").open("wb") as log:
        return subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)


@pytest.fixture
async def casd(tmp_path: Path) -> AsyncIterator[str]:
    """The address of a buildbox-casd of our own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = started(port, tmp_path)
    try:
        async with Client(cas=f"127.0.0.1:{port}", retry=PATIENT) as client:
            await client.capabilities()
        yield f"grpc://127.0.0.1:{port}"
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)


@pytest.fixture
async def client(casd: str) -> AsyncIterator[Client]:
    async with Client(cas=casd, executor=casd) as made:
        yield made


async def test_blobs_of_all_sizes_come_back(client: Client, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(NOISE)
    digests = await client.upload([b"", b"small", tmp_path / "file"])
    assert await client.missing([*digests, of(b"absent")]) == {of(b"absent")}
    assert await client.read_many(digests) == dict(zip(digests, [b"", b"small", NOISE], strict=True))
    await client.download(digests[2], tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == NOISE
    assert b"".join([chunk async for chunk in client.stream(digests[2], 1_000_000, 10)]) == NOISE[1_000_000:1_000_010]
    with pytest.raises(Missing):
        await client.read(of(b"absent"))


async def test_a_command_runs_on_a_directory_and_its_outputs_come_back(client: Client, tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "hello.c").write_text('#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n')
    seen = []
    arguments = ["/bin/sh", "-c", "mkdir -p out/d && cat hello.c > out/d/copy && ln -s d/copy out/link && echo done"]
    for round_number in range(2):
        outcome = await client.run(
            arguments,
            input_root=source,
            environment={"PATH": "/usr/bin:/bin"},
            output_paths=["out"],
            skip_cache_lookup=round_number == 0,
            on_state=seen.append,
        )
        assert (outcome.exit_code, outcome.stdout) == (0, b"done\n")
    assert seen[-1].stage is Stage.COMPLETED
    assert len(await client.get_tree(await client.upload_tree(source))) == 1
    await client.download_outputs(outcome, tmp_path / "into")
    assert (tmp_path / "into/out/d/copy").read_text() == (source / "hello.c").read_text()
    assert os.readlink(tmp_path / "into/out/link") == "d/copy"


async def test_a_command_that_fails_is_an_outcome(client: Client) -> None:
    outcome = await client.run(["/bin/sh", "-c", "echo no >&2; exit 3"], environment={"PATH": "/bin"})
    assert (outcome.exit_code, outcome.stderr) == (3, b"no\n")


async def test_a_store_keeps_its_values_there(casd: str) -> None:
    site = Site()
    endpoint = EndpointSpec(address=casd)
    cas = GrpcSpec(endpoints=(endpoint,), store_type="cas").build(site)
    cache = GrpcSpec(endpoints=(endpoint,), store_type="ac").build(site)
    values = [b"%d" % number for number in range(200)] + [NOISE]
    await asyncio.gather(*(cas.put(of(value), value) for value in values))
    assert await cas.sizes([*map(of, values), of(b"absent")]) == [*map(len, values), None]
    assert await asyncio.gather(*(cas.get(of(value)) for value in values)) == values
    action = of(b"action")
    with pytest.raises(Missing):
        await cache.get(action)
    result = re_pb.ActionResult(exit_code=1, stdout_raw=b"x").SerializeToString()
    await cache.put(action, result)
    assert re_pb.ActionResult.FromString(await cache.get(action)).exit_code == 1
    with pytest.raises(Error):
        await cas.put(of(b"x", Function.BLAKE3), b"x")
    await site.close()
