"""What the admin service of a running scheduler says, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nlserver.errors import Code, Error

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

_SECONDS: Final = 10.0


@dataclass(frozen=True)
class WorkerFacts:
    """A connected worker. Times are seconds since 1970."""

    name: str
    id: str
    scheduler: str
    state: str
    properties: Mapping[str, Sequence[str]]
    remaining: Mapping[str, Sequence[str]]
    operations: Sequence[str]
    most_operations: int
    completed: int
    connected: float
    last_seen: float


@dataclass(frozen=True)
class OperationFacts:
    """One execution; `unsatisfiable` tells that no connected worker could ever run it, `explanation` why."""

    id: str
    stage: str
    since: float
    worker: str
    explanation: str
    unsatisfiable: bool


@dataclass(frozen=True)
class HealthFacts:
    """What a process says of one of its stores or schedulers."""

    name: str
    ok: bool
    message: str


@dataclass(frozen=True)
class Overview:
    """Everything at one time. `queued` are the oldest of the `queue_length` operations that wait, oldest first."""

    version: str
    health: Sequence[HealthFacts]
    workers: Sequence[WorkerFacts]
    queued: Sequence[OperationFacts]
    queue_length: int


def workers(endpoint: str) -> list[WorkerFacts]:
    """The workers that the schedulers of this process see. Raises Error."""
    from nlserver.proto import admin_pb2

    with _Admin(endpoint) as admin:
        answer = admin.call("ListWorkers", admin_pb2.ListWorkersRequest())
    return [_worker(one) for one in answer.workers]


def overview(endpoint: str) -> Overview:
    """The process, its workers and what it works on. Raises Error."""
    from nlserver.proto import admin_pb2, remote_execution_pb2

    waiting = [remote_execution_pb2.ExecutionStage.QUEUED]
    with _Admin(endpoint) as admin:
        part = admin.call("GetPart", admin_pb2.GetPartRequest())
        seated = admin.call("ListWorkers", admin_pb2.ListWorkersRequest())
        queue = admin.call("ListOperations", admin_pb2.ListOperationsRequest(stages=waiting))
    return Overview(
        part.version,
        [HealthFacts(one.name, one.ok, one.message) for one in part.health],
        [_worker(one) for one in seated.workers],
        [_operation(one) for one in queue.operations],
        queue.total,
    )


class _Admin:
    """One connection, closed on leaving."""

    def __init__(self, endpoint: str) -> None:
        import grpc
        from nlserver.proto import admin_pb2_grpc

        self._endpoint = endpoint
        # A proxy of the environment has no business between this machine and itself.
        options = [("grpc.enable_http_proxy", 0)]
        self._channel = grpc.insecure_channel(endpoint.removeprefix("grpc://"), options)
        self._stub = admin_pb2_grpc.AdminStub(self._channel)

    def __enter__(self) -> _Admin:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def call(self, method: str, request: Any) -> Any:
        """Call it. Raises Error with the server's code."""
        import grpc

        try:
            return getattr(self._stub, method)(request, timeout=_SECONDS)
        except grpc.RpcError as error:
            code = Code(error.code().value[0])
            raise Error(code, error.details() or code.name, where=f"{method} at {self._endpoint}") from error


def _worker(message: Any) -> WorkerFacts:
    return WorkerFacts(
        name=message.name,
        id=message.id,
        scheduler=message.scheduler,
        state=type(message).State.Name(message.state).lower(),
        properties=_properties(message.properties),
        remaining=_properties(message.remaining),
        operations=list(message.operations),
        most_operations=message.max_inflight_tasks,
        completed=message.completed,
        connected=_seconds(message.connected),
        last_seen=_seconds(message.last_seen),
    )


def _operation(message: Any) -> OperationFacts:
    from nlserver.proto import remote_execution_pb2

    return OperationFacts(
        id=message.id,
        stage=remote_execution_pb2.ExecutionStage.Value.Name(message.stage).lower(),
        since=_seconds(message.since),
        worker=message.worker_id,
        explanation=message.explanation,
        unsatisfiable=message.unsatisfiable,
    )


def _properties(items: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in items:
        found.setdefault(item.name, []).append(item.value)
    return found


def _seconds(stamp: Timestamp) -> float:
    return stamp.seconds + stamp.nanos / 1e9
