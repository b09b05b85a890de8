"""Eviction decides as NativeLink does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from nlserver.eviction import EvictionPolicy, Held, LeastRecent, Limit, Pass


def filled(policy: EvictionPolicy, *sizes: int) -> LeastRecent[int]:
    """Keys 0, 1, 2 ... of these sizes, each used at the second of its number."""
    held: LeastRecent[int] = LeastRecent(policy)
    for number, size in enumerate(sizes):
        held.put(number, size, float(number))
    return held


def test_a_store_never_holds_exactly_max_bytes() -> None:
    held = filled(EvictionPolicy(max_bytes=30), 10, 10, 10)
    assert [(v.key, v.limit) for v in held.evict(3)] == [(0, Limit.BYTES)]
    assert held.held == Held(2, 20)


def test_the_low_watermark_frees_evict_bytes_below_the_limit() -> None:
    held = filled(EvictionPolicy(max_bytes=100, evict_bytes=50), *[10] * 10)
    assert [v.key for v in held.evict(10)] == [0, 1, 2, 3, 4, 5]
    assert held.held.size == 40


def test_below_the_limit_nothing_goes_although_it_is_above_the_watermark() -> None:
    assert filled(EvictionPolicy(max_bytes=100, evict_bytes=50), *[10] * 9).evict(9) == []


def test_an_over_age_value_drags_the_size_down_to_the_watermark() -> None:
    held = filled(EvictionPolicy(max_bytes=100, evict_bytes=80, max_seconds=5), 10, 10, 10, 10)
    victims = held.evict(6)
    assert [(v.key, v.limit, v.age) for v in victims] == [(0, Limit.BYTES, 6), (1, Limit.BYTES, 5), (2, Limit.BYTES, 4)]


def test_evict_bytes_past_max_bytes_turns_size_eviction_off_in_the_pass() -> None:
    assert filled(EvictionPolicy(max_bytes=10, evict_bytes=10), 10, 10).evict(2) == []


def test_count_is_a_limit_that_may_be_reached() -> None:
    held = filled(EvictionPolicy(max_count=2), 1, 1, 1)
    assert [(v.key, v.limit) for v in held.evict(3)] == [(0, Limit.COUNT)]


def test_age_is_strict() -> None:
    policy = EvictionPolicy(max_seconds=5)
    assert filled(policy, 1).evict(5) == []
    assert [v.limit for v in filled(policy, 1).evict(5.5)] == [Limit.SECONDS]


def test_use_makes_a_value_the_most_recent_and_young_again() -> None:
    held = filled(EvictionPolicy(max_count=2, max_seconds=60), 1, 1)
    assert held.use(0, 2)
    held.put(2, 1, 3)
    assert [v.key for v in held.evict(3)] == [1]


def test_an_expired_value_is_dropped_by_being_asked_for() -> None:
    held = filled(EvictionPolicy(max_seconds=5), 1)
    assert not held.use(0, 6)
    assert held.held == Held(0, 0)


def test_replacing_counts_a_value_once() -> None:
    held = filled(EvictionPolicy(), 10)
    held.put(0, 3, 1)
    assert held.held == Held(1, 3)


def test_a_store_without_limits_forgets_nothing() -> None:
    assert not EvictionPolicy().bounded
    assert filled(EvictionPolicy(), *[10**12] * 100).evict(1e12) == []


limits = st.integers(0, 40)
policies = st.builds(EvictionPolicy, max_bytes=limits, evict_bytes=limits, max_seconds=limits, max_count=limits)
steps = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30), st.floats(0, 10)), max_size=40)


@given(policies, steps)
def test_after_every_pass_no_limit_is_broken_and_the_sums_are_right(
    policy: EvictionPolicy, steps: list[tuple[int, int, float]]
) -> None:
    held: LeastRecent[int] = LeastRecent(policy)
    model: dict[int, tuple[int, float]] = {}
    now = 0.0
    for key, size, wait in steps:
        now += wait
        held.put(key, size, now)
        model[key] = (size, now)
        recency = sorted(model, key=lambda k: model[k][1])
        gone = [victim.key for victim in held.evict(now)]
        assert sorted(model[k][1] for k in gone) == sorted(model[k][1] for k in recency)[: len(gone)]
        for victim in gone:
            del model[victim]
        assert held.held == Held(len(model), sum(size for size, _ in model.values()))
        _no_limit_broken(policy, held.held, [used for _, used in model.values()], now)


def _no_limit_broken(policy: EvictionPolicy, held: Held, used: list[float], now: float) -> None:
    if policy.max_bytes and policy.evict_bytes < policy.max_bytes and held.count:
        assert held.size < policy.max_bytes
    if policy.max_count:
        assert held.count <= policy.max_count
    assert not policy.max_seconds or all(at >= now - policy.max_seconds for at in used)


@given(policies, st.floats(0, 100), limits, limits)
def test_a_pass_that_evicts_nothing_first_evicts_nothing_later(
    policy: EvictionPolicy, used: float, count: int, size: int
) -> None:
    eviction = Pass(policy)
    if eviction.verdict(used, Held(count, size), 100) is None:
        assert eviction.verdict(used, Held(count, size), 100) is None
