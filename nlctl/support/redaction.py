"""Taking secrets out of text and documents. Pure.

What is recognised: values under names that speak of secrets, passwords in URLs, flags, headers and `netrc` lines,
private keys, and tokens by their known shapes. A value that was recognised once is taken out wherever it stands
afterwards, also without its name: so configs and environment are read first, logs last. Too much is taken out rather
than too little.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

MARK: Final = "[redacted]"
_WORD: Final = (
    r"(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key"
    r"|encryption[_-]?key|signing[_-]?key|master[_-]?key|shared[_-]?key|credential|session[_-]?(?:id|key))"
)
# These stand in many a harmless word: alone, or as the last one of several. PWD is a directory.
_LAST_WORD: Final = r"(?<![\w.])(?:(?:[\w.-]*[_.-])?(?:auth|pass)|[\w.-]*[_.-]pwd)(?![\w.-])"
# The name of a file that holds a secret, a limit or a URL is no secret.
_HARMLESS: Final = re.compile(
    r"(?i)(?:file|path|dir|directory|url|uri|endpoint|endpoints|name|type|kind|seconds|count|size|authority|author|authors)$"
)
_NAME: Final = rf"(?:[\w.-]*{_WORD}[\w.-]*|{_LAST_WORD})"
_SPEAKING: Final = re.compile(rf"(?i)-*{_NAME}")
_NAMED: Final = re.compile(
    rf"(?i)(?P<quote>\\?[\"']?)(?P<name>{_NAME})(?P=quote)(?P<sign>\s*(?:=>|[:=])\s*)"
    r"(?P<value>\[[^\]]*\]|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\\\"(?:[^\"\\]|\\[^\"])*\\\"|[^\s,;}\]\"'&\\]+)"
)
_FLAG: Final = re.compile(
    rf"(?i)(?P<flag>(?<![\w-])--?{_NAME})(?P<gap>[\"']?(?:\s*,\s*|\s+)[\"']?)(?P<value>(?!-|\[redacted)[^\s\"',\]]+)"
)
_HEADER: Final = re.compile(
    r"(?i)(?P<name>\b(?:proxy-)?authorization|\bx-[\w-]*(?:key|token|auth)[\w-]*|\b(?:set-)?cookie)"
    r"(?P<sign>[\"']?\s*[:=,]\s*[\"']?)(?P<value>[^\"'\r\n]+)"
)
_SCHEME: Final = re.compile(r"(?i)\b(?P<name>bearer|basic|negotiate)(?P<sign>\s+)(?P<value>[A-Za-z0-9._~+/=-]{6,})")
_URL: Final = re.compile(
    r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>@/:]*:)(?P<value>(?!\d{1,5}/)[^\s\"'<>@]+)(?P<tail>@)"
)
_URL_USER: Final = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://)(?P<value>[^\s\"'<>@/:]{8,})(?P<tail>@)")
_QUERY: Final = re.compile(
    r"(?i)(?P<head>[?&](?:sig|signature|key|code|x-amz-[\w-]+)=)(?P<value>[^&\s\"'<>]+)(?P<tail>)"
)
_NETRC: Final = re.compile(
    r"(?i)(?P<head>\b(?:machine\s+\S+|default)\s+login\s+\S+\s+password\s+)(?P<value>\S+)(?P<tail>)"
)
_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_END: Final = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_SHAPES: Final = re.compile(
    r"(?P<value>\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bxox[abeoprs]-[\w-]{10,}|\bAIza[\w-]{30,}|\beyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*|\bsk-[A-Za-z0-9_-]{16,}"
    r"|\bnpm_[A-Za-z0-9]{20,}|\bpypi-[\w-]{16,}|\bya29\.[\w.-]{10,}|\bhf_[A-Za-z0-9]{16,}|\bdop_v1_[0-9a-f]{20,}"
    r"|\bSG\.[\w-]{10,}\.[\w-]{10,}|\bhv[sb]\.[\w-]{16,}|\bAGE-SECRET-KEY-[0-9A-Z]+)"
)
_LEAST_LEARNT: Final = 6
_REFERENCE: Final = re.compile(r"[\"']?\$(?:\{\w+\}|\w+)[\"']?")
_PLAIN: Final = frozenset({"", "true", "false", "null", "none", "nil"})


class Redactor:
    """Takes secrets out and counts them by kind in `counts`. With `off`, nothing is taken out.

    While `learning`, values are remembered: of configs and environments, where names and values are certain; in logs
    any word may stand behind a colon.
    """

    def __init__(self, *, off: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.learning = True
        self._off = off
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, value: str) -> None:
        """Take this out wherever it stands; too short ones would stand everywhere."""
        value = value.strip()
        if self.learning and len(value) >= _LEAST_LEARNT and value.lower() not in _PLAIN and value != MARK:
            self._known.add(value)
            self._pattern = None

    def learn_environment(self, variables: Iterable[tuple[str, str]]) -> None:
        """The values of variables whose names speak of secrets."""
        for name, value in variables:
            if self._secret(name, value):
                self.learn(value)

    def text(self, text: str) -> str:
        """The text without secrets; a private key that does not end goes to the text's end."""
        if self._off:
            return text
        text = self._without_keys(text)
        text = _HEADER.sub(self._header, text)
        text = _SCHEME.sub(lambda match: self._kept(match, "token"), text)
        text = _URL.sub(lambda match: self._between(match, "url password"), text)
        text = _URL_USER.sub(lambda match: self._between(match, "url password"), text)
        text = _QUERY.sub(lambda match: self._between(match, "token"), text)
        text = _NETRC.sub(lambda match: self._between(match, "password"), text)
        text = _FLAG.sub(self._flag, text)
        text = _NAMED.sub(self._named, text)
        text = _SHAPES.sub(lambda match: self._taken(match["value"], "token"), text)
        return self._without_known(text)

    def lines(self, lines: Iterable[str]) -> Iterator[str]:
        """Lines of a log, in order; a private key may go over many of them."""
        inside = False
        for line in lines:
            if self._off:
                yield line
            elif inside:
                inside = _END.search(line) is None
                yield "" if inside else self.text(_END.split(line, 1)[-1])
            else:
                begin = _BEGIN.search(line)
                inside = begin is not None and _END.search(line, begin.end()) is None
                yield self.text(line) + ("\n" if inside else "")

    def document(self, value: Any, name: str = "") -> Any:
        """A JSON value without secrets, in its texts and under names that speak of them."""
        if self._off:
            return value
        match value:
            case dict():
                return {self.text(key): self.document(item, key) for key, item in value.items()}
            case list():
                return [self.document(item, name) for item in value]
            case str() if self._secret(name, value):
                return self._taken(value, _kind(name))
            case str():
                return self.text(value)
        return value

    def environment(self, variables: dict[str, str], shown: frozenset[str]) -> dict[str, str]:
        """Every variable by its name, with the values of those alone that are `shown`."""
        if self._off:
            return dict(variables)
        made = {}
        for name, value in variables.items():
            if name in shown:
                made[name] = self.text(value)
            else:
                self.counts["env value"] += 1
                made[name] = f"{MARK} ({len(value)} characters)"
        return made

    def _without_keys(self, text: str) -> str:
        while (begin := _BEGIN.search(text)) is not None:
            end = _END.search(text, begin.end())
            self.counts["key"] += 1
            text = text[: begin.start()] + MARK + (text[end.end() :] if end else "")
        return text

    def _without_known(self, text: str) -> str:
        if not self._known:
            return text
        if self._pattern is None:
            # The longest first: one may be the beginning of another.
            self._pattern = re.compile("|".join(map(re.escape, sorted(self._known, key=len, reverse=True))))
        return self._pattern.sub(lambda match: self._taken(match[0], "value"), text)

    def _header(self, match: re.Match[str]) -> str:
        value = match["value"].strip()
        # Its scheme is no secret.
        head, _, rest = value.partition(" ")
        known = head.lower() in ("bearer", "basic", "negotiate", "digest", "token") and rest
        self.learn(rest if known else value)
        return f"{match['name']}{match['sign']}{f'{head} ' if known else ''}{self._taken(value, 'token')}"

    def _kept(self, match: re.Match[str], kind: str) -> str:
        return f"{match['name']}{match['sign']}{self._taken(match['value'], kind)}"

    def _between(self, match: re.Match[str], kind: str) -> str:
        if _REFERENCE.fullmatch(match["value"]):
            return match[0]
        self.learn(match["value"])
        return f"{match['head']}{self._taken(match['value'], kind)}{match['tail']}"

    def _flag(self, match: re.Match[str]) -> str:
        if not self._secret(match["flag"], match["value"]):
            return match[0]
        self.learn(match["value"])
        return f"{match['flag']}{match['gap']}{self._taken(match['value'], _kind(match['flag']))}"

    def _named(self, match: re.Match[str]) -> str:
        value = match["value"]
        if not self._secret(match["name"], value):
            return match[0]
        inner = [part for part in re.split(r"[\[\]\s,\"']+", value) if part] if value[:1] == "[" else [_bare(value)]
        for part in inner:
            self.learn(part)
        quoted = value[:1] in "\"'[" or value.startswith('\\"')
        mark = self._taken(value, _kind(match["name"]))
        # JSON5 stays JSON5.
        shown = f'"{mark}"' if quoted and not value.startswith("\\") else mark
        return f"{match['quote']}{match['name']}{match['quote']}{match['sign']}{shown}"

    def _secret(self, name: str, value: str) -> bool:
        if not _SPEAKING.fullmatch(name) or _HARMLESS.search(name):
            return False
        return _bare(value).lower() not in _PLAIN and MARK not in value and not _REFERENCE.fullmatch(value)

    def _taken(self, value: str, kind: str) -> str:
        if value != MARK:
            self.counts[kind] += 1
        return MARK


def _kind(name: str) -> str:
    lowered = name.lower()
    return "password" if "pass" in lowered or "pwd" in lowered else "key" if "key" in lowered else "token"


def _bare(value: str) -> str:
    return value.removeprefix('\\"').removesuffix('\\"').strip("\"'")
