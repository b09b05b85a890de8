"""Certificates that end, secrets that others can read, and what is open to everybody."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from nlctl.doctor.certificate import validities
from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.checks.network import ways
from nlctl.doctor.finding import Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level

_SOON_SECONDS: Final = 21 * 86400.0
_DAY_SECONDS: Final = 86400.0
_ASK_SECONDS: Final = 5.0
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class Term(NamedTuple):
    """A certificate: where it is, and from when to when it holds, seconds since 1970; or why it cannot be read."""

    source: str
    begins: float
    ends: float
    trouble: str = ""


class Terms(NamedTuple):
    """All certificates that are in use here, and the time."""

    terms: Sequence[Term]
    now: float


async def _terms(site: Site) -> Terms:
    # One endpoint may serve everything.
    shown = {way.url: way.expires for way in await ways(site) if way.expires is not None}
    found = [Term(url, 0.0, ends) for url, ends in shown.items()]
    access = site.target.access
    files = {path for path in (access.ca_file, access.cert_file) if path} | set(await _named(site, "cert_file"))
    files |= set(await _named(site, "ca_file")) | set(await _named(site, "client_ca_file"))
    found += await asyncio.to_thread(lambda: [one for path in sorted(files) for one in _read(path)])
    if not found:
        raise NotHere("no TLS is spoken here")
    return Terms(found, time.time())


async def _named(site: Site, key: str) -> list[str]:
    """The files that configs of the cluster name under this key; none of a server elsewhere."""
    with suppress(NotHere):
        specs: list[Any] = [spec for file in (await site.configs()).files for spec in file.specs()]
        return [path for spec in specs if isinstance(path := getattr(spec, key, None), str)]
    return []


def _read(path: str) -> list[Term]:
    try:
        return [Term(path, one.begins, one.ends) for one in validities(Path(path).read_text(encoding="utf-8"))]
    except OSError as error:
        return [Term(path, 0.0, 0.0, error.strerror or str(error))]
    except ValueError as error:
        return [Term(path, 0.0, 0.0, str(error))]


def judge_terms(terms: Terms) -> Iterable[Finding]:
    """Whether certificates hold now, and for a while."""
    found = [finding for one in terms.terms for finding in _of_term(one, terms.now)]
    if found:
        return found
    soonest = min(one.ends for one in terms.terms)
    seen = (Evidence(one.source, _date(one.ends), "not after") for one in terms.terms)
    return [ok(f"certificates hold for {(soonest - terms.now) / _DAY_SECONDS:.0f} days and more", *seen)]


def _of_term(term: Term, now: float) -> Iterator[Finding]:
    evidence = (Evidence(term.source, _date(term.ends) if not term.trouble else term.trouble, "not after"),)
    renew = fix("renew it; servers take a new file without a restart")
    if term.trouble:
        what = f"the certificate file {term.source} cannot be read: {term.trouble}"
        yield Finding(Verdict.FAILED, what, "", evidence, (fix("correct the path, or its rights"),))
    elif term.ends <= now:
        what = f"the certificate {term.source} ended on {_date(term.ends)}"
        yield Finding(Verdict.FAILED, what, "every connection with it is refused", evidence, (renew,))
    elif term.begins > now:
        what = f"the certificate {term.source} begins on {_date(term.begins)}"
        look = fix("set the clock, or wait", "nlctl", "doctor", "--check", "NLD-ENV-04")
        yield Finding(Verdict.FAILED, what, "until then every connection with it is refused", evidence, (look,))
    elif term.ends - now < _SOON_SECONDS:
        what = f"the certificate {term.source} ends in {(term.ends - now) / _DAY_SECONDS:.0f} days"
        yield Finding(Verdict.WARNING, what, "from then on every connection with it is refused", evidence, (renew,))


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


async def _open_doors(site: Site) -> Mapping[str, str]:
    """What each endpoint of clients says to an operator who shows nothing: "open", or why not."""
    urls = {str(site.target.cas), str(site.target.executor)}
    away = sorted(url for url in urls if urlsplit(url).hostname not in _LOOPBACK)
    if not away:
        raise NotHere("only this machine reaches these endpoints")
    said = await asyncio.gather(*(asyncio.to_thread(_admits, url) for url in away))
    return dict(zip(away, said, strict=True))


def _admits(url: str) -> str:
    from nlserver.errors import Error
    from nlserver.proto import admin_pb2

    from nlctl.admin import Admin
    from nlctl.contexts import Access, Address

    try:
        with Admin(Address(url, Access()), _ASK_SECONDS) as admin:
            admin.call("GetPart", admin_pb2.GetPartRequest())
    except Error as error:
        return error.code.name
    return "open"


def judge_open_doors(doors: Mapping[str, str]) -> Iterable[Finding]:
    """Whether clients' endpoints let anybody be the operator."""
    bad = [url for url, said in doors.items() if said == "open"]
    if not bad:
        return [ok("no endpoint of clients takes orders of an operator who shows nothing")]
    return [
        Finding(
            Verdict.WARNING,
            f"{url} serves the admin API to everybody who reaches it",
            "whoever reaches it can drain workers, end actions and remove blobs",
            (Evidence(url, "answered GetPart", "without token and certificate"),),
            (fix("move `admin` to a listener on 127.0.0.1, or behind TLS with client_ca_file"),),
        )
        for url in bad
    ]


