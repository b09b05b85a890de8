"""A BuildStream project whose system is one static busybox, and machines that work on it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

_APPLETS: Final = ("sh", "cat", "cp", "mkdir", "tr")
_PROJECT: Final = "name: demo\nmin-version: 2.0\nelement-path: elements\n"
_IMPORT: Final = "kind: import\nsources:\n- kind: {kind}\n  {place}\n"
_SHOUT: Final = """\
kind: manual
build-depends:
- base.bst
- words.bst
config:
  build-commands:
  - tr a-z A-Z < /words.txt > shout.txt
  install-commands:
  - mkdir -p %{install-root}/share/empty
  - cp shout.txt %{install-root}/share/shout.txt
  strip-commands: []
"""
WORDS: Final = "some words\n"


class Project:
    """Elements `base` (busybox), `words` (a file that was fetched) and `shout` (made of both by an action)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.origin = root / "origin/words.txt"
        self.origin.parent.mkdir(parents=True)
        self.origin.write_text(WORDS)
        busybox = shutil.which("busybox")
        assert busybox is not None
        (root / "system/bin").mkdir(parents=True)
        shutil.copy(busybox, root / "system/bin/busybox")
        for applet in _APPLETS:
            (root / "system/bin" / applet).symlink_to("busybox")
        (root / "elements").mkdir()
        (root / "project.conf").write_text(_PROJECT)
        checksum = hashlib.sha256(WORDS.encode()).hexdigest()
        remote = f"url: file://{self.origin}\n  ref: {checksum}"
        self._element("base", _IMPORT.format(kind="local", place="path: system"))
        self._element("words", _IMPORT.format(kind="remote", place=remote))
        self._element("shout", _SHOUT)

    def _element(self, name: str, text: str) -> None:
        (self.root / "elements" / f"{name}.bst").write_text(text)


class Machine:
    """BuildStream with a cache of its own, which begins empty, on a project.

    `server` is its remote for everything, as `told` says it where that is given.
    """

    def __init__(self, programs: Path, project: Project, home: Path, server: str, told: str = "") -> None:
        self._programs = programs
        self._project = project
        home.mkdir()
        url = f"url: {server}"
        remote = f"  servers:\n  - {url}\n    push: true\n"
        services = "".join(f"  {name}-service:\n    {url}\n" for name in ("execution", "storage", "action-cache"))
        places = "".join(f"{name}: {home / name}\n" for name in ("cachedir", "logdir", "sourcedir"))
        written = f"artifacts:\n{remote}source-caches:\n{remote}remote-execution:\n{services}"
        self._config = home / "buildstream.conf"
        self._config.write_text(f"{places}{told or written}scheduler:\n  network-retries: 0\n  on-error: quit\n")

    def bst(self, *arguments: str) -> str:
        """Run BuildStream, which must succeed; gives what it says."""
        ended = subprocess.run(
            [self._programs / "bst", "--no-colors", "--config", self._config, *arguments],
            cwd=self._project.root,
            env={**os.environ, "PATH": f"{self._programs}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, f"bst {' '.join(arguments)} ended with {ended.returncode}:\n{ended.stdout}"
        return ended.stdout

    def checkout(self, element: str, into: Path) -> Path:
        """The artifact of an element as files."""
        self.bst("artifact", "checkout", "--deps", "none", "--directory", str(into), element)
        return into
