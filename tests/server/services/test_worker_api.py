"""ConnectWorker from the wire: what real NativeLink workers send must be understood, and nothing may hang."""

from __future__ import annotations

import asyncio
import logging

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2, error_details_pb2, status_pb2
from nlserver.dispatch.model import ActionRequest, Failure, OperationState, Stage
from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.proto import worker_api_pb2
from nlserver.reapi.digest import Function, of
from nlserver.scheduler import Scheduler
from nlserver.schedulers.simple import SimpleSpec
from nlserver.services import worker_api
from nlserver.services.worker_api import outcome_of
from nlserver.spec import Site

GONE = of(b"gone")
GONE_TEXT = (
    f"Object {GONE} not found in either fast or slow store. If using multiple workers, ensure all workers share the "
    "same CAS storage path."
)
EXECUTED = worker_api_pb2.UpdateForScheduler(execute_complete=worker_api_pb2.ExecuteComplete(operation_id="x"))


def connect(**facts: object) -> worker_api_pb2.UpdateForScheduler:
    return worker_api_pb2.UpdateForScheduler(connect_worker_request=worker_api_pb2.ConnectWorkerRequest(**facts))


def missing_of(status: status_pb2.Status) -> list[str]:
    failure = error_details_pb2.PreconditionFailure()
    assert status.details[0].Unpack(failure)
    assert {violation.type for violation in failure.violations} == {"MISSING"}
    return [violation.subject for violation in failure.violations]


class TestConnecting:
    async def test_the_worker_is_named_after_its_prefix_and_is_in_the_pool(self, farm) -> None:
        worker = await farm.worker("builder-", most=3, os="linux")
        assert worker.id.startswith("builder-")
        assert len(worker.id) == len("builder-") + 36
        (state,) = farm.scheduler.workers()
        assert (state.id, state.offer.max_inflight_tasks) == (worker.id, 3)
        assert state.offer.properties == (("os", "linux"),)

    async def test_headers_come_after_the_first_message_without_more_being_sent(self, farm) -> None:
        call = farm.worker_api.ConnectWorker()
        await call.write(connect(worker_id_prefix="w"))
        async with asyncio.timeout(60):
            await call.initial_metadata()
        call.cancel()

    @pytest.mark.parametrize(
        ("first", "words"),
        [
            (None, "Missing first message for connect_worker"),
            (EXECUTED, "First message was not a ConnectWorkerRequest"),
            (worker_api_pb2.UpdateForScheduler(), "First message was not a ConnectWorkerRequest"),
            (connect(worker_id_prefix="x" * 300), "300 characters"),
            (connect(properties=[rx.Platform.Property(name="cpu", value="four")]), "cpu='four'"),
        ],
        ids=["nothing", "another message", "empty message", "long name", "no number"],
    )
    async def test_a_wrong_first_message_is_refused_with_the_reason(self, farm, first, words) -> None:
        call = farm.worker_api.ConnectWorker()
        if first is not None:
            await call.write(first)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert words in await call.details()
        assert not farm.scheduler.workers()

    async def test_of_several_values_of_a_property_the_last_counts(self, farm) -> None:
        worker = await farm.worker()
        await worker.call.done_writing()
        call = farm.worker_api.ConnectWorker()
        values = [rx.Platform.Property(name="os", value=value) for value in ("windows", "linux")]
        await call.write(connect(properties=values))
        await call.read()
        platform = rx.Platform(properties=[rx.Platform.Property(name="os", value="linux")])
        farm.execute(farm.action(platform=platform))
        update = await call.read()
        assert update.WhichOneof("update") == "start_action"

    async def test_operators_can_grep_for_the_registration_and_the_dispatch(self, farm, caplog) -> None:
        logging.getLogger("nlserver").propagate = True
        with caplog.at_level(logging.INFO, logger="nlserver"):
            worker = await farm.worker(os="linux")
            action = farm.action()
            farm.execute(action)
            start = await worker.started()
            worker.call.cancel()
            await farm.until(lambda: not farm.scheduler.workers())
        facts = {record.getMessage(): record.facts for record in caplog.records}
        assert facts["Worker registered"]["worker_id"] == worker.id
        assert facts["Worker registered"]["platform_properties"] == '{"os": "linux"}'
        assert facts["Action given to a worker"] == {
            "operation": start.operation_id,
            "action": action,
            "worker_id": worker.id,
        }
        assert facts["Evicting worker from pool"]["worker_id"] == worker.id

    async def test_a_scheduler_without_a_worker_side_is_named(self) -> None:
        class Remote(Scheduler):
            def build(self, site: Site) -> Scheduler:
                return self

            async def submit(self, request: ActionRequest):
                yield OperationState("", "", request, 0, Stage.QUEUED, 0, 0)

            def watch(self, name: str):
                raise NotImplementedError

            async def get(self, name: str) -> OperationState:
                raise NotImplementedError

            async def cancel(self, name: str) -> None:
                raise NotImplementedError

        site = Site({"scheduler": {"REMOTE": Remote()}})
        with pytest.raises(Error, match="'REMOTE' takes no workers"):
            worker_api.build(worker_api.WorkerApiSpec(scheduler="REMOTE"), site)


