"""What each build client needs to use a cluster: a module for each client, named after it. Pure.

Law: a module says only what its client's own documentation says it takes, and nothing secret: tokens stay in files.
"""

from __future__ import annotations

import importlib
from typing import Final

from nlctl.clients.client import Client, Server

NAMES: Final = ("bazel", "buck2", "recc", "pants", "buildstream", "reclient", "siso", "moon")


def client(name: str, server: Server) -> Client:
    """What this client needs for this server; the name is one of NAMES."""
    made: Client = importlib.import_module(f"nlctl.clients.{name}").client(server)
    return made
