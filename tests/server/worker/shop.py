"""A bench, and a client's pen to write actions with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.proto import worker_api_pb2
from nlserver.reapi import action as actions
from nlserver.reapi import tree
from nlserver.reapi.digest import Digest, Function, digest_of, of
from nlserver.store import Store
from nlserver.worker.action import Bench, perform
from nlserver.worker.leash import Leash
from nlserver.worker.order import Order
from nlserver.worker.results import Results, UploadSpec
from nlserver.worker.workspace import SPARE

PATH = "/usr/bin:/bin"
Node = str | bytes | dict[str, "Node"] | re_pb.FileNode | tree.Symlink


@dataclass
class Shop:
    """A bench, and what a client does before and after."""

    bench: Bench
    cas: Store
    ac: Store
    function: Function = Function.SHA256
    completed: list[str] = field(default_factory=list)

    async def put(self, data: bytes) -> Digest:
        digest = of(data, self.function)
        await self.cas.put(digest, data)
        return digest

    async def root(self, nodes: Mapping[str, Node]) -> Digest:
        """Upload a tree; names that end in `*` are executable."""
        made = re_pb.Directory()
        for name, node in sorted(nodes.items()):
            match node:
                case dict():
                    tree.set_digest(made.directories.add(name=name).digest, await self.root(node))
                case tree.Symlink():
                    made.symlinks.add(name=name, target=node.target)
                case re_pb.FileNode():
                    made.files.add(name=name).MergeFrom(node)
                case str() | bytes():
                    data = node.encode() if isinstance(node, str) else node
                    entry = made.files.add(name=name.rstrip("*"), is_executable=name.endswith("*"))
                    tree.set_digest(entry.digest, await self.put(data))
        return await self.put(made.SerializeToString())

    async def order(self, command: re_pb.Command, root: Digest, **more: Any) -> Order:
        digest = await self.put(command.SerializeToString())
        action = actions.action(digest, root, **more)
        return Order("operation", "main", await self.put(action.SerializeToString()), 0, {}, "worker")

    async def sh(
        self,
        script: str,
        inputs: Mapping[str, Node] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        outputs: Sequence[str] = (),
        directory: str = "",
        leash: Leash | None = None,
        **more: Any,
    ) -> worker_api_pb2.ExecuteResult:
        """Run a shell script as an action."""
        variables = {"PATH": PATH} if env is None else env
        command = actions.command(
            ["/bin/sh", "-c", script], environment=variables, output_paths=outputs, working_directory=directory
        )
        return await self.run(await self.order(command, await self.root(inputs or {}), **more), leash)

    async def run(self, order: Order, leash: Leash | None = None) -> worker_api_pb2.ExecuteResult:
        return await perform(self.bench, order, leash or Leash(), lambda: self.completed.append(order.operation_id))

    async def read(self, digest: re_pb.Digest) -> bytes:
        return await self.cas.get(digest_of(digest, self.function))

    async def stdout(self, result: worker_api_pb2.ExecuteResult) -> str:
        return (await self.read(result.execute_response.result.stdout_digest)).decode()

    def with_rules(self, **changes: Any) -> Shop:
        return replace(self, bench=replace(self.bench, rules=replace(self.bench.rules, **changes)))

    def with_upload(self, **keys: Any) -> Shop:
        return replace(self, bench=replace(self.bench, results=Results(UploadSpec(**keys), self.ac, self.cas)))

    def signal(self) -> tuple[str, Coroutine[Any, Any, None]]:
        """A line of shell that says that it was reached, and a wait for it."""
        path = f"{self.bench.workspace.path}.fifo"
        os.mkfifo(path)

        def reached() -> None:
            with open(path) as fifo:
                fifo.read()

        return f"echo > {path}", asyncio.wait_for(asyncio.to_thread(reached), 10)

    def assert_nothing_is_left(self) -> None:
        assert left(self.bench.workspace.path) == []


def left(work_directory: str) -> list[str]:
    """What actions left in a work directory; spare directories, which hold no byte and no name of any, do not count."""
    return [path for directory, names, files in os.walk(work_directory) for path in _odd(directory, names, files)]


def _odd(directory: str, names: Sequence[str], files: Sequence[str]) -> list[str]:
    spare = os.path.basename(directory).startswith(SPARE)
    usual = {name for name in names if name == "work" if spare} | {name for name in names if name.startswith(SPARE)}
    empty = {name for name in files if spare and name in ("stdout", "stderr")}
    empty = {name for name in empty if not os.lstat(f"{directory}/{name}").st_size}
    return [f"{directory}/{name}" for name in (*names, *files) if name not in usual | empty]
