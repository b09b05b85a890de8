"""Compose file and Swarm stack beside the configs of `templates/multi-worker`, as `nlctl config render` writes them."""

from __future__ import annotations

from nlctl import VERSION, render


def files() -> dict[str, str]:
    """The files, by their paths in the repository."""
    shape = render.Shape("dev", 3, "10gb", {}, f"nlctl:{VERSION}", "nlserver")
    made = {**render.files("compose", shape), **render.files("swarm", shape)}
    return {f"templates/multi-worker/{name}": text for name, text in made.items()}
