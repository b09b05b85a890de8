"""Where a cluster that Compose started is reached, from what its containers publish."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nlctl.containers.housing import Housed, Opened
from nlctl.containers.states import State
from nlctl.faults import Fault
from nlctl.launch.adopting import ports_of

STATE = State("c", "p-cas-1", "cas", "running", 7, 0, False, 0, 1.0, 0.0, "sha256:1", "nlctl:1")
CAS = Housed(STATE, opened=(Opened(50051, "127.0.0.1", 6001),))
SCHEDULER = Housed(
    replace(STATE, part="scheduler"),
    opened=(Opened(50052, "127.0.0.1", 6002), Opened(50061, "127.0.0.1", 6003)),
    worker_ports=(50061,),
    address="172.18.0.3",
)
CLIENTS_ALONE = replace(SCHEDULER, opened=SCHEDULER.opened[:1])


def test_all_three_are_reached_where_they_are_published() -> None:
    assert ports_of([CAS, SCHEDULER]).urls == (
        "grpc://127.0.0.1:6001",
        "grpc://127.0.0.1:6002",
        "grpc://127.0.0.1:6003",
    )


def test_a_worker_api_that_is_not_published_is_reached_at_its_container() -> None:
    assert ports_of([CAS, CLIENTS_ALONE]).urls[2] == "grpc://172.18.0.3:50061"


def test_a_project_without_ports_for_clients_is_refused_with_the_lines_to_add() -> None:
    with pytest.raises(Fault) as told:
        ports_of([replace(CAS, opened=()), SCHEDULER])
    assert "127.0.0.1:50051:50051" in told.value.fixes[0].text
