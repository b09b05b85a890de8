"""HX: executions that mean harm, and workers that are none."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2

from tests.conformance.actions import (
    ABORTED,
    CANCELLED,
    EXHAUSTED,
    INTERNAL,
    INVALID,
    PRECONDITION,
    STAGE,
    TIMED_OUT,
    Run,
    action,
    blob,
    code,
    command,
    execute,
    platform,
    run,
    shell,
    stdout,
    uuid_bytes,
    wait,
)
from tests.conformance.catalogue import departure, rule
from tests.conformance.hands import hands
from tests.conformance.own import HAND_INSTANCE, Own
from tests.conformance.target import Code, Target, digest, fresh, refused, rx, until
from tests.faults.clock import Clock

lro = operations_pb2
MIB = 1 << 20


@pytest.fixture
def join(own: Own) -> Iterator[Any]:
    """Makes workers of the hand instance."""
    with hands(own) as made:
        yield made


def hand(target: Target) -> tuple[rx.Digest, Run]:
    """An action for the workers that a test speaks itself."""
    wanted = action(target, command("true"))
    return wanted, execute(target, wanted, instance_name=HAND_INSTANCE)


def still_works(target: Target) -> bool:
    """Whether an ordinary action still runs."""
    return stdout(target, run(target, "echo fine")) == "fine\n"


@rule("HX-01")
@pytest.mark.parametrize("kind", ["action", "command"])
def test_noise_in_the_place_of_a_message_is_invalid(target: Target, worker: None, kind: str) -> None:
    noise = target.put(fresh(3000))
    wanted = noise if kind == "action" else target.put(rx.Action(command_digest=noise, input_root_digest=digest(b"")))
    assert code(target, wanted) == INVALID


@rule("HX-01")
def test_a_message_of_a_gigabyte_is_refused_before_it_is_fetched(target: Target, worker: None) -> None:
    huge = rx.Digest(hash=digest(fresh(9)).hash, size_bytes=1 << 30)
    assert code(target, huge) in (INVALID, PRECONDITION)
    assert code(target, target.put(rx.Action(command_digest=huge, input_root_digest=digest(b"")))) in (
        INVALID,
        PRECONDITION,
    )
    assert code(target, action(target, command("true"), huge)) in (INVALID, PRECONDITION)


@rule("HX-02")
def test_strings_that_are_not_utf8_are_invalid(target: Target, worker: None) -> None:
    bad = target.put(b"\x0a\x02\xff\xfe")
    assert code(target, target.put(rx.Action(command_digest=bad, input_root_digest=digest(b"")))) == INVALID
    root = target.put(b"\x0a\x04\x0a\x02\xff\xfe")
    assert code(target, action(target, command("true"), root)) == INVALID


@rule("HX-08")
def test_unknown_fields_of_an_action_are_kept_with_its_digest(target: Target, worker: None) -> None:
    made = rx.Action(command_digest=target.put(command("true")), input_root_digest=digest(b""), salt=uuid_bytes())
    data = made.SerializeToString() + b"\xfa\x3e\x02hi"
    assert code(target, target.put(data)) == 0
    found = target.ac.GetActionResult(
        rx.GetActionResultRequest(instance_name=target.instance, action_digest=digest(data))
    )
    assert found.exit_code == 0


@rule("HX-11")
def test_inputs_of_terabytes_are_refused_before_anything_is_fetched(target: Target, worker: None) -> None:
    files = [
        rx.FileNode(name=f"f{n}", digest=rx.Digest(hash=digest(fresh(9)).hash, size_bytes=1 << 45)) for n in range(3)
    ]
    assert code(target, action(target, command("true"), target.put(rx.Directory(files=files)))) in (EXHAUSTED, INVALID)
    assert still_works(target)


def many(target: Target, folders: int) -> rx.Digest:
    """An input root of so many directories with a thousand tiny files each, in a few kilobytes."""
    names = [f"f{number:03}" for number in range(1000)]
    folder = target.put(
        rx.Directory(files=[rx.FileNode(name=name, digest=target.put(name.encode())) for name in names])
    )
    nodes = [rx.DirectoryNode(name=f"d{number:04}", digest=folder) for number in range(folders)]
    return target.put(rx.Directory(directories=nodes))


def patiently(target: Target, wanted: rx.Digest) -> rx.ExecuteResponse:
    """Execute to the end, however long this machine takes."""
    request = rx.ExecuteRequest(instance_name=target.instance, action_digest=wanted)
    return Run(target, target.execution.Execute(request, timeout=1200)).end()


@rule("HX-11")
@pytest.mark.slow
def test_a_million_tiny_inputs_are_invalid_and_a_tenth_of_them_is_laid_out_in_bounded_memory(
    target: Target, own: Own
) -> None:
    worker = own.start_worker()
    with worker.grows_by_at_most(200 * MIB):
        assert code(target, action(target, command("true"), many(target, 1000))) == INVALID
        counted = action(target, command("/bin/sh", "-c", "find . -type f -size -2 | wc -l"), many(target, 100))
        assert stdout(target, patiently(target, counted)) == "100000\n"
    assert still_works(target)


MAKES_MANY = """
import os, sys
for folder in range(int(sys.argv[1])):
    os.makedirs(f"out/{folder}")
    for number in range(int(sys.argv[2])):
        os.close(os.open(f"out/{folder}/{number}", os.O_CREAT | os.O_WRONLY))
