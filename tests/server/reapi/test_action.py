import pytest
from hypothesis import given
from hypothesis import strategies as st
from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.action import (
    Outputs,
    action,
    action_of,
    check_command,
    command,
    command_of,
    outputs_of,
    platform_of,
    timeout_of,
    working_directory_of,
)
from nlserver.reapi.digest import EMPTY, Function, of
from nlserver.reapi.tree import message_of

ROOT = EMPTY[Function.SHA256]
COMMAND = of(b"command")


def an_action(**changes):
    made = re_pb.Action(command_digest=message_of(COMMAND), input_root_digest=message_of(ROOT))
    made.MergeFrom(re_pb.Action(**changes))
    return made


def refused(call, *arguments):
    with pytest.raises(Error) as raised:
        call(*arguments)
    assert raised.value.code is Code.INVALID_ARGUMENT
    return raised.value.message


def test_a_command_is_canonical_whatever_the_order_of_what_it_is_made_of():
    one = command(
        ["cc"], environment={"B": "2", "A": "1"}, output_paths=["o", "b", "o"], platform={"z": "1", "a": ["2", "1"]}
    )
    two = command(
        ["cc"], environment={"A": "1", "B": "2"}, output_paths=["b", "o"], platform=[("a", "1"), ("a", "2"), ("z", "1")]
    )
    assert one.SerializeToString() == two.SerializeToString()
    assert [v.name for v in one.environment_variables] == ["A", "B"]
    assert list(one.output_paths) == ["b", "o"]
    assert [(p.name, p.value) for p in one.platform.properties] == [("a", "1"), ("a", "2"), ("z", "1")]


def test_what_is_made_is_taken():
    made = command(["cc", "-c"], environment={"PATH": "/bin"}, output_paths=["../o"], working_directory="w")
    assert command_of(made.SerializeToString()) == made
    asked = action(COMMAND, ROOT, timeout_seconds=1.5, do_not_cache=True, salt=b"s", platform={"a": "b"})
    assert action_of(asked.SerializeToString()) == asked
    assert (asked.timeout.seconds, asked.timeout.nanos) == (1, 500_000_000)


@given(st.binary(max_size=60))
def test_any_bytes_give_a_message_or_an_error(data):
    for parse in (command_of, action_of):
        try:
            parse(data)
        except Error as error:
            code = error.code
        else:
            code = Code.INVALID_ARGUMENT
        assert code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (re_pb.Command(), "No arguments provided"),
        (re_pb.Command(arguments=[""]), "the program, is empty"),
        (re_pb.Command(arguments=["a", "b\0"]), "argument of the Command holds a NUL"),
        (re_pb.Command(arguments=["a", "b" * (3 << 20)]), "no program takes 131072"),
        (re_pb.Command(arguments=["a"] + ["b" * 100_000] * 70), "no program takes 6291456"),
        (re_pb.Command(arguments=["a"], output_paths=["/abs"]), "absolute"),
        (re_pb.Command(arguments=["a"], output_paths=["a//b"]), "plain form"),
        (re_pb.Command(arguments=["a"], output_paths=["a/./b"]), "plain form"),
        (re_pb.Command(arguments=["a"], output_paths=["a/"]), "plain form"),
        (re_pb.Command(arguments=["a"], output_paths=["a\0"]), "NUL"),
        (re_pb.Command(arguments=["a"], output_paths=["x" * 300]), "more than 255 bytes"),
        (re_pb.Command(arguments=["a"], output_paths=["../a"]), "leads out"),
        (re_pb.Command(arguments=["a"], output_paths=["a/../../b"]), "leads out"),
        (re_pb.Command(arguments=["a"], working_directory="w", output_paths=["../../a"]), "leads out"),
        (re_pb.Command(arguments=["a"], output_paths=map(str, range(70_000))), "70000 outputs"),
        (re_pb.Command(arguments=["a"], working_directory="/w"), "absolute"),
        (re_pb.Command(arguments=["a"], working_directory="../w"), "leads out"),
        (re_pb.Command(arguments=["a"], working_directory="w//x"), "plain form"),
        (re_pb.Command(arguments=["a"], output_node_properties=["Nope"]), "Nope"),
        (re_pb.Command(arguments=["a"], output_files=["/abs"]), "absolute"),
    ],
)
def test_commands_that_cannot_run_are_refused(found, words):
    assert words in refused(check_command, found)


