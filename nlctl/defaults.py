"""What global flags are where neither the command line nor the environment says it: `nlctl.toml` of the project, then
`config.toml` of the user. Both hold keys named like the flags: `context = "ci"`, `output = "json"`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from nlctl.arguments import Invocation, Origin, Rank
from nlctl.contexts import config_home
from nlctl.faults import BAD_SETTINGS, Fault, fix
from nlctl.registry import FLAGS

PROJECT_FILE: Final = "nlctl.toml"
USER_FILE: Final = "config.toml"
_ROOTS: Final = (".git", ".hg", ".jj")
# "output" stands for --json too; what only counts, such as --yes, is nothing to set for good.
_KEYS: Final = {flag.name: flag for flag in FLAGS if flag.metavar}


def complete(made: Invocation, folder: Path | None, environment: Mapping[str, str]) -> None:
    """Fill in what the files say for flags that were not given. Raises Fault BAD_SETTINGS for a wrong file.

    `folder` is where the command runs, None when it is gone.
    """
    project = project_file(folder) if folder is not None else None
    for path, rank in ((project, Rank.PROJECT), (config_home(environment) / USER_FILE, Rank.USER)):
        if path is not None and path.is_file():
            for name, value in _settings(path).items():
                if name not in made.texts:
                    made.texts[name] = value
                    made.origins[name] = Origin(rank, str(path))


def project_file(folder: Path) -> Path | None:
    """The `nlctl.toml` that counts here: of this folder, or of one above up to the root of its repository.

    Outside a repository only the folder itself counts: whoever can write into a folder above, such as /tmp, shall not
    say which server is asked.
    """
    for candidate in _within_repository(folder):
        if (candidate / PROJECT_FILE).is_file():
            return candidate / PROJECT_FILE
    return None


def _within_repository(folder: Path) -> Iterator[Path]:
    chain = [folder, *folder.parents]
    for count, candidate in enumerate(chain, 1):
        if any((candidate / root).exists() for root in _ROOTS):
            yield from chain[:count]
            return
    yield folder


def _settings(path: Path) -> dict[str, str]:
    import tomllib

    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _bad(path, str(error)) from error
    for name, value in values.items():
        if name not in _KEYS:
            raise _bad(path, f"{name!r} is no setting; settings are {', '.join(_KEYS)}")
        if not isinstance(value, str):
            raise _bad(path, f"{name} must be text")
        if _KEYS[name].choices and value not in _KEYS[name].choices:
            raise _bad(path, f"{name} cannot be {value!r}; choose one of {', '.join(_KEYS[name].choices)}")
    return values


def _bad(path: Path, why: str) -> Fault:
    return Fault(BAD_SETTINGS, f"{path} cannot be used", why=why, fixes=[fix("correct the file")])


def here() -> Path | None:
    """The folder of this process, None when it was removed."""
    with suppress(FileNotFoundError):
        return Path.cwd()
    return None
