"""The worker that runs actions on this machine, and what a config says of workers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Self

from nlserver.reapi.endpoint import TlsSpec, tls_problems
from nlserver.spec import Number, Seconds, Site, Size, Spec, Text, key
from nlserver.worker.environment import EnvironmentSource
from nlserver.worker.properties import PropertySpec, split_problems
from nlserver.worker.results import UploadSpec


class WorkerSpec(Spec, kinds=""):
    """A worker, by its kind: an object with exactly one key, the kind's name."""

    def build(self, site: Site) -> LocalWorker:
        """Make the worker. Raises Error FAILED_PRECONDITION where it cannot be."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class WorkerApiEndpointSpec(Spec):
    """Where the scheduler takes workers in."""

    uri: Text
    """`grpc://HOST:PORT`, or `grpcs://HOST:PORT` with `tls_config`; `http` and `https` mean the same."""
    timeout: float = 5
    """Seconds within which the scheduler must answer a new connection. The worker says that it lives twice in this
    time, so keep it at most as long as the scheduler's `worker_timeout_s`."""
    tls_config: TlsSpec | None = None
    """Certificates for `grpcs://`."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """The scheme decides whether TLS is spoken, and the timeout is a time."""
        found = tls_problems(values.uri, values.tls_config)
        return found if values.timeout > 0 else [*found, "'timeout' must be more than 0 seconds"]


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
    """After a lost connection: how long to wait for killed actions to be tidied up before connecting again."""
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

    def build(self, site: Site) -> LocalWorker:
        """Make the worker; it starts with `LocalWorker.run`."""
        return LocalWorker(self, site)


class LocalWorker:
    """A worker of this process."""

    def __init__(self, spec: LocalSpec, site: Site) -> None:
        self.registered = asyncio.Event()
