"""Remote execution as one stream of states that survives cut connections and restarted servers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from enum import IntEnum

from google.longrunning import operations_pb2

from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi import methods
from nlserver.reapi.channel import Channel
from nlserver.reapi.digest import Digest
from nlserver.reapi.status import error_of
from nlserver.reapi.tree import message_of


class Stage(IntEnum):
    """Where an execution stands (REAPI v2, ExecutionStage)."""

    UNKNOWN = 0
    CACHE_CHECK = 1
    QUEUED = 2
    EXECUTING = 3
    COMPLETED = 4


@dataclass(frozen=True, slots=True)
class ExecutionState:
    """An execution at one moment. `response` is set exactly when it is completed.

    `metadata.partial_execution_metadata` says what the server tells of the worker so far.
    """

    name: str
    stage: Stage
    metadata: re_pb.ExecuteOperationMetadata
    response: re_pb.ExecuteResponse | None = None


class _Final(Exception):
    """Carries an error of an operation past the handling of the connection's errors."""

    def __init__(self, error: Error) -> None:
        super().__init__(str(error))
        self.error = error


class Execution:
    """A remote scheduler. The channel is the caller's."""

    def __init__(self, channel: Channel, instance_name: str = "", *, timeout_seconds: float | None = None) -> None:
        self._channel = channel
        self._instance = instance_name
        self._timeout = timeout_seconds

    async def execute(
        self, action: Digest, *, skip_cache_lookup: bool = False, priority: int = 0
    ) -> AsyncGenerator[ExecutionState, None]:
        """Run an action whose blobs are in the CAS; its states as they come, the last one with the response.

        A cut stream is followed again with WaitExecution, an operation that the server forgot is executed again.
        Closing the iterator leaves the operation running. A failed command is no Error, and neither is a `status` in
        the response. Raises Error when the server refuses, with `missing` where blobs must be uploaded first.
        """
        request = re_pb.ExecuteRequest(
            instance_name=self._instance,
            action_digest=message_of(action),
            skip_cache_lookup=skip_cache_lookup,
            digest_function=action.function.value,  # type: ignore[arg-type]
        )
        if priority:
            request.execution_policy.priority = priority
        async with aclosing(self._followed(request, "")) as states:
            async for state in states:
                yield state

    async def wait(self, name: str) -> AsyncGenerator[ExecutionState, None]:
        """Follow an execution that was started before. Raises Error NOT_FOUND when the server knows it no more."""
        async with aclosing(self._followed(None, name)) as states:
            async for state in states:
                yield state

    async def latest(self, action: Digest) -> ExecutionState | None:
        """The latest execution of an action that the server remembers, None where it remembers none.

        Raises Error: UNIMPLEMENTED where a server does not list (google.longrunning, ListOperations), and what an
        operation itself failed with.
        """
        found: operations_pb2.Operation | None = None
        request = operations_pb2.ListOperationsRequest(name=f"{self._instance}/operations".lstrip("/"))
        while True:
            page = await self._channel.unary(methods.LIST_OPERATIONS, request, self._timeout)
            found = next((one for one in reversed(page.operations) if _is_of(one, action)), found)
            request.page_token = page.next_page_token
            if not request.page_token:
                return None if found is None else state_of(found)

    async def cancel(self, name: str) -> None:
        """Give an execution up (google.longrunning, CancelOperation). Raises Error."""
        request = operations_pb2.CancelOperationRequest(name=name)
        await self._channel.unary(methods.CANCEL_OPERATION, request, self._timeout)

    async def _followed(self, request: re_pb.ExecuteRequest | None, name: str) -> AsyncGenerator[ExecutionState, None]:
        patience = self._channel.patience()
        stage: Stage | None = None
        while True:
            try:
                async with aclosing(self._operations(request, name)) as operations:
                    async for operation in operations:
                        # What an operation itself says is final, however the Error reads.
                        state = _final(operation)
                        name = state.name
                        if state.stage is not stage:
                            patience.renew()
                        stage = state.stage
                        yield state
                        if state.response is not None:
                            return
                raise Error(Code.UNAVAILABLE, "the server ended the stream before the operation was completed")
            except _Final as verdict:
                raise verdict.error from None
            except Error as error:
                if error.code is Code.NOT_FOUND and name and request is not None:
                    name = ""
                    await patience.after(Error(Code.UNAVAILABLE, error.message, where=error.where))
                else:
                    await patience.after(error)

    def _operations(
        self, request: re_pb.ExecuteRequest | None, name: str
    ) -> AsyncGenerator[operations_pb2.Operation, None]:
        if name or request is None:
            return self._channel.receive(methods.WAIT_EXECUTION, re_pb.WaitExecutionRequest(name=name))
        return self._channel.receive(methods.EXECUTE, request)


def state_of(operation: operations_pb2.Operation) -> ExecutionState:
    """The state that an Operation tells.

    Raises Error for an operation that failed by itself, and INTERNAL for one that is done without an ExecuteResponse.
    """
    metadata = re_pb.ExecuteOperationMetadata()
    if operation.metadata.Is(metadata.DESCRIPTOR):
        operation.metadata.Unpack(metadata)
    if not operation.done:
        return ExecutionState(operation.name, _stage(metadata.stage), metadata)
    if operation.HasField("error"):
        raise error_of(operation.error, operation.name)
    response = re_pb.ExecuteResponse()
    if not operation.response.Unpack(response):
        raise Error(Code.INTERNAL, "the operation is done without an ExecuteResponse", where=operation.name)
    return ExecutionState(operation.name, Stage.COMPLETED, metadata, response)


def _is_of(operation: operations_pb2.Operation, action: Digest) -> bool:
    metadata = re_pb.ExecuteOperationMetadata()
    return operation.metadata.Unpack(metadata) and metadata.action_digest == message_of(action)


def _final(operation: operations_pb2.Operation) -> ExecutionState:
    try:
        return state_of(operation)
    except Error as error:
        raise _Final(error) from error


def _stage(number: int) -> Stage:
    try:
        return Stage(number)
    except ValueError:
        return Stage.UNKNOWN
