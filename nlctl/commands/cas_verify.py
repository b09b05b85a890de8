"""`nlctl cas verify`: whether the bytes that are stored are those that their names promise."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.faults import BLOB_CORRUPT, BLOB_MISSING, USAGE, Fault, fix
from nlctl.recents import as_json
from nlctl.resolve import digests, single
from nlctl.session import Session
from nlctl.ui import Column, human_bytes

if TYPE_CHECKING:
    from nlctl.verification import Verified

EPILOG = """\b
Examples:
  nlctl cas verify @last.stdout 7fd25e01
  nlctl cas verify --closure @last          an action and all its inputs
  nlctl cas verify --sample 1%              says how sure it is
\b
Exit status: 0 all are whole, 2 no digest in the text, 3 some are missing, 4 unreachable, 9 wrong bytes,
10 --all and --sample need a cluster whose stores can be listed
"""
_COLUMNS = (Column("DIGEST", "digest"), Column("STATE", "state"), Column("NOTE", "message"))


def command(
    ctx: typer.Context,
    digest: Annotated[list[str] | None, typer.Argument(help="HASH/SIZE, first digits, @last, any text, or -.")] = None,
    closure: Annotated[str, typer.Option(help="An object, and everything that it leads to.")] = "",
    whole: Annotated[bool, typer.Option("--all", help="Every blob of the CAS.")] = False,
    sample: Annotated[str, typer.Option(help="So many of them by chance: 1%, or 500.")] = "",
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Read blobs to their end and hash them. Those that are wrong or missing are listed.

    --all and --sample read blobs that nobody uses, which then count as used.
    """
    session: Session = ctx.obj
    if sum(map(bool, (digest, closure, whole, sample))) != 1:
        raise Fault(USAGE, "say what to verify", fixes=[fix("give digests, or one of --closure D, --all, --sample 1%")])
    function = Function.BLAKE3 if blake3 else Function.SHA256
    listed = _listed(session, function) if whole or sample else None
    total = None if listed is None else len(listed)
    chosen = None if listed is None else _chosen(listed, sample)
    began = time.monotonic()
    if chosen is not None:
        done = session.wait_for(_verified(session, chosen, any_function=True))
    elif closure:
        done = session.wait_for(_closure(session, single(session, closure, function)))
    else:
        done = session.wait_for(_verified(session, digests(session, digest or (), function)))
    bound = _bound(done, total, sampled=bool(sample))
    _tell(session, done, total, bound, time.monotonic() - began)
    return _verdict(done, lists=listed is not None)


def _listed(session: Session, function: Function) -> list[Digest]:
    """Every blob of the CAS, by the names in its store."""
    from nlctl import layers

    instead = fix("verify what you know by name", "nlctl", "cas", "verify", "--closure", "@last")
    return layers.listing(session.parts(instead=instead), "cas", function)


def _chosen(listed: Sequence[Digest], sample: str) -> Sequence[Digest]:
    if not sample:
        return listed
    text, percent = sample.removesuffix("%"), sample.endswith("%")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (0 < value <= 100 if percent else value >= 1 and value.is_integer()):
        raise Fault(USAGE, f"{sample!r} is no sample", fixes=[fix("write --sample 1% or --sample 500")])
    count = max(1, round(len(listed) * value / 100)) if percent else int(value)
    # Chance is what makes the sample speak for the rest; nothing here is a secret.
    return random.sample(listed, min(count, len(listed)))


async def _verified(session: Session, wanted: Sequence[Digest], *, any_function: bool = False) -> Verified:
    from nlctl.remote import client
    from nlctl.verification import verify

    async with client(session.target()) as remote:

        def progress(done: Verified) -> None:
            session.ui.waiting(f"{done.checked} of {len(wanted)} blobs, {human_bytes(done.checked_bytes)}")

        return await verify(remote, wanted, progress, any_function=any_function)


async def _closure(session: Session, wanted: Digest) -> Verified:
    from nlctl import objects
    from nlctl.remote import client
    from nlctl.verification import verify

    async with client(session.target(), wanted.function) as remote:
        found = await objects.closure(remote, wanted)
        return await verify(remote, found.digests, lambda done: session.ui.waiting(f"{done.checked} blobs"))


def _bound(done: Verified, total: int | None, *, sampled: bool) -> float | None:
    from nlctl.confidence import at_most

    return at_most(len(done.corrupt), done.checked, total) if sampled and done.checked else None


def _tell(session: Session, done: Verified, total: int | None, bound: float | None, seconds: float) -> None:
    rows: list[dict[str, Any]] = [
        {"digest": as_json(one), "state": "corrupt", "message": why} for one, why in done.corrupt.items()
    ]
    rows += [{"digest": as_json(one), "state": "missing", "message": None} for one in done.missing]
    facts = {
        "checked": done.checked,
        "checked_bytes": done.checked_bytes,
        "stored": total,
        "corrupt": len(done.corrupt),
        "missing": len(done.missing),
        "corrupt_ratio_at_most": bound,
        "confidence": None if bound is None else 0.95,
    }
    session.ui.items("nlctl.cas.verify/v1", rows, _COLUMNS, facts=facts)
    of = f" of {total:,}" if total is not None else ""
    sure = "" if bound is None or done.checked == total else f" - 95% sure that fewer than {_percent(bound)} are"
    gone = f" - {len(done.missing)} missing" if done.missing else ""
    session.ui.say(
        f"checked {done.checked:,}{of} blobs ({human_bytes(done.checked_bytes)}) in {seconds:.1f}s - "
        f"{len(done.corrupt)} corrupt{gone}{sure}"
    )


def _percent(share: float) -> str:
    return f"{share * 100:.2g}%" if share < 0.1 else f"{share * 100:.0f}%"


def _verdict(done: Verified, *, lists: bool) -> int:
    if done.corrupt:
        first = next(iter(done.corrupt))
        name = first.written
        raise Fault(
            BLOB_CORRUPT,
            f"{len(done.corrupt)} blobs have other bytes" if len(done.corrupt) > 1 else f"{name} is damaged",
            why="the bytes that were read have another hash",
            fixes=[
                fix("see which layers have it", "nlctl", "cas", "why", name),
                fix("remove it, then bring it back", "nlctl", "cas", "rm", name),
            ],
        )
    # What a listing named may be evicted before it is read.
    if done.missing and not lists:
        first = next(iter(done.missing))
        name = first.written
        raise Fault(
            BLOB_MISSING,
            f"{len(done.missing)} blobs are missing" if len(done.missing) > 1 else f"{name} is missing",
            why="the server has no such blob",
            fixes=[fix("see which store lost it", "nlctl", "cas", "why", name)],
        )
    return Exit.OK
