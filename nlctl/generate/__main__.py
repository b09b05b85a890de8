"""`python -m nlctl.generate`: write what is generated, and remove what nothing generates any more."""

from __future__ import annotations

import sys
from pathlib import Path

from nlctl.generate.everything import ROOT, stale, wanted


def main() -> int:
    """Write what differs; tells what it did on standard error."""
    files = wanted()
    for name in stale(files):
        path = ROOT / name
        sys.stderr.write(f"{name}\n")
        if name in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[name], encoding="utf-8")
        else:
            Path(path).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
