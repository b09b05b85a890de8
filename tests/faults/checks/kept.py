"""What was acknowledged is there, or a journal says that it was evicted."""

from __future__ import annotations

from nlserver.reapi.client import Client

from tests.faults.check import Check
from tests.faults.scene import Scene


class Kept(Check):
    """Asks every CAS endpoint for every acknowledged blob, and for every recorded result."""

    name = "kept"

    async def findings(self, scene: Scene) -> list[str]:
        found: list[str] = []
        for endpoint in scene.site.cas:
            async with Client(cas=endpoint) as client:
                missing = await client.missing(scene.promises.blobs)
                forgotten = {action for action in scene.promises.results if await client.action_result(action) is None}
            evicted, evicted_results = scene.evictions.recent(), scene.result_evictions.recent()
            why = {digest: scene.promises.blobs.get(digest, "") for digest in missing}
            found += [
                f"{digest}, acknowledged for {why[digest]}, is gone from {endpoint} and no journal tells why"
                for digest in scene.promises.settle(missing, evicted)
            ]
            found += [
                f"the result of {action} is gone from {endpoint} and no journal tells why"
                for action in scene.promises.settle_results(forgotten, evicted_results)
            ]
        return found
