"""Messages from outside: each reader gives a checked value or an Error, and what it gives can do no harm."""

from __future__ import annotations

from contextlib import suppress

from google.rpc import status_pb2
from hypothesis import strategies as st
from nlserver.errors import Code, Error
from nlserver.proto import bytestream_pb2, worker_api_pb2
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi import action as actions
from nlserver.reapi import outputs, tree, wire
from nlserver.reapi.digest import EMPTY, Function
from nlserver.reapi.status import MOST_VIOLATIONS, error_of, status_of
from nlserver.services import ac, worker_api
from nlserver.worker import inputs, order

from tests.fuzz.executions import fuzz
from tests.fuzz.messages import digests, encoded, messages, names
from tests.fuzz.outcomes import taken, taken_or

functions = st.sampled_from(Function)


def check_segment(name: str) -> None:
    assert name not in ("", ".", "..")
    assert not set(name) & set("/\0")
    assert len(name.encode()) <= 255


def check_path(path: str) -> None:
    for segment in path.split("/") if path else ():
        check_segment(segment)


def check_directory(found: re_pb.Directory) -> None:
    listed = [node.name for nodes in (found.files, found.directories, found.symlinks) for node in nodes]
    assert len(listed) == len(set(listed))
    for name in listed:
        check_segment(name)
    assert all(link.target and "\0" not in link.target for link in found.symlinks)


@fuzz(200, encoded(re_pb.Directory), functions)
def test_a_directory_that_is_taken_cannot_lead_outside_its_parent(data: bytes, function: Function) -> None:
    if (found := taken(tree.directory_of, data, function)) is None:
        return
    check_directory(found)
    if (listing := taken(inputs._listing, found, function)) is not None:
        assert all(file.mode is None or not file.mode & ~0o777 for file in listing.files)


files = messages(re_pb.FileNode, {"FileNode.digest": digests, "FileNode.name": names})


@st.composite
def trees(draw: st.DrawFn) -> bytes:
    """Directories that refer to one another, in a Tree that may lack some, repeat some and hold others besides."""
    made = [re_pb.Directory()]
    for _ in range(draw(st.integers(0, 5))):
        directory = re_pb.Directory(files=draw(st.lists(files, max_size=2)))
        for number, below in enumerate(draw(st.lists(st.sampled_from(made), max_size=3))):
            node = directory.directories.add(name=f"d{number}")
            tree.set_digest(node.digest, tree.blob_of(below).digest)
        made.append(directory)
    children = draw(st.lists(st.sampled_from(made), max_size=8))
    return re_pb.Tree(root=made[-1], children=children).SerializeToString()


@fuzz(200, st.one_of(trees(), encoded(re_pb.Tree)), functions)
def test_a_tree_that_is_taken_is_walked_to_its_end_without_leaving_its_root(data: bytes, function: Function) -> None:
    if (found := taken(tree.tree_of, data, function)) is None:
        return
    for path, directory in taken(lambda: list(tree.walk(found.root, found.lookup, most_nodes=1000))) or ():
        check_path(path)
        check_directory(directory)
    taken(lambda: list(found.files()))


relative = st.one_of(st.lists(st.sampled_from(["..", "a", "b", "c", ".", ""]), max_size=7).map("/".join), names)
command_fields = {
    "Command.output_paths": relative,
    "Command.output_files": relative,
    "Command.output_directories": relative,
    "Command.working_directory": relative,
    "Command.arguments": names,
}


@fuzz(300, encoded(re_pb.Command, command_fields))
def test_a_command_that_is_taken_stays_in_its_input_root_and_can_be_started(data: bytes) -> None:
    if (command := taken(actions.command_of, data)) is None:
        return
    wanted = actions.outputs_of(command)
    for path in (actions.working_directory_of(command), *(path for _, path in wanted.paths), *wanted.parents):
        check_path(path)
    declared = {*command.output_paths, *command.output_files, *command.output_directories}
    assert {said for said, _ in wanted.paths} <= declared
    assert command.arguments[0]
    assert not any("\0" in argument for argument in command.arguments)
    given = [variable.name for variable in command.environment_variables]
    assert len(given) == len(set(given))
    assert not any(not name or set(name) & set("=\0") for name in given)


