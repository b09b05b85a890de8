"""The whole worker against a scripted scheduler, from its config object to its last message."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nlserver.errors import Code, Error
from nlserver.proto import worker_api_pb2 as api
from nlserver.reapi import action as actions
from nlserver.reapi.digest import Digest, of
from nlserver.spec import Site
from nlserver.stores.fast_slow import FastSlowSpec
from nlserver.stores.memory import MemorySpec
from nlserver.worker.local import DirectoryCacheSpec, LocalSpec, LocalWorker, WorkerApiEndpointSpec
from nlserver.worker.properties import PropertySpec
from nlserver.worker.results import UploadSpec

from tests.server.worker.scheduler import FakeScheduler, Talk, served
from tests.server.worker.shop import left

Make = Callable[..., LocalWorker]


@pytest.fixture
async def scheduler() -> AsyncIterator[FakeScheduler]:
    async with served(FakeScheduler()) as made:
        yield made


@pytest.fixture
def named(site: Site, cas_spec: FastSlowSpec) -> Site:
    site._specs |= {"store": {"CAS": cas_spec, "AC": MemorySpec()}}
    return site


@pytest.fixture
def spec(scheduler: FakeScheduler, tmp_path: Path) -> LocalSpec:
    return LocalSpec(
        name="prefix-",
        worker_api_endpoint=WorkerApiEndpointSpec(uri=f"grpc://127.0.0.1:{scheduler.port}", timeout=2),
        cas_fast_slow_store="CAS",
        upload_action_result=UploadSpec(ac_store="AC"),
        work_directory=str(tmp_path / "work"),
        platform_properties={
            "cpu_count": PropertySpec(query_cmd="nproc"),
            "ISA": PropertySpec(values=("x86-64", "other")),
        },
    )


async def put(site: Site, data: bytes) -> Digest:
    digest = of(data)
    await site.named("store", "CAS").put(digest, data)
    return digest


async def start(site: Site, operation: str, script: str, **more: Any) -> api.StartExecute:
    """An order for a shell script without inputs."""
    command = actions.command(["/bin/sh", "-c", script], environment={"PATH": "/usr/bin:/bin"})
    action = actions.action(await put(site, command.SerializeToString()), await put(site, b""), **more)
    made = api.StartExecute(operation_id=operation, worker_id="worker-1")
    digest = await put(site, action.SerializeToString())
    made.execute_request.instance_name = "main"
    made.execute_request.digest_function = 1
    made.execute_request.action_digest.hash, made.execute_request.action_digest.size_bytes = digest[:2]
    return made


async def running(site: Site, spec: LocalSpec) -> LocalWorker:
    worker = spec.build(site)
    site.spawn(worker.run(), "worker")
    return worker


def marker(tmp_path: Path) -> tuple[str, asyncio.Task[None]]:
    """A line of shell that says that it was reached, and the wait for it."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return f"echo > {path}", asyncio.create_task(asyncio.wait_for(asyncio.to_thread(path.read_text), 60))  # type: ignore[arg-type]


async def test_a_worker_announces_what_it_offers(named: Site, spec: LocalSpec, scheduler: FakeScheduler) -> None:
    worker = await running(named, replace(spec, max_inflight_tasks=3))
    talk = await scheduler.talk()
    async with asyncio.timeout(60):
        await worker.registered.wait()
    properties = [(each.name, each.value) for each in talk.offer.properties]
    assert properties == [("cpu_count", str(len(os.sched_getaffinity(0)))), ("ISA", "x86-64"), ("ISA", "other")]
    assert (talk.offer.worker_id_prefix, talk.offer.max_inflight_tasks) == ("prefix-", 3)


async def test_the_log_events_that_people_look_for_exist(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="nlserver")
    await running(named, spec)
    talk = await scheduler.talk()
    talk.tell(start_action=await start(named, "op", "true"))
    await talk.result()
    said = {record.getMessage(): record.facts for record in caplog.records}  # type: ignore[attr-defined]
    assert said["Connected to scheduler"]["endpoint"] == spec.worker_api_endpoint.uri
    assert said["Worker registered with scheduler"]["worker_id"] == "worker-1"
    assert "ISA=x86-64" in said["Worker registered with scheduler"]["platform_properties"]
    assert said["Executing action"]["operation"] == "op"


