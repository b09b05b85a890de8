"""Texts of configs: good ones that were tampered with, and what was never good."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import json5
from hypothesis import strategies as st

from tests.fuzz.messages import HOSTILE

_ROOT: Final = Path(__file__).parents[2]
SEEDS: Final = [
    path.read_text()
    for path in [*sorted((_ROOT / "templates").glob("*.json5")), *sorted((_ROOT / "tests/real/seed").glob("*.json5"))]
]
_TOKEN: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|\w+|\s+|.', re.DOTALL)
_SPLIT: Final = [_TOKEN.findall(seed) for seed in SEEDS]
_WORDS: Final = sorted({token for tokens in _SPLIT for token in tokens if not token.isspace() and token[:2] != "//"})
_PARSED: Final = [json5.loads(seed) for seed in SEEDS]
_NUMBERS: Final = [
    *(
        "0",
        "-1",
        "2.5",
        "1e999",
        "-1e999",
        "0x10",
        "1_0",
        "9" * 30,
        "9" * 5000,
        "18446744073709551616",
        "+1",
        ".5",
        "5.",
    ),
    *("NaN", "Infinity", "-Infinity", "null", "true", "undefined"),
]
_PIECES: Final = [
    *(
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "/*",
        "*/",
        "//",
        "'",
        '"',
        "\\",
        "\n",
        "\ufeff",
        "\u2028",
        "\0",
        "__proto__",
        "\\u0000",
    ),
    *('"${A}"', '"${A:-}"', '"${A:-${B}}"', '"$A"', '"${', '"\\ud800"', '"10gb"', '"-1s"', '"1h30m"', '""'),
    *("[" * 60, "{a:" * 60, "[" * 3000),
]
_tokens = st.one_of(
    st.sampled_from(_WORDS),
    st.sampled_from(_NUMBERS),
    st.sampled_from(_PIECES),
    st.sampled_from(HOSTILE).map(json.dumps),
)


@st.composite
def tampered_texts(draw: st.DrawFn) -> str:
    """A seed with tokens taken out, put in, replaced or repeated."""
    tokens = list(draw(st.sampled_from(_SPLIT)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(tokens) - 1)))
        match draw(st.sampled_from(["lose", "put", "replace", "repeat", "cut"])):
            case "lose":
                del tokens[at : at + draw(st.integers(1, 6))]
            case "put":
                tokens.insert(at, draw(_tokens))
            case "replace":
                tokens[at : at + 1] = [draw(_tokens)]
            case "repeat":
                tokens[at:at] = tokens[at : at + draw(st.integers(1, 40))]
            case _:
                del tokens[at:]
    return "".join(tokens)


_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2.5, 2**64, -(2**63), 1e300, float("inf"), float("nan")]),
    st.sampled_from(
        [*HOSTILE, "10gb", "1h", "sha256", "memory", "CAS_STORE", "MAIN_SCHEDULER", "${A}", "${A:-5}", "$"]
    ),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(_WORDS), st.sampled_from(HOSTILE)), inner, max_size=3),
    ),
    max_leaves=6,
)


@st.composite
def tampered_values(draw: st.DrawFn) -> str:
    """A seed in which values were exchanged for others, taken out, or wrapped, wherever in the tree."""
    root = json.loads(json.dumps(draw(st.sampled_from(_PARSED))))
    for _ in range(draw(st.integers(1, 3))):
        _tamper(draw, root)
    return json.dumps(root, ensure_ascii=draw(st.booleans()))


def _tamper(draw: st.DrawFn, node: Any) -> None:
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        below = node[key]
        if isinstance(below, (dict, list)) and below and draw(st.integers(0, 4)):
            node = below
            continue
        match draw(st.sampled_from(["exchange", "lose", "wrap", "rename"])):
            case "exchange":
                node[key] = draw(_values)
            case "lose":
                del node[key]
            case "wrap":
                node[key] = draw(st.sampled_from([[below], {"x": below}, [below, below]]))
            case _ if isinstance(node, dict):
                node[draw(st.sampled_from(_WORDS))] = node.pop(key)
            case _:
                node.append(below)
        return


texts = st.one_of(
    tampered_texts(),
    tampered_values(),
    st.lists(_tokens, max_size=12).map(" ".join),
    st.text(max_size=60),
)
environments = st.dictionaries(
    st.sampled_from(["A", "B", "DATA", "CAS_SIZE", "CAS_LISTEN", "HOME"]),
    st.one_of(st.sampled_from(HOSTILE), st.text(max_size=9)),
)
