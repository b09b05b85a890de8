"""EXE: Execute and WaitExecution."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from tests.conformance.actions import (
    INVALID,
    PRECONDITION,
    RETRIED_BY_BAZEL,
    STAGE,
    TIMED_OUT,
    Run,
    Tool,
    action,
    bazel_uploads_again,
    blob,
    command,
    digests,
    ended,
    execute,
    metadata,
    missing_in,
    noise,
    pants_uploads_again,
    run,
    same,
    shell,
    stdout,
    subject,
    uuid_bytes,
    wait,
)
from tests.conformance.catalogue import rule
from tests.conformance.hands import hands
from tests.conformance.own import HAND_INSTANCE, HERE, Own, Process
from tests.conformance.target import Code, Target, digest, fresh, not_applicable, refused, rx, until

BIRTH = "cat /proc/sys/kernel/random/uuid"
"""Prints something else in each run."""


@pytest.fixture
def join(own: Own) -> Iterator[Any]:
    """Makes workers of the hand instance."""
    with hands(own) as made:
        yield made


def hand(target: Target, priority: int = 0) -> tuple[rx.Digest, Run]:
    """An action for the workers that a test speaks itself."""
    wanted = action(target, command("true"))
    policy = rx.ExecutionPolicy(priority=priority)
    return wanted, execute(target, wanted, instance_name=HAND_INSTANCE, execution_policy=policy)


def lacking(target: Target, *absent: rx.Digest) -> rx.Digest:
    """An Action some of whose inputs nobody has."""
    root = rx.Directory(files=[rx.FileNode(name=f"f{n:05}", digest=one) for n, one in enumerate(absent)])
    return action(target, command("true"), target.put(root))


@rule("EXE-01")
def test_what_goes_wrong_with_the_inputs_stands_in_the_response(target: Target, worker: None) -> None:
    assert execute(target, lacking(target, noise(b"x"))).end().status.code == PRECONDITION


@rule("EXE-02")
def test_a_malformed_action_is_invalid(target: Target, worker: None) -> None:
    assert ended(target, target.put(b"\xff" * 40)).status.code == INVALID


@rule("EXE-02")
def test_a_missing_action_or_command_is_a_failed_precondition(target: Target, worker: None) -> None:
    assert ended(target, noise(b"action")).status.code == PRECONDITION
    no_command = rx.Action(command_digest=noise(b"command"), input_root_digest=digest(b""))
    assert ended(target, target.put(no_command)).status.code == PRECONDITION


@rule("EXE-03")
@pytest.mark.parametrize("function", ["SHA256", "BLAKE3"])
def test_a_missing_input_is_a_violation_that_names_it(target: Target, worker: None, function: str) -> None:
    if function not in target.functions:
        not_applicable(f"{function} is not announced")
    gone = digest(fresh(40), function)
    root = target.put(rx.Directory(files=[rx.FileNode(name="gone", digest=gone)]), function)
    status = ended(target, action(target, command("true"), root, function=function), function).status
    assert status.code == PRECONDITION
    assert [detail.type_url for detail in status.details] == ["type.googleapis.com/google.rpc.PreconditionFailure"]
    assert missing_in(status) == [subject(gone, function)]


@rule("EXE-04")
@pytest.mark.parametrize("what", ["action", "command", "root", "directory", "file"])
def test_bazel_would_upload_again_whatever_is_missing(target: Target, worker: None, what: str) -> None:
    assert bazel_uploads_again(ended(target, without(target, what)).status)


@rule("EXE-05")
@pytest.mark.parametrize("what", ["action", "command", "root", "directory", "file"])
def test_pants_would_upload_again_whatever_is_missing(target: Target, worker: None, what: str) -> None:
    assert pants_uploads_again(execute(target, without(target, what)).end().status)


def without(target: Target, what: str) -> rx.Digest:
    """An Action of which this part is nowhere."""
    gone = noise(b"gone")
    match what:
        case "action":
            return gone
        case "command":
            return target.put(rx.Action(command_digest=gone, input_root_digest=digest(b"")))
        case "root":
            return action(target, command("true"), gone)
        case "directory":
            return action(target, command("true"), {"below": {"deeper": gone}})
        case _:
            return lacking(target, gone)


@rule("EXE-06")
def test_thousands_of_missing_inputs_arrive_as_missing(target: Target, worker: None) -> None:
    status = ended(target, lacking(target, *(noise(b"") for _ in range(5000)))).status
    assert bazel_uploads_again(status)
    assert status.ByteSize() < 4 << 20


@rule("EXE-07")
def test_all_missing_inputs_are_named_at_once(target: Target, worker: None) -> None:
    absent = [noise(b"") for _ in range(3)]
    here = target.put(fresh(10))
    assert sorted(missing_in(ended(target, lacking(target, *absent, here)).status)) == sorted(map(subject, absent))


@rule("EXE-08", "EXE-10", "EXE-12")
def test_an_operation_is_told_from_its_beginning_to_its_one_end(target: Target, worker: None) -> None:
    wanted = shell(target, "sleep 0.5; echo done")
    watched = execute(target, wanted)
    first = watched.next()
    assert not first.done
    assert metadata(first).action_digest == wanted
    assert metadata(first).stage in (STAGE.UNKNOWN, STAGE.CACHE_CHECK, STAGE.QUEUED, STAGE.EXECUTING)
    assert stdout(target, watched.end()) == "done\n"
    assert watched.stages[-1] == STAGE.COMPLETED
    assert watched.stages.count(STAGE.COMPLETED) == 1


@pytest.mark.slow
@rule("EXE-09")
def test_something_is_heard_each_minute_though_nothing_changes(target: Target, join: Any) -> None:
    _, watched = hand(target)
    watched.next()
    began = time.monotonic()
    watched.next()
    assert time.monotonic() - began < 60
    watched.leave()


@rule("EXE-11", "EXE-37")
def test_an_action_that_lost_its_worker_is_queued_again_and_has_one_result(target: Target, join: Any) -> None:
    wanted, watched = hand(target)
    first = join("first")
    order = first.order(wanted)
    watched.until(STAGE.EXECUTING)
    first.leave()
    watched.until(STAGE.QUEUED)
    second = join("second")
    again = second.order(wanted)
    assert again.operation_id != order.operation_id
    second.result(again.operation_id, rx.ExecuteResponse(result=rx.ActionResult(exit_code=7)))
    assert watched.end().result.exit_code == 7


@rule("EXE-13")
def test_waiting_goes_on_where_executing_was_cut(target: Target, worker: None) -> None:
    watched = execute(target, shell(target, "sleep 0.5; echo done"))
    watched.next()
    watched.leave()
    again = wait(target, watched.name)
    assert stdout(target, again.end()) == "done\n"
    assert again.name == watched.name


@rule("EXE-13")
def test_waiting_for_what_was_never_there_is_not_found(target: Target, worker: None) -> None:
    for name in ("", "operations/never", "x", f"{target.instance}/operations/00000000-0000-4000-8000-000000000000"):
        with refused(Code.NOT_FOUND):
            list(target.execution.WaitExecution(rx.WaitExecutionRequest(name=name)))


@rule("EXE-14")
def test_a_finished_operation_can_still_be_waited_for(target: Target, worker: None, tmp_path: Path) -> None:
    watched = execute(target, shell(target, "echo done"))
    stream = iter([watched.next()])
    first = next(stream)
    watched.end()
    for _ in range(2):
        again = wait(target, first.name)
        assert stdout(target, again.end()) == "done\n"
        assert again.stages == [STAGE.COMPLETED]


@rule("EXE-15")
def test_operations_have_names_of_their_own(target: Target, worker: None) -> None:
    runs = [execute(target, shell(target, "true")) for _ in range(5)]
    for one in runs:
        one.end()
    assert len({one.name for one in runs}) == 5
    assert all(one.name.isprintable() and " " not in one.name for one in runs)


@rule("EXE-16")
def test_a_client_that_leaves_does_not_end_the_action_of_another(target: Target, worker: None) -> None:
    wanted = shell(target, f"sleep 1; {BIRTH}")
    runs = [execute(target, wanted) for _ in range(3)]
    for one in runs:
        one.next()
    runs[1].leave()
    births = {stdout(target, one.end()) for one in (runs[0], runs[2])}
    assert all(births)


@rule("EXE-16", "HX-32")
def test_the_same_action_from_hundreds_of_clients_runs_once(target: Target, worker: None, own: Own) -> None:
    wanted = shell(target, f"sleep 1; {BIRTH}")
    runs = [execute(target, wanted) for _ in range(300)]
    assert len({stdout(target, one.end()) for one in runs}) == 1


@rule("EXE-17")
def test_what_must_not_be_cached_runs_each_time_for_each_client(target: Target, worker: None) -> None:
    wanted = shell(target, f"sleep 0.3; {BIRTH}", do_not_cache=True)
    together = [execute(target, wanted) for _ in range(2)]
    responses = [*(one.end() for one in together), ended(target, wanted)]
    assert len({stdout(target, one) for one in responses}) == 3
    assert not any(one.cached_result for one in responses)
    with refused(Code.NOT_FOUND):
        target.ac.GetActionResult(rx.GetActionResultRequest(instance_name=target.instance, action_digest=wanted))


@rule("EXE-18")
def test_a_known_result_is_served_from_the_cache(target: Target, worker: None) -> None:
    wanted = shell(target, f"{BIRTH} | tee out", output_paths=["out"])
    first, second = ended(target, wanted), ended(target, wanted)
    assert not first.cached_result
    assert second.cached_result
    assert second.status.code == 0
    assert second.HasField("status")
    assert stdout(target, first) == stdout(target, second)
    assert same(digests(first), digests(second))


@rule("EXE-18")
def test_a_known_result_whose_outputs_are_gone_is_made_again(target: Target, worker: None, own: Own) -> None:
    wanted = shell(target, f"{BIRTH} > out; head -c 100000 /dev/urandom >> out", output_paths=["out"])
    first = ended(target, wanted)
    (file,) = first.result.output_files
    (own.server.data / f"cas/content/d/{file.digest.hash}-{file.digest.size_bytes}").unlink()
    second = ended(target, wanted)
    assert not second.cached_result
    assert second.result.output_files[0].digest != file.digest


def keep(target: Target, wanted: rx.Digest, result: rx.ActionResult) -> None:
    """Put a result into the action cache, where clients may."""
    if not target.cache.action_cache_update_capabilities.update_enabled:
        not_applicable("clients may not update the action cache")
    request = rx.UpdateActionResultRequest(instance_name=target.instance, action_digest=wanted, action_result=result)
    target.ac.UpdateActionResult(request)


@rule("EXE-19")
def test_skipping_the_cache_runs_the_action_and_replaces_what_was_there(target: Target, worker: None) -> None:
    wanted = shell(target, "echo real")
    keep(target, wanted, rx.ActionResult(stdout_raw=b"poison"))
    response = ended(target, wanted, skip_cache_lookup=True)
    assert stdout(target, response) == "real\n"
    assert not response.cached_result
    request = rx.GetActionResultRequest(instance_name=target.instance, action_digest=wanted)
    assert target.ac.GetActionResult(request).stdout_raw in (b"", b"real\n")


@rule("EXE-20")
def test_a_timed_out_action_keeps_its_output_and_is_not_cached(target: Target, worker: None) -> None:
    wanted = shell(target, "echo begun; sleep 60", seconds=0.5)
    response = ended(target, wanted)
    assert response.status.code == TIMED_OUT
    assert blob(target, response.result.stdout_digest) == b"begun\n"
    with refused(Code.NOT_FOUND):
        target.ac.GetActionResult(rx.GetActionResultRequest(instance_name=target.instance, action_digest=wanted))


@rule("EXE-21", "EXE-26")
def test_a_failing_program_is_a_success_of_the_server(target: Target, worker: None) -> None:
    response = run(target, "echo no >&2; exit 3")
    assert response.HasField("status")
    assert response.status.code == 0
    assert response.result.exit_code == 3
    assert (response.result.stderr_raw or blob(target, response.result.stderr_digest)) == b"no\n"


@rule("EXE-22")
@pytest.mark.parametrize(
    ("program", "content"),
    [("nope", b""), ("./data", b"x"), ("./tool", Tool("#!/no/such/interpreter\n")), ("./dir", b"")],
)
def test_a_program_that_cannot_start_is_not_tried_again(
    target: Target, worker: None, program: str, content: bytes | Tool
) -> None:
    inputs = {"dir": {"file": "x"}, "tool" if isinstance(content, Tool) else "data": content}
    response = ended(target, action(target, command(program), inputs))
    assert response.status.code not in RETRIED_BY_BAZEL
    assert not missing_in(response.status)
    assert response.status.code or response.result.exit_code in (126, 127)


@rule("EXE-23")
@pytest.mark.parametrize("number", [9, 11, 15])
def test_death_by_a_signal_is_128_and_its_number(target: Target, worker: None, number: int) -> None:
    response = run(target, f"kill -{number} $$")
    assert (response.status.code, response.result.exit_code) == (0, 128 + number)


@rule("EXE-24")
def test_a_timeout_ends_the_process_in_time(target: Target, worker: None) -> None:
    began = time.monotonic()
    response = run(target, "sleep 60", seconds=0.3)
    assert response.status.code == TIMED_OUT
    assert time.monotonic() - began < 55


@rule("EXE-24", "HX-20")
@pytest.mark.parametrize(
    "timeout",
    [
        Duration(seconds=-1),
        Duration(nanos=-1),
        Duration(seconds=10**18),
        Duration(seconds=1, nanos=2 * 10**9),
        Duration(seconds=1, nanos=-1),
        Duration(seconds=10**9),
    ],
)
def test_a_timeout_that_cannot_be_is_refused(target: Target, worker: None, timeout: Duration) -> None:
    made = rx.Action(command_digest=target.put(command("true")), input_root_digest=digest(b""), timeout=timeout)
    assert ended(target, target.put(made)).status.code == INVALID


@rule("EXE-24")
def test_a_timeout_of_nothing_is_the_servers_own(target: Target, worker: None) -> None:
    made = rx.Action(
        command_digest=target.put(command("true")), input_root_digest=digest(b""), timeout=Duration(), salt=uuid_bytes()
    )
    assert ended(target, target.put(made)).status.code == 0


@rule("EXE-25", "HX-26")
def test_a_timeout_ends_everything_that_was_started(target: Target, worker: None, own: Own, tmp_path: Path) -> None:
    started = tmp_path / "started"
    hiding = "setsid sh -c 'trap \"\" TERM HUP INT; echo $$ >> {0}; sleep 1000' & (sleep 1000 & echo $! >> {0}) &"
    response = run(target, f"{hiding.format(started)} kill -STOP $$", seconds=1)
    assert response.status.code == TIMED_OUT
    assert len(started.read_text().split()) == 2
    for pid in started.read_text().split():
        assert not Path(f"/proc/{pid}").exists()


@rule("EXE-27")
def test_messages_name_no_place_of_the_host(target: Target, worker: None, own: Own) -> None:
    statuses = [
        run(target, "sleep 9", seconds=0.2).status,
        run(target, "mkfifo out", output_paths=["out"]).status,
        run(target, "true", working_directory="no").status,
        ended(target, lacking(target, noise(b""))).status,
        ended(target, action(target, command("./nope"))).status,
    ]
    assert [status.code for status in statuses[:4]] == [TIMED_OUT, INVALID, INVALID, PRECONDITION]
    for status in statuses:
        assert str(own.server.data.parent.parent) not in status.message


@rule("EXE-28")
def test_server_logs_can_be_read(target: Target, worker: None) -> None:
    response = run(target, "exit 1")
    if not response.server_logs:
        not_applicable("no logs are attached to responses")
    for log in response.server_logs.values():
        assert target.is_present(log.digest)


@rule("EXE-29")
def test_small_outputs_are_inlined_where_they_are_asked_for(target: Target, worker: None) -> None:
    wanted = shell(
        target, "echo out; echo err >&2; echo file > file; echo other > other", output_paths=["file", "other"]
    )
    response = ended(target, wanted, inline_stdout=True, inline_stderr=True, inline_output_files=["file"])
    result = response.result
    contents = {file.path: file.contents for file in result.output_files}
    if not (result.stdout_raw or result.stderr_raw or contents["file"]):
        not_applicable("the hints are not taken")
    assert (result.stdout_raw, result.stderr_raw) == (b"out\n", b"err\n")
    assert contents == {"file": b"file\n", "other": b""}
    assert all(file.HasField("digest") for file in result.output_files)


@rule("EXE-30", "HX-21")
@pytest.mark.parametrize("priority", [-(2**31), -1, 0, 5, 2**31 - 1])
def test_every_priority_runs(target: Target, worker: None, priority: int) -> None:
    policy = rx.ExecutionPolicy(priority=priority)
    assert ended(target, shell(target, "true"), execution_policy=policy).status.code == 0


@rule("EXE-30")
def test_a_lower_priority_runs_sooner(target: Target, join: Any) -> None:
    (late, waits), (soon, goes) = hand(target, priority=5), hand(target, priority=-1)
    for one in (waits, goes):
        one.next()
    worker = join("one-at-a-time", most=1)
    order = worker.hear().start_action
    assert order.execute_request.action_digest == soon
    worker.result(order.operation_id)
    goes.end()
    worker.result(worker.order(late).operation_id)
    waits.end()


@rule("EXE-32", "EXE-33")
def test_timestamps_are_there_and_in_order(target: Target, worker: None) -> None:
    found = run(target, "sleep 0.1").result.execution_metadata
    names = ["queued", "worker_start", "input_fetch_start", "input_fetch_completed", "execution_start"]
    names += ["execution_completed", "output_upload_start", "output_upload_completed", "worker_completed"]
    times = [getattr(found, f"{name}_timestamp").ToNanoseconds() for name in names]
    assert found.worker
    assert times == sorted(times)
    assert times[0] > 0
    ran = times[5] - times[4]
    assert ran >= 0.1e9
    if found.HasField("virtual_execution_duration"):
        assert abs(found.virtual_execution_duration.ToNanoseconds() - ran) < 0.1e9


@rule("EXE-33")
def test_what_is_told_before_the_end_is_sound(target: Target, worker: None) -> None:
    watched = execute(target, shell(target, "sleep 0.3"))
    first = metadata(watched.next())
    assert first.digest_function in (0, rx.DigestFunction.SHA256)
    if first.HasField("partial_execution_metadata"):
        queued = first.partial_execution_metadata.queued_timestamp.ToSeconds()
        assert abs(queued - time.time()) < 3600
    watched.end()


@rule("EXE-34")
def test_streams_that_are_named_can_be_read(target: Target, worker: None) -> None:
    watched = execute(target, shell(target, "echo x; sleep 0.5"))
    named = metadata(watched.until(STAGE.EXECUTING))
    watched.leave()
    if not named.stdout_stream_name:
        not_applicable("no streams are named")
    assert target.read(named.stdout_stream_name) == b"x\n"


@rule("EXE-35", "EXE-42")
def test_everything_that_a_result_names_is_in_the_cas_when_the_end_is_told(target: Target, worker: None) -> None:
    files = "head -c 200000 /dev/urandom | tee out/a > out/b; mkdir out/d; echo x > out/d/e"
    response = run(target, f"{files}; head -c 90000 /dev/urandom; echo no >&2", output_paths=["out/a", "out/d", "out"])
    assert response.status.code == 0
    named = list(digests(response))
    assert len(named) >= 5
    assert target.find_missing(*named) == []
    for output in response.result.output_directories:
        for below in (tree := rx.Tree.FromString(blob(target, output.tree_digest))).children:
            assert target.find_missing(*(file.digest for file in below.files)) == []
        assert target.find_missing(*(file.digest for file in tree.root.files)) == []


@rule("EXE-36")
def test_an_action_that_nobody_waits_for_is_given_up(target: Target, join: Any) -> None:
    wanted, watched = hand(target)
    worker = join()
    order = worker.order(wanted)
    watched.leave()
    update = worker.hear()
    assert update.kill_operation_request.operation_id == order.operation_id


@rule("EXE-38")
def test_an_empty_request_is_invalid_as_buildstream_expects(target: Target, worker: None) -> None:
    with refused(Code.INVALID_ARGUMENT):
        list(target.execution.Execute(rx.ExecuteRequest(instance_name=target.instance)))


@rule("EXE-40")
def test_a_blob_that_is_no_action_is_invalid(target: Target, worker: None) -> None:
    for data in (b"\x0a", b"\xff" * 9, fresh(500), b"\x0a\x02\x08\x01", b"text"):
        assert ended(target, target.put(data)).status.code == INVALID


@rule("EXE-41")
def test_outputs_have_the_functions_of_their_action(target: Target, worker: None) -> None:
    if "BLAKE3" not in target.functions:
        not_applicable("BLAKE3 is not announced")
    response = run(
        target, "cat in; mkdir out; cp in out/f", {"in": "x" * 99_999}, output_paths=["out"], function="BLAKE3"
    )
    assert response.result.stdout_digest == digest(b"x" * 99_999, "BLAKE3")
    (output,) = response.result.output_directories
    tree = rx.Tree.FromString(blob(target, output.tree_digest, "BLAKE3"))
    assert tree.root.files[0].digest == digest(b"x" * 99_999, "BLAKE3")
    assert output.tree_digest == digest(tree, "BLAKE3")


@rule("EXE-43")
def test_a_server_that_was_restarted_lets_clients_begin_again(own: Own, tmp_path: Path) -> None:
    config, names = HERE / "server.json5", []
    for end in ("kill", "stop"):
        server = Process("restarted", config, tmp_path)
        target = Target(server.addresses[0], "")
        for name in names:
            with refused(Code.NOT_FOUND):
                list(target.execution.WaitExecution(rx.WaitExecutionRequest(name=name)))
        watched = execute(target, shell(target, "true"))
        watched.next()
        names.append(watched.name)
        broken: list[grpc.StatusCode] = []
        listener = threading.Thread(target=lambda run=watched, seen=broken: seen.append(how(run)))
        listener.start()
        getattr(server, end)()
        listener.join()
        assert broken[0] in (Code.UNAVAILABLE, Code.INTERNAL, Code.UNKNOWN, Code.CANCELLED)
        assert end == "kill" or broken == [Code.UNAVAILABLE]
        target.close()


@rule("EXE-43")
def test_an_action_whose_worker_is_started_again_in_its_middle_ends_well(own: Own, tmp_path: Path) -> None:
    site = Own(tmp_path / "site")
    target = Target(site.address, "")
    log, gate = tmp_path / "log", tmp_path / "gate"
    try:
        script = f"echo begun >> {log}; while [ ! -e {gate} ]; do sleep 0.05; done; echo done"
        watched = execute(target, shell(target, script))
        site.start_worker()
        assert until(lambda: log.exists())
        site.workers.pop().kill()
        # In the same directories, where the other left everything.
        site.start_worker()
        assert until(lambda: log.read_text() == "begun\nbegun\n")
        gate.touch()
        assert stdout(target, watched.end()) == "done\n"
    finally:
        gate.touch()
        target.close()
        site.close()


def how(watched: Run) -> grpc.StatusCode:
    """With which status a stream breaks."""
    try:
        watched.end()
    except grpc.RpcError as error:
        return error.code()
    raise AssertionError("the stream ended well")
