"""Admin from the wire: who works, what waits and why."""

from __future__ import annotations

import grpc
import pytest
from nlserver.errors import Error
from nlserver.proto import admin_pb2
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.digest import Function
from nlserver.services import admin

from tests.server.services.conftest import Cache

QUEUED, EXECUTING = rx.ExecutionStage.QUEUED, rx.ExecutionStage.EXECUTING


def platform(**properties: str) -> rx.Platform:
    return rx.Platform(properties=[rx.Platform.Property(name=k, value=v) for k, v in properties.items()])


async def test_the_process_tells_of_itself(farm) -> None:
    part = await farm.admin.GetPart(admin_pb2.GetPartRequest())
    assert (part.version, part.pid) == ("1", 7)


async def test_a_worker_is_shown_with_what_is_left_of_it(farm) -> None:
    worker = await farm.worker("builder", most=2, cpu="4", os="linux")
    action = farm.action(platform=platform(cpu="3"))
    farm.execute(action)
    run = (await worker.started()).operation_id
    (shown,) = (await farm.admin.ListWorkers(admin_pb2.ListWorkersRequest())).workers
    assert (shown.id, shown.name, shown.scheduler) == (worker.id, "builder", "MAIN")
    assert shown.state == admin_pb2.Worker.READY
    assert {each.name: each.value for each in shown.properties} == {"cpu": "4", "os": "linux"}
    assert {each.name: each.value for each in shown.remaining} == {"cpu": "1"}
    assert (shown.max_inflight_tasks, list(shown.operations), shown.completed) == (2, [run], 0)
    assert shown.connected.seconds == shown.last_seen.seconds == 1_700_000_100


async def test_an_operation_is_shown_with_the_reason_why_it_waits(farm) -> None:
    await farm.worker("builder", os="linux")
    action = farm.action(platform=platform(os="beos"), function=Function.BLAKE3)
    policy = rx.ExecutionPolicy(priority=-4)
    call = farm.execute(action, digest_function=Function.BLAKE3, instance_name="a/b", execution_policy=policy)
    await farm.next(call)
    (shown,) = (await farm.admin.ListOperations(admin_pb2.ListOperationsRequest())).operations
    assert (shown.scheduler, shown.instance_name, shown.priority) == ("MAIN", "a/b", -4)
    assert (shown.action_digest.hash, shown.digest_function) == (action.hash, Function.BLAKE3)
    assert (shown.stage, shown.waiters, shown.attempts, shown.worker_id) == (QUEUED, 1, 0, "")
    assert (shown.explanation, shown.unsatisfiable) == ("builder offers os=linux, asked beos", True)
    assert shown.queued.seconds == shown.since.seconds == 1_700_000_100


async def test_operations_are_kept_apart_by_stage_and_counted_beyond_the_limit(farm) -> None:
    await farm.worker(most=1)
    for number in range(4):
        await farm.next(farm.execute(farm.action(str(number))))
    waiting = admin_pb2.ListOperationsRequest(stages=[QUEUED], limit=2)
    shown = await farm.admin.ListOperations(waiting)
    assert (len(shown.operations), shown.total) == (2, 3)
    running = await farm.admin.ListOperations(admin_pb2.ListOperationsRequest(stages=[EXECUTING]))
    assert running.total == 1


async def test_an_explanation_names_every_worker(farm) -> None:
    await farm.worker("near", os="linux", cpu="4")
    await farm.worker("far", os="beos", cpu="1")
    call = farm.execute(farm.action(platform=platform(os="linux", cpu="5")))
    name = (await farm.next(call))[0].name
    request = admin_pb2.ExplainOperationRequest(id=name.rpartition("/")[2])
    why = await farm.admin.ExplainOperation(request)
    assert (why.summary, why.unsatisfiable) == ("near offers cpu=4, asked 5", True)
    assert [(each.worker_name, each.verdict, each.reason) for each in why.workers] == [
        ("near", admin_pb2.WorkerVerdict.NEVER, "offers cpu=4, asked 5"),
        ("far", admin_pb2.WorkerVerdict.NEVER, "offers os=beos, asked linux and offers cpu=1, asked 5"),
    ]
    unknown = farm.admin.ExplainOperation(admin_pb2.ExplainOperationRequest(id="nobody"))
    assert await unknown.code() is grpc.StatusCode.NOT_FOUND


