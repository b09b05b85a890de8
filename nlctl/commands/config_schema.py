"""`nlctl config schema`: the JSON Schema of config files."""

from __future__ import annotations

import json

import typer

from nlctl.exits import Exit
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl config schema > nlctl-config.schema.json
  nlctl config schema | jq '."$defs" | keys'
\b
In VS Code, settings.json:  "json.schemas": [{"fileMatch": ["*.json5"], "url": "./nlctl-config.schema.json"}]
\b
Exit status: 0 printed
"""


def command(ctx: typer.Context) -> int:
    """Print the JSON Schema (2020-12) of config files, for editors: keys, types, defaults and texts.

    It is made from the server's own code. Names that lead nowhere are found by `nlctl config validate`.
    """
    from nlctl.specs.schema import schema

    session: Session = ctx.obj
    made = schema()
    session.ui.item("nlctl.config.schema/v1", {"json_schema": made}, json.dumps(made, indent=2), name=made["title"])
    return Exit.OK
