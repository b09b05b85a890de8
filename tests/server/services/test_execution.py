"""Execution and Operations from the wire, against a worker that is spoken by hand (REAPI v2)."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.longrunning import operations_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from nlserver.dispatch.model import Limits, Stage
from nlserver.proto import admin_pb2
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.digest import Function, of
from nlserver.schedulers.simple import SimpleScheduler, SimpleSpec
from nlserver.services.execution import Repeating

from tests.server.services.conftest import Given

QUEUED, EXECUTING, COMPLETED = rx.ExecutionStage.QUEUED, rx.ExecutionStage.EXECUTING, rx.ExecutionStage.COMPLETED
INVALID, FAILED_PRECONDITION, CANCELLED, DEADLINE_EXCEEDED = 3, 9, 1, 4


def missing_of(response: rx.ExecuteResponse) -> list[str]:
    """The subjects of the one detail that makes Bazel and Pants upload again."""
    assert len(response.status.details) == 1
    detail = response.status.details[0]
    assert detail.type_url == "type.googleapis.com/google.rpc.PreconditionFailure"
    failure = error_details_pb2.PreconditionFailure()
    assert detail.Unpack(failure)
    assert {violation.type for violation in failure.violations} == {"MISSING"}
    return [violation.subject for violation in failure.violations]


async def code_of(call: grpc.aio.UnaryStreamCall) -> grpc.StatusCode:
    return await call.code()


class TestExecute:
    async def test_runs_an_action_from_queued_over_executing_to_its_result(self, farm) -> None:
        action = farm.action("gcc", "-c")
        call = farm.execute(action, instance_name="a/b")
        operation, metadata = await farm.next(call)
        assert operation.name.startswith("a/b/operations/")
        assert metadata.stage == QUEUED
        assert metadata.action_digest.hash == action.hash
        assert metadata.digest_function == Function.SHA256

        worker = await farm.worker()
        start = await worker.started()
        assert (await farm.until_stage(call, EXECUTING)).name == operation.name
        await worker.finished(start.operation_id, rx.ExecuteResponse(result=rx.ActionResult(exit_code=3)))
        response = await farm.end(call)
        assert response.result.exit_code == 3
        assert response.HasField("status")
        assert response.status.code == 0

    async def test_tells_a_worker_what_a_worker_needs(self, farm) -> None:
        platform = rx.Platform(
            properties=[rx.Platform.Property(name="os", value="linux"), rx.Platform.Property(name="cpu", value="2")]
        )
        action = farm.action(function=Function.BLAKE3, platform=platform)
        worker = await farm.worker(os="linux", cpu="4")
        farm.execute(action, instance_name="a/b", digest_function=Function.BLAKE3, skip_cache_lookup=True)
        start = await worker.started()
        request = start.execute_request
        assert (request.instance_name, request.action_digest.hash) == ("a/b", action.hash)
        assert (request.digest_function, request.skip_cache_lookup) == (Function.BLAKE3, True)
        assert [(each.name, each.value) for each in start.platform.properties] == [("cpu", "2"), ("os", "linux")]
        assert start.worker_id == worker.id
        assert start.queued_timestamp.seconds == 1_700_000_100
        assert start.operation_id

    async def test_encloses_action_and_command_for_the_first_attempt(self, farm) -> None:
        action = farm.action("gcc", "-c")
        farm.execute(action)
        first = await farm.worker()
        start = await first.started()
        assert of(start.action) == action
        assert of(start.command).hash == rx.Action.FromString(start.action).command_digest.hash
        assert rx.Command.FromString(start.command).arguments == ["gcc", "-c"]
        first.call.cancel()
        start = await (await farm.worker("worker-2")).started()
        assert (start.action, start.command) == (b"", b"")

    async def test_reads_a_command_that_actions_have_in_common_once(self, farm) -> None:
        command = farm.store.keep(rx.Command(arguments=["true"]).SerializeToString())
        named = rx.Digest(hash=command.hash, size_bytes=command.size_bytes)
        empty = rx.Digest(hash=of(b"").hash)
        actions = [
            farm.store.keep(rx.Action(command_digest=named, input_root_digest=empty, salt=salt).SerializeToString())
            for salt in (b"a", b"b")
        ]
        worker = await farm.worker()
        farm.execute(actions[0])
        assert of((await worker.started()).command) == command
        await farm.store.remove(command)
        farm.execute(actions[1])
        assert of((await worker.started()).command) == command

    async def test_does_not_enclose_what_is_large(self, farm) -> None:
        worker = await farm.worker()
        farm.execute(farm.action("gcc", "x" * (64 << 10)))
        start = await worker.started()
        assert (start.action, start.command) == (b"", b"")

    async def test_takes_the_commands_platform_where_the_action_has_none(self, farm) -> None:  # CMD-11
        platform = rx.Platform(properties=[rx.Platform.Property(name="os", value="linux")])
        command = farm.store.keep(rx.Command(arguments=["true"], platform=platform).SerializeToString())
        root = farm.store.keep(b"")
        action = rx.Action(
            command_digest=rx.Digest(hash=command.hash, size_bytes=command.size_bytes),
            input_root_digest=rx.Digest(hash=root.hash, size_bytes=0),
        )
        await farm.worker(os="windows")
        call = farm.execute(farm.store.keep(action.SerializeToString()))
        _, metadata = await farm.next(call)
        why = admin_pb2.Explanation()
        assert metadata.partial_execution_metadata.auxiliary_metadata[0].Unpack(why)
        assert (why.summary, why.unsatisfiable) == ("worker-1 offers os=windows, asked linux", True)

    async def test_says_at_once_that_nobody_can_run_it_and_runs_it_when_somebody_can(self, farm) -> None:  # EXE-08
        call = farm.execute(farm.action())
        _, metadata = await farm.next(call)
        why = admin_pb2.Explanation()
        assert metadata.partial_execution_metadata.auxiliary_metadata[0].Unpack(why)
        assert why.summary == "no worker is connected"
        worker = await farm.worker()
        start = await worker.started()
        _, metadata = await farm.next(call)
        assert not metadata.partial_execution_metadata.auxiliary_metadata
        await worker.finished(start.operation_id)
        await farm.end(call)

    async def test_a_failure_of_the_worker_ends_in_the_response(self, farm) -> None:  # EXE-01
        call = farm.execute(farm.action())
        worker = await farm.worker()
        start = await worker.started()
        await worker.failed(start.operation_id, INVALID, "Action timeout of 9 seconds is too much")
        response = await farm.end(call)
        assert (response.status.code, len(response.status.details)) == (INVALID, 0)
        assert "too much" in response.status.message

    async def test_goes_back_to_queued_when_its_worker_is_lost(self, farm) -> None:  # EXE-11
        call = farm.execute(farm.action())
        first = await farm.worker()
        await first.started()
        await farm.until_stage(call, EXECUTING)
        first.call.cancel()
        await farm.until_stage(call, QUEUED)
        second = await farm.worker("worker-2")
        start = await second.started()
        await second.finished(start.operation_id)
        assert (await farm.end(call)).status.code == 0

    async def test_equal_actions_run_once_under_names_of_their_own(self, farm) -> None:  # EXE-16, HX-32
        action = farm.action()
        calls = [farm.execute(action) for _ in range(20)]
        names = {(await farm.next(call))[0].name for call in calls}
        assert len(names) == 20
        worker = await farm.worker(most=1)
        await worker.finished((await worker.started()).operation_id)
        for call in calls:
            assert (await farm.end(call)).result.exit_code == 0
        again = farm.execute(action)
        assert (await worker.started()).operation_id
        again.cancel()

    async def test_one_client_that_hangs_up_does_not_end_the_others_work(self, farm) -> None:
        action = farm.action()
        leaving, staying = farm.execute(action), farm.execute(action)
        await farm.next(leaving)
        await farm.next(staying)
        leaving.cancel()
        worker = await farm.worker()
        await worker.finished((await worker.started()).operation_id)
        assert (await farm.end(staying)).result.exit_code == 0

    async def test_do_not_cache_is_never_shared(self, farm) -> None:  # EXE-17
        action = farm.action(do_not_cache=True)
        farm.execute(action)
        farm.execute(action)
        worker = await farm.worker()
        assert (await worker.started()).operation_id != (await worker.started()).operation_id

    async def test_a_lower_priority_runs_sooner(self, farm) -> None:  # EXE-30
        calls = {}
        for priority in (5, -1, 0):
            action = farm.action("run", str(priority))
            policy = rx.ExecutionPolicy(priority=priority)
            calls[action.hash] = farm.execute(action, execution_policy=policy)
            await farm.next(calls[action.hash])
        worker = await farm.worker(most=1)
        order = []
        for _ in range(3):
            start = await worker.started()
            order.append(start.execute_request.action_digest.hash)
            await worker.finished(start.operation_id)
        first, second, third = calls
        assert order == [second, third, first]


class TestRefusals:
    async def test_an_unknown_instance_is_an_error_that_names_the_known_ones(self, farm) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await farm.execute(farm.action(), instance_name="nope").read()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "'instance_name' not configured for 'nope'" in caught.value.details()

    @pytest.mark.parametrize(
        "request_",
        [
            rx.ExecuteRequest(),
            rx.ExecuteRequest(action_digest=rx.Digest(hash="abc", size_bytes=1)),
            rx.ExecuteRequest(action_digest=rx.Digest(hash="a" * 64, size_bytes=-1)),
            rx.ExecuteRequest(action_digest=rx.Digest(hash="a" * 64, size_bytes=1), digest_function=5),
        ],
        ids=["no digest", "no hash", "negative size", "function not served"],
    )
    async def test_a_malformed_request_is_a_grpc_status(self, farm, request_) -> None:  # EXE-38
        assert await farm.execution.Execute(request_).code() is grpc.StatusCode.INVALID_ARGUMENT

    async def test_a_missing_action_is_told_in_the_response_so_that_it_is_uploaded(self, farm) -> None:  # EXE-03..05
        action = of(b"not there")
        response = await farm.end(farm.execute(action))
        assert response.status.code == FAILED_PRECONDITION
        assert missing_of(response) == [f"blobs/{action.hash}/{action.size_bytes}"]

    async def test_all_that_is_missing_is_told_at_once(self, farm) -> None:  # EXE-07
        command, root = of(b"command"), of(b"root")
        action = rx.Action(
            command_digest=rx.Digest(hash=command.hash, size_bytes=command.size_bytes),
            input_root_digest=rx.Digest(hash=root.hash, size_bytes=root.size_bytes),
        )
        response = await farm.end(farm.execute(farm.store.keep(action.SerializeToString())))
        assert missing_of(response) == [command.subject, root.subject]

    async def test_a_missing_blake3_blob_is_named_with_its_function(self, farm) -> None:
        action = of(b"not there", Function.BLAKE3)
        response = await farm.end(farm.execute(action, digest_function=Function.BLAKE3))
        assert missing_of(response) == [f"blobs/blake3/{action.hash}/{action.size_bytes}"]

    @pytest.mark.parametrize(
        ("blob", "words"),
        [
            (b"\xff\xff\xff", "not an Action"),
            (b"", "no command_digest"),
            (rx.Action(timeout=Duration(seconds=-1)).SerializeToString(), "Action"),
        ],
    )
    async def test_what_is_no_action_can_never_run(self, farm, blob, words) -> None:  # EXE-40, HX-01, HX-20
        response = await farm.end(farm.execute(farm.store.keep(blob)))
        assert (response.status.code, len(response.status.details)) == (INVALID, 0)
        assert words in response.status.message

    async def test_an_action_of_a_gigabyte_is_refused_unread(self, farm) -> None:  # HX-01
        request = rx.ExecuteRequest(action_digest=rx.Digest(hash="a" * 64, size_bytes=1 << 30))
        response = await farm.end(farm.execution.Execute(request))
        assert response.status.code == INVALID
        assert farm.store.read_bytes == 0

    async def test_a_command_without_arguments_can_never_run(self, farm) -> None:
        command = farm.store.keep(rx.Command(working_directory="x").SerializeToString())
        action = rx.Action(
            command_digest=rx.Digest(hash=command.hash, size_bytes=command.size_bytes),
            input_root_digest=rx.Digest(hash=of(b"").hash, size_bytes=0),
        )
        farm.store.keep(b"")
        response = await farm.end(farm.execute(farm.store.keep(action.SerializeToString())))
        assert response.status.code == INVALID

    async def test_a_countable_property_that_is_no_number_is_refused(self, farm) -> None:
        platform = rx.Platform(properties=[rx.Platform.Property(name="cpu", value="many")])
        call = farm.execute(farm.action(platform=platform))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "cpu='many'" in caught.value.details()


class TestWaitExecution:
    async def test_follows_an_operation_whose_stream_was_lost(self, farm) -> None:  # EXE-13
        first = farm.execute(farm.action())
        name = (await farm.next(first))[0].name
        first.cancel()
        again = farm.execution.WaitExecution(rx.WaitExecutionRequest(name=name))
        assert (await farm.next(again))[0].name == name
        worker = await farm.worker()
        await worker.finished((await worker.started()).operation_id)
        assert (await farm.end(again)).result.exit_code == 0

    async def test_answers_the_result_at_once_when_it_has_ended(self, farm) -> None:  # EXE-14
        call = farm.execute(farm.action())
        name = (await farm.next(call))[0].name
        worker = await farm.worker()
        await worker.finished((await worker.started()).operation_id)
        await farm.end(call)
        wait = rx.WaitExecutionRequest(name=name)
        assert (await farm.end(farm.execution.WaitExecution(wait))).result.exit_code == 0
        await worker.say(keep_alive_request={})
        farm.wait(61)
        assert await farm.execution.WaitExecution(wait).code() is grpc.StatusCode.NOT_FOUND

    @pytest.mark.parametrize(
        "name", ["", "x", "operations/", "operations/x", "nope/operations/x", "a/b/x", "/operations/x", "é" * 100_000]
    )
    async def test_a_name_that_nobody_was_given_is_not_found(self, farm, name) -> None:  # HX-34
        call = farm.execution.WaitExecution(rx.WaitExecutionRequest(name=name))
        assert await call.code() is grpc.StatusCode.NOT_FOUND

    async def test_another_instances_operation_is_not_found(self, farm) -> None:  # OPS-03
        call = farm.execute(farm.action())
        name = (await farm.next(call))[0].name
        foreign = farm.execution.WaitExecution(rx.WaitExecutionRequest(name=f"a/b/{name}"))
        assert await foreign.code() is grpc.StatusCode.NOT_FOUND


class TestAbandoned:
    @pytest.fixture
    def scheduler_spec(self) -> SimpleSpec:
        return SimpleSpec(worker_timeout_s=1000)

    async def test_an_operation_that_nobody_follows_ends_and_its_process_is_killed(self, farm) -> None:  # EXE-36
        call = farm.execute(farm.action())
        name = (await farm.next(call))[0].name
        worker = await farm.worker()
        run = (await worker.started()).operation_id
        call.cancel()
        await farm.until(lambda: not farm.scheduler.followed)
        farm.wait(59)
        assert [state.stage for state in farm.scheduler.operations()] == [Stage.EXECUTING]
        farm.wait(1)
        assert (await worker.order()).kill_operation_request.operation_id == run
        again = farm.execution.WaitExecution(rx.WaitExecutionRequest(name=name))
        assert (await farm.end(again)).status.code == DEADLINE_EXCEEDED

    async def test_asking_for_it_now_and_then_keeps_it(self, farm) -> None:
        call = farm.execute(farm.action())
        name = (await farm.next(call))[0].name
        call.cancel()
        await farm.until(lambda: not farm.scheduler.followed)
        for _ in range(3):
            farm.wait(59)
            got = await farm.operations.GetOperation(operations_pb2.GetOperationRequest(name=name))
            assert not got.done


class TestOperations:
    async def test_get_tells_the_state_and_not_found_what_it_does_not_know(self, farm) -> None:
        call = farm.execute(farm.action())
        operation, _ = await farm.next(call)
        got = await farm.operations.GetOperation(operations_pb2.GetOperationRequest(name=operation.name))
        assert got == operation
        unknown = farm.operations.GetOperation(operations_pb2.GetOperationRequest(name="operations/x"))
        assert await unknown.code() is grpc.StatusCode.NOT_FOUND

    async def test_cancel_ends_the_stream_and_kills_the_process(self, farm) -> None:  # OPS-01
        call = farm.execute(farm.action())
        name = (await farm.next(call))[0].name
        worker = await farm.worker()
        run = (await worker.started()).operation_id
        await farm.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name))
        assert (await farm.end(call)).status.code == CANCELLED
        assert (await worker.order()).kill_operation_request.operation_id == run
        await worker.finished(run)
        await farm.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name))
        got = await farm.operations.GetOperation(operations_pb2.GetOperationRequest(name=name))
        assert got.done

    async def test_cancel_counts_for_the_caller_alone(self, farm) -> None:  # OPS-02
        action = farm.action()
        leaving, staying = farm.execute(action), farm.execute(action)
        name = (await farm.next(leaving))[0].name
        await farm.next(staying)
        await farm.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name))
        assert (await farm.end(leaving)).status.code == CANCELLED
        worker = await farm.worker()
        await worker.finished((await worker.started()).operation_id)
        assert (await farm.end(staying)).result.exit_code == 0

    async def test_wait_returns_at_the_end_or_when_the_time_is_over(self, farm) -> None:
        call = farm.execute(farm.action())
        name = (await farm.next(call))[0].name
        short = operations_pb2.WaitOperationRequest(name=name, timeout=Duration(nanos=1000))
        assert not (await farm.operations.WaitOperation(short)).done
        waiting = asyncio.ensure_future(farm.operations.WaitOperation(operations_pb2.WaitOperationRequest(name=name)))
        worker = await farm.worker()
        await worker.finished((await worker.started()).operation_id)
        async with asyncio.timeout(60):
            assert (await waiting).done

    async def test_list_shows_one_instance_in_pages(self, farm) -> None:  # OPS-04
        calls = []
        for number in range(5):
            farm.clock.now += 1
            calls.append(farm.execute(farm.action(str(number)), instance_name="a/b"))
            await farm.next(calls[-1])
        await farm.next(farm.execute(farm.action()))
        names, token = [], ""
        while True:
            request = operations_pb2.ListOperationsRequest(name="a/b/operations", page_size=2, page_token=token)
            page = await farm.operations.ListOperations(request)
            names += [operation.name for operation in page.operations]
            token = page.next_page_token
            if not token:
                break
        assert len(set(names)) == len(names) == 5
        assert all(name.startswith("a/b/operations/") for name in names)
        broken = operations_pb2.ListOperationsRequest(name="a/b", page_token="soon")
        assert await farm.operations.ListOperations(broken).code() is grpc.StatusCode.INVALID_ARGUMENT
        unknown = operations_pb2.ListOperationsRequest(name="nope/operations")
        assert await farm.operations.ListOperations(unknown).code() is grpc.StatusCode.NOT_FOUND

    async def test_delete_is_not_offered(self, farm) -> None:
        call = farm.operations.DeleteOperation(operations_pb2.DeleteOperationRequest(name="x"))
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


class TestSilence:
    async def test_a_message_is_repeated_while_nothing_new_comes(self, farm) -> None:  # EXE-09
        sent: list[str] = []

        async def send(message: str) -> None:
            sent.append(message)

        stream = Repeating(send, 0.001)
        await stream.send("a")
        await farm.until(lambda: len(sent) > 3)
        await stream.send("b")
        await farm.until(lambda: sent.count("b") > 2)
        await stream.end()
        ended = len(sent)
        assert sent == sorted(sent)
        await asyncio.sleep(0.01)
        assert len(sent) == ended

    async def test_a_repetition_and_a_new_message_are_never_sent_at_once(self) -> None:
        sent: list[int] = []
        under_way = 0

        async def send(message: int) -> None:
            nonlocal under_way
            assert not under_way
            under_way += 1
            await asyncio.sleep(0.001)
            under_way -= 1
            sent.append(message)

        stream = Repeating(send, 0.0005)
        for number in range(30):
            await stream.send(number)
            await asyncio.sleep(0.0007 * (number % 3))
        await stream.end()
        assert list(dict.fromkeys(sent)) == list(range(30))

    async def test_stopping_tells_clients_to_come_back_elsewhere(self, farm) -> None:
        call = farm.execute(farm.action())
        await farm.next(call)
        farm.scheduler.stop()
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert await farm.execute(farm.action("b")).code() is grpc.StatusCode.UNAVAILABLE


class TestFullQueue:
    @pytest.fixture
    def scheduler_spec(self, clock) -> Given:
        return Given(SimpleScheduler(Limits(most_queued=1), {}, clock))

    async def test_says_when_to_come_again(self, farm) -> None:  # EXE-31
        await farm.next(farm.execute(farm.action("one")))
        call = farm.execute(farm.action("two"))
        assert await code_of(call) is grpc.StatusCode.RESOURCE_EXHAUSTED
        status = status_pb2.Status.FromString(dict(await call.trailing_metadata())["grpc-status-details-bin"])
        again = error_details_pb2.RetryInfo()
        assert status.details[0].Unpack(again)
        assert again.retry_delay.seconds == 5
