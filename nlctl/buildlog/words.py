"""What a build says: the text of a terminal or of Bazel's command.log. Pure."""

from __future__ import annotations

import re
from typing import Final

from nlctl.buildlog.gathered import ERROR, WARNING, Gathered, Trouble

_PAINT: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ERROR: Final = re.compile(r"^(?:\([\d:]+\) )?(?:ERROR|FATAL):\s*(?P<words>.*)")
_WARNING: Final = re.compile(
    r"^(?:\([\d:]+\) )?WARNING:\s*(?P<words>(?:Reading from|Writing to|Remote)\b.*|.*(?:remote cache|remote execut).*)",
    re.I,
)
_PLAIN_FAILURE: Final = re.compile(
    r"^(?:Caused by: )?(?:java\.io\.IOException|io\.grpc\.StatusRuntimeException): (?P<words>.*)"
)
_SECOND_HAND: Final = re.compile(
    r"Build did NOT complete|Build failed\. Not running|Couldn't start the build|command succeeded, but|not all tests"
    r"|No test targets|Test(?:s)? failed|Analysis of target .* failed; build aborted:?\s*$"
)
_NEXT: Final = re.compile(
    r"^(?:\([\d:]+\) )?(?:INFO|WARNING|ERROR|FATAL|DEBUG|FAILED|Target|Analyzing|Loading|\[[\d,]+ /)"
)
_PROCESSES: Final = re.compile(r"INFO: \d+ process(?:es)?: (?P<list>.*?)\.?$")
_ELAPSED: Final = re.compile(r"Elapsed time: (?P<elapsed>[\d.]+)s(?:, Critical Path: (?P<critical>[\d.]+)s)?")


class Words:
    """Fed line by line. The first error comes with the lines that belong to it; an error of another error's is none."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._open: Trouble | None = None
        self._number = 0

    def line(self, text: str) -> None:
        """The next line, without its end."""
        self._number += 1
        # A progress bar writes over itself: what stands last is what was seen.
        said = _PAINT.sub("", text).rstrip("\r").rpartition("\r")[2]
        gathered = self._gathered
        gathered.entries += 1
        for level, pattern in ((ERROR, _ERROR), (WARNING, _WARNING), (ERROR, _PLAIN_FAILURE)):
            match = pattern.match(said)
            if match and not _SECOND_HAND.search(match["words"]):
                if pattern is _PLAIN_FAILURE and self._open is not None:
                    break
                self._open = gathered.went_wrong(level, self._number, said)
                return
        if self._open is not None and (_NEXT.match(said) or not self._open.add(said)):
            self._open = None
        self._facts(said)

    def _facts(self, said: str) -> None:
        if match := _PROCESSES.search(said):
            # Bazel says it twice or more; the last one holds.
            gathered = self._gathered
            gathered.runners.clear()
            gathered.hits = gathered.misses = None
            for part in match["list"].split(", "):
                count, _, runner = part.partition(" ")
                if count.replace(",", "").isdigit():
                    gathered.ran(runner, int(count.replace(",", "")))
        if match := _ELAPSED.search(said):
            self._gathered.elapsed_ms = float(match["elapsed"]) * 1000
            if match["critical"]:
                self._gathered.critical_path_ms = float(match["critical"]) * 1000
