"""Which config files a command is about, and changing them so that it can be undone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from nlctl.faults import NO_CONFIG, NO_EDIT, OCCUPIED, Fault, Fix, fix
from nlctl.launch.ledger import write
from nlctl.lint.judging import Text, Verdict, is_advice, single, together
from nlctl.lint.scene import Runs
from nlctl.session import Session

_ENDINGS: Final = (".json5", ".json", ".yml", ".yaml")


def chosen(session: Session, words: Sequence[str], name: str = "", *, advice: bool = False) -> list[Path]:
    """The files that these words name: files, and what is in directories; those of the cluster where there is none.

    `advice` takes pages, scripts and .bazelrc of directories too. Raises Fault NO_CONFIG for a word that leads to none.
    """
    if not words:
        ledger = session.cluster(name)
        return sorted(ledger.configs.glob("*.json5"))
    return [path for word in words for path in chosen_files(word, advice=advice)]


def parts_or_files(session: Session, words: Sequence[str], name: str = "") -> list[Path]:
    """As `chosen`, where a word may also be a part of the cluster. Raises Fault NO_CONFIG."""
    found: list[Path] = []
    for word in words:
        if "/" not in word and not Path(word).exists() and not word.endswith(_ENDINGS):
            path = session.cluster(name).config(word)
            found += [path] if path.exists() else chosen_files(word)
        else:
            found += chosen_files(word)
    return found


def chosen_files(word: str, *, advice: bool = False) -> list[Path]:
    """The file of this name, or what is in the directory of this name. Raises Fault NO_CONFIG."""
    path = Path(word)
    if not path.is_dir():
        if not path.exists():
            raise Fault(NO_CONFIG, f"there is no file {path}", fixes=[fix("write one", "nlctl", "config", "new")])
        return [path]
    found = sorted(
        one for one in path.iterdir() if one.is_file() and (one.suffix in _ENDINGS or (advice and is_advice(one.name)))
    )
    if not any(one.suffix in (".json5", ".json") for one in found):
        raise Fault(
            NO_CONFIG,
            f"there is no config in {path}",
            why="configs are files that end in .json5 or .json",
            fixes=[fix("write some", "nlctl", "config", "new", "--out", str(path))],
        )
    return found


def read(paths: Sequence[Path]) -> list[Text]:
    """The content of these files. Raises Fault NO_CONFIG for what cannot be read as text."""
    return [Text(str(path), _text(path)) for path in paths]


def judged(
    texts: Sequence[Text], environment: Mapping[str, str], runs: Runs = Runs.NLSERVER, *, contained: bool = False
) -> Verdict:
    """Everything that is wrong with these files, each by itself, all together, and on this machine.

    The paths of files that are `contained` are those of their containers: nothing is looked up on this machine.
    """
    from nlctl.lint import disk
    from nlctl.lint.scene import Disk

    verdict = single(texts, environment, runs)
    return together(verdict, texts, Disk() if contained else disk.look(verdict.files), runs, contained=contained)


def _text(path: Path) -> str:
    from nlserver.config.document import LARGEST_FILE

    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise Fault(
                NO_CONFIG, f"{path} is too large", why=f"a config has {LARGEST_FILE} bytes at most", fixes=[_CHOOSE]
            )
        return data.decode()
    except OSError as error:
        raise Fault(NO_CONFIG, f"{path} cannot be read", why=str(error.strerror), fixes=[_CHOOSE]) from error
    except UnicodeDecodeError as error:
        why = f"byte {error.start} is not UTF-8"
        raise Fault(NO_CONFIG, f"{path} is not a text", why=why, fixes=[_CHOOSE]) from error


_CHOOSE: Final = fix("name a config file")


def change(session: Session, files: Mapping[Path, str]) -> str:
    """Write these files, each whole or not at all, and keep what they were; answers the id to undo it with."""
    folder = session.state / "edits"
    id_ = time.strftime("%Y%m%dT%H%M%S", time.localtime()) + f"-{os.getpid()}"
    kept = {str(path.absolute()): path.read_text(encoding="utf-8") if path.exists() else None for path in files}
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write(folder / f"{id_}.json", json.dumps({"before": kept, "after": {str(p.absolute()): files[p] for p in files}}))
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, text)
    return id_


def write_new(folder: Path, files: Mapping[str, str], elsewhere: Fix, *, dry_run: bool) -> None:
    """Write these files into a folder. Raises Fault OCCUPIED where one is there and says something else."""
    for name, text in files.items():
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
            why = "it says something else than what would be written"
            raise Fault(OCCUPIED, f"{path} is there already", why=why, fixes=[elsewhere])
    if not dry_run:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write(folder / name, text)


def edits(session: Session) -> list[str]:
    """The ids of what can be undone, the latest first."""
    folder = session.state / "edits"
    return sorted((path.stem for path in folder.glob("*.json")), reverse=True) if folder.is_dir() else []


def undo(session: Session, id_: str, *, dry_run: bool) -> list[Path]:
    """Bring files back to what they were before this edit, and forget it; answers which.

    Raises Fault NO_EDIT where there is no such edit, or a file was changed since.
    """
    kept = session.state / "edits" / f"{id_}.json"
    if id_ not in edits(session):
        known = edits(session)
        remedy = fix("undo the latest one", "nlctl", "config", "undo") if known else fix("there is nothing to undo")
        raise Fault(
            NO_EDIT, f"there is no edit {id_!r}", why=f"known: {', '.join(known[:5]) or 'none'}", fixes=[remedy]
        )
    document = json.loads(kept.read_text(encoding="utf-8"))
    before: dict[str, str | None] = document["before"]
    for name, text in document["after"].items():
        if not os.path.exists(name) or Path(name).read_text(encoding="utf-8") != text:
            raise Fault(
                NO_EDIT,
                f"{name} was changed since edit {id_}",
                why="undoing it would lose that change",
                fixes=[fix("change it back by hand")],
            )
    if not dry_run:
        for name, text in before.items():
            os.unlink(name) if text is None else write(Path(name), text)
        kept.unlink()
    return [Path(name) for name in before]
