"""Alarms ring for each key at its last moment, whatever was said before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from nlserver.dispatch.alarms import Alarms

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from("abcd"), st.integers(0, 20)),
        st.tuples(st.just("clear"), st.sampled_from("abcd"), st.just(0)),
        st.tuples(st.just("pop"), st.just(""), st.integers(0, 20)),
    ),
    max_size=60,
)


@given(STEPS)
def test_they_agree_with_a_dictionary(steps: list[tuple[str, str, int]]) -> None:
    alarms: Alarms[str] = Alarms()
    due: dict[str, float] = {}
    for verb, key, moment in steps:
        match verb:
            case "set":
                alarms.set(key, moment)
                due[key] = moment
            case "clear":
                alarms.clear(key)
                due.pop(key, None)
            case "pop":
                rung = list(alarms.pop_due(moment))
                assert [due[key] for key in rung] == sorted(due[key] for key in rung)
                assert set(rung) == {key for key, when in due.items() if when <= moment}
                due = {key: when for key, when in due.items() if when > moment}
        assert alarms.next() == min(due.values(), default=None)
        assert all((key in alarms) == (key in due) for key in "abcd")


def test_an_alarm_that_is_moved_for_ever_takes_no_more_room() -> None:
    alarms: Alarms[str] = Alarms()
    for moment in range(10_000):
        alarms.set("worker", moment)
        alarms.set(f"operation {moment}", moment)
        alarms.clear(f"operation {moment}")
    assert len(alarms._heap) < 200
    assert alarms.next() == 9_999