async def test_an_order_is_answered_by_its_completion_and_one_result(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler
) -> None:
    await running(named, spec)
    talk = await scheduler.talk()
    order = await start(named, "op", "echo hi; exit 4")
    order.platform.properties.add(name="cpu_count", value="1")
    talk.tell(start_action=order)
    assert (await talk.heard()).execute_complete.operation_id == "op"
    result = (await talk.heard()).execute_result
    assert (result.operation_id, result.instance_name) == ("op", "main")
    assert result.execute_response.result.exit_code == 4
    assert result.execute_response.result.stdout_raw == b"hi\n"
    assert result.resource_usage.worker_id == "worker-1"
    assert talk.said.empty()


async def test_no_completion_is_told_of_an_order_that_took_no_properties(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler
) -> None:
    await running(named, spec)
    talk = await scheduler.talk()
    talk.tell(start_action=await start(named, "op", "true"))
    assert (await talk.heard()).execute_result.operation_id == "op"


async def test_the_action_cache_has_the_result_before_the_scheduler(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler
) -> None:
    await running(named, spec)
    talk = await scheduler.talk()
    order = await start(named, "op", "true")
    talk.tell(start_action=order)
    await talk.result()
    assert await named.named("store", "AC").sizes([Digest(*_pair(order))]) != [None]


def _pair(order: api.StartExecute) -> tuple[str, int]:
    digest = order.execute_request.action_digest
    return digest.hash, digest.size_bytes


async def test_actions_run_side_by_side(named: Site, spec: LocalSpec, scheduler: FakeScheduler, tmp_path: Path) -> None:
    await running(named, spec)
    talk = await scheduler.talk()
    fifo = tmp_path / "between"
    os.mkfifo(fifo)
    talk.tell(start_action=await start(named, "reads", f"read x < {fifo}; echo $x"))
    talk.tell(start_action=await start(named, "writes", f"echo word > {fifo}"))
    results = {result.operation_id: result for result in [await talk.result(), await talk.result()]}
    assert results["reads"].execute_response.result.stdout_raw == b"word\n"


async def test_a_kill_is_acknowledged_by_the_result(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler, tmp_path: Path
) -> None:
    await running(named, spec)
    talk = await scheduler.talk()
    line, reached = marker(tmp_path)
    talk.tell(start_action=await start(named, "op", f"{line}; sleep 60"))
    await reached
    talk.tell(kill_operation_request=api.KillOperationRequest(operation_id="unknown"))
    talk.tell(kill_operation_request=api.KillOperationRequest(operation_id="op"))
    result = (await talk.heard()).execute_result
    assert (result.operation_id, result.execute_response.status.code) == ("op", Code.ABORTED)
    assert left(spec.work_directory) == []


async def test_keep_alives_come_twice_in_each_timeout(named: Site, spec: LocalSpec, scheduler: FakeScheduler) -> None:
    endpoint = replace(spec.worker_api_endpoint, timeout=0.2)
    began = time.monotonic()
    await running(named, replace(spec, worker_api_endpoint=endpoint, platform_properties={}))
    talk = await scheduler.talk()
    async with asyncio.timeout(60):
        while talk.keep_alives < 5:  # noqa: ASYNC110 - the other side counts them
            await asyncio.sleep(0.01)
    # However slow this machine is, they do not come more often.
    assert talk.keep_alives <= (time.monotonic() - began) / 0.1 + 2


async def test_a_lost_connection_kills_everything_and_the_worker_comes_back(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler, tmp_path: Path
) -> None:
    await running(named, spec)
    talk = await scheduler.talk()
    line, reached = marker(tmp_path)
    talk.tell(start_action=await start(named, "op", f"setsid sleep 60 & {line}; sleep 60"))
    await reached
    talk.hang_up()
    again = await scheduler.talk()
    assert left(spec.work_directory) == []
    again.tell(start_action=await start(named, "op", "true"))
    assert (await again.result()).execute_response.result.exit_code == 0


