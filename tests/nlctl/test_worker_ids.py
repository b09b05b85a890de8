"""What the ids of workers tell."""

from __future__ import annotations

import pytest

from nlctl.worker_ids import worker_name


@pytest.mark.parametrize(
    ("worker_id", "name"),
    [
        ("worker-35da6e421-aaa2-45ad-946e-9539f0128fc3", "worker-3"),
        ("a-worker-of-another-server-whose-id-is-no-uuid", "a-worker-of-another-server-whose-id-is-no-uuid"),
        ("5da6e421-aaa2-45ad-946e-9539f0128fc3", "5da6e421-aaa2-45ad-946e-9539f0128fc3"),
        ("", ""),
    ],
)
def test_a_worker_is_called_what_its_config_calls_it(worker_id: str, name: str) -> None:
    assert worker_name(worker_id) == name
