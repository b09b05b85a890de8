"""HA: hostile action results."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from tests.conformance.catalogue import rule
from tests.conformance.own import CLOSED_INSTANCE, Own
from tests.conformance.target import Code, Target, digest, fresh, refused, rx, status_of

MIB = 1 << 20
GIVEN_BACK = (Code.OK, Code.NOT_FOUND)


def update(target: Target, action: rx.Digest, result: rx.ActionResult, **fields: Any) -> grpc.StatusCode:
    request = rx.UpdateActionResultRequest(
        **{"instance_name": target.instance, "action_digest": action, "action_result": result, **fields}
    )
    return status_of(lambda: target.ac.UpdateActionResult(request)).code


def get(target: Target, action: rx.Digest) -> rx.ActionResult:
    return target.ac.GetActionResult(
        rx.GetActionResultRequest(instance_name=target.instance, action_digest=action, inline_stdout=True)
    )


def shown(target: Target, action: rx.Digest) -> grpc.StatusCode:
    return status_of(lambda: get(target, action)).code


def with_tree(target: Target, tree: bytes, **fields: Any) -> rx.ActionResult:
    wanted = digest(tree)
    if len(tree) > MIB:
        target.write(target.write_name(wanted), tree)
    else:
        target.put(tree)
    return rx.ActionResult(output_directories=[{"path": "d", "tree_digest": wanted, **fields}])


@rule("HA-01")
@pytest.mark.parametrize(
    "result",
    [
        {"output_files": [{"path": "a\0b"}]},
        {"output_files": [{"path": ""}]},
        {"output_symlinks": [{"path": "a\0b", "target": "x"}]},
        {"output_directories": [{"path": "/d"}]},
        {"output_file_symlinks": [{"path": "/x", "target": "y"}]},
        {"output_directory_symlinks": [{"path": "//x", "target": "y"}]},
    ],
    ids=str,
)
def test_impossible_paths_are_refused(target: Target, result: dict[str, Any]) -> None:
    blob, tree = target.put(fresh(10)), target.put(rx.Tree(root=rx.Directory()))
    made = rx.ActionResult(**result)
    for file in made.output_files:
        file.digest.CopyFrom(blob)
    for directory in made.output_directories:
        directory.tree_digest.CopyFrom(tree)
    assert update(target, digest(fresh(50)), made) is Code.INVALID_ARGUMENT


@rule("HA-01")
@pytest.mark.parametrize("bad", [{"hash": "A" * 64, "size_bytes": 3}, {"hash": "a" * 64, "size_bytes": -(2**63)}, {}])
def test_impossible_digests_are_refused(target: Target, bad: dict[str, Any]) -> None:
    for result in (
        rx.ActionResult(output_files=[{"path": "f", "digest": bad}]),
        rx.ActionResult(output_directories=[{"path": "d", "tree_digest": bad}]),
        rx.ActionResult(stdout_digest=bad, stderr_digest=bad),
    ):
        assert update(target, digest(fresh(50)), result) is Code.INVALID_ARGUMENT


@rule("HA-01")
@pytest.mark.parametrize("code", [-(2**31), 2**31 - 1])
def test_extreme_exit_codes_are_kept(target: Target, code: int) -> None:
    action = digest(fresh(50))
    assert update(target, action, rx.ActionResult(exit_code=code)) is Code.OK
    assert get(target, action).exit_code == code


@rule("HA-02")
def test_contents_of_4_mb_are_refused_or_reach_clients(target: Target) -> None:
    action, words = digest(fresh(50)), fresh(4_100_000)
    code = update(target, action, rx.ActionResult(stdout_raw=words))
    assert code in (Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED, Code.OK)
    if code is Code.OK:
        found = get(target, action)
        assert found.stdout_raw == words or target.read(target.read_name(found.stdout_digest)) == words
    assert update(target, digest(fresh(50)), rx.ActionResult(stdout_raw=fresh(7 * MIB))) is not Code.OK


@rule("HA-03")
def test_contents_that_differ_from_their_digest_are_refused(target: Target) -> None:
    true, false = fresh(20), fresh(20)
    named = target.put(true)
    for result in (
        rx.ActionResult(output_files=[{"path": "f", "digest": named, "contents": false}]),
        rx.ActionResult(stdout_digest=named, stdout_raw=false),
        rx.ActionResult(stderr_digest=named, stderr_raw=false),
    ):
        assert update(target, digest(fresh(50)), result) is Code.INVALID_ARGUMENT


@rule("HA-04")
def test_an_enormous_tree_is_hidden_or_shown_in_bounded_memory(target: Target, own: Own) -> None:
    absent = rx.ActionResult(
        output_directories=[{"path": "d", "tree_digest": {"hash": "a" * 64, "size_bytes": 1 << 30}}]
    )
    action = digest(fresh(50))
    assert update(target, action, absent) in (Code.OK, Code.FAILED_PRECONDITION)
    assert shown(target, action) is Code.NOT_FOUND
    leaf = rx.Directory(files=[{"name": f"{number:06}", "digest": digest(b"")} for number in range(20_000)])
    result = with_tree(target, rx.Tree(root=leaf, children=[leaf]).SerializeToString() + bytes([0x12, 0]) * 100_000)
    action = digest(fresh(50))
    with own.server.grows_by_at_most(300 * MIB):
        assert update(target, action, result) is Code.OK
        assert shown(target, action) in GIVEN_BACK


@rule("HA-05")
def test_odd_trees_are_shown_or_hidden_and_crash_nothing(target: Target) -> None:
    file = target.put(fresh(10))
    leaf = rx.Directory(files=[{"name": "f", "digest": file}])
    orphan = rx.Directory(files=[{"name": "o", "digest": file}])
    root = rx.Directory(directories=[{"name": "d", "digest": digest(leaf)}])
    twins = rx.Directory(directories=[{"name": name, "digest": digest(leaf)} for name in "ab"])
    for directory in (leaf, orphan, root, twins):
        target.put(directory)

    def tree(root: rx.Directory, *children: rx.Directory) -> bytes:
        return rx.Tree(root=root, children=children).SerializeToString()

    complete = {
        "plain": tree(root, leaf),
        "orphan": tree(root, leaf, orphan),
        "duplicates": tree(root, leaf, leaf, root),
        "twins": tree(twins, leaf),
        "empty": tree(rx.Directory()),
        "no root": b"",
    }
    for what, data in complete.items():
        action = digest(fresh(50))
        assert update(target, action, with_tree(target, data)) is Code.OK
        assert shown(target, action) in GIVEN_BACK, what
    broken = {
        "gap": tree(root),
        "noise": b"\xff" + fresh(100),
        "cut off": tree(root, leaf)[:-3],
        "bad name": tree(rx.Directory(files=[{"name": "../x", "digest": file}])),
        "bad digest": tree(rx.Directory(files=[{"name": "x", "digest": {"hash": "zz", "size_bytes": -1}}])),
        "deep": b"\x0b" * 100_000,
    }
    for what, data in broken.items():
        action = digest(fresh(50))
        code = update(target, action, with_tree(target, data))
        assert code in (Code.OK, Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION), what
        assert shown(target, action) in GIVEN_BACK, what


@rule("HA-05")
def test_a_false_root_digest_is_refused_hidden_or_heeded(target: Target) -> None:
    other = target.put(rx.Directory(files=[{"name": "x", "digest": target.put(fresh(10))}]))
    tree = rx.Tree(root=rx.Directory()).SerializeToString()
    action = digest(fresh(50))
    assert update(target, action, with_tree(target, tree, root_directory_digest=other)) in (
        Code.OK,
        Code.INVALID_ARGUMENT,
    )
    assert shown(target, action) in GIVEN_BACK


@rule("HA-06")
def test_auxiliary_metadata_is_opaque(target: Target) -> None:
    kept = AnyMessage(type_url="type.googleapis.com/nobody.Knows", value=fresh(1000))
    result = rx.ActionResult()
    result.execution_metadata.worker = "w"
    result.execution_metadata.auxiliary_metadata.append(kept)
    action = digest(fresh(50))
    assert update(target, action, result) is Code.OK
    assert list(get(target, action).execution_metadata.auxiliary_metadata) == [kept]
    result.execution_metadata.auxiliary_metadata.add(type_url="", value=fresh(MIB))
    assert update(target, action, result) in (Code.OK, Code.INVALID_ARGUMENT)
    assert shown(target, action) is Code.OK


@rule("HA-07")
def test_who_may_not_update_updates_nobodys_action(target: Target, own: Own) -> None:
    action = digest(fresh(50))
    assert update(target, action, rx.ActionResult(exit_code=7)) is Code.OK
    poisoned = update(target, action, rx.ActionResult(exit_code=0), instance_name=CLOSED_INSTANCE)
    assert poisoned is Code.PERMISSION_DENIED
    assert get(target, action).exit_code == 7


@rule("HA-08")
def test_one_output_path_twice_is_refused(target: Target) -> None:
    blob, tree = target.put(fresh(10)), target.put(rx.Tree(root=rx.Directory()))
    file, directory = {"path": "x", "digest": blob}, {"path": "x", "tree_digest": tree}
    link = {"path": "x", "target": "y"}
    for result in (
        rx.ActionResult(output_files=[file, file]),
        rx.ActionResult(output_files=[file], output_directories=[directory]),
        rx.ActionResult(output_directories=[directory, directory]),
        rx.ActionResult(output_files=[file], output_symlinks=[link]),
        rx.ActionResult(output_directories=[directory], output_file_symlinks=[link]),
    ):
        assert update(target, digest(fresh(50)), result) is Code.INVALID_ARGUMENT


@rule("HA-08")
def test_one_symlink_in_the_lists_of_old_and_new_clients_is_fine(target: Target) -> None:
    link = {"path": "x", "target": "y"}
    action = digest(fresh(50))
    assert update(target, action, rx.ActionResult(output_symlinks=[link], output_file_symlinks=[link])) is Code.OK
    assert shown(target, action) is Code.OK


@rule("HA-09")
@pytest.mark.parametrize(
    "moment",
    [{"seconds": 2**62}, {"seconds": -(2**63)}, {"nanos": -1}, {"nanos": 2**31 - 1}, {"seconds": 253402300800}],
    ids=str,
)
def test_impossible_timestamps_are_kept_or_refused(target: Target, moment: dict[str, int]) -> None:
    result = rx.ActionResult()
    result.execution_metadata.queued_timestamp.seconds = moment.get("seconds", 0)
    result.execution_metadata.queued_timestamp.nanos = moment.get("nanos", 0)
    result.execution_metadata.virtual_execution_duration.seconds = -(2**62)
    action = digest(fresh(50))
    assert update(target, action, result) in (Code.OK, Code.INVALID_ARGUMENT)
    assert shown(target, action) in GIVEN_BACK


@rule("HA-10")
def test_of_updates_at_once_one_wins_whole(target: Target) -> None:
    action = digest(fresh(50))
    words = [bytes([number]) * 20_000 for number in range(16)]

    def one(number: int) -> grpc.StatusCode:
        return update(target, action, rx.ActionResult(exit_code=number, stdout_raw=words[number]))

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(one, [*range(16)] * 4)) == {Code.OK}
    found = get(target, action)
    assert (found.stdout_raw or target.read(target.read_name(found.stdout_digest))) == words[found.exit_code]


@rule("HA-02")
def test_a_result_of_noise_is_refused(target: Target) -> None:
    for garbage in (b"\xff\xff\xff", b"\x1a\x05ab", b"\x0b" * 10_000):
        with refused(Code.INVALID_ARGUMENT, Code.INTERNAL):
            target.raw("/build.bazel.remote.execution.v2.ActionCache/UpdateActionResult", garbage)
