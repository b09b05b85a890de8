"""The command line by itself, without a cluster: help, exits, pipes, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from nlctl.registry import COMMANDS
from tests.nlctl.conftest import PROGRAM, Cli

LEAVES = [" ".join(path) for path in COMMANDS]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_goes_to_standard_output_and_is_no_failure(cli: Cli, words: list[str]) -> None:
    done = cli(*words)
    assert done.out.startswith("Usage: nlctl")
    assert done.err == ""


@pytest.mark.parametrize("leaf", LEAVES)
def test_every_command_has_help_that_fits_a_terminal(cli: Cli, leaf: str) -> None:
    done = cli("-h", *leaf.split(), GITHUB_ACTIONS="true", FORCE_COLOR="1")
    assert f"Usage: nlctl {leaf}" in done.out
    assert "\x1b" not in done.out
    assert len(done.out.splitlines()) <= 60


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["ps", "--version"]])
def test_the_version_is_one_line(cli: Cli, words: list[str]) -> None:
    assert re.fullmatch(r"nlctl \d+\.\d+\.\d+\n", cli(*words).out)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nonsense"], 2),
        (["cas"], 2),
        (["ps", "--nonsense"], 2),
        (["logs", "--tail", "many"], 2),
        (["up", "--base-port", "99999"], 2),
        (["up", "--workers", "9999"], 2),
        (["up", "--cas-size", "lots"], 2),
        (["up", "--name", "../x"], 2),
        (["cas", "stat", "zzz"], 2),
        (["--endpoint", "nonsense", "cas", "stat", "0" * 64 + "/1"], 2),
        (["status"], 4),
        (["ps"], 4),
        (["workers", "ls"], 4),
        (["down"], 4),
        (["-C", "nobody", "ps"], 3),
        (["--endpoint", "grpc://127.0.0.1:1", "workers", "ls"], 10),
        (["--endpoint", "grpc://127.0.0.1:1", "ps"], 10),
        (["run", "--", "true"], 125),
        (["run", "--nonsense"], 125),
    ],
)
def test_failures_have_their_exit_a_message_and_a_remedy(cli: Cli, words: list[str], code: int) -> None:
    done = cli(*words, code=code)
    assert done.out == ""
    assert re.match(r"error\[NL-[A-Z]+-\d+\]: ", done.err)
    assert "  fix   " in done.err
    assert done.err.splitlines()[-1].startswith(f"  (exit {code}, ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(("words", "code"), [(["nonsense"], 2), (["ps"], 4), (["run", "--", "true"], 125)])
def test_with_json_a_failure_is_one_line_on_standard_error(cli: Cli, words: list[str], code: int) -> None:
    done = cli(*words, code=code, NLCTL_OUTPUT="json")
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert done.fault["exit"] == code
    assert done.fault["fix"]


def test_with_json_standard_output_is_one_document(cli: Cli) -> None:
    document = cli("version", "--json").document
    assert document["schema"] == "nlctl.version/v1"
    assert document["item"]["nlctl"]


def test_a_plan_changes_nothing(cli: Cli) -> None:
    done = cli("up", "--dry-run", "--workers", "5", "--base-port", "auto", "-o", "json")
    item = done.document["item"]
    assert [step["sign"] for step in item["steps"]] == ["+"] * 7
    assert item["dry_run"] is True
    assert not (cli.home / "state").exists()


def test_a_plan_in_a_pipe_is_data(cli: Cli) -> None:
    done = cli("up", "-n", "--base-port", "auto")
    assert "+ worker-1 .. worker-3" in done.out
    assert "\x1b" not in done.out + done.err


def test_an_unforeseen_failure_is_kept_in_a_file_and_shows_no_traceback(cli: Cli) -> None:
    (cli.state / "clusters" / "dev").mkdir(parents=True)
    (cli.state / "clusters" / "dev" / "cluster.json").write_text("[]")
    done = cli("ps", code=None)
    assert "Traceback" not in done.err
    if done.code == 1:
        [kept] = (cli.state / "crashes").iterdir()
        assert str(kept) in done.err
        assert "Traceback" in kept.read_text()


def test_debug_shows_the_traceback(cli: Cli) -> None:
    assert "Traceback" in cli("--debug", "ps", code=4).err


def test_a_reader_that_stops_is_no_failure_worth_a_message(cli: Cli) -> None:
    lines = [f"{PROGRAM} {words} | head -1; echo ${{PIPESTATUS[0]}}" for words in ("--help", "up --help")]
    done = subprocess.run(["bash", "-c", "; ".join(lines)], capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr == ""
    assert set(done.stdout.splitlines()[1::2]) <= {"0", "141"}


def test_an_ascii_terminal_is_no_reason_to_fail(cli: Cli) -> None:
    done = cli("up", "-n", "--base-port", "auto", "--progress", "tty", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert "Plan for cluster" in done.out


def test_the_whole_command_has_a_limit(cli: Cli) -> None:
    (cli.state / "clusters" / "dev" / "logs").mkdir(parents=True)
    (cli.state / "clusters" / "dev" / "cluster.json").write_text(
        json.dumps(
            {
                "schema": 1,
                "name": "dev",
                "workers": 1,
                "cas_size": "1gb",
                "created": 0,
                "generated": {},
                "ports": {"cas": 1, "scheduler": 2, "worker_api": 3},
            }
        )
    )
    assert "NL-NET-103" in cli("logs", "-f", "--timeout", "300ms", code=6).err


def test_help_is_quick() -> None:
    """By processor time, which other work on this machine hardly changes; alone it is the time that passes."""

    def once() -> float:
        process = subprocess.Popen([PROGRAM, "--help"], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_utime + used.ru_stime

    times = sorted(once() for _ in range(20))
    assert times[18] < 0.15, times


def test_help_loads_hardly_more_than_the_interpreter() -> None:
    script = """if True:
        import sys
        before = len(sys.modules)
        from nlctl.__main__ import main
        sys.argv[1:] = ["-h"]
        main()
        print(len(sys.modules) - before)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) < 60


