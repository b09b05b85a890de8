"""Any course of events keeps every invariant of the machine, and every submitted operation comes to an end."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from nlserver.dispatch.effects import Disconnect, Effect, Forget, Kill, Publish, Refuse, Start
from nlserver.dispatch.events import (
    Abandoned,
    Attended,
    Cancelled,
    Event,
    Executed,
    Failed,
    Finished,
    Submitted,
    Ticked,
    WorkerDrained,
    WorkerJoined,
    WorkerLeft,
    WorkerSpoke,
    WorkerUndrained,
)
from nlserver.dispatch.model import ActionRequest, Failure, Limits, Response, Stage, WorkerOffer
from nlserver.dispatch.properties import PropertyKind, needs_of, offer_of
from nlserver.dispatch.state import State
from nlserver.errors import Code
from nlserver.reapi.digest import of

KINDS = {"os": PropertyKind.EXACT, "cpu": PropertyKind.MINIMUM, "image": PropertyKind.PRIORITY}
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "os": st.sampled_from(["linux", "windows"]),
        "cpu": st.sampled_from(["0", "1", "3"]),
        "image": st.just("debian"),
        "silo": st.sampled_from(["a", "b"]),
    },
)
CODES = st.sampled_from([Code.INTERNAL, Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT, Code.UNAVAILABLE])


class Dispatch(RuleBasedStateMachine):
    """Clients, workers and an operator that do anything at any time; runs are tracked by the effects alone."""

    waiters = Bundle("waiters")
    workers = Bundle("workers")

    @initialize(
        retries=st.integers(0, 2),
        ceiling=st.none() | st.just(20.0),
        newest_first=st.booleans(),
        most_queued=st.sampled_from([3, 1000]),
        most_retained=st.sampled_from([2, 1000]),
    )
    def begin(
        self, retries: int, ceiling: float | None, newest_first: bool, most_queued: int, most_retained: int
    ) -> None:
        limits = Limits(
            max_job_retries=retries,
            worker_timeout=50,
            client_action_timeout=30,
            max_action_executing_timeout=ceiling,
            unacknowledged_kill_timeout=15,
            retain_completed=25,
            newest_worker_first=newest_first,
            most_queued=most_queued,
            most_retained=most_retained,
        )
        self.state = State(limits)
        self.now = 0.0
        self.serial = 0
        self.streams: dict[str, int] = {}
        self.running: dict[str, set[str]] = {}
        self.started: set[str] = set()
        self.killed: set[tuple[str, str]] = set()

    def handle(self, event: Event) -> list[Effect]:
        effects = self.state.handle(event, self.now)
        for effect in effects:
            self.carry_out(effect)
        return effects

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case Start(worker, run):
                assert run not in self.started, "no run starts twice"
                self.started.add(run)
                self.running[worker].add(run)
            case Kill(worker, run):
                assert run in self.running[worker], "only what runs is killed"
                assert (worker, run) not in self.killed, "a run is killed once"
                self.killed.add((worker, run))
            case Disconnect(worker):
                del self.running[worker]
            case Forget(waiter):
                assert not self.streams.pop(waiter), "a waiter with open streams is not forgotten"
            case Publish(operation):
                assert operation in self.state.operations

    def name(self, prefix: str) -> str:
        self.serial += 1
        return f"{prefix}{self.serial}"

    @rule(
        target=waiters,
        action=st.sampled_from("xyz"),
        priority=st.integers(-1, 2),
        asked=ASKED,
        alone=st.booleans(),
    )
    def submit(self, action: str, priority: int, asked: dict[str, str], alone: bool) -> object:
        properties = tuple(asked.items())
        request = ActionRequest("", of((action + str(asked)).encode()), properties, priority, do_not_cache=alone)
        waiter = self.name("waiter")
        effects = self.handle(Submitted(self.name("operation"), waiter, request, needs_of(properties, KINDS)))
        if any(isinstance(effect, Refuse) for effect in effects):
            assert waiter not in self.state.waiters
            return multiple()
        self.streams[waiter] = 1
        assert self.state.view(waiter).priority <= priority
        return waiter

    @rule(waiter=waiters)
    def abandon(self, waiter: str) -> None:
        if self.streams.get(waiter):
            self.streams[waiter] -= 1
            self.handle(Abandoned(waiter))

    @rule(waiter=waiters)
    def attend(self, waiter: str) -> None:
        if waiter in self.streams:
            self.streams[waiter] += 1
        self.handle(Attended(waiter))

    @rule(waiter=waiters, whole=st.booleans())
    def cancel(self, waiter: str, whole: bool) -> None:
        known = self.state.waiters.get(waiter)
        name = known.operation.id if known and whole else waiter
        self.handle(Cancelled(name))
        if waiter in self.state.waiters:
            assert self.state.view(waiter).stage is Stage.COMPLETED

    @rule(target=workers, offered=ASKED, most=st.none() | st.integers(1, 3), kills=st.booleans())
    def join(self, offered: dict[str, str], most: int | None, kills: bool) -> str:
        worker = self.name("worker")
        self.running[worker] = set()
        properties = tuple(offered.items())
        self.handle(WorkerJoined(worker, WorkerOffer(worker, properties, most), offer_of(properties, KINDS), kills))
        return worker

    @rule(worker=consumes(workers))
    def leave(self, worker: str) -> None:
        self.handle(WorkerLeft(worker, "gone"))
        assert worker not in self.running

    @rule(worker=workers)
    def speak(self, worker: str) -> None:
        self.handle(WorkerSpoke(worker))

    @rule(worker=workers, draining=st.booleans())
    def drain(self, worker: str, draining: bool) -> None:
        self.handle(WorkerDrained(worker) if draining else WorkerUndrained(worker))

    @rule(data=st.data(), worker=workers)
    def executed(self, data: st.DataObject, worker: str) -> None:
        if runs := sorted(self.running.get(worker, ())):
            self.handle(Executed(worker, data.draw(st.sampled_from(runs))))

    @rule(data=st.data(), worker=workers)
    def finish(self, data: st.DataObject, worker: str) -> None:
        if runs := sorted(self.running.get(worker, ())):
            run = data.draw(st.sampled_from(runs))
            self.running[worker].remove(run)
            self.handle(Finished(worker, run, Response(run.encode())))

    @rule(data=st.data(), worker=workers, code=CODES)
    def fail(self, data: st.DataObject, worker: str, code: Code) -> None:
        if runs := sorted(self.running.get(worker, ())):
            run = data.draw(st.sampled_from(runs))
            self.running[worker].remove(run)
            self.handle(Failed(worker, run, Failure(code, "no")))

    @rule(worker=workers)
    def report_nonsense(self, worker: str) -> None:
        self.handle(Finished(worker, "not given", Response(b"")))
        assert worker not in self.state.pool.workers

    @rule(seconds=st.sampled_from([0.5, 5.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.handle(Ticked())

    @rule()
    def wait_for_what_is_next(self) -> None:
        moment = self.state.deadline()
        if moment is not None:
            assert moment > self.now
            self.now = moment
            self.handle(Ticked())

    @invariant()
    def everything_adds_up(self) -> None:
        if not hasattr(self, "state"):
            return
        self.state.check()
        moment = self.state.deadline()
        assert moment is None or moment > self.now, "nothing that is due is left undone"
        for worker, runs in self.running.items():
            assert set(self.state.pool.workers[worker].runs) == runs, "runs live from Start to their report"

    def teardown(self) -> None:
        """When clients and workers go away, everything ends, and nothing is left behind."""
        if not hasattr(self, "state"):
            return
        for waiter in list(self.streams):
            while self.streams.get(waiter):
                self.abandon(waiter)
        while (moment := self.state.deadline()) is not None:
            self.now = moment
            self.handle(Ticked())
            self.state.check()
        assert not self.state.operations
        assert not self.state.waiters
        assert not self.state.pool.workers
        assert not self.streams


TestDispatch = Dispatch.TestCase
TestDispatch.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


def test_a_long_course_keeps_every_invariant_while_lists_grow_and_are_tidied() -> None:
    chance = random.Random(2026)
    state = State(Limits(max_job_retries=2, worker_timeout=1e9, client_action_timeout=40, retain_completed=20))
    waiters: list[str] = []
    runs: list[tuple[str, str]] = []

    def handle(event: Event, now: float) -> None:
        for effect in state.handle(event, now):
            match effect:
                case Start(worker, run):
                    runs.append((worker, run))
                case Disconnect(gone):
                    runs[:] = [each for each in runs if each[0] != gone]

    for number in range(4000):
        now = number * 0.05
        handle(Ticked(), now)
        match chance.choices(["submit", "end", "fail", "cancel", "abandon", "join", "leave"], [9, 6, 2, 2, 3, 1, 0.3])[
            0
        ]:
            case "submit":
                asked = chance.choice([(), (("os", "linux"),), (("cpu", "1"),), (("silo", str(number % 40)),)])
                action = of(str(chance.randrange(2000)).encode())
                request = ActionRequest("", action, asked, chance.randrange(-3, 3))
                handle(Submitted(f"o{number}", f"c{number}", request, needs_of(asked, KINDS)), now)
                waiters.append(f"c{number}")
            case ("end" | "fail") as how if runs:
                worker, run = runs.pop(chance.randrange(len(runs)))
                failure = Failure(chance.choice([Code.INTERNAL, Code.RESOURCE_EXHAUSTED]), "no")
                handle(Finished(worker, run, Response(b"")) if how == "end" else Failed(worker, run, failure), now)
            case ("cancel" | "abandon") as how if waiters:
                waiter = waiters.pop(chance.randrange(len(waiters)))
                handle(Cancelled(waiter) if how == "cancel" else Abandoned(waiter), now)
            case "join" if len(state.pool.workers) < 8:
                offered = chance.choice([(("os", "linux"),), (("cpu", "2"), ("silo", "7")), ()])
                offer = WorkerOffer(f"w{number}", offered, chance.choice([None, 1, 3]))
                handle(WorkerJoined(f"w{number}", offer, offer_of(offered, KINDS)), now)
            case "leave" if state.pool.workers:
                handle(WorkerLeft(chance.choice(list(state.pool.workers)), "gone"), now)
        if number % 100 == 0:
            state.check()
    state.check()
    assert state.queue.count > 100, "the course was to fill the queue"
    for group in state.queue.groups.values():
        assert len(group.heap) <= 65 + 2 * len(group.members)
    assert len(state.queue._blocked) <= 65 + 2 * len(state.queue.groups)
    assert len(state.alarms._heap) <= 65 + 4 * len(state.alarms._due)
