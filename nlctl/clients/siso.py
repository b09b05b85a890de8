"""Siso (Chromium): its flags, some of them as variables of the environment. Addresses have no scheme."""

from __future__ import annotations

from nlctl.clients.client import Client, Server, address, token_note


def client(server: Server) -> Client:
    """Flags of `siso ninja`, which autoninja passes on."""
    arguments = [
        f"-reapi_address={address(server.executor)}",
        *([f"-reapi_cas_address={address(server.cas)}"] if server.cas != server.executor else []),
        f"-reapi_instance={server.instance}",
    ]
    if not server.secure:
        arguments.append("-reapi_insecure")
    else:
        files = {
            "-reapi_tls_ca_cert": server.ca_file,
            "-reapi_tls_client_auth_cert": server.cert_file,
            "-reapi_tls_client_auth_key": server.key_file,
        }
        arguments += [f"{flag}={path}" for flag, path in files.items() if path]
    return Client(
        "siso",
        "siso ninja -C out/Default " + " ".join(arguments),
        arguments=tuple(arguments),
        notes=(
            "the backend config of the checkout (backend.star) says the platform properties that actions ask for",
            *token_note(server, "siso takes it from SISO_CREDENTIAL_HELPER"),
        ),
    )
