"""A worker that is spoken by hand, over the WorkerApi of our own server."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
from google.rpc import status_pb2
from nlserver.proto import worker_api_pb2, worker_api_pb2_grpc

from tests.conformance.own import Own
from tests.conformance.target import Feed, rx

api: Final = worker_api_pb2
_PATIENCE_SECONDS: Final = 90.0


class Worker:
    """A registered worker: what it is told, and what it says."""

    def __init__(self, channel: grpc.Channel, name: str, most: int = 0, **properties: str) -> None:
        self._feed = Feed()
        self._heard: queue.SimpleQueue[api.UpdateForWorker | None] = queue.SimpleQueue()
        self._call = worker_api_pb2_grpc.WorkerApiStub(channel).ConnectWorker(iter(self._feed))
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        platform = [rx.Platform.Property(name=key, value=value) for key, value in properties.items()]
        offer = api.ConnectWorkerRequest(worker_id_prefix=name, properties=platform, max_inflight_tasks=most)
        self.say(connect_worker_request=offer)
        self.id = self.hear().connection_result.worker_id

    def _listen(self) -> None:
        try:
            for update in self._call:
                self._heard.put(update)
        except grpc.RpcError:
            pass
        self._heard.put(None)

    def say(self, **update: Any) -> None:
        """Tell the scheduler something."""
        self._feed.say(api.UpdateForScheduler(**update))

    def hear(self) -> api.UpdateForWorker:
        """What the scheduler tells next."""
        update = self._heard.get(timeout=_PATIENCE_SECONDS)
        assert update is not None, "the scheduler ended the stream"
        return update

    def order(self, wanted: rx.Digest) -> api.StartExecute:
        """The order to run this action; what earlier tests left in the queue is answered on the way."""
        while True:
            update = self.hear()
            match update.WhichOneof("update"):
                case "start_action" if update.start_action.execute_request.action_digest == wanted:
                    return update.start_action
                case "start_action":
                    self.result(update.start_action.operation_id)
                case kind:
                    assert kind == "kill_operation_request", update

    def result(self, operation: str, response: rx.ExecuteResponse | None = None) -> None:
        """Say that a run ended, well unless stated."""
        response = response or rx.ExecuteResponse(result=rx.ActionResult(exit_code=0))
        self.say(execute_result=api.ExecuteResult(operation_id=operation, execute_response=response))

    def failure(self, operation: str, code: int, words: str) -> None:
        """Say that it could not be run."""
        error = status_pb2.Status(code=code, message=words)
        self.say(execute_result=api.ExecuteResult(operation_id=operation, internal_error=error))

    def is_out(self) -> bool:
        """Whether the scheduler ends the stream now, after at most some last words."""
        while (update := self._heard.get(timeout=_PATIENCE_SECONDS)) is not None:
            assert update.WhichOneof("update") in ("disconnect", "kill_operation_request"), update
        return True

    def leave(self) -> None:
        """Be gone, as after a crash."""
        self._call.cancel()
        self._feed.end()
        self._listener.join()


@contextmanager
def hands(own: Own) -> Iterator[Any]:
    """Makes workers of the hand instance; they are gone at the end."""
    made: list[Worker] = []
    with grpc.insecure_channel(own.hand_address) as channel:

        def join(name: str = "hand", most: int = 0, **properties: str) -> Worker:
            made.append(Worker(channel, name, most, **properties))
            return made[-1]

        yield join
        for worker in made:
            worker.leave()
