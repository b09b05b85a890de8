"""Whole actions on a bench: from the order to the result, with nothing left behind."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace

import pytest
from google.protobuf.wrappers_pb2 import UInt32Value
from google.rpc import error_details_pb2
from nlserver.errors import Code
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.proto import worker_api_pb2
from nlserver.reapi import action as actions
from nlserver.reapi import tree
from nlserver.reapi.digest import EMPTY, Digest, Function, digest_of, of
from nlserver.worker.environment import EnvironmentSpec
from nlserver.worker.leash import Leash
from nlserver.worker.order import Order
from nlserver.worker.runners import orphans

from tests.server.worker.shop import Shop

STAMPS = (
    "queued",
    "worker_start",
    "input_fetch_start",
    "input_fetch_completed",
    "execution_start",
    "execution_completed",
    "output_upload_start",
    "output_upload_completed",
    "worker_completed",
)


def violations(result: worker_api_pb2.ExecuteResult) -> list[tuple[str, str]]:
    failure = error_details_pb2.PreconditionFailure()
    for detail in result.execute_response.status.details:
        detail.Unpack(failure)
    return [(violation.type, violation.subject) for violation in failure.violations]


def processes_of(shop: Shop) -> list[str]:
    """What still carries the mark of this shop's worker."""
    owner = shop.bench.workspace.owner
    marks = {name: orphans.mark_of(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    return [name for name, mark in marks.items() if mark is not None and (mark >> 20) & ((1 << 40) - 1) == owner]


async def test_an_action_sees_its_inputs_and_its_outputs_come_back(shop: Shop) -> None:
    result = await shop.sh(
        "./tool > out/answer; cat deep/er/file",
        {"tool*": "#!/bin/sh\necho 42\n", "deep": {"er": {"file": "hi"}}},
        outputs=["out/answer"],
    )
    response = result.execute_response
    assert (response.status.code, response.result.exit_code) == (0, 0)
    assert await shop.stdout(result) == "hi"
    assert [file.path for file in response.result.output_files] == ["out/answer"]
    assert await shop.read(response.result.output_files[0].digest) == b"42\n"
    assert (result.operation_id, result.instance_name) == ("operation", "main")
    assert shop.completed == ["operation"]


async def test_what_the_order_encloses_is_not_asked_of_the_cas(shop: Shop) -> None:
    command = actions.command(["/bin/echo", "hi"]).SerializeToString()
    action = actions.action(of(command), EMPTY[Function.SHA256]).SerializeToString()
    order = Order("operation", "main", of(action), 0, {}, "worker", action, command)
    result = await shop.run(order)
    assert await shop.stdout(result) == "hi\n"


async def test_enclosed_messages_that_are_not_what_was_ordered_do_not_count(shop: Shop) -> None:
    order = await shop.order(actions.command(["/bin/echo", "right"]), await shop.root({}))
    wrong = actions.command(["/bin/echo", "wrong"]).SerializeToString()
    action = actions.action(of(wrong), EMPTY[Function.SHA256]).SerializeToString()
    result = await shop.run(replace(order, action_data=action, command_data=wrong))
    assert await shop.stdout(result) == "right\n"


async def test_directories_are_read_without_becoming_files_of_the_fast_tier(shop: Shop) -> None:
    fast, slow = (shop.cas.children()[tier] for tier in ("fast", "slow"))
    inner = await shop.root({"file": "content"})
    root = await shop.root({"a": {"file": "content"}, "b": {"file": "content", "c": {}}})
    order = await shop.order(actions.command(["/bin/cat", "b/file"]), root)
    for digest in (inner, root):
        await fast.remove(digest)
        assert await slow.sizes([digest]) != [None]
    assert await shop.stdout(await shop.run(order)) == "content"
    assert await fast.sizes([inner, root]) == [None, None]


async def test_all_nine_timestamps_are_there_and_in_order(shop: Shop) -> None:
    metadata = (await shop.sh("true")).execute_response.result.execution_metadata
    times = [getattr(metadata, f"{name}_timestamp").ToNanoseconds() for name in STAMPS]
    assert all(metadata.HasField(f"{name}_timestamp") for name in STAMPS)
    assert times == sorted(times)
    assert metadata.worker == "worker"
    assert metadata.virtual_execution_duration.ToNanoseconds() == times[5] - times[4]


async def test_the_environment_is_exactly_the_one_asked_for(shop: Shop) -> None:
    result = await shop.sh("/usr/bin/env", env={"B": "2", "A": "1 = 1"})
    assert set((await shop.stdout(result)).split("\n")) - {f"PWD={shop.bench.workspace.path}/operation/work", ""} == {
        "A=1 = 1",
        "B=2",
    }


async def test_a_failing_command_is_a_result_and_not_an_error(shop: Shop) -> None:
    result = await shop.sh("echo no >&2; exit 3")
    assert result.execute_response.status.code == 0
    assert result.execute_response.result.exit_code == 3
    assert result.execute_response.result.stderr_raw == b"no\n"
    assert await shop.read(result.execute_response.result.stderr_digest) == b"no\n"


async def test_death_by_a_signal_is_128_and_its_number(shop: Shop) -> None:
    assert (await shop.sh("kill -9 $$")).execute_response.result.exit_code == 137


async def test_a_program_that_does_not_exist_is_exit_127_with_a_reason(shop: Shop) -> None:
    command = actions.command(["nope"], environment={"PATH": "/usr/bin"})
    response = (await shop.run(await shop.order(command, await shop.root({})))).execute_response
    assert (response.status.code, response.result.exit_code) == (0, 127)
    assert b"nope" in response.result.stderr_raw


async def test_a_file_that_is_not_executable_is_exit_126(shop: Shop) -> None:
    command = actions.command(["./data"])
    response = (await shop.run(await shop.order(command, await shop.root({"data": "x"})))).execute_response
    assert (response.status.code, response.result.exit_code) == (0, 126)


async def test_a_relative_program_is_found_from_the_working_directory(shop: Shop) -> None:
    command = actions.command(["../bin/tool"], working_directory="sub")
    root = await shop.root({"bin": {"tool*": "#!/bin/sh\npwd"}, "sub": {"x": ""}})
    assert (await shop.stdout(await shop.run(await shop.order(command, root)))).endswith("/work/sub\n")


async def test_a_bare_name_is_found_through_the_path_that_is_asked_for(shop: Shop) -> None:
    command = actions.command(["tool"], environment={"PATH": "bin"})
    root = await shop.root({"bin": {"tool*": "#!/bin/sh\necho found"}})
    assert await shop.stdout(await shop.run(await shop.order(command, root))) == "found\n"


async def test_outputs_are_relative_to_the_working_directory_and_named_as_asked(shop: Shop) -> None:
    result = await shop.sh(
        "echo a > here; echo b > ../there", {"sub": {"x": ""}}, outputs=["here", "../there"], directory="sub"
    )
    assert {file.path for file in result.execute_response.result.output_files} == {"here", "../there"}


async def test_a_working_directory_that_the_input_root_lacks_is_invalid(shop: Shop) -> None:
    result = await shop.sh("true", directory="not/there", outputs=["x"])
    assert result.execute_response.status.code == Code.INVALID_ARGUMENT


async def test_parents_of_outputs_exist_but_not_the_outputs(shop: Shop) -> None:
    result = await shop.sh("ls -d a/b; ls a/b", outputs=["a/b/c"])
    assert await shop.stdout(result) == "a/b\n"


async def test_a_timeout_kills_and_keeps_what_there_is(shop: Shop) -> None:
    began = time.monotonic()
    result = await shop.sh("echo begun; echo part > out; sleep 60", outputs=["out"], timeout_seconds=1.5)
    response = result.execute_response
    assert time.monotonic() - began < 40
    assert response.status.code == Code.DEADLINE_EXCEEDED
    assert "timed out after 1.5 seconds" in response.status.message
    assert await shop.stdout(result) == "begun\n"
    assert [file.path for file in response.result.output_files] == ["out"]
    with pytest.raises(Exception, match="not found"):
        await shop.ac.get((await shop.order(re_pb.Command(arguments=["x"]), await shop.root({}))).action)


async def test_a_timeout_above_the_most_is_refused(shop: Shop) -> None:
    response = (await shop.sh("true", timeout_seconds=21)).execute_response
    assert response.status.code == Code.INVALID_ARGUMENT
    assert "Action timeout of 21 seconds is greater than the maximum allowed timeout of 20 seconds" in (
        response.status.message
    )


async def test_daemons_die_with_their_action_however_they_detach_themselves(shop: Shop) -> None:
    script = "setsid sleep 3001 & env -i setsid sh -c 'cd /; sleep 3002 & sleep 3003 & exit' & sleep 0.1"
    assert (await shop.sh(script)).execute_response.result.exit_code == 0
    assert processes_of(shop) == []


async def test_every_missing_blob_is_named_so_that_the_client_uploads_it(shop: Shop) -> None:
    gone = [of(f"gone {number}".encode()) for number in range(3)]
    directory = re_pb.Directory()
    for number, digest in enumerate(gone[:2]):
        tree.set_digest(directory.files.add(name=f"file{number}").digest, digest)
    tree.set_digest(directory.directories.add(name="sub").digest, gone[2])
    root = await shop.put(directory.SerializeToString())
    result = await shop.run(await shop.order(actions.command(["true"]), root))
    assert result.execute_response.status.code == Code.FAILED_PRECONDITION
    assert "not found in either fast or slow store" in result.execute_response.status.message
    assert sorted(violations(result)) == sorted(("MISSING", digest.subject) for digest in gone)


async def test_missing_files_alone_are_all_named_too(shop: Shop) -> None:
    gone = [of(f"gone {number}".encode()) for number in range(3)]
    directory = re_pb.Directory()
    for number, digest in enumerate(gone):
        tree.set_digest(directory.files.add(name=f"file{number}").digest, digest)
    root = await shop.put(directory.SerializeToString())
    result = await shop.run(await shop.order(actions.command(["true"]), root))
    assert sorted(violations(result)) == sorted(("MISSING", digest.subject) for digest in gone)


async def test_a_missing_command_and_a_missing_root_are_named_together(shop: Shop) -> None:
    command, root = of(b"command"), of(b"root")
    action = await shop.put(actions.action(command, root).SerializeToString())
    order = await shop.order(actions.command(["true"]), await shop.root({}))
    result = await shop.run(type(order)(**{**order.__dict__, "action": action}))
    assert sorted(violations(result)) == sorted(("MISSING", digest.subject) for digest in (command, root))


async def test_a_blob_that_is_no_action_is_invalid(shop: Shop) -> None:
    order = await shop.order(actions.command(["true"]), await shop.root({}))
    result = await shop.run(type(order)(**{**order.__dict__, "action": await shop.put(b"\xff\xff")}))
    assert result.execute_response.status.code == Code.INVALID_ARGUMENT


async def test_a_directory_that_escapes_is_refused_before_anything_is_created(shop: Shop) -> None:
    for name in ("..", "a/b", "", ".", "/etc"):
        directory = re_pb.Directory()
        tree.set_digest(directory.files.add(name=name).digest, await shop.put(b"x"))
        root = await shop.put(directory.SerializeToString())
        result = await shop.run(await shop.order(actions.command(["true"]), root))
        assert result.execute_response.status.code == Code.INVALID_ARGUMENT, name


async def test_a_symlink_and_a_directory_of_one_name_are_refused(shop: Shop) -> None:
    directory = re_pb.Directory()
    directory.symlinks.add(name="a", target="/tmp")
    tree.set_digest(directory.directories.add(name="a").digest, await shop.root({"owned": "x"}))
    root = await shop.put(directory.SerializeToString())
    result = await shop.run(await shop.order(actions.command(["true"]), root))
    assert result.execute_response.status.code == Code.INVALID_ARGUMENT


async def test_a_tree_that_explodes_is_refused_early(shop: Shop) -> None:
    digest = await shop.root({"x": "x"})
    for _ in range(30):
        directory = re_pb.Directory()
        for name in ("a", "b"):
            tree.set_digest(directory.directories.add(name=name).digest, digest)
        digest = await shop.put(directory.SerializeToString())
    result = await shop.run(await shop.order(actions.command(["true"]), digest))
    assert result.execute_response.status.code == Code.INVALID_ARGUMENT
    assert "more than" in result.execute_response.status.message


async def test_symlinks_of_the_input_root_are_made_verbatim(shop: Shop) -> None:
    result = await shop.sh(
        "readlink one two three",
        {
            "one": tree.Symlink("one", "a/../b"),
            "two": tree.Symlink("two", "/etc/x"),
            "three": tree.Symlink("three", "../../../../x"),
        },
    )
    assert await shop.stdout(result) == "a/../b\n/etc/x\n../../../../x\n"


async def test_modes_and_times_of_nodes_make_private_files(shop: Shop) -> None:
    node = re_pb.FileNode()
    node.node_properties.unix_mode.CopyFrom(UInt32Value(value=0o4640))
    node.node_properties.mtime.seconds = 86_400
    tree.set_digest(node.digest, await shop.put(b"private"))
    result = await shop.sh("stat -c '%a %Y %h' file; cat file; echo more >> file", {"file": node})
    assert await shop.stdout(result) == "640 86400 1\nprivate"
    assert await shop.read(node.digest) == b"private"


async def test_empty_files_are_made_and_never_fetched(shop: Shop) -> None:
    result = await shop.sh("stat -c '%s %a' a b", {"a": "", "b*": ""})
    assert await shop.stdout(result) == "0 644\n0 755\n"


@pytest.mark.parametrize(
    "attack",
    [
        "chmod u+w file; echo bad >> file",
        "chmod u+w file; echo bad > file; chmod u-w file; touch -d @0 file",
        "chmod u+w file; mv file other; echo bad >> other",
        "cp file copy; chmod u+w file; cat copy > file; chmod u-w file",
        "chmod u+w tool; echo bad >> tool; chmod u-w tool",
        "chmod u+w file; printf xxxxxxx > file; rm file",
    ],
)
async def test_inputs_that_an_action_changed_are_whole_again_for_the_next(shop: Shop, attack: str) -> None:
    files = {"file": "content", "tool*": "#!/bin/sh\necho tool\n"}
    assert (await shop.sh(attack, files)).execute_response.status.code == 0
    result = await shop.sh("cat file; ./tool; stat -c %a file tool", files)
    assert await shop.stdout(result) == "contenttool\n444\n555\n"


async def test_inputs_are_links_and_not_copies(shop: Shop) -> None:
    result = await shop.sh("stat -c %h file", {"file": "content", "same": "content"})
    assert await shop.stdout(result) == "3\n"


async def test_large_output_is_referred_to_and_small_output_is_inline_as_well(shop: Shop) -> None:
    small = (await shop.sh("printf small")).execute_response.result
    assert (small.stdout_raw, small.stdout_digest.size_bytes) == (b"small", 5)
    large = (await shop.sh("head -c 300000 /dev/zero")).execute_response.result
    assert (large.stdout_raw, large.stdout_digest.size_bytes) == (b"", 300_000)
    assert await shop.read(large.stdout_digest) == bytes(300_000)


async def test_a_kill_is_answered_and_leaves_nothing(shop: Shop) -> None:
    leash = Leash()
    say, said = shop.signal()
    script = f"{say}; sleep 60"
    command = actions.command(["/bin/sh", "-c", script], environment={"PATH": "/bin"})
    task = asyncio.create_task(shop.run(await shop.order(command, await shop.root({"x": "y"})), leash))
    await said
    leash.kill()
    response = (await task).execute_response
    assert response.status.code == Code.ABORTED
    assert response.status.message == f"Command '/bin/sh -c {script}' was killed by scheduler"
    assert all(response.result.execution_metadata.HasField(f"{name}_timestamp") for name in STAMPS)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34])
