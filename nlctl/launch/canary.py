"""The proof that a cluster works: an action on every worker, its output read back, and the second run a cache hit."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from nlserver.errors import Error
from nlserver.reapi.client import Client, Outcome
from nlserver.reapi.digest import digest_of
from nlserver.reapi.execution import ExecutionState

from nlctl.faults import CANARY_FAILED, NOT_READY, Fault, fix
from nlctl.launch.wish import AIM, Ports
from nlctl.worker_ids import worker_name

_OUTPUT: Final = "canary"
# Needs nothing but a shell: not even PATH is set for an action.
_COMMAND: Final = ("/bin/sh", "-c", f'printf %s "$NONCE" > {_OUTPUT}')


def prove(ports: Ports, workers: Sequence[str], limit_seconds: float) -> None:
    """Return once each of these workers has proved itself. Raises Fault CANARY_FAILED or NOT_READY."""
    asyncio.run(_prove(ports, workers, limit_seconds))


async def _prove(ports: Ports, workers: Sequence[str], limit_seconds: float) -> None:
    cas, executor, _ = ports.urls
    done: set[str] = set()
    try:
        async with asyncio.timeout(limit_seconds), Client(cas=cas, executor=executor) as client:
            for worker, verdict in zip(workers, await _all(client, workers, done), strict=True):
                if verdict is not None:
                    raise _failed(worker, verdict)
    except TimeoutError:
        late = [worker for worker in workers if worker not in done]
        raise Fault(
            NOT_READY,
            f"the canary did not come back in time from {', '.join(late[:10])}",
            fixes=[fix("see what that worker does", "nlctl", "logs", late[0] if late else "scheduler")],
        ) from None


async def _all(client: Client, workers: Sequence[str], done: set[str]) -> list[str | None]:
    async def one(worker: str) -> str | None:
        said = await tried(client, worker)
        done.add(worker)
        return said

    return await asyncio.gather(*map(one, workers))


async def tried(client: Client, worker: str, on_state: Callable[[ExecutionState], None] | None = None) -> str | None:
    """What is wrong with this worker, None when it proved itself; an empty name is whichever takes the action.

    `on_state` is told each state of the first run.
    """
    nonce = secrets.token_hex(16)
    try:
        first = await _run(client, worker, nonce, on_state)
        said = _ran_badly(first, worker) or await _read_badly(client, first, nonce)
        if said is None and not (await _run(client, worker, nonce)).cached:
            said = "its result was not in the action cache for the second run"
    except Error as error:
        said = str(error)
    return said


async def _run(
    client: Client, worker: str, nonce: str, on_state: Callable[[ExecutionState], None] | None = None
) -> Outcome:
    return await client.run(
        _COMMAND,
        environment={"NONCE": nonce},
        output_paths=[_OUTPUT],
        platform={AIM: worker} if worker else {},
        salt=nonce.encode(),
        on_state=on_state,
    )


def _ran_badly(outcome: Outcome, worker: str) -> str | None:
    if outcome.exit_code != 0:
        return f"the action ended with {outcome.exit_code}: {outcome.stderr.decode(errors='replace').strip()}"
    if outcome.cached:
        return "a fresh action came out of the cache"
    if worker and worker_name(outcome.metadata.worker) != worker:
        return f"it was aimed at {worker} and ran on {outcome.metadata.worker or 'an unnamed worker'}"
    return None


async def _read_badly(client: Client, outcome: Outcome, nonce: str) -> str | None:
    files = outcome.result.output_files
    if len(files) != 1:
        return f"the action left {len(files)} outputs in place of 1"
    data = await client.read(digest_of(files[0].digest, client.function))
    return None if data == nonce.encode() else "its output came back changed"


def _failed(worker: str, said: str) -> Fault:
    return Fault(
        CANARY_FAILED,
        f"{worker} does not run actions",
        why=said,
        fixes=[
            fix("see what it says", "nlctl", "logs", worker),
            fix("keep it to look into it", "nlctl", "up", "--keep-on-fail"),
        ],
    )
