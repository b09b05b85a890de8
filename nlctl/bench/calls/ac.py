"""The calls of the action cache."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Final

import grpc
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import Digest
from nlserver.reapi.wire import update_action_result_request

from nlctl.bench.calls.call import Call, Connection, Fresh, Wrong
from nlctl.bench.calls.upload import put
from nlctl.bench.orders import Exchange
from nlctl.bench.payload import Blob, Payload, blob_of

_SEEDED: Final = 100
_KEPT_AT_ONCE: Final = 8
_MOST_ARMED: Final = 50_000
_OUTPUT_BYTES: Final = 4096


class Result:
    """An action with its result, as a compilation has it: one output file, some words, who did it and when."""

    def __init__(self, payload: Payload) -> None:
        self.output = payload.fresh()
        self.command = blob_of(re_pb.Command(arguments=["cc", "-c", "a.c", "-o", "a.o"]).SerializeToString())
        self.root = blob_of(b"")
        self._payload = payload
        metadata = re_pb.ExecutedActionMetadata(worker="worker-1")
        metadata.execution_start_timestamp.FromSeconds(1_700_000_000)
        metadata.execution_completed_timestamp.FromSeconds(1_700_000_001)
        self.message = re_pb.ActionResult(
            output_files=[re_pb.OutputFile(path="a.o", digest=_message(self.output.digest))],
            stderr_raw=b"a.c:1: warning: nothing to compile\n",
            execution_metadata=metadata,
        )
        self.data = self.message.SerializeToString()

    def action(self) -> Blob:
        """A new action of this command."""
        salt = self._payload.fresh().mark
        action = re_pb.Action(
            command_digest=_message(self.command.digest), input_root_digest=_message(self.root.digest), salt=salt
        )
        return blob_of(action.SerializeToString())

    def blobs(self) -> list[Blob]:
        """What must be in the CAS for a result to be whole."""
        return [self.output, self.command]


class Hit(Call):
    """GetActionResult of results that are there."""

    def __init__(self, connection: Connection, payload: Payload) -> None:
        self._connection = connection
        self._result = Result(payload)
        self._actions = [self._result.action() for _ in range(_SEEDED)]
        self._requests = [get_request(connection.instance, action.digest) for action in self._actions]
        self._turn = itertools.cycle(self._requests)
        self._answer_bytes = -1

    async def set_up(self) -> Exchange:
        """Keep results, and get one of them."""
        if self._answer_bytes < 0:
            await put(self._connection, [*self._result.blobs(), *self._actions])
            rest = iter(self._actions)
            await asyncio.gather(*(self._keep(rest) for _ in range(_KEPT_AT_ONCE)))
        answer = await self._connection.get_result(self._requests[-1])
        check_result(answer, self._result)
        self._answer_bytes = len(answer)
        return Exchange(len(self._requests[-1]), len(answer))

    async def _keep(self, actions: Iterator[Blob]) -> None:
        for action in actions:
            request = update_action_result_request(self._connection.instance, action.digest, self._result.data)
            await self._connection.put_result(request)

    async def once(self) -> int:
        """Get one."""
        if len(await self._connection.get_result(next(self._turn))) != self._answer_bytes:
            raise Wrong("an answer of another size")
        return 0


class Miss(Call):
    """GetActionResult of results that are not there."""

    def __init__(self, connection: Connection, payload: Payload) -> None:
        self._connection = connection
        actions = [Result(payload).action() for _ in range(_SEEDED)]
        self._requests = [get_request(connection.instance, action.digest) for action in actions]
        self._turn = itertools.cycle(self._requests)

    async def set_up(self) -> Exchange:
        """Ask for one."""
        await self.once()
        return Exchange(len(self._requests[0]), 0)

    async def once(self) -> int:
        """Ask for one."""
        try:
            await self._connection.get_result(next(self._turn))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return 0
            raise
        raise Wrong("a result came for an action that never ran")


class Put(Call):
    """UpdateActionResult of results that are new."""

    def __init__(self, connection: Connection, payload: Payload) -> None:
        self._connection = connection
        self._result = Result(payload)
        self._fresh = Fresh(self._request, _MOST_ARMED)

    def _request(self) -> bytes:
        action = self._result.action().digest
        return update_action_result_request(self._connection.instance, action, self._result.data)

    async def set_up(self) -> Exchange:
        """Keep a result and get it back."""
        action = self._result.action()
        await put(self._connection, [*self._result.blobs(), action])
        request = update_action_result_request(self._connection.instance, action.digest, self._result.data)
        answer = await self._connection.put_result(request)
        kept = await self._connection.get_result(get_request(self._connection.instance, action.digest))
        check_result(kept, self._result)
        return Exchange(len(request), len(answer))

    def arm(self, calls: int) -> None:
        """Make requests."""
        self._fresh.arm(calls)

    async def once(self) -> int:
        """Keep one."""
        await self._connection.put_result(self._fresh.next())
        return 0


def get_request(instance: str, action: Digest) -> bytes:
    """REAPI v2, GetActionResultRequest."""
    return re_pb.GetActionResultRequest(instance_name=instance, action_digest=_message(action)).SerializeToString()


def check_result(answer: bytes, result: Result) -> None:
    """Raise Wrong unless this is the result with its output."""
    files = re_pb.ActionResult.FromString(answer).output_files
    if [file.digest.hash for file in files] != [result.output.digest.hash]:
        raise Wrong(f"a result with {len(files)} output files came back, and not what was kept")


def _message(digest: Digest) -> re_pb.Digest:
    return re_pb.Digest(hash=digest.hash, size_bytes=digest.size_bytes)