class TestLeaving:
    @pytest.fixture(params=["half close", "broken", "goodbye"])
    def goodbye(self, request):
        async def leave(worker) -> None:
            match request.param:
                case "half close":
                    await worker.call.done_writing()
                case "broken":
                    worker.call.cancel()
                case "goodbye":
                    await worker.say(going_away_request=worker_api_pb2.GoingAwayRequest())

        return leave

    async def test_what_the_worker_ran_is_queued_again(self, farm, goodbye) -> None:
        call = farm.execute(farm.action())
        worker = await farm.worker()
        start = await worker.started()
        await goodbye(worker)
        await farm.until(lambda: not farm.scheduler.workers())
        second = await farm.worker("worker-2")
        again = await second.started()
        assert again.execute_request == start.execute_request
        assert again.operation_id == f"{start.operation_id}-2"
        await second.finished(again.operation_id)
        assert (await farm.end(call)).status.code == 0

    async def test_the_scheduler_closes_its_side_too(self, farm) -> None:
        worker = await farm.worker()
        await worker.say(going_away_request=worker_api_pb2.GoingAwayRequest())
        assert await worker.ended()
        assert await worker.call.code() is grpc.StatusCode.OK

    async def test_a_message_that_is_no_message_ends_the_session(self, farm) -> None:
        raw = farm.channel.stream_stream(
            "/com.github.trace_machina.nativelink.remote_execution.WorkerApi/ConnectWorker"
        )
        call = raw()
        await call.write(connect(worker_id_prefix="w").SerializeToString())
        await call.read()
        await call.write(b"\xff\xff\xff\xff")
        async with asyncio.timeout(60):
            assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        await farm.until(lambda: not farm.scheduler.workers())

    async def test_silence_for_the_worker_timeout_ends_the_session(self, farm) -> None:
        worker = await farm.worker()
        farm.wait(4)
        await worker.say(keep_alive_request=worker_api_pb2.KeepAliveRequest())
        await farm.until(lambda: farm.scheduler.workers()[0].last_seen == farm.clock.now)
        farm.wait(4.9)
        assert farm.scheduler.workers()
        farm.wait(0.1)
        assert not farm.scheduler.workers()
        assert await worker.ended()

    async def test_stopping_says_goodbye_and_takes_nobody_new(self, farm) -> None:
        worker = await farm.worker()
        farm.scheduler.stop()
        assert (await worker.order()).WhichOneof("update") == "disconnect"
        assert await worker.ended()
        call = farm.worker_api.ConnectWorker()
        await call.write(connect())
        assert await call.code() is grpc.StatusCode.UNAVAILABLE


