"""OUT and TRE: what an action left, as its result tells it."""

from __future__ import annotations

import pytest

from tests.conformance.actions import (
    INVALID,
    PRECONDITION,
    RETRIED_BY_BAZEL,
    blob,
    ended,
    outputs,
    run,
    shell,
    stdout,
    tree,
)
from tests.conformance.catalogue import departure, rule
from tests.conformance.own import Own
from tests.conformance.target import Code, Target, digest, fresh, key, not_applicable, refused, rx

MADE = "echo x > f; mkdir d; echo y > d/g; ln -s f lf; ln -s d ld; ln -s gone lg"
NAMES = ["f", "d", "lf", "ld", "lg", "absent"]


@rule("OUT-01")
def test_what_stands_at_an_output_path_decides_its_list(target: Target, worker: None) -> None:
    result = run(target, MADE, output_paths=NAMES).result
    assert [file.path for file in result.output_files] == ["f"]
    assert [output.path for output in result.output_directories] == ["d"]
    assert sorted(link.path for link in result.output_symlinks) == ["ld", "lf", "lg"]


@rule("OUT-02")
def test_old_commands_get_symlinks_in_the_old_lists(target: Target, worker: None) -> None:
    result = run(target, MADE, output_files=["f", "lf", "lg"], output_directories=["d", "ld"]).result
    assert {link.path for link in result.output_file_symlinks} == {"lf", "lg"}
    assert {link.path for link in result.output_directory_symlinks} == {"ld"}


OLD = {"output_files": ["lf"], "output_directories": ["lf"]}


@rule("OUT-02", refused=True)
def test_old_commands_get_symlinks_in_no_other_list(target: Target, worker: None) -> None:
    assert not run(target, MADE, **OLD).result.output_symlinks


@departure("OUT-02")
def test_old_commands_get_symlinks_in_the_new_list_too_as_buck2_needs(target: Target, worker: None, own: Own) -> None:
    assert [link.target for link in run(target, MADE, **OLD).result.output_symlinks] == ["f"]


@rule("OUT-02")
def test_a_symlink_has_one_target_in_all_lists_as_bazel_insists(target: Target, worker: None) -> None:
    result = run(target, MADE, output_paths=NAMES).result
    targets: dict[str, set[str]] = {}
    for link in (*result.output_symlinks, *result.output_file_symlinks, *result.output_directory_symlinks):
        targets.setdefault(link.path, set()).add(link.target)
    assert targets == {"lf": {"f"}, "ld": {"d"}, "lg": {"gone"}}


@rule("OUT-03", "OUT-04")
def test_paths_are_those_that_were_asked_for_and_each_comes_once(target: Target, worker: None) -> None:
    paths = ["a", "../b", "deep/er/c", "", "a"]
    script = "echo 1 > a; echo 2 > ../b; echo 3 > deep/er/c"
    response = run(target, script, {"w": {"x": ""}}, working_directory="w", output_paths=paths)
    assert outputs(response) == {"a": "file", "../b": "file", "deep/er/c": "file", "": "directory"}
    assert len(response.result.output_files) == 3
    assert len(response.result.output_directories) == 1


@rule("OUT-05")
@pytest.mark.parametrize(("mode", "executable"), [("755", True), ("644", False), ("100", True), ("6755", True)])
def test_the_executable_bit_is_told(target: Target, worker: None, mode: str, executable: bool) -> None:
    response = run(target, f"mkdir d; echo x > f; cp f d; chmod {mode} f d/f", output_paths=["f", "d"])
    assert response.result.output_files[0].is_executable == executable
    assert tree(target, response.result.output_directories[0]).root.files[0].is_executable == executable


@rule("OUT-06", "HX-27")
@pytest.mark.parametrize("where", ["out", "d/out"])
@pytest.mark.parametrize(
    "make",
    [
        "mkfifo {0}",
        "python3 -c 'import socket as s; s.socket(s.AF_UNIX).bind(\"{0}\")'",
        "mknod {0} c 1 5 || mkfifo {0}",
    ],
)
def test_special_files_are_refused_without_being_opened(target: Target, worker: None, where: str, make: str) -> None:
    response = run(target, f"mkdir d; {make.format(where)}", output_paths=["out", "d"])
    assert response.status.code in (INVALID, PRECONDITION)


