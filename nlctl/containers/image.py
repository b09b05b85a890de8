"""Building the image that holds every part, from `templates/docker/Dockerfile` and wheels."""

from __future__ import annotations

import io
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from nlctl import VERSION
from nlctl.containers.connection import no_image, told
from nlctl.containers.wheels import Python
from nlctl.faults import NO_IMAGE, NOT_BUILT, Fault, fix
from nlctl.launch.templates import template

if TYPE_CHECKING:
    from docker import APIClient

BASE: Final = "python:3.11-slim"
TAG: Final = f"nlctl:{VERSION}"
_ASK: Final = """\
import os, platform, sys
print("%d.%d" % sys.version_info[:2], platform.machine(), os.confstr("CS_GNU_LIBC_VERSION").split(".")[1])
"""
_LAST_LINES: Final = 40
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Built:
    """An image: its id, and its bytes, those beyond its base by themselves."""

    id: str
    size_bytes: int
    added_bytes: int


def python_of(engine: APIClient, base: str, say: Callable[[str], None]) -> Python:
    """The Python of a base image, which is pulled where it is absent. Raises Fault NO_IMAGE."""
    with told():
        if not engine.images(base):
            say(f"pulling {base}")
            _pull(engine, base)
        host = engine.create_host_config(network_mode="none")
        asked = engine.create_container(base, entrypoint=["python3", "-c", _ASK], command=[], host_config=host)
        try:
            engine.start(asked)
            code = engine.wait(asked)["StatusCode"]
            said = engine.logs(asked).decode(errors="replace")
        finally:
            engine.remove_container(asked, force=True)
    words = said.split()
    if code != 0 or len(words) != 3:
        remedy = fix("choose a base that has Python 3.11 or later, on glibc", "nlctl", "image", "build", "--base", BASE)
        raise Fault(
            NO_IMAGE, f"nothing can be built on {base}", why="its python3 does not run", fixes=[remedy], said=said
        )
    return Python(words[0], words[1], int(words[2]))


def _pull(engine: APIClient, base: str) -> None:
    from docker.errors import APIError

    try:
        engine.pull(base)
    except APIError as failure:
        # Also a registry that is out of reach is the engine's own error.
        raise no_image(str(failure.explanation or failure)) from failure


def build(
    engine: APIClient, base: str, tag: str, wheels: Sequence[Path], say: Callable[[str], None], *, fresh: bool
) -> Built:
    """Build the image and give it this tag; `say` is told each line of the build. Raises Fault NOT_BUILT.

    `fresh` builds every layer anew. What the build runs has the network of the engine's machine; it uses it only where
    the base lacks tini.
    """
    with told(), tempfile.TemporaryFile() as context:
        _pack(context, wheels)
        context.seek(0)
        said = engine.build(
            fileobj=context,
            custom_context=True,
            tag=tag,
            buildargs={"BASE": base, "VERSION": VERSION},
            nocache=fresh,
            rm=True,
            forcerm=True,
            network_mode="host",
            decode=True,
        )
        _follow(said, say)
        (made,), (below,) = engine.images(tag), engine.images(base)
    return Built(made["Id"], made["Size"], made["Size"] - below["Size"])


def _pack(file: IO[bytes], wheels: Sequence[Path]) -> None:
    """The build's context as a tar, without times and owners: layers are kept as long as the bytes are the same."""
    with tarfile.open(fileobj=file, mode="w") as tar:
        dockerfile = template("docker/Dockerfile").encode()
        _add(tar, "Dockerfile", len(dockerfile), io.BytesIO(dockerfile))
        for path in wheels:
            with path.open("rb") as data:
                _add(tar, f"wheels/{path.name}", path.stat().st_size, data)


def _add(tar: tarfile.TarFile, name: str, size: int, data: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    tar.addfile(entry, data)


def _follow(said: Iterable[dict[str, Any]], say: Callable[[str], None]) -> None:
    lines: list[str] = []
    for event in said:
        if "error" in event:
            remedy = fix("mend what it says, then build every layer anew", "nlctl", "image", "build", "--fresh")
            log = "\n".join(lines[-_LAST_LINES:])
            raise Fault(NOT_BUILT, "the image was not built", why=event["error"], fixes=[remedy], log=log)
        for line in filter(str.strip, _COLOUR.sub("", event.get("stream", "")).splitlines()):
            lines.append(line)
            say(line)
