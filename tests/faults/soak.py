"""Faults by the hundred under clients at work: one run, from a fresh cluster to the table.

`python -m tests.faults.soak --minutes 10 --seed 7`; see `make soak` and README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults import isolation
from tests.faults.builds import Builds, plans
from tests.faults.canary import recovered
from tests.faults.check import Check, settled
from tests.faults.checks.kept import Kept
from tests.faults.checks.litter import Litter
from tests.faults.checks.mounts import Mounts
from tests.faults.checks.processes import Processes
from tests.faults.checks.stores import Stores
from tests.faults.checks.usage import Usage
from tests.faults.clock import Clock
from tests.faults.fault import Fault, Kind
from tests.faults.injections import cable, clock, crowd, disk, flood, kill, stop, ups
from tests.faults.plan import turns
from tests.faults.promises import Evictions, Promises
from tests.faults.scene import LONG, QUICK, Pace, Scene
from tests.faults.site import Site
from tests.faults.spread import Spread
from tests.faults.stream import Stream
from tests.faults.table import START, Table
from tests.faults.up import Up
from tests.faults.workload import jobs

_INJECTIONS: Final = (kill, stop, disk, flood, crowd, clock, cable, ups)
_START_SECONDS: Final = 60.0
_WARMING_JOBS: Final = 60
_PACES: Final[Mapping[str, Pace]] = {"quick": QUICK, "long": LONG}


@dataclass(frozen=True)
class Options:
    """What a run is asked for. `only` are words of which a fault's name must have one."""

    site: str
    work: str
    pace: str
    minutes: float
    seed: int
    only: Sequence[str]
    most: int
    keep: Path
    json: Path | None


class Soak:
    """One cluster, one seed, until the time is over or something is wrong."""

    def __init__(self, options: Options, table: Table, home: Path) -> None:
        self._options = options
        self._table = table
        self._home = home
        self.usage = Usage()
        self._checks: Sequence[Check] = (Processes(), Litter(), Stores(), Kept(), Mounts(), self.usage)

    async def run(self) -> bool:
        """Whether all was well. The table has the rest."""
        async with self._scene() as scene:
            for check in self._checks:
                check.begin(scene)
            if not await self._round(START, scene, None):
                return False
            kinds = {kind.name: kind for kind in self._kinds(scene.site)}
            end = time.monotonic() + 60 * self._options.minutes
            for number, turn in enumerate(turns(list(kinds), self._options.seed)):
                if time.monotonic() > end or number == self._options.most:
                    break
                await scene.load.busy(1 + turn.jobs_before * scene.load.stride)
                fault = kinds[turn.fault].draw(random.Random(turn.seed), scene)
                if not await self._round(turn.fault, scene, fault):
                    return False
            self._table.note(f"{scene.evictions.count} evictions from the CAS", scene.load)
        return True

    def _kinds(self, site: Site) -> list[Kind]:
        found = [kind for injection in _INJECTIONS for kind in injection.kinds(site)]
        if self._options.only:
            found = [kind for kind in found if any(word in kind.name for word in self._options.only)]
        return found

    @contextlib.asynccontextmanager
    async def _scene(self) -> AsyncIterator[Scene]:
        moved = Clock(self._home / "clock")
        site: Up | Spread = Up(self._home, moved) if self._options.site == "up" else Spread(self._home, moved)
        await site.start()
        promises = Promises()
        async with self._load(site, promises) as load:
            yield Scene(
                site,
                load,
                promises,
                Evictions([store.content for store in site.cas_stores]),
                Evictions([store.content for store in site.ac_stores]),
                moved,
                _PACES[self._options.pace],
                self._home,
            )
        await site.close()

    def _load(self, site: Site, promises: Promises) -> Builds | Stream:
        seed = self._options.seed
        if self._options.work == "builds":
            return Builds(site.cas[0], site.executor, plans(seed), promises, self._home / "bazel")
        return Stream(site.cas, site.executor, jobs(seed), promises, self._home / "lanes")

    async def _round(self, name: str, scene: Scene, fault: Fault | None) -> bool:
        """Strike, wait until it serves again, bring the clients to rest, look at everything, and go on."""
        self._table.begins(name, str(fault or "no fault yet"), scene.load)
        wrong: list[str] = []
        seconds = 0.0
        try:
            if fault is not None:
                scene.load.trouble()
                scene.load.spoils = fault.spoils_actions
                await fault.inject(scene)
                await asyncio.sleep(fault.hold_seconds)
                await fault.heal(scene)
            healed = time.monotonic()
            await recovered(scene, _START_SECONDS if fault is None else fault.recovery_seconds)
            seconds = time.monotonic() - healed
            scene.load.peace()
            if fault is None:
                scene.load.resume()
                await scene.load.busy(_WARMING_JOBS)
            await scene.load.pause()
            scene.load.spoils = False
            wrong = scene.load.wrong + await settled(self._checks, scene)
        except Exception as failure:
            wrong = [*scene.load.wrong, f"{type(failure).__name__}: {failure}", traceback.format_exc()]
        self._table.ended(name, seconds, scene.load, wrong)
        if not wrong:
            scene.load.resume()
        return not wrong


def _arguments(words: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument(
        "--site", choices=("up", "spread"), default="up", help="nlctl up, or parts on hosts of their own"
    )
    parser.add_argument(
        "--work", choices=("actions", "builds"), default="actions", help="calls of our client library, or Bazel"
    )
    parser.add_argument(
        "--pace", choices=tuple(_PACES), default="quick", help="long: 30 s of standstill, crowds of a thousand"
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", default=[], help="faults with this word in their name")
    parser.add_argument("--most", type=int, default=-1, help="so many faults at most")
    parser.add_argument(
        "--keep", type=Path, default=Path(tempfile.gettempdir()), help="where evidence of a failure goes"
    )
    parser.add_argument("--json", type=Path, help="also write the table to this file, for tests.faults.table")
    return Options(**vars(parser.parse_args(words)))


def run(options: Options) -> int:
    """The exit code."""
    home = Path(tempfile.mkdtemp(prefix="soak-", dir=options.keep))
    (home / "tmp").mkdir()
    os.environ["TMPDIR"] = str(home / "tmp")
    table = Table(options.site, options.work, options.pace, options.seed)
    soak = Soak(options, table, home)
    try:
        good = asyncio.run(soak.run())
    except KeyboardInterrupt:
        good = True
    except Exception:
        table.broke(traceback.format_exc())
        good = False
    table.show(soak.usage.summary())
    if options.json:
        options.json.write_text(json.dumps(table.document(), indent=1))
    if good:
        shutil.rmtree(home, ignore_errors=True)
        return 0
    (home / "report.txt").write_text(table.text())
    print(f"\nLogs, stores and this report: {home}", flush=True)
    return 1


def main() -> None:
    """In namespaces of its own."""
    if not isolation.inside():
        isolation.enter("tests.faults.soak", sys.argv[1:])
    isolation.first(lambda: run(_arguments(sys.argv[1:])))


if __name__ == "__main__":
    main()
