"""What every cluster must do with the project: the assertions that the tests share."""

from __future__ import annotations

import subprocess

from tests.real.bazel import Bazel, Run
from tests.real.workspace import COMPILATIONS, PROGRAMS, SLOW_ACTIONS, TESTS, TREE_FILES


def remote(endpoint: str, cache: str | None = None) -> str:
    """The bazelrc lines that send every action to a cluster, as NativeLink's guide writes them."""
    return (
        f"build --spawn_strategy=remote --jobs=50\nbuild --remote_executor={endpoint}\n"
        f"build --remote_cache={cache or endpoint}\n"
    )


def builds_everything_remotely(bazel: Bazel, *options: str) -> Run:
    """Build and test the whole project on a cluster that has never seen it."""
    bazel.clean()
    run = bazel.run("test", "//...", *options)
    assert run.passed == TESTS
    assert run.processes["remote"] > COMPILATIONS + TESTS
    assert "local" not in run.processes
    assert "remote cache hit" not in run.processes
    return run


def program_is_right(bazel: Bazel, program: int) -> None:
    """A program that was built and fetched prints the number that the generator of the project knows."""
    printed = subprocess.run([bazel.output(f"app/main{program}")], capture_output=True, text=True, check=True).stdout
    assert printed == bazel.workspace.expected(program)


def programs_are_right(bazel: Bazel) -> None:
    """So do all."""
    for program in range(PROGRAMS):
        program_is_right(bazel, program)


def slow_actions_are_right(bazel: Bazel) -> None:
    """`//slow:all` holds what each of its actions wrote."""
    assert bazel.output("slow/all.txt").read_text().split() == [f"s{index}" for index in range(SLOW_ACTIONS)]


def generated_files_are_right(bazel: Bazel) -> None:
    """Files, lists of files, and what was made of a tree are whole."""
    leaves = sorted(f"leaf {number}" for number in range(1, TREE_FILES + 1))
    assert bazel.output("gen/leaves.txt").read_text().splitlines() == leaves
    assert bazel.output("gen/empty.txt").read_bytes() == b""
    for index in range(12):
        assert bazel.output(f"gen/many/a/b/c{index}.txt").read_text() == f"c{index}.txt\n"


def outputs_are_right(bazel: Bazel) -> None:
    """Everything that `//app/...` and `//gen/...` made is."""
    programs_are_right(bazel)
    assert bazel.output("app/run.txt").read_text() == bazel.workspace.expected(0)
    generated_files_are_right(bazel)


def is_all_cache_hits(bazel: Bazel, first: Run, *options: str) -> None:
    """After `bazel clean` nothing runs again: every action of the first run is a cache hit."""
    bazel.clean()
    again = bazel.run("test", "//...", *options)
    assert again.passed == TESTS
    assert "remote" not in again.processes
    assert "local" not in again.processes
    assert again.processes["remote cache hit"] == first.processes["remote"]
