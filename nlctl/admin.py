"""What the admin service of a running part says and does, as plain values.

An endpoint is `grpc://HOST:PORT`, an Address with the files that open it, or the path of a part's socket.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest, Function

from nlctl.contexts import Access, Address
from nlctl.faults import UNKNOWN_WORKER, Fault, fix

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

_SECONDS: Final = 10.0
_STREAM_SECONDS: Final = 300.0


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
    """One execution; `unsatisfiable` tells that no connected worker could ever run it, `explanation` why.

    `worker` is the id of the one that runs or ran it. Times are seconds since 1970. `invocation`, `target` and
    `mnemonic` are what the client that asked first says of itself; `ending` is told of watched ones alone.
    """

    id: str
    stage: str
    since: float
    queued: float
    worker: str
    explanation: str
    unsatisfiable: bool
    action: Digest
    instance: str
    priority: int
    attempts: int
    waiters: int
    properties: Mapping[str, Sequence[str]]
    invocation: str = ""
    target: str = ""
    mnemonic: str = ""
    ending: Ending | None = None

    @property
    def completed(self) -> bool:
        """Whether it has ended."""
        return self.stage == "completed"


@dataclass(frozen=True)
class Ending:
    """How an operation ended: the command's exit code, or why it could not be brought to its end."""

    exit_code: int
    failure: str = ""


@dataclass(frozen=True)
class WorkerVerdict:
    """Could this worker run it: `now`, `busy` or `never`, and what stands in the way."""

    worker: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class Explanation:
    """Why something does not run, or that it could."""

    summary: str
    unsatisfiable: bool
    workers: Sequence[WorkerVerdict]


@dataclass(frozen=True)
class QueueFacts:
    """The operations that ask for the same properties. `oldest` is seconds since 1970, 0 when none waits."""

    scheduler: str
    properties: Mapping[str, Sequence[str]]
    queued: int
    executing: int
    workers: int
    free_workers: int
    oldest: float
    explanation: str


@dataclass(frozen=True)
class Fates:
    """What became of operations that were to be cancelled, by their ids."""

    cancelled: Sequence[str]
    ended: Sequence[str]
    unknown: Sequence[str]


@dataclass(frozen=True)
class HealthFacts:
    """What a process says of one of its stores or schedulers."""

    name: str
    ok: bool
    message: str


@dataclass(frozen=True)
class ProcessFacts:
    """One of the processes of a server; `stuck` tells that it serves and gave no sign of life for long."""

    pid: int
    restarts: int
    stuck: bool


@dataclass(frozen=True)
class PartFacts:
    """What a server says of itself. `ahead_seconds` is by how much its clock is ahead of ours at least, below 0 when it
    is behind; None of a server that does not tell. `found_results` and `missed_results` count what its action cache was
    asked for since it started, `sent_bytes` what went out to all who called.
    """

    version: str
    pid: int
    health: Sequence[HealthFacts]
    processes: Sequence[ProcessFacts]
    ahead_seconds: float | None
    found_results: int = 0
    missed_results: int = 0
    sent_bytes: int = 0
    listeners: Sequence[str] = ()


@dataclass(frozen=True)
class Overview:
    """Everything at one time. `queued` are the oldest of the `queue_length` operations that wait, oldest first."""

    version: str
    health: Sequence[HealthFacts]
    workers: Sequence[WorkerFacts]
    queued: Sequence[OperationFacts]
    queue_length: int


def part(endpoint: str) -> PartFacts:
    """What the server at this endpoint says of itself. Raises Error."""
    from nlserver.proto import admin_pb2

    with Admin(endpoint) as admin:
        before = time.time()
        said = admin.call("GetPart", admin_pb2.GetPartRequest())
        after = time.time()
    ahead = None
    if said.HasField("now"):
        now = _seconds(said.now)
        ahead = max(now - after, 0.0) + min(now - before, 0.0)
    return PartFacts(
        said.version,
        said.pid,
        [HealthFacts(one.name, one.ok, one.message) for one in said.health],
        [ProcessFacts(one.pid, one.restarts, one.stuck) for one in said.processes],
        ahead,
        said.counters.found_results,
        said.counters.missed_results,
        said.counters.sent_bytes,
        list(said.listeners),
    )


def workers(endpoint: str) -> list[WorkerFacts]:
    """The workers that the schedulers of this process see. Raises Error."""
    with Admin(endpoint) as admin:
        return workers_of(admin)


def workers_of(admin: Admin) -> list[WorkerFacts]:
    """As `workers`, over a connection that stays open."""
    from nlserver.proto import admin_pb2

    return [_worker(one) for one in admin.call("ListWorkers", admin_pb2.ListWorkersRequest()).workers]