class Secret(NamedTuple):
    """A file with a key or token, and its mode."""

    path: str
    mode: int


async def _secrets(site: Site) -> Sequence[Secret]:
    access = site.target.access
    paths = {path for path in (access.key_file, access.token_file) if path} | set(await _named(site, "key_file"))
    found = await asyncio.to_thread(_modes, sorted(paths))
    if not found:
        raise NotHere("no keys and tokens are used here")
    return found


def _modes(paths: Sequence[str]) -> list[Secret]:
    found = []
    for path in paths:
        with suppress(OSError):
            found.append(Secret(path, stat.S_IMODE(os.stat(path).st_mode)))
    return found


def judge_secrets(secrets: Sequence[Secret]) -> Iterable[Finding]:
    """Whether only their owner reads keys and tokens."""
    bad = [one for one in secrets if one.mode & 0o077]
    if not bad:
        return [ok(f"{len(secrets)} files with keys and tokens are their owner's alone")]
    return [
        Finding(
            Verdict.WARNING,
            f"others on this machine may read {one.path}",
            "whoever has it can write blobs and results as you",
            (Evidence("mode", f"{one.mode:04o}", one.path),),
            (fix(f"chmod 600 {one.path}"),),
            remedies=(Remedy("owner_only", (one.path,)),),
        )
        for one in bad
    ]


CHECKS: Final = (
    Check(
        "NLD-TLS-01",
        "security",
        "certificates hold for a while",
        Level.STANDARD,
        "the certificate that each endpoint shows, and those in the files of the context and of the configs",
        "failed: it ended, has not begun or cannot be read; warning: it ends within 21 days",
        "renew it",
        _terms,
        judge_terms,
        needs=("NLD-NET-01",),
        by_hand="a certificate comes from who signs it",
    ),
    Check(
        "NLD-SEC-01",
        "security",
        "clients' endpoints take no orders",
        Level.STANDARD,
        "GetPart of the admin service without token and certificate at each endpoint off this machine",
        "warning: it is answered",
        "`admin` on a listener of its own",
        _open_doors,
        judge_open_doors,
        needs=("NLD-NET-01",),
        by_hand="whose operators reach it elsewhere is not known here",
    ),
    Check(
        "NLD-SEC-02",
        "security",
        "keys and tokens are their owner's alone",
        Level.STANDARD,
        "the mode of every key and token file of the context and of the configs",
        "warning: others may read it",
        "chmod 600",
        _secrets,
        judge_secrets,
        repairs=("owner_only",),
        by_hand="the file of another user is changed by him",
    ),
)
