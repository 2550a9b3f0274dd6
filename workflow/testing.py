"""An engine in memory, for tests of workflows: no database, the same rules.

An engine launched on the `Journal` of one that was destroyed goes on with its workflows, as after a restart.
"""

from __future__ import annotations

import builtins
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any

from typing_extensions import Self

from workflow.engine import SETTLE_SECONDS, WorkflowEngine
from workflow.errors import EngineError
from workflow.handle import WorkflowHandle
from workflow.journal import ENDED, Journal, Record, StepRecord, info_of, now, steps_of
from workflow.logs import logger
from workflow.outbox import Outbox
from workflow.payloads import Outcome, digest, outcome_of_error, outcome_of_value, value_of
from workflow.records import Ended, Queue, Start, WorkflowInfo, WorkflowStatus
from workflow.run import Interrupted, Run, running
from workflow.starting import duplicate_in_queue, require_same, unknown_queue, unknown_workflow
from workflow.steps import mismatch

__all__ = ["InMemoryEngine", "Journal"]

TICK = 0.02  # seconds between two looks at queues and deadlines
OUTBOX_POLL = 1.0  # seconds between two looks at the outbox when nobody woke us


class InMemoryEngine(WorkflowEngine):
    """A workflow engine without a database; its workflows end with the process.

    Args:
        journal: That of an engine before it; a new one when None.
        outbox: The URL of a store's database, as `ObjectStoreServer.dbos_url` returns it, whose transitions start
            workflows here; none when None.

    Example:
        >>> with InMemoryEngine() as engine:
        ...     engine.run(order_to_trade, "AAPL", 100, 150.0, "BUY")
    """

    def __init__(self, journal: Journal | None = None, *, outbox: str | None = None) -> None:
        """Run nothing before `launch`."""
        self.journal = journal or Journal()
        self._outbox_url = outbox
        self._outbox: Outbox | None = None
        self._outbox_due = 0.0
        self._launched = False
        self._keeper: threading.Thread | None = None
        self._threads: builtins.list[threading.Thread] = []

    # ---- life

    def launch(self) -> Self:
        """Begin: go on with what the journal holds unfinished, and run what is queued."""
        if self._launched:
            raise EngineError("this engine is launched already")
        self._launched = True
        if self._outbox_url is not None:
            told = "the workflow %s waits: %s"
            self._outbox = Outbox(
                self._outbox_url, self._start, lambda subject, why: logger.warning(told, subject, why)
            )
        self._keeper = threading.Thread(target=self._keep, name="workflow-keeper", daemon=True)
        self._keeper.start()
        return self

    def destroy(self) -> None:
        """End; workflows that run are cut off between two steps."""
        if not self._launched:
            return
        self._launched = False
        with self.journal.lock:
            for workflow in self.journal.workflows.values():
                if workflow.run is not None and workflow.run.engine is self:
                    workflow.run.interrupted.set()
            self.journal.changed.notify_all()
        for thread in (*self._threads, self._keeper):
            if thread is not None and thread is not threading.current_thread():
                thread.join(timeout=10.0)
        if self._outbox is not None:
            self._outbox.close()

    def wake(self) -> None:
        """Look into the outbox at once."""
        self._outbox_due = 0.0
        with self.journal.lock:
            self.journal.changed.notify_all()

    def _keep(self) -> None:
        """Start what is queued, end what is late, and look into the outbox, as long as the engine lives."""
        time.sleep(SETTLE_SECONDS)
        with self.journal.lock:
            cut_off = [each for each in self.journal.workflows.values() if each.status is WorkflowStatus.RUNNING]
            for workflow in cut_off:
                if self._launched and (workflow.run is None or workflow.run.engine is not self):
                    self._begin(workflow)
        while self._launched:
            with self.journal.lock:
                self._dispatch()
                self._end_late()
                self.journal.changed.wait(TICK)
            if self._outbox is not None and time.monotonic() >= self._outbox_due and self._launched:
                self._outbox_due = time.monotonic() + OUTBOX_POLL
                self._outbox.drain()

    # ---- starting

    def _start(self, start: Start) -> WorkflowHandle:
        self._require_launched()
        run = running.get()
        if run is None or run.step is not None or run.engine is not self:
            return self._admit(start)
        position, name = self._position(run), f"start {start.target.name.partition('#')[0]}"
        workflow_id = start.workflow_id or f"{run.workflow_id}-{position}"
        outcome = self._record(
            run,
            position,
            name,
            lambda: outcome_of_value(self._admit(start._replace(workflow_id=workflow_id)).workflow_id, name),
        )
        return self._handle(value_of(outcome, name))

    def _admit(self, start: Start) -> WorkflowHandle:
        with self.journal.lock:
            known = self.journal.workflows.get(start.workflow_id or "")
            if known is not None:
                was = known.start
                require_same(start, was.target.name, was.target.origin, digest(was.payload), was.payload)
                return self._handle(known.workflow_id)
            if start.deduplication_id is not None:
                wanted = (start.queue, start.deduplication_id)
                held = (each for each in self.journal.workflows.values() if each.status not in ENDED)
                if any((each.start.queue, each.start.deduplication_id) == wanted for each in held):
                    raise duplicate_in_queue(start)
            workflow_id, moment = start.workflow_id or str(uuid.uuid4()), now()
            workflow = Record(
                workflow_id,
                start,
                WorkflowStatus.PENDING,
                len(self.journal.workflows),
                moment,
                moment,
                time.monotonic() + (start.delay or 0.0),
            )
            self.journal.workflows[workflow_id] = workflow
            if start.queue is None:
                self._begin(workflow)
            else:
                self.journal.changed.notify_all()
            return self._handle(workflow_id)

    def _begin(self, workflow: Record) -> None:
        """Run a workflow in a thread of its own."""
        workflow.status, workflow.updated_at = WorkflowStatus.RUNNING, now()
        workflow.attempt += 1
        workflow.begun = time.monotonic()
        if workflow.start.timeout is not None and workflow.deadline is None:
            workflow.deadline = time.time() + workflow.start.timeout
        if workflow.future.done():
            workflow.future = Future()
        thread = threading.Thread(
            target=self._work, args=(workflow, workflow.future), name=f"workflow-{workflow.workflow_id}", daemon=True
        )
        workflow.run = Run(self, workflow.workflow_id, deadline=workflow.deadline)
        self._threads = [old for old in self._threads if old.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _work(self, workflow: Record, future: Future[Ended]) -> None:
        run = workflow.run
        assert run is not None
        run.thread = threading.get_ident()
        start = workflow.start
        try:
            outcome = self._execute(run, start.target.name, start.target.origin, start.payload)
            run.require_time(self.cancel)
            beyond = [position for position in workflow.steps if position > run.taken]
            if beyond and outcome[0] == "value":
                first = min(beyond)
                error = mismatch(run, first, None, workflow.steps[first].name)
                outcome = outcome_of_error(error, f"the workflow {workflow.workflow_id}")
        except Interrupted as interrupted:
            with self.journal.lock:
                if workflow.status is WorkflowStatus.CANCELLED:
                    future.set_result(Ended(WorkflowStatus.CANCELLED, None))
                else:
                    future.set_exception(interrupted)
            return
        with self.journal.lock:
            if workflow.run is run and workflow.status is WorkflowStatus.RUNNING and not run.interrupted.is_set():
                ended = WorkflowStatus.SUCCESS if outcome[0] == "value" else WorkflowStatus.ERROR
                workflow.status, workflow.outcome, workflow.updated_at = ended, outcome, now()
                future.set_result(Ended(ended, outcome))
                self.journal.changed.notify_all()
            else:
                future.set_exception(Interrupted(workflow.workflow_id))

    # ---- queues

    def _declare(self, queue: Queue) -> None:
        with self.journal.lock:
            self.journal.queues[queue.name] = queue

    def _queue(self, name: str) -> Queue:
        queue = self.journal.queues.get(name) if isinstance(name, str) else None
        if queue is None:
            raise unknown_queue(name, builtins.list(self.journal.queues))
        return queue

    def _dispatch(self) -> None:
        now = time.monotonic()
        for queue in self.journal.queues.values():
            mine = [workflow for workflow in self.journal.workflows.values() if workflow.start.queue == queue.name]
            ready = [each for each in mine if each.status is WorkflowStatus.PENDING and each.not_before <= now]
            ready.sort(key=lambda each: (each.start.priority or 0, each.number))
            busy = sum(each.status is WorkflowStatus.RUNNING for each in mine)
            limits = [limit for limit in (queue.concurrency, queue.worker_concurrency) if limit is not None]
            room = min(limits) - busy if limits else len(ready)
            if queue.rate is not None:
                most, seconds = queue.rate
                room = min(room, most - sum(each.begun is not None and each.begun > now - seconds for each in mine))
            for workflow in ready[: max(0, room)] if queue.consume else ():
                self._begin(workflow)

    def _end_late(self) -> None:
        now = time.time()
        for workflow in self.journal.workflows.values():
            if workflow.deadline is not None and workflow.deadline <= now and workflow.status not in ENDED:
                self._cancel(workflow)

    # ---- inside a workflow

    def _position(self, run: Run, count: int = 1) -> int:
        position = run.taken + 1
        run.taken += count
        return position

    def _number(self, position: Any) -> int:
        return int(position)

    def _recorded(self, run: Run, position: int, name: str) -> Outcome | None:
        with self.journal.lock:
            if run.interrupted.is_set():
                raise Interrupted(run.workflow_id)
            step = self.journal.workflows[run.workflow_id].steps.get(position)
        if step is None:
            return None
        if step.name != name:
            raise mismatch(run, position, name, step.name)
        return step.outcome

    def _keep_step(self, run: Run, position: int, name: str, started_at: datetime, outcome: Outcome) -> None:
        with self.journal.lock:
            if run.interrupted.is_set():
                raise Interrupted(run.workflow_id)
            self.journal.workflows[run.workflow_id].steps[position] = StepRecord(name, outcome, started_at, now())

    def _record(self, run: Run, position: Any, name: str, body: Callable[[], Outcome]) -> Outcome:
        outcome = self._recorded(run, position, name)
        if outcome is None:
            started_at, outcome = now(), body()
            self._keep_step(run, position, name, started_at, outcome)
        return outcome

    async def _record_async(
        self, run: Run, position: Any, name: str, body: Callable[[], Awaitable[Outcome]]
    ) -> Outcome:
        outcome = self._recorded(run, position, name)
        if outcome is None:
            started_at, outcome = now(), await body()
            self._keep_step(run, position, name, started_at, outcome)
        return outcome

    def _send(self, workflow_id: str, topic: str, data: bytes, idempotency_key: str | None) -> None:
        self._require_launched()
        run = running.get()
        if run is None or run.step is not None:
            self._deliver(workflow_id, topic, data, idempotency_key)
            return

        def body() -> Outcome:
            self._deliver(workflow_id, topic, data, idempotency_key)
            return outcome_of_value(None, "send")

        self._record(run, self._position(run), "send", body)

    def _deliver(self, workflow_id: str, topic: str, data: bytes, key: str | None) -> None:
        with self.journal.lock:
            workflow = self._found(workflow_id)
            if key is not None and key in workflow.message_keys:
                return
            if key is not None:
                workflow.message_keys.add(key)
            workflow.messages.append((topic, data))
            self.journal.changed.notify_all()

    def _receive(self, run: Run, position: Any, topic: str, timeout: float) -> bytes | None:
        begun = self._record(run, position + 1, "recv until", lambda: outcome_of_value(time.time() + timeout, "recv"))
        deadline = value_of(begun, "recv")
        recorded = self._recorded(run, position, "recv")
        if recorded is not None:
            received: bytes | None = value_of(recorded, "recv")
            return received
        started_at = now()
        with self.journal.lock:
            workflow = self.journal.workflows[run.workflow_id]
            while True:
                if run.interrupted.is_set():
                    raise Interrupted(run.workflow_id)
                found = next((message for message in workflow.messages if message[0] == topic), None)
                if found is not None or time.time() >= deadline:
                    data = None if found is None else found[1]
                    self._keep_step(run, position, "recv", started_at, outcome_of_value(data, "recv"))
                    if found is not None:
                        workflow.messages.remove(found)
                    return data
                self.journal.changed.wait(min(0.25, max(0.0, deadline - time.time())))

    # ---- looking after them

    def cancel(self, workflow_id: str) -> None:
        """Cancel a workflow."""
        with self.journal.lock:
            workflow = self._found(workflow_id)
            if workflow.status not in ENDED:
                self._cancel(workflow)

    def _cancel(self, workflow: Record) -> None:
        if workflow.status is WorkflowStatus.PENDING:
            workflow.future.set_result(Ended(WorkflowStatus.CANCELLED, None))
        workflow.status, workflow.updated_at = WorkflowStatus.CANCELLED, now()
        if workflow.run is not None:
            workflow.run.interrupted.set()
        self.journal.changed.notify_all()

    def resume(self, workflow_id: str) -> WorkflowHandle:
        """Let a cancelled workflow go on."""
        self._require_launched()
        with self.journal.lock:
            workflow = self._found(workflow_id)
            if workflow.status is WorkflowStatus.CANCELLED:
                workflow.deadline = None
                workflow.future = Future()  # the run that was cancelled may be in a step still, and ends its own
                if workflow.start.queue is None:
                    self._begin(workflow)
                else:
                    workflow.status, workflow.updated_at = WorkflowStatus.PENDING, now()
                    self.journal.changed.notify_all()
            return self._handle(workflow_id)

    def show(self, workflow_id: str) -> WorkflowInfo:
        """Return all that is known of a workflow."""
        with self.journal.lock:
            workflow = self._found(workflow_id)
            return info_of(workflow)._replace(steps=steps_of(workflow))

    def list(self, status: WorkflowStatus | str | None = None, limit: int = 100) -> Sequence[WorkflowInfo]:
        """Return workflows, the newest first."""
        return self.journal.newest(status, limit)

    def prune(self, older_than: float) -> int:
        """Forget workflows that ended."""
        return self.journal.forget(older_than)

    def _ended(self, workflow_id: str) -> Ended | None:
        with self.journal.lock:
            workflow = self._found(workflow_id)
            return Ended(workflow.status, workflow.outcome) if workflow.status in ENDED else None

    def _status(self, workflow_id: str) -> WorkflowStatus:
        with self.journal.lock:
            return self._found(workflow_id).status

    def _found(self, workflow_id: str) -> Record:
        workflow = self.journal.workflows.get(workflow_id)
        if workflow is None:
            raise unknown_workflow(workflow_id)
        return workflow

    def _handle(self, workflow_id: str) -> WorkflowHandle:
        return WorkflowHandle(self, workflow_id, self.journal.workflows[workflow_id].future)

    def _require_launched(self) -> None:
        if not self._launched:
            raise EngineError("this engine is not launched: call launch(), or use it as a context manager")
