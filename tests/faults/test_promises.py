"""What was acknowledged may be gone only when a journal says so."""

from __future__ import annotations

from pathlib import Path

from nlserver.errors import Code, Error
from nlserver.eviction import Eviction, Limit
from nlserver.filesystem.journal import Journal
from nlserver.reapi.digest import EMPTY, Function, of

from tests.faults.promises import Evictions, Promises
from tests.faults.stream import unclear


def _evict(content: Path, key: str) -> None:
    journal = Journal(f"{content}.journal")
    journal.note(Eviction(1.0, key, 4096, Limit.BYTES, 1.0))
    journal.close()


def test_a_blob_that_is_gone_without_a_word_is_lost() -> None:
    promises = Promises()
    kept, gone = of(b"kept"), of(b"gone")
    promises.blob(kept, "an upload")
    promises.blob(gone, "an upload")
    assert promises.settle({gone}, set()) == [gone]
    assert list(promises.blobs) == [kept]


def test_a_blob_that_was_evicted_or_never_acknowledged_is_not_lost() -> None:
    promises = Promises()
    evicted = of(b"evicted")
    promises.blob(evicted, "an upload")
    assert promises.settle({evicted, of(b"unknown")}, {str(evicted)}) == []
    assert promises.blobs == {}


def test_the_empty_blob_is_nobodys_promise() -> None:
    promises = Promises()
    promises.blob(EMPTY[Function.SHA256], "an upload")
    assert promises.blobs == {}


def test_results_are_judged_in_the_same_way() -> None:
    promises = Promises()
    lost, evicted = of(b"lost"), of(b"evicted")
    promises.result(lost, b"1")
    promises.result(evicted, b"2")
    assert promises.settle_results({lost, evicted}, {str(evicted)}) == [lost]


def test_an_eviction_counts_for_two_readings(tmp_path: Path) -> None:
    evictions = Evictions([tmp_path / "content"])
    _evict(tmp_path / "content", "one")
    assert evictions.recent() == {"one"}
    _evict(tmp_path / "content", "two")
    assert evictions.recent() == {"one", "two"}
    assert evictions.recent() == {"two"}
    assert evictions.recent() == set()
    assert evictions.count == 2


def test_an_error_must_be_one_that_a_client_can_read() -> None:
    assert unclear(Error(Code.UNAVAILABLE, "no connection to the server: refused")) == ""
    assert unclear(Error(Code.DATA_LOSS, "the blob is damaged, says the client"))
    assert unclear(Error(Code.INTERNAL, "Unexpected <class 'KeyError'>: 'x'"))
    assert unclear(Error(Code.INTERNAL, "x"))
