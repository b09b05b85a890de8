"""Facts, good and bad, about certificates, secrets, clients and speed, and the verdicts: see test_judges.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nlserver.spec import Place

from nlctl import bazelrc
from nlctl.bench.row import Row
from nlctl.doctor.checks import client, security, speed
from nlctl.doctor.finding import Finding, Verdict
from nlctl.lint import finding as lint

NOW = 1_000_000_000.0
DAY = 86400.0


def term(ends: float, begins: float = 0.0, trouble: str = "") -> security.Terms:
    return security.Terms([security.Term("grpcs://h:1", begins, ends, trouble)], NOW)


def settings(text: str = "", *found: lint.Finding, workers: int = 3) -> client.Settings:
    chain = bazelrc.Chain(Path("/w"))
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        command, *options = line.split()
        name, _, config = command.partition(":")
        lines.append(bazelrc.Line(Place("", number, 1, ".bazelrc"), line, name, config, tuple(options)))
    return client.Settings(str(chain.root), lines, found, ["SHA256", "BLAKE3"], workers)


def said(id_: str) -> lint.Finding:
    return lint.Finding(id_, lint.Severity.ERROR, Place("", 1, 1, ".bazelrc"), "what of it", "why", "mend it", "line")


def row(**values: Any) -> speed.Speed:
    made = {"suite": "cas", "line": "find-100", "what": "FindMissingBlobs", "target": "dev", "value": 10.0, "was": 40.0}
    return speed.Speed("main", Row(**{**made, **values}))


REMOTE = "build --remote_executor=grpc://h:1\nbuild --remote_download_outputs=toplevel\n"
WELL = REMOTE + "build --experimental_remote_cache_eviction_retries=5\n"

CASES: list[tuple[Callable[[Any], Iterable[Finding]], Any, Verdict, str]] = [
    (security.judge_terms, term(NOW + 100 * DAY), Verdict.OK, ""),
    (security.judge_terms, term(NOW + 20 * DAY), Verdict.WARNING, "ends in 20 days"),
    (security.judge_terms, term(NOW - DAY), Verdict.FAILED, "ended on 2001-09-08"),
    (security.judge_terms, term(NOW + 100 * DAY, NOW + DAY), Verdict.FAILED, "begins on 2001-09-10"),
    (security.judge_terms, term(0, 0, "no such file"), Verdict.FAILED, "no such file"),
    (security.judge_open_doors, {"grpc://h:1": "UNIMPLEMENTED"}, Verdict.OK, ""),
    (security.judge_open_doors, {"grpc://h:1": "open"}, Verdict.WARNING, "to everybody"),
    (security.judge_secrets, [security.Secret("/k", 0o600)], Verdict.OK, ""),
    (security.judge_secrets, [security.Secret("/k", 0o644)], Verdict.WARNING, "may read /k"),
    (client.judge_servers, settings(WELL), Verdict.OK, ""),
    (client.judge_servers, settings(WELL, said("NL-BZL-104")), Verdict.OK, ""),
    (client.judge_servers, settings(WELL, said("NL-BZL-108")), Verdict.OK, ""),
    (client.judge_servers, settings("", said("NL-BZL-101")), Verdict.INFO, "does not use this cluster"),
    (client.judge_servers, settings(WELL, said("NL-BZL-103")), Verdict.WARNING, "what of it"),
    (client.judge_servers, settings(WELL, said("NL-BZL-102")), Verdict.WARNING, "what of it"),
    (client.judge_function, settings(WELL), Verdict.OK, ""),
    (client.judge_function, settings("startup --digest_function=blake3"), Verdict.OK, ""),
    (client.judge_function, settings("startup --digest_function=sha1"), Verdict.WARNING, "by SHA1 here"),
    (client.judge_flags, settings(WELL), Verdict.OK, ""),
    (client.judge_flags, settings("build --keep_going"), Verdict.OK, ""),
    (client.judge_flags, settings(WELL + "build --remote_timeout=600"), Verdict.OK, ""),
    (client.judge_flags, settings(WELL + "build --remote_timeout=5s"), Verdict.WARNING, "--remote_timeout=5s"),
    (client.judge_flags, settings(WELL, said("NL-BZL-104")), Verdict.WARNING, "what of it"),
    (client.judge_flags, settings(REMOTE), Verdict.INFO, "eviction_retries=5"),
    (client.judge_flags, settings(WELL + "build:nl --jobs=2"), Verdict.INFO, "--jobs=12"),
    (client.judge_flags, settings(WELL + "build --bes_backend=grpc://b:1"), Verdict.INFO, "fully_async"),
    (client.judge_flags, settings("build:other --remote_timeout=5"), Verdict.OK, ""),
    (speed.judge_speed, row(change=0.1, regressed=False), Verdict.OK, ""),
    (speed.judge_speed, row(change=0.75, change_low=0.6, regressed=True), Verdict.WARNING, "lost 75%"),
    (speed.judge_speed, row(cannot="no bytestream"), Verdict.INFO, "no bytestream"),
]