def overview(endpoint: str) -> Overview:
    """The process, its workers and what it works on. Raises Error."""
    from nlserver.proto import admin_pb2, remote_execution_pb2

    waiting = [remote_execution_pb2.ExecutionStage.QUEUED]
    with Admin(endpoint) as admin:
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


def workers_named(endpoint: str, wanted: Sequence[str]) -> list[WorkerFacts]:
    """The workers of these names or ids, all of them. Raises Fault UNKNOWN_WORKER, Error."""
    known = workers(endpoint)
    found = [one for one in known if one.name in wanted or one.id in wanted]
    if unknown := [text for text in wanted if not any(text in (one.name, one.id) for one in found)]:
        raise no_worker(unknown[0], known)
    return found


def operations(
    endpoint: str, stages: Sequence[str], limit: int, invocation: str = ""
) -> tuple[list[OperationFacts], int]:
    """The oldest operations in these stages (`queued`, `executing`, `completed`; none for all), and their number."""
    with Admin(endpoint) as admin:
        return operations_of(admin, stages, limit, invocation)


def operations_of(
    admin: Admin, stages: Sequence[str], limit: int, invocation: str = ""
) -> tuple[list[OperationFacts], int]:
    """As `operations`, over a connection that stays open."""
    from nlserver.proto import admin_pb2, remote_execution_pb2

    numbers = [remote_execution_pb2.ExecutionStage.Value.Value(stage.upper()) for stage in stages]
    request = admin_pb2.ListOperationsRequest(stages=numbers, limit=limit, invocation=invocation)
    answer = admin.call("ListOperations", request)
    return [_operation(one) for one in answer.operations], answer.total


def watch_operations(endpoint: str, ids: Sequence[str]) -> Iterator[OperationFacts]:
    """These operations as they stand, then each change until all have ended; without ids all, endlessly.

    Raises Error, NOT_FOUND for one that nobody knows.
    """
    from nlserver.proto import admin_pb2

    with Admin(endpoint) as admin:
        request = admin_pb2.WatchOperationsRequest(ids=ids)
        yield from map(_operation, admin.stream("WatchOperations", request, endless=True))


def queues(endpoint: str) -> list[QueueFacts]:
    """What waits and runs by the properties that are asked, the longest queue first. Raises Error."""
    with Admin(endpoint) as admin:
        return queues_of(admin)


def queues_of(admin: Admin) -> list[QueueFacts]:
    """As `queues`, over a connection that stays open."""
    from nlserver.proto import admin_pb2

    return [_queue(one) for one in admin.call("ListQueues", admin_pb2.ListQueuesRequest()).queues]


def explain(endpoint: str, operation: str) -> Explanation:
    """Why this operation does not run. Raises Error NOT_FOUND."""
    from nlserver.proto import admin_pb2

    with Admin(endpoint) as admin:
        return _explanation(admin.call("ExplainOperation", admin_pb2.ExplainOperationRequest(id=operation)))


def explain_properties(endpoint: str, properties: Iterable[tuple[str, str]]) -> Explanation:
    """Whether an action with these properties could run. Raises Error."""
    from nlserver.proto import admin_pb2, remote_execution_pb2

    make = remote_execution_pb2.Platform.Property
    asked = [make(name=name, value=value) for name, value in properties]
    with Admin(endpoint) as admin:
        return _explanation(admin.call("ExplainProperties", admin_pb2.ExplainPropertiesRequest(properties=asked)))


def cancel(endpoint: str, ids: Sequence[str]) -> Fates:
    """End these operations for all their clients. Raises Error."""
    from nlserver.proto import admin_pb2

    with Admin(endpoint) as admin:
        answer = admin.call("CancelOperations", admin_pb2.CancelOperationsRequest(ids=ids))
    return Fates(list(answer.cancelled), list(answer.ended), list(answer.unknown))


def set_drain(endpoint: str, names: Sequence[str], *, draining: bool) -> list[WorkerFacts]:
    """Give these workers no new work, or work again; how they stand now. Raises Fault, and then changes none."""
    from nlserver.proto import admin_pb2

    request = admin_pb2.SetDrainRequest(workers=names, draining=draining)
    with Admin(endpoint) as admin:
        try:
            answer = admin.call("SetDrain", request)
        except Error as error:
            if error.code is not Code.NOT_FOUND:
                raise
            known = [_worker(one) for one in admin.call("ListWorkers", admin_pb2.ListWorkersRequest()).workers]
            unknown = [name for name in names if not any(name in (one.name, one.id) for one in known)]
            raise no_worker(unknown[0] if unknown else names[0], known) from error
    return [_worker(one) for one in answer.workers]


