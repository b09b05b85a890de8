"""What the scheduler orders, and the answers that a worker gives to it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nlserver import log
from nlserver.errors import Code, Error, invalid
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.proto import worker_api_pb2
from nlserver.reapi.digest import EMPTY, Digest, Function, digest_of, function_of
from nlserver.reapi.status import status_of
from nlserver.reapi.times import Time, moment_of

MOST_RESULT_BYTES: Final = (4 << 20) - (64 << 10)
"""A scheduler's stream ends at a message of 4 MiB."""
NO_EXIT_CODE: Final = -1
"""Stands for the exit code of a process that never ran; the response's status says why."""

# Later times of the action are counted from it, and must be Timestamps, too.
_LATEST_NS: Final = 2**63


@dataclass(frozen=True)
class Order:
    """One StartExecute, checked. `action_data` and `command_data` are claims: what their digests say is what counts."""

    operation_id: str
    instance_name: str
    action: Digest
    queued_ns: int
    properties: Mapping[str, str]
    worker_id: str
    action_data: bytes = b""
    command_data: bytes = b""


def order_of(start: worker_api_pb2.StartExecute, default: Function, worker_id: str) -> Order:
    """The order in a message. Raises Error INVALID_ARGUMENT."""
    request = start.execute_request
    if not request.HasField("action_digest"):
        raise invalid("StartExecute names no action")
    return Order(
        start.operation_id,
        request.instance_name,
        digest_of(request.action_digest, function_of(request.digest_function, default)),
        _queued(start.queued_timestamp),
        {item.name: item.value for item in start.platform.properties},
        worker_id,
        start.action,
        start.command,
    )


def _queued(timestamp: Time) -> int:
    """When the scheduler took the action in; 0 where it says nothing that can be, or a time that is far from here."""
    moment = moment_of(timestamp) or 0
    return moment if 0 <= moment < _LATEST_NS else 0


def blank(function: Function) -> re_pb.ExecuteResponse:
    """A response with everything that schedulers insist on: NativeLink leaves an action hanging for what it lacks."""
    response = re_pb.ExecuteResponse()
    response.status.code = 0
    result = response.result
    result.exit_code = NO_EXIT_CODE
    for digest in (result.stdout_digest, result.stderr_digest):
        digest.hash, digest.size_bytes = EMPTY[function].hash, 0
    return response


def fit(response: re_pb.ExecuteResponse) -> None:
    """Make a response small enough to be sent, or make it say why it cannot be."""
    result = response.result
    if response.ByteSize() > MOST_RESULT_BYTES:
        result.ClearField("stdout_raw")
        result.ClearField("stderr_raw")
    if (size := response.ByteSize()) > MOST_RESULT_BYTES:
        outputs = len(result.output_files) + len(result.output_directories) + len(result.output_symlinks)
        for field in ("output_files", "output_directories", "output_symlinks", "output_file_symlinks"):
            result.ClearField(field)
        result.ClearField("output_directory_symlinks")
        refused(
            response,
            Error(
                Code.FAILED_PRECONDITION,
                f"the result has {outputs} outputs in {size} bytes; a message holds {MOST_RESULT_BYTES}",
                remedy="Declare directories as outputs instead of single files.",
            ),
        )


def refused(response: re_pb.ExecuteResponse, error: Error) -> None:
    """Set a response's status to an error."""
    response.status.CopyFrom(status_of(error))


def answer(
    operation_id: str, instance_name: str, outcome: re_pb.ExecuteResponse | Error
) -> worker_api_pb2.ExecuteResult:
    """The one result of an operation: a response is final, an Error lets the scheduler try again elsewhere."""
    made = worker_api_pb2.ExecuteResult(instance_name=instance_name, operation_id=operation_id)
    if isinstance(outcome, Error):
        made.internal_error.CopyFrom(status_of(outcome))
    else:
        made.execute_response.CopyFrom(outcome)
    return made


def unexpected(error: Exception) -> Error:
    """The Error for a fault of ours, under a number that leads to its traceback in the log."""
    incident = uuid.uuid4().hex[:12]
    log.error("Error executing action", cause=error, incident=incident)
    return Error(Code.INTERNAL, f"internal error {incident}", remedy="The worker's log has the details.")
