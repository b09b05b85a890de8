"""Every command that exists, against servers that are not ours: it works, or exits 10 and names a substitute.

The commands are those of the registry, with the examples of their help; what others add is held to the same.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from nlserver.proto import admin_pb2, admin_pb2_grpc

from nlctl.description import commands_in, describe
from nlctl.exits import Exit
from nlctl.registry import COMMANDS, Leaf, Level
from tests.bench import servers
from tests.nlctl import elsewhere
from tests.real.programs import program

pytestmark = pytest.mark.real
LIMIT = 60.0
CODES = frozenset(Exit)
# These make a cluster of their own wherever they are pointed.
LOCAL_ONLY = {"up", "lab"}
_PREFIX = re.compile(r"[0-9a-f]{8}(?:/\d+)?")


@dataclass
class Done:
    words: Sequence[str]
    code: int
    out: str
    err: str

    @property
    def fault(self) -> Mapping[str, object]:
        return json.loads(self.err.splitlines()[-1]) if self.err.strip() else {}

    def __str__(self) -> str:
        return f"nlctl {shlex.join(self.words)} ended with {self.code}:\n{self.err[-600:]}"


@dataclass
class Site:
    """A server that others made, the words that lead to it, and what was put there."""

    name: str
    home: Path
    leading: Sequence[str]
    executes: bool
    digests: dict[str, str] = field(default_factory=dict)

    def nlctl(self, *words: str, leading: bool = True) -> Done:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NLCTL_", "XDG_"))}
        line = [*(self.leading if leading else ()), *words]
        ran = subprocess.run(
            [program("nlctl"), *line],
            env={**kept, "HOME": str(self.home), "XDG_STATE_HOME": str(self.home / "state")},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
        return Done(line, ran.returncode, ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace"))

    def prepare(self) -> None:
        """A blob, a tree and, where it can, an action there; all later commands find them by `@last` or by digest."""
        tree = self.home / "tree"
        (tree / "sub").mkdir(parents=True)
        (tree / "sub" / "a.c").write_text("int main(void) { return 0; }\n")
        (self.home / "a.out").write_bytes(os.urandom(1000))
        for kind in ("tree", "a.out"):
            put = self.nlctl("-q", "cas", "put", kind)
            assert put.code == 0, put
            self.digests[kind] = put.out.split()[0]
        ran = self.nlctl("-o", "json", "run", "--", "/bin/sh", "-c", "echo hello")
        if self.executes:
            assert ran.code == 0, ran
        else:
            assert ran.code == Exit.NOT_RUN, ran


@contextmanager
def _casd(scratch: Path) -> Iterator[Site]:
    with servers.casd(scratch / "casd") as server:
        yield Site("casd", scratch / "home", ["--endpoint", server.url], executes=True)


@contextmanager
def _buildgrid(scratch: Path) -> Iterator[Site]:
    with servers.buildgrid(scratch / "buildgrid") as server:
        yield Site("buildgrid", scratch / "home", ["--endpoint", server.url], executes=False)


@contextmanager
def _like_nativelink(scratch: Path) -> Iterator[Site]:
    """Our own server, known by what NativeLink has alone: the Remote Execution API, and the admin route over HTTP."""
    services = {"worker_api": {"scheduler": "MAIN"}, "health": {}, "admin": {}}
    with ExitStack() as stack:
        config = elsewhere.everything(scratch, services)
        [port, *_] = stack.enter_context(elsewhere.server(scratch / "server", config))
        worker = elsewhere.worker(scratch / "data", port, "worker-1")
        worker["workers"][0]["local"]["upload_action_result"] = {"upload_ac_results_strategy": "never"}
        stack.enter_context(elsewhere.server(scratch / "worker", worker))
        site = Site("nativelink", scratch / "home", ["-C", "nl"], executes=True)
        (scratch / "home").mkdir(parents=True)
        url = f"grpc://127.0.0.1:{port}"
        route = f"http://127.0.0.1:{port}/admin"
        added = site.nlctl("context", "add", "nl", url, "--admin-http", route, "--scheduler", "MAIN", leading=False)
        assert added.code == 0, added
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = admin_pb2_grpc.AdminStub(channel).ListWorkers(admin_pb2.ListWorkersRequest(), timeout=LIMIT)
            site.digests["worker"] = answer.workers[0].id
        yield site


_SITES = {"casd": _casd, "buildgrid": _buildgrid, "nativelink": _like_nativelink}


@pytest.fixture(scope="module", params=_SITES)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, buildbox: Path, buildgrid: Path
) -> Iterator[Site]:
    scratch = tmp_path_factory.mktemp(request.param)
    with _SITES[request.param](scratch) as running:
        running.home.mkdir(exist_ok=True)
        running.prepare()
        yield running


def examples(path: tuple[str, ...]) -> list[list[str]]:
    """The command lines of a command's help that begin with it, up to what is for the shell."""
    lines = [line for line in describe(path).examples if line.startswith("nlctl ")]
    return [commands_in(line)[0] for line in lines]


