"""One action, from its order to its result. Whatever happens, no process and no file of it is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar, cast

from nlserver import fs, log
from nlserver.clock import Clock
from nlserver.errors import Code, Error, invalid
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.proto import worker_api_pb2
from nlserver.reapi.action import (
    Outputs,
    action_of,
    command_of,
    outputs_of,
    platform_of,
    timeout_of,
    working_directory_of,
)
from nlserver.reapi.digest import Digest, digest_of, of
from nlserver.store import Missing
from nlserver.worker import environment, guard, inputs, outputs
from nlserver.worker.commands import Commands
from nlserver.worker.environment import EnvironmentSource
from nlserver.worker.finish import Stop, finished, stoppable
from nlserver.worker.leash import Killed, Leash
from nlserver.worker.messages import Messages
from nlserver.worker.order import Order, answer, blank, fit, refused, unexpected
from nlserver.worker.results import Results
from nlserver.worker.runner import Ended, Ending, Runner, Task
from nlserver.worker.side_channel import says_timed_out
from nlserver.worker.stamps import Stamps
from nlserver.worker.workspace import Workspace, require_in_place, require_room

T = TypeVar("T")
U = TypeVar("U")
_MOST_MESSAGE_BYTES: Final = 16 << 20
_LONGEST_SHOWN: Final = 300
# What the client asked for cannot be done; asking again, here or elsewhere, does not help.
_FINAL: Final = frozenset((Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION))


class Cas(inputs.Inputs, outputs.Sink, Protocol):
    """What a worker needs of its `fast_slow` store."""


@dataclass(frozen=True)
class Rules:
    """What the config says of every action; times in seconds."""

    max_action_timeout: float
    max_upload_timeout: float
    timeout_handled_externally: bool
    entrypoint: str
    precondition: Sequence[str]
    additional_environment: Mapping[str, EnvironmentSource]
    own_environment: Mapping[str, str]


@dataclass(frozen=True)
class Bench:
    """What actions are run with."""

    store: Cas
    messages: Messages
    resolver: inputs.Resolver
    workspace: Workspace
    runner: Runner
    commands: Commands
    results: Results
    rules: Rules
    clock: Clock


async def perform(
    bench: Bench, order: Order, leash: Leash, executed: Callable[[], None]
) -> worker_api_pb2.ExecuteResult:
    """Run an order to its one result. `executed` is called when the process has ended, before outputs are uploaded.

    Never raises Error: faults become the result. A kill by the leash has a result, too; being cancelled has none.
    """
    run = _Run(bench, order)
    try:
        outcome: re_pb.ExecuteResponse | Error = await run.outcome(leash, executed)
    except Error as error:
        log.warn("Action failed for want of something", operation=order.operation_id, action=order.action, reason=error)
        outcome = error
    except Exception as error:
        outcome = unexpected(error)
    result = answer(order.operation_id, order.instance_name, outcome)
    run.add_usage(result.resource_usage)
    return result


class _Run:
    """The state of one action on its way."""

    def __init__(self, bench: Bench, order: Order) -> None:
        self._bench = bench
        self._order = order
        self._directory = bench.workspace.directory(order.operation_id)
        self._stamps = Stamps(bench.clock, order.queued_ns)
        self._response = blank(order.action.function)
        self._ended: Ended | None = None
        self._lent: guard.Lent | None = None
        self._changed: list[Digest] = []
        self._command = ""
        self._cacheable = False
        self._removed = False

    @property
    def _ids(self) -> dict[str, object]:
        """What ties a log line to this action."""
        return {"operation": self._order.operation_id, "action": self._order.action}

    async def outcome(self, leash: Leash, executed: Callable[[], None]) -> re_pb.ExecuteResponse:
        """The response, once every trace of the action is gone. Raises Error where another attempt may help."""
        try:
            await self._attempted(leash, executed)
        except BaseException:
            await self._tidied()
            raise
        self._stamps.mark("worker_completed")
        metadata = self._response.result.execution_metadata
        metadata.worker = self._order.worker_id
        self._stamps.write(metadata)
        fit(self._response)
        if self._is_tidy:
            await self._kept()
        else:
            await together(self._tidied(), self._kept())
        return self._response

    def add_usage(self, usage: worker_api_pb2.ActionResourceUsage) -> None:
        """Say what the process used; nothing when there was none."""
        usage.operation_id, usage.worker_id = self._order.operation_id, self._order.worker_id
        if self._ended is not None:
            usage.sampled = True
            usage.peak_memory_kb = self._ended.usage.peak_memory_kib
            usage.cpu_time_ms = round(self._ended.usage.cpu_seconds * 1000)

    async def _attempted(self, leash: Leash, executed: Callable[[], None]) -> None:
        """Fill in the response, also with errors that are the action's own."""
        try:
            async with leash:
                await self._attempt(executed)
        except Killed:
            self._refuse(Code.ABORTED, f"Command '{self._command}' was killed by scheduler")
        except Missing as missing:
            log.warn("Missing CAS inputs, returning FAILED_PRECONDITION", **self._ids)
            refused(self._response, Error(Code.FAILED_PRECONDITION, missing.message, missing=missing.missing))
        except Error as error:
            if error.code not in _FINAL:
                raise
            refused(self._response, error)

    async def _attempt(self, executed: Callable[[], None]) -> None:
        stamps, bench, order = self._stamps, self._bench, self._order
        stamps.mark("worker_start")
        await self._permitted()
        with _costing_an_attempt():
            action = action_of(await self._message(order.action, order.action_data, "Action"), order.action.function)
            limit = self._limit(action)
            stamps.mark("input_fetch_start")
            root = digest_of(action.input_root_digest, order.action.function)
            if order.command_data:
                command, layout = await self._command_of(action), await bench.resolver.resolve(root)
            else:
                command, layout = await together(self._command_of(action), bench.resolver.resolve(root))
            wanted, directory = outputs_of(command), working_directory_of(command)
            if directory and directory not in layout.directories:
                raise invalid(f"the working directory {directory!r} is no directory of the input root")
            if (refusal := inputs.too_large(layout, bench.workspace.path)) is not None:
                # Final: given back to the scheduler, it would come again for ever.
                refused(self._response, refusal)
                return
            await inputs.lay_out(layout, self._made, wanted.parents, bench.store)
        stamps.mark("input_fetch_completed", "execution_start")
        self._lent = guard.Lent(layout, guard.file_time_ns())
        self._ended = await bench.runner.run(self._task(action, command, directory, limit))
        stamps.mark("execution_completed", "output_upload_start")
        executed()
        self._cacheable = not action.do_not_cache
        with _costing_an_attempt():
            await self._gather(wanted, limit)
        stamps.mark("output_upload_completed")

    async def _permitted(self) -> None:
        rules = self._bench.rules
        if rules.precondition:
            variables = environment.for_precondition(
                rules.additional_environment, rules.own_environment, self._order.properties
            )
            await self._bench.commands.permission(rules.precondition, variables)

    async def _message(self, digest: Digest, enclosed: bytes, what: str) -> bytes:
        """What the order encloses, if it is what was asked for, or the blob."""
        if enclosed and of(enclosed, digest.function) == digest:
            return enclosed
        if digest.size_bytes > _MOST_MESSAGE_BYTES:
            raise invalid(f"the {what} {digest} is larger than {_MOST_MESSAGE_BYTES} bytes")
        return await self._bench.messages.get(digest)

    async def _command_of(self, action: re_pb.Action) -> re_pb.Command:
        digest = digest_of(action.command_digest, self._order.action.function)
        return command_of(await self._message(digest, self._order.command_data, "Command"))

    def _made(self) -> str:
        self._bench.workspace.create(self._directory)
        return self._directory.root

    def _limit(self, action: re_pb.Action) -> float:
        """Seconds that the action asks for, else the most that it may have."""
        rules = self._bench.rules
        asked = timeout_of(action, None if rules.timeout_handled_externally else rules.max_action_timeout)
        return asked or rules.max_action_timeout

    def _task(self, action: re_pb.Action, command: re_pb.Command, directory: str, limit: float) -> Task:
        rules, own = self._bench.rules, self._directory
        facts = environment.Facts(dict(platform_of(action, command)), limit, own.side_channel, own.path)
        variables = environment.for_action(rules.additional_environment, rules.own_environment, facts)
        variables |= {variable.name: variable.value for variable in command.environment_variables}
        arguments = [rules.entrypoint, *command.arguments] if rules.entrypoint else list(command.arguments)
        self._command = " ".join(command.arguments)[:_LONGEST_SHOWN]
        log.info(
            "Executing action", operation=self._order.operation_id, digest=self._order.action, command=self._command
        )
        return Task(
            arguments,
            variables,
            f"{own.root}/{directory}" if directory else own.root,
            own.stdout,
            own.stderr,
            rules.max_action_timeout if rules.timeout_handled_externally else limit,
        )

    async def _gather(self, wanted: Outputs, limit: float) -> None:
        """Fill in the result from what the process left, and upload it."""
        assert self._ended is not None
        self._response.result.exit_code = self._ended.exit_code
        async with self._upload_time():
            found = await stoppable(self._found, wanted)
            await self._forget_changed()
            if self._ended.ending is Ending.TIMED_OUT or found.timed_out:
                self._refuse(Code.DEADLINE_EXCEEDED, f"Command '{self._command}' timed out after {limit:g} seconds")
            if found.failure is not None:
                refused(self._response, found.failure)
            await self._uploaded(found.blobs)

    def _found(self, stop: Stop, wanted: Outputs) -> _Found:
        own, result = self._directory, self._response.result
        self._look_at_inputs()
        require_in_place(own)
        require_room(own)
        found = _Found(outputs.Blobs(self._order.action.function))
        if "side_channel_file" in self._bench.rules.additional_environment.values():
            found.timed_out = says_timed_out(own.side_channel)
        try:
            result.stdout_raw = outputs.add_stream(stop, found.blobs, own.stdout, result.stdout_digest)
            result.stderr_raw = outputs.add_stream(stop, found.blobs, own.stderr, result.stderr_digest)
            collector = outputs.Collector(stop, own.root, own.path, found.blobs, result)
            collector.collect(wanted)
        except Error as error:
            found.failure = error
        if not found.blobs.files:
            self._remove()
        return found

    def _look_at_inputs(self) -> None:
        if self._lent is not None:
            own = self._directory
            self._changed += self._lent.changed(own.root, self._bench.workspace.path, self._bench.store.local)
            self._lent = None

    async def _forget_changed(self) -> None:
        while self._changed:
            digest = self._changed[-1]
            event = "An action changed its input; the fast store forgets it"
            log.warn(event, **self._ids, digest=digest, command=self._command)
            await self._bench.store.local.remove(digest)
            self._changed.pop()

    @asynccontextmanager
    async def _upload_time(self) -> AsyncIterator[None]:
        limit = self._bench.rules.max_upload_timeout
        try:
            async with asyncio.timeout(limit):
                yield
        except TimeoutError:
            raise Error(Code.DEADLINE_EXCEEDED, f"outputs could not be uploaded within {limit:g} s") from None

    async def _uploaded(self, blobs: outputs.Blobs) -> None:
        try:
            await outputs.upload(self._bench.store, blobs)
        except Error as error:
            # Not the action's fault, whatever the store calls it.
            code = Code.INTERNAL if error.code in _FINAL else error.code
            raise Error(code, f"uploading outputs: {error}") from error

    async def _kept(self) -> None:
        await self._bench.results.keep(self._order.action, self._response, cacheable=self._cacheable)

    @property
    def _is_tidy(self) -> bool:
        return self._removed and not self._changed

    async def _tidied(self) -> None:
        """Leave nothing behind, wherever the action ended."""
        if not self._is_tidy:
            await finished(self._taken_back())

    async def _taken_back(self) -> None:
        if self._lent is not None:
            await fs.in_thread(self._look_at_inputs)
        await self._forget_changed()
        if not self._removed:
            await fs.in_thread(self._remove)

    def _remove(self) -> None:
        try:
            self._bench.workspace.remove(self._directory)
            self._removed = True
        except OSError as error:
            operation, path = self._order.operation_id, self._directory.path
            log.error("The directory of an action cannot be removed", operation=operation, path=path, reason=error)

    def _refuse(self, code: Code, message: str) -> None:
        refused(self._response, Error(code, message))


@contextmanager
def _costing_an_attempt() -> Iterator[None]:
    """Call a store or a disk without room INTERNAL.

    From a worker RESOURCE_EXHAUSTED means "not now": an action whose blobs fit nowhere would be tried for ever.
    """
    try:
        yield
    except Error as error:
        if error.code is not Code.RESOURCE_EXHAUSTED:
            raise
        raise Error(Code.INTERNAL, error.message, where=error.where, remedy=error.remedy) from error


@dataclass
class _Found:
    """What a process left behind."""

    blobs: outputs.Blobs
    timed_out: bool = False
    failure: Error | None = None


async def together(first: Awaitable[T], second: Awaitable[U]) -> tuple[T, U]:
    """Both results, after both have ended. Raises the first failure, or one Missing for all that is missing."""
    one, two = await asyncio.gather(first, second, return_exceptions=True)
    missing = [failure for failure in (one, two) if isinstance(failure, Missing)]
    for failure in (one, two):
        if isinstance(failure, BaseException) and not isinstance(failure, Missing):
            raise failure
    if missing:
        raise inputs.missing_all(missing)
    return cast(T, one), cast(U, two)