@rule("HX-27")
def test_links_into_the_kernel_are_told_as_links(target: Target, worker: None) -> None:
    links = "ln -s /proc/self/fd/0 a; ln -s /proc/1/root b; ln -s /dev/zero c; mkdir d; ln -s /dev/stdin d/e"
    response = run(target, links, output_paths=["a", "b", "c", "d"])
    assert outputs(response) == {"a": "symlink", "b": "symlink", "c": "symlink", "d": "directory"}


@rule("OUT-07", "HX-28")
def test_a_name_that_is_not_utf8_is_refused_in_words(target: Target, worker: None) -> None:
    response = run(target, "mkdir out; touch \"$(printf 'out/bad\\377')\"", output_paths=["out"])
    assert response.status.code in (PRECONDITION, INVALID)
    assert "bad" in response.status.message


@rule("HX-28")
def test_a_name_with_a_newline_is_a_name(target: Target, worker: None) -> None:
    response = run(target, "mkdir out; touch \"$(printf 'out/a\\nb')\"", output_paths=["out"])
    assert [file.name for file in tree(target, response.result.output_directories[0]).root.files] == ["a\nb"]


@rule("OUT-08")
def test_an_unreadable_output_is_read_or_told(target: Target, worker: None) -> None:
    response = run(target, "mkdir d; echo x > d/f; echo y > f; chmod 0 d/f f; chmod 444 d", output_paths=["d", "f"])
    if response.status.code == 0:
        assert outputs(response) == {"d": "directory", "f": "file"}
        assert blob(target, response.result.output_files[0].digest) == b"y\n"
    assert response.status.code not in RETRIED_BY_BAZEL


@rule("OUT-09", "HX-14")
def test_nothing_of_the_action_runs_while_its_outputs_are_collected(target: Target, worker: None) -> None:
    churn = "while :; do head -c 300000 /dev/urandom > out/f; rm -rf out/d; ln -s /etc out/d; done"
    script = f"mkdir out; (setsid sh -c '{churn}' >/dev/null 2>&1 &); sleep 0.3; echo done"
    for _ in range(3):
        response = run(target, script, output_paths=["out", "out/d/hostname"])
        assert response.status.code in (0, PRECONDITION)
        assert "out/d/hostname" not in outputs(response)
        for output in response.result.output_directories:
            for file in tree(target, output).root.files:
                assert key(digest(blob(target, file.digest))) == key(file.digest)


@rule("OUT-10")
def test_results_have_what_buck2_insists_on(target: Target, worker: None) -> None:
    result = run(target, MADE, output_paths=NAMES).result
    assert result.HasField("execution_metadata")
    assert all(file.HasField("digest") for file in result.output_files)
    assert all(output.HasField("tree_digest") for output in result.output_directories)


@rule("OUT-10")
def test_results_have_what_buildstream_insists_on(target: Target, worker: None) -> None:
    wanted = rx.Command.OutputDirectoryFormat.DIRECTORY_ONLY
    result = run(target, MADE, output_paths=["d"], output_directory_format=wanted).result
    assert not result.output_files
    (output,) = result.output_directories
    name = output.root_directory_digest if output.HasField("root_directory_digest") else output.tree_digest
    assert blob(target, name)


DEEP = """
mkdir -p out/a/same out/b/same out/b/c
echo 1 | tee out/a/same/f > out/b/same/f
echo 2 > out/b/c/g
ln -s a out/l
"""


@rule("TRE-01", "TRE-04")
def test_a_tree_holds_its_root_and_all_that_is_below(target: Target, worker: None) -> None:
    (output,) = run(target, DEEP, output_paths=["out"]).result.output_directories
    found = tree(target, output)
    children = {key(digest(child)): child for child in found.children}
    if output.HasField("root_directory_digest"):
        assert output.root_directory_digest == digest(found.root)

    def walk(directory: rx.Directory, at: str) -> list[str]:
        names = [f"{at}{file.name}" for file in directory.files]
        for node in directory.directories:
            names += walk(children[key(node.digest)], f"{at}{node.name}/")
        return names

    assert walk(found.root, "") == ["a/same/f", "b/c/g", "b/same/f"]
    assert [(link.name, link.target) for link in found.root.symlinks] == [("l", "a")]