async def test_what_could_run_says_what_it_waits_for(farm) -> None:
    await farm.worker("only", most=1)
    await farm.next(farm.execute(farm.action("first")))
    call = farm.execute(farm.action("second"))
    name = (await farm.next(call))[0].name
    why = await farm.admin.ExplainOperation(admin_pb2.ExplainOperationRequest(id=name.rpartition("/")[2]))
    assert (why.summary, why.unsatisfiable) == ("only runs 1 of 1 actions", False)
    assert why.workers[0].verdict == admin_pb2.WorkerVerdict.BUSY


async def test_a_drained_worker_gets_no_new_work_until_it_is_undrained(farm) -> None:
    worker = await farm.worker()
    admin.set_drain(farm.site, "MAIN", worker.id, True)
    (shown,) = (await farm.admin.ListWorkers(admin_pb2.ListWorkersRequest(scheduler="MAIN"))).workers
    assert shown.state == admin_pb2.Worker.DRAINING
    call = farm.execute(farm.action())
    _, metadata = await farm.next(call)
    assert metadata.stage == QUEUED
    assert not metadata.partial_execution_metadata.auxiliary_metadata
    admin.set_drain(farm.site, "MAIN", worker.id, False)
    assert await worker.started()


@pytest.mark.parametrize("scheduler", ["OTHER", ""])
async def test_draining_in_a_scheduler_that_is_not_there_is_an_error(farm, scheduler) -> None:
    with pytest.raises(Error, match="no scheduler"):
        admin.set_drain(farm.site, scheduler, "x", True)


async def test_draining_a_worker_that_is_not_there_names_those_that_are(farm) -> None:
    worker = await farm.worker()
    with pytest.raises(Error) as caught:
        admin.set_drain(farm.site, "MAIN", "x", True)
    assert worker.id in caught.value.remedy


async def test_an_unknown_scheduler_is_not_found(farm) -> None:
    call = farm.admin.ListWorkers(admin_pb2.ListWorkersRequest(scheduler="OTHER"))
    assert await call.code() is grpc.StatusCode.NOT_FOUND


async def test_properties_are_explained_before_anything_is_submitted(farm) -> None:
    await farm.worker("near", os="linux", cpu="4")
    asked = platform(os="linux", cpu="5").properties
    why = await farm.admin.ExplainProperties(admin_pb2.ExplainPropertiesRequest(properties=asked))
    assert (why.summary, why.unsatisfiable) == ("near offers cpu=4, asked 5", True)
    free = await farm.admin.ExplainProperties(admin_pb2.ExplainPropertiesRequest())
    assert [each.verdict for each in free.workers] == [admin_pb2.WorkerVerdict.NOW]
    bad = farm.admin.ExplainProperties(admin_pb2.ExplainPropertiesRequest(properties=platform(cpu="many").properties))
    assert await bad.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_queues_gather_what_asks_for_the_same_properties(farm) -> None:
    await farm.worker("only", most=1, os="linux")
    for number in range(3):
        await farm.next(farm.execute(farm.action(str(number), platform=platform(os="linux"))))
    await farm.next(farm.execute(farm.action("odd", platform=platform(os="beos"))))
    long, odd = (await farm.admin.ListQueues(admin_pb2.ListQueuesRequest())).queues
    assert {each.name: each.value for each in long.properties} == {"os": "linux"}
    assert (long.queued, long.executing, long.workers, long.free_workers) == (2, 1, 1, 0)
    assert long.oldest.seconds == 1_700_000_100
    assert long.explanation == "only runs 1 of 1 actions"
    assert (odd.queued, odd.executing, odd.workers) == (1, 0, 0)
    assert odd.explanation == "only offers os=linux, asked beos"


async def test_operations_are_cancelled_by_their_ids_and_each_fate_is_told(farm) -> None:
    call = farm.execute(farm.action("waits"))
    name = (await farm.next(call))[0].name.rpartition("/")[2]
    answer = await farm.admin.CancelOperations(admin_pb2.CancelOperationsRequest(ids=[name, "nobody"]))
    assert (list(answer.cancelled), list(answer.ended), list(answer.unknown)) == ([name], [], ["nobody"])
    await farm.until_stage(call, rx.ExecutionStage.COMPLETED)
    again = await farm.admin.CancelOperations(admin_pb2.CancelOperationsRequest(ids=[name]))
    assert list(again.ended) == [name]


