"""INS: instance names."""

from __future__ import annotations

import pytest

from tests.conformance.calls import Ask, by_instance, by_resource, code_of, codes_of
from tests.conformance.catalogue import departure, rule
from tests.conformance.target import Code, Target, digest, fresh, refused, rx

OK_OR_ABSENT = {Code.OK, Code.NOT_FOUND, Code.FAILED_PRECONDITION}


@rule("INS-01")
def test_every_service_knows_instances_with_no_and_with_several_segments(target: Target) -> None:
    for name in (target.instance, target.other_instance):
        data = fresh(30)
        assert target.write(target.write_name(digest(data), instance=name), data) == len(data)
        assert target.is_present(digest(data), instance_name=name)
        assert target.read(target.read_name(digest(data), instance=name)) == data
        asked: dict[str, Ask] = by_instance(target, name)
        refusals = {method: code for method, code in codes_of(asked).items() if code not in OK_OR_ABSENT}
        # The blob is one of noise: it may be refused as no Directory and no Action, but not for the instance.
        assert {method.rpartition("/")[2] for method in refusals} <= {"GetTree", "Execute", "SpliceBlob", "FetchBlob"}


@rule("INS-02")
@pytest.mark.parametrize(
    "word", ["blobs", "uploads", "actions", "actionResults", "operations", "capabilities", "compressed-blobs"]
)
def test_no_segment_of_an_instance_name_is_a_reserved_word(target: Target, word: str) -> None:
    for name in (word, f"x/{word}/y"):
        for method, code in codes_of(by_instance(target, name)).items():
            assert code is Code.INVALID_ARGUMENT, f"{method} of {name}"


@rule("INS-03")
@pytest.mark.parametrize("form", ["/{}", "{}/", "{}//x", "//{}"])
def test_a_slash_too_many_in_an_instance_name_is_refused(target: Target, form: str) -> None:
    name = form.format(target.instance or "main")
    for method, code in codes_of(by_instance(target, name)).items():
        assert code is Code.INVALID_ARGUMENT, method


@rule("INS-03", refused=True)
def test_a_resource_name_of_the_empty_instance_has_no_slash_before_it(target: Target) -> None:
    wanted = target.put(fresh(10))
    with refused(Code.INVALID_ARGUMENT):
        target.read(f"/blobs/{wanted.hash}/{wanted.size_bytes}")


@departure("INS-03")
def test_one_slash_before_the_empty_instance_of_a_resource_name_is_taken(target: Target) -> None:
    data = fresh(10)
    wanted = digest(data)
    assert target.write(f"/{target.write_name(wanted, instance='')}", data) == len(data)
    assert target.read(f"/{target.read_name(wanted, instance='')}") == data
    place = f"blobs/{wanted.hash}/{wanted.size_bytes}"
    for method, code in codes_of(by_resource(target, f"//{place}", f"//uploads/u/{place}")).items():
        assert code is Code.INVALID_ARGUMENT, method


@rule("INS-04")
def test_an_unknown_instance_has_the_same_answer_everywhere(target: Target) -> None:
    codes = codes_of(by_instance(target, "nobody/knows/this"))
    assert len(set(codes.values())) == 1, codes
    assert set(codes.values()) <= {Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED, Code.NOT_FOUND}


@rule("INS-05")
def test_the_result_of_an_action_does_not_exist_in_another_instance(target: Target) -> None:
    action = target.put(fresh(40))
    result = rx.ActionResult(exit_code=7)
    target.ac.UpdateActionResult(
        rx.UpdateActionResultRequest(instance_name=target.instance, action_digest=action, action_result=result)
    )
    request = rx.GetActionResultRequest(instance_name=target.instance, action_digest=action)
    assert target.ac.GetActionResult(request).exit_code == 7
    request.instance_name = target.other_instance
    with refused(Code.NOT_FOUND):
        target.ac.GetActionResult(request)


@rule("INS-05")
def test_an_operation_does_not_exist_in_another_instance(target: Target, worker: None) -> None:
    command = target.put(rx.Command(arguments=["/bin/echo", fresh(4).hex()]))
    action = target.put(rx.Action(command_digest=command, input_root_digest=digest(b"")))
    *_, last = target.execution.Execute(rx.ExecuteRequest(instance_name=target.instance, action_digest=action))
    own_prefix = f"{target.instance}/" if target.instance else ""
    other_prefix = f"{target.other_instance}/" if target.other_instance else ""
    assert last.name.startswith(own_prefix)
    assert code_of(lambda: target.execution.WaitExecution(rx.WaitExecutionRequest(name=last.name))) is Code.OK
    foreign = other_prefix + last.name.removeprefix(own_prefix)
    with refused(Code.NOT_FOUND):
        list(target.execution.WaitExecution(rx.WaitExecutionRequest(name=foreign)))
