"""`nlctl cas get`: a blob, verified, and what it means."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.recents import as_json
from nlctl.resolve import single
from nlctl.session import Session
from nlctl.ui import human_bytes

if TYPE_CHECKING:
    from nlserver.reapi.client import Client

    from nlctl.decoded import Decoded

C = TypeVar("C", bytes, memoryview)

EPILOG = """\b
Examples:
  nlctl cas get 7fd25e01 -O a.o
  nlctl cas get @last                    an Action: decoded on a terminal
  nlctl cas get @last --as action -o json
  nlctl cas get @last.stdout --range 0-99
\b
Exit status: 0 written, 3 missing, 4 unreachable, 9 damaged, 13 no such message
"""
_AS_THEY_ARE = ("auto", "raw", "text")
_FORMS = (*_AS_THEY_ARE, "action", "command", "directory", "tree", "result")
_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})?")


def command(
    ctx: typer.Context,
    digest: Annotated[str, typer.Argument(help="HASH/SIZE, first digits, @last, any text, or -.")],
    out: Annotated[Path | None, typer.Option("--out", "-O", help="Write here instead of standard output.")] = None,
    form: Annotated[str, typer.Option("--as", help=f"What it is taken for: {', '.join(_FORMS)}.")] = "auto",
    span: Annotated[str, typer.Option("--range", help="FIRST-LAST byte, from 0; FIRST- to the end.")] = "",
    tier: Annotated[str, typer.Option("--from", help="Read from this layer alone: PART:STORE/LAYER.")] = "",
    blake3: Annotated[bool, typer.Option("--blake3", help="The hash is BLAKE3 where the text does not say.")] = False,
) -> int:
    """Fetch a blob. A file appears under its name only when all of it was read and matches the digest.

    By default a message (Action, Command, Directory, Tree, ActionResult) is decoded on a terminal and in -o json;
    a pipe or file gets the bytes. A range cannot be verified.
    """
    session: Session = ctx.obj
    if form not in _FORMS:
        raise Fault(USAGE, f"--as cannot be {form!r}", fixes=[fix(f"choose one of {', '.join(_FORMS)}")])
    wanted = single(session, digest, Function.BLAKE3 if blake3 else Function.SHA256)
    asked = _Asked(session, wanted, form, out, _range(span, wanted), tier)
    return Exit.OK if asked.fetched() else session.wait_for(asked.answer())


def _range(text: str, wanted: Digest) -> tuple[int, int] | None:
    """The first byte and how many, at most to the end."""
    if not text:
        return None
    match = _RANGE.fullmatch(text)
    first = int(match[1]) if match else 0
    last = min(int(match[2]), wanted.size_bytes - 1) if match and match[2] else wanted.size_bytes - 1
    if match is None or first > last:
        raise Fault(
            USAGE,
            f"{text!r} is no range of this blob",
            why=f"it has the bytes 0-{wanted.size_bytes - 1}" if wanted.size_bytes else "it has no bytes",
            fixes=[fix("write --range 0-99 for the first hundred bytes, --range 100- for the rest")],
        )
    return first, last - first + 1


class _Asked:
    def __init__(
        self, session: Session, wanted: Digest, form: str, out: Path | None, span: tuple[int, int] | None, tier: str
    ) -> None:
        self._session, self._ui = session, session.ui
        self._wanted, self._form, self._out, self._span, self._tier = wanted, form, out, span, tier
        self._size_bytes = wanted.size_bytes if span is None else span[1]
        self._written_bytes = 0

    def fetched(self) -> bool:
        """Write a file the short way, where there is one; False for everything else, nothing is written then."""
        if self._out is None or self._form not in _AS_THEY_ARE or self._span is not None or self._tier:
            return False
        from nlctl import reading
        from nlctl.files import keep

        if not reading.is_near(target := self._session.target()):
            return False
        try:
            keep(self._out, map(self._counted, reading.chunks(target, self._wanted)))
        except reading.Unread:
            self._written_bytes = 0
            return False
        self._told(self._out)
        return True

    async def answer(self) -> int:
        from nlctl.remote import client

        async with client(self._session.target(), self._wanted.function) as remote:
            if self._form in _AS_THEY_ARE:
                await self._bytes_or_guess(remote)
            else:
                from nlctl.decoded import Form, decode

                await self._show(remote, decode(Form(self._form), await self._whole(remote), self._wanted.function))
        return Exit.OK

    async def _bytes_or_guess(self, remote: Client) -> None:
        guessing = self._form == "auto" and self._out is None and self._span is None
        if guessing and (self._ui.structured or self._ui.out_is_terminal):
            from nlctl.objects import MOST_GUESSED_BYTES

            if self._wanted.size_bytes <= MOST_GUESSED_BYTES:
                await self._guess(remote)
                return
        if self._out is not None:
            await self._to_file(remote, self._out)
        elif self._ui.structured:
            await self._text_document(await self._whole(remote))
        else:
            await self._to_output(remote)

    async def _guess(self, remote: Client) -> None:
        from nlctl.decoded import Form, decode, guessed

        data = await self._whole(remote)
        form = guessed(data, self._wanted.function)
        if form in (Form.TEXT, Form.RAW):
            if self._ui.structured:
                await self._text_document(data)
            else:
                self._raw(data, first=True)
            return
        await self._show(remote, decode(form, data, self._wanted.function))

    async def _text_document(self, data: bytes) -> None:
        """The bytes in a document, when they are text."""
        from nlctl.decoded import is_text

        if not is_text(data):
            raise Fault(USAGE, "a blob of bytes is no JSON: -o json needs a file", fixes=[fix("add -O FILE")])
        self._document(form="text", content=data.decode())

    async def _show(self, remote: Client, found: Decoded) -> None:
        if self._out is not None:
            from nlctl.files import keep

            keep(self._out, ["\n".join(await self._lines(remote, found)).encode() + b"\n"])
            self._ui.say(f"wrote {self._out}")
            self._document(form=str(found.form), content=found.document)
        elif self._ui.structured:
            self._document(form=str(found.form), content=found.document)
        else:
            for line in await self._lines(remote, found):
                self._ui.text(line)

    async def _lines(self, remote: Client, found: Decoded) -> list[str]:
        from nlctl.decoded import TITLES, lines

        note = "  (decoded; --as raw for bytes)" if self._form == "auto" else ""
        made = lines(found.document, self._ui.digest)
        return [f"{TITLES[found.form]}{note}", *await _enriched(remote, found, made)]

    async def _to_output(self, remote: Client) -> None:
        first = True
        async with aclosing(self._chunks(remote)) as chunks:
            async for chunk in chunks:
                self._raw(chunk, first=first)
                first = False

    def _raw(self, data: bytes, *, first: bool) -> None:
        if first and self._ui.out_is_terminal and b"\0" in data[:8192] and self._form != "raw":
            raise Fault(
                USAGE,
                "this blob is binary, and here is a terminal",
                fixes=[fix("add -O FILE"), fix("let it be shown anyway: add --as raw")],
            )
        self._ui.raw(data)

    async def _to_file(self, remote: Client, out: Path) -> None:
        from nlctl.files import keep_all

        await keep_all(out, self._chunks(remote), self._counted)
        self._told(out)

    def _counted(self, chunk: C) -> C:
        self._written_bytes += len(chunk)
        self._ui.waiting(f"{human_bytes(self._written_bytes)} of {human_bytes(self._size_bytes)}")
        return chunk

    def _told(self, out: Path) -> None:
        self._ui.waiting("")
        proof = "digest verified" if self._span is None else "a part, which no digest verifies"
        self._ui.say(f"wrote {out} ({human_bytes(self._size_bytes)}, {proof})")
        self._document(form=None, content=None)

    def _document(self, *, form: str | None, content: Any) -> None:
        item = {
            "digest": as_json(self._wanted),
            "path": str(self._out) if self._out else None,
            "type": form,
            "content": content,
        }
        self._ui.item("nlctl.cas.get/v1", item, "", name=str(self._out or ""))

    async def _whole(self, remote: Client) -> bytes:
        from nlctl.objects import MOST_MESSAGE_BYTES, too_large

        if self._wanted.size_bytes > MOST_MESSAGE_BYTES:
            raise too_large(self._wanted)
        if not self._tier and self._span is None:
            return await remote.read(self._wanted)
        async with aclosing(self._chunks(remote)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    def _chunks(self, remote: Client) -> AsyncGenerator[bytes, None]:
        if self._tier:
            from nlctl.tiers import chunks

            return chunks(self._session, self._tier, self._wanted, self._span)
        first, count = self._span or (0, None)
        return remote.stream(self._wanted, first, count)


async def _enriched(remote: Client, found: Decoded, lines: list[str]) -> list[str]:
    """What an Action names, in a word each; what is missing is said, too."""
    from nlserver.errors import Error
    from nlserver.proto import remote_execution_pb2 as re_pb
    from nlserver.reapi.digest import digest_of

    from nlctl import objects
    from nlctl.decoded import Form, command_line
    from nlctl.trees import totals

    if not isinstance(found.message, re_pb.Action):
        return lines
    made = list(lines)
    try:
        named = digest_of(found.message.command_digest, found.function)
        command = await objects.message(remote, named, Form.COMMAND)
        made[0] += f"   {command_line(command.document)}"
    except (Error, Fault) as error:
        made[0] += f"   {_why(error)}"
    try:
        tree = await objects.tree_in(remote, Digest("", 0), found)
        total = totals(tree)[tree.root]
        made[1] += f"   {total.files} files, {total.directories} directories, {human_bytes(total.size_bytes)}"
        made[1] += f", {len(tree.absent)} directories MISSING" if tree.absent else ""
    except (Error, Fault) as error:
        made[1] += f"   {_why(error)}"
    return made


def _why(error: Exception) -> str:
    from nlserver.store import Missing

    return "MISSING" if isinstance(error, Missing) else str(error)
