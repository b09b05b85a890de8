"""The shipped templates are complete configs: as they stand, and as `up` renders them."""

from __future__ import annotations

from pathlib import Path

import pytest
from nlserver.cluster import judge, loads

from nlctl.launch.templates import template
from nlctl.launch.wish import Ports, Wish, members, rendered

NAMES = ["cas.json5", "scheduler.json5", "worker.json5"]


@pytest.mark.parametrize("name", NAMES)
def test_a_template_runs_as_it_stands(name: str) -> None:
    assert judge(loads(template(name), name, {})) == []


def test_a_templates_variables_come_from_the_environment() -> None:
    config = loads(
        template("worker.json5"), "worker.json5", {"WORKER_NAME": "worker-7", "CAS_ENDPOINT": "cas:1", "DATA": "/d"}
    )
    [worker] = config.workers or ()
    assert worker.name == "worker-7"  # type: ignore[attr-defined]


def test_rendered_members_are_configs_without_a_finding() -> None:
    for member in members(Wish("dev", ("worker-1", "worker-2"), "10gb", Ports(1001, 1002, 1003), Path("/tmp/x"))):
        config = loads(rendered(template(member.template), member.values), member.template, {})
        assert judge(config) == []
