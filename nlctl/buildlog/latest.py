"""Where the log of a workspace's last build is."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from nlctl.bazelrc import workspace
from nlctl.faults import NO_LOG, Fault, fix

_NAME: Final = "command.log"
_DEPTH: Final = 3
"""`bazel-out` leads to OUTPUT_BASE/execroot/WORKSPACE/bazel-out."""


def command_log(folder: Path) -> Path:
    """The command.log of the last build of the workspace that this folder is in. Raises Fault NO_LOG.

    `bazel info command_log` would write that very file anew, so the places are looked at.
    """
    root = workspace(folder)
    link = root / "bazel-out"
    bases = [link.resolve().parents[_DEPTH - 1]] if link.is_symlink() else []
    # Where Bazel has it that was not told otherwise.
    user = os.environ.get("USER") or "root"
    bases.append(Path.home() / ".cache/bazel" / f"_bazel_{user}" / hashlib.md5(str(root).encode()).hexdigest())  # noqa: S324
    for base in bases:
        if (base / _NAME).is_file():
            return base / _NAME
    raise Fault(
        NO_LOG,
        f"no log of a build of {root} was found",
        why=f"there is no {_NAME} behind {link} and none in {bases[-1]}",
        fixes=[fix("name a log: what Bazel said, or what --remote_grpc_log or --profile wrote")],
    )