def test_the_state_directory_follows_xdg_and_home(cli: Cli) -> None:
    done = cli("up", "-n", "--base-port", "auto", "-o", "json", XDG_STATE_HOME=str(cli.home / "elsewhere"))
    assert done.document["item"]["home"] == str(cli.home / "elsewhere" / "nlctl" / "clusters" / "dev")
    done = cli("up", "-n", "--base-port", "auto", "-o", "json", XDG_STATE_HOME="")
    assert done.document["item"]["home"] == str(cli.home / ".local" / "state" / "nlctl" / "clusters" / "dev")


def test_the_cluster_is_chosen_by_flag_before_environment(cli: Cli) -> None:
    words = ("up", "-n", "--base-port", "auto", "-o", "json")
    assert cli(*words, NLCTL_CONTEXT="two").document["item"]["name"] == "two"
    assert cli(*words, "-C", "three", NLCTL_CONTEXT="two").document["item"]["name"] == "three"
    assert cli(*words, "--name", "four", "-C", "three").document["item"]["name"] == "four"


@pytest.mark.parametrize(("words", "code"), [("--version", 0), ("context ls", 0), ("cas get zzz", 2)])
def test_closed_streams_are_no_failure(cli: Cli, words: str, code: int) -> None:
    for closed in (">&-", "2>&-", "<&-"):
        shell = subprocess.run(
            ["sh", "-c", f"{shlex.quote(str(PROGRAM))} {words} {closed}"],
            env={**os.environ, "XDG_STATE_HOME": str(cli.home / "state")},
            capture_output=True,
            text=True,
        )
        assert shell.returncode == code
        assert "Traceback" not in shell.stderr


def test_the_name_of_a_file_in_place_of_a_digest_leads_to_its_digest(cli: Cli) -> None:
    (cli.home / "a.out").touch()
    said = cli("cas", "missing", str(cli.home / "a.out"), code=2).err
    assert f"the digest of this file: write file:{cli.home / 'a.out'}" in " ".join(said.split())


@pytest.mark.parametrize("words", ["context add far grpc://127.0.0.1:1", "up --workers 1 --base-port auto"])
def test_a_home_that_cannot_be_written_is_a_refusal_that_says_where(cli: Cli, words: str) -> None:
    # Nobody makes files below a file, root neither.
    (cli.home / "file").touch()
    homes = {f"XDG_{kind}_HOME": str(cli.home / "file") for kind in ("STATE", "CONFIG")}
    done = cli(*words.split(), "-o", "json", code=8, **homes)
    assert done.fault["code"] == "NL-USE-107"
    assert str(cli.home / "file") in done.fault["message"]