async def test_a_kill_in_any_phase_leaves_nothing(shop: Shop, turns: int) -> None:
    leash = Leash()
    root = await shop.root({f"dir{number}": {"file": f"{number}"} for number in range(8)})
    command = actions.command(["/bin/sh", "-c", "sleep 60"], environment={"PATH": "/bin"}, output_paths=["a/b"])
    task = asyncio.create_task(shop.run(await shop.order(command, root), leash))
    for _ in range(turns):
        await asyncio.sleep(0)
    leash.kill()
    assert (await task).execute_response.status.code == Code.ABORTED


async def test_being_cancelled_kills_and_leaves_nothing(shop: Shop) -> None:
    say, said = shop.signal()
    command = actions.command(["/bin/sh", "-c", f"setsid sleep 60 & {say}; sleep 60"], environment={"PATH": "/usr/bin"})
    task = asyncio.create_task(shop.run(await shop.order(command, await shop.root({}))))
    await said
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert processes_of(shop) == []


async def test_a_successful_result_is_in_the_action_cache_when_it_is_reported(shop: Shop) -> None:
    order = await shop.order(actions.command(["/bin/true"]), await shop.root({}))
    result = await shop.run(order)
    assert re_pb.ActionResult.FromString(await shop.ac.get(order.action)) == result.execute_response.result


