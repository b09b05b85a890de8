"""AC: ActionCache."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.catalogue import departure, rule
from tests.conformance.own import CLOSED_INSTANCE, SMALL_BYTES, SMALL_INSTANCE, Own
from tests.conformance.target import (
    Code,
    Target,
    digest,
    fresh,
    function_number,
    key,
    not_applicable,
    refused,
    rx,
    status_of,
)


def update(target: Target, action: rx.Digest, result: rx.ActionResult, **fields: Any) -> rx.ActionResult:
    return target.ac.UpdateActionResult(
        rx.UpdateActionResultRequest(
            **{"instance_name": target.instance, "action_digest": action, "action_result": result, **fields}
        )
    )


def get(target: Target, action: rx.Digest, **fields: Any) -> rx.ActionResult:
    return target.ac.GetActionResult(
        rx.GetActionResultRequest(**{"instance_name": target.instance, "action_digest": action, **fields})
    )


def is_hit(target: Target, action: rx.Digest, **fields: Any) -> bool:
    code = status_of(lambda: get(target, action, **fields)).code
    assert code in (Code.OK, Code.NOT_FOUND)
    return code is Code.OK


def file(target: Target, path: str, size: int = 40, **fields: Any) -> rx.OutputFile:
    return rx.OutputFile(path=path, digest=target.put(fresh(size)), **fields)


def tree_with(*files: rx.Digest) -> rx.Tree:
    """A Tree whose files stand at the root and one level below it."""
    below = rx.Directory()
    root = rx.Directory()
    for number, name in enumerate(files):
        (root if number == 0 else below).files.add(name=f"f{number}", digest=name)
    root.directories.add(name="below", digest=digest(below))
    return rx.Tree(root=root, children=[below])


def complete(target: Target) -> rx.ActionResult:
    """A result with everything that a result may have, all of it on the server."""
    tree = tree_with(target.put(fresh(30)), target.put(fresh(31)))
    for directory in (tree.root, *tree.children):
        target.put(directory)
    result = rx.ActionResult(
        exit_code=0, output_files=[file(target, "a/b", is_executable=True)], stdout_digest=target.put(fresh(50))
    )
    result.output_directories.add(
        path="dir", tree_digest=target.put(tree), root_directory_digest=digest(tree.root), is_topologically_sorted=True
    )
    result.output_symlinks.add(path="link", target="a/b")
    result.execution_metadata.worker = "somebody"
    return result


@rule("AC-01")
def test_a_miss_is_not_found(target: Target) -> None:
    with refused(Code.NOT_FOUND):
        get(target, digest(fresh(50)))


@rule("AC-02", "AC-08")
@pytest.mark.parametrize("missing", ["output file", "stdout", "stderr", "tree", "file in a tree", "root directory"])
def test_a_result_whose_blobs_are_not_there_is_a_miss(target: Target, missing: str) -> None:
    absent = digest(fresh(60))
    result = complete(target)
    match missing:
        case "output file":
            result.output_files.add(path="gone", digest=absent)
        case "stdout":
            result.stdout_digest.CopyFrom(absent)
        case "stderr":
            result.stderr_digest.CopyFrom(absent)
        case "tree":
            result.output_directories.add(path="gone", tree_digest=absent)
        case "file in a tree":
            tree = tree_with(target.put(fresh(10)), absent)
            result.output_directories.add(path="gone", tree_digest=target.put(tree))
        case "root directory":
            result.output_directories[0].root_directory_digest.CopyFrom(absent)
    action = digest(fresh(50))
    code = status_of(lambda: update(target, action, result)).code
    assert code in (Code.OK, Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT, Code.NOT_FOUND)
    assert not is_hit(target, action)


@rule("AC-02")
def test_a_complete_result_is_a_hit_until_a_file_inside_of_its_tree_is_gone(target: Target, own: Own) -> None:
    nested = target.put(fresh(70))
    tree = tree_with(target.put(fresh(10)), nested)
    action = digest(fresh(50))
    update(target, action, rx.ActionResult(output_directories=[{"path": "d", "tree_digest": target.put(tree)}]))
    assert is_hit(target, action)
    own.file_of(nested).unlink()
    assert not is_hit(target, action)


@rule("AC-03")
def test_a_hit_protects_all_that_it_refers_to_from_eviction(target: Target, own: Own) -> None:
    def put(data: bytes) -> rx.Digest:
        (status,) = target.update(data, instance_name=SMALL_INSTANCE)
        assert status.code == 0
        return digest(data)

    held = [put(fresh(100)) for _ in range(3)]
    tree = tree_with(held[1], held[2])
    held.append(put(tree.SerializeToString()))
    result = rx.ActionResult(
        output_files=[{"path": "f", "digest": held[0]}], output_directories=[{"path": "d", "tree_digest": held[3]}]
    )
    action = digest(fresh(50))
    update(target, action, result, instance_name=SMALL_INSTANCE)
    other = put(fresh(100))
    for _ in range(30):
        assert is_hit(target, action, instance_name=SMALL_INSTANCE)
        put(fresh(SMALL_BYTES // 10))
    assert target.find_missing(*held, other, instance_name=SMALL_INSTANCE) == [other]


@rule("AC-04")
def test_outputs_are_put_into_the_answer_only_when_asked_for_and_small(target: Target) -> None:
    small, large = fresh(10), fresh(10 << 20)
    result = rx.ActionResult(stdout_digest=target.put(small), stderr_digest=target.put(large))
    result.output_files.add(path="a/x", digest=target.put(small))
    result.output_files.add(path="a/y", digest=target.put(small))
    action = digest(fresh(50))
    update(target, action, result)
    plain = get(target, action)
    assert (plain.stdout_raw, plain.stderr_raw, plain.output_files[0].contents) == (b"", b"", b"")
    asked = get(target, action, inline_stdout=True, inline_stderr=True, inline_output_files=["a/x", "a"])
    assert asked.stdout_raw in (b"", small)
    assert asked.stderr_raw == b""
    assert asked.output_files[0].contents in (b"", small)
    assert asked.output_files[1].contents == b""
    assert key(asked.stdout_digest) == key(digest(small))
    assert key(asked.output_files[0].digest) == key(digest(small))


@rule("AC-05")
def test_an_update_is_kept_answered_and_overwritten(target: Target) -> None:
    action, first = digest(fresh(50)), complete(target)
    answered = update(target, action, first)
    for found in (answered, get(target, action)):
        assert found.output_files == first.output_files
        assert found.output_directories == first.output_directories
        assert found.output_symlinks == first.output_symlinks
        assert found.execution_metadata.worker
    update(target, action, rx.ActionResult(exit_code=0, output_files=[file(target, "other")]))
    assert [one.path for one in get(target, action).output_files] == ["other"]


@rule("AC-06")
def test_neither_the_action_nor_its_inputs_need_be_there(target: Target) -> None:
    absent = rx.Action(command_digest=digest(fresh(10)), input_root_digest=digest(fresh(10)))
    code = status_of(lambda: update(target, digest(absent), complete(target))).code
    # A server may ask for Action and Command, but not for the input root.
    if code is not Code.OK:
        assert code is Code.FAILED_PRECONDITION
        absent.command_digest.CopyFrom(target.put(rx.Command(arguments=["x"])))
        update(target, target.put(absent), complete(target))
    assert is_hit(target, digest(absent))


@rule("AC-07")
def test_contents_that_stand_in_an_update_are_not_lost(target: Target) -> None:
    action, words, content = digest(fresh(50)), fresh(20), fresh(30)
    result = rx.ActionResult(stdout_raw=words)
    result.output_files.add(path="f", digest=target.put(content), contents=content)
    update(target, action, result)
    found = get(target, action)
    assert found.stdout_raw == words or target.read(target.read_name(found.stdout_digest)) == words
    assert target.read(target.read_name(found.output_files[0].digest)) == content


@rule("AC-09")
def test_refused_updates_are_permission_denied_and_announced(target: Target, own: Own) -> None:
    with refused(Code.PERMISSION_DENIED):
        update(target, digest(fresh(50)), rx.ActionResult(exit_code=1), instance_name=CLOSED_INSTANCE)
    announced = target.capabilities_service.GetCapabilities(rx.GetCapabilitiesRequest(instance_name=CLOSED_INSTANCE))
    assert not announced.cache_capabilities.action_cache_update_capabilities.update_enabled


@rule("AC-09")
def test_what_is_announced_of_updates_is_true(target: Target) -> None:
    announced = target.cache.action_cache_update_capabilities.update_enabled
    code = status_of(lambda: update(target, digest(fresh(50)), rx.ActionResult(exit_code=1))).code
    assert (code is Code.OK) == announced
    assert code in (Code.OK, Code.PERMISSION_DENIED, Code.UNIMPLEMENTED, Code.UNAUTHENTICATED)


@rule("AC-10")
@pytest.mark.parametrize("path", ["/etc/passwd", "/"])
def test_an_absolute_output_path_is_refused(target: Target, path: str) -> None:
    blob = target.put(fresh(10))
    for result in (
        rx.ActionResult(output_files=[{"path": path, "digest": blob}]),
        rx.ActionResult(output_directories=[{"path": path, "tree_digest": target.put(rx.Tree())}]),
        rx.ActionResult(output_symlinks=[{"path": path, "target": "x"}]),
    ):
        with refused(Code.INVALID_ARGUMENT):
            update(target, digest(fresh(50)), result)


@rule("AC-10")
def test_a_path_above_the_working_directory_is_possible(target: Target) -> None:
    action = digest(fresh(50))
    update(target, action, rx.ActionResult(output_files=[file(target, "../../out/x")]))
    assert get(target, action).output_files[0].path == "../../out/x"


@rule("AC-10")
@pytest.mark.parametrize("bad", [{"hash": "x", "size_bytes": 3}, {"hash": "a" * 64, "size_bytes": -1}])
def test_an_impossible_digest_is_refused_wherever_it_stands(target: Target, bad: dict[str, Any]) -> None:
    for result in (
        rx.ActionResult(output_files=[{"path": "f", "digest": bad}]),
        rx.ActionResult(stdout_digest=bad),
        rx.ActionResult(stderr_digest=bad),
        rx.ActionResult(output_directories=[{"path": "d", "tree_digest": bad}]),
        rx.ActionResult(
            output_directories=[
                {"path": "d", "tree_digest": target.put(rx.Tree()), "root_directory_digest": bad},
            ]
        ),
    ):
        with refused(Code.INVALID_ARGUMENT):
            update(target, digest(fresh(50)), result)


@rule("AC-11")
def test_an_empty_result_is_a_result(target: Target) -> None:
    action = digest(fresh(50))
    update(target, action, rx.ActionResult())
    assert get(target, action).exit_code == 0


@rule("AC-12")
def test_a_result_that_never_fits_is_resource_exhausted(target: Target, own: Own) -> None:
    with refused(Code.RESOURCE_EXHAUSTED):
        update(target, digest(fresh(50)), rx.ActionResult(stdout_raw=fresh(150_000)), instance_name=SMALL_INSTANCE)


@rule("AC-13")
@pytest.mark.parametrize("code", [1, 137, -1])
def test_the_result_of_a_failed_action_is_kept_as_it_was_given(target: Target, code: int) -> None:
    action = digest(fresh(50))
    update(target, action, rx.ActionResult(exit_code=code))
    assert get(target, action).exit_code == code


@rule("AC-14")
def test_the_instance_is_part_of_the_key(target: Target) -> None:
    action = digest(fresh(50))
    update(target, action, rx.ActionResult(exit_code=5))
    update(target, action, rx.ActionResult(exit_code=6), instance_name=target.other_instance)
    assert get(target, action).exit_code == 5
    assert get(target, action, instance_name=target.other_instance).exit_code == 6


@rule("AC-14", refused=True)
def test_the_digest_function_is_part_of_the_key(target: Target) -> None:
    if "BLAKE3" not in target.functions:
        not_applicable("BLAKE3 is not announced")
    action = digest(fresh(50))
    update(target, action, rx.ActionResult(exit_code=5))
    with refused(Code.NOT_FOUND):
        get(target, action, digest_function=function_number("BLAKE3"))


@departure("AC-14")
def test_a_result_is_found_under_its_hash_whichever_function_is_asked_for(target: Target) -> None:
    action = digest(fresh(50))
    update(target, action, rx.ActionResult(exit_code=5))
    assert get(target, action, digest_function=function_number("BLAKE3")).exit_code == 5


@rule("AC-15")
@pytest.mark.parametrize("priority", [5, -5, 2**31 - 1])
def test_a_priority_for_the_cache_is_no_error(target: Target, priority: int) -> None:
    action = digest(fresh(50))
    update(target, action, rx.ActionResult(exit_code=5), results_cache_policy={"priority": priority})
    assert get(target, action).exit_code == 5


@rule("AC-16")
def test_results_of_executed_actions_have_their_metadata_and_trees_also_from_the_cache(
    target: Target, worker: None
) -> None:
    script = f"mkdir -p out/d && echo {fresh(4).hex()} > out/d/f"
    command = rx.Command(arguments=["/bin/sh", "-c", script], output_paths=["out"])
    action = target.put(rx.Action(command_digest=target.put(command), input_root_digest=digest(b"")))
    *_, last = target.execution.Execute(rx.ExecuteRequest(instance_name=target.instance, action_digest=action))
    response = rx.ExecuteResponse()
    assert last.response.Unpack(response)
    for result in (response.result, get(target, action)):
        assert result.HasField("execution_metadata")
        (directory,) = result.output_directories
        assert target.is_present(directory.tree_digest)


@rule("AC-17")
def test_where_clients_may_not_update_executions_still_fill_the_cache(target: Target, own: Own, worker: None) -> None:
    command = target.put(rx.Command(arguments=["/bin/echo", fresh(4).hex()]))
    action = target.put(rx.Action(command_digest=command, input_root_digest=digest(b"")))
    assert not is_hit(target, action, instance_name=CLOSED_INSTANCE)
    list(target.execution.Execute(rx.ExecuteRequest(instance_name=target.instance, action_digest=action)))
    with refused(Code.PERMISSION_DENIED):
        update(target, action, rx.ActionResult(exit_code=1), instance_name=CLOSED_INSTANCE)
    assert get(target, action, instance_name=CLOSED_INSTANCE).exit_code == 0


@rule("AC-18")
@pytest.mark.parametrize("bad", [{"hash": "x", "size_bytes": 3}, {"hash": "A" * 64, "size_bytes": 3}, {}])
def test_a_malformed_digest_is_refused(target: Target, bad: dict[str, Any]) -> None:
    with refused(Code.INVALID_ARGUMENT):
        get(target, rx.Digest(**bad))
    with refused(Code.INVALID_ARGUMENT):
        update(target, rx.Digest(**bad), rx.ActionResult(exit_code=1))