def filled(site: Site, words: Sequence[str]) -> list[str]:
    """An example with digests that there are in the place of those that are made up, and with an end."""
    kind = "tree" if {"tree", "checkout", "du"} & set(words[:2]) else "a.out"
    made = [site.digests[kind] if _PREFIX.fullmatch(word) else word for word in words]
    return [*made, "--count", "1"] if words[:2] == ["doctor", "net"] else made


def problem(leaf: Leaf, done: Done) -> str:
    """What is wrong with how this ended; empty when nothing is."""
    if "Traceback" in done.err or done.code == Exit.INTERNAL or done.code not in CODES:
        return f"fails in a way it should not: {done}"
    if done.code == Exit.UNSUPPORTED and not done.fault.get("fix"):
        return f"names no substitute: {done}"
    if leaf.level is Level.HTTP and done.code == Exit.NOT_FOUND and done.fault.get("server_said"):
        # The server has the route, and knows no worker of the example's name.
        return ""
    if leaf.level in (Level.LOCAL, Level.HTTP, Level.ADMIN) and done.code not in (
        Exit.UNSUPPORTED,
        Exit.USAGE,
        Exit.OK,
    ):
        return f"does not say that the server lacks what it needs: {done}"
    return ""


def test_every_command_works_or_says_what_the_server_lacks_and_names_a_substitute(site: Site) -> None:
    """Statement 51."""
    asked = [
        (leaf, ["-o", "json", *filled(site, words)])
        for path, leaf in COMMANDS.items()
        if leaf.level is not Level.NONE and path[0] not in LOCAL_ONLY and path != ("bench",)
        for words in examples(path)[: 2 if leaf.level is Level.STANDARD else 1]
    ]
    assert len(asked) > 20
    with ThreadPoolExecutor(4) as pool:
        problems = list(pool.map(lambda one: problem(one[0], site.nlctl(*one[1])), asked))
    assert [text for text in problems if text] == []


def test_blobs_and_trees_go_there_and_come_back(site: Site) -> None:
    """Statement 51."""
    blob, tree = site.digests["a.out"], site.digests["tree"]
    assert site.nlctl("cas", "get", blob, "-O", "back").code == 0
    assert (site.home / "back").read_bytes() == (site.home / "a.out").read_bytes()
    for words in (("cas", "stat", blob), ("cas", "missing", blob), ("cas", "tree", tree, "--check"), ("bazelrc",)):
        done = site.nlctl(*words)
        assert done.code == 0, done
    absent = f"{'0' * 64}/7"
    assert site.nlctl("cas", "get", absent).code == Exit.NOT_FOUND
    assert absent in site.nlctl("cas", "missing", absent).out


def test_a_benchmark_measures_it(site: Site) -> None:
    """Statement 51."""
    done = site.nlctl("-o", "json", "bench", "cas", "--line", "FindMissing*", "--count", "20", "--rounds", "1")
    assert done.code in (0, Exit.USAGE, Exit.NOT_FOUND), done


def test_actions_run_where_the_server_runs_some_and_else_it_says_so(site: Site) -> None:
    """Statement 51."""
    done = site.nlctl("run", "--", "/bin/sh", "-c", "exit 7")
    if site.executes:
        assert done.code == 7, done
        assert site.nlctl("ac", "get", "@last").code in (0, Exit.NOT_FOUND)
    else:
        assert done.code == Exit.NOT_RUN, done
        assert "Traceback" not in done.err


def test_nativelinks_own_route_drains_a_worker(site: Site) -> None:
    """Statement 51."""
    if site.name != "nativelink":
        done = site.nlctl("-o", "json", "workers", "drain", "worker-1")
        assert done.code == Exit.UNSUPPORTED, done
        assert done.fault["fix"]
        return
    worker = site.digests["worker"]
    for words in (("workers", "drain", worker, "--detach"), ("workers", "uncordon", worker)):
        done = site.nlctl(*words)
        assert done.code == 0, done
