"""A client of the Remote Execution API v2: CAS, action cache and remote execution, for asyncio. Public API.

    async with Client(cas="grpc://127.0.0.1:50051", executor="grpc://127.0.0.1:50052") as client:
        outcome = await client.run(["cc", "-c", "hello.c"], input_root=Path("src"), output_paths=["hello.o"])
        await client.download_outputs(outcome, into=Path("out"))

Digests, bytes and Errors are what callers see; batches, chunks, resuming and verifying happen inside. Every failure is
an `nlserver.errors.Error`, whose `where` is the server; a blob that is not there is an `nlserver.store.Missing`.

Calls cost a third less processor time where `nlserver.grpc_environment.prepare(os.environ)` comes before the first
import of `grpc`.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

from nlserver.errors import Code, Error
from nlserver.fs import in_thread, settled
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi import downloads, methods, uploads
from nlserver.reapi.action import PropertyValues
from nlserver.reapi.address import is_local
from nlserver.reapi.blobs import Blobs
from nlserver.reapi.capture import Capture, capture, digest_file, unreadable
from nlserver.reapi.channel import Channel, Headers, dial
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.reapi.endpoint import EndpointSpec, RetrySpec
from nlserver.reapi.execution import Execution, ExecutionState, Stage
from nlserver.reapi.results import Results, parsed
from nlserver.reapi.runs import ExecutionFailed, Outcome, Prepared, Runs, prepared
from nlserver.reapi.tree import Tree, check_directory
from nlserver.reapi.uploads import Source, Uploaded
from nlserver.streams import OFF_LOOP_BYTES

__all__ = [
    "Client",
    "Digest",
    "ExecutionFailed",
    "ExecutionState",
    "Function",
    "Outcome",
    "Prepared",
    "Stage",
    "TreeUploaded",
    "Uploaded",
]

RETRY: Final = RetrySpec(max_retries=4, delay=0.05, jitter=0.5)
"""Waits of 0.1, 0.2, 0.4 and 0.8 seconds: it outlasts the restart of a server and fails soon where none is."""
_TIMEOUT_SECONDS: Final = 60.0
_METADATA: Final = "build.bazel.remote.execution.v2.requestmetadata-bin"

T = TypeVar("T")
Endpoint = EndpointSpec | str
Compression = Literal["auto", "zstd", "none"]


@dataclass(frozen=True, slots=True)
class TreeUploaded:
    """What the upload of a directory came to."""

    root: Digest
    files: int
    directories: int
    symlinks: int
    blobs: Uploaded


class Client:
    """One instance of a build cluster, at one, two or three endpoints.

    All methods may be called concurrently. Nothing connects before the first call; leaving the `async with` block, or
    `close`, ends what is under way. Methods that need an endpoint which was not given raise Error FAILED_PRECONDITION.
    """

    def __init__(
        self,
        cas: Endpoint | None = None,
        executor: Endpoint | None = None,
        *,
        action_cache: Endpoint | None = None,
        instance_name: str = "",
        function: Function = Function.SHA256,
        retry: RetrySpec = RETRY,
        timeout_seconds: float | None = _TIMEOUT_SECONDS,
        headers: Headers = (),
        compression: Compression = "auto",
    ) -> None:
        """Address the servers: `cas` also serves the action cache unless `action_cache` says where that is.

        Addresses are `grpc://HOST:PORT`, `grpcs://HOST:PORT`, `unix:PATH`, or an EndpointSpec for TLS files and more.
        `timeout_seconds` is for each call, and for the silence of a stream; executions may take as long as they take.
        `headers` go with every call. `compression` "zstd" lets blobs travel so where the server announces it; "auto",
        the default, does that unless `cas` is an address of this machine, where moving bytes costs less than making
        them fewer. Raises Error INVALID_ARGUMENT for addresses that cannot be.
        """
        self.function = function
        self._channels: dict[Endpoint, Channel] = {}
        self._instance_name = instance_name
        self._timeout = timeout_seconds
        self._retry = retry
        self._headers = (*headers, (_METADATA, _request_metadata()))
        cache = action_cache or cas
        self._cas = self._at(Blobs, cas, compresses=_compresses(compression, cas)) if cas else None
        self._cache = self._at(Results, cache) if cache else None
        self._executor = self._at(Execution, executor) if executor else None

    def _at(self, kind: Callable[..., T], endpoint: Endpoint, **options: bool) -> T:
        return kind(self._channel(endpoint), self._instance_name, timeout_seconds=self._timeout, **options)

    def _channel(self, endpoint: Endpoint) -> Channel:
        """One channel for each distinct endpoint."""
        if endpoint not in self._channels:
            self._channels[endpoint] = dial(endpoint, retry=self._retry, headers=self._headers)
        return self._channels[endpoint]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all calls and connections. May be called twice."""
        if self._cas is not None:
            await self._cas.close()
        for channel in self._channels.values():
            await channel.close()

    @property
    def blobs(self) -> Blobs:
        """The CAS in smaller steps. Raises Error FAILED_PRECONDITION when the client was given no CAS."""
        return _given(self._cas, "cas")

    @property
    def results(self) -> Results:
        """The action cache as serialised results. Raises Error FAILED_PRECONDITION when the client was given none."""
        return _given(self._cache, "action_cache")

    @property
    def execution(self) -> Execution:
        """Executions by operation name. Raises Error FAILED_PRECONDITION when the client was given no executor."""
        return _given(self._executor, "executor")

    async def capabilities(self) -> re_pb.ServerCapabilities:
        """What the servers offer: one answer for CAS and executor (REAPI v2, GetCapabilities)."""
        request = re_pb.GetCapabilitiesRequest(instance_name=self._instance_name)
        answers = [await c.unary(methods.GET_CAPABILITIES, request, self._timeout) for c in self._channels.values()]
        return merged(answers)

    async def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those which the CAS lacks (REAPI v2, FindMissingBlobs)."""
        return await self.blobs.missing(digests)

    async def upload(
        self, sources: Sequence[Source], *, on_progress: Callable[[int], None] | None = None
    ) -> list[Digest]:
        """Upload bytes, and the content of files, that the CAS lacks; their digests in the same order.

        `on_progress` is told the bytes of each part that is done. A file must not change meanwhile: that is Error
        FAILED_PRECONDITION.
        """
        digests = [await self._digest(source) for source in sources]
        await uploads.upload(self.blobs, dict(zip(digests, sources, strict=True)), on_progress)
        return digests

    async def _digest(self, source: Source) -> Digest:
        if isinstance(source, bytes) and len(source) < OFF_LOOP_BYTES:
            return of(source, self.function)
        return await in_thread(_digest_of_source, source, self.function)

    async def upload_tree(
        self,
        path: Path,
        *,
        on_progress: Callable[[int], None] | None = None,
        on_done: Callable[[TreeUploaded], None] | None = None,
    ) -> Digest:
        """Upload a directory as an input root; the digest of its root Directory.

        Symbolic links stay links and are never followed; of a file's mode its owner's executable bit is kept. `on_done`
        is told what it came to. Raises Error FAILED_PRECONDITION for what no input root can hold.
        """
        captured = await self._captured(path)
        counts = await uploads.upload(self.blobs, captured.blobs, on_progress)
        if on_done is not None:
            on_done(TreeUploaded(captured.root, captured.files, captured.directories, captured.symlinks, counts))
        return captured.root

    async def _captured(self, path: Path) -> Capture:
        stop = threading.Event()
        reading = asyncio.ensure_future(in_thread(capture, path, self.function, stop))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            stop.set()
            await settled(reading)
            raise

    async def read(self, digest: Digest) -> bytes:
        """A whole blob in one piece, verified. Raises Missing."""
        return await self.blobs.get(digest)

    async def read_many(self, digests: Iterable[Digest]) -> dict[Digest, bytes]:
        """Whole blobs, verified, in batches within the server's limit. Raises Missing for the first that is absent."""
        return await downloads.read_many(self.blobs, digests)

    def stream(self, digest: Digest, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset`, at most `limit`, in chunks; a broken connection is resumed. Raises Missing.

        A whole blob is verified; at the end comes Error DATA_LOSS when it was damaged.
        """
        return self.blobs.read(digest, offset, limit)

    async def download(self, digest: Digest, path: Path, *, executable: bool = False) -> None:
        """A blob as a file, which takes its name when it is whole and verified. Raises Missing."""
        await downloads.download(self.blobs, digest, path, executable=executable)

    async def get_tree(self, root: Digest) -> list[re_pb.Directory]:
        """The Directories of an input root, checked, the root among them (REAPI v2, GetTree)."""
        found = []
        async with aclosing(self.blobs.tree(root)) as directories:
            async for directory in directories:
                check_directory(directory, root.function)
                found.append(directory)
        return found

    async def action_result(self, action: Digest) -> re_pb.ActionResult | None:
        """What the action cache has for an action; None for a miss."""
        data = await self.results.get(action)
        return None if data is None else parsed(data)

    async def update_action_result(self, action: Digest, result: re_pb.ActionResult) -> re_pb.ActionResult:
        """Put a result into the action cache; what the server made of it."""
        return parsed(await self.results.put(action, result.SerializeToString()))

    def execute(
        self, action: Digest, *, skip_cache_lookup: bool = False, priority: int = 0
    ) -> AsyncGenerator[ExecutionState, None]:
        """Run an action whose blobs are in the CAS, and follow it: see `Execution.execute`."""
        return self.execution.execute(action, skip_cache_lookup=skip_cache_lookup, priority=priority)

    async def run(
        self,
        arguments: Sequence[str],
        *,
        input_root: Path | Digest | None = None,
        environment: Mapping[str, str] | None = None,
        output_paths: Iterable[str] = (),
        platform: PropertyValues = (),
        timeout_seconds: float | None = None,
        working_directory: str = "",
        skip_cache_lookup: bool = False,
        do_not_cache: bool = False,
        priority: int = 0,
        salt: bytes = b"",
        on_state: Callable[[ExecutionState], None] | None = None,
    ) -> Outcome:
        """Run a command on an input root: a directory of this machine, an uploaded one, or an empty one.

        It is `perform` of what `prepare` makes of these. Raises as both do.
        """
        made = await self.prepare(
            arguments,
            input_root=input_root,
            environment=environment,
            output_paths=output_paths,
            platform=platform,
            timeout_seconds=timeout_seconds,
            working_directory=working_directory,
            do_not_cache=do_not_cache,
            salt=salt,
        )
        return await self.perform(made, skip_cache_lookup=skip_cache_lookup, priority=priority, on_state=on_state)

    async def prepare(
        self,
        arguments: Sequence[str],
        *,
        input_root: Path | Digest | None = None,
        environment: Mapping[str, str] | None = None,
        output_paths: Iterable[str] = (),
        platform: PropertyValues = (),
        timeout_seconds: float | None = None,
        working_directory: str = "",
        do_not_cache: bool = False,
        salt: bytes = b"",
    ) -> Prepared:
        """The action of a command, with every blob of it. Asks no server.

        Raises Error INVALID_ARGUMENT for what no worker could run, FAILED_PRECONDITION for what no input root can hold.
        """
        captured = await self._captured(input_root) if isinstance(input_root, Path) else None
        return prepared(
            arguments,
            captured.root if captured else _root(input_root, self.function),
            captured.blobs if captured else {},
            environment=environment,
            output_paths=output_paths,
            platform=platform,
            timeout_seconds=timeout_seconds,
            working_directory=working_directory,
            do_not_cache=do_not_cache,
            salt=salt,
        )

    async def perform(
        self,
        made: Prepared,
        *,
        skip_cache_lookup: bool = False,
        priority: int = 0,
        on_state: Callable[[ExecutionState], None] | None = None,
        on_uploaded: Callable[[Uploaded], None] | None = None,
    ) -> Outcome:
        """Run an action to its outcome.

        A success that the action cache has is the answer when its outputs are there, unless `skip_cache_lookup`: not
        every executor looks there itself. Otherwise uploads what the CAS lacks, and again when it lost some of it
        meanwhile. `on_state` is told each state of the execution, `on_uploaded` what each upload came to where the CAS
        was asked for what it lacks. Cancelled, it gives the execution up at the server. A command that fails is an
        Outcome with its exit code; raises ExecutionFailed when it could not be brought to its end, and Error for
        everything else.
        """
        runs = Runs(self.blobs, self._cache, self.execution)
        return await runs.run(
            made, skip_cache_lookup=skip_cache_lookup, priority=priority, on_state=on_state, on_uploaded=on_uploaded
        )

    async def send(self, made: Prepared) -> None:
        """Upload what the CAS lacks of an action, for `execute`. Raises Error."""
        await uploads.upload(self.blobs, made.sources)

    async def download_outputs(self, outcome: Outcome, into: Path) -> None:
        """All outputs of a command below `into`, which stands for its input root, and is made when it is not there.

        Files that are there are replaced, each when the new one is whole and verified. Nothing is written outside
        `into`: a symbolic link in the way is Error FAILED_PRECONDITION, a path that leads out INVALID_ARGUMENT.
        """
        await downloads.download_result(
            self.blobs,
            outcome.result,
            into,
            working_directory=outcome.working_directory,
            function=outcome.action.function,
        )

    async def download_tree(self, tree: Tree, into: Path) -> None:
        """A directory of the CAS as `into`, which appears when all of it is there and verified, or not at all.

        Raises Missing or another Error, also when something stands there that is no empty directory.
        """
        await downloads.download_tree(self.blobs, tree, into)


def _compresses(compression: Compression, cas: Endpoint) -> bool:
    address = cas if isinstance(cas, str) else cas.address
    return compression == "zstd" or (compression == "auto" and not is_local(address))


def _given(thing: T | None, name: str) -> T:
    if thing is None:
        raise Error(Code.FAILED_PRECONDITION, f"this client was given no {name} endpoint")
    return thing


def _digest_of_source(source: Source, function: Function) -> Digest:
    if isinstance(source, bytes):
        return of(source, function)
    try:
        return digest_file(source, function)
    except OSError as error:
        raise unreadable(error) from error


def _root(given: Path | Digest | None, function: Function) -> Digest:
    return given if isinstance(given, Digest) else EMPTY[function]


def merged(answers: Iterable[re_pb.ServerCapabilities]) -> re_pb.ServerCapabilities:
    """What several servers offer together; of what two say the first counts."""
    found = re_pb.ServerCapabilities()
    for answer in answers:
        said = {field.name for field, _ in found.ListFields()}
        for field, value in answer.ListFields():
            if field.name not in said:
                getattr(found, field.name).CopyFrom(value)
    return found


def _request_metadata() -> bytes:
    """Who calls, for the server's logs (REAPI v2, RequestMetadata)."""
    made = re_pb.RequestMetadata(tool_invocation_id=str(uuid.uuid4()))
    made.tool_details.tool_name = "nlctl"
    return made.SerializeToString()
