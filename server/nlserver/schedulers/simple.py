"""The scheduler `simple`: one process, its queue and its workers in memory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nlserver.dispatch.properties import PropertyKind
from nlserver.errors import Code, Error
from nlserver.scheduler import Scheduler, SchedulerSpec
from nlserver.spec import U32, Number, Seconds, SignedSeconds, Site, Spec, key


class AllocationStrategy(StrEnum):
    """Which of the workers that fit gets an action."""

    LEAST_RECENTLY_USED = "least_recently_used"
    """The one that was given nothing, and reported nothing, for the longest time: spreads work."""
    MOST_RECENTLY_USED = "most_recently_used"
    """The one that was last at work: keeps caches warm and lets idle workers be taken away."""


class BackendSpec(Spec, kinds=""):
    """Where the queue is kept."""


@dataclass(frozen=True, kw_only=True)
class MemoryBackendSpec(BackendSpec, tag="memory"):
    """In the memory of this process: a restart forgets the queue, and clients submit again."""


@dataclass(frozen=True, kw_only=True)
class RedisBackendSpec(BackendSpec, tag="redis"):
    """In Redis, shared by several schedulers. Not available yet."""

    redis_store: str
    """Name of a root `redis_store`."""


@dataclass(frozen=True, kw_only=True)
class SimpleSpec(SchedulerSpec, tag="simple"):
    """Queues actions and gives each to a worker that fits; one process, state in memory."""

    supported_platform_properties: dict[str, PropertyKind] | None = None
    """How the properties of actions and workers are compared, by name: `exact`, `minimum` (a number; taken while an
    action runs), `priority` (the worker has it, with any value) or `ignore`. A name that is not listed must be equal
    on workers that announce it and restricts no other."""
    retain_completed_for_s: Seconds = key(zero=60, most=U32)
    """How long a finished operation can still be asked for."""
    client_action_timeout_s: Seconds = key(zero=60)
    """How long an operation goes on after its last client went away."""
    worker_timeout_s: Seconds = key(zero=5)
    """How long a worker may be silent before it is dropped; its actions are queued again."""
    max_action_executing_timeout_s: Seconds | None = key(zero=None)
    """How long an action may execute without any news of it before it is taken from its worker; 0 means for ever."""
    unacknowledged_kill_timeout_s: Seconds = key(zero=60)
    """How long a worker may take to report the end of an action that it was told to kill before it is dropped."""
    max_job_retries: Number = key(zero=3)
    """How often an action is tried again after a worker was lost or could not run it. What no repetition makes
    better (INVALID_ARGUMENT, FAILED_PRECONDITION, UNIMPLEMENTED, PERMISSION_DENIED) is not tried again."""
    allocation_strategy: AllocationStrategy = AllocationStrategy.LEAST_RECENTLY_USED
    """Which of the workers that fit gets an action."""
    experimental_backend: BackendSpec | None = None
    """Where the queue is kept: "memory"."""
    worker_match_logging_interval_s: SignedSeconds = 10
    """How often the log says what waits and why, while anything waits; -1 and 0 turn it off."""
    fallback_match_interval_s: SignedSeconds = 5
    """Has no effect: NativeLink repeats its matching after this time; here every event that could change a match
    is followed by one."""

    def build(self, site: Site) -> Scheduler:
        """Make the scheduler. Raises Error UNIMPLEMENTED for the Redis backend."""
        if isinstance(self.experimental_backend, RedisBackendSpec):
            raise Error(
                Code.UNIMPLEMENTED,
                "the scheduler backend 'redis' is not available yet",
                remedy='Leave experimental_backend out, or say "memory".',
            )
        raise NotImplementedError
