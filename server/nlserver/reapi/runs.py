"""One command from its arguments to its outcome: looked up, uploaded, executed, and uploaded again what was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final

from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.action import PropertyValues, action, command, pairs, working_directory_of
from nlserver.reapi.blobs import Blobs
from nlserver.reapi.digest import Digest, Function, digest_of
from nlserver.reapi.downloads import read_many
from nlserver.reapi.execution import Execution, ExecutionState
from nlserver.reapi.outputs import trees_of
from nlserver.reapi.results import Results, parsed
from nlserver.reapi.status import error_of
from nlserver.reapi.tree import blob_of, tree_of
from nlserver.reapi.uploads import Source, Uploaded, send_few
from nlserver.store import Missing

_CANCEL_SECONDS: Final = 2.0
_MOST_ROUNDS: Final = 3
OnState = Callable[[ExecutionState], None]
OnUploaded = Callable[[Uploaded], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a command that ran, whatever its exit code. `cached` when nothing was executed for it.

    `working_directory` is that of the command, from the input root; paths in `result` are relative to it.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    cached: bool
    result: re_pb.ActionResult
    action: Digest
    working_directory: str
    message: str

    @property
    def metadata(self) -> re_pb.ExecutedActionMetadata:
        """The worker and the times (REAPI v2, ExecutedActionMetadata)."""
        return self.result.execution_metadata


class ExecutionFailed(Error):
    """The server could not bring an action to its end: it timed out, no worker takes it, a worker was lost, ...

    `response` holds what the server tells, and the result as far as it came.
    """

    def __init__(self, error: Error, response: re_pb.ExecuteResponse) -> None:
        super().__init__(error.code, error.message, where=error.where, remedy=error.remedy, missing=error.missing)
        self.response = response


@dataclass(frozen=True, slots=True)
class Prepared:
    """An action that can be run, with every blob of it that is ours to upload."""

    action: Digest
    sources: Mapping[Digest, Source]
    working_directory: str
    cacheable: bool


def prepared(
    arguments: Sequence[str],
    input_root: Digest,
    inputs: Mapping[Digest, Source],
    *,
    environment: Mapping[str, str] | None,
    output_paths: Iterable[str],
    platform: PropertyValues,
    timeout_seconds: float | None,
    working_directory: str,
    do_not_cache: bool,
    salt: bytes,
) -> Prepared:
    """The Command and Action of these. Pure. Raises Error INVALID_ARGUMENT for what no worker could run."""
    properties = pairs(platform)
    asked = command(
        arguments,
        environment=environment,
        output_paths=output_paths,
        working_directory=working_directory,
        platform=properties,
    )
    command_blob = blob_of(asked, input_root.function)
    wanted = action(
        command_blob.digest,
        input_root,
        timeout_seconds=timeout_seconds,
        do_not_cache=do_not_cache,
        salt=salt,
        platform=properties,
    )
    action_blob = blob_of(wanted, input_root.function)
    sources = {**inputs, command_blob.digest: command_blob.data, action_blob.digest: action_blob.data}
    return Prepared(action_blob.digest, sources, working_directory_of(asked), not do_not_cache)


class Runs:
    """Runs actions. Without an action cache nothing is looked up."""

    def __init__(self, blobs: Blobs, results: Results | None, execution: Execution) -> None:
        self._blobs = blobs
        self._results = results
        self._execution = execution

    async def run(
        self,
        made: Prepared,
        *,
        skip_cache_lookup: bool = False,
        priority: int = 0,
        on_state: OnState | None = None,
        on_uploaded: OnUploaded | None = None,
    ) -> Outcome:
        """The outcome of an action; see `Client.perform`. Raises ExecutionFailed, Error."""
        if made.cacheable and not skip_cache_lookup and (known := await self._known(made.action)) is not None:
            return await self._outcome(re_pb.ExecuteResponse(result=known, cached_result=True), made)
        for left in reversed(range(_MOST_ROUNDS)):
            sent = await send_few(self._blobs, made.sources)
            if sent is not None and on_uploaded is not None:
                on_uploaded(sent)
            try:
                response = await self._executed(made.action, skip_cache_lookup, priority, on_state)
                return await self._outcome(response, made)
            except Error as error:
                # What is missing and not ours to upload stays missing.
                if error.code is not Code.FAILED_PRECONDITION or not left or not _ours(error.missing, made.sources):
                    raise
        raise AssertionError("the last round returns or raises")

    async def _known(self, action_digest: Digest) -> re_pb.ActionResult | None:
        """The success that the action cache has for this action, if the CAS has all that it names."""
        if self._results is None:
            return None
        try:
            data = await self._results.get(action_digest)
        except Error as error:
            if error.code is not Code.UNIMPLEMENTED:
                raise
            return None
        found = None if data is None else parsed(data)
        # A failure may have been the machine's; Bazel takes it for a miss, too.
        if found is None or found.exit_code != 0:
            return None
        return found if await self._is_complete(found, action_digest.function) else None

    async def _is_complete(self, found: re_pb.ActionResult, function: Function) -> bool:
        try:
            trees = await read_many(self._blobs, trees_of(found, function))
            named = set(_blobs_of(found, function))
            for data in trees.values():
                named.update(tree_of(data, function).files())
        except Error as error:
            if not isinstance(error, Missing) and error.code is not Code.INVALID_ARGUMENT:
                raise
            return False
        return not await self._blobs.missing(named)

    async def _executed(
        self, action_digest: Digest, skip_cache_lookup: bool, priority: int, on_state: OnState | None
    ) -> re_pb.ExecuteResponse:
        name = ""
        states = self._execution.execute(action_digest, skip_cache_lookup=skip_cache_lookup, priority=priority)
        try:
            async with aclosing(states):
                async for state in states:
                    name = state.name
                    if on_state is not None:
                        on_state(state)
                    if state.response is not None:
                        return _successful(state.response)
        except asyncio.CancelledError:
            await self._give_up(name)
            raise
        raise Error(Code.INTERNAL, "the execution ended without a response")

    async def _give_up(self, name: str) -> None:
        """Tell the server that nobody waits any more; it would find out by itself, later."""
        if name:
            with suppress(Error, TimeoutError):
                async with asyncio.timeout(_CANCEL_SECONDS):
                    await self._execution.cancel(name)

    async def _outcome(self, response: re_pb.ExecuteResponse, made: Prepared) -> Outcome:
        result = response.result
        return Outcome(
            exit_code=result.exit_code,
            stdout=await self._stream(result.stdout_raw, result.stdout_digest, made.action.function),
            stderr=await self._stream(result.stderr_raw, result.stderr_digest, made.action.function),
            cached=response.cached_result,
            result=result,
            action=made.action,
            working_directory=made.working_directory,
            message=response.message,
        )

    async def _stream(self, raw: bytes, named: re_pb.Digest, function: Function) -> bytes:
        if raw or not named.size_bytes:
            return raw
        return await self._blobs.get(digest_of(named, function))


def _successful(response: re_pb.ExecuteResponse) -> re_pb.ExecuteResponse:
    if response.status.code:
        raise ExecutionFailed(error_of(response.status, "remote execution"), response)
    return response


def _blobs_of(found: re_pb.ActionResult, function: Function) -> Iterator[Digest]:
    """What a result names outside of Trees, except what it carries itself."""
    for file in found.output_files:
        yield digest_of(file.digest, function)
    for raw, named in ((found.stdout_raw, found.stdout_digest), (found.stderr_raw, found.stderr_digest)):
        if named.size_bytes and not raw:
            yield digest_of(named, function)


def _ours(missing: Sequence[str], sources: Mapping[Digest, Source]) -> bool:
    """Whether uploading again may help. Servers differ in how they write subjects; all have `.../{hash}/{size}`."""
    lost = {subject.rpartition("/")[0].rpartition("/")[2] for subject in missing}
    return any(digest.hash in lost for digest in sources)
