"""What gRPC's core is told through the environment."""

from __future__ import annotations

import subprocess
import sys

from nlserver import grpc_environment


def test_what_is_set_already_stays() -> None:
    environment = {"GRPC_VERBOSITY": "DEBUG"}
    grpc_environment.prepare(environment)
    assert environment == {**grpc_environment.SETTINGS, "GRPC_VERBOSITY": "DEBUG"}


def test_the_installed_grpc_knows_every_setting() -> None:
    # What it does not know it says on standard error.
    environment = {**grpc_environment.SETTINGS, "GRPC_VERBOSITY": "INFO"}
    code = "import grpc; grpc.insecure_channel('unix:/nowhere').close()"
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "nknown experiment" not in ran.stderr
    unknown = {**environment, "GRPC_EXPERIMENTS": "-no_such_thing"}
    ran = subprocess.run([sys.executable, "-c", code], env=unknown, capture_output=True, text=True, check=True)
    assert "nknown experiment" in ran.stderr
