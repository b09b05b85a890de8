"""Everything that is wrong with some configs, each by itself and all together. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nlserver.cluster import ConfigError, judge, loads
from nlserver.config.problem import Sort

from nlctl.lint.engine import finding
from nlctl.lint.finding import Finding, Severity
from nlctl.lint.rules import every
from nlctl.lint.scene import Disk, File, Probe, Published, Runs, Scene

_PROBE: Final = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\]):(?P<port>\d{1,5})(?P<path>/[\w/.-]*)?")


_PUBLISHED: Final = re.compile(r"""\s*-\s*["']?(?:0\.0\.0\.0:)?\d{1,5}:(?P<port>\d{1,5})(?:/tcp)?["']?\s*(?:#.*)?""")


@dataclass(frozen=True)
class Text:
    """A file by name and content. One that is no JSON5 config is a deployment file, read for its health checks."""

    name: str
    content: str

    @property
    def is_config(self) -> bool:
        """Whether it is a config of a process."""
        return not self.name.endswith((".yml", ".yaml"))


@dataclass(frozen=True)
class Verdict:
    """What was found, in the order of the files; `files` are the configs that decode, `unread` the names of others."""

    findings: tuple[Finding, ...]
    files: tuple[File, ...]
    unread: tuple[str, ...]

    def count(self, severity: Severity) -> int:
        """How many findings are this bad."""
        return sum(found.severity is severity for found in self.findings)


def single(texts: Sequence[Text], environment: Mapping[str, str], runs: Runs = Runs.NLSERVER) -> Verdict:
    """Each config by itself: what the server says of it. What only nlserver lacks is right for NativeLink."""
    findings: list[Finding] = []
    files: list[File] = []
    unread: list[str] = []
    for text in texts:
        if not text.is_config:
            continue
        try:
            config = loads(text.content, text.name, environment)
            problems = judge(config)
            files.append(File(text.name, config))
        except ConfigError as error:
            problems = error.problems
            unread.append(text.name)
        lacks = () if runs is Runs.NLSERVER else (Sort.UNAVAILABLE,)
        findings += [finding(problem) for problem in dict.fromkeys(problems) if problem.sort not in lacks]
    return Verdict(_ordered(findings), tuple(files), tuple(unread))


def together(verdict: Verdict, texts: Sequence[Text], disk: Disk, runs: Runs) -> Verdict:
    """The same with what the rules say of the files together."""
    scene = Scene(verdict.files, runs, disk, tuple(_probes(texts)), tuple(_published(texts)))
    deep = [found for rule in every() for found in rule(scene)]
    return Verdict(_ordered([*verdict.findings, *deep]), verdict.files, verdict.unread)


def _ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    unique = dict.fromkeys(findings)
    return tuple(sorted(unique, key=lambda one: (one.place.file, one.place.line, one.place.column, one.id)))


def _probes(texts: Sequence[Text]) -> Iterator[Probe]:
    for text in texts:
        if text.is_config:
            continue
        for number, line in enumerate(text.content.splitlines(), 1):
            for match in _PROBE.finditer(line):
                port, path = int(match["port"]), match["path"] or "/"
                yield Probe(text.name, number, match.start() + 1, port, path, line)


def _published(texts: Sequence[Text]) -> Iterator[Published]:
    for text in texts:
        for number, line in enumerate(() if text.is_config else text.content.splitlines(), 1):
            if match := _PUBLISHED.fullmatch(line):
                column = len(line) - len(line.lstrip(" -")) + 1
                yield Published(text.name, number, column, int(match["port"]), line)
