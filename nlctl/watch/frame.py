"""A whole screen of `top` as lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from nlctl.ui import human_bytes
from nlctl.watch.facts import Snapshot
from nlctl.watch.history import History
from nlctl.watch.marks import bar, spark
from nlctl.watch.panes import Table, ago, percent, table
from nlctl.watch.spans import Line, Span, cells, cut, fit, width_of
from nlctl.watch.view import PANES, Row, View

_KEYS: Final = "q quit · 1-5 panes · / filter · d drain · e explain"
_HEAD_LINES: Final = 5
_FOOT_LINES: Final = 1
_GAP: Final = "  "
_LEAST_LAST: Final = 8


class Frame:
    """Draws snapshots for a screen that can show all characters, or ASCII only."""

    def __init__(self, *, ascii_only: bool) -> None:
        self._ascii = ascii_only

    def rows(self, now: Snapshot, history: History, view: View) -> list[Row]:
        """What the table of this view holds, for its keys to act on."""
        return [row for row, _ in self._table(now, history, view).rows]

    def lines(self, now: Snapshot, history: History, view: View, width: int, height: int) -> list[Line]:
        """Exactly `height` lines of at most `width` cells."""
        room = max(0, height - _HEAD_LINES - _FOOT_LINES)
        body = self._page(view, width, room) if view.page else self._body(now, history, view, width, room)
        made = [*self._head(now, history, view, width), *body]
        made = made[: max(0, height - _FOOT_LINES)]
        made += [[] for _ in range(height - _FOOT_LINES - len(made))]
        return [*made, self._foot(view, width)][:height]

    def whole(self, now: Snapshot, history: History, view: View, width: int) -> list[Line]:
        """One frame for paper: as many lines as it takes, without keys."""
        shown = self._table(now, history, view)
        head = [self._title(now, width, keys=""), *self._sums(now, history, width), []]
        return [*head, *self._lined(shown, width, None)]

    def _head(self, now: Snapshot, history: History, view: View, width: int) -> list[Line]:
        tabs: list[Span] = []
        for number, pane in enumerate(PANES, 1):
            chosen = pane == view.pane
            # Not by colour alone.
            text = f"[{number} {pane}]" if chosen else f" {number} {pane} "
            tabs.append((text, "bold" if chosen else "dim"))
        keys = _KEYS.replace("·", "-") if self._ascii else _KEYS
        return [self._title(now, width, keys), *self._sums(now, history, width), _within(tabs, width), []][:_HEAD_LINES]

    def _title(self, now: Snapshot, width: int, keys: str) -> Line:
        started = [part.started for part in now.parts if part.started]
        bad = [part for part in now.parts if part.trouble or part.ailments or part.state not in ("ready", "unknown")]
        stuck = [one for one in now.queued if one.unsatisfiable]
        verdict: Span = ("DEGRADED", "bad") if bad or stuck else ("READY", "good")
        left: list[Span] = [(now.cluster, "bold"), (" ", ""), verdict]
        left.append((f"  up {ago(now.when, min(started, default=None))}", ""))
        gap = width - width_of(left) - cells(keys)
        return [*left, (" " * gap, ""), (keys, "dim")] if keys and gap > 1 else _within(left, width)

    def _sums(self, now: Snapshot, history: History, width: int) -> list[Line]:
        wide, long, short = (5, 6, 4) if width < 100 else (8, 10, 6) if width < 120 else (20, 20, 10)
        slots, taken = now.slots, sum(len(worker.operations) for worker in now.workers)
        first = [
            [("slots ", "dim"), (self._bar(taken / slots, long), "accent"), (f" {taken}/{slots}", "bold")]
            if slots
            else [("running ", "dim"), (f"{taken} ", "bold"), (self._spark(history, "running", wide), "accent")],
            [("queue ", "dim"), (f"{now.queue_length} ", "bold"), (self._spark(history, "queue", wide), "accent")],
            [
                ("hit ", "dim"),
                (f"{percent(history.hit_ratio())} ", "bold"),
                (self._spark(history, "hit", wide, most=1.0), "accent"),
            ],
            *self._fullest(now, short),
        ]
        second = [
            [("calls ", "dim"), (_rate(history.rate("calls")), "bold"), (" ", "")],
            [("in ", "dim"), (_speed(history.rate("received_bytes")), "bold")],
            [("out ", "dim"), (_speed(history.rate("sent_bytes")), "bold")],
            [("actions ", "dim"), (_rate(history.rate("finished_actions")), "bold")],
            [("waits ", "dim"), (ago(now.when, now.when - now.oldest_seconds if now.oldest_seconds else None), "bold")],
        ]
        return [_joined(first, width), _joined(second, width)]

    def _fullest(self, now: Snapshot, width: int) -> Iterator[list[Span]]:
        """The store that is nearest to its limit, of the parts that are no workers."""
        names = {worker.name for worker in now.workers}
        layers = [layer for part in now.parts if part.name not in names for layer in part.stores]
        limited = [
            (layer.size_bytes / layer.max_bytes, layer) for layer in layers if layer.size_bytes and layer.max_bytes
        ]
        if limited:
            share, layer = max(limited, key=lambda one: one[0])
            held = f"{human_bytes(layer.size_bytes)}/{human_bytes(layer.max_bytes)} "
            yield [(f"{layer.path} ", "dim"), (held, "bold"), (self._bar(share, width), "accent")]

    def _body(self, now: Snapshot, history: History, view: View, width: int, room: int) -> list[Line]:
        shown = self._table(now, history, view)
        place = view.place([row for row, _ in shown.rows])
        lined = self._lined(shown, width, place)
        if len(lined) <= room:
            return lined
        # The chosen row stays in sight.
        first = min(max(0, place - room // 2), len(lined) - room) if room > 1 else 0
        return [*lined[:1], *lined[1 + first : room + first]]

    def _table(self, now: Snapshot, history: History, view: View) -> Table:
        made = table(view.pane, now, history, ascii_only=self._ascii)
        return made.filtered(view.filter) if view.filter else made

    def _lined(self, shown: Table, width: int, place: int | None) -> list[Line]:
        """The header and the rows; `place` is the chosen row, which has a mark."""
        widths = self._widths(shown, width - 2)
        made: list[Line] = [self._cells([(one.header, "dim") for one in shown.columns], shown, widths, "  ", width - 2)]
        for number, (_, row) in enumerate(shown.rows):
            mark = ("> " if self._ascii else "▸ ") if number == place else "  "
            made.append(self._cells(row, shown, widths, mark, width - 2))
        if not shown.rows:
            made.append([("  nothing", "dim")])
        return made

    def _widths(self, shown: Table, width: int) -> list[int]:
        """What each column takes. Where the last would be too narrow, the widest others give way."""
        count = len(shown.columns)
        widths = [
            max([cells(shown.columns[n].header), *(cells(row[n][0]) for _, row in shown.rows)])
            for n in range(count - 1)
        ]
        # Columns that do not fit at all are left out from the right, the last one before them.
        while widths and sum(widths) + len(_GAP) * len(widths) + _LEAST_LAST > width:
            widest = max(range(len(widths)), key=widths.__getitem__)
            if widths[widest] <= 12:
                break
            widths[widest] -= 1
        return [*widths, max(0, width - sum(widths) - len(_GAP) * len(widths))]

    def _cells(self, row: Sequence[Span], shown: Table, widths: Sequence[int], mark: str, room: int) -> Line:
        """The cells that fit into this room behind the mark."""
        made: list[Span] = [(mark, "bold")]
        whole = room + len(mark)
        last = len(widths) - 1
        for number, ((text, style), width) in enumerate(zip(row, widths, strict=True)):
            take = min(width, room)
            if take <= 0:
                break
            right = shown.columns[number].right
            if number == last:
                made.append((cut(text, take, ascii_only=self._ascii), style))
            else:
                made += [(fit(text, take, right=right, ascii_only=self._ascii), style), (_GAP, "")]
            room -= width + len(_GAP)
        return _within(_trimmed(made), whole)

    def _page(self, view: View, width: int, room: int) -> list[Line]:
        texts = [line for text in view.page for line in _wrapped(text, width)]
        return [[(text, "")] for text in texts[:room]]

    def _foot(self, view: View, width: int) -> Line:
        if view.typing:
            return _within([("/", "bold"), (view.filter, ""), ("_", "dim")], width)
        if view.asking is not None:
            what = "give no new work to" if view.asking.draining else "give work again to"
            return _within([(f"{what} {view.asking.name}? y/n", "warn")], width)
        if view.page:
            return _within([("any key goes back", "dim")], width)
        if view.message:
            return _within([(view.message, "warn")], width)
        return _within([(f"filter: {view.filter}   esc shows all", "dim")], width) if view.filter else []

    def _bar(self, share: float, width: int) -> str:
        return bar(share, width, ascii_only=self._ascii)

    def _spark(self, history: History, name: str, width: int, most: float | None = None) -> str:
        return spark(history.series(name), width, most=most, ascii_only=self._ascii)


def _joined(groups: Sequence[Sequence[Span]], width: int) -> Line:
    """As many groups as fit, side by side."""
    made: list[Span] = []
    for group in groups:
        longer = [*made, ("  ", ""), *group] if made else list(group)
        if width_of(longer) > width:
            break
        made = longer
    return made


def _within(line: Sequence[Span], width: int) -> Line:
    made: list[Span] = []
    for text, style in line:
        left = width - width_of(made)
        shown = text if cells(text) <= left else cut(text, left, ascii_only=True)
        if shown:
            made.append((shown, style))
    return made


def _trimmed(line: Sequence[Span]) -> Line:
    """Without blanks at its end."""
    made = list(line)
    while made and not made[-1][0].strip():
        made.pop()
    return [*made[:-1], (made[-1][0].rstrip(), made[-1][1])] if made else []


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width, subsequent_indent="  ") or [""]


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}/s" if value >= 10 else f"{value:.1f}/s"


def _speed(value: float | None) -> str:
    return "-" if value is None else f"{human_bytes(int(value))}/s"
