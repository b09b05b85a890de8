"""How every failure reads on a terminal of 100 columns: a list in which a change of the words shows."""

from __future__ import annotations

import io
from typing import Final

from nlctl import faults
from nlctl.faults import Fault, Kind, fix
from nlctl.ui import Display, Ui

PATH: Final = "tests/nlctl/conventions/errors.txt"


def files() -> dict[str, str]:
    """The list, by its path in the repository."""
    kinds = sorted({one for one in vars(faults).values() if isinstance(one, Kind)})
    return {PATH: "\n".join(rendered(kind) for kind in kinds)}


def rendered(kind: Kind) -> str:
    """The failure as it reads where a command has nothing more to say of it."""
    err = io.StringIO()
    Ui(Display(color="never", progress="none"), {}, io.StringIO(), err).fault(
        Fault(kind, "MESSAGE", fixes=[fix("FIX")])
    )
    return err.getvalue()
