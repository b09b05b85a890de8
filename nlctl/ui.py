"""The only module that prints. Standard output is data, standard error is talk; each decides for itself about colour.

On a terminal data are aligned tables; in a pipe they are tab-separated, whole, without a header, so that no digest is
ever cut; `-o json` writes one document. Progress is `tty`, `plain`, `json` or `none`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

from nlctl import tables
from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, Fix, document, reason
from nlctl.registry import COLUMNS

if TYPE_CHECKING:
    from nlctl.watch.spans import Line
    from nlctl.watch.terminal import Terminal

Item = Mapping[str, Any]
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_WIDE: Final = 100
_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")
_COLUMN_GAP: Final = re.compile(r"(?:^|\S) {2,}(?=\S)")
_LEAST_ROOM: Final = 20
_DIGEST: Final = re.compile(r"\b([0-9a-f]{64})[-/]([0-9]+)\b")
_PREFIX_STYLES: Final = ("36", "33", "32", "35", "34")


@dataclass(frozen=True)
class Column:
    """One column: the header, the key of the item, and how people read the value where that differs.

    A terminal that has no room for all leaves those out that are `spare`, the last ones first.
    """

    header: str
    key: str
    human: Callable[[Any], str] | None = None
    spare: bool = False


@dataclass(frozen=True)
class Display:
    """What the user asked of the output."""

    output: str = ""
    quiet: int = 0
    color: str = "auto"
    progress: str = "auto"
    context: str | None = None


class Ui:
    """Where a command says what it found and what it does."""

    def __init__(
        self,
        display: Display,
        environment: Mapping[str, str],
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._display = display
        self._environment = environment
        self.progress = _progress(display, environment, self._err)
        self._out_color = _colored(display.color, environment, self._out)
        self._err_color = _colored(display.color, environment, self._err)
        self._transient = False
        for stream in (self._out, self._err):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")

    @property
    def format(self) -> str:
        """`table`, `tsv`, `json`, `jsonl` or `name`. Wide tables are tables, and chosen columns are no format."""
        match self._display.output:
            case "wide":
                return "table"
            case output if output and not output.startswith(COLUMNS):
                return output
        return "table" if self._out.isatty() else "tsv"

    @property
    def quiet(self) -> int:
        """How often -q was given."""
        return self._display.quiet

    @property
    def structured(self) -> bool:
        """Whether data go out as JSON."""
        return self.format in ("json", "jsonl")

    # Data

    def items(
        self,
        schema: str,
        items: Iterable[Item],
        columns: Sequence[Column],
        *,
        warnings: Sequence[str] = (),
        facts: Item | None = None,
        none: str = "",
    ) -> None:
        """A list: `columns[0]` names each item. `facts` about the whole list stand in its document.

        A terminal is told `none` in place of a table without rows.
        """
        rows = list(items)
        if self._display.output.startswith(COLUMNS):
            columns = _chosen(self._display.output.removeprefix(COLUMNS).split(","), rows)
        form = "name" if self.quiet and not self._display.output else self.format
        match form:
            case "json":
                self._json({**self._envelope(schema), **(facts or {}), "items": rows, "warnings": list(warnings)})
            case "jsonl":
                for row in rows:
                    self._json({"schema": schema, **row})
            case "name":
                for row in rows:
                    self._line(_field(row[columns[0].key]))
            case "tsv":
                for row in rows:
                    self._line("\t".join(_field(row[column.key]) for column in columns))
            case _ if rows:
                self._table(rows, columns)
            case _ if none:
                self.say(none)
        for warning in warnings:
            self.warn(warning)

    def item(self, schema: str, item: Item, text: str, *, name: str = "") -> None:
        """One thing: its text for people and pipes, or its document; `name` is what `-o name` and -q show."""
        if self.format == "json":
            self._json({**self._envelope(schema), "item": item, "warnings": []})
        elif self.format == "jsonl":
            self._json({"schema": schema, **item})
        elif self.format == "name" or (self.quiet and not self._display.output):
            self._line(name)
        elif text:
            self._line(text.removesuffix("\n"))
        self._out.flush()

    def event(self, schema: str, event: Item) -> None:
        """One line of a stream of JSON lines."""
        self._json({"schema": schema, **event})
        self._out.flush()

    def text(self, line: str) -> None:
        """One line of text data, with control characters made visible."""
        self._line(line.translate(_CONTROLS))

    def text_fields(self, *fields: str) -> None:
        """One tab-separated line."""
        self._line("\t".join(field.translate(_CONTROLS) for field in fields))

    def raw(self, data: bytes, *, to_error: bool = False) -> None:
        """Bytes as they are: a blob, or what a remote command wrote."""
        self._clear()
        stream = self._err if to_error else self._out
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()

    def prefixed(self, number: int, prefix: str, line: str) -> None:
        """One log line behind a part's name, in that part's colour."""
        styled = self._style(prefix, _PREFIX_STYLES[number % len(_PREFIX_STYLES)], self._out_color)
        self._line(f"{styled} {line.translate(_CONTROLS)}" if prefix else line.translate(_CONTROLS))

    def lines(self, lines: Iterable[Line]) -> None:
        """Lines of styled text."""
        from nlctl.watch.spans import encoded

        for line in lines:
            self._line(encoded(line, color=self._out_color))

    def taken_over(self) -> Terminal:
        """The terminal of standard output for a command of its own, with the keys of standard input."""
        from nlctl.watch.terminal import Terminal

        self._out.flush()
        encoding = self._out.encoding or "ascii"
        return Terminal(sys.stdin.fileno(), self._out.fileno(), encoding, color=self._out_color)

    @property
    def ascii_only(self) -> bool:
        """Whether standard output cannot show bars and marks."""
        return not _shows(self._out, "▸█▁…⠿")

    @property
    def width(self) -> int:
        """How many cells a line of standard output has."""
        try:
            return os.get_terminal_size(self._out.fileno()).columns or _WIDE
        except (OSError, ValueError):
            return _WIDE

    def flush(self) -> None:
        """Let readers of a pipe see what was written."""
        self._out.flush()

    @property
    def out_is_terminal(self) -> bool:
        """Whether data go to a person's screen."""
        return self._out.isatty()

    # Talk

    def step(self, command: str, step: str, text: str, *, state: str = "ready", **facts: object) -> None:
        """Something was done: ` ✓ text`, or its facts where machines or logs read."""
        match self.progress:
            case "tty":
                self._clear()
                first, *others = self._spoken(text, indent=3)
                self._err.write(f" {self._mark(state)} {first}\n" + "".join(f"   {line}\n" for line in others))
            case "plain":
                fields = "".join(f" {name}={_fact(value)}" for name, value in facts.items() if value is not None)
                self._err.write(f"{command} step={_fact(step)} state={state}{fields}\n")
            case "json":
                self._event(command, step=step, state=state, **facts)
        self._err.flush()

    def difference(self, text: str) -> None:
        """What changes in a file, as `diff -u` shows it: what goes in red, what comes in green."""
        if self.progress in ("none", "json"):
            return
        self._clear()
        styles = {"+": "32", "-": "31", "@": "36"}
        for line in text.splitlines():
            style = "" if line.startswith(("+++", "---")) else styles.get(line[:1], "")
            self._err.write(f"    {self._style(line.translate(_CONTROLS), style, self._err_color and bool(style))}\n")
        self._err.flush()

    def waiting(self, text: str) -> None:
        """What is being waited for: one line on a terminal that the next step replaces; nothing any more for ""."""
        if self.progress != "tty":
            return
        width = _width() - 2
        self._clear()
        if not text:
            self._err.flush()
            return
        self._err.write(self._style(f"   {text}"[:width], "2", self._err_color))
        self._err.flush()
        self._transient = True

    def say(self, text: str = "") -> None:
        """A sentence for people; -q silences it."""
        if self.progress == "json":
            self._event("note", text=text)
        elif self.progress != "none":
            self._clear()
            self._err.write("".join(f"{line}\n" for line in self._spoken(text)))
        self._err.flush()

    def warn(self, text: str) -> None:
        """A sentence about something odd; -qq silences it."""
        if self._display.quiet > 1:
            return
        self._clear()
        if self.progress == "json":
            self._event("warning", text=text)
        else:
            first, *others = self._spoken(text, indent=9)
            self._err.write(f"{self._style('warning:', '33', self._err_color)} {first}\n")
            self._err.write("".join(f"         {line}\n" for line in others))
        self._err.flush()

    def fault(self, fault: Fault) -> None:
        """A failure; never silenced."""
        self._clear()
        if self._display.output in ("json", "jsonl"):
            self._err.write(json.dumps(document(fault), ensure_ascii=False) + "\n")
        else:
            self._err.write(self._error_text(fault))
        self._err.flush()

    def ask(self, question: str) -> str:
        """What the user types; "" at end of input."""
        self._clear()
        self._err.write(question)
        self._err.flush()
        return sys.stdin.readline().strip()

    def pause(self) -> None:
        """Wait for Enter, or the end of input."""
        sys.stdin.readline()

    @property
    def asks(self) -> bool:
        """Whether someone is there to answer."""
        return sys.stdin is not None and sys.stdin.isatty() and self._err.isatty()

    def mark(self, good: bool | None) -> str:
        """✓, ✗ or ! (None), in the characters that standard output can show."""
        unicode = _shows(self._out, "✓✗")
        return {True: "✓" if unicode else "ok", False: "✗" if unicode else "xx", None: "!" if unicode else "!!"}[good]

    def digest(self, shown: Item) -> str:
        """A digest of a document within a text: whole in a pipe, its two ends on a terminal."""
        return short_digest(shown) if self.out_is_terminal else _field(shown)

    def fitted(self, text: str) -> str:
        """A text for people in lines that a terminal need not break; as it is in a pipe."""
        room = _columns(self._out) if self.out_is_terminal else None
        return text if room is None else "\n".join(part for line in text.split("\n") for part in _hanging(line, room))

    def bold(self, text: str) -> str:
        """Text that stands out on a terminal."""
        return self._style(text, "1", self._out_color)

    # Inside

    def _envelope(self, schema: str) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"schema": schema, "context": self._display.context, "generated_at": now}

    def in_context(self, name: str | None) -> None:
        """Say in documents which cluster they speak of."""
        self._display = Display(
            self._display.output, self._display.quiet, self._display.color, self._display.progress, name
        )

    def _json(self, value: Any) -> None:
        self._line(json.dumps(value, ensure_ascii=False, default=str))

    def _event(self, command: str, **facts: object) -> None:
        event = {"schema": "nlctl.progress/v1", "event": command, **facts}
        self._err.write(json.dumps(event, ensure_ascii=False, default=str) + "\n")

    def _line(self, text: str) -> None:
        self._clear()
        self._out.write(text + "\n")

    def _clear(self) -> None:
        if self._transient:
            self._err.write("\r\x1b[2K")
            # What comes next may go to the other stream.
            self._err.flush()
            self._transient = False

    def _mark(self, state: str) -> str:
        good = state not in ("failed", "lost")
        mark = ("✓" if good else "✗") if _shows(self._err, "✓✗") else ("ok" if good else "xx")
        return self._style(mark, "32" if good else "31", self._err_color)

    def _spoken(self, text: str, indent: int = 0) -> list[str]:
        """Lines that a terminal need not break within words; `indent` cells stand before each. At least one."""
        room = _columns(self._err) if self._err.isatty() else None
        lines = text.split("\n")
        return lines if room is None else [part for line in lines for part in _hanging(line, room - indent)]

    def _style(self, text: str, code: str, colored: bool) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colored and text else text

    def _table(self, rows: Sequence[Item], columns: Sequence[Column]) -> None:
        room = _columns(self._out) if self.out_is_terminal and self._display.output != "wide" else None
        shown = list(columns)
        cells = _cells(shown, rows)
        if room is not None and tables.width([_headers(shown), *cells]) > room:
            # A digest may be shortened where a person reads, and the short form is taken as an argument, too.
            cells = _cells(shown, rows, short=True)
            for column in reversed([column for column in columns if column.spare]):
                if tables.width([_headers(shown), *cells]) <= room:
                    break
                shown.remove(column)
                cells = _cells(shown, rows, short=True)
        headers, cells = tables.fitted(_headers(shown), cells, room, ascii_only=self.ascii_only)
        header, *body = tables.lines(headers, cells)
        self._line(self.bold(header))
        for line in body:
            self._line(line)

    def _error_text(self, fault: Fault) -> str:
        head = f"error[{fault.kind.id}]"
        wide = min(_WIDE, _columns(self._err) or _WIDE) if self._err.isatty() else _WIDE
        message = fault.message
        if self._err.isatty() and len(head) + 2 + len(message) > wide:
            message = _DIGEST.sub(lambda found: _ends(found[1], found[2]), message)
        first, *others = self._spoken(message, indent=len(head) + 2)
        said = [f"{self._style(head, '31;1', self._err_color)}: {first}", *(f"  {line}" for line in others)]
        if fault.exit >= Exit.INTERRUPTED:
            # Whoever stopped a command knows why.
            return f"{said[0]}  (exit {int(fault.exit)}, {fault.exit.label})\n"
        said += _wrapped("why", reason(fault), wide)
        said += [] if not fault.said else _wrapped("server said", fault.said, wide)
        for number, fix in enumerate(fault.fixes):
            said += _fix_lines("fix" if number == 0 else "", fix, wide)
        said += [f"  | {line.translate(_CONTROLS)}" for line in fault.log.splitlines()]
        said.append(f"  more  nlctl explain {fault.kind.id}")
        said.append(f"  (exit {int(fault.exit)}, {fault.exit.label})")
        return "\n".join(said) + "\n"


