"""OPS: google.longrunning.Operations."""

from __future__ import annotations

import os
from pathlib import Path

import grpc
import pytest
from google.longrunning import operations_pb2
from google.protobuf.duration_pb2 import Duration

from tests.conformance.actions import CANCELLED, STAGE, execute, metadata, run, shell, stdout, wait
from tests.conformance.calls import code_of
from tests.conformance.catalogue import rule
from tests.conformance.own import Own
from tests.conformance.target import Code, Target, not_applicable, refused, until

lro = operations_pb2


def cancel(target: Target, name: str) -> None:
    try:
        target.operations.CancelOperation(lro.CancelOperationRequest(name=name))
    except grpc.RpcError as error:
        if error.code() is Code.UNIMPLEMENTED:
            not_applicable("CancelOperation is not served")
        raise


def listed(target: Target, request: lro.ListOperationsRequest) -> lro.ListOperationsResponse:
    if code_of(lambda: target.operations.ListOperations(request)) is Code.UNIMPLEMENTED:
        not_applicable("ListOperations is not served")
    return target.operations.ListOperations(request)


@rule("OPS-01")
def test_a_cancelled_operation_ends_as_cancelled(target: Target, worker: None) -> None:
    watched = execute(target, shell(target, "sleep 1000"))
    watched.until(STAGE.EXECUTING)
    cancel(target, watched.name)
    assert watched.end().status.code == CANCELLED


@rule("OPS-01")
def test_the_process_of_a_cancelled_operation_is_killed(target: Target, worker: None, own: Own, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    os.mkfifo(told)
    watched = execute(target, shell(target, f"echo $$ > {told}; exec sleep 1000"))
    watched.next()
    pid = int(told.read_text())
    cancel(target, watched.name)
    assert watched.end().status.code == CANCELLED
    assert until(lambda: not Path(f"/proc/{pid}").exists())


@rule("OPS-01")
def test_an_operation_can_be_looked_at(target: Target, worker: None) -> None:
    watched = execute(target, shell(target, "sleep 0.5; echo done"))
    watched.next()
    found = target.operations.GetOperation(lro.GetOperationRequest(name=watched.name))
    assert found.name == watched.name
    assert not found.done
    assert metadata(found).stage != STAGE.COMPLETED
    waited = target.operations.WaitOperation(lro.WaitOperationRequest(name=watched.name, timeout=Duration(seconds=30)))
    assert waited.done
    assert metadata(waited).stage == STAGE.COMPLETED
    watched.end()


@rule("OPS-02")
def test_cancelling_for_one_client_leaves_the_action_to_the_others(target: Target, worker: None) -> None:
    wanted = shell(target, "sleep 1; echo done")
    first, second = execute(target, wanted), execute(target, wanted)
    first.next()
    second.next()
    if first.name == second.name:
        not_applicable("clients of one action share an operation here")
    cancel(target, first.name)
    assert first.end().status.code == CANCELLED
    assert stdout(target, second.end()) == "done\n"


@rule("OPS-03")
def test_unknown_operations_are_not_found(target: Target, worker: None) -> None:
    for name in ("operations/unknown", "", "a", "operations/", "\u202e", f"{target.instance}/operations/x/y"):
        for ask in (
            lambda name=name: target.operations.GetOperation(lro.GetOperationRequest(name=name)),
            lambda name=name: cancel(target, name),
            lambda name=name: target.operations.WaitOperation(lro.WaitOperationRequest(name=name)),
        ):
            with refused(Code.NOT_FOUND):
                ask()


@rule("OPS-03")
def test_cancelling_what_is_finished_changes_nothing(target: Target, worker: None) -> None:
    watched = execute(target, shell(target, "echo done"))
    watched.end()
    cancel(target, watched.name)
    assert stdout(target, wait(target, watched.name).end()) == "done\n"


@rule("OPS-03")
def test_an_operation_of_another_instance_is_not_found(target: Target, worker: None) -> None:
    watched = execute(target, shell(target, "sleep 0.5"))
    watched.next()
    last = watched.name.rpartition("operations/")[2]
    with refused(Code.NOT_FOUND):
        target.operations.GetOperation(lro.GetOperationRequest(name=f"{target.other_instance}/operations/{last}"))
    with refused(Code.NOT_FOUND):
        cancel(target, f"{target.other_instance}/operations/{last}")
    assert watched.end().status.code == 0


@rule("OPS-04")
def test_operations_are_listed_for_one_instance_in_pages(target: Target, worker: None) -> None:
    collection = f"{target.instance}/operations" if target.instance else "operations"
    runs = [execute(target, shell(target, "sleep 1")) for _ in range(5)]
    for one in runs:
        one.next()
    seen: list[str] = []
    token = ""
    while True:
        page = listed(target, lro.ListOperationsRequest(name=collection, page_size=2, page_token=token))
        assert len(page.operations) <= 2
        seen += [operation.name for operation in page.operations]
        token = page.next_page_token
        if not token:
            break
    assert len(seen) == len(set(seen)) >= 5
    for one in runs:
        one.end()
    other = listed(target, lro.ListOperationsRequest(name=f"{target.other_instance}/operations"))
    assert not {operation.name for operation in other.operations} & set(seen)


@rule("OPS-04")
@pytest.mark.parametrize("token", ["x", "nan", "\u0663", "1" * 5000])
def test_a_page_token_that_was_not_handed_out_is_refused_or_ignored(target: Target, worker: None, token: str) -> None:
    run(target, "true")
    request = lro.ListOperationsRequest(name="operations", page_token=token)
    assert code_of(lambda: target.operations.ListOperations(request)) in (Code.OK, Code.INVALID_ARGUMENT)