async def test_a_scheduler_that_restarts_gets_its_worker_back(
    named: Site, spec: LocalSpec, unused_tcp_port_factory: Callable[[], int]
) -> None:
    first = FakeScheduler(port=unused_tcp_port_factory())
    endpoint = replace(spec.worker_api_endpoint, uri=f"grpc://127.0.0.1:{first.port}")
    await running(named, replace(spec, worker_api_endpoint=endpoint))
    async with served(first):
        await first.talk()
    second = FakeScheduler(port=first.port)
    async with served(second):
        talk = await second.talk()
        talk.tell(start_action=await start(named, "op", "true"))
        await talk.result()


async def test_a_silent_scheduler_is_left_and_tried_again(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler
) -> None:
    scheduler.silent = True
    endpoint = replace(spec.worker_api_endpoint, timeout=0.2)
    worker = await running(named, replace(spec, worker_api_endpoint=endpoint))
    await scheduler.talk()
    scheduler.silent = False
    await scheduler.talk()
    async with asyncio.timeout(60):
        await worker.registered.wait()


@pytest.mark.parametrize("answer", [api.UpdateForWorker(), api.UpdateForWorker(keep_alive={})])
async def test_a_first_answer_that_is_no_registration_is_a_reason_to_try_again(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler, answer: api.UpdateForWorker
) -> None:
    good, scheduler.answer = scheduler.answer, answer
    worker = await running(named, spec)
    await scheduler.talk()
    assert not worker.registered.is_set()
    scheduler.answer = good
    await scheduler.talk()
    async with asyncio.timeout(60):
        await worker.registered.wait()


async def test_a_property_that_cannot_be_asked_delays_registration(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler, tmp_path: Path
) -> None:
    script = tmp_path / "query"
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    line, reached = marker(tmp_path)
    script.write_text(
        f"#!/bin/sh\nif [ -e {tmp_path}/ready ]; then echo yes; else touch {tmp_path}/ready; {line}; exit 1; fi\n"
    )
    await running(named, replace(spec, platform_properties={"works": PropertySpec(query_cmd=str(script))}))
    await reached
    talk = await scheduler.talk()
    assert [each.value for each in talk.offer.properties] == ["yes"]


async def test_a_drained_worker_finishes_refuses_new_work_and_signs_off(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler, tmp_path: Path
) -> None:
    worker = await running(named, spec)
    talk = await scheduler.talk()
    line, reached = marker(tmp_path)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    talk.tell(start_action=await start(named, "old", f"{line}; read x < {gate}"))
    await reached
    drained = asyncio.create_task(worker.drain())
    await asyncio.sleep(0)
    talk.tell(start_action=await start(named, "new", "true"))
    refusal = (await talk.heard()).execute_result
    assert (refusal.operation_id, refusal.internal_error.code) == ("new", Code.RESOURCE_EXHAUSTED)
    assert refusal.internal_error.message == "Worker shutting down"
    await asyncio.to_thread(gate.write_text, "go\n")
    assert (await talk.result()).operation_id == "old"
    assert (await talk.heard()).WhichOneof("update") == "going_away_request"
    async with asyncio.timeout(60):
        await drained
    await talk.left()


async def test_a_worker_that_found_no_scheduler_drains_at_once(named: Site, spec: LocalSpec) -> None:
    endpoint = replace(spec.worker_api_endpoint, uri="grpc://127.0.0.1:1")
    worker = await running(named, replace(spec, worker_api_endpoint=endpoint))
    async with asyncio.timeout(60):
        await worker.drain()


