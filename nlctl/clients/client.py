"""What a client is told, and of which server."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_URL: Final = re.compile(r"(?P<scheme>grpcs?|https?)://(?P<host>.+?)/?")


@dataclass(frozen=True)
class Server:
    """Where a client sends its calls. The URLs are `grpc://HOST:PORT`, or `grpcs://` for TLS; files may be absent."""

    cas: str
    executor: str
    instance: str = ""
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    token_file: str | None = None

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.executor.startswith(("grpcs://", "https://"))

    def url(self, of: str, plain: str, secure: str) -> str:
        """One of the URLs with the scheme that a client wants for plain and for secure connections."""
        match = _URL.fullmatch(of)
        host = match["host"] if match else of
        return f"{secure if self.secure else plain}://{host}"


def address(url: str) -> str:
    """`HOST:PORT` of a URL, for clients that want no scheme."""
    match = _URL.fullmatch(url)
    return match["host"] if match else url


@dataclass(frozen=True)
class Client:
    """What makes a client use the server: flags, environment variables, the content of a file; and how to begin.

    `file` is where the text belongs; `notes` say what is left to do.
    """

    name: str
    command: str
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    file: str = ""
    text: str = ""
    notes: tuple[str, ...] = ()


def token_note(server: Server, how: str) -> tuple[str, ...]:
    """The note that a token must be given; none for a server without one."""
    return (f"the server wants the bearer token in {server.token_file}: {how}",) if server.token_file else ()
