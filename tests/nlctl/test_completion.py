"""Completion: what the helper answers, and what real shells make of the scripts."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nlctl.completing.schedulers import operations
from nlctl.generate import completions
from nlctl.generate.everything import stale
from tests.nlctl.conftest import PROGRAM, Cli
from tests.nlctl.documents import valid
from tests.nlctl.shells import Shell

SCRIPTS = Path(__file__).parents[2] / "completions"
ACTION, STDOUT = "ab" * 32, "cd" * 32
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f"PS1='$ '; source {SCRIPTS}/nlctl.bash"),
    "zsh": (["zsh", "-f", "-i"], f"PS1='$ '; autoload -U compinit; compinit -D; source {SCRIPTS}/nlctl.zsh"),
    "fish": (["fish", "--no-config", "-i"], f"function fish_prompt; echo '> '; end; source {SCRIPTS}/nlctl.fish"),
}
LINES = {
    "nlctl ca": "nlctl cas",
    "nlctl cas g": "nlctl cas get",
    "nlctl -o json workers uncor": "nlctl -o json workers uncordon",
    "nlctl workers drain worker-2": "nlctl workers drain worker-2",
    "nlctl logs sup": "nlctl logs supervisor",
    "nlctl -C two logs onl": "nlctl -C two logs only-here",
    "nlctl cas get ab": f"nlctl cas get {ACTION}/12",
    "nlctl cas get @last.st": "nlctl cas get @last.stdout",
    "nlctl --context de": "nlctl --context dev",
    "nlctl --prog": "nlctl --progress",
    "nlctl logs --progress pl": "nlctl logs --progress plain",
    "nlctl --progress=pl": "nlctl --progress=plain",
    "nlctl explain NL-USE-106": "nlctl explain NL-USE-106",
    "nlctl help exit": "nlctl help exit-codes",
    "nlctl completion fi": "nlctl completion fish",
    "nlctl run --inp": "nlctl run --input",
    "nlctl run -- basena": "nlctl run -- basename",
    "nlctl cas put /etc/hostn": "nlctl cas put /etc/hostname",
}


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A user with two clusters, none of which runs, and a recent command."""
    made = Cli(tmp_path_factory.mktemp("home"))
    for name, parts in (("dev", ("cas", "scheduler", "worker-1", "worker-2", "worker-10")), ("two", ("only-here",))):
        folder = made.state / "clusters" / name
        (folder / "config").mkdir(parents=True)
        (folder / "cluster.json").write_text("{}")
        for part in parts:
            (folder / "config" / f"{part}.json5").write_text("")
    (made.state / "current").write_text("dev\n")
    digests = {
        "action": {"hash": ACTION, "size_bytes": 12, "function": "sha256"},
        "stdout": {"hash": STDOUT, "size_bytes": 5, "function": "sha256"},
    }
    older = {"blob": {"hash": "ef" * 32, "size_bytes": 7, "function": "sha256"}}
    lines = [{"kind": "put", "digests": older}, {"kind": "run", "when": 1, "digests": digests}]
    (made.state / "recents.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return made


def values(user: Cli, *words: str) -> list[str]:
    return [line.split("\t")[0] for line in user("__complete", *words).out.splitlines()]


def test_live_values_are_those_that_begin_so(user: Cli) -> None:
    assert values(user, "workers", "") == ["worker-1", "worker-2", "worker-10"]
    assert values(user, "workers", "worker-1") == ["worker-1", "worker-10"]
    assert values(user, "parts", "s") == ["scheduler", "supervisor"]
    assert values(user, "contexts", "") == ["dev", "two"]
    assert values(user, "parts", "o", "two") == ["only-here"]
    assert "NL-CAS-101" in values(user, "codes", "NL-CAS")
    assert values(user, "topics", "dig") == ["digests"]


def test_recent_digests_come_newest_first_and_say_what_they_are(user: Cli) -> None:
    lines = [line.split("\t") for line in user("__complete", "digests").out.splitlines()]
    assert [value for value, *_ in lines] == [f"{ACTION}/12", f"{STDOUT}/5", f"{'ef' * 32}/7"]
    assert lines[0][1].startswith("action ")
    assert values(user, "digests", "@") == ["@last", "@last.stdout", "@2"]


@pytest.mark.parametrize("words", [[], ["nonsense"], ["workers", "", "nobody"], ["operations"], ["digests", "zz"]])
def test_where_nothing_is_known_nothing_is_said(user: Cli, words: list[str]) -> None:
    done = user("__complete", *words)
    assert (done.out, done.err) == ("", "")


def test_a_broken_state_is_no_reason_to_disturb_a_line(cli: Cli) -> None:
    cli.state.mkdir(parents=True)
    (cli.state / "recents.jsonl").write_text('{"digests": 3}\nnonsense\n')
    done = cli("__complete", "digests")
    assert (done.out, done.err) == ("", "")


def test_a_scheduler_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """Statement 5."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "scheduler.sock"))
        listener.listen()
        assert operations(str(tmp_path / "scheduler.sock")) == []


def test_the_helper_loads_hardly_more_than_the_interpreter(user: Cli) -> None:
    script = """if True:
        import sys
        from nlctl.__main__ import main
        sys.argv[1:] = ["__complete", "digests"]
        main()
        print(*sys.modules)
    """
    done = subprocess.run(
        [PROGRAM.with_name("python"), "-c", script],
        env={**os.environ, "XDG_STATE_HOME": str(user.home / "state")},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"typer", "grpc", "asyncio", "dataclasses", "pathlib", "nlctl.registry", "nlctl.session"}


def test_operations_are_asked_from_the_scheduler(cluster: Cli) -> None:
    waiting = cluster.popen("run", "--", "sleep", "60", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (found := cluster("ops", "ls", "-q").out.split()):
            assert waiting.poll() is None
        lines = cluster("__complete", "operations").out.splitlines()
        assert [line.split("\t")[0] for line in lines[:1]] == found, "those that ended come last"
        assert lines[0].split("\t")[1].startswith(("executing", "queued"))
        assert values(cluster, "operations", found[0][:8]) == found
    finally:
        waiting.terminate()
        waiting.wait()
        cluster("ops", "cancel", *found)


def test_the_scripts_are_those_that_the_commands_give() -> None:
    """Statement 54."""
    assert [name for name in stale(completions.files()) if name.startswith("completions/")] == [], "run make generate"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_a_script_is_shown_and_installed_where_its_shell_looks(cli: Cli, shell: str) -> None:
    item = valid(cli("completion", shell, "-o", "json").document)["item"]
    assert cli("completion", shell).out == item["script"]
    planned = valid(cli("completion", shell, "--install", "-n", "-o", "json").document)["item"]
    assert not Path(planned["path"]).exists()
    cli("completion", shell, "--install", XDG_DATA_HOME="", XDG_CONFIG_HOME="")
    assert Path(planned["path"]).read_text() == item["script"]
    assert str(cli.home) in planned["path"]


def test_an_unknown_shell_is_refused(cli: Cli) -> None:
    assert "bash, zsh, fish" in cli("completion", "tcsh", code=2).err


@pytest.fixture(
    scope="module", params=["bash", *(pytest.param(name, marks=pytest.mark.real) for name in ("zsh", "fish"))]
)
def shell(request: pytest.FixtureRequest, user: Cli) -> Iterator[Shell]:
    argv, prompt = SHELLS[request.param]
    assert shutil.which(argv[0]), f"{argv[0]} is not installed: run .ci/install-real-clients.sh"
    environment = {"PATH": f"{PROGRAM.parent}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(user.home)}
    environment["XDG_STATE_HOME"] = str(user.home / "state")
    made = Shell(argv, prompt, environment, user.home)
    yield made
    made.close()


@pytest.mark.parametrize(("line", "becomes"), LINES.items(), ids=LINES)
def test_a_real_shell_completes(shell: Shell, line: str, becomes: str) -> None:
    """Statement 54."""
    assert shell.completed(line) == becomes
