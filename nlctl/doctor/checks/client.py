"""Whether the Bazel workspace that one stands in goes with this cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level

if TYPE_CHECKING:
    from nlctl import bazelrc
    from nlctl.lint import finding as lint

_CONFIG: Final = "nl"
_SHORT_SECONDS: Final = 60
_WHERE: Final = ("remote_executor", "remote_cache")
_COMMANDS: Final = ("common", "build", "test", "run")
_HIDES: Final = "NL-BZL-104"
_ABSENT: Final = "NL-BZL-101"
_FUNCTION: Final = "NL-BZL-108"
_ANOTHERS: Final = "NL-BZL-102"


class Settings(NamedTuple):
    """The lines that Bazel reads in this workspace, what is wrong with them, and what the CAS offers."""

    root: str
    lines: Sequence[bazelrc.Line]
    findings: Sequence[lint.Finding]
    functions: Sequence[str]
    workers: int


async def _settings(site: Site) -> Settings:
    return await site.once("settings", lambda: _gathered(site))


async def _gathered(site: Site) -> Settings:
    from nlserver.reapi.digest import Function

    found = await asyncio.to_thread(_read, site)
    numbers = set((await site.capabilities()).cache_capabilities.digest_functions)
    workers = len((await site.overview()).workers) if site.target.admin else 0
    functions = [one.name for one in Function if int(one) in numbers]
    return found._replace(functions=functions, workers=workers)


def _read(site: Site) -> Settings:
    from nlctl.bazelrc import Chain, judged, workspace
    from nlctl.clients.bazel import options

    root = workspace(Path.cwd())
    chain = Chain(root)
    # In the order in which Bazel reads them: what comes later counts.
    for path in (Path("/etc/bazel.bazelrc"), root / ".bazelrc", Path(site.environment.get("HOME", "/")) / ".bazelrc"):
        chain.read(path)
    if not chain.files:
        raise NotHere("no .bazelrc counts in this directory")
    wanted = [f"build:{_CONFIG} {option}" for option in options(site.target.server)]
    return Settings(str(root), chain.lines, judged(chain, wanted, _CONFIG), (), 0)


def value(lines: Sequence[bazelrc.Line], name: str) -> str | None:
    """What counts for an option of builds, with and without our config: the last one; None where nobody says it."""
    said = [one.value(name) for one in lines if one.command in (*_COMMANDS, "startup") and one.config in ("", _CONFIG)]
    return next((one for one in reversed(said) if one is not None), None)


def judge_servers(settings: Settings) -> Iterable[Finding]:
    """Whether the lines name this cluster and its instance."""
    bad = [one for one in settings.findings if one.id not in (_HIDES, _ABSENT, _FUNCTION)]
    if bad:
        return [
            Finding(
                Verdict.WARNING,
                one.what,
                one.why,
                (Evidence(one.id, one.excerpt.strip(), f"{one.place.file}:{one.place.line}"),),
                (fix(one.fix), fix("see all of it", "nlctl", "bazelrc", "--check")),
                remedies=(Remedy("bazelrc", (settings.root, _CONFIG)),) if one.id == _ANOTHERS else (),
            )
            for one in bad
        ]
    if any(one.id == _ABSENT for one in settings.findings):
        what = f"the workspace {settings.root} does not use this cluster"
        return [Finding(Verdict.INFO, what, fixes=(fix("let it", "nlctl", "bazelrc", "--write"),))]
    return [ok(f"the .bazelrc of {settings.root} names this cluster")]


def judge_function(settings: Settings) -> Iterable[Finding]:
    """Whether the CAS knows the digest function of the workspace."""
    said = (value(settings.lines, "digest_function") or "SHA256").upper()
    evidence = (Evidence("offered", ", ".join(settings.functions), "GetCapabilities"),)
    if said not in settings.functions:
        what = f"Bazel names blobs by {said} here, and the CAS does not take them"
        remedy = fix(f"startup --digest_function={settings.functions[0].lower() if settings.functions else 'sha256'}")
        return [Finding(Verdict.WARNING, what, "every upload is refused", evidence, (remedy,))]
    return [ok(f"the CAS takes {said}, which Bazel uses here", *evidence)]


def judge_flags(settings: Settings) -> Iterable[Finding]:
    """Whether options hide what the cluster does, or do without it."""
    found = [
        Finding(
            Verdict.WARNING,
            one.what,
            one.why,
            (Evidence(one.id, one.excerpt.strip(), f"{one.place.file}:{one.place.line}"),),
            (fix(one.fix),),
        )
        for one in settings.findings
        if one.id == _HIDES
    ]
    timeout = value(settings.lines, "remote_timeout")
    if timeout is not None and (number := timeout.rstrip("s")).isdecimal() and int(number) < _SHORT_SECONDS:
        what = f"--remote_timeout={timeout}: a call that takes longer is given up"
        because = "a large output takes its time on a busy disk or network; Bazel then says `DEADLINE_EXCEEDED`"
        evidence = (Evidence("remote_timeout", timeout, ".bazelrc"),)
        found.append(Finding(Verdict.WARNING, what, because, evidence, (fix("use --remote_timeout=600"),)))
    return found or [_advice(settings)]


def _advice(settings: Settings) -> Finding:
    lines = settings.lines
    remedies = []
    if any(value(lines, name) for name in _WHERE):
        if value(lines, "remote_download_outputs") is None and value(lines, "remote_download_minimal") is None:
            remedies.append(fix("fetch what is asked for alone, as Bazel 7 does: --remote_download_outputs=toplevel"))
        if value(lines, "experimental_remote_cache_eviction_retries") is None:
            remedies.append(fix("start again what was evicted: --experimental_remote_cache_eviction_retries=5"))
        if value(lines, "bes_backend") and value(lines, "bes_upload_mode") is None:
            remedies.append(fix("do not wait for build events: --bes_upload_mode=fully_async"))
        jobs = value(lines, "jobs")
        if jobs is not None and jobs.isdecimal() and int(jobs) < settings.workers:
            remedies.append(fix(f"ask {settings.workers} workers for more at a time: --jobs={4 * settings.workers}"))
    if remedies:
        return Finding(Verdict.INFO, f"{len(remedies)} options would help Bazel here", fixes=tuple(remedies))
    return ok("no option hides what the cluster does")


CHECKS: Final = (
    Check(
        "NLD-CLI-01",
        "client",
        "the .bazelrc here names this cluster",
        Level.STANDARD,
        "the .bazelrc of the workspace, of the user and of the system with what they import, beside this cluster",
        "warning: another server or instance, lines that Bazel cannot read; info: it does not use the cluster",
        "`nlctl bazelrc --write`",
        _settings,
        judge_servers,
        needs=("NLD-API-01",),
        repairs=("bazelrc",),
        by_hand="lines that a person wrote are changed by a person",
    ),
    Check(
        "NLD-CLI-02",
        "client",
        "the CAS takes the digests of the workspace",
        Level.STANDARD,
        "--digest_function in the same files beside GetCapabilities",
        "warning: not offered",
        "startup --digest_function",
        _settings,
        judge_function,
        needs=("NLD-API-01",),
        by_hand="lines that a person wrote are changed by a person",
    ),
    Check(
        "NLD-CLI-03",
        "client",
        "no option hides what the cluster does",
        Level.STANDARD,
        "options of the same files: results not used or not shared, local fallback, time limits, downloads",
        "warning: hidden, or given up too soon; info: what would help",
        "the option",
        _settings,
        judge_flags,
        needs=("NLD-API-01",),
        by_hand="lines that a person wrote are changed by a person",
    ),
)
