"""A bench with real stores, real directories and real processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from nlserver.spec import Site
from nlserver.store import Store
from nlserver.stores.fast_slow import FastSlowSpec
from nlserver.stores.filesystem import FilesystemSpec
from nlserver.stores.memory import MemorySpec
from nlserver.worker.action import Bench, Cas, Rules
from nlserver.worker.commands import Commands
from nlserver.worker.inputs import Resolver
from nlserver.worker.messages import Messages
from nlserver.worker.results import Results, UploadSpec
from nlserver.worker.runners import orphans
from nlserver.worker.runners.process import ProcessRunner
from nlserver.worker.workspace import Workspace

from tests.server.worker.shop import Shop


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    tasks: set[asyncio.Task[None]] = set()

    def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> None:
        tasks.add(asyncio.create_task(coroutine, name=name))

    made = Site(spawn=spawn)
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await made.close()


@pytest.fixture
def cas_spec(tmp_path: Path) -> FastSlowSpec:
    fast = FilesystemSpec(content_path=str(tmp_path / "content"), temp_path=str(tmp_path / "temp"))
    return FastSlowSpec(fast=fast, slow=MemorySpec())


@pytest.fixture
async def cas(cas_spec: FastSlowSpec, site: Site) -> Store:
    return cas_spec.build(site)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    made = Workspace(str(tmp_path / "work"))
    yield made
    made.close()


@pytest.fixture
def runner(workspace: Workspace) -> ProcessRunner:
    orphans.adopt()
    return ProcessRunner(orphans.Marks(workspace.owner), 10)


@pytest.fixture
async def shop(cas: Store, site: Site, workspace: Workspace, runner: ProcessRunner) -> AsyncIterator[Shop]:
    rules = Rules(
        max_action_timeout=20,
        max_upload_timeout=20,
        timeout_handled_externally=False,
        entrypoint="",
        precondition=(),
        additional_environment={},
        own_environment={"HOME": "/home/worker"},
    )
    store = cast(Cas, cas)
    messages = Messages(cas.children()["slow"], cas)
    ac = MemorySpec().build(site)
    made = Shop(
        Bench(
            store,
            messages,
            Resolver(store, messages),
            workspace,
            runner,
            Commands(runner, workspace.path),
            Results(UploadSpec(ac_store="AC"), ac, cas),
            rules,
            site.clock,
        ),
        cas,
        ac,
    )
    yield made
    made.assert_nothing_is_left()
