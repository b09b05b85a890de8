"""Ways that do not lead to a server."""

from __future__ import annotations

from typing import Final

from nlctl.doctor.finding import Verdict
from nlctl.lab.injection import Clue, Injection
from nlctl.lab.lab import Lab
from nlctl.lab.stand_in import EXPIRED
from nlctl.launch.ports import pick
from nlctl.launch.wish import HOST


def _at(scheme: str, port: int | str, host: str = HOST, **environment: str) -> Clue:
    return Clue(flags=("--endpoint", f"{scheme}://{host}:{port}"), environment=environment)


def _no_http2(lab: Lab) -> Clue:
    return _at("grpc", lab.stand_in("plain", "0"))


def _expired(lab: Lab) -> Clue:
    return _at("grpcs", lab.stand_in("expired", "0"), SSL_CERT_FILE=str(EXPIRED))


FAULTS: Final = (
    Injection(
        "closed-port",
        "nothing listens at the endpoint",
        "The client was given a port at which nothing listens.",
        lambda _: _at("grpc", pick().cas),
        "NLD-NET-01",
    ),
    Injection(
        "unknown-host",
        "the host has no address",
        "The client was given a name that does not resolve.",
        lambda _: _at("grpc", 50051, "cache.invalid"),
        "NLD-NET-01",
    ),
    Injection(
        "no-http2",
        "something else answers at the endpoint",
        "The client was given the port of a program that speaks HTTP/1: a status page, or a proxy.",
        _no_http2,
        "NLD-NET-01",
    ),
    Injection(
        "no-tls",
        "TLS to a server without it",
        "The client was told grpcs://, and the server speaks plain gRPC.",
        lambda lab: _at("grpcs", lab.ports.cas),
        "NLD-NET-01",
    ),
    Injection(
        "expired-certificate",
        "the server's certificate has expired",
        "The server speaks TLS with a certificate that ended in 2021.",
        _expired,
        "NLD-NET-01",
    ),
    Injection(
        "proxy",
        "a proxy is in the way",
        "The shell has a proxy variable that also catches the endpoints of the cluster.",
        lambda _: Clue(environment={"http_proxy": f"http://{HOST}:{pick().cas}", "no_proxy": "", "no_grpc_proxy": ""}),
        "NLD-NET-03",
        Verdict.WARNING,
    ),
    Injection(
        "unknown-instance",
        "the server has no such instance",
        "The client speaks of an instance name that the server does not serve.",
        lambda _: Clue(flags=("--instance", "nobody")),
        "NLD-API-01",
    ),
)
