"""Where templates of configs are: in a folder of the user's, beside this package in a wheel, or atop a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def template(name: str, own: Path | None = None) -> str:
    """The text of this template: the user's own of its name where there is one, or that which ships."""
    shipped = [folder / name for folder in (_PACKAGE / "templates", _PACKAGE.parent / "templates")]
    for path in [own / Path(name).name, *shipped] if own is not None else shipped:
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError(f"template {name} is in neither {_PACKAGE} nor its parent")