def plain(environment: Mapping[str, str], words: Sequence[str]) -> Ui:
    """A Ui for a command line that could not be understood: JSON when it seems to ask for that."""
    asked = environment.get("NLCTL_OUTPUT", "")
    wants = (
        "--json" in words
        or "-ojson" in words
        or any(word in ("-o", "--output") and following == "json" for word, following in itertools.pairwise(words))
    )
    return Ui(Display(output="json" if wants or asked == "json" else ""), environment)


def human_bytes(count: int | None) -> str:
    """1234567 as `1.2 MB`."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def human_span(milliseconds: float | None) -> str:
    """3725000 as `1h2m`."""
    if milliseconds is None:
        return "-"
    seconds = int(milliseconds / 1000)
    if seconds < 1:
        return f"{int(milliseconds)}ms"
    for big, big_unit, small, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= big:
            rest = seconds % big // small
            return f"{seconds // big}{big_unit}" + (f"{rest}{small_unit}" if rest else "")
    return f"{seconds}s"


def stamp(seconds: float) -> str | None:
    """Seconds since 1970 as RFC 3339 in UTC; None for 0."""
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def human_ago(text: str | None) -> str:
    """How long ago this RFC 3339 time was."""
    if text is None:
        return "-"
    return human_span(max(0.0, time.time() - datetime.fromisoformat(text).timestamp()) * 1000)


def human_properties(properties: Mapping[str, Sequence[str]]) -> str:
    """Platform properties in one line; those without a value are left out."""
    return " ".join(f"{name}={','.join(values)}" for name, values in properties.items() if any(values))


def short_digest(shown: Item) -> str:
    """The two ends of a digest of a document, as `nlctl.digests` takes it back."""
    return _ends(shown["hash"], shown["size_bytes"])


def short_key(text: str) -> str:
    """The same of a key that is a digest's `hash-size`; any other as it is."""
    found = _DIGEST.fullmatch(text)
    return _ends(found[1], found[2]) if found else text


