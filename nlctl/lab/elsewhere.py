"""Servers beside a lab, and the context by which somebody knows them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nlctl.contexts import Access, Context, Contexts, config_home
from nlctl.faults import NOT_POSSIBLE, Fault, fix
from nlctl.lab.injection import Clue
from nlctl.launch.ports import pick
from nlctl.launch.wish import HOST

if TYPE_CHECKING:
    from nlctl.lab.lab import Lab

_HOME: Final = "XDG_CONFIG_HOME"
_SERVER: Final = """\
{{
  stores: [
    {{ name: "CAS", memory: {{ eviction_policy: {{ max_bytes: "20mb" }} }} }},
    {{ name: "AC", memory: {{ eviction_policy: {{ max_bytes: "1mb" }} }} }},
  ],
  servers: [{{
    listener: {{ http: {{ socket_address: "{host}:{port}", {listener} }} }},
    services: {{
      cas: [{{ cas_store: "CAS" }}], ac: [{{ ac_store: "AC" }}], bytestream: [{{ cas_store: "CAS" }}],
      capabilities: [], {services}
    }},
  }}],
}}
"""


def server(lab: Lab, *, host: str = HOST, listener: str = "", services: str = "") -> str:
    """Start a cache with these further fields of its listener and services; its HOST:PORT."""
    port = pick().cas
    lab.serve(_SERVER.format(host=host, port=port, listener=listener, services=services))
    return f"{host}:{port}"


def known_as(lab: Lab, url: str, access: Access | None = None, *, executor: str = "") -> Clue:
    """Let a user of his own have a context for this server, with these files, and execution perhaps elsewhere."""
    home = lab.ledger.run / "user"
    contexts = Contexts(config_home({_HOME: str(home)}))
    context = Context("elsewhere", url, executor or url, access=access or Access())
    contexts.path(context.name).parent.mkdir(parents=True, exist_ok=True)
    lab.write(contexts.path(context.name), context.text())
    return Clue(flags=("-C", context.name), environment={_HOME: str(home)})


def certificate(lab: Lab, days: int) -> tuple[Path, Path]:
    """A certificate for this machine which ends in so many days, and its key. Raises Fault NOT_POSSIBLE."""
    cert, key = lab.ledger.run / "cert.pem", lab.ledger.run / "key.pem"
    lab.leave(cert)
    lab.leave(key)
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = ("-subj", "/CN=lab", "-addext", f"subjectAltName=IP:{HOST}")
    files = ("-keyout", str(key), "-out", str(cert))
    try:
        words = ("openssl", "req", "-x509", *kind, *names, "-days", str(days), *files)
        subprocess.run(words, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = f"openssl makes the certificate: {error}"
        raise Fault(NOT_POSSIBLE, "no certificate can be made here", why=why, fixes=[fix("install openssl")]) from error
    key.chmod(0o600)
    return cert, key