async def test_an_operation_tells_who_asked_and_can_be_found_by_it(farm) -> None:
    said = rx.RequestMetadata(tool_invocation_id="i-1", target_id="//a:b", action_mnemonic="CppCompile")
    header = ("build.bazel.remote.execution.v2.requestmetadata-bin", said.SerializeToString())
    request = rx.ExecuteRequest(action_digest=Cache.message(farm.action("mine")))
    await farm.next(farm.execution.Execute(request, metadata=[header]))
    await farm.next(farm.execute(farm.action("of nobody")))
    bad = rx.ExecuteRequest(action_digest=Cache.message(farm.action("odd")))
    await farm.next(farm.execution.Execute(bad, metadata=[(header[0], b"\xff\xff")]))
    everybody = await farm.admin.ListOperations(admin_pb2.ListOperationsRequest())
    assert everybody.total == 3
    (shown,) = (await farm.admin.ListOperations(admin_pb2.ListOperationsRequest(invocation="i-1"))).operations
    assert (shown.invocation, shown.target, shown.mnemonic) == ("i-1", "//a:b", "CppCompile")


async def test_an_operation_is_watched_from_the_queue_to_its_end(farm) -> None:
    worker = await farm.worker(most=1)
    first = farm.execute(farm.action("first"))
    await farm.next(first)
    name = (await farm.next(farm.execute(farm.action("second"))))[0].name.rpartition("/")[2]
    watching = farm.admin.WatchOperations(admin_pb2.WatchOperationsRequest(ids=[name]))
    assert (await watching.read()).stage == QUEUED
    await worker.finished((await worker.started()).operation_id)
    running = await watching.read()
    assert (running.stage, running.worker_id) == (EXECUTING, worker.id)
    response = rx.ExecuteResponse(result=rx.ActionResult(exit_code=7))
    await worker.finished((await worker.started()).operation_id, response)
    ended = await watching.read()
    assert (ended.stage, ended.ending.code, ended.ending.exit_code) == (rx.ExecutionStage.COMPLETED, 0, 7)
    assert await watching.read() is grpc.aio.EOF


async def test_whoever_watches_without_ids_sees_what_is_there_and_what_comes(farm) -> None:
    await farm.next(farm.execute(farm.action("there")))
    watching = farm.admin.WatchOperations(admin_pb2.WatchOperationsRequest())
    there = await watching.read()
    await farm.next(farm.execute(farm.action("comes")))
    comes = await watching.read()
    assert there.id != comes.id
    await farm.admin.CancelOperations(admin_pb2.CancelOperationsRequest(ids=[there.id]))
    cancelled = await watching.read()
    assert (cancelled.id, cancelled.ending.code) == (there.id, grpc.StatusCode.CANCELLED.value[0])
    watching.cancel()


async def test_watching_ends_at_once_for_what_ended_and_is_an_error_for_what_nobody_knows(farm) -> None:
    name = (await farm.next(farm.execute(farm.action())))[0].name.rpartition("/")[2]
    await farm.admin.CancelOperations(admin_pb2.CancelOperationsRequest(ids=[name]))
    seen = [one async for one in farm.admin.WatchOperations(admin_pb2.WatchOperationsRequest(ids=[name]))]
    assert [one.stage for one in seen] == [rx.ExecutionStage.COMPLETED]
    lost = farm.admin.WatchOperations(admin_pb2.WatchOperationsRequest(ids=["nobody"]))
    assert await lost.code() is grpc.StatusCode.NOT_FOUND


async def test_whoever_watches_is_told_when_the_scheduler_ends(farm) -> None:
    watching = farm.admin.WatchOperations(admin_pb2.WatchOperationsRequest())
    await farm.next(farm.execute(farm.action()))
    await watching.read()
    farm.scheduler.stop()
    assert await watching.code() is grpc.StatusCode.UNAVAILABLE


async def test_workers_are_drained_by_name_all_or_none(farm) -> None:
    one, other = await farm.worker("one"), await farm.worker("other")
    lost = farm.admin.SetDrain(admin_pb2.SetDrainRequest(workers=["one", "nobody"], draining=True))
    assert await lost.code() is grpc.StatusCode.NOT_FOUND
    states = (await farm.admin.ListWorkers(admin_pb2.ListWorkersRequest())).workers
    assert {each.state for each in states} == {admin_pb2.Worker.READY}
    answer = await farm.admin.SetDrain(admin_pb2.SetDrainRequest(workers=["one", other.id], draining=True))
    assert {each.id: each.state for each in answer.workers} == dict.fromkeys(
        (one.id, other.id), admin_pb2.Worker.DRAINING
    )
    answer = await farm.admin.SetDrain(admin_pb2.SetDrainRequest(workers=["one"], draining=False))
    assert [each.state for each in answer.workers] == [admin_pb2.Worker.READY]
