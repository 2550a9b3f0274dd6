"""`DBOSEngine`: workflows kept in PostgreSQL by DBOS Transact. The only module that knows DBOS.

One DBOS workflow, `_entry`, runs every function, which it finds by name. DBOS gives each step its position, records
outcomes, and refuses those of a run that no longer owns its workflow; `duties` has what is beside that.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from dbos import (
    DBOS,
    DBOSClient,
    SetEnqueueOptions,
    SetWorkflowAttributes,
    SetWorkflowID,
    SetWorkflowTimeout,
    _error,
)
from dbos._context import get_local_dbos_context, snapshot_step_context
from dbos._core import execute_dequeued_workflow
from dbos._dbos import _get_dbos_instance
from sqlalchemy import Engine as SQLAlchemyEngine
from sqlalchemy import create_engine, make_url
from typing_extensions import Self

from workflow.duties import Duties
from workflow.engine import SETTLE_SECONDS, WorkflowEngine
from workflow.errors import EngineError, WorkflowConflict, WorkflowError
from workflow.executors import Executor
from workflow.handle import POLL, WorkflowHandle, ended_future
from workflow.logs import hush_backend
from workflow.loops import before_threads_end, off_loop
from workflow.payloads import Outcome, RecordedError, digest, outcome_of_error
from workflow.records import Ended, Queue, Start, WorkflowInfo, WorkflowStatus
from workflow.report import LaunchReport
from workflow.run import Interrupted, Run, running
from workflow.starting import duplicate_in_queue, require_name, require_same, unknown_queue, unknown_workflow
from workflow.steps import mismatch

__all__ = ["DBOSEngine", "remote"]

SCHEMA = "workflow"
POOL_SIZE = 20
SHORTEST = 0.001  # seconds: DBOS counts milliseconds, and takes none for no deadline
END_SECONDS = 10.0  # for a step under way to end, when the engine does

_one = threading.Lock()
_launched: DBOSEngine | None = None


class DBOSEngine(WorkflowEngine):
    """A workflow engine on PostgreSQL, one a process.

    Args:
        pg_url: The engine's own login, as `ObjectStoreServer.dbos_url` returns it. Its tables are in the schema
            `workflow`, and nobody else may read or write them: they hold pickled objects.
        name: The application, of 3 to 100 lower-case letters, digits, - and _. Engines of one name take over from each
            other, and must be able to import the same functions.
        version: Changed where code can no longer go on with workflows that older code began; those wait for an
            engine of their own version.

    Example:
        >>> with DBOSEngine(server.dbos_url(), name="desk") as engine:
        ...     engine.run(order_to_trade, "AAPL", 100, 150.0, "BUY")
    """

    def __init__(self, pg_url: str, name: str = "workflow", *, version: str = "1") -> None:
        """Connect nothing before `launch`."""
        require_name(name, version)
        self._url = pg_url
        self._name = name
        self._queues: dict[str, Queue] = {}
        self._executor = Executor.new(name, f"{name}@{version}")
        self._report = LaunchReport(self._executor.executor_id)
        self._listening = False
        self._runs: dict[Run, str] = {}
        self._dbos: Any = None
        self._pool: SQLAlchemyEngine | None = None

    # ---- life

    def launch(self) -> Self:
        """Begin: recover what dead processes of this application held, and run what is queued.

        Raises:
            EngineError: The database cannot be used, or this process runs another engine.
        """
        global _launched
        with _one:
            if _launched is not None:
                raise EngineError("this process runs a workflow engine already: destroy() it first, or use that one")
            _launched = self
        before_threads_end(self.destroy)
        try:
            off_loop(self._launch)
        except BaseException as error:
            self.destroy()
            if isinstance(error, Exception) and not isinstance(error, WorkflowError):
                raise EngineError(f"the engine cannot be launched: {error}") from error
            raise
        return self

    def _launch(self) -> None:
        self._duties = Duties(self._url, self._executor, self._name, self._start, self._run_claimed, self._runs)
        self._duties.check()
        hush_backend()
        # Given a pool, DBOS does not look for ours in the database `postgres`, which is closed to the engine.
        address = make_url(self._url).set(drivername="postgresql+psycopg")
        self._pool = create_engine(address, pool_size=POOL_SIZE, max_overflow=0, pool_pre_ping=True)
        DBOS(
            config={
                "name": self._name,
                "system_database_url": self._url,
                "system_database_engine": self._pool,
                "dbos_system_schema": SCHEMA,
                "application_version": self._executor.version,
                "executor_id": self._executor.executor_id,
                # A notification's payload would tell every user of the database which workflows there are.
                "use_listen_notify": False,
                "log_level": "WARNING",
            }
        )
        self._dbos = _get_dbos_instance()
        DBOS.listen_queues([])
        DBOS.launch()
        for queue in self._queues.values():
            self._register(queue)
        self._duties.begin(self._begin_queues, SETTLE_SECONDS)

    def _begin_queues(self) -> None:
        """Take from the queues; not before the caller of launch() has had time to bind the engine to its name."""
        self._dbos._registry.get_internal_queue()._polling_interval_sec = POLL
        self._listening = True
        for queue in self._queues.values():
            self._register(queue)

    @property
    def report(self) -> LaunchReport:
        """What was recovered at launch and since, and what waits and why. Complete for what was found at launch."""
        self._require_launched()
        return self._duties.complete_report()

    def destroy(self) -> None:
        """End. Workflows that run are cut off between two steps, and recovered by the next engine."""
        global _launched
        if _launched is not self:
            return
        try:
            off_loop(self._end)
        finally:
            self._dbos, self._listening = None, False
            with _one:
                _launched = None

    def _end(self) -> None:
        duties: Duties | None = getattr(self, "_duties", None)
        if duties is not None:
            duties.stop()
        deadline = time.monotonic() + END_SECONDS
        for run in list(self._runs):
            run.interrupted.set()
        while self._runs and time.monotonic() < deadline:
            time.sleep(0.01)
        DBOS.destroy()
        if self._pool is not None:
            self._pool.dispose()
        if duties is not None:
            duties.leave()

    def wake(self) -> None:
        """Look into the store's outbox at once."""
        if self._dbos is not None:
            self._duties.wake()

    def _require_launched(self) -> None:
        if _launched is not self or self._dbos is None:
            raise EngineError("this engine is not launched: call launch(), or use it as a context manager")

    # ---- starting

    def _start(self, start: Start) -> WorkflowHandle:
        self._require_launched()
        run = running.get()
        if run is not None and run.step is not None:
            # DBOS starts none inside a step: there it is a start like any other.
            return contextvars.Context().run(self._start_plainly, start)
        return off_loop(lambda: self._start_plainly(start))

    def _start_plainly(self, start: Start) -> WorkflowHandle:
        run, target, data = running.get(), start.target, digest(start.payload)
        with ExitStack() as options:
            options.enter_context(self._in_our_words(run, f"start {target.name}"))
            if start.workflow_id is not None:
                options.enter_context(SetWorkflowID(start.workflow_id))
            if start.timeout is not None:
                options.enter_context(SetWorkflowTimeout(max(start.timeout, SHORTEST)))
            attributes = {"target": target.name, "origin": target.origin, "digest": data, "queue": start.queue}
            options.enter_context(SetWorkflowAttributes(attributes))
            arguments = (target.name, target.origin, start.payload)
            try:
                if start.queue is None:
                    made = DBOS.start_workflow(_entry, *arguments)
                else:
                    options.enter_context(
                        SetEnqueueOptions(
                            deduplication_id=start.deduplication_id,
                            priority=start.priority,
                            delay_seconds=start.delay,
                            app_version=self._executor.version,
                        )
                    )
                    made = DBOS.enqueue_workflow(start.queue, _entry, *arguments)
            except _error.DBOSQueueDeduplicatedError:
                raise duplicate_in_queue(start) from None
            except _error.DBOSConflictingWorkflowError as error:
                raise WorkflowConflict(str(error), workflow_id=start.workflow_id) from None
        workflow_id, future = made.get_workflow_id(), getattr(made, "future", None)
        if future is None and start.workflow_id is not None:
            require_same(start, *self._duties.ledger.started_as(workflow_id))
        return WorkflowHandle(self, workflow_id, None if future is None else ended_future(future))

    def _run_claimed(self, workflow_id: str, token: str) -> None:
        """Run a workflow that this process has claimed from a dead one."""
        status = self._dbos._sys_db.get_workflow_status(workflow_id)
        if status is not None:
            execute_dequeued_workflow(self._dbos, status, token)

    # ---- queues

    def _declare(self, queue: Queue) -> None:
        self._queues[queue.name] = queue
        if self._dbos is not None:
            off_loop(lambda: self._register(queue))

    def _register(self, queue: Queue) -> None:
        rate = None if queue.rate is None else {"limit": queue.rate[0], "period": queue.rate[1]}
        try:
            DBOS.register_queue(
                queue.name,
                global_concurrency=queue.concurrency,
                worker_concurrency=queue.worker_concurrency,
                limiter=rate,  # type: ignore[arg-type]  # a TypedDict of its own
                polling_interval_sec=POLL,
                on_conflict="always_update",
            )
        except _error.DBOSException as error:
            raise WorkflowError(f"the queue {queue.name!r} cannot be declared: {error}") from error
        if self._listening and queue.consume and queue.name not in self._dbos._listening_queues:
            self._dbos._listening_queues.append(queue.name)

    def _queue(self, name: str) -> Queue:
        queue = self._queues.get(name) if isinstance(name, str) else None
        if queue is None:
            raise unknown_queue(name, [*self._queues])
        return queue

    # ---- inside a workflow

    @contextmanager
    def _in_our_words(self, run: Run | None, name: str) -> Iterator[None]:
        try:
            yield
        except (_error.DBOSUnexpectedStepError, _error.DBOSStepNondeterminismError) as error:
            assert run is not None
            raise mismatch(run, error.inputs[1], name, error.inputs[-1] if len(error.inputs) == 4 else name) from None
        except (_error.DBOSWorkflowCancelledError, _error.DBOSWorkflowConflictIDError) as error:
            if run is not None:
                run.interrupted.set()
            raise Interrupted(str(error)) from None
        except _error.DBOSNonExistentWorkflowError as error:
            raise unknown_workflow(error.destination_id) from None
        except _error.DBOSException as error:
            raise WorkflowError(str(error)) from error

    def _position(self, run: Run, count: int = 1) -> Any:
        run.pause(0)
        return DBOS.reserve_step() if count == 1 else snapshot_step_context(reserve_sleep_id=True)

    def _number(self, position: Any) -> int:
        return int(position.step_id)

    def _record(self, run: Run, position: Any, name: str, body: Callable[[], Outcome]) -> Outcome:
        live = False

        def work() -> Outcome:
            nonlocal live
            live = True
            return body()

        with self._in_our_words(run, name):
            outcome: Outcome = position.run({"name": name}, work)
        run.replayed = run.replayed or not live
        return outcome

    async def _record_async(
        self, run: Run, position: Any, name: str, body: Callable[[], Awaitable[Outcome]]
    ) -> Outcome:
        live = False

        async def work() -> Outcome:
            nonlocal live
            live = True
            return await body()

        with self._in_our_words(run, name):
            outcome: Outcome = await position.run_async({"name": name}, work)
        run.replayed = run.replayed or not live
        return outcome

    def _send(self, workflow_id: str, topic: str, data: bytes, idempotency_key: str | None) -> None:
        self._require_launched()
        with self._in_our_words(running.get(), "send"):
            DBOS.send(workflow_id, data, topic, idempotency_key=idempotency_key)

    def _receive(self, run: Run, position: Any, topic: str, timeout: float) -> bytes | None:
        with self._in_our_words(run, "recv"):
            return self._duties.mailbox.receive(self._dbos._sys_db, run, position.function_id, topic, timeout)

    # ---- looking after them

    def cancel(self, workflow_id: str) -> None:
        """Cancel a workflow: it ends before its next step. One that has ended stays as it is."""
        self.show(workflow_id)
        self._dbos._sys_db.cancel_workflows([workflow_id])
        for run in list(self._runs):
            if run.workflow_id == workflow_id:
                run.interrupted.set()

    def resume(self, workflow_id: str) -> WorkflowHandle:
        """Let a cancelled workflow go on behind its last step. One that has ended otherwise stays as it is."""
        known = self.show(workflow_id)
        if known.status is WorkflowStatus.CANCELLED:
            self._dbos._sys_db.resume_workflows([workflow_id], queue_name=known.queue)
        return WorkflowHandle(self, workflow_id)

    def show(self, workflow_id: str) -> WorkflowInfo:
        """Return all that is known of a workflow, its steps included."""
        self._require_launched()
        return self._duties.ledger.show(workflow_id)

    def list(self, status: WorkflowStatus | str | None = None, limit: int = 100) -> Sequence[WorkflowInfo]:
        """Return workflows, the newest first, without their steps."""
        self._require_launched()
        return self._duties.ledger.list(status, limit)

    def prune(self, older_than: float) -> int:
        """Forget workflows that ended, with their steps and messages, and return how many."""
        self._require_launched()
        return self._duties.forget(self._dbos._sys_db.delete_workflows, older_than)

    def _ended(self, workflow_id: str) -> Ended | None:
        self._require_launched()
        return self._duties.ledger.ended(workflow_id)

    def _status(self, workflow_id: str) -> WorkflowStatus:
        self._require_launched()
        return self._duties.ledger.status(workflow_id)


