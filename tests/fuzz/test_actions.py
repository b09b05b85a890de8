"""Whole actions made of anything: each has one answer that is no fault of ours, and nothing of it is left."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import strategies as st
from nlserver.errors import Code
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.proto import worker_api_pb2
from nlserver.reapi.digest import of
from nlserver.worker.order import Order
from nlserver.worker.runners import orphans

from tests.fuzz import saboteur
from tests.fuzz.executions import fuzz
from tests.fuzz.filesystem import SECRET
from tests.fuzz.messages import messages, names
from tests.fuzz.test_protobuf import command_fields, relative
from tests.server.worker.shop import Shop, left

OURS = (Code.INTERNAL, Code.UNKNOWN, Code.UNAVAILABLE, Code.DATA_LOSS)
PROGRAM = [sys.executable, "-I", "-S", "-B", saboteur.__file__]

places = st.sampled_from(
    [
        *("here:out", "here:out/a", "here:out/a/b", "here:in", "here:a/b", "here:a"),
        *("above:work", "above:stdout", "above:stderr", "above:x", "above:."),
    ]
)
DEEDS = {
    "mkdir": ["755", "0", "1777"],
    "write": ["x", "y" * 9000],
    "overwrite": ["z"],
    "hole": ["100000", str(1 << 43), "0"],
    "link": ["{secret}", "{beside}", ".", "a", "/nonexistent"],
    "fifo": [""],
    "socket": [""],
    "remove": [""],
    "rename": ["moved", "a", "out"],
    "mode": ["0", "644", "6777", "222", "111"],
    "name": ["ff", "0a61", "edb080", "2d"],
    "sleeper": ["", "session", "open"],
    "orphan": [""],
    "signal": ["9", "6", "15"],
    "say": ["1", "2"],
    "close": ["1", "2"],
    "wait": ["0.02"],
    "exit": ["7", "0"],
}
deeds = st.sampled_from(sorted(DEEDS)).flatmap(
    lambda deed: st.builds("{}|{}|{}".format, st.just(deed), places, st.sampled_from(DEEDS[deed]))
)
variables = st.builds(re_pb.Command.EnvironmentVariable, name=names, value=names)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "beside" / "secret"
    path.parent.mkdir()
    path.write_bytes(SECRET)
    path.chmod(0o600)
    return path


def marked(shop: Shop) -> list[int]:
    owner = shop.bench.workspace.owner
    marks = {int(name): orphans.mark_of(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    return [pid for pid, mark in marks.items() if mark is not None and (mark >> 20) & ((1 << 40) - 1) == owner]


def check(shop: Shop, result: worker_api_pb2.ExecuteResult, descriptors: int) -> None:
    assert result.WhichOneof("result") == "execute_response", result
    assert result.execute_response.status.code not in OURS, result
    assert left(shop.bench.workspace.path) == []
    assert marked(shop) == []
    assert len(os.listdir("/proc/self/fd")) <= descriptors


@fuzz(25, st.lists(deeds, min_size=1, max_size=8), st.lists(relative, max_size=3), st.booleans())
async def test_no_deed_gets_more_than_its_own_result(
    shop: Shop, secret: Path, done: list[str], outputs: list[str], legacy: bool
) -> None:
    told = [deed.replace("{secret}", str(secret)).replace("{beside}", str(secret.parent)) for deed in done]
    command = re_pb.Command(arguments=[*PROGRAM, *told])
    (command.output_files if legacy else command.output_paths).extend(["out", *outputs])
    root = await shop.root({"in": "x", "a": {"b": "y"}})
    order = await shop.order(command, root, timeout_seconds=1)
    descriptors = len(os.listdir("/proc/self/fd"))
    check(shop, await shop.run(order), descriptors)
    assert await shop.cas.sizes([of(SECRET)]) == [None]
    assert os.listdir(secret.parent) == ["secret"]
    assert (secret.read_bytes(), secret.stat().st_mode & 0o7777) == (SECRET, 0o600)
    # The next action finds its inputs as they should be.
    after = await shop.sh("stat -c %a in a/b; cat in a/b", {"in": "x", "a": {"b": "y"}})
    assert after.execute_response.result.stdout_raw == b"444\n444\nxy"


@fuzz(40, messages(re_pb.Command, {**command_fields, "Command.environment_variables": variables}), st.booleans())
async def test_any_command_is_run_or_refused(shop: Shop, command: re_pb.Command, there: bool) -> None:
    if command.arguments:
        command.arguments[0] = "/bin/echo" if there else "./nope"
    data = command.SerializeToString()
    digest = await shop.put(data)
    action = re_pb.Action(do_not_cache=True)
    action.command_digest.hash, action.command_digest.size_bytes = digest.hash, digest.size_bytes
    root = await shop.root({"a": {"b": "y"}, "c": "x"})
    action.input_root_digest.hash, action.input_root_digest.size_bytes = root.hash, root.size_bytes
    action.timeout.nanos = 900_000_000
    order = Order("operation", "main", await shop.put(action.SerializeToString()), 0, {}, "worker")
    descriptors = len(os.listdir("/proc/self/fd"))
    check(shop, await shop.run(order), descriptors)
