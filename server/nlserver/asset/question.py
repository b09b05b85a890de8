"""What a client asks for or registers: URIs and qualifiers, checked and understood. Pure (Remote Asset API)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from nlserver.asset import integrity
from nlserver.asset.integrity import Checksum
from nlserver.errors import Code, Error, invalid
from nlserver.reapi.digest import Function

CHECKSUM: Final = "checksum.sri"
_CANONICAL_ID: Final = "bazel.canonical_id"
# Bazel's ways to say which headers go with which URI: for all, for one by its place, and (Bazel 3 to 5) as JSON.
_HEADER: Final = "http_header:"
_HEADER_OF: Final = "http_header_url:"
_HEADERS: Final = "bazel.auth_headers"
_REPEATABLE: Final = (_HEADER, _HEADER_OF)

_MOST_URIS: Final = 256
_LONGEST_URI: Final = 8 << 10
_MOST_QUALIFIERS: Final = 1024
_LONGEST_NAME: Final = 1 << 10
_LONGEST_VALUE: Final = 64 << 10
_SHOWN: Final = 100
_MOST_LISTED: Final = 8
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# What frames the message, chooses the server or asks for a part of the content is not the client's to say.
_OURS: Final = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
_PLAIN_HTTP: Final = frozenset(("http", "https"))

Headers = tuple[tuple[str, str], ...]


class HasQualifier(Protocol):
    """The protobuf message Qualifier, or anything shaped like it."""

    name: str
    value: str


@dataclass(frozen=True)
class Question:
    """Which asset is meant: alternative URIs of one content, and the qualifiers that narrow it down."""

    function: Function
    uris: tuple[str, ...]
    qualifiers: tuple[tuple[str, str], ...]
    """Sorted: their order on the wire means nothing."""
    checksums: tuple[Checksum, ...]
    """The content has one of them; empty where none is demanded."""
    headers: tuple[Headers, ...]
    """What goes with a request for each URI."""
    unsupported: tuple[str, ...]
    """The names of qualifiers that say nothing about a download: only a registered asset can meet them."""

    @property
    def identity(self) -> tuple[tuple[str, str], ...]:
        """The qualifiers that tell assets apart.

        With a checksum the content is what it is, whatever headers fetched it; without one it may depend on them.
        """
        if not self.checksums:
            return self.qualifiers
        return tuple(pair for pair in self.qualifiers if not _carries_headers(pair[0]))

    @property
    def shown(self) -> tuple[tuple[str, str], ...]:
        """The qualifiers without what may be a secret."""
        return tuple((name, "" if _carries_headers(name) else value) for name, value in self.qualifiers)


def question(uris: Sequence[str], qualifiers: Iterable[HasQualifier], function: Function) -> Question:
    """What a request means. Raises Error INVALID_ARGUMENT for one that no server could answer."""
    checked = _uris(uris)
    pairs = _pairs(qualifiers)
    values = dict(pairs)
    return Question(
        function=function,
        uris=checked,
        qualifiers=tuple(sorted(pairs)),
        checksums=integrity.parse(values[CHECKSUM]) if CHECKSUM in values else (),
        headers=tuple(_headers(pairs, len(checked), checked)),
        unsupported=tuple(sorted({name for name, _ in pairs if not _concerns_downloads(name)})),
    )


def is_downloadable(uri: str) -> bool:
    """Whether this URI names something on the network that we could fetch."""
    return uri.partition(":")[0].lower() in _PLAIN_HTTP


def without_query(uri: str) -> str:
    """The URI for a log: signatures and tokens stand in the query."""
    return uri.partition("?")[0].partition("#")[0]


def unsupported(names: Sequence[str]) -> Error:
    """Error INVALID_ARGUMENT with a violation for each qualifier (Remote Asset API, FetchBlobRequest.qualifiers)."""
    listed = ", ".join(repr(name[:_SHOWN]) for name in names[:_MOST_LISTED])
    return Error(
        Code.INVALID_ARGUMENT,
        f"qualifiers that a download cannot heed: {listed}",
        fields=[("qualifiers.name", f'"{name[:_SHOWN]}" not supported') for name in names],
    )


def _uris(uris: Sequence[str]) -> tuple[str, ...]:
    if not uris:
        raise invalid("no uris in the request: at least one is needed")
    if len(uris) > _MOST_URIS:
        raise invalid(f"{len(uris)} uris in one request; at most {_MOST_URIS} can be alternatives of one asset")
    for uri in uris:
        _check_uri(uri)
    return tuple(uris)


def _check_uri(uri: str) -> None:
    if len(uri) > _LONGEST_URI:
        raise invalid(f"a uri of {len(uri)} characters; at most {_LONGEST_URI} are accepted")
    if not _SCHEME.match(uri) or not uri.isprintable() or " " in uri:
        raise invalid(f"{uri[:_SHOWN]!r} is not a uri: SCHEME:... without spaces and control characters")
    if is_downloadable(uri):
        _check_authority(uri)


def _check_authority(uri: str) -> None:
    if "\\" in uri:
        raise invalid(f"uri {uri[:_SHOWN]!r} holds a backslash, which programs read differently")
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0:
        raise invalid(f"uri {uri[:_SHOWN]!r} names no host")
    if "@" in parts.netloc:
        raise invalid("a uri holds credentials, which would be written down with it; use http_header:Authorization")


def _pairs(qualifiers: Iterable[HasQualifier]) -> list[tuple[str, str]]:
    pairs = [(qualifier.name, qualifier.value) for qualifier in qualifiers]
    if len(pairs) > _MOST_QUALIFIERS:
        raise invalid(f"{len(pairs)} qualifiers in one request; at most {_MOST_QUALIFIERS} are accepted")
    seen: set[str] = set()
    for name, value in pairs:
        if not name or len(name) > _LONGEST_NAME or not name.isprintable():
            raise invalid(f"{name[:_SHOWN]!r} is not the name of a qualifier")
        if len(value) > _LONGEST_VALUE:
            raise invalid(f"qualifier {name[:_SHOWN]!r} has {len(value)} characters; at most {_LONGEST_VALUE}")
        if name in seen and not name.startswith(_REPEATABLE):
            raise invalid(f"qualifier {name[:_SHOWN]!r} stands twice in the request")
        seen.add(name)
    return pairs


def _carries_headers(name: str) -> bool:
    return name == _HEADERS or name.startswith(_REPEATABLE)


def _concerns_downloads(name: str) -> bool:
    return name in (CHECKSUM, _CANONICAL_ID) or _carries_headers(name)


def _headers(pairs: Sequence[tuple[str, str]], count: int, uris: Sequence[str]) -> Iterator[Headers]:
    common: dict[str, str] = {}
    own: list[dict[str, str]] = [{} for _ in range(count)]
    for name, value in pairs:
        if name.startswith(_HEADER):
            _add(common, name.removeprefix(_HEADER), value)
        elif name.startswith(_HEADER_OF):
            place, header = _placed(name, count)
            _add(own[place], header, value)
        elif name == _HEADERS:
            for uri, headers in _json_headers(value).items():
                for place in (place for place in range(count) if uris[place] == uri):
                    for header, content in headers.items():
                        _add(own[place], header, content)
    return (tuple({**common, **mine}.items()) for mine in own)


def _placed(name: str, count: int) -> tuple[int, str]:
    index, _, header = name.removeprefix(_HEADER_OF).partition(":")
    if not (index.isascii() and index.isdigit() and len(index) < len(str(_MOST_URIS)) + 1 and int(index) < count):
        raise invalid(f"qualifier {name[:_SHOWN]!r} names no uri of the request: there are {count}, counted from 0")
    return int(index), header


def _json_headers(text: str) -> Mapping[str, Mapping[str, str]]:
    try:
        found: Any = json.loads(text)
        sound = all(isinstance(value, str) for headers in found.values() for value in headers.values())
    except (ValueError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise invalid(f"qualifier {_HEADERS} is no JSON object of uris, headers and their values")
    headers: Mapping[str, Mapping[str, str]] = found
    return headers


def _add(headers: dict[str, str], name: str, value: str) -> None:
    # What they hold may be a secret, so no message shows it.
    if not _TOKEN.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise invalid(f"qualifiers hold an HTTP header {name[:_SHOWN]!r} whose name or value is not allowed in HTTP")
    name = name.lower()
    if name in _OURS:
        raise invalid(f"qualifiers set the HTTP header {name!r}, which is not for clients to set")
    # Content arrives as it is, so that checksums mean something; every server can do that.
    if name != "accept-encoding":
        headers[name] = value
