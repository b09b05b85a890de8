"""Blobs are told apart by their bytes, and messages look the same as documents and for people."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.action import action, command
from nlserver.reapi.digest import EMPTY, Function, of
from nlserver.reapi.tree import File, Subdirectory, Symlink, blob_of, directory, set_digest, tree_blob

from nlctl.decoded import Decoded, Form, decode, guessed, lines
from nlctl.differences import Difference, differences
from nlctl.exits import Exit
from nlctl.faults import Fault

A, B = of(b"a"), of(b"b")
COMMAND = command(["gcc", "-c", "a c.c"], environment={"PATH": "/bin"}, output_paths=["a.o"])
ACTION = action(blob_of(COMMAND).digest, A, timeout_seconds=60, platform={"OSFamily": "linux"}, salt=b"\x01")
SUB = directory([File("x", B)])
ROOT = directory([File("run", A, executable=True), Subdirectory("sub", blob_of(SUB).digest), Symlink("l", "../x")])
TREE = tree_blob(blob_of(ROOT).digest, {blob_of(one).digest: blob_of(one).data for one in (ROOT, SUB)})
RESULT = re_pb.ActionResult(exit_code=3, stdout_raw=b"out\n")
set_digest(RESULT.output_files.add(path="a.o", is_executable=True).digest, A)
set_digest(RESULT.output_directories.add(path="d").tree_digest, TREE.digest)
RESULT.output_symlinks.add(path="l", target="a.o")
RESULT.output_file_symlinks.add(path="l", target="a.o")
RESULT.execution_metadata.worker = "worker-2"
RESULT.execution_metadata.execution_start_timestamp.FromNanoseconds(10**18)
RESULT.execution_metadata.execution_completed_timestamp.FromNanoseconds(10**18 + 148_000_000)


def _shown(decoded: Decoded) -> str:
    return "\n".join(lines(decoded.document, lambda digest: f"{digest['hash'][:8]}/{digest['size_bytes']}"))


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (blob_of(ACTION).data, Form.ACTION),
        (blob_of(COMMAND).data, Form.COMMAND),
        (blob_of(command(["x" * 40])).data, Form.COMMAND),
        (blob_of(ROOT).data, Form.DIRECTORY),
        (blob_of(SUB).data, Form.DIRECTORY),
        (TREE.data, Form.TREE),
        (tree_blob(EMPTY[Function.SHA256], {}).data, Form.TREE),
        (RESULT.SerializeToString(), Form.RESULT),
        (b"hello\n", Form.TEXT),
        ("grün\t1\r\n".encode(), Form.TEXT),
        (b"\n", Form.TEXT),
        (b"", Form.RAW),
        (b"\x7fELF\x02\x01", Form.RAW),
        (blob_of(ACTION).data + b"\xf8\x7f\x01", Form.RAW),
        (blob_of(ROOT).data[:-1], Form.RAW),
    ],
)
def test_a_blob_is_told_by_its_bytes(data: bytes, form: Form) -> None:
    assert guessed(data) is form


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_any_bytes_have_a_form_and_every_decoding_is_a_value_or_a_fault(data: bytes) -> None:
    assert guessed(data) in Form
    for form in (Form.ACTION, Form.COMMAND, Form.DIRECTORY, Form.TREE, Form.RESULT):
        with suppress(Fault):
            found = decode(form, data)
            json.dumps(found.document)
            _shown(found)


def test_an_action_tells_its_command_its_inputs_and_its_conditions() -> None:
    found = decode(Form.ACTION, blob_of(ACTION).data)
    assert found.document["command"] == {
        "hash": blob_of(COMMAND).digest.hash,
        "size_bytes": blob_of(COMMAND).digest.size_bytes,
        "function": "sha256",
    }
    assert found.document["timeout_ms"] == 60_000
    assert "timeout 1m   salt 01   platform OSFamily=linux" in _shown(found)


def test_a_command_is_shown_as_a_shell_takes_it() -> None:
    shown = _shown(decode(Form.COMMAND, blob_of(COMMAND).data))
    assert shown.splitlines()[0] == "  gcc -c 'a c.c'"
    assert "env        PATH=/bin" in shown
    assert "outputs    a.o" in shown


def test_a_directory_and_a_tree_list_their_entries() -> None:
    assert _shown(decode(Form.DIRECTORY, blob_of(ROOT).data)).splitlines() == [
        f"  sub/  {blob_of(SUB).digest.hash[:8]}/{blob_of(SUB).digest.size_bytes}",
        f"  run*  {A.hash[:8]}/1",
        "  l     -> ../x",
    ]
    shown = _shown(decode(Form.TREE, TREE.data))
    assert "2 directories, 2 files, 2 B" in shown
    assert "run*" in shown


def test_a_result_tells_how_it_ended_and_what_it_left() -> None:
    found = decode(Form.RESULT, RESULT.SerializeToString())
    assert found.document["output_symlinks"] == [{"path": "l", "target": "a.o"}]
    assert found.document["ran_ms"] == 148
    assert found.document["stdout"] == {"text": "out\n", "digest": None}
    assert _shown(found).splitlines()[0] == "  exit 3 - worker-2 - ran 148ms"
    assert "stderr  empty" in _shown(found)


def test_what_is_no_action_is_refused_with_the_reason() -> None:
    with pytest.raises(Fault, match="is no Action") as caught:
        decode(Form.ACTION, b"hello")
    assert caught.value.why
    assert caught.value.fixes
    assert caught.value.exit is Exit.INVALID


def test_documents_differ_field_by_field() -> None:
    other = re_pb.ActionResult()
    other.CopyFrom(RESULT)
    set_digest(other.output_files[0].digest, B)
    other.output_symlinks[0].target = other.output_file_symlinks[0].target = "b.o"
    other.output_files.add(path="new").digest.CopyFrom(RESULT.output_files[0].digest)
    before, after = (decode(Form.RESULT, one.SerializeToString()).document for one in (RESULT, other))
    found = list(differences(before, after))
    assert [one.field for one in found] == [
        "output_files[a.o].digest",
        "output_files[new]",
        "output_symlinks[l].target",
    ]
    assert found[2] == Difference("output_symlinks[l].target", "a.o", "b.o")
    assert not list(differences(before, before))