@pytest.mark.parametrize(
    ("argv", "more"), [(["/bin/false"], {}), (["/bin/true"], {"do_not_cache": True}), (["nope"], {})]
)
async def test_failures_and_what_must_not_be_cached_are_not(shop: Shop, argv: list[str], more: dict[str, bool]) -> None:
    order = await shop.order(actions.command(argv), await shop.root({}), **more)
    await shop.run(order)
    assert await shop.ac.sizes([order.action]) == [None]


async def test_failures_can_be_cached_and_recorded_with_a_message_that_names_the_record(shop: Shop) -> None:
    shop = shop.with_upload(
        ac_store="AC",
        upload_ac_results_strategy="everything",
        failure_message_template="{digest_function} {action_digest_size} {{x}} {historical_results_hash}",
    )
    order = await shop.order(actions.command(["/bin/false"]), await shop.root({}))
    response = (await shop.run(order)).execute_response
    assert await shop.ac.sizes([order.action]) != [None]
    function, size, braces, record = response.message.split()
    assert (function, size, braces) == ("sha256", str(order.action.size_bytes), "{x}")
    kept = [key for key in shop.cas.children()["slow"]._values if isinstance(key, Digest) and key.hash == record]
    stored = worker_api_pb2.HistoricalExecuteResponse.FromString(await shop.cas.get(kept[0]))
    assert digest_of(stored.action_digest) == order.action
    assert stored.execute_response.result.exit_code == 1


