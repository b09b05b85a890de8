"""The files that run a cluster under compose, Swarm, systemd or Kubernetes: a module for each, named after it. Pure.

Law: the configs are those of `templates/multi-worker`; only variables of the environment differ between places.
"""

from __future__ import annotations

import importlib
from typing import Final

from nlctl.render.shape import Shape

__all__ = ["PLACES", "Shape", "files"]

PLACES: Final = ("compose", "swarm", "systemd", "k8s")


def files(place: str, shape: Shape) -> dict[str, str]:
    """The files by their names for one of PLACES, configs included."""
    made: dict[str, str] = importlib.import_module(f"nlctl.render.{place}").files(shape)
    return made
