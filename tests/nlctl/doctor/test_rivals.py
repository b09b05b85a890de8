"""Two processes called nativelink that keep blobs in one directory, as a guide has it that shares a volume."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.nlctl import elsewhere
from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid


def keeping(data: Path) -> dict[str, Any]:
    config = elsewhere.everything(data, {})
    paths = {"content_path": f"{data}/content", "temp_path": f"{data}/tmp"}
    config["stores"][0] = {"name": "CAS", "filesystem": {**paths, "eviction_policy": {"max_bytes": "10mb"}}}
    return config


@pytest.mark.slow
@pytest.mark.parametrize(
    ("called", "cause", "code"), [("nativelink", "SHARED_FAST", 5), ("", "PRESENT", 0)], ids=["nativelink", "nlserver"]
)
def test_sharing_a_directory_is_a_fault_of_nativelink_alone(
    cli: Cli, tmp_path: Path, called: str, cause: str, code: int
) -> None:
    """Statement 44."""
    config = keeping(tmp_path / "data")
    (tmp_path / "blob").write_bytes(secrets.token_bytes(100))
    with elsewhere.server(tmp_path / "a", config, called) as ports, elsewhere.server(tmp_path / "b", config, called):
        there = ("--endpoint", f"grpc://127.0.0.1:{ports[0]}")
        digest = cli(*there, "cas", "put", "-q", str(tmp_path / "blob")).out.strip()
        found = valid(cli(*there, "doctor", "object", digest, "-o", "json", code=code).document)["item"]
    assert found["verdict"] == cause
    assert (f"{tmp_path}/data/content" in found["what"]) == bool(called)
