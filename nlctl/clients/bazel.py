"""Bazel. Every option is known to Bazel 4 and later, because an unknown one stops it."""

from __future__ import annotations

from nlctl.clients.client import Client, Server, token_note


def options(server: Server) -> list[str]:
    """The flags of `bazel build` and its likes."""
    files = {
        "--tls_certificate": server.ca_file,
        "--tls_client_certificate": server.cert_file,
        "--tls_client_key": server.key_file,
    }
    return [
        f"--remote_executor={server.url(server.executor, 'grpc', 'grpcs')}",
        f"--remote_cache={server.url(server.cas, 'grpc', 'grpcs')}",
        *([f"--remote_instance_name={server.instance}"] if server.instance else []),
        *(f"{flag}={path}" for flag, path in files.items() if path and server.secure),
        "--remote_timeout=600",
        # With Bazel's pauses half a minute, in which a part that was killed is back; five times are three seconds.
        "--remote_retries=10",
        # Otherwise Bazel up to 7 gives up a build whose scheduler was started again, in place of asking it once more.
        "--experimental_remote_execution_keepalive",
        "--jobs=50",
    ]


def lines(server: Server, config: str, source: str) -> list[str]:
    """What `nlctl bazelrc` writes for `--config`, one option each; `source` is what people call the server."""
    return [
        f"# Written by nlctl bazelrc for {source}. The digest function is Bazel's default, SHA256.",
        *(f"build:{config} {option}" for option in options(server)),
    ]


def client(server: Server) -> Client:
    """Flags for the command line; `nlctl bazelrc` writes them into a file."""
    flags = tuple(options(server))
    return Client(
        "bazel",
        "bazel build //... " + " ".join(flags),
        arguments=flags,
        notes=(
            "nlctl bazelrc --write keeps these flags in a file for --config=nl",
            *token_note(server, "add --credential_helper=PROGRAM, or --remote_header in a file that is not shared"),
        ),
    )
