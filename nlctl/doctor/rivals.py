"""Processes of real NativeLink on this machine that keep blobs in one directory.

Each evicts by books of its own, so one removes what another has just fetched. Those of nlserver keep one account.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from nlctl.faults import Fault
from nlctl.launch import ports
from nlctl.session import Target

_PROGRAM: Final = "nativelink"
_SUFFIXES: Final = (".json", ".json5")


def rivals(target: Target) -> Mapping[str, Sequence[str]]:
    """The directories that several processes of it share, with who they are; none where it is not what serves there."""
    if target.cluster is not None:
        return {}
    running = {pid: line for pid, line in _command_lines() if os.path.basename(line[0]) == _PROGRAM}
    port = urlsplit(str(target.cas)).port
    if not running or port is None or ports.holder(port).pid not in running:
        return {}
    users: dict[tuple[int, int], list[str]] = defaultdict(list)
    paths: dict[tuple[int, int], str] = {}
    for pid, line in running.items():
        for path in _content_paths(pid, line):
            with suppress(OSError):
                there = os.stat(f"/proc/{pid}/root{path}")
                key = there.st_dev, there.st_ino
                paths.setdefault(key, path)
                users[key].append(f"{_PROGRAM} {pid}")
    return {paths[key]: who for key, who in users.items() if len(who) > 1}


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError):
                words = Path(f"/proc/{name}/cmdline").read_bytes().decode(errors="replace").split("\0")
                if words[0]:
                    yield int(name), words[:-1]


def _content_paths(pid: int, line: Sequence[str]) -> set[str]:
    """The directories of the filesystem stores that this process has, as it names them."""
    from nlctl import configs
    from nlctl.lint import judging

    found: set[str] = set()
    for word in line[1:]:
        if word.endswith(_SUFFIXES):
            base = "root" if word.startswith("/") else "cwd"
            with suppress(OSError, Fault):
                texts = configs.read([Path(f"/proc/{pid}/{base}/{word.lstrip('/')}")])
                for file in judging.single(texts, _environment(pid)).files:
                    found |= {spec.content_path for spec in file.specs() if getattr(spec, "tag", "") == "filesystem"}
    return found


def _environment(pid: int) -> Mapping[str, str]:
    words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return {name: value for word in words for name, equals, value in [word.partition("=")] if equals}
