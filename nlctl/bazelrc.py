"""Reading `.bazelrc` files: what they import, and which of their lines do not go with a cluster."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nlserver.spec import Place

from nlctl.lint.finding import Finding, Severity

FILE: Final = ".bazelrc.nlctl"
IMPORT: Final = f"try-import %workspace%/{FILE}"
_MARKERS: Final = ("MODULE.bazel", "WORKSPACE", "WORKSPACE.bazel", "REPO.bazel")
_IMPORTS: Final = ("import", "try-import")
_WHERE: Final = ("remote_executor", "remote_cache", "remote_instance_name")
_HIDES: Final = {
    "noremote_accept_cached": "no result of the cache is used",
    "noremote_upload_local_results": "what is built here is not shared",
    "remote_local_fallback": "what fails remotely runs here, unseen",
}
_MOST_FILES: Final = 50
RULES: Final = {
    "NL-BZL-101": "the cluster's lines are not imported",
    "NL-BZL-102": "the lines are another cluster's",
    "NL-BZL-103": "a line names another server",
    "NL-BZL-104": "an option hides what the cluster does",
    "NL-BZL-105": "a .bazelrc cannot be read",
    "NL-BZL-108": "a digest function that is not served",
}
"""What may be found, by the codes that findings carry."""


def workspace(folder: Path) -> Path:
    """The root of the workspace that a folder is in; the folder itself where there is none."""
    for candidate in (folder, *folder.parents):
        if any((candidate / marker).exists() for marker in _MARKERS):
            return candidate
    return folder


@dataclass(frozen=True)
class Line:
    """A line of options: for a command such as `build`, and only with `--config` where `config` is not empty."""

    place: Place
    text: str
    command: str
    config: str
    options: tuple[str, ...]

    def value(self, name: str) -> str | None:
        """What the line gives an option, the last time; "" for one without a value."""
        found = None
        for option, following in zip(self.options, [*self.options[1:], ""], strict=True):
            flag, equals, value = option.removeprefix("--").partition("=")
            if option.startswith("--") and flag == name:
                found = value if equals else "" if following.startswith("-") else following
        return found


@dataclass
class Chain:
    """The lines of a workspace's `.bazelrc` with everything that it imports, in the order in which they count."""

    root: Path
    lines: list[Line] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)

    def read(self, path: Path) -> None:
        """Add a file, which need not exist; one that was read is not read again."""
        if path in self.files:
            return
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        self.files.append(path)
        for number, line in _joined(text):
            self._line(path, number, line)

    def _line(self, path: Path, number: int, line: str) -> None:
        place = Place("", number, len(line) - len(line.lstrip()) + 1, _shown(path, self.root))
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            self._problem("NL-BZL-105", place, line, f"the line cannot be split into words: {error}", "close the quote")
            return
        if len(words) == 2 and words[0] in _IMPORTS:
            self._import(words, place, line)
        elif words:
            command, _, config = words[0].partition(":")
            self.lines.append(Line(place, line, command, config, tuple(words[1:])))

    def _import(self, words: Sequence[str], place: Place, line: str) -> None:
        target = Path(words[1].replace("%workspace%", str(self.root)))
        if target in self.files or len(self.files) > _MOST_FILES:
            self._problem("NL-BZL-105", place, line, f"{words[1]} is imported already", "take the line out")
        elif target.is_file():
            self.read(target)
        elif words[0] == "import":
            fix = f"try-import {words[1]}, if it may be absent"
            self._problem("NL-BZL-105", place, line, f"{words[1]} does not exist, so Bazel stops", fix)

    def _problem(self, id_: str, place: Place, line: str, what: str, fix: str) -> None:
        why = "Bazel reads these files before everything else"
        self.problems.append(Finding(id_, Severity.ERROR, place, what, why, fix, line))


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; one that ends in a backslash goes on in the next."""
    held, begun = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        begun = begun or number
        if line.endswith("\\"):
            held += line[:-1]
            continue
        yield begun, held + line
        held, begun = "", 0
    if held:
        yield begun, held


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def judged(chain: Chain, wanted: Sequence[str], config: str) -> list[Finding]:
    """What does not go with these lines, which `nlctl bazelrc` would write for `--config`; in the order of reading."""
    findings = [*chain.problems]
    ours = [line for line in chain.lines if line.place.file == FILE]
    if not ours:
        findings.append(_absent(chain))
    elif _said(wanted) != [line.text.strip() for line in ours]:
        what = f"{FILE} says something else than this cluster needs"
        why = "it was written for another cluster, or before ports changed"
        place = ours[0].place
        fix = "nlctl bazelrc --write"
        findings.append(Finding("NL-BZL-102", Severity.ERROR, place, what, why, fix, ours[0].text))
    values = _values(wanted)
    for line in chain.lines:
        if line not in ours:
            after = bool(ours) and chain.lines.index(line) > chain.lines.index(ours[-1])
            findings += _against(line, values, config, after=after)
    return findings


def _said(wanted: Sequence[str]) -> list[str]:
    return [line for line in wanted if not line.startswith("#")]


def _values(wanted: Sequence[str]) -> dict[str, str]:
    made = (re.fullmatch(r"\S+ --(\w+)=(.*)", line) for line in wanted)
    return {match[1]: match[2] for match in made if match}


def _absent(chain: Chain) -> Finding:
    there = (chain.root / FILE).exists()
    what = f"no .bazelrc imports {FILE}" if there else f"there is no {FILE}"
    fix = f"add to .bazelrc:  {IMPORT}" if there else "nlctl bazelrc --write"
    place = Place("", 0, 0, ".bazelrc" if there else FILE)
    return Finding("NL-BZL-101", Severity.ERROR, place, what, "--config does not know this cluster without it", fix)


def _against(line: Line, values: dict[str, str], config: str, *, after: bool) -> Iterator[Finding]:
    for name in _WHERE:
        said = line.value(name)
        if said is None or said == values.get(name, "") or line.config not in ("", config):
            continue
        wins = line.config == config and after
        what = f"--{name}={said}" + (f' overrides config "{config}"' if wins else f' is not that of config "{config}"')
        why = f"this cluster is {values.get(name) or 'the default instance'}"
        fix = "take it out" if wins else f"take it out, or build with --config={config}"
        severity = Severity.ERROR if wins else Severity.WARNING
        yield Finding("NL-BZL-103", severity, _at(line, name), what, why, fix, line.text)
    for name, effect in _HIDES.items():
        if line.config in ("", config) and line.value(name) is not None:
            yield _warning("NL-BZL-104", line, name, f"--{name} is set", f"with it {effect}", "take it out")
    function = line.value("digest_function")
    if line.command == "startup" and function not in (None, "SHA256", "sha256", "BLAKE3", "blake3"):
        what = f"--digest_function={function} is not served"
        why = "the servers know SHA256 and BLAKE3"
        yield _warning("NL-BZL-108", line, "digest_function", what, why, "SHA256")


def _warning(id_: str, line: Line, name: str, what: str, why: str, fix: str) -> Finding:
    return Finding(id_, Severity.WARNING, _at(line, name), what, why, fix, line.text)


def _at(line: Line, name: str) -> Place:
    column = line.text.find(f"--{name}") + 1
    return Place("", line.place.line, column or line.place.column, line.place.file)
