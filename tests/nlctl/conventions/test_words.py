"""What nlctl tells people to type can be typed, what it complains of it explains, and slips it understands."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from nlctl import faults, pages, topics
from nlctl.arguments import cut
from nlctl.description import commands_in, spellings
from nlctl.exits import Exit
from nlctl.faults import Fault
from nlctl.registry import COMMANDS, FLAGS, GROUPS
from nlctl.spelling import nearest, slips
from tests.nlctl.conventions.source import ROOT, failures

KINDS = {name: value for name, value in vars(faults).items() if isinstance(value, faults.Kind)}
VALUED = {name for flag in FLAGS if flag.metavar for name in flag.spellings}


def test_every_failure_has_a_remedy() -> None:
    """Statement 19. Its reason is that of the case or of its kind, its page and exit code those of its kind."""
    told = {"INTERNAL", "INTERRUPTED", "TERMINATED"}
    assert [one for one in failures() if not one.has_fix and one.kind not in told] == []


def test_every_kind_of_failure_occurs() -> None:
    used = {one.kind for one in failures()} | set(
        re.findall(r"\b[A-Z][A-Z_]+\b", (ROOT / "nlctl/faults.py").read_text())
    )
    assert set(KINDS) - used == set()


def test_every_exit_code_is_produced_by_a_test() -> None:
    """Statement 18."""
    source = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    asserted = set(re.findall(r"\b(?:code|exit|exit_code|returncode|status)\]?\s*(?:=|==)\s*(\d+)\b", source))
    asserted |= set(re.findall(r"\]\s*,\s*(\d{1,3})\)", source))
    missing = [one for one in Exit if str(int(one)) not in asserted and f"Exit.{one.name}" not in source]
    assert missing == []


def mistyped(word: str) -> Iterator[str]:
    """A word with each kind of slip, in the middle where it is hardest to see."""
    middle = len(word) // 2
    yield word[:middle] + word[middle + 1 :]
    yield word[:middle] + "q" + word[middle:]
    yield word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]
    yield word[: middle - 1] + "q" + word[middle:]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_mistyped_command_leads_to_the_right_one(path: tuple[str, ...]) -> None:
    """Statement 53."""
    for wrong in mistyped(path[-1]):
        line = (*path[:-1], wrong)
        if line in COMMANDS or (len(path) == 1 and wrong in GROUPS):
            continue
        with pytest.raises(Fault) as raised:
            cut(line, {})
        assert ("nlctl", *path) in [one.command for one in raised.value.fixes], wrong


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_mistyped_option_leads_to_the_right_one(path: tuple[str, ...]) -> None:
    """Statement 53."""
    known = [name for name in spellings(path) if name.startswith("--") and len(name) > 5]
    for name in known:
        assert all(name in nearest(wrong, known) for wrong in mistyped(name))


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [
        ("", "", 0),
        ("drain", "drain", 0),
        ("darin", "drain", 1),
        ("drin", "drain", 1),
        ("drainn", "drain", 1),
        ("abc", "xyz", 3),
    ],
)
def test_slips_are_counted(one: str, other: str, count: int) -> None:
    assert slips(one, other) == slips(other, one) == count


def positions(words: list[str], path: tuple[str, ...]) -> Iterator[int]:
    """Where a global flag may stand: not between an option and its value, not behind the begin of another's line."""
    leaf = COMMANDS[path]
    for at in range(len(words) + 1):
        before = words[:at]
        if "--" in before or (leaf.wraps and any(not one.startswith("-") for one in before[len(path) :])):
            return
        if at and (before[-1] in leaf.valued or before[-1] in VALUED):
            continue
        yield at


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_global_flags_mean_the_same_wherever_they_stand(path: tuple[str, ...]) -> None:
    """Statement 25."""
    from nlctl.description import describe

    lines = [
        words for line in describe(path).examples for words in commands_in(line) if tuple(words[: len(path)]) == path
    ]
    for words in lines:
        given = {flag.name for flag in FLAGS if set(flag.spellings) & set(words)}
        for flag in (flag for flag in FLAGS if flag.name not in given):
            for name in set(flag.spellings) - COMMANDS[path].owned:
                value = [flag.choices[0] if flag.choices else "1s"] if flag.metavar else []
                places = list(positions(words, path))
                made = [cut([*words[:at], name, *value, *words[at:]], {}) for at in places]
                assert all(one == made[0] for one in made), (words, name)


def test_behind_two_dashes_nothing_is_ours() -> None:
    """Statement 25."""
    assert cut(["run", "--", "ls", "-o", "json", "--help"], {}).words == ["--", "ls", "-o", "json", "--help"]


def test_every_page_is_plain_ascii() -> None:
    """Statement 24: a terminal of any encoding can show them."""
    for shelf in (pages.CODES, pages.TOPICS, pages.HELP):
        for name in pages.names(shelf):
            assert (pages.read(shelf, name) or "").isascii(), name
    assert all((topics.text([name]) or "").isascii() for name in topics.names())