@rule("TRE-02")
def test_equal_directories_give_equal_trees(target: Target, worker: None) -> None:
    one = run(target, "mkdir out; touch out/c out/a; mkdir out/d; touch out/b out/d/e", output_paths=["out"])
    two = run(target, "mkdir -p x/d; touch x/d/e x/b x/a x/c; mv x out", output_paths=["out"])
    assert one.result.output_directories[0].tree_digest == two.result.output_directories[0].tree_digest


@rule("TRE-03")
def test_what_is_told_to_be_sorted_is(target: Target, worker: None) -> None:
    (output,) = run(target, DEEP, output_paths=["out"]).result.output_directories
    if not output.is_topologically_sorted:
        not_applicable("trees are not said to be sorted")
    data = blob(target, output.tree_digest)
    found = rx.Tree.FromString(data)
    order = [key(digest(child)) for child in found.children]
    assert len(order) == len(set(order))
    assert key(digest(found.root)) not in order
    named: set[tuple[str, int]] = set()
    for place, child in enumerate(found.children):
        for node in child.directories:
            assert order.index(key(node.digest)) > place
            named.add(key(node.digest))
    assert set(order) == named | {key(node.digest) for node in found.root.directories}
    # The root's record comes first, and nothing but records of children after it.
    at, tags = 0, []
    while at < len(data):
        tags.append(data[at])
        length, shift, at = 0, 0, at + 1
        while True:
            byte = data[at]
            length |= (byte & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if byte < 0x80:
                break
        at += length
    assert tags == [0x0A] + [0x12] * len(order)


@rule("TRE-05")
def test_an_empty_directory_is_the_smallest_tree(target: Target, worker: None) -> None:
    (output,) = run(target, "mkdir out", output_paths=["out"]).result.output_directories
    assert blob(target, output.tree_digest) == b"\x0a\x00"


@rule("TRE-06")
def test_trees_of_others_are_taken_in_any_order(target: Target) -> None:
    if not target.cache.action_cache_update_capabilities.update_enabled:
        not_applicable("clients may not update the action cache")
    content = target.put(fresh(20))
    leaf = rx.Directory(files=[rx.FileNode(name="f", digest=content)])
    orphan = rx.Directory(files=[rx.FileNode(name="o", digest=content)])
    root = rx.Directory(directories=[rx.DirectoryNode(name="d", digest=digest(leaf))])
    made = target.put(rx.Tree(root=root, children=[orphan, leaf, root, leaf]))
    result = rx.ActionResult(output_directories=[rx.OutputDirectory(path="out", tree_digest=made)])
    wanted = digest(fresh(30))
    request = rx.UpdateActionResultRequest(instance_name=target.instance, action_digest=wanted, action_result=result)
    target.ac.UpdateActionResult(request)
    found = target.ac.GetActionResult(rx.GetActionResultRequest(instance_name=target.instance, action_digest=wanted))
    assert found.output_directories[0].tree_digest == made


@rule("TRE-06")
def test_a_tree_that_refers_to_what_it_lacks_is_a_miss_or_served(target: Target) -> None:
    if not target.cache.action_cache_update_capabilities.update_enabled:
        not_applicable("clients may not update the action cache")
    root = rx.Directory(directories=[rx.DirectoryNode(name="d", digest=digest(fresh(9)))])
    result = rx.ActionResult()
    result.output_directories.add(path="out", tree_digest=target.put(rx.Tree(root=root)))
    wanted = digest(fresh(30))
    request = rx.UpdateActionResultRequest(instance_name=target.instance, action_digest=wanted, action_result=result)
    target.ac.UpdateActionResult(request)
    with refused(Code.NOT_FOUND):
        target.ac.GetActionResult(rx.GetActionResultRequest(instance_name=target.instance, action_digest=wanted))


@rule("SYM-01", refused=True)
def test_a_link_into_the_execution_root_is_told_as_it_is(target: Target, worker: None) -> None:
    response = run(target, 'ln -s "$PWD/f" out; pwd', output_paths=["out"])
    (link,) = response.result.output_symlinks
    assert link.target == stdout(target, response).strip() + "/f"


@departure("SYM-01")
def test_a_link_into_the_execution_root_is_told_from_where_it_stands(target: Target, worker: None, own: Own) -> None:
    response = ended(target, shell(target, 'mkdir d; ln -s "$PWD/f" d/out', output_paths=["d/out"]))
    assert [link.target for link in response.result.output_symlinks] == ["../f"]
