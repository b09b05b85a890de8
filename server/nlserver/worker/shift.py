"""What a worker does while it is registered: it takes orders, runs them side by side, kills and reports."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from nlserver import log
from nlserver.errors import Code, Error
from nlserver.proto import worker_api_pb2
from nlserver.reapi.digest import Function
from nlserver.worker.action import Bench, perform
from nlserver.worker.finish import heed_cancelling
from nlserver.worker.leash import Leash
from nlserver.worker.link import Session
from nlserver.worker.order import Order, answer, blank, order_of, refused
from nlserver.worker.stamps import Stamps


class Shift:
    """Serves one session after another.

    At most `most_actions` run at a time, 0 for no limit; `default` is the digest function of orders that name none.
    """

    def __init__(self, bench: Bench, default: Function, most_actions: int) -> None:
        self._bench = bench
        self._default = default
        self._most = most_actions
        self._running: dict[str, Leash] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    async def serve(self, session: Session, draining: asyncio.Event) -> None:
        """Obey until `draining` is set and the last action has ended.

        Raises Error when the connection is lost, once all actions are killed and tidied up.
        """
        lost: Error | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(session.write(), name="reports to the scheduler")
                tasks.create_task(self._sign_off(session, draining), name="signing off")
                async for update in session.updates():
                    self._obey(update, session, tasks)
        except* _SignedOff:
            pass
        except* Error as errors:
            lost = _first(errors)
        heed_cancelling()
        if lost is not None:
            raise lost

    async def _sign_off(self, session: Session, draining: asyncio.Event) -> NoReturn:
        await draining.wait()
        self._draining = True
        log.info("Worker is draining", worker_id=session.worker_id, running=len(self._running))
        await self._idle.wait()
        await session.sign_off()
        raise _SignedOff

    def _obey(self, update: worker_api_pb2.UpdateForWorker, session: Session, tasks: asyncio.TaskGroup) -> None:
        match update.WhichOneof("update"):
            case "start_action":
                self._start(update.start_action, session, tasks)
            case "kill_operation_request":
                self._kill(update.kill_operation_request.operation_id)
            case None:
                log.warn("The scheduler sent an update of an unknown kind", worker_id=session.worker_id)
            case _:
                # keep_alive says nothing new, and a disconnect is followed by the end of the stream.
                pass

    def _start(self, start: worker_api_pb2.StartExecute, session: Session, tasks: asyncio.TaskGroup) -> None:
        operation, instance = start.operation_id, start.execute_request.instance_name
        if (refusal := self._refusal(operation)) is not None:
            session.report(answer(operation, instance, refusal))
            return
        try:
            order = order_of(start, self._default, session.worker_id)
        except Error as error:
            response = blank(self._default)
            refused(response, error)
            Stamps(self._bench.clock, 0).write(response.result.execution_metadata)
            session.report(answer(operation, instance, response))
            return
        self._running[operation] = leash = Leash()
        self._idle.clear()
        tasks.create_task(self._perform(order, leash, session), name=f"action {operation}")

    def _refusal(self, operation: str) -> Error | None:
        """Why an order is not taken now."""
        if self._draining:
            return Error(Code.RESOURCE_EXHAUSTED, "Worker shutting down")
        if operation in self._running:
            return Error(Code.ALREADY_EXISTS, f"operation {operation} runs here already")
        if self._most and len(self._running) >= self._most:
            return Error(Code.RESOURCE_EXHAUSTED, f"this worker runs {self._most} actions already, the most it may")
        return None

    def _kill(self, operation: str) -> None:
        leash = self._running.get(operation)
        if leash is None:
            log.warn("Asked to kill an operation that does not run here", operation=operation)
            return
        log.warn("Sending kill to running operation", operation=operation)
        leash.kill()

    async def _perform(self, order: Order, leash: Leash, session: Session) -> None:
        def executed() -> None:
            # It lets the scheduler give the action's countable properties to others: without any it says nothing.
            if order.properties:
                session.completed(order.operation_id)

        try:
            session.report(await perform(self._bench, order, leash, executed))
        finally:
            del self._running[order.operation_id]
            if not self._running:
                self._idle.set()


class _SignedOff(Exception):
    """Ends a session in good order."""


def _first(group: BaseExceptionGroup[Error]) -> Error:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
