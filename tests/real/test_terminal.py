"""The main transcripts in a real terminal: keys are sent to tmux, and its screen is read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.programs import program

pytestmark = pytest.mark.real
PROMPT = "READY>"
LINES = 50
ABSENT = "file:$HOME/absent"
_PATIENCE_SECONDS = 180.0
_LOOK_AGAIN_SECONDS = 0.05
# What is left of an escape code where its first character is swallowed.
_REMAINS = re.compile(r"\x1b|\^\[|\[[0-9;?]+[A-Za-z]|\[K")


class Terminal:
    """A shell in a terminal of its own, with a home of its own."""

    def __init__(self, home: Path, columns: int) -> None:
        assert shutil.which("tmux"), "tmux is not installed: run `make test-real`"
        self.columns = columns
        self._socket = str(home / "tmux")
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("NLCTL_", "XDG_", "TMUX"))},
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "PATH": f"{Path(program('nlctl')).parent}:{os.environ['PATH']}",
            "CI": "",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
        }
        # A shell that runs a command forgets the prompt of the environment.
        shell = f"env PS1='{PROMPT} ' bash --norc --noprofile"
        self._tmux("-u", "-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(LINES), shell)

    def close(self) -> None:
        self._tmux("kill-server")

    def keys(self, *keys: str) -> None:
        """Press these: texts, or names such as Enter and C-c."""
        self._tmux("send-keys", *keys)

    def screen(self, *options: str) -> str:
        return self._tmux("capture-pane", "-p", *options)

    def until(self, shown: Callable[[str], bool]) -> str:
        """The screen once it is so."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not shown(text := self.screen()):
            assert time.monotonic() < deadline, f"it never came:\n{text}"
            time.sleep(_LOOK_AGAIN_SECONDS)
        return text

    def run(self, command: str) -> str:
        """Run a command on a clear screen; what it left there before the next prompt."""
        self.keys("clear", "Enter")
        self.until(lambda text: text.strip() == PROMPT)
        self.keys(command, "Enter")
        text = self.until(lambda text: text.count(PROMPT) == 2 and text.rstrip().endswith(PROMPT))
        self.whole(text)
        return text.partition("\n")[2].rpartition(PROMPT)[0]

    def whole(self, text: str) -> None:
        """No line was broken by the terminal, and no escape code is left in the text."""
        assert not _REMAINS.search(text), text
        joined = self.screen("-J")
        assert [line.rstrip() for line in joined.splitlines()] == [line.rstrip() for line in self.screen().splitlines()]

    def fact(self, name: str) -> str:
        """What tmux knows of the terminal."""
        return self._tmux("display-message", "-p", f"#{{{name}}}").strip()

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *words], env=self._environment, capture_output=True, text=True, check=True
        )
        return done.stdout


@pytest.fixture(scope="module", params=[80, 200])
def terminal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    # A socket's path is short.
    made = Terminal(tmp_path_factory.mktemp(f"t{request.param}"), request.param)
    try:
        made.until(lambda text: PROMPT in text)
        made.run("echo absent > $HOME/absent")
        made.run("nlctl up --workers 3 --base-port auto")
        yield made
        made.run("nlctl down --all --wipe --yes")
    finally:
        made.close()


def test_up_shows_each_step_and_once_more_that_nothing_is_to_be_done(terminal: Terminal) -> None:
    text = terminal.run("nlctl up --workers 4")
    assert "+ worker-4" in text
    assert "✓ canary" in text
    assert "already matches" in terminal.run("nlctl up --workers 4")
    terminal.run("nlctl up --workers 3")


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("nlctl status", "READY"),
        ("nlctl ps", "PSS"),
        ("nlctl workers ls", "worker-3"),
        ("nlctl ops ls", "no operation is queued or executing"),
        ("nlctl metrics workers", "workers.connected"),
        ("nlctl run -- echo hello", "hello"),
        ("nlctl cas get zzz", "error[NL-USE-"),
        ("nlctl logs --since 1s --tail 0", ""),
        ("nlctl up --workers 3 -n", "already matches"),
        ("nlctl up --workers 3 --name two --base-port auto -n", "worker API and admin"),
        ("nlctl cas ls --limit 5", "KEY"),
        ("nlctl cas verify --sample 100%", "0 corrupt"),
        ("nlctl ac get @last", "exit 0 - worker-"),
        ("nlctl action show @last", "Command"),
        ("nlctl metrics cache.hit_ratio --plot --for 1s", "cache.hit_ratio  ratio"),
        ("nlctl config explain stores.fast_slow", "fast_direction"),
        ("nlctl doctor", "nothing is wrong"),
        (f"nlctl doctor object {ABSENT}", "NEVER_UPLOADED"),
        ("nlctl context show", "REAPI"),
    ],
)
def test_no_line_is_broken_and_no_escape_code_is_left(terminal: Terminal, command: str, shown: str) -> None:
    text = terminal.run(command)
    assert shown in text
    assert max((len(line.rstrip()) for line in text.splitlines()), default=0) <= terminal.columns


def test_top_takes_the_screen_and_gives_it_back(terminal: Terminal) -> None:
    before = terminal.run("echo what stood here before")
    terminal.keys("nlctl top --interval 300ms", "Enter")
    text = terminal.until(lambda text: "worker-3" in text and "[1 workers]" in text)
    terminal.whole(text)
    assert terminal.fact("alternate_on") == "1"
    assert max(len(line.rstrip()) for line in text.splitlines()) <= terminal.columns
    terminal.keys("5")
    terminal.until(lambda text: "CAS_STORE" in text)
    terminal.keys("q")
    after = terminal.until(lambda text: text.count(PROMPT) == 3)
    assert "what stood here before" in before
    assert "what stood here before" in after
    assert (terminal.fact("alternate_on"), terminal.fact("cursor_flag")) == ("0", "1")


@pytest.mark.parametrize("command", ["top", "metrics -w", "logs -f"])
def test_ctrl_c_gives_the_prompt_back_with_everything_in_order(terminal: Terminal, command: str) -> None:
    """Statement 43."""
    terminal.run("true")
    terminal.keys(f"nlctl {command}; echo ended with $?", "Enter")
    if command == "logs -f":
        # What was said before shows that it has begun.
        terminal.until(lambda text: text.count(" INFO ") > 2)
    else:
        terminal.until(lambda _text: terminal.fact("alternate_on") == "1")
    terminal.keys("C-c")
    text = terminal.until(lambda text: text.rstrip().endswith(PROMPT) and "ended with 130" in text)
    assert "Traceback" not in text
    assert (terminal.fact("alternate_on"), terminal.fact("cursor_flag")) == ("0", "1")
    assert "typed again" in terminal.run("echo typed again")
