"""Buck2: the sections of `.buckconfig`. The rules of a project say by its execution platform what runs remotely."""

from __future__ import annotations

from nlctl.clients.client import Client, Server, token_note

_PLATFORM = """\
def _platform(ctx):
    configuration = ConfigurationInfo(constraints = {}, values = {})
    platform = ExecutionPlatformInfo(
        label = ctx.label.raw_target(),
        configuration = configuration,
        executor_config = CommandExecutorConfig(
            local_enabled = True,
            remote_enabled = True,
            use_limited_hybrid = True,
            remote_execution_properties = {"OSFamily": "linux"},
            remote_execution_use_case = "buck2-default",
            remote_output_paths = "output_paths",
        ),
    )
    return [DefaultInfo(), ExecutionPlatformRegistrationInfo(platforms = [platform])]

remote_platform = rule(impl = _platform, attrs = {})
"""


def client(server: Server) -> Client:
    """`.buckconfig.local`, which Buck2 reads after `.buckconfig`."""
    lines = [
        "[buck2]",
        "digest_algorithms = SHA256",
        "",
        "[buck2_re_client]",
        f"engine_address = {server.url(server.executor, 'grpc', 'grpc')}",
        f"action_cache_address = {server.url(server.cas, 'grpc', 'grpc')}",
        f"cas_address = {server.url(server.cas, 'grpc', 'grpc')}",
        *([f"instance_name = {server.instance}"] if server.instance else []),
        f"tls = {'true' if server.secure else 'false'}",
        *([f"tls_ca_certs = {server.ca_file}"] if server.ca_file and server.secure else []),
        *([f"tls_client_cert = {server.cert_file}"] if server.cert_file and server.secure else []),
    ]
    combined = "tls_client_cert must hold the certificate and its key, one after the other"
    return Client(
        "buck2",
        "buck2 build //...",
        file=".buckconfig.local",
        text="\n".join(lines) + "\n",
        notes=(
            "an execution platform must allow it: put this into platforms/defs.bzl, a remote_platform(name = "
            '"platforms") into platforms/BUCK, and execution_platforms = root//platforms:platforms into [build]:\n'
            + _PLATFORM.rstrip(),
            *((combined,) if server.cert_file and server.secure else ()),
            *token_note(server, "http_headers = authorization: Bearer $TOKEN reads it from the environment"),
        ),
    )