class TestReports:
    async def test_a_minimum_is_free_again_when_the_process_has_ended(self, farm) -> None:
        platform = rx.Platform(properties=[rx.Platform.Property(name="cpu", value="1")])
        for number in range(2):
            farm.execute(farm.action(str(number), platform=platform))
        worker = await farm.worker(cpu="1")
        first = await worker.started()
        await worker.executed(first.operation_id)
        second = await worker.started()
        assert second.operation_id != first.operation_id

    async def test_one_slot_means_one_action_at_a_time(self, farm) -> None:
        for number in range(2):
            farm.execute(farm.action(str(number)))
        worker = await farm.worker(most=1)
        first = await worker.started()
        await worker.executed(first.operation_id)
        await worker.finished(first.operation_id)
        assert (await worker.started()).operation_id != first.operation_id

    async def test_a_result_that_nativelinks_worker_sends_reaches_the_client_whole(self, farm) -> None:
        call = farm.execute(farm.action())
        worker = await farm.worker()
        start = await worker.started()
        metadata = rx.ExecutedActionMetadata(
            worker="theirs",
            execution_start_timestamp=Timestamp(seconds=10),
            execution_completed_timestamp=Timestamp(seconds=12, nanos=5),
        )
        sent = rx.ExecuteResponse(
            result=rx.ActionResult(
                exit_code=1,
                stdout_digest=rx.Digest(hash="0" * 64),
                output_file_symlinks=[rx.OutputSymlink(path="a", target="b")],
                output_directory_symlinks=[rx.OutputSymlink(path="c", target="d")],
                execution_metadata=metadata,
            ),
            server_logs={"log": rx.LogFile(digest=rx.Digest(hash="a" * 64, size_bytes=3))},
            message="hello",
        )
        await worker.finished(start.operation_id, sent)
        response = await farm.end(call)
        assert response.HasField("status")
        assert [link.path for link in response.result.output_symlinks] == ["a", "c"]
        assert [link.path for link in response.result.output_file_symlinks] == ["a"]
        assert not response.result.HasField("stdout_digest")
        timing = response.result.execution_metadata
        assert (timing.worker, timing.queued_timestamp.seconds) == ("theirs", 1_700_000_100)
        assert (timing.virtual_execution_duration.seconds, timing.virtual_execution_duration.nanos) == (2, 5)
        assert (response.message, response.server_logs["log"].digest.size_bytes) == ("hello", 3)

    async def test_a_status_that_is_no_success_reaches_the_client_with_what_there_is_of_a_result(self, farm) -> None:
        call = farm.execute(farm.action())
        worker = await farm.worker()
        start = await worker.started()
        timed_out = rx.ExecuteResponse(
            result=rx.ActionResult(exit_code=9, stdout_raw=b"so far"),
            status=status_pb2.Status(code=code_pb2.DEADLINE_EXCEEDED, message="time out"),
        )
        await worker.finished(start.operation_id, timed_out)
        response = await farm.end(call)
        assert (response.status.code, response.result.stdout_raw) == (code_pb2.DEADLINE_EXCEEDED, b"so far")

    @pytest.mark.parametrize("form", ["response", "internal error"])
    async def test_an_input_that_only_the_worker_missed_can_be_uploaded_again(self, farm, form) -> None:
        call = farm.execute(farm.action())
        worker = await farm.worker()
        run = (await worker.started()).operation_id
        if form == "response":
            status = status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, message=f"{GONE_TEXT} : prepare")
            nothing = rx.ActionResult(exit_code=-178, stdout_digest=rx.Digest(hash="0" * 64))
            await worker.finished(run, rx.ExecuteResponse(status=status, result=nothing))
        else:
            await worker.failed(run, code_pb2.NOT_FOUND, GONE_TEXT)
        response = await farm.end(call)
        assert response.status.code == code_pb2.FAILED_PRECONDITION
        assert missing_of(response.status) == [f"blobs/{GONE.hash}/{GONE.size_bytes}"]
        assert not response.HasField("result")

    @pytest.mark.parametrize("broken", ["no result", "no result inside", "no code"])
    async def test_a_report_without_a_result_costs_an_attempt_and_does_not_hang(self, farm, broken) -> None:
        call = farm.execute(farm.action())
        worker = await farm.worker()
        for _ in range(4):
            run = (await worker.started()).operation_id
            match broken:
                case "no result":
                    await worker.say(execute_result=worker_api_pb2.ExecuteResult(operation_id=run))
                case "no result inside":
                    await worker.finished(run, rx.ExecuteResponse(message="fine"))
                case "no code":
                    await worker.failed(run, 0, "fine")
        response = await farm.end(call)
        assert response.status.code in (code_pb2.INTERNAL, code_pb2.ABORTED)
        assert "attempted to execute too many times 4 > 3" in response.status.message

    async def test_messages_that_say_nothing_change_nothing(self, farm) -> None:
        call = farm.execute(farm.action())
        worker = await farm.worker()
        run = (await worker.started()).operation_id
        await worker.say()
        await worker.call.write(connect(worker_id_prefix="again"))
        await worker.executed(run)
        await worker.finished(run)
        assert (await farm.end(call)).status.code == 0

    async def test_a_report_of_what_was_not_given_ends_the_session_and_spares_the_client(self, farm) -> None:
        call = farm.execute(farm.action())
        honest = await farm.worker()
        run = (await honest.started()).operation_id
        liar = await farm.worker("liar")
        await liar.finished(run, rx.ExecuteResponse(result=rx.ActionResult(exit_code=66)))
        assert await liar.ended()
        await honest.finished(run)
        assert (await farm.end(call)).result.exit_code == 0

    async def test_back_pressure_is_no_attempt_and_pauses_the_worker(self, farm) -> None:
        call = farm.execute(farm.action())
        worker = await farm.worker()
        for pause in (1, 2, 4):
            run = (await worker.started()).operation_id
            await worker.failed(run, code_pb2.RESOURCE_EXHAUSTED, "Preconditions script returned status 1")
            await farm.until(lambda: farm.scheduler.workers()[0].readiness == "paused")
            farm.clock.now += pause
            await worker.say(keep_alive_request=worker_api_pb2.KeepAliveRequest())
            await farm.until(lambda: farm.scheduler.workers()[0].last_seen == farm.clock.now)
            farm.scheduler.tick()
        await worker.finished((await worker.started()).operation_id)
        assert (await farm.end(call)).status.code == 0


