"""WorkerApi: the stream over which a worker joins a scheduler, is given actions and reports them (NativeLink)."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.spec import Spec, Text, key


@dataclass(frozen=True, kw_only=True)
class WorkerApiSpec(Spec):
    """Lets workers connect to this listener. Anybody who reaches it can become a worker: keep it off open networks."""

    scheduler: Text
    """The scheduler that workers join, by its name in `schedulers`; it must be one that takes workers."""
    disable_kill_revoked_operations: bool = False
    """Do not tell workers to kill actions that were taken from them (cancelled, timed out, nobody waits)."""
    kill_revoked_operations_interval_s: int = key(zero=5)
    """Has no effect: NativeLink looks for such actions at this interval; here a worker is told at once."""
