"""A server that is not as fast as it was."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from nlctl.doctor.finding import Verdict
from nlctl.lab.injection import Clue, Injection
from nlctl.lab.lab import Lab
from nlctl.launch.ports import pick
from nlctl.launch.wish import HOST

_PROXIES: Final = 6
_STORE: Final = """\
    {{ name: "{role}_{port}", grpc: {{ store_type: "{type}", endpoints: [{{ address: "grpc://{host}:{next}" }}] }} }},
"""
_LISTENER: Final = """\
    {{
      listener: {{ http: {{ socket_address: "{host}:{port}" }} }},
      services: {{
        cas: [{{ cas_store: "CAS_{port}" }}], bytestream: [{{ cas_store: "CAS_{port}" }}],
        ac: [{{ ac_store: "AC_{port}" }}], capabilities: [],
      }},
    }},
"""


def _long_way(lab: Lab) -> Clue:
    lab.measure(f"grpc://{HOST}:{lab.ports.cas}")
    ports: set[int] = set()
    while len(ports) < _PROXIES:
        ports.update(pick().all())
    way = [*ports, lab.ports.cas]
    lab.serve(_chain(way))
    return Clue(flags=("--endpoint", f"grpc://{HOST}:{way[0]}"))


def _chain(ports: Sequence[int]) -> str:
    """The config of servers that each pass on to the next what they are asked, but for the last, which is there."""
    steps = [{"host": HOST, "port": one, "next": after} for one, after in itertools.pairwise(ports)]
    roles = [("CAS", "cas"), ("AC", "ac")]
    stores = [_STORE.format(role=role, type=type_, **one) for one in steps for role, type_ in roles]
    servers = [_LISTENER.format(**one) for one in steps]
    return f"{{\n  stores: [\n{''.join(stores)}  ],\n  servers: [\n{''.join(servers)}  ],\n}}\n"


FAULTS: Final = (
    Injection(
        "slow-way",
        "everything takes longer than it did",
        "A result of `nlctl bench` was kept, and since then somebody let clients reach the CAS through a chain of "
        f"{_PROXIES} servers that pass calls on.",
        _long_way,
        "NLD-PERF-01",
        Verdict.WARNING,
    ),
)
