"""Configs that people edited, judged before anything is restarted with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from nlctl.faults import BAD_CONFIG, Fault, fix


def judge(paths: Sequence[Path]) -> None:
    """Raises Fault BAD_CONFIG with every problem of these files."""
    from nlserver.cluster import ConfigError, judge, load, render

    for path in paths:
        try:
            problems = judge(load(path, os.environ))
        except ConfigError as error:
            problems = error.problems
        if any(problem.fatal for problem in problems):
            raise Fault(
                BAD_CONFIG,
                f"{path} is not a config that can run",
                why="nothing was restarted; every problem is below",
                fixes=[fix("correct it, or remove it and run up again")],
                log=render(problems),
            )
