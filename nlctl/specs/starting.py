"""The configs that `config new` writes: shipped templates with other defaults. Pure but for reading them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from nlctl.faults import USAGE, Fault, fix
from nlctl.launch.templates import template

_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*):-([^}]*)\}")
_ENDPOINT: Final = re.compile(r"(?:grpc://|http://)?([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})")
_UNSAFE: Final = "\"'\\$}\n"


def values(*, data: str, base_port: int, slow: str = "") -> dict[str, str]:
    """The defaults of a template's variables. Raises Fault USAGE for what cannot stand in a config."""
    if any(char in data for char in _UNSAFE):
        raise Fault(USAGE, f"{data!r} cannot stand in a config", fixes=[fix("a path without quotes and dollar signs")])
    host = "127.0.0.1"
    return {
        "DATA": data.rstrip("/") or "/",
        "CAS_LISTEN": f"{host}:{base_port}",
        "CLIENT_LISTEN": f"{host}:{base_port + 1}",
        "WORKER_API_LISTEN": f"{host}:{base_port + 10}",
        "CAS_ENDPOINT": _endpoint(slow) if slow else f"{host}:{base_port}",
        "SCHEDULER_ENDPOINT": f"{host}:{base_port + 10}",
    }


def _endpoint(url: str) -> str:
    match = _ENDPOINT.fullmatch(url)
    if match is None:
        raise Fault(
            USAGE,
            f"{url!r} is no CAS that a template can name",
            fixes=[fix("write grpc://HOST:PORT; for TLS add tls_config to the files afterwards")],
        )
    return f"{match[1]}:{match[2]}"


def files(
    name: str, parts: Sequence[str], given: Mapping[str, str], *, workers: int = 0, own_cas: bool = True
) -> dict[str, str]:
    """The texts of a template's files by their names, with a file for each worker where a number is given."""
    found: dict[str, str] = {}
    for part in parts:
        text = template(f"{name}/{part}" if len(parts) > 1 else part)
        if part == "worker.json5" and workers:
            for number in range(1, workers + 1):
                called = f"worker-{number}"
                found[f"{called}.json5"] = defaulted(text, {**given, "WORKER_NAME": called})
        elif part != "cas.json5" or own_cas:
            found[part] = defaulted(text, given)
    return found


def defaulted(text: str, given: Mapping[str, str]) -> str:
    """The template with other defaults: `${NAME:-old}` becomes `${NAME:-new}`."""
    return _REFERENCE.sub(lambda match: f"${{{match[1]}:-{given.get(match[1], match[2])}}}", text)
