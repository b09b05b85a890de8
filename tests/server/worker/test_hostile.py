"""Actions that mean harm: the worker answers, nothing of theirs is left, and nothing of anybody else's is touched."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from nlserver.errors import Code
from nlserver.proto import worker_api_pb2
from nlserver.reapi.digest import of
from nlserver.worker.leash import Leash
from nlserver.worker.runners import orphans

from tests.server.worker.shop import Shop

SECRET = b"a secret of the worker's machine"


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[Path]:
    """A file outside the work directory, which must be the same afterwards."""
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    yield path
    assert path.read_bytes() == SECRET
    assert path.stat().st_mode & 0o7777 == 0o600


def processes_of(shop: Shop) -> list[int]:
    """What still carries the mark of this shop's worker."""
    owner = shop.bench.workspace.owner
    marks = {int(name): orphans.mark_of(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    return [pid for pid, mark in marks.items() if mark is not None and (mark >> 20) & ((1 << 40) - 1) == owner]


@contextmanager
def without_leaks() -> Iterator[None]:
    """No descriptor more afterwards than before."""
    # What tests before left to the collector is not ours.
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before


def code_of(result: worker_api_pb2.ExecuteResult) -> int:
    assert result.WhichOneof("result") == "execute_response", "the fault is the action's, so nobody tries again"
    return result.execute_response.status.code


async def nothing_of_it_is_kept(shop: Shop, secret: bytes = SECRET) -> None:
    assert await shop.cas.sizes([of(secret)]) == [None]


SOCKET = "python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])'"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("instead", ["ln -s {secret}", "mkfifo", "mkdir", "ln -s /dev/zero", SOCKET])
async def test_what_replaces_a_file_with_output_is_neither_read_nor_waited_for(
    shop: Shop, secret: Path, stream: str, instead: str
) -> None:
    await shop.sh("true")
    with without_leaks():
        result = await shop.sh(f"cd ..; rm {stream}; {instead.format(secret=secret)} {stream}")
    assert code_of(result) == Code.FAILED_PRECONDITION
    assert stream in result.execute_response.status.message
    await nothing_of_it_is_kept(shop)


@pytest.mark.parametrize("replaced", ["work", "operation"])
async def test_an_action_that_leads_its_directory_elsewhere_gets_nothing_from_there(
    shop: Shop, secret: Path, replaced: str, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "work").mkdir(parents=True)
    for name in ("secret", "work/secret", "stdout", "stderr"):
        (elsewhere / name).write_bytes(SECRET)
    away = f"mv {shop.bench.workspace.path}/operation{'/work' if replaced == 'work' else ''} {tmp_path}/away"
    with without_leaks():
        result = await shop.sh(
            f"{away}; ln -s {elsewhere} $OLDPWD/{replaced}",
            {"in": "x"},
            outputs=["secret"],
            env={
                "PATH": "/usr/bin:/bin",
                "OLDPWD": shop.bench.workspace.path + ("/operation" if replaced == "work" else ""),
            },
        )
    assert code_of(result) == Code.FAILED_PRECONDITION
    await nothing_of_it_is_kept(shop)
    assert sorted(path.name for path in elsewhere.rglob("*")) == ["secret", "secret", "stderr", "stdout", "work"]
    assert os.listdir(shop.bench.workspace.path) == []


async def test_an_output_behind_a_link_that_took_its_parents_place_is_not_there(shop: Shop, secret: Path) -> None:
    result = await shop.sh(f"rm -r out; ln -s {secret.parent} out", outputs=["out/secret"])
    assert code_of(result) == 0
    assert not result.execute_response.result.output_files
    await nothing_of_it_is_kept(shop)


async def reads(shop: Shop, name: str, content: str) -> None:
    """A later action finds its input as it was uploaded."""
    result = await shop.sh("stat -c %a in; cat in", {name: content})
    assert await shop.stdout(result) == ("555" if name.endswith("*") else "444") + f"\n{content}"


@pytest.mark.parametrize("name", ["in", "in*"])
@pytest.mark.parametrize(
    "harm",
    [
        "chmod u+w in; echo more >> in",
        "chmod u+w in; printf J | dd of=in conv=notrunc status=none",
        "chmod 0 in",
        "chmod 4444 in",
        "chmod u+w in; echo more >> in; rm in",
        "chmod u+w in; echo more >> in; mv ../work ../gone; mkdir ../work",
        "chmod u+w in; echo more >> in; rm -r ../work; ln -s /nonexistent ../work",
        "chmod u+w in; echo more >> in; rm ../stdout; mkfifo ../stdout",
    ],
)
async def test_an_input_that_an_action_harmed_is_whole_for_the_next(shop: Shop, name: str, harm: str) -> None:
    await shop.sh(harm, {name: "Just so"})
    await reads(shop, name, "Just so")


async def test_an_input_that_a_killed_action_harmed_is_whole_for_the_next(shop: Shop) -> None:
    line, reached = shop.signal()
    leash = Leash()
    running = asyncio.create_task(shop.sh(f"chmod u+w in; echo more >> in; {line}; sleep 60", {"in": "x"}, leash=leash))
    await reached
    leash.kill()
    assert code_of(await running) == Code.ABORTED
    await reads(shop, "in", "x")


async def test_a_hole_of_terabytes_is_no_output(shop: Shop) -> None:
    result = await shop.sh("truncate -s 10T out/huge; echo x > out/small", outputs=["out/huge", "out/small"])
    assert code_of(result) == Code.FAILED_PRECONDITION
    assert "sparse" in result.execute_response.status.message


async def test_a_sparse_file_that_fits_is_an_output_like_any_other(shop: Shop) -> None:
    result = await shop.sh("truncate -s 3M out", outputs=["out"])
    assert await shop.read(result.execute_response.result.output_files[0].digest) == bytes(3 << 20)


async def test_large_outputs_are_taken_from_paths_longer_than_the_system_allows(shop: Shop) -> None:
    deep = "d" * 200
    script = f"mkdir out; cd out; for i in $(seq 30); do mkdir {deep}; cd -P {deep}; done; head -c 300000 /dev/zero > f"
    result = await shop.sh(script, outputs=["out"])
    assert code_of(result) == 0
    assert await shop.cas.sizes([of(bytes(300_000))]) == [300_000]


async def test_many_processes_that_detach_themselves_are_all_gone(shop: Shop) -> None:
    script = (
        "for i in $(seq 40); do setsid sh -c 'trap \"\" TERM HUP; setsid sleep 1000 & sleep 1000' & done; sleep 1000"
    )
    result = await shop.sh(script, timeout_seconds=0.5)
    assert code_of(result) == Code.DEADLINE_EXCEEDED
    assert processes_of(shop) == []


async def test_a_stopped_process_is_gone_too(shop: Shop) -> None:
    await shop.sh("sleep 1000 & kill -STOP $!; setsid sh -c 'kill -STOP $$' & sleep 0.1")
    assert processes_of(shop) == []


@pytest.mark.real
@pytest.mark.parametrize("where", ["mnt", "mnt/below", "../work", ".."])
async def test_what_an_action_mounted_is_gone_and_what_was_mounted_is_whole(
    shop: Shop, tmp_path: Path, where: str
) -> None:
    precious = tmp_path / "precious"
    (precious / "dir").mkdir(parents=True)
    (precious / "file").write_text("x")
    (precious / "dir/file").write_text("x")
    said = tmp_path / "mounts"
    await shop.sh(
        f"mkdir -p mnt/below; mount -t tmpfs none mnt/below; mount --bind {precious} {where}; cat /proc/mounts > {said}"
    )
    assert said.read_text().count("work/operation") == 2, "this test needs root"
    assert sorted(path.name for path in precious.rglob("*")) == ["dir", "file", "file"]
    assert shop.bench.workspace.path not in Path("/proc/self/mounts").read_text()
