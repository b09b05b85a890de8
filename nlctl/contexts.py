"""Clusters that run elsewhere: one file each, `$XDG_CONFIG_HOME/nlctl/contexts/NAME.toml`.

A file of its own for each context, so that a command which writes one never touches what people wrote elsewhere. Keys
and tokens stay in their files; a context holds only the paths.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nlctl import homes
from nlctl.faults import BAD_CONTEXT, Fault, fix
from nlctl.launch.ledger import write

SCHEMES: Final = ("grpc://", "grpcs://", "http://", "https://")
_SCHEMA: Final = 1
_SECURE: Final = ("grpcs://", "https://")


@dataclass(frozen=True)
class Access:
    """The files that open a server: whom to trust, who we are, and a bearer token. Paths; all may be absent."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    token_file: str | None = None

    @property
    def has_tls_files(self) -> bool:
        """Whether TLS is more than trusting what this system trusts."""
        return any((self.ca_file, self.cert_file, self.key_file))

    def token(self) -> str | None:
        """The bearer token. Raises Fault BAD_CONTEXT when its file cannot be read or is empty."""
        if self.token_file is None:
            return None
        text = _read(Path(self.token_file), "the token file").strip()
        if not text or not text.isascii() or not text.isprintable():
            raise Fault(
                BAD_CONTEXT,
                f"the token file {self.token_file} holds no token",
                why="it must hold one line of printable ASCII",
                fixes=[fix("write the token into it")],
            )
        return text


class Address(str):
    """The URL of a server, which knows what opens it. Everywhere else it is plain text."""

    access: Access

    def __new__(cls, url: str, access: Access) -> Address:
        """Of this URL and these files."""
        made = super().__new__(cls, url)
        made.access = access
        return made

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken there."""
        return self.startswith(_SECURE)


@dataclass(frozen=True)
class Context:
    """One cluster elsewhere. `admin` is where our admin service is, `http` where NativeLink's admin route is
    (`http://HOST:PORT/admin`) for the scheduler of this config name.
    """

    name: str
    cas: str
    executor: str
    admin: str | None = None
    http: str | None = None
    scheduler: str = "MAIN_SCHEDULER"
    instance: str = ""
    access: Access = field(default_factory=Access)

    def text(self) -> str:
        """The file that holds it: TOML, without its name."""
        values: dict[str, str | None] = {
            "cas": self.cas,
            "executor": self.executor,
            "admin": self.admin,
            "admin_http": self.http,
            "scheduler": self.scheduler if self.http else None,
            "instance": self.instance or None,
            **{name: getattr(self.access, name) for name in Access.__dataclass_fields__},
        }
        lines = [f"{name} = {_quoted(value)}" for name, value in values.items() if value is not None]
        return "\n".join([f"schema = {_SCHEMA}", *lines]) + "\n"


_KEYS: Final = {"cas", "executor", "admin", "admin_http", "scheduler", "instance", *Access.__dataclass_fields__}


class Contexts:
    """The contexts of one user, in this folder, which need not exist."""

    def __init__(self, config_home: Path) -> None:
        self._folder = config_home / "contexts"

    def path(self, name: str) -> Path:
        """Where the context of this name is kept."""
        return self._folder / f"{name}.toml"

    def names(self) -> list[str]:
        """All of them, sorted."""
        with suppress(OSError):
            return sorted(path.stem for path in self._folder.iterdir() if path.suffix == ".toml")
        return []

    def has(self, name: str) -> bool:
        """Whether there is one of this name."""
        return self.path(name).is_file()

    def load(self, name: str) -> Context:
        """The context of this name, which exists. Raises Fault BAD_CONTEXT."""
        return parse(name, _read(self.path(name), "the context"), str(self.path(name)))

    def save(self, context: Context) -> None:
        """Keep it, in place of one of the same name."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write(self.path(context.name), context.text())

    def remove(self, name: str) -> None:
        """Forget it; what its paths name stays."""
        self.path(name).unlink()

    def rename(self, old: str, new: str) -> None:
        """Give it another name."""
        os.rename(self.path(old), self.path(new))


def config_home(environment: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME/nlctl`."""
    return Path(homes.config(environment))


def parse(name: str, text: str, where: str) -> Context:
    """The context that a file holds; `where` names it in messages. Raises Fault BAD_CONTEXT."""
    values = _values(text, where)
    if unknown := sorted(set(values) - _KEYS):
        raise _bad(where, f"{unknown[0]!r} is no key of a context; keys are {', '.join(sorted(_KEYS))}")
    if wrong := [key for key, value in values.items() if not isinstance(value, str)]:
        raise _bad(where, f"{wrong[0]} must be text")
    if not values.get("cas"):
        raise _bad(where, "it names no server: cas is missing")
    cas = values["cas"]
    made = Context(
        name,
        cas,
        values.get("executor") or cas,
        values.get("admin"),
        values.get("admin_http"),
        values.get("scheduler") or Context.scheduler,
        values.get("instance") or "",
        Access(*(values.get(key) for key in Access.__dataclass_fields__)),
    )
    if problem := problem_of(made):
        raise _bad(where, problem)
    return made


def problem_of(context: Context) -> str:
    """What makes it unusable, "" when nothing does."""
    for url in (context.cas, context.executor, context.admin):
        if url is not None and not url.startswith(SCHEMES):
            return f"{url!r} is no endpoint: write grpc://HOST:PORT, or grpcs:// for TLS"
    if context.http is not None and not context.http.startswith(("http://", "https://")):
        return f"{context.http!r} is no HTTP address: write http://HOST:PORT/admin"
    if bool(context.access.cert_file) != bool(context.access.key_file):
        return "a client certificate and its key come together"
    if context.access.token_file and (url := _open_to_others(context)):
        return f"a token would travel to {url} in plain text: use grpcs://"
    return ""


def _open_to_others(context: Context) -> str | None:
    from nlserver.reapi.address import is_local

    urls = [url for url in (context.cas, context.executor, context.admin) if url is not None]
    return next((url for url in urls if not url.startswith(_SECURE) and not is_local(url)), None)


def _values(text: str, where: str) -> dict[str, Any]:
    import tomllib

    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _bad(where, str(error)) from error
    if (schema := values.pop("schema", _SCHEMA)) != _SCHEMA:
        raise _bad(where, f"it has schema {schema}, and this nlctl knows {_SCHEMA}")
    return values


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is no UTF-8 text"
        raise Fault(
            BAD_CONTEXT, f"{what} {path} cannot be read", why=why, fixes=[fix("see the contexts", "nlctl", "context")]
        ) from error


def _bad(where: str, why: str) -> Fault:
    remedy = fix("correct the file, or add the context anew", "nlctl", "context", "add", "--help")
    return Fault(BAD_CONTEXT, f"{where} is no context", why=why, fixes=[remedy])


def _quoted(text: str) -> str:
    # A JSON string is a TOML basic string but for DEL, which no address and no path of ours has.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