@fuzz(200, encoded(re_pb.Action), functions, st.none() | st.floats(1, 10**6))
def test_an_action_that_is_taken_has_a_time_that_can_pass(data: bytes, function: Function, most: float | None) -> None:
    if (action := taken(actions.action_of, data, function)) is None:
        return
    limit = taken(actions.timeout_of, action, most)
    assert limit is None or 0 < limit <= (most or 10**12)
    properties = actions.platform_of(action, re_pb.Command())
    assert list(properties) == sorted(properties)


result_fields = {"OutputFile.path": relative, "OutputDirectory.path": relative, "OutputSymlink.path": relative}
results = messages(re_pb.ActionResult, result_fields)


@fuzz(200, results, functions)
def test_a_result_that_the_cache_takes_names_relative_outputs_once(
    result: re_pb.ActionResult, function: Function
) -> None:
    if taken_or(Code.INVALID_ARGUMENT, lambda: ac._check(result, function) or True) is None:
        return
    paths = [output.path for listed in (result.output_files, result.output_directories) for output in listed]
    assert len(paths) == len(set(paths))
    assert not any(path.startswith("/") or "\0" in path for path in paths)


@fuzz(200, results, trees(), relative)
def test_outputs_are_planned_below_their_top_or_refused(
    result: re_pb.ActionResult, data: bytes, directory: str
) -> None:
    with suppress(Error):
        made = tree.tree_of(data)
        wanted = outputs.trees_of(result, Function.SHA256)
        base = actions.working_directory_of(re_pb.Command(working_directory=directory))
        plan = outputs.plan_of(result, base, dict.fromkeys(wanted, made), Function.SHA256)
        for path in (*plan.directories, *(file.path for file in plan.files), *plan.symlinks):
            check_path(path)
        assert all(file.path for file in plan.files)


@fuzz(200, messages(worker_api_pb2.StartExecute), functions)
def test_an_order_is_understood_or_refused(message: worker_api_pb2.StartExecute, function: Function) -> None:
    found = taken(order.order_of, message, function, "worker")
    assert found is None or (found.operation_id == message.operation_id and 0 <= found.queued_ns < 2**63)


@fuzz(200, messages(worker_api_pb2.ExecuteResult), functions)
def test_a_workers_result_becomes_an_answer_that_clients_can_read(
    result: worker_api_pb2.ExecuteResult, function: Function
) -> None:
    answer = worker_api.outcome_of(result, function)
    if isinstance(answer, re_pb.ExecuteResponse):
        assert answer.HasField("status")
        assert answer.status.code or answer.HasField("result")
        answer.SerializeToString()


@fuzz(100, messages(worker_api_pb2.UpdateForScheduler))
def test_a_workers_first_words_are_an_offer_or_refused(update: worker_api_pb2.UpdateForScheduler) -> None:
    taken(worker_api.offer_of, update)


@fuzz(200, messages(status_pb2.Status))
def test_any_status_is_an_error_that_can_be_told_on(status: status_pb2.Status) -> None:
    again = status_of(error_of(status))
    assert again.code in [int(code) for code in Code]
    assert len(again.message) <= 4096
    assert len(again.details) <= 1
    again.SerializeToString()


@fuzz(200, encoded(bytestream_pb2.ReadResponse))
def test_a_read_response_gives_its_data_or_an_error(data: bytes) -> None:
    found = taken_or(Code.INTERNAL, wire.read_data, data)
    assert found is None or found == bytestream_pb2.ReadResponse.FromString(data).data


@fuzz(100, messages(re_pb.ExecuteResponse))
def test_a_response_is_made_to_fit(response: re_pb.ExecuteResponse) -> None:
    order.fit(response)
    assert response.ByteSize() <= order.MOST_RESULT_BYTES


def test_missing_blobs_are_named_up_to_a_bound() -> None:
    subjects = [f"blobs/{EMPTY[Function.SHA256].hash}/{number}" for number in range(9000)]
    status = status_of(Error(Code.FAILED_PRECONDITION, "gone", missing=subjects))
    assert len(status.details) == 1
    assert status.ByteSize() < 200 * MOST_VIOLATIONS