def _work(target: str, origin: str, payload: bytes) -> Outcome:
    """Run a function as a workflow."""
    engine, context = _launched, get_local_dbos_context()
    if engine is None or context is None:
        raise Interrupted(target)
    deadline = context.workflow_deadline_epoch_ms
    run = Run(engine, context.workflow_id, deadline=deadline and deadline / 1000)
    engine._runs[run] = context.owner_xid or ""
    try:
        outcome = engine._execute(run, target, origin, payload)
        run.require_time(engine.cancel)
        # DBOS carries a start's attributes into the run that it begins, and none into one that goes on after a crash.
        taken, goes_on = context.function_id, context.start_options.workflow_attributes is None
        look = outcome[0] == "value" and goes_on and (run.replayed or taken == 0)
        if look and (left := engine._duties.ledger.step_after(run.workflow_id, taken)):
            outcome = outcome_of_error(mismatch(run, left[0], None, left[1]), f"the workflow {run.workflow_id}")
        if outcome[0] == "error":
            raise RecordedError(*outcome[1:])
        return outcome
    finally:
        del engine._runs[run]


_entry = DBOS.workflow(name="workflow")(_work)


def remote(url: str, application: str | None = None) -> DBOSClient:
    """Return what changes the records of engines without being one: for `python -m workflow`."""
    return DBOSClient(
        system_database_url=url,
        dbos_system_schema=SCHEMA,
        application_name=application,
        system_database_pool_size=1,
        retry_connection_errors=False,
    )