def _ends(hash_text: str, size: object) -> str:
    return f"{hash_text[:8]}…{hash_text[-4:]}/{size}"


def _chosen(keys: Sequence[str], rows: Sequence[Item]) -> list[Column]:
    """The columns of these keys. Raises Fault USAGE for one that the items have not."""
    for row in rows[:1]:
        for key in keys:
            if key not in row:
                raise Fault(USAGE, f"there is no column {key!r}", fixes=[Fix(f"choose of {', '.join(row)}")])
    return [Column(key.upper(), key) for key in keys]


def _headers(columns: Sequence[Column]) -> list[str]:
    return [column.header for column in columns]


def _cells(columns: Sequence[Column], rows: Sequence[Item], *, short: bool = False) -> list[list[str]]:
    return [[_human(column, row[column.key], short=short) for column in columns] for row in rows]


def _human(column: Column, value: Any, *, short: bool = False) -> str:
    if column.human:
        text = column.human(value)
    elif short and isinstance(value, Mapping) and "hash" in value:
        text = short_digest(value)
    else:
        text = _field(value)
    return text.translate(_CONTROLS) or "-"


def _field(value: Any) -> str:
    # Lists may have ten thousands of rows, whose cells are texts and numbers nearly always.
    if type(value) is str:
        return value if value.isprintable() else value.translate(_CONTROLS)
    if type(value) is int:
        return str(value)
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case {"hash": hash_text, "size_bytes": size}:
            return f"{hash_text}/{size}"
        case Mapping():
            return " ".join(f"{name}={_field(one)}" for name, one in value.items())
        case str():
            return value.translate(_CONTROLS)
        case Sequence():
            return ",".join(_field(one) for one in value)
    return str(value)