def no_worker(asked: str, known: Sequence[WorkerFacts]) -> Fault:
    """Nobody by this name or id is connected."""
    names = ", ".join(sorted({one.name for one in known})) or "none"
    see = fix("see the workers", "nlctl", "workers", "ls")
    return Fault(UNKNOWN_WORKER, f"no worker {asked!r} is connected", why=f"connected are: {names}", fixes=[see])


class Admin:
    """One connection, closed on leaving. `seconds` is how long an answer may take."""

    def __init__(self, endpoint: str, seconds: float = _SECONDS) -> None:
        from nlserver.proto import admin_pb2_grpc

        self._endpoint = endpoint
        self._seconds = seconds
        self._folder: int | None = None
        access = endpoint.access if isinstance(endpoint, Address) else Access()
        token = access.token()
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._channel = self._open(endpoint, access)
        self._stub = admin_pb2_grpc.AdminStub(self._channel)

    def __enter__(self) -> Admin:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        if self._folder is not None:
            os.close(self._folder)

    def _open(self, endpoint: str, access: Access) -> Any:
        import grpc

        # A proxy of the environment has no business between this machine and itself.
        options = [("grpc.enable_http_proxy", 0)]
        if "://" not in endpoint:
            return grpc.insecure_channel(self._socket(endpoint), options)
        if not Address(endpoint, access).secure:
            return grpc.insecure_channel(endpoint.partition("://")[2], options)
        # What opens TLS costs an import that most commands need not pay.
        from nlserver.reapi.address import target_of
        from nlserver.reapi.channel import credentials
        from nlserver.reapi.endpoint import TlsSpec

        tls = TlsSpec(ca_file=access.ca_file, cert_file=access.cert_file, key_file=access.key_file)
        trusted = tls if access.has_tls_files else TlsSpec(use_native_roots=True)
        return grpc.secure_channel(target_of(endpoint).name, credentials(trusted))

    def _socket(self, path: str) -> str:
        # gRPC takes no more than 107 bytes for a socket's path: the folder's descriptor stands for the folder.
        folder, name = os.path.split(path)
        try:
            self._folder = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise Error(Code.UNAVAILABLE, "nobody answers", where=path) from error
        return f"unix:/proc/self/fd/{self._folder}/{name}"

    def call(self, method: str, request: Any) -> Any:
        """Call it. Raises Error with the server's code."""
        import grpc

        try:
            return getattr(self._stub, method)(request, timeout=self._seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._error(method, error) from error

    def stream(self, method: str, request: Any, *, endless: bool = False) -> Iterator[Any]:
        """The messages of a stream. Raises Error with the server's code."""
        import grpc

        limit = None if endless else _STREAM_SECONDS
        call = getattr(self._stub, method)(request, timeout=limit, metadata=self._metadata)
        try:
            yield from call
        except grpc.RpcError as error:
            raise self._error(method, error) from error
        finally:
            call.cancel()

    def _error(self, method: str, error: Any) -> Error:
        code = Code(error.code().value[0])
        return Error(code, error.details() or code.name, where=f"{method} at {self._endpoint}")


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

    digest = message.action_digest
    return OperationFacts(
        id=message.id,
        stage=remote_execution_pb2.ExecutionStage.Value.Name(message.stage).lower(),
        since=_seconds(message.since),
        queued=_seconds(message.queued),
        worker=message.worker_id,
        explanation=message.explanation,
        unsatisfiable=message.unsatisfiable,
        action=Digest(digest.hash, digest.size_bytes, Function(message.digest_function or Function.SHA256)),
        instance=message.instance_name,
        priority=message.priority,
        attempts=message.attempts,
        waiters=message.waiters,
        properties=_properties(message.properties),
        invocation=message.invocation,
        target=message.target,
        mnemonic=message.mnemonic,
        ending=_ending(message.ending) if message.HasField("ending") else None,
    )


def _ending(message: Any) -> Ending:
    code = Code(message.code)
    return Ending(message.exit_code, "" if code is Code.OK else f"{code.name}: {message.message}")


def _queue(message: Any) -> QueueFacts:
    return QueueFacts(
        scheduler=message.scheduler,
        properties=_properties(message.properties),
        queued=message.queued,
        executing=message.executing,
        workers=message.workers,
        free_workers=message.free_workers,
        oldest=_seconds(message.oldest),
        explanation=message.explanation,
    )


def _explanation(message: Any) -> Explanation:
    verdicts = [
        WorkerVerdict(one.worker_name, type(one).Verdict.Name(one.verdict).lower(), one.reason)
        for one in message.workers
    ]
    return Explanation(message.summary, message.unsatisfiable, verdicts)


def _properties(items: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in items:
        found.setdefault(item.name, []).append(item.value)
    return found


def _seconds(stamp: Timestamp) -> float:
    return stamp.seconds + stamp.nanos / 1e9
