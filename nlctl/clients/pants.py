"""Pants: the `[GLOBAL]` section of `pants.toml`."""

from __future__ import annotations

import json

from nlctl.clients.client import Client, Server


def client(server: Server) -> Client:
    """Cache and execution. Pants runs remotely what an environment of its own says."""
    values: dict[str, object] = {
        "remote_cache_read": True,
        "remote_cache_write": True,
        "remote_execution": True,
        "remote_store_address": server.url(server.cas, "grpc", "grpcs"),
        "remote_execution_address": server.url(server.executor, "grpc", "grpcs"),
    }
    values |= {"remote_instance_name": server.instance} if server.instance else {}
    if server.secure:
        values |= {"remote_ca_certs_path": server.ca_file} if server.ca_file else {}
        values |= {"remote_client_certs_path": server.cert_file} if server.cert_file else {}
        values |= {"remote_client_key_path": server.key_file} if server.key_file else {}
    values |= {"remote_oauth_bearer_token": f"@{server.token_file}"} if server.token_file else {}
    # JSON's texts and flags are written alike in TOML.
    lines = ["[GLOBAL]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    return Client(
        "pants",
        "pants --pants-config-files=pants.remote.toml test ::",
        file="pants.remote.toml",
        text="\n".join(lines) + "\n",
        notes=("for execution, not only the cache, declare a remote_environment target and name it in your targets",),
    )