def _fact(value: object) -> str:
    text = str(value).translate(_CONTROLS)
    return json.dumps(text, ensure_ascii=False) if not text or " " in text or '"' in text else text


def _hanging(line: str, room: int) -> list[str]:
    """A line in lines of at most this room where words allow it: what follows stands below the line's last column."""
    if len(_STYLE.sub("", line)) <= room:
        return [line]
    starts = [0, *(found.end() for found in _COLUMN_GAP.finditer(line))]
    wide = [start for start in starts if room - start >= max([_LEAST_ROOM, *map(len, line[start:].split())])]
    hang = max(wide, default=0)
    return _broken(line, room, hang=hang or len(line) - len(line.lstrip()) + 2)


def _broken(text: str, room: int, hang: int) -> list[str]:
    """Lines of at most this room where words allow it, all after the first `hang` cells to the right."""
    import textwrap

    made = textwrap.wrap(
        text, max(20, room), subsequent_indent=" " * hang, break_long_words=False, break_on_hyphens=False
    )
    return made or [""]


def _wrapped(label: str, text: str, wide: int) -> list[str]:
    if len(label) > 4:
        return [f"  {label}", *(f"        {line}" for line in text.splitlines())]
    lines = [part for line in text.splitlines() for part in _broken(line, wide - 8, hang=0)]
    return [f"  {label if n == 0 else '':<6}{line}" for n, line in enumerate(lines)]


