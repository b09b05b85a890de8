"""What repairs plan of facts, and what is made of several plans: by table, without a cluster."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.reapi.digest import of
from nlserver.spec import Place

from nlctl.containers.copying import request_of
from nlctl.doctor import kinds, repairs
from nlctl.doctor.change import Change
from nlctl.doctor.check import Check
from nlctl.doctor.checks import every as every_check
from nlctl.doctor.checks.config import judge_configs
from nlctl.doctor.finding import ADDRESSES, PROPERTIES, WHOLE, Verdict
from nlctl.doctor.journal import Entry, Journal
from nlctl.doctor.kinds.blob_replaced import Replaced
from nlctl.doctor.kinds.empty_uploaded import Uploaded
from nlctl.doctor.kinds.file import Rewritten
from nlctl.doctor.kinds.files_allowed import Allowed
from nlctl.doctor.kinds.folder_made import Made
from nlctl.doctor.kinds.folder_moved import Moved
from nlctl.doctor.kinds.mode_changed import Changed
from nlctl.doctor.kinds.parts_remade import Remade
from nlctl.doctor.kinds.parts_restarted import Restarted
from nlctl.doctor.kinds.parts_started import Started
from nlctl.doctor.kinds.process_woken import Woken
from nlctl.doctor.kinds.processes_ended import Ended
from nlctl.doctor.kinds.result_forgotten import Forgotten
from nlctl.doctor.kinds.worker_uncordoned import Uncordoned
from nlctl.doctor.mending import ordered
from nlctl.doctor.repair import NoRepair
from nlctl.doctor.repairs import (
    allow_files,
    bazelrc,
    blob,
    containers,
    dangling,
    end_strays,
    lint_edits,
    litter,
    owner_only,
    recorded,
    start_parts,
    strangers,
    wake,
)
from nlctl.doctor.repairs import folders as make
from nlctl.faults import Fault
from nlctl.launch.backend import Report
from nlctl.launch.process import Identity
from nlctl.lint.finding import Edit, Finding, Severity
from nlctl.lint.judging import Text
from nlctl.lint.restoring import restored
from tests.nlctl.conftest import Cli, items
from tests.nlctl.containers.test_copying import BODY, inspected
from tests.nlctl.doctor.test_judges import CASES, WORKER

DIGEST = of(b"a blob")
SLOW = '{ endpoints: [{ address: "grpc://cas:1" }] }'
OURS = f'{{ slow: {SLOW}, // theirs\n platform_properties: {{ ISA: "x86" }} }}\n'
EDITED = "{ slow: { endpoints: [{ address: 'grpc://other:2' }], instance_name: \"x\" }, // mine\n"
EDITED += ' platform_properties: { ISA: "arm" } }\n'
EDIT = Edit("cas.json5", 1, 3, 0, "bytestream: [], ")


def config(aspect: str, text: str = EDITED) -> recorded.Config:
    return recorded.Config("worker-1.json5", text, OURS, [aspect])


def copies(*held: blob.Copy) -> blob.Copies:
    return blob.Copies(DIGEST, held, ["cas:CAS"], "/keep")


def result(*, complete: bool) -> list[dangling.Held]:
    return [dangling.Held("cas", "AC", DIGEST, b"result", complete)]


def linted(*edits: Edit) -> lint_edits.Judged:
    found = Finding("NL-CFG-125", Severity.ERROR, Place("", 1, 1, "cas.json5"), "", "", "", "", edits)
    return lint_edits.Judged([Text("cas.json5", "{ cas: [] }")], [found])


def state(*reports: Report, supervised: bool = True, loose: int = 0) -> start_parts.State:
    return start_parts.State(["cas", "worker-1"], reports if supervised else None, loose)


def limits(soft: int, hard: int) -> allow_files.Limits:
    return allow_files.Limits("cas", 7, 1, soft, hard)


def folders(absent: Sequence[str] = (), files: Sequence[str] = (), links: Sequence[str] = ()) -> make.Folders:
    return make.Folders("cas", True, absent, files, links, "1", "/keep")


CAS, CAS_WRONG = blob.Copy("cas:CAS", True, True, "/cas/d/x"), blob.Copy("cas:CAS", True, False, "/cas/d/x")
AGAIN = blob.Copy("cas:AC/cas_store", True, False, "/cas/d/x")
FAST = blob.Copy("worker-1:CAS/fast", False, True, "/fast/d/x")
NAME = (DIGEST.hash, DIGEST.size_bytes, "SHA256")
PLANS: list[tuple[str, Any, Sequence[Change] | str]] = [
    ("start_parts", state(Report("cas", "ready", 1)), [Started(("worker-1",), (), supervised=True)]),
    ("start_parts", state(supervised=False, loose=2), [Started(("cas", "worker-1"), (), supervised=False, loose=2)]),
    (
        "start_parts",
        state(Report("cas", "ready", 1), Report("worker-1", "failed")),
        [Started((), ("worker-1",), supervised=True)],
    ),
    ("start_parts", state(Report("cas", "ready", 1), Report("worker-1", "ready", 2)), "every part runs by now"),
    ("restart_parts", ("cas",), [Restarted(("cas",))]),
    ("restart_parts", (), "no part of a cluster that nlctl runs here"),
    ("uncordon", [replace(WORKER, state="draining")], [Uncordoned("worker-1")]),
    ("uncordon", [replace(WORKER, state="paused")], "worker-1 is paused"),
    ("uncordon", [], "it is gone"),
    ("empty_blob", None, [Uploaded()]),
    ("blob", copies(CAS), "its bytes are right"),
    ("blob", copies(), "no layer has it"),
    ("blob", copies(FAST), [Replaced(*NAME, (), (), "worker-1:CAS/fast", ("cas:CAS",), "/keep")]),
    (
        "blob",
        copies(CAS_WRONG, AGAIN, FAST),
        [Replaced(*NAME, ("cas:AC/cas_store",), ("/cas/d/x",), "worker-1:CAS/fast", ("cas:CAS",), "/keep")],
    ),
    ("blob", copies(CAS_WRONG), [Replaced(*NAME, ("cas:CAS",), ("/cas/d/x",), "", ("cas:CAS",), "/keep")]),
    ("dangling", result(complete=True), "no result names what is gone"),
    ("dangling", result(complete=False), [Forgotten(*NAME, "cas", "AC", "cmVzdWx0")]),
    ("lint_edits", linted(EDIT), [Rewritten("cas.json5", ("{ cas: [] }", "{ bytestream: [], cas: [] }"))]),
    ("lint_edits", linted(), "no edit that means the same"),
    ("litter", litter.Folders(["/work/worker-9"], "/keep"), [Moved("/work/worker-9", "/keep/work/worker-9")]),
    ("litter", litter.Folders([], "/keep"), "nothing of it is left"),
    ("strangers", strangers.Strangers(["/d/x"], "/d.1"), [Moved("/d/x", "/d.1/x")]),
    ("strangers", strangers.Strangers([], "/d.1"), "nothing foreign"),
    ("wake", wake.Held("cas", Identity(7, 1), True, 0), [Woken("cas", 7, 1)]),
    ("wake", wake.Held("cas", Identity(7, 1), True, 9), "process 9 traces it"),
    ("wake", wake.Held("cas", Identity(7, 1), False, 0), "does not stand still any more"),
    ("wake", wake.Held("cas", None, False, 0), "does not stand still any more"),
    ("allow_files", [limits(256, 4096)], [Allowed("cas", 7, 1, 256, 4096)]),
    ("allow_files", [limits(256, 1 << 20), limits(1 << 20, 1 << 20)], [Allowed("cas", 7, 1, 256, 65536)]),
    ("allow_files", [limits(256, resource.RLIM_INFINITY)], [Allowed("cas", 7, 1, 256, 65536)]),
    ("allow_files", [limits(256, 256)], "the hard limit is no higher"),
    ("owner_only", owner_only.Secret("/key", 0o644, True), [Changed("/key", 0o644, 0o600)]),
    ("owner_only", owner_only.Secret("/key", 0o644, False), "belongs to another user"),
    ("owner_only", owner_only.Secret("/key", 0o400, True), "its owner's alone by now"),
    ("end_strays", [end_strays.Stray(Identity(7, 1), "sleep 9")], [Ended((7,), (1,), ("sleep 9",))]),
    ("end_strays", [], "ended by themselves"),
    (
        "folders",
        folders(absent=["/d/s"], files=["/d/d"]),
        [Made("/d/d", "/keep/0-d", "/d/d.1"), Made("/d/s", "", "/d/s.1"), Restarted(("cas",))],
    ),
    ("folders", folders(absent=["/d/d"], links=["/d"]), "a volume may not be mounted"),
    ("folders", folders(), "are all there"),
    ("bazelrc", bazelrc.Lines("/w/.bazelrc.nlctl", "a\n", "b\n"), [Rewritten("/w/.bazelrc.nlctl", ("a\n", "b\n"))]),
    ("bazelrc", bazelrc.Lines("/w/.bazelrc.nlctl", "b\n", "b\n"), "says what this cluster needs"),
    ("recorded", config(ADDRESSES, OURS), "what nlctl wrote there"),
    (
        "recorded",
        config(ADDRESSES, "{ slow: 0 }"),
        [Rewritten("worker-1.json5", ("{ slow: 0 }", f"{{ slow: {SLOW} }}"))],
    ),
    ("recorded", config(WHOLE, "{"), [Rewritten("worker-1.json5", ("{", OURS))]),
    ("recorded", config(ADDRESSES, "{"), "what nlctl wrote there"),
    ("containers", containers.Drift("worker-1", inspected(BODY), BODY), "is as the record"),
    (
        "containers",
        containers.Drift("worker-1", inspected(BODY), {**BODY, "Image": "sha256:2"}),
        [Remade("worker-1", ("another image",), json.dumps(request_of(inspected(BODY))))],
    ),
]


@pytest.mark.parametrize(("name", "facts", "expected"), PLANS, ids=range(len(PLANS)))
def test_a_repair_plans_exactly_this(name: str, facts: Any, expected: Sequence[Change] | str) -> None:
    repair = repairs.every()[name]
    if isinstance(expected, str):
        with pytest.raises(NoRepair, match=expected):
            repair.plan(facts)
    else:
        assert list(repair.plan(facts)) == expected


def test_only_the_fields_of_the_aspect_are_brought_back_and_the_rest_of_an_edit_stays() -> None:
    [change] = repairs.every()["recorded"].plan(config(ADDRESSES))
    assert isinstance(change, Rewritten)
    assert change.texts[-1] == EDITED.replace("'grpc://other:2'", '"grpc://cas:1"').replace('"x"', '""')
    [change] = repairs.every()["recorded"].plan(config(PROPERTIES))
    assert isinstance(change, Rewritten)
    assert change.texts[-1] == EDITED.replace('"arm"', '"x86"')


RESTORED = [
    ("{ a: 1, b: 2 }", "{ a: 3, b: 4 }", "b", "{ a: 1, b: 4 }"),
    ("{ /* mine */ c: 9 }", "{ c: 9, b: { d: 1 } }", "b.d", "{ b: { d: 1 }, /* mine */ c: 9 }"),
    ("{\n  c: 9, // mine\n}", "{ c: 9, b: 4 }", "b", "{\n  b: 4,\n  c: 9, // mine\n}"),
    ("{ }", "{ b: 4 }", "b", "{ b: 4  }"),
    ("{ a: {} }", "{ a: { b: 4, c: 5 } }", "a", "{ a: { b: 4, c: 5 } }"),
    ("{ a: { d: 1 } }", "{ a: { b: 4, c: 5 } }", "a", "{ a: { b: 4, c: 5, d: 1 } }"),
    ("{ a: [] }", "{ a: [2, 1] }", "a", "{ a: [ 2, 1] }"),
    ("{ a: [3] }", "{ a: [3, 2, 1] }", "a", "{ a: [3, 2, 1] }"),
    ("{ a: { disk: {} } }", '{ a: { grpc: { b: ["x"] } } }', "a.grpc.b[0]", '{ a: { grpc: { b: ["x"] } } }'),
    ("{ a: { own: 1 } }", "{ a: { c: 2, b: 4 } }", "a.b", "{ a: { b: 4, own: 1 } }"),
    (
        '[{ name: "own" }, { name: "CAS", b: 1 }]',
        '[{ name: "CAS", b: 2 }, { name: "AC" }]',
        "[1].b",
        '[{ name: "own" }, { name: "CAS", b: 2 }]',
    ),
    ("[1, 2]", "[1, 2, 3]", "[2]", "[1, 2, 3]"),
    ('[{ instance_name: "x" }]', "[]", "[0].instance_name", '[{ instance_name: "" }]'),
    ('[{ instance_name: "x" }]', "[{ }]", "[0].instance_name", '[{ instance_name: "" }]'),
    ('[{ }, { instance_name: "x" }]', "[{ }]", "[1].instance_name", '[{ }, { instance_name: "x" }]'),
    ("[]", "[3]", "[0]", "[ 3]"),
    ("{ b: '}' }", '{ b: "{" }', "b", '{ b: "{" }'),
    ("{", "{}", "b", None),
]


VALUES = st.recursive(
    st.integers(0, 3) | st.sampled_from(["x", "}", "y"]),
    lambda inner: (
        st.lists(inner, max_size=3, unique_by=json.dumps)
        | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES)
def test_what_is_restored_is_json5_and_restoring_it_again_changes_nothing(mine: Any, ours: Any) -> None:
    once = restored(json.dumps(mine, indent=1), json.dumps(ours), lambda _: True)
    assert once is not None
    assert restored(once, json.dumps(ours), lambda _: True) == once


def test_a_limit_makes_no_store_anew() -> None:
    text, ours = "{ disk: { own: 1 } }", "{ grpc: { disk: { b: 2 } } }"
    assert restored(text, ours, lambda path: path.endswith("b")) == ours
    assert restored(text, ours, lambda path: path.endswith("b"), kinds=False) == text


@pytest.mark.parametrize(("text", "ours", "path", "after"), RESTORED, ids=range(len(RESTORED)))
def test_as_little_as_is_needed_is_brought_back_by_its_config_path(
    text: str, ours: str, path: str, after: str | None
) -> None:
    assert restored(text, ours, lambda one: one.startswith(path)) == after


def test_a_mistyped_key_brings_back_its_store_and_leaves_the_others() -> None:
    ours = '[{ name: "A", memory: { b: 1 } }, { name: "B", noop: {} }]'
    text = ours.replace("memory", "memmory").replace("noop: {}", "noop: { mine: 1 }")
    facts = recorded.Config("cas.json5", text, ours, ["[0].memmory", WHOLE])
    [change] = repairs.every()["recorded"].plan(facts)
    assert isinstance(change, Rewritten)
    assert change.texts[-1] == ours.replace("noop: {}", "noop: { mine: 1 }")


REMADE = Remade("worker-1", ("another image",), "{}")
FILE, OTHER = Rewritten("/c/cas.json5", ("a", "b")), Rewritten("/c/worker-1.json5", ("a", "b"))
ORDERS: list[tuple[Sequence[Change], Sequence[str], Sequence[Change]]] = [
    ([Uploaded(), Uploaded()], (), [Uploaded()]),
    ([FILE], ["cas"], [FILE, Restarted(("cas",))]),
    ([Restarted(("worker-1",)), FILE], ["cas"], [FILE, Restarted(("cas", "worker-1"))]),
    ([FILE, Rewritten("/c/cas.json5", ("b", "c"))], (), [Rewritten("/c/cas.json5", ("a", "b", "c"))]),
    ([REMADE, OTHER], ["worker-1"], [OTHER, REMADE]),
    ([REMADE, FILE], ["cas"], [FILE, REMADE, Restarted(("cas",))]),
    ([Started((), ("worker-1",), supervised=True), REMADE], (), [REMADE, Started((), ("worker-1",), supervised=True)]),
    (
        [Started(("cas",), (), supervised=False), FILE, OTHER],
        ["cas", "worker-1"],
        [FILE, OTHER, Started(("cas",), (), supervised=False)],
    ),
]


@pytest.mark.parametrize(("made", "parts", "expected"), ORDERS, ids=range(len(ORDERS)))
def test_changes_come_once_and_parts_start_last(
    made: Sequence[Change], parts: Sequence[str], expected: Sequence[Change]
) -> None:
    assert list(ordered(made, parts)) == expected


EVERY = [change for _, _, made in PLANS if not isinstance(made, str) for change in made]


def test_each_kind_of_change_comes_out_of_a_journal_as_it_went_in(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.keep(Entry("1", "dev", tuple(EVERY)))
    assert journal.load("").changes == tuple(EVERY)
    assert {one.kind for one in EVERY} == set(kinds.every())
    assert journal.interrupted("dev") == ["1"]
    journal.done(journal.load("1"))
    assert journal.interrupted("dev") == []
    journal.forget("1")
    with pytest.raises(Fault, match="no fix to undo"):
        journal.load("")


def test_done_fixes_are_kept_for_a_month_and_the_latest_ten_and_those_that_were_interrupted_for_ever(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path)
    for number in range(14):
        journal.keep(Entry(f"{number:02}", "dev", is_done=number != 1))
        (journal.folder(f"{number:02}") / "aside").touch()
    now = time.time()
    for number in (0, 1, 2, 5):
        os.utime(journal.folder(f"{number:02}") / "fix.json", (now, now - 31 * 86400))
    assert journal.prune(now) == ["02", "00"]
    assert not journal.folder("00").exists()
    assert journal.ids() == [f"{number:02}" for number in reversed(range(14)) if number not in (0, 2)]
    assert journal.interrupted("dev") == ["01"]


def test_the_fixes_that_can_be_taken_back_are_listed(cli: Cli) -> None:
    assert items(cli, "doctor", "undo", "--list") == []
    journal = Journal(cli.state)
    journal.keep(Entry("1", "", (Uploaded(), Changed("/key", 0o644, 0o600)), is_done=True))
    journal.keep(Entry("2", "dev"))
    later, first = items(cli, "doctor", "undo", "--list")
    assert (later["id"], later["cluster"], later["status"], later["changes"]) == ("2", "dev", "interrupted", [])
    assert (first["id"], first["cluster"], first["status"]) == ("1", None, "done")
    assert [one["undoes"] for one in first["changes"]] == [None, "chmod 644 /key"]


@pytest.mark.parametrize("change", EVERY, ids=range(len(EVERY)))
def test_a_change_says_in_words_what_it_does(change: Change) -> None:
    assert change.does
    assert change.restarts == change.kind.startswith("parts_")


def test_every_repair_says_what_it_does_and_why_that_is_safe() -> None:
    for name, one in repairs.every().items():
        assert one.name == name
        assert one.title
        assert one.safe


def test_every_remedy_of_a_finding_is_a_repair() -> None:
    named = {remedy.repair for judge, facts, _, _ in CASES for found in judge(facts) for remedy in found.remedies}
    assert named == set(repairs.every()) - {"lint_edits"}, "those of the linter come from its rules"


@pytest.mark.parametrize("check", every_check().values(), ids=every_check())
def test_a_check_tells_which_repairs_its_findings_have_or_why_a_person_must_mend_them(check: Check) -> None:
    found = [one for judge, facts, _, _ in CASES if judge == check.judge for one in judge(facts)]
    bad = [one for one in found if one.verdict in (Verdict.FAILED, Verdict.WARNING)]
    named = {remedy.repair for one in bad for remedy in one.remedies}
    assert named == set(check.repairs) or check.judge is judge_configs
    assert check.by_hand or all(one.remedies for one in bad)
    assert check.by_hand or check.repairs
