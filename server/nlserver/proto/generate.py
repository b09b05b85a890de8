"""Generates the protobuf modules beside this file from its .proto sources: `make proto`.

Paths are relative to the import root, so that the modules import each other as `nlserver.proto.X_pb2` and nothing
lands in a top-level `build` package. A test asserts that what is committed is what this script makes.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

HERE = Path(__file__).resolve().parent
IMPORT_ROOT = HERE.parent.parent
_PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")


def generate(into: Path) -> None:
    """Write every module below `into` (laid out as below the import root); raises RuntimeError when protoc refuses."""
    import google.rpc.status_pb2

    googleapis = Path(google.rpc.status_pb2.__file__).parent.parent.parent
    with tempfile.TemporaryDirectory() as scratch:
        # The package ships this source under another name than the one its descriptor carries.
        longrunning = Path(scratch, "google/longrunning/operations.proto")
        longrunning.parent.mkdir(parents=True)
        shutil.copy(googleapis / "google/longrunning/operations_proto.proto", longrunning)
        _protoc(into, [scratch, str(googleapis)])


def _protoc(into: Path, imports: list[str]) -> None:
    from grpc_tools import protoc

    sources = sorted(str(path) for path in HERE.glob("*.proto"))
    arguments = [
        "protoc",
        f"-I{IMPORT_ROOT}",
        f"-I{resources.files('grpc_tools') / '_proto'}",
        *(f"-I{path}" for path in imports),
        f"--python_out={into}",
        *(f"--plugin={name}={Path(sys.executable).parent / name}" for name in _PLUGINS),
        f"--mypy_out=quiet:{into}",
        f"--grpc_python_out={into}",
        f"--mypy_grpc_out=quiet:{into}",
        *sources,
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc failed; its messages are above")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else IMPORT_ROOT)
