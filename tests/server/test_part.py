"""The HTTP routes of a running config, as operators' scripts ask them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import grpc
import httpx
import pytest
from nlserver.board import Board
from nlserver.cluster import loads
from nlserver.config.problem import ConfigError
from nlserver.part import Part
from nlserver.proto import admin_pb2, admin_pb2_grpc, worker_api_pb2, worker_api_pb2_grpc

from tests.server.services.conftest import FakeWorker

CONFIG = """{
  stores: [],
  schedulers: [{ name: "MAIN", simple: {} }, { name: "a b/c", simple: {} }],
  servers: [{
    listener: { http: { socket_address: "127.0.0.1:0" } },
    services: { worker_api: { scheduler: "MAIN" }, admin: {PATH} },
  }],
}"""


class Running:
    """A part, its only listener, and a worker that is connected to it."""

    def __init__(self, address: str, channel: grpc.aio.Channel, worker: FakeWorker) -> None:
        self._address = address
        self._admin = admin_pb2_grpc.AdminStub(channel)
        self.worker = worker

    async def ask(self, method: str, path: str) -> tuple[int, str]:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.request(method, f"http://{self._address}{path}")
        return answer.status_code, answer.text

    async def drain(self, scheduler: str, worker: str, wish: str, at: str = "/admin") -> tuple[int, str]:
        return await self.ask("POST", f"{at}/scheduler/{scheduler}/set_drain_worker/{worker}/{wish}")

    async def state(self) -> str:
        (shown,) = (await self._admin.ListWorkers(admin_pb2.ListWorkersRequest())).workers
        return admin_pb2.Worker.State.Name(shown.state)


@pytest.fixture
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    path = getattr(request, "param", "")
    tasks: list[asyncio.Task[None]] = []

    def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> None:
        tasks.append(asyncio.create_task(coroutine, name=name))

    part = Part(loads(CONFIG.replace("PATH", path), "config", {}), spawn, 0.0, "1", Board(1))
    await part.start()
    (address,) = (await part.describe()).listeners
    async with grpc.aio.insecure_channel(address) as channel:
        worker = FakeWorker(worker_api_pb2_grpc.WorkerApiStub(channel).ConnectWorker())
        await worker.say(connect_worker_request=worker_api_pb2.ConnectWorkerRequest(worker_id_prefix="a worker/1"))
        worker.id = (await worker.order()).connection_result.worker_id
        yield Running(address, channel, worker)
    await part.drain()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await part.close()


def quoted(text: str) -> str:
    return text.replace("/", "%2F").replace(" ", "%20")


async def test_a_worker_drains_and_works_again_and_both_answers_say_draining(
    running: Running,
) -> None:
    worker = running.worker.id
    assert worker.startswith("a worker/1")
    for wish, state in (("1", "DRAINING"), ("1", "DRAINING"), ("0", "READY"), ("0", "READY")):
        assert await running.drain("MAIN", quoted(worker), wish) == (200, f"Draining worker {worker}")
        assert await running.state() == state


async def test_everything_that_is_wrong_is_a_500_with_the_reason(running: Running) -> None:
    worker = quoted(running.worker.id)
    for scheduler, name, wish, words in (
        ("NOBODY", worker, "1", "no scheduler 'NOBODY'"),
        ("", worker, "1", "no scheduler"),
        ("MAIN", "nobody", "1", "no worker 'nobody'"),
        ("a%20b%2Fc", worker, "1", "no worker"),
        ("MAIN", worker, "2", "'2' is neither 0 nor 1"),
        ("MAIN", worker, "", "neither 0 nor 1"),
        ("MAIN", worker, "true", "neither 0 nor 1"),
    ):
        status, text = await running.drain(scheduler, name, wish)
        assert status == 500
        assert text.startswith("Error: ")
        assert words in text
    assert await running.state() == "READY"


async def test_only_post_changes_anything(running: Running) -> None:
    path = f"/admin/scheduler/MAIN/set_drain_worker/{quoted(running.worker.id)}/1"
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        assert (await running.ask(method, path))[0] == 405
    assert await running.state() == "READY"


async def test_other_paths_are_no_route(running: Running) -> None:
    for path in ("/", "/admin", "/admin/", "/adminscheduler/MAIN/set_drain_worker/x/1", "/admin/scheduler/MAIN/x/1"):
        assert await running.ask("POST", path) == (404, f"No route for {path}\n")


@pytest.mark.parametrize("running", ['path: "/ops/"', 'path: "/ops"'], indirect=True)
async def test_the_route_stands_where_the_config_says(running: Running) -> None:
    worker = quoted(running.worker.id)
    assert (await running.drain("MAIN", worker, "1", at="/ops"))[0] == 200
    assert (await running.drain("MAIN", worker, "1", at="/admin"))[0] == 404


def test_a_place_that_no_request_could_name_is_a_problem_of_the_config() -> None:
    with pytest.raises(ConfigError, match="must start with /"):
        loads(CONFIG.replace("PATH", 'path: "ops"'), "config", {})


async def test_prometheus_is_told_of_the_queue_and_the_workers(running: Running) -> None:
    status, page = await running.ask("GET", "/metrics")
    assert status == 200
    assert "\nnlctl_operations_queued 0\n" in page
    assert '\nnlctl_workers_connected{state="ready"} 1\n' in page
