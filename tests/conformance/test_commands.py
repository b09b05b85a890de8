"""CMD: what an Action and its Command may say, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.conformance.actions import (
    INVALID,
    PRECONDITION,
    RETRIED_BY_BAZEL,
    STAGE,
    Tool,
    action,
    blob,
    code,
    command,
    ended,
    execute,
    metadata,
    outputs,
    platform,
    run,
    shell,
    stdout,
    tree,
    uuid_bytes,
)
from tests.conformance.catalogue import rule
from tests.conformance.own import Own
from tests.conformance.target import Target, digest, not_applicable, rx

Variable = rx.Command.EnvironmentVariable


@rule("CMD-01")
@pytest.mark.parametrize(
    ("program", "directory", "path"),
    [
        ("/bin/echo", "", None),
        ("./tool", "", None),
        ("below/tool", "", None),
        ("../tool", "below", None),
        ("echo", "", "/usr/bin:/bin"),
        ("tool", "", "below"),
        ("tool", "below", "."),
    ],
)
def test_the_program_is_found_as_the_api_says(
    target: Target, worker: None, program: str, directory: str, path: str | None
) -> None:
    tool = Tool("#!/bin/sh\necho $1\n")
    made = rx.Command(arguments=[program, "found"], working_directory=directory)
    if path is not None:
        made.environment_variables.add(name="PATH", value=path)
    response = ended(target, action(target, made, {"tool": tool, "below": {"tool": tool}}))
    assert stdout(target, response) == "found\n"


@rule("CMD-01", "HX-19")
@pytest.mark.parametrize("arguments", [[], [""], ["/bin/echo", "a\0b"], ["a\0b"]])
def test_impossible_arguments_are_invalid(target: Target, worker: None, arguments: Sequence[str]) -> None:
    assert code(target, action(target, rx.Command(arguments=arguments))) == INVALID


@rule("CMD-02")
def test_unsorted_variables_run(target: Target, worker: None) -> None:
    made = rx.Command(arguments=["/bin/sh", "-c", "echo $B$A"])
    made.environment_variables.extend([Variable(name="B", value="1"), Variable(name="A", value="2")])
    assert stdout(target, ended(target, action(target, made))) == "12\n"


@rule("CMD-02", "HX-18")
@pytest.mark.parametrize(
    "variables", [[("A", "1"), ("A", "2")], [("", "x")], [("A=B", "x")], [("A\0", "x")], [("A", "x\0y")]]
)
def test_impossible_variables_are_invalid(target: Target, worker: None, variables: Sequence[tuple[str, str]]) -> None:
    made = rx.Command(arguments=["/bin/true"])
    made.environment_variables.extend(Variable(name=name, value=value) for name, value in variables)
    assert code(target, action(target, made)) == INVALID


@rule("HX-18")
def test_variables_that_change_how_programs_load_harm_only_the_action(target: Target, worker: None) -> None:
    hostile = {"LD_PRELOAD": "./no.so", "LD_LIBRARY_PATH": ".", "PYTHONPATH": ".", "BASH_ENV": "x", "IFS": "/"}
    made = command("/bin/sh", "-c", "echo on", env=hostile)
    assert stdout(target, ended(target, action(target, made, {"no.so": b"x", "x": "exit 9"}))) == "on\n"
    assert stdout(target, run(target, "echo after")) == "after\n"


@rule("CMD-03")
def test_the_environment_is_what_the_command_says(target: Target, worker: None) -> None:
    made = rx.Command(arguments=["/usr/bin/env", "-0"])
    made.environment_variables.extend([Variable(name="A", value="1\n2"), Variable(name="B", value="")])
    seen = dict(
        one.partition("=")[::2] for one in stdout(target, ended(target, action(target, made))).split("\0") if one
    )
    assert seen == {"A": "1\n2", "B": ""}


@rule("CMD-04", "HX-16")
@pytest.mark.parametrize("path", ["/abs", "/", "..", "a/../..", "../../x", "a\0b"])
def test_an_output_path_that_leads_out_is_invalid(target: Target, worker: None, path: str) -> None:
    assert code(target, shell(target, "true", output_paths=[path])) == INVALID
    assert code(target, shell(target, "true", output_files=[path])) == INVALID


@rule("HX-16")
@pytest.mark.parametrize("path", ["a//b", "a/./b", "a/"])
def test_an_output_path_in_no_plain_form_is_invalid_or_taken(target: Target, worker: None, path: str) -> None:
    assert code(target, shell(target, "mkdir -p a; echo x > a/b", output_paths=[path])) in (0, INVALID)


@rule("HX-16")
def test_a_hundred_thousand_output_paths_are_refused_or_served(target: Target, worker: None) -> None:
    paths = [f"out/{number:06}" for number in range(100_000)]
    assert code(target, shell(target, "true", output_paths=paths)) in (0, INVALID)


@rule("CMD-04", "HX-16")
def test_output_paths_may_be_unsorted_repeated_and_go_up_inside_of_the_root(target: Target, worker: None) -> None:
    script = "echo 1 > z; echo 2 > a; echo 3 > ../c"
    response = run(target, script, {"in": {"x": ""}}, working_directory="in", output_paths=["z", "a", "z", "../c"])
    assert response.status.code == 0
    assert outputs(response) == {"z": "file", "a": "file", "../c": "file"}


@rule("CMD-04")
def test_the_empty_output_path_is_the_whole_working_directory(target: Target, worker: None) -> None:
    response = run(target, "echo x > b", {"in": {"a": "1"}}, working_directory="in", output_paths=[""])
    (output,) = response.result.output_directories
    assert output.path == ""
    assert [file.name for file in tree(target, output).root.files] == ["a", "b"]


@rule("CMD-05")
def test_old_output_lists_count_only_without_output_paths(target: Target, worker: None) -> None:
    script = "echo 1 > new; echo 2 > old; mkdir dir; echo 3 > dir/f"
    old = {"output_files": ["old"], "output_directories": ["dir"]}
    assert outputs(run(target, script, output_paths=["new"], **old)) == {"new": "file"}
    assert outputs(run(target, script, **old)) == {"old": "file", "dir": "directory"}


@rule("CMD-06")
def test_a_path_in_both_old_lists_is_told_as_what_it_is(target: Target, worker: None) -> None:
    both = {"output_files": ["a", "b"], "output_directories": ["a", "b"]}
    response = run(target, "echo x > a; mkdir b; echo y > b/c", **both)
    assert response.status.code == 0
    assert outputs(response) == {"a": "file", "b": "directory"}


@rule("CMD-07")
@pytest.mark.parametrize(
    ("script", "wanted"),
    [("mkdir out", {"output_files": ["out"]}), ("echo x > out", {"output_directories": ["out"]})],
)
def test_an_output_of_the_other_kind_is_refused_or_left_out(
    target: Target, worker: None, script: str, wanted: dict[str, list[str]]
) -> None:
    response = run(target, script, **wanted)
    assert response.status.code in (PRECONDITION, INVALID) or outputs(response) == {}


@rule("CMD-08")
def test_parents_of_outputs_are_there_and_the_outputs_are_not(target: Target, worker: None) -> None:
    look = "find . | sort | tr '\\n' ' '"
    assert stdout(target, run(target, look, output_paths=["a/b/c", "d"])).split() == [".", "./a", "./a/b"]
    old = run(target, look, output_files=["a/f"], output_directories=["b/c/d"])
    assert stdout(target, old).split() == [".", "./a", "./b", "./b/c"]
    below = run(target, look, {"in": {"x": ""}}, working_directory="in", output_paths=["../up/x", "own/y"])
    assert stdout(target, below).split() == [".", "./own", "./x"]


@rule("CMD-09")
def test_missing_outputs_are_left_out(target: Target, worker: None) -> None:
    response = run(target, "echo x > there", output_paths=["there", "absent", "no/such/dir"])
    assert (response.status.code, response.result.exit_code) == (0, 0)
    assert outputs(response) == {"there": "file"}


@rule("CMD-10", "HX-17")
@pytest.mark.parametrize("directory", ["not/there", "..", "../x", "/tmp", "/", "file", "in/../..", "in\0", "link"])
def test_a_working_directory_that_is_none_of_the_input_root_is_invalid(
    target: Target, worker: None, directory: str
) -> None:
    inputs = {"in": {"x": ""}, "file": "x", "link": rx.FileNode()}
    root = rx.Directory(
        files=[rx.FileNode(name="file", digest=target.put(b"x"))],
        directories=[
            rx.DirectoryNode(name="in", digest=target.put(rx.Directory(symlinks=[{"name": "x", "target": "y"}])))
        ],
        symlinks=[rx.SymlinkNode(name="link", target="/tmp")],
    )
    assert inputs
    wanted = action(target, command("/bin/true", working_directory=directory), target.put(root))
    assert code(target, wanted) == INVALID


@rule("CMD-10")
def test_the_working_directory_is_where_the_program_runs(target: Target, worker: None) -> None:
    assert stdout(target, run(target, "cat f", {"in": {"f": "here"}, "f": "no"}, working_directory="in")) == "here"
    assert stdout(target, run(target, "cat f", {"f": "root"}, working_directory="")) == "root"


def explained_or_refused(target: Target, wanted: rx.Digest) -> bool:
    """Whether an action does not run, and the client can know why."""
    watched = execute(target, wanted)
    first = watched.next()
    if first.done:
        return False
    why = metadata(first).partial_execution_metadata.auxiliary_metadata
    watched.leave()
    return len(why) > 0


@rule("CMD-11")
def test_the_actions_platform_goes_before_the_commands(target: Target, worker: None, own: Own) -> None:
    linux, other = platform(OSFamily="linux"), platform(OSFamily="plan9")
    assert code(target, action(target, command("true", platform=linux))) == 0
    assert code(target, action(target, command("true", platform=other), platform=linux)) == 0
    assert explained_or_refused(target, action(target, command("true", platform=linux), platform=other))


@rule("CMD-12")
def test_unsorted_properties_are_taken(target: Target, worker: None, own: Own) -> None:
    properties = [
        rx.Platform.Property(name="cpu_count", value="1"),
        rx.Platform.Property(name="OSFamily", value="linux"),
    ]
    assert code(target, action(target, command("true"), platform=rx.Platform(properties=properties))) == 0


@rule("CMD-13")
def test_a_property_that_no_worker_has_is_refused_or_explained(target: Target, worker: None, own: Own) -> None:
    for wanted in (platform(OSFamily="plan9"), platform(cpu_count="4096")):
        assert explained_or_refused(target, action(target, command("true"), platform=wanted))
    assert code(target, action(target, command("true"), platform=platform(cpu_count="many"))) == INVALID


@rule("CMD-14")
def test_every_value_of_a_property_is_required(target: Target, worker: None, own: Own) -> None:
    def wanting(*values: str) -> rx.Digest:
        properties = [rx.Platform.Property(name="ISA", value=value) for value in values]
        return action(target, command("true"), platform=rx.Platform(properties=properties))

    assert code(target, wanting("x86-64")) == 0
    assert code(target, wanting("avx", "x86-64")) == 0
    assert explained_or_refused(target, wanting("avx", "sve"))
    assert explained_or_refused(target, wanting("sve", "x86-64"))


@rule("CMD-15")
def test_an_unknown_node_property_is_invalid(target: Target, worker: None) -> None:
    assert code(target, shell(target, "true", output_node_properties=["Nope"])) == INVALID


@rule("CMD-16")
@pytest.mark.parametrize("wanted", [0, 1, 2, 77])
def test_output_directories_come_in_the_form_that_is_asked_for(target: Target, worker: None, wanted: int) -> None:
    script = "mkdir -p out/a/b out/c; echo x > out/a/b/f; echo y > out/c/f"
    response = run(target, script, output_paths=["out"], output_directory_format=wanted)
    (output,) = response.result.output_directories
    if wanted != rx.Command.OutputDirectoryFormat.DIRECTORY_ONLY:
        assert len(tree(target, output).children) == 3
    if wanted in (rx.Command.OutputDirectoryFormat.DIRECTORY_ONLY, rx.Command.OutputDirectoryFormat.TREE_AND_DIRECTORY):
        root = rx.Directory.FromString(blob(target, output.root_directory_digest))
        below = [rx.Directory.FromString(blob(target, node.digest)) for node in root.directories]
        assert [node.name for node in root.directories] == ["a", "c"]
        deepest = rx.Directory.FromString(blob(target, below[0].directories[0].digest))
        assert [file.name for file in deepest.files] == ["f"]


@rule("CMD-17", "CMD-18")
def test_salt_and_timeout_make_other_actions(target: Target, worker: None) -> None:
    birth = command("/bin/cat", "/proc/sys/kernel/random/uuid")
    salt = uuid_bytes()
    wanted = [action(target, birth, salt=salt), action(target, birth, salt=salt + b"x")]
    wanted.append(action(target, birth, salt=salt, seconds=30))
    assert len({stdout(target, ended(target, one)) for one in wanted}) == 3


@rule("CMD-19")
def test_an_absent_digest_in_an_action_is_invalid(target: Target, worker: None) -> None:
    made = target.put(command("/bin/true"))
    for absent in (rx.Action(command_digest=made, salt=uuid_bytes()), rx.Action(input_root_digest=digest(b""))):
        assert code(target, target.put(absent)) == INVALID


@rule("CMD-20")
@pytest.mark.parametrize("what", ["argument", "variable", "arguments"])
def test_strings_that_no_kernel_takes_are_invalid(target: Target, worker: None, what: str) -> None:
    made = command("/bin/true")
    match what:
        case "argument":
            made.arguments.append("x" * (3 << 20))
        case "variable":
            made.environment_variables.add(name="Z", value="x" * (3 << 20))
        case _:
            made.arguments.extend(["x" * 100_000] * 70)
    assert code(target, action(target, made)) == INVALID


@rule("CMD-20")
def test_strings_that_a_kernel_takes_are_passed_on(target: Target, worker: None) -> None:
    response = run(target, "echo ${#A}", env={"A": "x" * 100_000})
    assert stdout(target, response) == "100000\n"
    assert response.status.code not in RETRIED_BY_BAZEL
    assert STAGE.COMPLETED
    assert not_applicable