@pytest.mark.parametrize("names", [[""], ["A=B"], ["A\0"], ["A", "A"]])
def test_malformed_environments_are_refused(names):
    found = re_pb.Command(arguments=["a"])
    for name in names:
        found.environment_variables.add(name=name, value="v")
    refused(check_command, found)


def test_an_unsorted_command_is_taken():
    found = re_pb.Command(arguments=["a"], output_paths=["b", "a", "b"])
    found.environment_variables.add(name="B")
    found.environment_variables.add(name="A")
    check_command(found)
    assert outputs_of(found).paths == (("b", "b"), ("a", "a"))


def test_outputs_are_resolved_against_the_working_directory_and_keep_their_words():
    found = re_pb.Command(arguments=["a"], working_directory="x/w", output_paths=["o", "../../top", "", "../y/z"])
    outputs = outputs_of(found)
    assert outputs == Outputs((("o", "x/w/o"), ("../../top", "top"), ("", "x/w"), ("../y/z", "x/y/z")), modern=True)
    assert outputs.parents == ("x", "x/w", "x/y")


def test_the_old_lists_count_only_without_output_paths():
    old = re_pb.Command(arguments=["a"], output_files=["d/f", "both"], output_directories=["dir", "both"])
    files, directories = frozenset(("d/f",)), frozenset(("dir",))
    paths = (("d/f", "d/f"), ("both", "both"), ("dir", "dir"))
    assert outputs_of(old) == Outputs(paths, modern=False, files=files, directories=directories)
    old.output_paths.append("new")
    assert outputs_of(old) == Outputs((("new", "new"),), modern=True)


def test_the_working_directory_is_resolved():
    assert working_directory_of(re_pb.Command(working_directory="a/../b")) == "b"
    assert working_directory_of(re_pb.Command()) == ""


def test_the_platform_of_the_action_comes_first_unless_it_is_empty():
    asked = command(["a"], platform={"OSFamily": "linux", "ISA": ["x86-64", "sse"]})
    assert platform_of(an_action(), asked) == (("ISA", "sse"), ("ISA", "x86-64"), ("OSFamily", "linux"))
    assert platform_of(action(COMMAND, ROOT, platform={"pool": "p"}), asked) == (("pool", "p"),)


@pytest.mark.parametrize(
    "found",
    [
        re_pb.Action(),
        re_pb.Action(command_digest=message_of(COMMAND)),
        re_pb.Action(input_root_digest=message_of(ROOT)),
        re_pb.Action(command_digest=re_pb.Digest(hash="x"), input_root_digest=message_of(ROOT)),
    ],
)
def test_actions_without_digests_are_refused(found):
    refused(action_of, found.SerializeToString())


@pytest.mark.parametrize("count", [1, 1001])
def test_platforms_that_are_malformed_or_huge_are_refused(count):
    found = an_action()
    for _ in range(count):
        found.platform.properties.add(name="" if count == 1 else "n", value="v")
    refused(action_of, found.SerializeToString())


@pytest.mark.parametrize(("seconds", "nanos"), [(-1, 0), (10**18, 0), (0, 2 * 10**9), (1, -1), (0, -1)])
def test_impossible_timeouts_are_refused(seconds, nanos):
    found = an_action()
    found.timeout.seconds, found.timeout.nanos = seconds, nanos
    refused(timeout_of, found)
    refused(action_of, found.SerializeToString())


def test_a_timeout_is_seconds_and_nothing_where_the_server_decides():
    assert timeout_of(an_action()) is None
    zero = an_action()
    zero.timeout.SetInParent()
    assert timeout_of(zero) is None
    assert timeout_of(action(COMMAND, ROOT, timeout_seconds=2.25)) == 2.25


def test_a_timeout_past_the_most_is_refused():
    found = action(COMMAND, ROOT, timeout_seconds=11)
    assert timeout_of(found, 11) == 11
    assert "Action timeout of 11 seconds is greater than the maximum allowed timeout of 10" in refused(
        timeout_of, found, 10
    )