async def test_more_orders_than_announced_are_given_back(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler, tmp_path: Path
) -> None:
    await running(named, replace(spec, max_inflight_tasks=1))
    talk = await scheduler.talk()
    line, reached = marker(tmp_path)
    talk.tell(start_action=await start(named, "one", f"{line}; sleep 60"))
    await reached
    talk.tell(start_action=await start(named, "one", "true"))
    assert (await talk.heard()).execute_result.internal_error.code == Code.ALREADY_EXISTS
    talk.tell(start_action=await start(named, "two", "true"))
    assert (await talk.heard()).execute_result.internal_error.code == Code.RESOURCE_EXHAUSTED


async def test_an_order_that_makes_no_sense_is_refused_for_good(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler
) -> None:
    await running(named, spec)
    talk = await scheduler.talk()
    order = await start(named, "op", "true")
    order.execute_request.digest_function = 5
    talk.tell(start_action=order)
    result = (await talk.heard()).execute_result
    assert result.execute_response.status.code == Code.INVALID_ARGUMENT
    assert result.execute_response.result.execution_metadata.HasField("queued_timestamp")


async def test_operation_ids_cannot_lead_out_of_the_work_directory(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler, tmp_path: Path
) -> None:
    await running(named, spec)
    talk = await scheduler.talk()
    for operation in ("../../out", "", ".", "a" * 1000, "x\0y"):
        talk.tell(start_action=await start(named, operation, "pwd"))
        result = await talk.result()
        assert result.operation_id == operation
        assert result.execute_response.result.stdout_raw.startswith(f"{tmp_path}/work/".encode())


async def test_two_workers_cannot_share_a_work_directory(named: Site, spec: LocalSpec) -> None:
    spec.build(named)
    with pytest.raises(Error, match="another worker uses this work_directory"):
        spec.build(named)


async def test_what_a_killed_worker_left_is_removed_at_the_start(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler
) -> None:
    old = Path(spec.work_directory) / "operation" / "work"
    old.mkdir(parents=True)
    (old / "file").write_text("x")
    old.chmod(0o500)
    await running(named, spec)
    await scheduler.talk()
    assert left(spec.work_directory) == []


@pytest.mark.parametrize(
    "keys",
    [{"directory_cache": DirectoryCacheSpec()}, {"use_namespaces": True}, {"experimental_active_input_leases": True}],
)
async def test_what_is_not_available_yet_says_so(named: Site, spec: LocalSpec, keys: dict[str, Any]) -> None:
    with pytest.raises(Error, match="not available yet"):
        replace(spec, **keys).build(named)


async def test_a_store_that_is_no_fast_slow_store_is_refused(named: Site, spec: LocalSpec) -> None:
    with pytest.raises(Error, match="no fast_slow store"):
        replace(spec, cas_fast_slow_store="AC").build(named)


def test_the_uploads_of_a_config_without_an_action_cache_are_a_problem(spec: LocalSpec) -> None:
    silent = LocalSpec(**{name: value for name, value in vars(spec).items() if name != "upload_action_result"})
    assert any("ac_store" in problem for problem in LocalSpec.problems(silent))
    assert LocalSpec.problems(spec) == []


async def test_a_talk_of_many_orders_has_one_result_each(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler
) -> None:
    await running(named, spec)
    talk: Talk = await scheduler.talk()
    for number in range(20):
        talk.tell(start_action=await start(named, f"op{number}", f"exit {number}"))
    codes: dict[str, int] = {}
    while len(codes) < 20:
        message = await talk.heard()
        if message.WhichOneof("update") == "execute_result":
            result = message.execute_result
            assert result.operation_id not in codes
            codes[result.operation_id] = result.execute_response.result.exit_code
    assert codes == {f"op{number}": number for number in range(20)}


@pytest.mark.parametrize("turns", range(0, 40, 4))
async def test_cancelling_ends_the_worker_even_while_its_connection_is_being_lost(
    named: Site, spec: LocalSpec, scheduler: FakeScheduler, turns: int
) -> None:
    worker = spec.build(named)
    task = asyncio.create_task(worker.run())
    talk = await scheduler.talk()
    await worker.registered.wait()
    talk.hang_up()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=60)
    assert task.cancelled()
