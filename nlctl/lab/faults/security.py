"""Certificates that end, secrets that others can read, doors that are open."""

from __future__ import annotations

import shutil
import socket
from typing import Final

from nlctl.contexts import Access
from nlctl.doctor.finding import Verdict
from nlctl.faults import NOT_POSSIBLE, Fault, fix
from nlctl.lab.elsewhere import certificate, known_as, server
from nlctl.lab.injection import Clue, Injection
from nlctl.lab.lab import Lab
from nlctl.lab.stand_in import EXPIRED
from nlctl.launch.ports import pick
from nlctl.launch.wish import HOST

_DAYS: Final = 7
_ANYWHERE: Final = ("192.0.2.1", 9)
"""An address that nobody has (RFC 5737); nothing is sent there."""


def _ends_soon(lab: Lab) -> Clue:
    cert, key = certificate(lab, _DAYS)
    place = server(lab, listener=f'tls: {{ cert_file: "{cert}", key_file: "{key}" }}')
    return known_as(lab, f"grpcs://{place}", Access(ca_file=str(cert)))


def _ended(lab: Lab) -> None:
    pem = lab.ledger.run / "ended.pem"
    lab.leave(pem)
    shutil.copyfile(EXPIRED, pem)
    pem.chmod(0o600)
    http = f'http: {{ socket_address: "{HOST}:{pick().cas}", tls: {{ cert_file: "{pem}", key_file: "{pem}" }} }}'
    lab.edit("cas", "servers: [\n", f"servers: [\n    {{ listener: {{ {http} }}, services: {{ health: {{}} }} }},\n")
    lab.apply()


def _open_door(lab: Lab) -> Clue:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as looking:
        try:
            looking.connect(_ANYWHERE)
        except OSError as error:
            why = f"it needs an address that others reach, and this machine has none: {error}"
            raise Fault(NOT_POSSIBLE, "no network is here", why=why, fixes=[fix("connect to a network")]) from error
        host = looking.getsockname()[0]
    return Clue(flags=("--endpoint", f"grpc://{server(lab, host=host, services='admin: {}')}"))


def _readable_token(lab: Lab) -> Clue:
    token = lab.ledger.run / "token"
    lab.write(token, "of-the-lab\n")
    token.chmod(0o644)
    return known_as(lab, f"grpc://{HOST}:{lab.ports.cas}", Access(token_file=str(token)))


FAULTS: Final = (
    Injection(
        "certificate-ends",
        "the server's certificate ends soon",
        f"The server speaks TLS with a certificate that ends in {_DAYS} days, and nobody remembers who renews it.",
        _ends_soon,
        "NLD-TLS-01",
        Verdict.WARNING,
    ),
    Injection(
        "certificate-ended",
        "a listener has a certificate that has ended",
        "The CAS also listens with TLS, by a certificate that ended in 2021: whoever comes there is refused.",
        _ended,
        "NLD-TLS-01",
    ),
    Injection(
        "open-door",
        "clients reach the admin service",
        "A server that other machines reach has `admin` beside the services for clients. Needs a network.",
        _open_door,
        "NLD-SEC-01",
        Verdict.WARNING,
    ),
    Injection(
        "readable-token",
        "others may read a token",
        "The file with the token of the user has the mode 0644.",
        _readable_token,
        "NLD-SEC-02",
        Verdict.WARNING,
        mended_by=("owner_only",),
    ),
)
