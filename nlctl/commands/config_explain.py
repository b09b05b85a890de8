"""`nlctl config explain`: what a config path means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlctl.exits import Exit
from nlctl.faults import NO_PATH, Fault, fix
from nlctl.session import Session

if TYPE_CHECKING:
    from nlctl.specs.paths import Stop

EPILOG = """\b
Examples:
  nlctl config explain stores.filesystem.eviction_policy.max_bytes
  nlctl config explain worker_timeout_s        a key alone, where it is one
  nlctl config explain 'servers[0].services'   as `config validate` shows paths
\b
Exit status: 0 explained, 3 there is no such path
"""


def command(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(help="From the root of a file, or its last keys; none for the root.")] = "",
) -> int:
    """Explain a config path: what it means, its type, unit and default, what zero means, and an example.

    All of it comes from the server's own code, so it is what this version does; NativeLink takes the same unless the
    text says otherwise.
    """
    session: Session = ctx.obj
    stops = _found(path)
    items = [_item(stop) for stop in stops]
    if len(items) == 1:
        session.ui.item("nlctl.config.explain/v1", items[0], session.ui.fitted(_page(items[0])), name=stops[0].path)
        return Exit.OK
    text = "\n".join(
        [f"{path} is a key of several objects:", *(f"  {item['path']:<60} {_first(item)}" for item in items)]
    )
    chosen = {**_empty(path), "keys": [_key(item) for item in items]}
    session.ui.item("nlctl.config.explain/v1", chosen, text, name=path)
    return Exit.OK


def _found(path: str) -> list[Stop]:
    from nlctl.specs import paths

    try:
        return [paths.follow(path)]
    except paths.NoSuchPath as error:
        if ending := paths.ending(path):
            return ending
        near = [fix("did you mean this?", "nlctl", "config", "explain", _mended(path, error.part, error.meant))]
        raise Fault(
            NO_PATH,
            f"no config has {path!r}",
            why=f"{error.part!r} is not among {', '.join(error.known[:12])}" if error.known else "it has no keys",
            fixes=[*(near if error.meant else ()), fix("see what there is", "nlctl", "config", "explain")],
        ) from error


def _mended(path: str, part: str, meant: str | None) -> str:
    return path.replace(part, meant or part, 1)


def _item(stop: Stop) -> dict[str, Any]:
    from nlctl.specs import paths, words

    slot, spec = stop.slot, stop.spec
    about = words.of_class(slot.owner) if slot is not None else ""
    below = paths.steps(spec) if spec is not None else {}
    return {
        **_empty(stop.path),
        "type": words.type_words(slot.hint) if slot is not None else "an object",
        "unit": (words.unit(slot) or None) if slot is not None else None,
        "required": slot.required if slot is not None else None,
        "default": words.default_words(slot) if slot is not None else None,
        "zero": (words.zero_words(slot) or None) if slot is not None else None,
        "alias": slot.key.alias if slot is not None else None,
        "text": _joined(words.of_field(slot) if slot is not None else words.of_class(spec) if spec else ""),
        "object": _joined(about if slot is not None else ""),
        "example": _example(stop),
        "keys": [{"name": name, "type": _kind(one), "text": _sentence(_text_of(one))} for name, one in below.items()],
    }


def _empty(path: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("type", "unit", "required", "default", "zero", "alias", "example"))
    return {"path": path, **nothing, "text": "", "object": "", "keys": []}


def _key(item: dict[str, Any]) -> dict[str, Any]:
    return {"name": item["path"], "type": item["type"], "text": _first(item)}


def _kind(one: Any) -> str:
    from nlctl.specs import words

    return "a kind" if isinstance(one, type) else words.type_words(one.hint)


def _text_of(one: Any) -> str:
    from nlctl.specs import words

    return words.of_class(one) if isinstance(one, type) else words.of_field(one)


def _example(stop: Stop) -> str | None:
    """A line of a shipped config that says this key, else one made from its type."""
    from nlctl.launch.templates import template
    from nlctl.specs import words

    if stop.slot is None:
        return None
    for name in ("cas.json5", "scheduler.json5", "worker.json5"):
        for line in template(name).splitlines():
            stripped = line.strip().rstrip(",")
            if stripped.startswith(f"{stop.slot.name}: ") and not stripped.endswith(("{", "[")):
                return stripped
    return words.example(stop.slot)


def _page(item: dict[str, Any]) -> str:
    import textwrap

    unit = f", in {item['unit']}" if item["unit"] and item["unit"] not in item["type"] else ""
    facts = {
        "type": f"{item['type']}{unit}",
        "default": item["default"],
        "zero": item["zero"],
        "also": f"may be written as {item['alias']}" if item["alias"] else None,
    }
    lines = [item["path"] or "a config file", *(f"  {name:<9}{value}" for name, value in facts.items() if value)]
    lines += textwrap.wrap(item["text"], 78, initial_indent="  ", subsequent_indent="  ")
    if item["object"]:
        lines += ["", *textwrap.wrap(f"Part of: {item['object']}", 78, initial_indent="  ", subsequent_indent="  ")]
    if item["example"]:
        lines += ["", f"  example  {item['example']}"]
    if item["keys"]:
        lines += ["", *(f"  {key['name']:<36} {key['text']}" for key in item["keys"])]
    return "\n".join(lines)


def _first(item: dict[str, Any]) -> str:
    return _sentence(item["text"])


def _sentence(text: str) -> str:
    """The first sentence."""
    return _joined(text).partition(". ")[0].rstrip(".")


def _joined(text: str) -> str:
    return " ".join(text.split())
