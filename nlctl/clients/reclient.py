"""reclient (reproxy and rewrapper): flags of reproxy, given as variables of the environment."""

from __future__ import annotations

from nlctl.clients.client import Client, Server, address, token_note


def client(server: Server) -> Client:
    """The variables. Its instance name has a default of its own, so it is always said."""
    environment = {
        "RBE_service": address(server.executor),
        **({"RBE_cas_service": address(server.cas)} if server.cas != server.executor else {}),
        "RBE_instance": server.instance,
        "RBE_use_application_default_credentials": "false",
        "RBE_service_no_auth": "true",
        **_security(server),
    }
    return Client(
        "reclient",
        "reproxy &  rewrapper --labels=type=tool --exec_root=$PWD --platform=OSFamily=linux -- COMMAND",
        environment=environment,
        notes=token_note(server, "reclient takes it by a credentials helper of its own: RBE_credentials_helper"),
    )


def _security(server: Server) -> dict[str, str]:
    if not server.secure:
        return {"RBE_service_no_security": "true"}
    files = {
        "RBE_tls_ca_cert": server.ca_file,
        "RBE_tls_client_auth_cert": server.cert_file,
        "RBE_tls_client_auth_key": server.key_file,
    }
    return {name: path for name, path in files.items() if path}
