"""Actions that do nothing, from the client library: what a build pays for each action beyond its own work."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Final

from nlserver.reapi.client import Client, Outcome
from nlserver.reapi.digest import Digest

from nlctl.bench.calls.call import Call, Wrong
from nlctl.bench.lines import Line
from nlctl.bench.orders import Exchange, Target

_FILES_IN_DIRECTORY: Final = 20
_PATIENCE_SECONDS: Final = 30.0
_NOOP: Final = ("/bin/true",)
_WRITE_ALL: Final = 'i=0; while [ $i -lt "$COUNT" ]; do echo "$SALT $i" > out-$i; i=$((i+1)); done'


class Execute(Call):
    """An action that was never run before. Its input tree is there already, as that of most actions of a build is."""

    def __init__(self, target: Target, line: Line, seed: int) -> None:
        self._client = Client(
            cas=target.cas,
            executor=target.executor,
            action_cache=target.cache or None,
            instance_name=target.instance,
            timeout_seconds=_PATIENCE_SECONDS,
        )
        self._inputs = line.count
        self._input_bytes = line.size_bytes
        self._outputs = [f"out-{number}" for number in range(line.outputs)]
        self._command = ("/bin/sh", "-c", _WRITE_ALL) if self._outputs else _NOOP
        self._chance = random.Random(seed)  # noqa: S311
        self._root: Digest | None = None

    async def set_up(self) -> Exchange:
        """Upload the input tree and run one action; its outputs are fetched and compared."""
        if self._inputs and self._root is None:
            self._root = await self._uploaded_tree()
        salt, outcome = await self._run()
        for number, file in enumerate(sorted(outcome.result.output_files, key=lambda one: int(one.path[4:]))):
            data = await self._client.read(Digest(file.digest.hash, file.digest.size_bytes))
            if data != f"{salt} {number}\n".encode():
                raise Wrong(f"{file.path} is not what the command wrote")
        return Exchange(0, 0)

    async def once(self) -> int:
        """Run one action."""
        await self._run()
        return 0

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()

    async def _run(self) -> tuple[str, Outcome]:
        salt = f"{self._chance.getrandbits(64):016x}"
        outcome = await self._client.run(
            self._command,
            input_root=self._root,
            output_paths=self._outputs,
            environment={"SALT": salt, "COUNT": str(len(self._outputs))} if self._outputs else None,
            salt=salt.encode(),
        )
        if outcome.exit_code or outcome.cached or len(outcome.result.output_files) != len(self._outputs):
            raise Wrong(f"the action ended with {outcome.exit_code}: {outcome.stderr.decode(errors='replace')}")
        return salt, outcome

    async def _uploaded_tree(self) -> Digest:
        with tempfile.TemporaryDirectory() as folder:
            await asyncio.to_thread(self._fill, Path(folder))
            return await self._client.upload_tree(Path(folder))

    def _fill(self, folder: Path) -> None:
        for number in range(self._inputs):
            path = folder / f"directory-{number // _FILES_IN_DIRECTORY}" / f"input-{number}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(self._chance.randbytes(self._input_bytes))
