"""`nlctl context show`: one context in full, who chose it, and whether it answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer
from nlserver.errors import Error

from nlctl.exits import Exit
from nlctl.session import Session, Target

EPILOG = """\b
Examples:
  nlctl context show
  nlctl context show prod --no-ask
  nlctl -C prod context show -o json
\b
Exit status: 0 shown, 3 no such context, 4 it does not answer or is not running, 13 its file is wrong
"""


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Which context; the one that counts here.")] = "",
    no_ask: Annotated[bool, typer.Option("--no-ask", help="Do not ask the server whether it answers.")] = False,
) -> int:
    """Show where a context leads, who chose it, and what its server says of itself."""
    session: Session = ctx.obj
    chosen, origin = session.choice(name)
    target = session.target(chosen if name or session.endpoint is None else "")
    said, trouble = ({}, "") if no_ask else _asked(session, target)
    item = {
        "name": target.context,
        "where": "here" if target.cluster else "elsewhere",
        "chosen_by": "--endpoint" if target.context is None else "the argument" if name else origin.where,
        "cas": target.cas,
        "executor": target.executor,
        "admin": target.admin,
        "admin_http": target.route.url if target.route else None,
        "scheduler": target.route.scheduler if target.route else None,
        "instance": target.instance,
        "ca_file": target.access.ca_file,
        "cert_file": target.access.cert_file,
        "key_file": target.access.key_file,
        "token_file": target.access.token_file,
        "answers": None if no_ask else not trouble,
        "trouble": trouble or None,
        "capabilities": said or None,
    }
    session.ui.item(
        "nlctl.context/v1", item, session.ui.fitted(_text(item)), name=str(item["name"] or item["executor"])
    )
    return Exit.UNREACHABLE if trouble else Exit.OK


def _asked(session: Session, target: Target) -> tuple[dict[str, Any], str]:
    """What the server can do, or why it did not say."""
    try:
        return session.wait_for(_capabilities(target)), ""
    except Error as error:
        return {}, str(error)


async def _capabilities(target: Target) -> dict[str, Any]:
    """Of both servers, where there are two."""
    cache = await _said(target)
    work = cache if target.executor == target.cas else await _said(replace(target, cas=target.executor))
    high = cache.high_api_version
    return {
        "reapi": f"{high.major}.{high.minor}" if high.major else None,
        "executes": work.execution_capabilities.exec_enabled,
        "writes_results": cache.cache_capabilities.action_cache_update_capabilities.update_enabled,
    }


async def _said(target: Target) -> Any:
    from nlctl.remote import client

    async with client(target) as remote:
        return await remote.capabilities()


def _text(item: dict[str, Any]) -> str:
    shown = {key: value for key, value in item.items() if value not in (None, "") and key not in ("trouble", "answers")}
    if item["answers"] is not None:
        shown["answers"] = "yes" if item["answers"] else f"no: {item['trouble']}"
    if said := item["capabilities"]:
        works, writes = ("yes" if said[key] else "no" for key in ("executes", "writes_results"))
        shown["capabilities"] = f"REAPI {said['reapi'] or '?'}, runs actions: {works}, takes results: {writes}"
    return "\n".join(f"{key.replace('_', '-'):<13} {value}" for key, value in shown.items())
