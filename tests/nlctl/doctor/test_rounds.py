"""What rounds of a way bring: the first one, losses, and the end of a loss; and what all of them came to."""

from __future__ import annotations

from nlctl.doctor.rounds import Leg, Track
from nlctl.doctor.roving import endpoints
from nlctl.session import Target

WELL = [Leg("name", 0.1), Leg("connection", 1.0), Leg("HTTP/2", 2.0), Leg("RPC", 4.0)]
LOST = [Leg("name", 0.1), Leg("connection", 0.5, "connection refused")]


def test_only_what_is_new_is_told() -> None:
    track = Track("CAS", "grpc://h:1")
    said = [track.gone(legs, float(now)) for now, legs in enumerate([WELL, WELL, LOST, LOST, WELL, WELL])]
    assert [one and one.event for one in said] == ["answers", None, "lost", "still lost", "back", None]
    back = said[4]
    assert back is not None
    assert (back.rounds_lost, back.seconds) == (2, 2.0)
    assert back.words.startswith("back after 2.0 s, 2 rounds lost: name 0.1 ms")
    lost = said[2]
    assert lost is not None
    assert lost.words == "lost at the layer connection: connection refused (name 0.1 ms)"


def test_a_layer_counts_the_rounds_that_came_to_it() -> None:
    track = Track("CAS", "grpc://h:1")
    for now in range(30):
        track.gone(LOST if now == 7 else [*WELL[:3], Leg("RPC", float(now))], float(now))
    rows = {row["layer"]: row for row in track.documents()}
    assert (rows["connection"]["rounds"], rows["connection"]["lost"]) == (30, 1)
    assert (rows["RPC"]["rounds"], rows["RPC"]["lost"]) == (29, 0)
    assert (rows["RPC"]["least_ms"], rows["RPC"]["longest_ms"]) == (0.0, 29.0)
    assert 14.5 < rows["RPC"]["median_ms"] < 15.5
    assert 27.5 < rows["RPC"]["p95_ms"] < 28.5
    assert track.lost == 1


def test_one_server_that_is_both_is_gone_to_once() -> None:
    assert endpoints(Target("grpc://h:1", "grpc://h:1", None, "")) == {"CAS": "grpc://h:1"}
    assert list(endpoints(Target("grpc://h:1", "grpc://h:2", "/run/socket", ""))) == ["CAS", "execution"]
    assert list(endpoints(Target("grpc://h:1", "grpc://h:2", "grpc://h:3", ""))) == ["CAS", "execution", "worker API"]