async def test_result_digests_use_the_function_of_the_action(shop: Shop) -> None:
    shop.function = Function.BLAKE3
    result = await shop.sh("echo hi | tee out", outputs=["out"])
    expected = of(b"hi\n", Function.BLAKE3).hash
    response = result.execute_response.result
    assert (response.stdout_digest.hash, response.output_files[0].digest.hash) == (expected, expected)
    assert response.stderr_digest.hash == EMPTY[Function.BLAKE3].hash


async def test_the_additional_environment_says_what_it_is_asked_to(shop: Shop) -> None:
    sources = {
        "HOME": "from_environment",
        "GONE": "from_environment",
        "MILLIS": "timeout_millis",
        "WHERE": "action_directory",
        "PROPERTY": EnvironmentSpec(property="flavour"),
        "NONE": EnvironmentSpec(property="other"),
        "TEXT": EnvironmentSpec(value="a b"),
        "OWN": EnvironmentSpec(value="overridden"),
    }
    shop = shop.with_rules(additional_environment=sources)
    result = await shop.sh(
        'echo "$HOME|$GONE|$MILLIS|$PROPERTY|$NONE|$TEXT|$OWN|$WHERE"',
        env={"OWN": "mine"},
        platform={"flavour": "mint"},
        timeout_seconds=1.5,
    )
    where = f"{shop.bench.workspace.path}/operation"
    assert await shop.stdout(result) == f"/home/worker||1500|mint||a b|mine|{where}\n"


