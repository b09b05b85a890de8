"""The worker that runs actions on this machine, and what a config says of workers."""

from __future__ import annotations

import asyncio
import math
import os
import random
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self, cast

from nlserver import fs, log
from nlserver.errors import Code, Error
from nlserver.reapi.digest import Function
from nlserver.reapi.endpoint import EndpointSpec, TlsSpec, tls_problems
from nlserver.spec import Number, Seconds, Site, Size, Spec, Text, key
from nlserver.store import store_named
from nlserver.worker import environment
from nlserver.worker.action import Bench, Cas, Rules
from nlserver.worker.commands import Commands
from nlserver.worker.environment import EnvironmentSource
from nlserver.worker.inputs import Resolver
from nlserver.worker.link import connect_request, connected
from nlserver.worker.messages import Messages
from nlserver.worker.properties import PropertySpec, offered, split_problems
from nlserver.worker.results import Results, UploadSpec
from nlserver.worker.runners import orphans
from nlserver.worker.runners.process import ProcessRunner
from nlserver.worker.shift import Shift
from nlserver.worker.workspace import Workspace

_SHORTEST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0


class WorkerSpec(Spec, kinds=""):
    """A worker, by its kind: an object with exactly one key, the kind's name."""

    def build(self, site: Site) -> LocalWorker:
        """Make the worker. Raises Error FAILED_PRECONDITION where it cannot be."""
        raise NotImplementedError

    def uses(self) -> list[tuple[str, str]]:
        """What it keeps in which root stores: `cas` or `ac`, and the store's name."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class WorkerApiEndpointSpec(Spec):
    """Where the scheduler takes workers in."""

    uri: Text
    """`grpc://HOST:PORT`, or `grpcs://HOST:PORT` with `tls_config`; `http` and `https` mean the same."""
    timeout: float | None = None
    """Seconds within which the scheduler must answer a new connection; 5 unless stated. The worker says that it
    lives twice in this time, so keep it at most as long as the scheduler's `worker_timeout_s`."""
    tls_config: TlsSpec | None = None
    """Certificates for `grpcs://`."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """The scheme decides whether TLS is spoken, and the timeout is a time."""
        found = tls_problems(values.uri, values.tls_config)
        return found if values.seconds > 0 else [*found, "'timeout' must be more than 0 seconds"]

    @property
    def seconds(self) -> float:
        """The `timeout` that holds."""
        return 5 if self.timeout is None else self.timeout


@dataclass(frozen=True, kw_only=True)
class DirectoryCacheSpec(Spec):
    """Keeps whole input roots on disk to hard-link them again. Not available yet: input trees are linked afresh."""

    max_entries: int = 1000
    """The most input roots kept."""
    max_size_bytes: Size = 10 << 30
    """The most bytes kept; 0 means no limit."""
    cache_root: Text = ""
    """Where they are kept, on the file system of `work_directory`; beside it when empty."""
    experimental_subtree_caching: bool = False
    """Keep each directory below the root, too."""
    max_concurrent_fetches: int = 64
    """The most blobs fetched at a time."""
    experimental_get_tree_prefetch: bool = False
    """Fetch directories with GetTree where the slow store is a `grpc` one."""


_NOTHING_SAID: Final = UploadSpec()


@dataclass(frozen=True, kw_only=True)
class LocalSpec(WorkerSpec, tag="local"):
    """A worker on this machine. It dials the scheduler, offers its properties and runs what it is ordered to."""

    name: Text = ""
    """Prefix of the worker's id. Give every worker of a process its own."""
    worker_api_endpoint: WorkerApiEndpointSpec
    """The scheduler."""
    max_action_timeout_s: Seconds = key(zero=1200, alias="max_action_timeout")
    """The longest time an action may run. Actions that ask for more are refused, actions that ask for nothing get
    this."""
    max_upload_timeout_s: Seconds = key(zero=600, alias="max_upload_timeout")
    """The longest time that the outputs of an action may take to upload."""
    max_cleanup_wait_s: Seconds = key(zero=30)
    """How long the killed processes of an action may take to die before the worker reports that they cannot be."""
    max_cleanup_backoff_ms: Seconds = key(zero=500)
    """Taken for compatibility: tidying up is waited for without asking again and again. An integer counts
    milliseconds."""
    max_inflight_tasks: Number = 0
    """The most actions at a time; 0 leaves it to the scheduler and the platform properties."""
    timeout_handled_externally: bool = False
    """The `entrypoint` enforces the time limits of actions; the worker enforces only `max_action_timeout_s`."""
    entrypoint: Text = ""
    """A program that runs every action: it gets the action's command line as its arguments. It is not split into
    words; a relative path with a slash is found from the action's working directory."""
    experimental_precondition_script: str | None = None
    """A command that runs before each action; with any exit code but 0 the action goes back to the scheduler. It is
    split like a shell does, but no shell runs it."""
    cas_fast_slow_store: Text
    """A store of the kind `fast_slow` whose fast store is a `filesystem` on the file system of `work_directory`."""
    upload_action_result: UploadSpec = _NOTHING_SAID
    """What becomes of results."""
    work_directory: Text
    """Where actions run, one directory each. Everything in it is deleted at start; no two workers may share it."""
    platform_properties: dict[str, PropertySpec]
    """What the worker offers to the scheduler; `{}` for nothing."""
    additional_environment: dict[str, EnvironmentSource] | None = None
    """Variables that every action gets; those of the action itself win."""
    directory_cache: DirectoryCacheSpec | None = None
    """Not available yet."""
    experimental_active_input_leases: bool = False
    """Not available yet: inputs of running actions stay readable without it, since the action holds its own links."""
    use_namespaces: bool | None = None
    """Run each action in Linux namespaces of its own. Not available yet."""
    use_mount_namespace: bool | None = None
    """Together with `use_namespaces`: a mount namespace, too. Not available yet."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """The upload strategy needs a store, a precondition needs words, a mount namespace needs the others."""
        found = []
        if values.upload_action_result is _NOTHING_SAID:
            found += [f"upload_action_result: {problem}" for problem in UploadSpec.problems(_NOTHING_SAID)]
        if values.experimental_precondition_script is not None:
            script = split_problems(values.experimental_precondition_script)
            found += [f"experimental_precondition_script: {problem}" for problem in script]
        if values.use_mount_namespace and values.use_namespaces is None:
            found.append("'use_mount_namespace' needs 'use_namespaces'")
        return found

    def uses(self) -> list[tuple[str, str]]:
        """Blobs in its tiers, and results where it is told to upload them."""
        results = self.upload_action_result.ac_store
        return [("cas", self.cas_fast_slow_store), *([("ac", results)] if results else [])]

    def build(self, site: Site) -> LocalWorker:
        """Make the worker; it starts with `LocalWorker.run`."""
        return LocalWorker(self, site)


class LocalWorker:
    """A worker of this process: `run` it, `drain` it before the process stops.

    `registered` is set once it was registered with its scheduler for the first time, `connected` tells whether it is.
    """

    def __init__(self, spec: LocalSpec, site: Site) -> None:
        _refuse_unavailable(spec)
        store = _worker_store(site, spec.cas_fast_slow_store)
        tiers = store_named(site, spec.cas_fast_slow_store)
        upload = spec.upload_action_result
        ac_store = store_named(site, upload.ac_store) if upload.ac_store is not None else None
        history = store_named(site, upload.historical_results_store or spec.cas_fast_slow_store)
        self.registered = asyncio.Event()
        self.connected = False
        self.name = spec.name
        self._spec = spec
        self._workspace = Workspace(spec.work_directory)
        site.on_close(self._close)
        orphans.adopt()
        self._marks = orphans.Marks(self._workspace.owner)
        runner = ProcessRunner(self._marks, spec.max_cleanup_wait_s)
        self._commands = Commands(runner, self._workspace.path)
        self._rules = _rules(spec)
        messages = Messages(tiers.children().get("slow", tiers), tiers)
        bench = Bench(
            store,
            messages,
            Resolver(store, messages),
            self._workspace,
            runner,
            self._commands,
            Results(upload, ac_store, history),
            self._rules,
            site.clock,
        )
        self._shift = Shift(bench, Function[site.default_function.upper()], spec.max_inflight_tasks)
        self._draining = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Serve the scheduler until drained or cancelled, over as many connections as it takes.

        Raises Error when what an earlier worker left behind cannot be removed.
        """
        try:
            log.info("Starting worker", name=self._spec.name, work_directory=self._workspace.path)
            await self._prepare()
            pauses = _pauses()
            while not self._draining.is_set():
                registered = await self._connect()
                pauses = _pauses() if registered else pauses
                await self._rest(next(pauses))
        finally:
            self._ended.set()

    async def drain(self) -> None:
        """Take no new work, finish what runs, sign off; returns when `run` has ended."""
        self._draining.set()
        await self._ended.wait()

    async def _close(self) -> None:
        self._workspace.close()

    async def _prepare(self) -> None:
        """Remove what a worker that was killed left here."""
        await fs.in_thread(self._marks.kill_all, self._spec.max_cleanup_wait_s)
        with fs.failing("emptying work_directory"):
            await fs.in_thread(self._workspace.empty)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._draining.wait()

    async def _connect(self) -> bool:
        """One session; whether it came to be registered."""
        spec, registered = self._spec, False
        try:
            properties = await offered(spec.platform_properties, self._ask)
            request = connect_request(spec.name, properties, spec.max_inflight_tasks)
            endpoint = _endpoint(spec.worker_api_endpoint)
            async with connected(endpoint, spec.worker_api_endpoint.seconds, request) as session:
                registered = True
                shown = " ".join(f"{name}={value}" for name, value in properties)
                log.info("Worker registered with scheduler", worker_id=session.worker_id, platform_properties=shown)
                self.registered.set()
                self.connected = True
                await self._shift.serve(session, self._draining)
        except Error as error:
            if registered:
                log.error("Worker disconnected from scheduler, reconnecting", reason=error)
            else:
                log.warn("Worker cannot register with its scheduler yet", reason=error, remedy=error.remedy)
        finally:
            self.connected = False
        return registered

    async def _ask(self, arguments: Sequence[str]) -> str:
        rules = self._rules
        return await self._commands.output(
            arguments, environment.for_queries(rules.additional_environment, rules.own_environment)
        )


