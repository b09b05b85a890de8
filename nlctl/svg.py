"""What all our SVG pictures share: their look, and the document around them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

COLORS: Final = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#97266d", "#4a5568")
"""Of what is compared, in this order."""
_STYLE: Final = (
    "text{font:12px sans-serif;fill:#1a202c}.t{font-size:16px;font-weight:bold}.s{fill:#4a5568}"
    ".v{font-size:11px;fill:#4a5568}.g{stroke:#cbd5e0}.o{stroke:#1a202c;stroke-dasharray:3 3}.w{stroke:#1a202c}"
)


def document(width: int, height: int, body: Iterable[str]) -> str:
    """The whole document around these elements. Classes: `t` title, `s` subtitle, `v` value, `g` grid."""
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', f"<style>{_STYLE}</style>", *body, "</svg>"]
    return "\n".join(lines) + "\n"


def heading(title: str, subtitle: str) -> list[str]:
    """The two lines at the top."""
    return [
        f'<text class="t" x="10" y="22">{escape(title)}</text>',
        f'<text class="s" x="10" y="40">{escape(subtitle)}</text>',
    ]