"""


@departure("HX-29")
@pytest.mark.slow
@pytest.mark.parametrize(("folders", "files"), [(1, 501_000), (20, 1000)])
def test_more_tiny_outputs_than_the_bound_are_refused_and_many_are_told_in_bounded_memory(
    target: Target, own: Own, folders: int, files: int
) -> None:
    worker = own.start_worker()
    making = command(sys.executable, "-c", MAKES_MANY, str(folders), str(files), output_paths=["out"])
    with worker.grows_by_at_most(200 * MIB):
        response = patiently(target, action(target, making))
    if folders * files > 500_000:
        assert response.status.code == PRECONDITION
        assert "more than 500000 files" in response.status.message
    else:
        [told] = response.result.output_directories
        tree = rx.Tree.FromString(blob(target, told.tree_digest))
        assert len(tree.root.directories) == folders
        assert [len(child.files) for child in tree.children] == [files]
    assert still_works(target)


@rule("HX-22")
def test_ten_thousand_properties_are_invalid(target: Target, worker: None) -> None:
    properties = [rx.Platform.Property(name=f"p{n:05}", value="v") for n in range(10_000)]
    assert code(target, action(target, command("true"), platform=rx.Platform(properties=properties))) == INVALID
    long = platform(name="v" * 1_000_000)
    assert code(target, action(target, command("true"), platform=long)) == INVALID


@rule("HX-23")
def test_properties_that_ask_for_privileges_give_none(target: Target, worker: None, tmp_path: Path) -> None:
    made = tmp_path / "made"
    look = "id -u; cat /proc/self/status | grep ^Cap; ls -A /"
    plain = stdout(target, run(target, look))
    asked = {
        "dockerPrivileged": "true",
        "container-image": f"docker://x; touch {made}",
        "unixUID": "0",
        "network": "$(id)",
    }
    response = run(target, look, platform=platform(**asked))
    assert response.status.code in (PRECONDITION, 7, INVALID) or stdout(target, response) == plain
    assert not made.exists()


@rule("HX-24", "HX-26")
def test_many_processes_that_hide_are_gone_at_the_end(target: Target, worker: None, own: Own, tmp_path: Path) -> None:
    said = tmp_path / "pids"
    hide = f"setsid sh -c 'trap \"\" TERM HUP; echo $$ >> {said}; exec sleep 1000' &"
    response = run(target, f"for i in $(seq 50); do {hide} done; sleep 0.5; cat {said} | wc -l")
    assert int(stdout(target, response)) == 50
    assert until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in said.read_text().split()))
    assert still_works(target)


@rule("HX-24")
def test_an_action_that_uses_up_its_descriptors_and_memory_fails_alone(target: Target, worker: None) -> None:
    hog = (
        "import os\nopen_ = []\ntry:\n while True: open_.append(os.open('/dev/null', 0))\nexcept OSError: print('full')"
    )
    assert stdout(target, run(target, f'python3 -c "{hog}"')) == "full\n"
    assert (
        run(target, "ulimit -v 200000; python3 -c 'x = bytes(10**9)' 2>/dev/null; kill -9 $$").result.exit_code == 137
    )
    assert still_works(target)


@rule("HX-25")
@pytest.mark.slow
def test_gigabytes_of_stdout_end_the_action(target: Target, worker: None) -> None:
    response = run(target, "cat /dev/zero", seconds=60)
    assert response.status.code or response.result.exit_code
    assert response.result.stdout_digest.size_bytes <= 2 << 30
    assert still_works(target)


@rule("HX-29", refused=True)
def test_outputs_without_measure_are_resource_exhausted(target: Target, worker: None) -> None:
    assert run(target, DEEP, output_paths=["d"]).status.code == EXHAUSTED


@departure("HX-29")
def test_outputs_without_measure_are_a_failed_precondition_which_nobody_repeats(
    target: Target, worker: None, own: Own
) -> None:
    response = run(target, DEEP, output_paths=["d"])
    assert response.status.code == PRECONDITION
    assert "deep" in response.status.message
    assert still_works(target)


DEEP = "for i in $(seq 1500); do mkdir d; cd -P d; done"


@rule("HX-33")
def test_an_action_that_kills_its_workers_is_given_up(target: Target, join: Any) -> None:
    wanted, watched = hand(target)
    for number in range(3):
        worker = join(f"victim-{number}")
        worker.order(wanted)
        worker.leave()
    assert watched.end().status.code in (INTERNAL, ABORTED)


@rule("HX-34")
@pytest.mark.parametrize(
    "name", ["x" * (1 << 20), "../../x", "\0", "operations/" + "9" * 5000, "a/b/c/operations/\u202e"]
)
def test_forged_operation_names_are_not_found(target: Target, worker: None, name: str) -> None:
    with refused(Code.NOT_FOUND):
        list(target.execution.WaitExecution(rx.WaitExecutionRequest(name=name)))


@rule("HX-35")
def test_a_flood_of_waiters_is_stopped(target: Target, join: Any) -> None:
    _, watched = hand(target)
    watched.next()
    waiting = [wait(target, watched.name) for _ in range(1050)]
    codes = []
    for one in waiting[-20:]:
        try:
            one.next()
            codes.append(Code.OK)
        except grpc.RpcError as error:
            codes.append(error.code())
    assert Code.RESOURCE_EXHAUSTED in codes
    for one in waiting:
        one.leave()
    watched.leave()


@rule("HX-36")
def test_a_worker_that_reports_what_it_was_not_given_is_out_and_changes_nothing(target: Target, join: Any) -> None:
    wanted, watched = hand(target)
    true = join("true")
    order = true.order(wanted)
    watched.until(STAGE.EXECUTING)
    false = join("false")
    false.result(order.operation_id, rx.ExecuteResponse(result=rx.ActionResult(stdout_raw=b"forged")))
    assert false.is_out()
    true.result(order.operation_id, rx.ExecuteResponse(result=rx.ActionResult(stdout_raw=b"real")))
    assert watched.end().result.stdout_raw == b"real"


@rule("HX-37")
def test_cancelling_at_the_very_end_has_one_end(target: Target, worker: None) -> None:
    for _ in range(10):
        watched = execute(target, shell(target, "true"))
        watched.next()
        request = lro.CancelOperationRequest(name=watched.name)
        canceller = threading.Thread(target=lambda request=request: target.operations.CancelOperation(request))
        canceller.start()
        response = watched.end()
        canceller.join()
        assert response.status.code in (0, CANCELLED)
        assert wait(target, watched.name).end() == response


@rule("HX-38")
@pytest.mark.real
@pytest.mark.parametrize("seconds", [86_400, -86_400, 400 * 86_400])
def test_a_clock_that_jumps_ends_no_action_and_saves_none_from_its_time_limit(
    own: Own, tmp_path: Path, seconds: int
) -> None:
    clock = Clock(tmp_path / "clock")
    site = Own(tmp_path / "site", **clock.environment)
    target = Target(site.address, "")
    gate = tmp_path / "gate"
    try:
        site.start_worker()
        waits = shell(target, f"while [ ! -e {gate} ]; do sleep 0.05; done; echo done", seconds=600)
        waiting = execute(target, waits)
        endless = execute(target, shell(target, "sleep 1000", seconds=3))
        for run_ in (waiting, endless):
            run_.until(STAGE.EXECUTING)
        clock.move(seconds)
        assert endless.end().status.code == TIMED_OUT
        assert still_works(target)
        gate.touch()
        assert stdout(target, waiting.end()) == "done\n"
    finally:
        gate.touch()
        target.close()
        site.close()


@rule("HX-39")
def test_a_million_environment_variables_are_invalid(target: Target, worker: None) -> None:
    variables = b"".join(b"\x12\x0b\x0a\x07v%06d\x12\x00" % number for number in range(1_000_000))
    made = target.put(command("/bin/true").SerializeToString() + variables)
    assert code(target, target.put(rx.Action(command_digest=made, input_root_digest=digest(b"")))) == INVALID
