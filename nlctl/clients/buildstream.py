"""BuildStream 2: `buildstream.conf`."""

from __future__ import annotations

from nlctl.clients.client import Client, Server


def client(server: Server) -> Client:
    """Artifacts, sources and remote execution. One address serves all three."""
    executor, cas = (server.url(url, "http", "https") for url in (server.executor, server.cas))
    caches = "".join(
        f"{kind}:\n  servers:\n  - url: {cas}\n    push: true\n{_rest(server, '    ')}"
        for kind in ("artifacts", "source-caches")
    )
    services = "".join(
        f"  {name}-service:\n    url: {url}\n{_rest(server, '    ')}"
        for name, url in (("execution", executor), ("storage", cas), ("action-cache", cas))
    )
    return Client(
        "buildstream",
        "bst --config buildstream.conf build ELEMENT.bst",
        file="buildstream.conf",
        text=f"{caches}remote-execution:\n{services}",
        notes=("workers run elements with the input root as their whole system; it must hold every tool that is used",),
    )


def _rest(server: Server, indent: str) -> str:
    """Instance and credentials, as each server of the file has its own."""
    lines = [f"instance-name: {server.instance}"] if server.instance else []
    auth = {
        "server-cert": server.ca_file if server.secure else None,
        "client-cert": server.cert_file if server.secure else None,
        "client-key": server.key_file if server.secure else None,
        "access-token": server.token_file,
    }
    if any(auth.values()):
        lines += ["auth:", *(f"  {name}: {path}" for name, path in auth.items() if path)]
    return "".join(f"{indent}{line}\n" for line in lines)
