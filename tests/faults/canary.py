"""Whether a cluster serves: every CAS endpoint takes and gives a blob, every worker runs an action."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Final

from nlserver.errors import Error
from nlserver.reapi.client import Client

from tests.faults.scene import Scene

_ATTEMPT_SECONDS: Final = 8.0
_PAUSE_SECONDS: Final = 0.1


async def recovered(scene: Scene, within_seconds: float) -> float:
    """Return after how many seconds it served. Raises AssertionError when it does not within the time."""
    began = time.monotonic()
    waiting = {f"cas {endpoint}" for endpoint in scene.site.cas} | set(scene.site.workers)
    said = "nothing was tried"
    while waiting:
        outcomes = await asyncio.gather(*(_try(scene, one) for one in waiting))
        for one, problem in zip(list(waiting), outcomes, strict=True):
            if problem:
                said = f"{one}: {problem}"
            else:
                waiting.discard(one)
        if not waiting:
            break
        left = within_seconds - (time.monotonic() - began)
        assert left > 0, f"after {within_seconds:g} s these do not serve: {', '.join(sorted(waiting))}. {said}"
        await asyncio.sleep(_PAUSE_SECONDS)
    return time.monotonic() - began


async def _try(scene: Scene, what: str) -> str:
    """What is wrong with it, "" when it serves."""
    try:
        async with asyncio.timeout(_ATTEMPT_SECONDS):
            if what.startswith("cas "):
                return await _stores(what.removeprefix("cas "))
            return await _works(scene, what)
    except (Error, TimeoutError) as error:
        return repr(error)


async def _stores(endpoint: str) -> str:
    data = secrets.token_bytes(5_000)
    async with Client(cas=endpoint) as client:
        [digest] = await client.upload([data])
        return "" if await client.read(digest) == data else "a blob came back changed"


async def _works(scene: Scene, worker: str) -> str:
    nonce = secrets.token_hex(16)
    async with Client(cas=scene.site.cas[0], executor=scene.site.executor) as client:
        outcome = await client.run(
            ["/bin/sh", "-c", f"echo {nonce}"], platform={"nlctl-worker": worker}, salt=nonce.encode()
        )
    if outcome.exit_code or outcome.stdout != f"{nonce}\n".encode():
        return f"it answered {outcome.exit_code} {outcome.stdout!r}"
    ran = outcome.metadata.worker
    return "" if ran.startswith(worker) else f"it ran on {ran}"
