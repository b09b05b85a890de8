"""How many Execute calls a second pass from a client over the scheduler to workers that answer at once, and back.

    .venv/bin/python tests/bench/execution.py

Client, scheduler and four workers share one process and one core; what it measures is the price of the protocol.
"""

from __future__ import annotations

import asyncio
import time

import grpc
import uvloop
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.proto import remote_execution_pb2_grpc, worker_api_pb2, worker_api_pb2_grpc
from nlserver.reapi.digest import Digest, of
from nlserver.schedulers.simple import SimpleSpec
from nlserver.services import execution, worker_api
from nlserver.spec import Site
from nlserver.store import Store
from nlserver.stores.memory import MemorySpec

ACTIONS = 2000
CLIENTS = 50


def message(digest: Digest) -> rx.Digest:
    """As it stands in other messages."""
    return rx.Digest(hash=digest.hash, size_bytes=digest.size_bytes)


async def keep(store: Store, data: bytes) -> rx.Digest:
    """Put a blob into the store."""
    digest = of(data)
    await store.put(digest, data)
    return message(digest)


async def work(channel: grpc.aio.Channel, name: str) -> None:
    """A worker that answers every action at once."""
    call = worker_api_pb2_grpc.WorkerApiStub(channel).ConnectWorker()
    connect = worker_api_pb2.ConnectWorkerRequest(worker_id_prefix=name)
    await call.write(worker_api_pb2.UpdateForScheduler(connect_worker_request=connect))
    response = rx.ExecuteResponse(result=rx.ActionResult(exit_code=0))
    while (update := await call.read()) is not grpc.aio.EOF:
        if update.WhichOneof("update") == "start_action":
            result = worker_api_pb2.ExecuteResult(
                operation_id=update.start_action.operation_id, execute_response=response
            )
            await call.write(worker_api_pb2.UpdateForScheduler(execute_result=result))


async def client(channel: grpc.aio.Channel, actions: list[rx.Digest]) -> None:
    """One action after the other until none is left."""
    stub = remote_execution_pb2_grpc.ExecutionStub(channel)
    while actions:
        call = stub.Execute(rx.ExecuteRequest(action_digest=actions.pop()))
        last = None
        async for operation in call:
            last = operation
        assert last is not None
        assert last.done


async def main() -> None:
    """Print the rate."""
    site = Site({"store": {"CAS": MemorySpec()}, "scheduler": {"MAIN": SimpleSpec()}})
    store = site.named("store", "CAS")
    command = await keep(store, rx.Command(arguments=["true"]).SerializeToString())
    root = await keep(store, b"")
    actions = [
        await keep(store, rx.Action(command_digest=command, input_root_digest=root, salt=b"%d" % n).SerializeToString())
        for n in range(ACTIONS)
    ]
    server = grpc.aio.server()
    for service in (
        execution.build([execution.ExecutionSpec(cas_store="CAS", scheduler="MAIN")], site),
        worker_api.build(worker_api.WorkerApiSpec(scheduler="MAIN"), site),
    ):
        server.add_generic_rpc_handlers(service.handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        workers = [asyncio.create_task(work(channel, f"w{n}")) for n in range(4)]
        begun, spent = time.perf_counter(), time.process_time()
        await asyncio.gather(*(client(channel, actions) for _ in range(CLIENTS)))
        took, spent = time.perf_counter() - begun, time.process_time() - spent
        print(f"{ACTIONS / took:,.0f} actions/s, {spent / ACTIONS * 1e6:,.0f} us of CPU each, {CLIENTS} clients")
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    await server.stop(0)
    await site.close()


if __name__ == "__main__":
    uvloop.run(main())
