"""`nlctl support show`: what a bundle holds, without unpacking it."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from nlctl.exits import Exit
from nlctl.faults import BAD_BUNDLE, UNREADABLE, Fault, fix
from nlctl.session import Session
from nlctl.support.archive import members
from nlctl.ui import human_bytes

EPILOG = """\b
Examples:
  nlctl support show nlctl-dev-20261126-1412.tar.zst
  nlctl support show bug.tar.gz -o json
\b
Exit status: 0 shown, 2 no such file, 13 it is no bundle
"""
_MOST_BYTES: Final = 16 << 20
_LEVELS: Final = ("WARN", "ERROR")


def command(ctx: typer.Context, file: Annotated[Path, typer.Argument(help="What support bundle wrote.")]) -> int:
    """Show what a bundle holds: whose it is, what its parts complain of, warnings and errors by part, and its files."""
    session: Session = ctx.obj
    item = _read(file)
    session.ui.item("nlctl.support.show/v1", item, _text(item), name=str(file))
    return Exit.OK


def _read(file: Path) -> dict[str, Any]:
    manifest: dict[str, Any] | None = None
    files: list[dict[str, Any]] = []
    complaints: list[str] = []
    logged: dict[str, Counter[str]] = {}
    try:
        for name, size, read in members(file):
            files.append({"name": name, "size_bytes": size})
            if name == "MANIFEST.json":
                manifest = json.loads(read(_MOST_BYTES))
            elif name.endswith("/part.json"):
                complaints += _complaints(name.split("/")[1], read)
            elif name.startswith("logs/"):
                logged[name.removeprefix("logs/")] = _levels(read)
    except FileNotFoundError as error:
        raise Fault(
            UNREADABLE, f"there is no file {file}", fixes=[fix("make one", "nlctl", "support", "bundle")]
        ) from error
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        raise _bad(file, str(error)) from error
    if manifest is None:
        raise _bad(file, "it has no MANIFEST.json")
    return {
        "path": str(file),
        "cluster": manifest.get("cluster"),
        "made": manifest.get("made"),
        "nlctl": manifest.get("nlctl"),
        "interrupted": bool(manifest.get("interrupted")),
        "redacted": manifest.get("redacted") or {},
        "left_out": manifest.get("left_out") or [],
        "needs_attention": complaints,
        "logs": [
            {"name": name, "warnings": counts["WARN"], "errors": counts["ERROR"]} for name, counts in logged.items()
        ],
        "files": files,
    }


def _complaints(part: str, read: Callable[[int], bytes]) -> list[str]:
    document = json.loads(read(_MOST_BYTES))
    if "error" in document:
        return [f"{part} did not answer: {document['error']}"]
    return [
        f"{part}: {one['name']}: {one.get('message', '')}" for one in document.get("health", ()) if not one.get("ok")
    ]


def _levels(read: Callable[[int], bytes]) -> Counter[str]:
    """How many lines of each level a log has, read a piece at a time."""
    found: Counter[str] = Counter()
    rest = b""
    while piece := read(1 << 20):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            words = line[:80].upper()
            found.update(level for level in _LEVELS if level.encode() in words)
    return found


def _bad(file: Path, why: str) -> Fault:
    return Fault(BAD_BUNDLE, f"{file} is no bundle", why=why, fixes=[fix("make one", "nlctl", "support", "bundle")])


def _text(item: dict[str, Any]) -> str:
    taken = ", ".join(f"{number} {kind}" for kind, number in sorted(item["redacted"].items())) or "nothing"
    unfinished = "  INTERRUPTED: not all is there" if item["interrupted"] else ""
    lines = [
        f"Bundle of cluster {item['cluster']}, made {item['made']} by nlctl {item['nlctl']}{unfinished}",
        f"Redacted: {taken}",
    ]
    lines += [f"  ! {text}" for text in item["needs_attention"]]
    troubled = [one for one in item["logs"] if one["warnings"] or one["errors"]]
    lines += [f"  ! {one['name']}: {one['errors']} errors, {one['warnings']} warnings" for one in troubled]
    lines += [f"  ! no room for {name}" for name in item["left_out"]]
    lines += [f"{human_bytes(one['size_bytes']):>10}  {one['name']}" for one in item["files"]]
    return "\n".join(lines)
