"""What processes of one server read of each other."""

from __future__ import annotations

import os

from nlserver.board import SILENT_SECONDS, Board, Phase, ailment
from nlserver.metrics import Count


def _serving(board: Board, *indexes: int, now: float = 100.0) -> None:
    for index in indexes:
        board.rows[index].begin(1000 + index, now)
        board.rows[index].enter(Phase.SERVING, now)


def test_a_process_sees_what_another_wrote_after_the_fork() -> None:
    board = Board(2)
    pid = os.fork()
    if pid == 0:
        board.rows[1].begin(os.getpid(), 5.0)
        board.rows[1].counts[Count.CALLS] += 7
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.standings(5.0)[1].pid == pid
    assert board.total(Count.CALLS) == 7


def test_counts_are_added_up_and_a_process_that_is_started_again_goes_on_counting() -> None:
    board = Board(2)
    board.rows[0].counts[Count.SENT_BYTES] += 10
    board.rows[1].counts[Count.SENT_BYTES] += 20
    board.rows[1].begin(1, 0.0)
    board.rows[1].begin(2, 1.0)
    board.rows[1].counts[Count.SENT_BYTES] += 5
    assert board.total(Count.SENT_BYTES) == 35
    assert board.standings(1.0)[1].restarts == 1


def test_a_server_is_well_while_one_process_is_being_started_again() -> None:
    board = Board(2)
    _serving(board, 0, 1)
    board.rows[1].enter(Phase.ABSENT, 101.0)
    assert ailment(board.standings(101.0)) == ""


def test_a_server_without_any_serving_process_is_unwell() -> None:
    board = Board(2)
    _serving(board, 0, 1)
    for row in board.rows:
        row.enter(Phase.DRAINING, 101.0)
    assert ailment(board.standings(101.0)) == "no process serves"


def test_a_process_that_gives_no_sign_of_life_makes_the_server_unwell_and_is_named() -> None:
    board = Board(2)
    _serving(board, 0, 1)
    later = 100.0 + SILENT_SECONDS + 1
    board.rows[0].beat(later)
    assert [one.stuck for one in board.standings(later)] == [False, True]
    assert "1001" in ailment(board.standings(later))