async def test_the_side_channel_turns_a_result_into_a_timeout(shop: Shop) -> None:
    shop = shop.with_rules(additional_environment={"SIDE": "side_channel_file"})
    result = await shop.sh("echo '{failure: \"timeout\"}' > $SIDE; exit 7")
    assert result.execute_response.status.code == Code.DEADLINE_EXCEEDED
    assert result.execute_response.result.exit_code == 7
    assert (await shop.sh("true")).execute_response.status.code == 0
    assert (await shop.sh("echo nonsense > $SIDE")).internal_error.code == Code.INTERNAL


async def test_the_entrypoint_gets_the_whole_command_line(shop: Shop) -> None:
    shop = shop.with_rules(entrypoint="./wrap")
    result = await shop.sh("exit 1", {"wrap*": '#!/bin/sh\necho "$@"\n'})
    assert await shop.stdout(result) == "/bin/sh -c exit 1\n"


async def test_a_precondition_that_fails_gives_the_action_back(shop: Shop) -> None:
    refusing = shop.with_rules(precondition=("/bin/sh", "-c", "echo busy; exit 9"))
    result = await refusing.sh("true")
    assert result.internal_error.code == Code.RESOURCE_EXHAUSTED
    assert result.internal_error.message == "Preconditions script returned status 9 - busy"
    assert (await shop.with_rules(precondition=("/bin/true",)).sh("true")).execute_response.status.code == 0


