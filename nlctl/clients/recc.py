"""recc: variables of the environment, or the same in `recc.conf`."""

from __future__ import annotations

from nlctl.clients.client import Client, Server, token_note


def client(server: Server) -> Client:
    """The variables; recc then stands before the compiler's command line."""
    environment = {
        "RECC_SERVER": server.url(server.executor, "http", "https"),
        "RECC_CAS_SERVER": server.url(server.cas, "http", "https"),
        "RECC_ACTION_CACHE_SERVER": server.url(server.cas, "http", "https"),
        **({"RECC_INSTANCE": server.instance} if server.instance else {}),
        **({"RECC_SERVER_CRED_FILE": server.ca_file} if server.ca_file and server.secure else {}),
        "RECC_REMOTE_PLATFORM_OSFamily": "linux",
    }
    return Client(
        "recc",
        "recc gcc -c hello.c -o hello.o",
        environment=environment,
        notes=(
            "workers need the compiler at the path that the command names",
            *token_note(server, "RECC_ACCESS_TOKEN_PATH names the file"),
        ),
    )