def _fix_lines(label: str, fix: Fix, wide: int) -> list[str]:
    """The command with its words behind it, or below it where they do not fit."""
    import shlex

    command = shlex.join(fix.command)
    line = f"{command:<40}  {fix.text}" if command and fix.text else command or fix.text
    if len(line) <= wide - 8 or not fix.text:
        return [f"  {label:<6}{line}"]
    below = _broken(fix.text, wide - 10, hang=0)
    parts = [command, *(f"  {part}" for part in below)] if command else below
    return [f"  {label if n == 0 else '':<6}{part}" for n, part in enumerate(parts)]


def _progress(display: Display, environment: Mapping[str, str], err: TextIO) -> str:
    if display.quiet:
        return "none"
    if display.progress != "auto":
        return display.progress
    lively = err.isatty() and environment.get("TERM") != "dumb" and not environment.get("CI")
    return "tty" if lively else "plain"


def _colored(asked: str, environment: Mapping[str, str], stream: TextIO) -> bool:
    if asked != "auto":
        return asked == "always"
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    return stream.isatty() or bool(environment.get("FORCE_COLOR"))


def _shows(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _width() -> int:
    return _columns(sys.stderr) or 80


def _columns(stream: TextIO) -> int | None:
    """How wide this terminal is, None where it does not tell."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def silence(stream: TextIO) -> None:
    """Send what is still buffered nowhere: the reader of this pipe is gone."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
