"""Everything that is wrong with some configs, each by itself and all together. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nlserver.cluster import ConfigError, judge, loads
from nlserver.config.problem import Sort
from nlserver.spec import Place

from nlctl.lint.engine import finding
from nlctl.lint.finding import Finding, Severity
from nlctl.lint.nodes import Node, Unreadable, documents
from nlctl.lint.rules import every
from nlctl.lint.scene import Asked, Broken, Disk, File, Probe, Published, Runs, Scene

_PROBE: Final = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\]):(?P<port>\d{1,5})(?P<path>/[\w/.-]*)?")


_SCALE: Final = re.compile(r"--scale[ =](?P<value>[\w.-]+)=")
_TEST_TIMEOUT: Final = re.compile(r"--test_timeout[ =](?P<value>[\d,-]+)")
_PUBLISHED: Final = re.compile(r"""\s*-\s*["']?(?:0\.0\.0\.0:)?\d{1,5}:(?P<port>\d{1,5})(?:/tcp)?["']?\s*(?:#.*)?""")


@dataclass(frozen=True)
class Text:
    """A file by name and content: a config, a deployment file (YAML), or what people or Bazel are told."""

    name: str
    content: str

    @property
    def is_config(self) -> bool:
        """Whether it is a config of a process."""
        return not (self.is_deployment or self.is_advice)

    @property
    def is_deployment(self) -> bool:
        """Whether it describes containers."""
        return self.name.endswith((".yml", ".yaml"))

    @property
    def is_advice(self) -> bool:
        """Whether it is a page, a script or a .bazelrc, which rules read for the options that it gives."""
        return is_advice(self.name)


def is_advice(name: str) -> bool:
    """Whether a file of this name tells people or Bazel what to do."""
    return name.endswith((".md", ".mdx", ".sh", "bazelrc"))


@dataclass(frozen=True)
class Verdict:
    """What was found, in the order of the files; `files` are the configs that decode, `unread` the names of others."""

    findings: tuple[Finding, ...]
    files: tuple[File, ...]
    unread: tuple[str, ...]

    def count(self, severity: Severity) -> int:
        """How many findings are this bad."""
        return sum(found.severity is severity for found in self.findings)

    def is_wrong(self, *, strict: bool) -> bool:
        """Whether there are errors; `strict` takes warnings for such."""
        return bool(self.count(Severity.ERROR) or (strict and self.count(Severity.WARNING)))


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


def together(verdict: Verdict, texts: Sequence[Text], disk: Disk, runs: Runs, *, contained: bool = False) -> Verdict:
    """The same with what the rules say of the files together; `contained` are files of which each has a container."""
    read, unreadable = _documents(texts)
    scene = Scene(
        verdict.files,
        runs,
        disk,
        tuple(_probes(texts)),
        tuple(_published(texts)),
        tuple(read),
        tuple(unreadable),
        tuple(_asked(texts)),
        contained,
    )
    deep = [found for rule in every() for found in rule(scene)]
    return Verdict(_ordered([*verdict.findings, *deep]), verdict.files, verdict.unread)


def _documents(texts: Sequence[Text]) -> tuple[list[Node], list[Broken]]:
    read: list[Node] = []
    broken: list[Broken] = []
    for text in texts:
        try:
            read += documents(text.name, text.content) if text.is_deployment else []
        except Unreadable as error:
            line = text.content.splitlines()[error.place.line - 1 : error.place.line]
            broken.append(Broken(str(error), error.place, "".join(line)))
    return read, broken


def _asked(texts: Sequence[Text]) -> Iterator[Asked]:
    for text in texts:
        for number, line in enumerate(() if text.is_config else text.content.splitlines(), 1):
            for option, pattern in (("--scale", _SCALE), ("--test_timeout", _TEST_TIMEOUT)):
                for match in pattern.finditer(line):
                    yield Asked(option, match["value"], Place("", number, match.start() + 1, text.name), line)


def _ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    unique = dict.fromkeys(findings)
    return tuple(sorted(unique, key=lambda one: (one.place.file, one.place.line, one.place.column, one.id)))


def _probes(texts: Sequence[Text]) -> Iterator[Probe]:
    for text in texts:
        if not text.is_deployment:
            continue
        for number, line in enumerate(text.content.splitlines(), 1):
            for match in _PROBE.finditer(line):
                port, path = int(match["port"]), match["path"] or "/"
                yield Probe(text.name, number, match.start() + 1, port, path, line)


def _published(texts: Sequence[Text]) -> Iterator[Published]:
    for text in texts:
        for number, line in enumerate(text.content.splitlines() if text.is_deployment else (), 1):
            if match := _PUBLISHED.fullmatch(line):
                column = len(line) - len(line.lstrip(" -")) + 1
                yield Published(text.name, number, column, int(match["port"]), line)