class TestKillsOff:
    @pytest.fixture
    def scheduler_spec(self) -> SimpleSpec:
        return SimpleSpec(worker_timeout_s=1000)

    async def test_a_worker_is_not_told_to_kill_where_that_is_disabled(self, farm) -> None:
        spec = worker_api.WorkerApiSpec(scheduler="MAIN", disable_kill_revoked_operations=True)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(worker_api.build(spec, farm.site).handlers())
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            farm.worker_api = type(farm.worker_api)(channel)
            worker = await farm.worker(most=1)
            call = farm.execute(farm.action())
            run = (await worker.started()).operation_id
            await farm.scheduler.cancel(run)
            assert (await farm.end(call)).status.code == code_pb2.CANCELLED
            second = farm.execute(farm.action("second"))
            farm.wait(100)
            await worker.finished(run)
            start = await worker.started()
            assert start.operation_id != run
            second.cancel()
        await server.stop(0)


class TestOutcome:
    def test_every_missing_input_that_the_text_names_is_told_with_its_function(self) -> None:
        other = of(b"other")
        text = " --- ".join(f"Object {digest} not found in either fast or slow store" for digest in (GONE, other))
        result = worker_api_pb2.ExecuteResult(internal_error=status_pb2.Status(code=code_pb2.NOT_FOUND, message=text))
        outcome = outcome_of(result, Function.BLAKE3)
        assert isinstance(outcome, rx.ExecuteResponse)
        assert missing_of(outcome.status) == [
            f"blobs/blake3/{GONE.hash}/{GONE.size_bytes}",
            f"blobs/blake3/{other.hash}/{other.size_bytes}",
        ]

    def test_details_that_the_worker_sent_are_kept(self) -> None:
        status = status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, message=GONE_TEXT)
        failure = error_details_pb2.PreconditionFailure()
        failure.violations.add(type="MISSING", subject="blobs/mine/1")
        status.details.add().Pack(failure)
        result = worker_api_pb2.ExecuteResult(execute_response=rx.ExecuteResponse(status=status))
        outcome = outcome_of(result, Function.SHA256)
        assert isinstance(outcome, rx.ExecuteResponse)
        assert missing_of(outcome.status) == ["blobs/mine/1"]

    def test_another_not_found_is_a_failed_attempt(self) -> None:
        result = worker_api_pb2.ExecuteResult(
            internal_error=status_pb2.Status(code=code_pb2.NOT_FOUND, message="No such key in S3")
        )
        assert outcome_of(result, Function.SHA256) == Failure(Code.NOT_FOUND, "No such key in S3")

    def test_a_code_that_is_none_is_a_server_error(self) -> None:
        result = worker_api_pb2.ExecuteResult(internal_error=status_pb2.Status(code=99, message="?"))
        assert outcome_of(result, Function.SHA256) == Failure(Code.INTERNAL, "?")
