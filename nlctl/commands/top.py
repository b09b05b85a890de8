"""`nlctl top`: a cluster at work, live."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Annotated, Final, assert_never

import typer
from nlserver.errors import Error

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.faults import Fault
from nlctl.session import Session
from nlctl.watch.document import top
from nlctl.watch.facts import Snapshot
from nlctl.watch.frame import Frame
from nlctl.watch.gathering import Gatherer
from nlctl.watch.history import History
from nlctl.watch.places import gatherer
from nlctl.watch.terminal import Terminal
from nlctl.watch.view import Drain, Explain, Quit, View

EPILOG = """\b
Examples:
  nlctl top
  nlctl top --interval 500ms
  nlctl top --once
  nlctl top -o jsonl | jq .queued
\b
Keys:
  1-5 workers, parts, operations, queues, stores    / filter    q quit
  up, down choose a row    d drain the chosen worker    e explain an operation
\b
Exit status: 0 left, 4 no cluster is running, 10 this server has no admin API
"""
_LEAST_SECONDS: Final = 0.1


def command(
    ctx: typer.Context,
    interval: Annotated[str, typer.Option(help="The time between two looks.")] = "1s",
    once: Annotated[bool, typer.Option("--once", help="One frame, after one interval.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show workers, processes, operations, queues and stores of a cluster, and what changes.

    Off a terminal it writes JSON lines (nlctl.top/v1), one a look.
    """
    session: Session = ctx.obj
    pause = max(_LEAST_SECONDS, seconds(interval))
    with gatherer(session, name) as source:
        if session.ui.structured or (session.ui.format != "table"):
            _lines(session, source, pause, once=once)
        elif once:
            _page(session, source, pause)
        else:
            _live(session, source, pause)
    return Exit.OK


def _lines(session: Session, source: Gatherer, pause: float, *, once: bool) -> None:
    history = History()
    for number, now in enumerate(_looks(source, pause)):
        history.add(now)
        # Rates need two looks.
        if not once or number == 1:
            session.ui.event("nlctl.top/v1", top(now, history))
        if once and number == 1:
            return


def _page(session: Session, source: Gatherer, pause: float) -> None:
    history, looks = History(), _looks(source, pause)
    for _ in range(2):
        now = next(looks)
        history.add(now)
    session.ui.lines(Frame(ascii_only=session.ui.ascii_only).whole(now, history, View(), session.ui.width))


def _looks(source: Gatherer, pause: float) -> Iterator[Snapshot]:
    while True:
        due = time.monotonic() + pause
        yield source.take(everything=True)
        time.sleep(max(0.0, due - time.monotonic()))


def _live(session: Session, source: Gatherer, pause: float) -> None:
    history, view, frame = History(), View(), Frame(ascii_only=session.ui.ascii_only)
    with session.ui.taken_over() as terminal, _Asker(source, pause, terminal) as asker:
        now: Snapshot | None = None
        while True:
            if now is not None:
                width, height = terminal.size
                terminal.paint(frame.lines(now, history, view, width, height))
            pressed = terminal.wait()
            for answer in asker.answers():
                if isinstance(answer, Snapshot):
                    now = answer
                    history.add(now)
                elif isinstance(answer, str):
                    view.message = answer
                elif isinstance(answer, Exception):
                    raise answer
                else:
                    view.page = answer
            for key in pressed:
                rows = frame.rows(now, history, view) if now is not None else []
                oldest = now.queued[0].id if now is not None and now.queued else ""
                match view.press(key, rows, oldest):
                    case Quit():
                        return
                    case Drain() | Explain() as wish:
                        asker.ask(wish)
                    case None:
                        pass
                    case never:
                        assert_never(never)


Answer = Snapshot | str | list[str] | Exception


class _Asker:
    """Looks and asks in a thread of its own, so that keys never wait for a server; wakes the terminal with answers.

    A context; leaving it closes the source.
    """

    def __init__(self, source: Gatherer, pause: float, terminal: Terminal) -> None:
        self._source = source
        self._pause = pause
        self._terminal = terminal
        self._wishes: queue.SimpleQueue[Drain | Explain | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Asker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Calls under way end with their connections, so that a part that hangs keeps nobody here.
        self._over = True
        self._wishes.put(None)
        self._source.close()
        self._thread.join()

    def ask(self, wish: Drain | Explain) -> None:
        """Let this be done soon."""
        self._wishes.put(wish)

    def answers(self) -> Iterator[Answer]:
        """What came since the last time."""
        while not self._answers.empty():
            yield self._answers.get()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            if not self._over:
                self._tell(error)

    def _work(self) -> None:
        due = time.monotonic()
        while not self._over:
            try:
                wish = self._wishes.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                due = max(due + self._pause, time.monotonic())
                self._tell(self._source.take())
                continue
            if wish is not None:
                self._tell(self._done(wish))
                due = time.monotonic()

    def _done(self, wish: Drain | Explain) -> Answer:
        try:
            match wish:
                case Drain():
                    self._source.drain(wish.worker, draining=wish.draining)
                    return f"{wish.name} {'takes no new work' if wish.draining else 'takes work again'}"
                case Explain():
                    found = self._source.explain(wish.operation)
                    verdicts = [f"{one.worker}  {one.verdict.upper()}  {one.reason}" for one in found.workers]
                    return [f"{wish.operation}: {found.summary or 'it could run now'}", "", *verdicts]
                case never:
                    assert_never(never)
        except Error as error:
            return error.message
        except Fault as fault:
            return fault.message

    def _tell(self, answer: Answer) -> None:
        self._answers.put(answer)
        self._terminal.wake()