def _pauses() -> Iterator[float]:
    """Seconds before each attempt to connect, spread so that many workers do not come back at once."""
    pause = _SHORTEST_PAUSE
    while True:
        yield pause * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _refuse_unavailable(spec: LocalSpec) -> None:
    asked = {
        "directory_cache": spec.directory_cache is not None,
        "use_namespaces": bool(spec.use_namespaces),
        "experimental_active_input_leases": spec.experimental_active_input_leases,
    }
    for name, wanted in asked.items():
        if wanted:
            raise Error(Code.UNIMPLEMENTED, f"workers' {name} is not available yet", remedy=f"Remove {name}.")


def _worker_store(site: Site, name: str) -> Cas:
    store = store_named(site, name)
    if not hasattr(type(store), "localize"):
        raise Error(
            Code.FAILED_PRECONDITION,
            f"cas_fast_slow_store {name!r} is no fast_slow store",
            remedy="Name a store of kind fast_slow whose fast store is a filesystem.",
        )
    found = cast(Cas, store)
    # Raises Error now where the fast tier has no files.
    assert found.local is not None
    return found


def _rules(spec: LocalSpec) -> Rules:
    return Rules(
        max_action_timeout=spec.max_action_timeout_s,
        max_upload_timeout=spec.max_upload_timeout_s,
        timeout_handled_externally=spec.timeout_handled_externally,
        entrypoint=spec.entrypoint,
        precondition=shlex.split(spec.experimental_precondition_script or ""),
        additional_environment=spec.additional_environment or {},
        own_environment=dict(os.environ),
    )


def _endpoint(spec: WorkerApiEndpointSpec) -> EndpointSpec:
    return EndpointSpec(address=spec.uri, tls_config=spec.tls_config, connect_timeout_s=max(1, math.ceil(spec.seconds)))
