"""The wheels that go into an image: nlctl itself and all that it needs, for the Python of the image's base."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nlctl import VERSION
from nlctl.faults import NO_WHEELS, Fault, fix

_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_GLIBC: Final = (17, 24, 27, 28, 31, 34, 35, 36)
_BRING: Final = fix(
    "gather them where there is a network, and bring them", "nlctl", "image", "build", "--wheels", "DIR"
)


@dataclass(frozen=True)
class Python:
    """An interpreter: version as 3.11, machine as x86_64, the minor version of its glibc 2.x."""

    version: str
    machine: str
    glibc: int

    @property
    def tags(self) -> list[str]:
        """The platforms whose wheels it takes, as pip calls them."""
        fitting = [f"manylinux_2_{minor}_{self.machine}" for minor in _GLIBC if minor <= self.glibc]
        return [*fitting, f"manylinux2014_{self.machine}"]


def gathered(folder: Path, python: Python) -> list[Path]:
    """Wheels of this version, of what it needs and of pip, fetched into a folder by pip. Raises Fault."""
    from_source = (_CHECKOUT / "pyproject.toml").is_file()
    build = ["wheel", "--no-deps", "--wheel-dir", str(folder), str(_CHECKOUT)]
    fetch = ["download", "--no-deps", "--dest", str(folder), f"nlctl=={VERSION}"]
    _pip(build if from_source else fetch)
    (own,) = folder.glob("nlctl-*.whl")
    platforms = [word for tag in python.tags for word in ("--platform", tag)]
    target = ["--only-binary", ":all:", "--python-version", python.version, *platforms]
    _pip(["download", "--dest", str(folder), *target, str(own), "pip"])
    return brought(folder)


def brought(folder: Path) -> list[Path]:
    """The wheels in a folder. Raises Fault when those of nlctl and pip are not among them."""
    found = sorted(folder.glob("*.whl"))
    for name in ("pip", "nlctl"):
        if not any(path.name.startswith(f"{name}-") for path in found):
            why = "an image is built from wheels alone: those of nlctl, of all that it needs, and of pip"
            raise Fault(NO_WHEELS, f"no wheel of {name} is in {folder}", why=why, fixes=[_BRING])
    return found


def _pip(words: list[str]) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=os.environ
    )
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        raise Fault(NO_WHEELS, "the wheels cannot be gathered", why=said.splitlines()[-1], fixes=[_BRING], log=said)