async def test_time_limits_that_others_enforce_are_only_told(shop: Shop) -> None:
    shop = shop.with_rules(timeout_handled_externally=True, additional_environment={"MS": "timeout_millis"})
    result = await shop.sh("sleep 0.2; echo $MS", timeout_seconds=0.01)
    assert await shop.stdout(result) == "10\n"


async def test_usage_is_told(shop: Shop) -> None:
    usage = (await shop.sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")).resource_usage
    assert usage.sampled
    assert usage.cpu_time_ms > 0
    assert usage.peak_memory_kb > 0


async def test_a_store_that_cannot_take_outputs_is_no_fault_of_the_action(shop: Shop) -> None:
    shop = shop.with_rules(max_upload_timeout=0)
    assert (await shop.sh("echo x")).internal_error.code == Code.DEADLINE_EXCEEDED


async def test_ten_thousand_inputs_are_laid_out_in_well_under_a_second(shop: Shop) -> None:
    below = await shop.root({f"file{number}": f"{number}" for number in range(100)})
    directory = re_pb.Directory()
    for number in range(100):
        tree.set_digest(directory.directories.add(name=f"dir{number}").digest, below)
    root = await shop.put(directory.SerializeToString())
    command = actions.command(["/bin/sh", "-c", "find . -type f | wc -l"], environment={"PATH": "/usr/bin:/bin"})
    await shop.run(await shop.order(command, root))
    result = await shop.run(await shop.order(command, root))
    assert await shop.stdout(result) == "10000\n"
    metadata = result.execute_response.result.execution_metadata
    spent = (
        metadata.input_fetch_completed_timestamp.ToNanoseconds() - metadata.input_fetch_start_timestamp.ToNanoseconds()
    )
    assert spent < 3 * 10**9
