import asyncio
import os
import random
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.action import action_of, command_of
from nlserver.reapi.client import Client, ExecutionFailed, Stage, merged
from nlserver.reapi.digest import EMPTY, Digest, Function, digest_of, of
from nlserver.reapi.endpoint import RetrySpec
from nlserver.reapi.tree import File, Subdirectory, Symlink, blob_of, directory, message_of, tree_blob
from nlserver.store import Missing

from tests.server.reapi.conftest import SOON
from tests.server.reapi.peer import CUT, Fault, Peer, operation, script, serving

NOISE = random.Random(5).randbytes(1_500_000)
QUEUED, EXECUTING, COMPLETED = 2, 3, 4
ACTION = of(b"some action")


def done(result: re_pb.ActionResult | None = None, code: int = 0, missing=(), **keys):
    status = status_pb2.Status(code=code, message="went wrong" if code else "")
    if missing:
        failure = error_details_pb2.PreconditionFailure()
        for digest in missing:
            failure.violations.add(type="MISSING", subject=digest.subject)
        status.details.add().Pack(failure)
    response = re_pb.ExecuteResponse(result=result or re_pb.ActionResult(), status=status, **keys)
    return operation(COMPLETED, response=response)


async def states(client: Client, **keys):
    return [state async for state in client.execute(ACTION, **keys)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with a bit of everything."""
    top = tmp_path / "source"
    (top / "sub/empty").mkdir(parents=True)
    (top / "plain").write_bytes(b"plain")
    (top / "sub/tool").write_bytes(b"#!/bin/sh")
    (top / "sub/tool").chmod(0o755)
    (top / "sub/copy").write_bytes(b"plain")
    (top / "large").write_bytes(NOISE)
    (top / "link").symlink_to("sub/tool")
    (top / "dangling").symlink_to("/nowhere/at/all")
    return top


async def test_bytes_and_files_are_uploaded_once(client: Client, peer: Peer, tmp_path: Path):
    (tmp_path / "file").write_bytes(NOISE)
    (tmp_path / "empty").write_bytes(b"")
    sources = [b"abc", tmp_path / "file", b"abc", tmp_path / "empty", NOISE[:100_000]]
    digests = await client.upload(sources)
    assert digests == [of(b"abc"), of(NOISE), of(b"abc"), EMPTY[Function.SHA256], of(NOISE[:100_000])]
    assert peer.blobs == {of(b"abc"): b"abc", of(NOISE): NOISE, of(NOISE[:100_000]): NOISE[:100_000]}
    before = peer.calls.copy()
    await client.upload(sources)
    assert {name for name in peer.calls if peer.calls[name] != before[name]} == {"FindMissingBlobs"}


async def test_an_upload_tells_its_progress(client: Client, tmp_path: Path):
    parts: list[int] = []
    (tmp_path / "file").write_bytes(NOISE)
    await client.upload([b"abc", tmp_path / "file"], on_progress=parts.append)
    assert sorted(parts) == [3, len(NOISE)]


async def test_a_large_upload_survives_broken_streams(client: Client, peer: Peer, tmp_path: Path):
    (tmp_path / "file").write_bytes(NOISE)
    peer.cut_writes.extend([1_000_000])
    await client.upload([tmp_path / "file"])
    assert peer.blobs[of(NOISE)] == NOISE


async def test_few_streams_run_at_a_time(client: Client, peer: Peer):
    data = [NOISE[number:] for number in range(12)]
    await client.upload(data)
    assert 1 <= peer.most_busy <= 4
    assert len(peer.blobs) == 12


async def test_a_file_that_cannot_be_read_is_named(client: Client, tmp_path: Path):
    with pytest.raises(Error, match="nope") as raised:
        await client.upload([tmp_path / "nope"])
    assert raised.value.code is Code.FAILED_PRECONDITION


async def test_blake3_is_a_function_like_any_other(peer: Peer, source: Path):
    async with Client(cas=peer.address, function=Function.BLAKE3) as client:
        root = await client.upload_tree(source)
        assert root.function is Function.BLAKE3
        assert await client.missing([root]) == set()
        assert await client.read(of(NOISE, Function.BLAKE3)) == NOISE


async def test_a_directory_is_uploaded_as_it_stands(client: Client, peer: Peer, source: Path):
    counts = []
    root = await client.upload_tree(source, on_done=counts.append)
    empty = blob_of(directory([]))
    sub = blob_of(
        directory(
            [
                Subdirectory("empty", empty.digest),
                File("tool", of(b"#!/bin/sh"), executable=True),
                File("copy", of(b"plain")),
            ]
        )
    )
    top = blob_of(
        directory(
            [
                Subdirectory("sub", sub.digest),
                File("plain", of(b"plain")),
                File("large", of(NOISE)),
                Symlink("link", "sub/tool"),
                Symlink("dangling", "/nowhere/at/all"),
            ]
        )
    )
    assert root == top.digest
    assert peer.blobs[root] == top.data
    assert peer.blobs[sub.digest] == sub.data
    (count,) = counts
    assert (count.files, count.directories, count.symlinks) == (4, 3, 2)
    assert count.blobs.uploaded_blobs == 5
    assert (await client.get_tree(root))[0].SerializeToString() == top.data


async def test_a_second_upload_of_a_directory_sends_only_what_changed(client: Client, peer: Peer, source: Path):
    await client.upload_tree(source)
    (source / "plain").write_bytes(b"changed")
    counts = []
    await client.upload_tree(source, on_done=counts.append)
    assert counts[0].blobs.uploaded_blobs == 2


async def test_special_files_are_refused(client: Client, source: Path):
    os.mkfifo(source / "fifo")
    with pytest.raises(Error, match="fifo"):
        await client.upload_tree(source)


async def test_names_that_are_not_utf8_are_refused(client: Client, source: Path):
    (source / os.fsdecode(b"bad\xff")).write_bytes(b"")
    with pytest.raises(Error, match="not UTF-8"):
        await client.upload_tree(source)


async def test_a_directory_that_is_not_there_is_named(client: Client, tmp_path: Path):
    with pytest.raises(Error, match="nope cannot be read: No such file"):
        await client.upload_tree(tmp_path / "nope")


async def test_many_small_blobs_are_read_in_few_calls(client: Client, peer: Peer):
    digests = [peer.keep(b"%d" % number) for number in range(300)]
    large = peer.keep(NOISE)
    found = await client.read_many([*digests, large, EMPTY[Function.SHA256], digests[0]])
    assert list(found) == [*digests, large, EMPTY[Function.SHA256]]
    assert all(of(data) == digest for digest, data in found.items())
    assert peer.calls["BatchReadBlobs"] == 1


async def test_one_absent_blob_of_many_is_missing(client: Client, peer: Peer):
    with pytest.raises(Missing) as raised:
        await client.read_many([peer.keep(b"a"), of(b"absent"), peer.keep(b"b")])
    assert raised.value.keys == (of(b"absent"),)


async def test_a_download_stands_under_its_name_only_when_it_is_whole(client: Client, peer: Peer, tmp_path: Path):
    digest = peer.keep(NOISE)
    target = tmp_path / "below/file"
    peer.lies = {digest: NOISE[:-1] + b"?"}
    with pytest.raises(Error):
        await client.download(digest, target)
    assert list(target.parent.iterdir()) == []
    peer.lies = {}
    await client.download(digest, target, executable=True)
    assert target.read_bytes() == NOISE
    assert target.stat().st_mode & 0o100
    assert list(target.parent.iterdir()) == [target]


async def test_a_stream_gives_a_range(client: Client, peer: Peer):
    digest = peer.keep(NOISE)
    parts = [chunk async for chunk in client.stream(digest, 10, 1_000_000)]
    assert b"".join(parts) == NOISE[10:1_000_010]


async def test_a_tree_comes_page_by_page(client: Client, peer: Peer):
    leaves = [blob_of(directory([File("f", of(b"%d" % number))])) for number in range(5)]
    root = blob_of(directory([Subdirectory(f"d{n}", leaf.digest) for n, leaf in enumerate(leaves)]))
    peer.blobs.update({blob.digest: blob.data for blob in [*leaves, root]})
    found = await client.get_tree(root.digest)
    assert {blob_of(one).digest for one in found} == {blob.digest for blob in [*leaves, root]}
    assert peer.calls["GetTree"] == 3


async def test_results_are_hits_or_misses(client: Client, peer: Peer):
    assert await client.action_result(ACTION) is None
    result = re_pb.ActionResult(exit_code=3, stdout_raw=b"x")
    assert await client.update_action_result(ACTION, result) == result
    assert await client.action_result(ACTION) == result
    peer.faults["GetActionResult"].append(Fault(grpc.StatusCode.PERMISSION_DENIED))
    with pytest.raises(Error):
        await client.action_result(ACTION)


async def test_an_execution_is_its_states(client: Client, peer: Peer):
    peer.executions.append(script(operation(QUEUED), operation(EXECUTING), done(cached_result=True)))
    found = await states(client)
    assert [state.stage for state in found] == [Stage.QUEUED, Stage.EXECUTING, Stage.COMPLETED]
    assert found[-1].response.cached_result


async def test_a_cut_execution_is_waited_for_and_not_run_again(client: Client, peer: Peer):
    peer.executions.append(script(operation(QUEUED), CUT))
    peer.waits.append(script(operation(EXECUTING), CUT))
    peer.waits.append(script(done()))
    assert [state.stage for state in await states(client)][-1] is Stage.COMPLETED
    assert (peer.calls["Execute"], peer.calls["WaitExecution"]) == (1, 2)


async def test_a_stream_that_ends_early_is_waited_for_too(client: Client, peer: Peer):
    peer.executions.append(script(operation(QUEUED)))
    peer.waits.append(script(done()))
    assert [state.stage for state in await states(client)][-1] is Stage.COMPLETED


async def test_an_operation_that_the_server_forgot_is_executed_again(client: Client, peer: Peer):
    peer.executions.extend([script(operation(QUEUED), CUT), script(done())])
    peer.faults["WaitExecution"].append(Fault(grpc.StatusCode.NOT_FOUND, "which one?"))
    assert [state.stage for state in await states(client)][-1] is Stage.COMPLETED
    assert (peer.calls["Execute"], peer.calls["WaitExecution"]) == (2, 1)


async def test_a_server_that_forgets_again_and_again_is_given_up(client: Client, peer: Peer):
    peer.executions.extend([script(operation(QUEUED), CUT)] * 20)
    peer.faults["WaitExecution"].extend([Fault(grpc.StatusCode.NOT_FOUND)] * 20)
    with pytest.raises(Error) as raised:
        await states(client)
    assert raised.value.code is Code.UNAVAILABLE
    assert peer.calls["Execute"] <= 4


async def test_a_refused_execution_is_an_error(client: Client, peer: Peer):
    peer.faults["Execute"].append(Fault(grpc.StatusCode.INVALID_ARGUMENT, "no such property"))
    with pytest.raises(Error, match="no such property"):
        await states(client)


async def test_an_operation_without_a_response_is_an_error(client: Client, peer: Peer):
    broken = operation(COMPLETED)
    broken.done = True
    peer.executions.append(script(broken))
    peer.waits.extend([script(broken)] * 9)
    with pytest.raises(Error, match="without an ExecuteResponse"):
        await states(client)


def asks(peer: Peer, digest: Digest) -> tuple[re_pb.Action, re_pb.Command]:
    """What the server was asked to run."""
    found = action_of(peer.blobs[digest])
    return found, command_of(peer.blobs[digest_of(found.command_digest)])


async def test_a_command_runs_on_an_uploaded_directory(client: Client, peer: Peer, source: Path):
    result = re_pb.ActionResult(exit_code=7, stdout_raw=b"out", stderr_digest=message_of(peer.keep(b"err")))
    result.execution_metadata.worker = "w"
    seen = []
    peer.executions.append(script(operation(QUEUED), done(result, cached_result=True, message="see the log")))
    outcome = await client.run(
        ["cc", "-c"],
        input_root=source,
        environment={"B": "2", "A": "1"},
        output_paths=["o"],
        platform={"pool": "p"},
        timeout_seconds=5,
        working_directory="sub",
        do_not_cache=True,
        on_state=seen.append,
    )
    assert (outcome.exit_code, outcome.stdout, outcome.stderr, outcome.cached) == (7, b"out", b"err", True)
    assert (outcome.metadata.worker, outcome.message, outcome.working_directory) == ("w", "see the log", "sub")
    assert [state.stage for state in seen] == [Stage.QUEUED, Stage.COMPLETED]
    action, command = asks(peer, outcome.action)
    assert digest_of(action.input_root_digest) == await client.upload_tree(source)
    assert (action.timeout.seconds, action.do_not_cache) == (5, True)
    assert list(command.arguments) == ["cc", "-c"]
    assert [(v.name, v.value) for v in command.environment_variables] == [("A", "1"), ("B", "2")]
    assert [p.name for p in action.platform.properties] == [p.name for p in command.platform.properties] == ["pool"]


async def test_a_command_without_inputs_runs_on_the_empty_directory(client: Client, peer: Peer):
    peer.executions.append(script(done()))
    outcome = await client.run(["true"])
    assert digest_of(asks(peer, outcome.action)[0].input_root_digest) == EMPTY[Function.SHA256]


async def test_inputs_that_were_lost_are_uploaded_again(client: Client, peer: Peer, source: Path):
    lost = of(b"plain")

    async def evicts(peer, request):
        del peer.blobs[lost]
        yield operation(QUEUED)
        yield done(code=9, missing=[lost])

    peer.executions.extend([evicts, script(done(re_pb.ActionResult(exit_code=4)))])
    assert (await client.run(["true"], input_root=source)).exit_code == 4
    assert lost in peer.blobs


async def test_lost_inputs_in_a_refusal_are_uploaded_again_too(client: Client, peer: Peer, source: Path):
    failure = error_details_pb2.PreconditionFailure()
    failure.violations.add(type="MISSING", subject=of(b"plain").subject)
    status = status_pb2.Status(code=9, message="gone")
    status.details.add().Pack(failure)
    peer.faults["Execute"].append(Fault(grpc.StatusCode.FAILED_PRECONDITION, "gone", status))
    peer.executions.append(script(done()))
    await client.run(["true"], input_root=source)
    assert peer.calls["Execute"] == 2


async def test_inputs_that_are_lost_again_and_again_are_given_up(client: Client, peer: Peer, source: Path):
    peer.executions.extend([script(done(code=9, missing=[of(b"plain")]))] * 9)
    with pytest.raises(ExecutionFailed) as raised:
        await client.run(["true"], input_root=source)
    assert raised.value.missing == (of(b"plain").subject,)
    assert peer.calls["Execute"] == 3


async def test_inputs_that_are_not_ours_are_not_uploaded_in_vain(client: Client, peer: Peer):
    peer.executions.append(script(done(code=9, missing=[of(b"foreign")])))
    with pytest.raises(ExecutionFailed):
        await client.run(["true"], input_root=of(b"foreign"))
    assert peer.calls["Execute"] == 1


async def test_an_action_that_timed_out_is_an_error_with_what_it_said(client: Client, peer: Peer):
    peer.executions.append(script(done(re_pb.ActionResult(stdout_raw=b"so far"), code=4)))
    with pytest.raises(ExecutionFailed) as raised:
        await client.run(["sleep", "9"])
    assert raised.value.code is Code.DEADLINE_EXCEEDED
    assert raised.value.response.result.stdout_raw == b"so far"


async def test_a_cancelled_run_gives_the_execution_up(client: Client, peer: Peer):
    async def hangs(peer, request):
        yield operation(EXECUTING, "the one")
        await peer.hang.wait()

    peer.executions.append(hangs)
    begun = asyncio.Event()
    running = asyncio.create_task(client.run(["sleep", "9"], on_state=lambda state: begun.set()))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert peer.cancelled == ["the one"]


@pytest.mark.parametrize("arguments", [[], [""], ["a\0"]])
async def test_a_command_that_cannot_run_is_refused_before_anything_is_sent(client: Client, peer: Peer, arguments):
    with pytest.raises(Error) as raised:
        await client.run(arguments)
    assert raised.value.code is Code.INVALID_ARGUMENT
    assert not peer.calls


async def learnt(client: Client, peer: Peer, result: re_pb.ActionResult, **keys) -> Digest:
    """Run `true`, and put this result into the action cache for it."""
    peer.executions.append(script(done(**keys)))
    action = (await client.run(["true"])).action
    await client.update_action_result(action, result)
    return action


async def test_a_cached_success_is_the_outcome_and_nothing_is_uploaded(client: Client, peer: Peer):
    await learnt(client, peer, a_result(peer))
    before = peer.calls["Execute"]
    outcome = await client.run(["true"])
    assert outcome.cached
    assert outcome.result == a_result(peer)
    assert peer.calls["Execute"] == before


async def test_a_cached_result_is_passed_over_where_that_is_asked(client: Client, peer: Peer):
    await learnt(client, peer, re_pb.ActionResult(stdout_raw=b"old"))
    peer.executions.append(script(done(re_pb.ActionResult(stdout_raw=b"new"))))
    assert (await client.run(["true"], skip_cache_lookup=True)).stdout == b"new"


@pytest.mark.parametrize("lost", [b"object", b"deep", "tree"])
async def test_a_cached_result_whose_outputs_are_gone_is_a_miss(client: Client, peer: Peer, lost):
    result = a_result(peer)
    await learnt(client, peer, result)
    del peer.blobs[digest_of(result.output_directories[0].tree_digest) if lost == "tree" else of(lost)]
    peer.executions.append(script(done(re_pb.ActionResult(stdout_raw=b"new"))))
    assert (await client.run(["true"])).stdout == b"new"


async def test_a_cached_failure_is_a_miss(client: Client, peer: Peer):
    await learnt(client, peer, re_pb.ActionResult(exit_code=1))
    peer.executions.append(script(done()))
    assert (await client.run(["true"])).exit_code == 0


async def test_a_server_without_an_action_cache_runs_everything(client: Client, peer: Peer):
    peer.faults["GetActionResult"].append(Fault(grpc.StatusCode.UNIMPLEMENTED))
    peer.executions.append(script(done()))
    assert not (await client.run(["true"])).cached


async def outcome_of(client: Client, peer: Peer, result: re_pb.ActionResult, working_directory: str = ""):
    peer.executions.append(script(done(result)))
    return await client.run(["true"], working_directory=working_directory)


def a_result(peer: Peer) -> re_pb.ActionResult:
    """Files, a directory and links, seen from the working directory `w`."""
    leaf = blob_of(directory([File("deep", peer.keep(b"deep")), Symlink("up", "../../o")]))
    top = blob_of(directory([Subdirectory("leaf", leaf.digest), Subdirectory("again", leaf.digest)]))
    tree = tree_blob(top.digest, {top.digest: top.data, leaf.digest: leaf.data})
    peer.blobs[tree.digest] = tree.data
    return re_pb.ActionResult(
        output_files=[
            re_pb.OutputFile(path="o", digest=message_of(peer.keep(b"object")), is_executable=True),
            re_pb.OutputFile(path="../large", digest=message_of(peer.keep(NOISE))),
            re_pb.OutputFile(path="empty", digest=message_of(EMPTY[Function.SHA256])),
        ],
        output_directories=[re_pb.OutputDirectory(path="dir", tree_digest=message_of(tree.digest))],
        output_symlinks=[re_pb.OutputSymlink(path="ln", target="/anywhere")],
        output_file_symlinks=[re_pb.OutputSymlink(path="ln", target="/anywhere")],
    )


async def test_outputs_are_laid_out_where_the_command_wrote_them(client: Client, peer: Peer, tmp_path: Path):
    into = tmp_path / "into"
    (into / "w").mkdir(parents=True)
    (into / "w/o").write_bytes(b"older")
    await client.download_outputs(await outcome_of(client, peer, a_result(peer), "w"), into)
    found = {str(path.relative_to(into)) for path in into.rglob("*")}
    deep = {f"w/dir/{name}" for name in ("leaf", "again", "leaf/deep", "leaf/up", "again/deep", "again/up")}
    assert found == {"w", "large", "w/o", "w/empty", "w/dir", "w/ln", *deep}
    assert (into / "w/o").read_bytes() == b"object"
    assert os.access(into / "w/o", os.X_OK)
    assert not os.access(into / "w/empty", os.X_OK)
    assert (into / "large").read_bytes() == NOISE
    assert (into / "w/dir/again/deep").read_bytes() == b"deep"
    assert os.readlink(into / "w/ln") == "/anywhere"
    assert os.readlink(into / "w/dir/leaf/up") == "../../o"


@pytest.mark.parametrize(
    "result",
    [
        re_pb.ActionResult(output_files=[re_pb.OutputFile(path="/etc/x", digest=message_of(of(b"x")))]),
        re_pb.ActionResult(output_files=[re_pb.OutputFile(path="../x", digest=message_of(of(b"x")))]),
        re_pb.ActionResult(output_files=[re_pb.OutputFile(path="a/../../x", digest=message_of(of(b"x")))]),
        re_pb.ActionResult(output_symlinks=[re_pb.OutputSymlink(path="../x", target="t")]),
        re_pb.ActionResult(output_symlinks=[re_pb.OutputSymlink(path="x", target="")]),
        re_pb.ActionResult(output_files=[re_pb.OutputFile(path="", digest=message_of(of(b"x")))]),
        re_pb.ActionResult(
            output_symlinks=[re_pb.OutputSymlink(path="x", target="a")],
            output_file_symlinks=[re_pb.OutputSymlink(path="x", target="b")],
        ),
    ],
)
async def test_results_that_lead_outside_are_refused(client: Client, peer: Peer, tmp_path: Path, result):
    peer.keep(b"x")
    into = tmp_path / "a/into"
    with pytest.raises(Error) as raised:
        await client.download_outputs(await outcome_of(client, peer, result), into)
    assert raised.value.code is Code.INVALID_ARGUMENT
    assert not into.parent.exists()


async def test_a_link_in_the_way_is_not_followed(client: Client, peer: Peer, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "into").mkdir()
    (tmp_path / "into/d").symlink_to("../outside")
    result = re_pb.ActionResult(output_files=[re_pb.OutputFile(path="d/x", digest=message_of(peer.keep(b"x")))])
    with pytest.raises(Error, match="stands in its way"):
        await client.download_outputs(await outcome_of(client, peer, result), tmp_path / "into")
    assert list((tmp_path / "outside").iterdir()) == []


async def test_a_link_of_the_result_is_not_written_through(client: Client, peer: Peer, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    result = re_pb.ActionResult(
        output_symlinks=[re_pb.OutputSymlink(path="d", target="../outside")],
        output_files=[re_pb.OutputFile(path="d/x", digest=message_of(peer.keep(b"x")))],
    )
    with pytest.raises(Error):
        await client.download_outputs(await outcome_of(client, peer, result), tmp_path / "into")
    assert list((tmp_path / "outside").iterdir()) == []


async def test_a_link_in_the_place_of_an_output_is_replaced_and_its_target_kept(
    client: Client, peer: Peer, tmp_path: Path
):
    (tmp_path / "into").mkdir()
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "into/x").symlink_to("../precious")
    result = re_pb.ActionResult(output_files=[re_pb.OutputFile(path="x", digest=message_of(peer.keep(b"x")))])
    await client.download_outputs(await outcome_of(client, peer, result), tmp_path / "into")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "into/x").is_symlink()


async def test_an_output_that_is_gone_is_missing_and_leaves_no_litter(client: Client, peer: Peer, tmp_path: Path):
    result = re_pb.ActionResult(output_files=[re_pb.OutputFile(path="x", digest=message_of(of(NOISE)))])
    with pytest.raises(Missing):
        await client.download_outputs(await outcome_of(client, peer, result), tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []


async def test_several_endpoints_each_get_what_is_theirs(peer: Peer):
    async with serving() as cache, serving() as executor:
        async with Client(peer.address, executor.address, action_cache=cache.address, retry=SOON) as client:
            executor.executions.append(script(done()))
            await client.run(["true"])
            await client.action_result(ACTION)
            assert (await client.capabilities()).HasField("cache_capabilities")
        assert executor.calls == {"Execute": 1, "GetCapabilities": 1}
        assert cache.calls == {"GetActionResult": 2, "GetCapabilities": 1}


async def test_an_endpoint_that_was_not_given_is_said(peer: Peer):
    async with Client(cas=peer.address) as client:
        with pytest.raises(Error, match="no executor endpoint"):
            await client.run(["true"])
    async with Client(executor=peer.address) as client:
        with pytest.raises(Error, match="no cas endpoint"):
            await client.read(ACTION)


async def test_the_server_is_told_who_calls(client: Client, peer: Peer):
    await client.missing([ACTION])
    metadata = re_pb.RequestMetadata.FromString(peer.metadata["build.bazel.remote.execution.v2.requestmetadata-bin"])
    assert metadata.tool_details.tool_name == "nlctl"


def test_capabilities_of_several_servers_are_one():
    one = re_pb.ServerCapabilities(cache_capabilities=re_pb.CacheCapabilities(max_batch_total_size_bytes=5))
    two = re_pb.ServerCapabilities(execution_capabilities=re_pb.ExecutionCapabilities(exec_enabled=True))
    both = merged([one, two, re_pb.ServerCapabilities()])
    assert both.cache_capabilities.max_batch_total_size_bytes == 5
    assert both.execution_capabilities.exec_enabled


async def test_without_retries_a_client_fails_at_once(peer: Peer):
    peer.faults["FindMissingBlobs"].append(Fault(grpc.StatusCode.UNAVAILABLE))
    async with Client(cas=peer.address, retry=RetrySpec()) as client:
        with pytest.raises(Error):
            await client.missing([ACTION])
