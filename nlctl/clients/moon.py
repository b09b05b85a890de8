"""moon: the `remote` section of `.moon/workspace.yml`. It uses the cache alone; commands run where moon does."""

from __future__ import annotations

import json

from nlctl.clients.client import Client, Server, token_note

_VARIABLE = "MOON_REMOTE_TOKEN"


def client(server: Server) -> Client:
    """The section. moon has an instance name of its own unless it is told another, be it none."""
    remote: dict[str, object] = {
        "host": server.url(server.cas, "grpc", "grpcs"),
        "cache": {"instanceName": server.instance, "verifyIntegrity": True},
    }
    if server.secure and server.cert_file and server.key_file and server.ca_file:
        remote["mtls"] = {"caCert": server.ca_file, "clientCert": server.cert_file, "clientKey": server.key_file}
    elif server.secure and server.ca_file:
        remote["tls"] = {"cert": server.ca_file}
    if server.token_file:
        remote["auth"] = {"token": _VARIABLE}
    return Client(
        "moon",
        "moon run :build",
        file=".moon/workspace.yml",
        text="\n".join(["remote:", *_lines(remote, "  ")]) + "\n",
        notes=(
            "moon caches, and executes nothing remotely",
            *token_note(server, f"put it into the variable {_VARIABLE}"),
        ),
    )


def _lines(section: dict[str, object], indent: str) -> list[str]:
    lines: list[str] = []
    for name, value in section.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        else:
            # JSON's texts and flags are YAML's, too.
            lines.append(f"{indent}{name}: {json.dumps(value)}")
    return lines
