"""Configs of older NativeLink releases in today's shape; comments and everything else stay where they are. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nlserver.config.renamed import ADVICE

from nlctl.specs.spans import Node, Pair, comments, read

_SERVICES: Final = ("cas", "ac", "capabilities", "execution", "fetch", "push")
_NAMED: Final = ("stores", "schedulers")
_PROVIDERS: Final = {
    "experimental_s3_store": "aws",
    "s3_store": "aws",
    "experimental_gcs_store": "gcs",
    "gcs_store": "gcs",
    "experimental_azure_blob_store": "azure",
    "azure_blob_store": "azure",
    "experimental_ontap_s3_store": "ontap",
    "ontap_s3_store": "ontap",
}
_RENAMED: Final = {
    "experimental_ontap_s3_existence_cache": "ontap_s3_existence_cache",
    "disconnect_timeout_s": "client_action_timeout_s",
}
_FREE: Final = ("platform_properties", "supported_platform_properties", "additional_environment", "headers")
"""Objects whose keys are anybody's words."""
_DROPPED_STREAM_KEY: Final = "max_decoding_message_size"


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Migration:
    """The text of today, and a sentence for each thing that changed."""

    text: str
    changes: tuple[str, ...]


def migrated(text: str) -> Migration:
    """A well-formed JSON5 text with every older shape rewritten. Running it again changes nothing."""
    root = read(text)
    found = [*_maps(text, root), *_services(text, root), *_keys(text, root)]
    edits = sorted((edit for _, group in found for edit in group), key=lambda edit: (edit.start, edit.end))
    made, end = [], 0
    for edit in edits:
        if edit.start < end:
            continue
        made += [text[end : edit.start], edit.text]
        end = edit.end
    return Migration("".join([*made, text[end:]]), tuple(sentence for sentence, _ in found))


_Change = tuple[str, list[_Edit]]


def _maps(text: str, root: Node) -> Iterator[_Change]:
    """`stores: { NAME: { KIND: {...} } }`, which no release reads any more."""
    for key in _NAMED:
        node = root.get(key)
        if node is not None and node.opening == "{":
            yield f"{key}: a list of entries with a name, no map", _as_list(text, node, "name")


def _services(text: str, root: Node) -> Iterator[_Change]:
    servers = root.get("servers")
    for server in servers.items if servers is not None else ():
        services = server.get("services")
        for pair in services.pairs if services is not None else ():
            node = pair.value
            if pair.name == "bytestream" and node.get("cas_stores") is not None:
                yield "bytestream: a list of instances", [_Edit(node.start, node.end, _streams(text, node))]
            elif pair.name in _SERVICES and node.opening == "{" and all(p.value.opening == "{" for p in node.pairs):
                yield f"{pair.name}: a list of instances, no map", _as_list(text, node, "instance_name")


def _as_list(text: str, node: Node, key: str) -> list[_Edit]:
    """A map from names as a list whose items say their name under this key."""
    edits = [_Edit(node.start, node.start + 1, "["), _Edit(node.end - 1, node.end, "]")]
    for pair in node.pairs:
        said = f' {key}: "{pair.name}",' if pair.name or key == "name" else ""
        edits.append(_Edit(pair.start, pair.value.start + 1, "{" + said))
    return edits


def _streams(text: str, node: Node) -> str:
    """The one object of older releases as one item for each instance; its comments stand before them."""
    stores = node.get("cas_stores")
    assert stores is not None
    shared = "".join(
        f", {pair.name}: {text[pair.value.start : pair.value.end]}"
        for pair in node.pairs
        if pair.name not in ("cas_stores", _DROPPED_STREAM_KEY)
    )
    items = [
        "{ "
        + (f'instance_name: "{pair.name}", ' if pair.name else "")
        + f"cas_store: {text[pair.value.start : pair.value.end]}{shared} }}"
        for pair in stores.pairs
    ]
    kept = comments(text[node.start : node.end])
    if not kept:
        return f"[{', '.join(items)}]"
    indent = " " * (len(text[: node.start]) - text[: node.start].rfind("\n") - 1 - _column_of_text(text, node.start))
    lines = [*kept, *(f"{item}," for item in items)]
    return "[\n" + "".join(f"{indent}  {line}\n" for line in lines) + f"{indent}]"


def _column_of_text(text: str, at: int) -> int:
    """How many characters of the line stand between its indentation and this offset."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return len(line.lstrip())


def _keys(text: str, root: Node) -> Iterator[_Change]:
    for holder, pair in _pairs(root):
        if pair.name in _PROVIDERS and pair.value.opening == "{":
            new, provider = "experimental_cloud_object_store", _PROVIDERS[pair.name]
            edit = _Edit(pair.start, pair.value.start + 1, f'{new}: {{ provider: "{provider}",')
            yield f"{pair.name}: {new} with its provider", [edit]
        elif pair.name in _RENAMED and holder.get(_RENAMED[pair.name]) is None:
            name = _RENAMED[pair.name]
            yield f"{pair.name}: now {name}", [_Edit(pair.start, pair.value.start, f"{name}: ")]
        elif pair.name in ADVICE and ADVICE[pair.name].endswith("take it out"):
            yield f"{pair.name}: {ADVICE[pair.name].partition(':')[0]}", [_without(text, pair)]


def _without(text: str, pair: Pair) -> _Edit:
    """The pair taken out, with its line where nothing else stands on it."""
    start = text.rfind("\n", 0, pair.start) + 1
    end = text.find("\n", pair.end)
    alone = not text[start : pair.start].strip() and (end >= 0 and not text[pair.end : end].strip())
    return _Edit(start, end + 1, "") if alone else _Edit(pair.start, pair.end, "")


def _pairs(node: Node) -> Iterator[tuple[Node, Pair]]:
    for pair in node.pairs:
        yield node, pair
        if pair.name not in _FREE:
            yield from _pairs(pair.value)
    for item in node.items:
        yield from _pairs(item)
