"""The verdicts of `doctor object`, without a cluster: each follows from facts, and only from them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from nlserver.reapi.digest import of

from nlctl.arguments import cut
from nlctl.doctor.blob import Cause, Client, Facts, diagnose, way
from nlctl.layers import Eviction, Layer, Sighting

DIGEST = of(b"some blob")
HAS = Client(has=True, read="ok")
LACKS = Client(has=False)
CAS = Sighting("cas", "CAS", "filesystem", "absent")
FAST = Sighting("worker-1", "CAS/fast", "filesystem", "absent")
SLOW = Sighting("worker-1", "CAS/slow", "grpc", "absent")
CHECKER = Sighting("scheduler", "CAS", "grpc", "absent")
LEADS = {("worker-1", "CAS/slow"): "grpc://a:1", ("scheduler", "CAS"): "grpc://a:1"}
KNOWN_RESULTS = Layer("scheduler", "RESULTS", "completeness_checking", {}, None, None, 0, can_list=False)
NOWHERE = Facts(DIGEST, LACKS, [CAS, FAST, SLOW, CHECKER], [KNOWN_RESULTS], LEADS)
THERE = replace(NOWHERE, client=HAS, sightings=[replace(one, state="present") for one in NOWHERE.sightings])
RIVALS = {"/data/fast": ["nativelink 10", "nativelink 11"]}
EVICTED = replace(CAS, evicted=Eviction(1000.0, "max_bytes", 30.0))

CASES = [
    (THERE, Cause.PRESENT),
    (replace(THERE, split=[("worker-1", "CAS/slow")]), Cause.SPLIT_CAS),
    (replace(NOWHERE, split=[("worker-1", "CAS/slow")]), Cause.SPLIT_CAS),
    (replace(THERE, split=[("scheduler", "CAS")]), Cause.SCHED_SPLIT),
    (replace(THERE, sightings=[replace(SLOW, state="unreachable", message="refused")]), Cause.SLOW_UNREACHABLE),
    (replace(NOWHERE, sightings=[CAS, replace(FAST, state="present"), SLOW]), Cause.FAST_ONLY),
    (replace(THERE, rivals=RIVALS), Cause.SHARED_FAST),
    (replace(NOWHERE, rivals=RIVALS), Cause.SHARED_FAST),
    (replace(THERE, rivals=RIVALS, split=[("worker-1", "CAS/slow")]), Cause.SPLIT_CAS),
    (replace(THERE, rivals=RIVALS, client=Client(has=True, read="wrong")), Cause.CORRUPT),
    (replace(NOWHERE, rivals=RIVALS, sightings=[EVICTED, FAST, SLOW]), Cause.EVICTED),
    (replace(NOWHERE, rivals=RIVALS, other_sizes=[7]), Cause.WRONG_SIZE),
    (replace(THERE, client=Client(has=True, read="wrong"), other_function="BLAKE3"), Cause.WRONG_FUNCTION),
    (replace(THERE, client=Client(has=True, read="absent")), Cause.STALE_INDEX),
    (replace(THERE, client=Client(has=True, read="wrong")), Cause.CORRUPT),
    (replace(NOWHERE, sightings=[EVICTED, FAST, SLOW]), Cause.EVICTED),
    (replace(NOWHERE, sightings=[EVICTED, FAST, SLOW], dangling=True), Cause.AC_DANGLING),
    (replace(NOWHERE, other_sizes=[7]), Cause.WRONG_SIZE),
    (replace(NOWHERE, other_function="BLAKE3"), Cause.WRONG_FUNCTION),
    (replace(NOWHERE, other_instance="main"), Cause.WRONG_INSTANCE),
    (NOWHERE, Cause.NEVER_UPLOADED),
    (Facts(DIGEST, LACKS), Cause.NEVER_UPLOADED),
    (Facts(DIGEST, HAS), Cause.PRESENT),
    (Facts(DIGEST, Client(has=True, read="unread")), Cause.PRESENT),
    (replace(NOWHERE, client=Client(has=None, trouble="refused")), Cause.UNKNOWN),
    (replace(NOWHERE, sightings=[CAS, Sighting("worker-2", "", "", "unreachable")]), Cause.UNKNOWN),
]


@pytest.mark.parametrize(
    ("facts", "cause"), CASES, ids=[f"{number}-{cause}" for number, (_, cause) in enumerate(CASES)]
)
def test_facts_lead_to_one_verdict_with_a_fix(facts: Facts, cause: Cause) -> None:
    """Statement 44."""
    found = diagnose(facts)
    assert found.cause is cause
    assert found.what
    assert found.fixes
    for fix in found.fixes:
        assert not fix.command or cut(fix.command[1:], {}).leaf is not None


def test_every_verdict_has_facts_that_lead_to_it() -> None:
    assert {cause for _, cause in CASES} == set(Cause)


def test_the_way_marks_where_it_ends() -> None:
    facts = replace(NOWHERE, split=[("worker-1", "CAS/slow")])
    hops = way(facts, diagnose(facts))
    assert [hop.place for hop in hops if hop.at_fault] == ["worker-1:CAS/slow"]
    assert hops[0].place == "client"
    assert "leads to grpc://a:1" in next(hop.note for hop in hops if hop.at_fault)
