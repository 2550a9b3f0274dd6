"""`WorkflowEngine`: durable workflows, whatever keeps them. A backend implements the last section of the class."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from typing_extensions import Self

from workflow.handle import WorkflowHandle
from workflow.logs import logger
from workflow.loops import off_loop
from workflow.payloads import Outcome, dump, load, outcome_of_error, outcome_of_value, value_of
from workflow.records import Ended, Queue, Start, WorkflowInfo, WorkflowStatus
from workflow.run import Interrupted, Run, WorkflowContext, current, require_run, running
from workflow.starting import build_queue, build_start, require_message, require_seconds
from workflow.steps import StepCall
from workflow.targets import find, forget, step_name

__all__ = ["WorkflowEngine", "WorkflowHandle", "WorkflowStatus"]

# Between launch() and the first workflow that is recovered or taken from a queue: its function uses the engine under a
# name to which `with DBOSEngine(...) as engine` binds it only once launch() has returned.
SETTLE_SECONDS = 0.2


class WorkflowEngine(ABC):
    """Runs functions as workflows: each step is recorded, and a run that was cut off goes on behind its last step.

    A workflow's function is called again after a crash, and finds the results of the steps that it has taken. So it
    must take the same steps each time: what may differ (clocks, random numbers, other systems, the store) belongs into
    steps. In a coroutine function `step`, `run`, `sleep` and `recv` return awaitables.

    Example:
        >>> def order_to_trade(symbol, qty):
        ...     order_id = engine.step(create_order, symbol, qty)
        ...     engine.step(fill_order, order_id)
        >>> engine.run(order_to_trade, "AAPL", 100)
    """

    # ---- running

    def workflow(
        self,
        fn: Callable[..., Any],
        *args: Any,
        workflow_id: str | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> WorkflowHandle:
        """Start a function as a durable workflow, and return at once.

        Args:
            fn: The function; one at the top level of a module survives this process.
            *args: Its arguments. They are recorded, and so must be picklable; the function gets copies.
            workflow_id: A name for this start: repeating it returns the same workflow. A new name when None.
            timeout: Seconds until the workflow is cancelled.
            **kwargs: Its other arguments; those of the names above need a lambda or `functools.partial`.

        Returns:
            What tells the status and the result.

        Raises:
            WorkflowConflict: The id belongs to another function or other arguments.
            NotSerializable: An argument cannot be pickled.
        """
        return self._start(build_start(fn, args, kwargs, workflow_id=workflow_id, timeout=timeout))

    def run(
        self,
        fn: Callable[..., Any],
        *args: Any,
        workflow_id: str | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run a function as a durable workflow and return its result. See `workflow`.

        Raises:
            WorkflowFailed: It ended with an error, which is chained.
        """
        handle = self.workflow(fn, *args, workflow_id=workflow_id, timeout=timeout, **kwargs)
        run = running.get()
        if run is not None and run.is_async and run.step is None:
            return asyncio.to_thread(handle.get_result)
        return handle.get_result()

    def queue(
        self,
        name: str,
        fn: Callable[..., Any],
        *args: Any,
        workflow_id: str | None = None,
        timeout: float | None = None,
        priority: int | None = None,
        deduplication_id: str | None = None,
        delay: float | None = None,
        **kwargs: Any,
    ) -> WorkflowHandle:
        """Put a workflow into a queue; a process that declared the queue runs it when its limits allow.

        Args:
            name: A queue that was declared with `declare_queue`.
            fn: As for `workflow`.
            *args: As for `workflow`.
            workflow_id: As for `workflow`.
            timeout: Seconds from its start, not from now, until the workflow is cancelled.
            priority: From 1 to 2,147,483,647: the smaller runs first, and None before all.
            deduplication_id: Refuses another workflow with the same one while this one waits or runs.
            delay: Seconds before it may start.
            **kwargs: As for `workflow`.

        Raises:
            UnknownQueue: The queue was not declared.
            DuplicateInQueue: The deduplication id is taken.
        """
        queue = self._queue(name)
        start = build_start(
            fn,
            args,
            kwargs,
            workflow_id=workflow_id,
            timeout=timeout,
            queue=queue.name,
            priority=priority,
            deduplication_id=deduplication_id,
            delay=delay,
        )
        return self._start(start)

    def declare_queue(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        worker_concurrency: int | None = None,
        rate: tuple[int, float] | None = None,
        consume: bool = True,
    ) -> None:
        """Declare a queue, before or after `launch`. Declared again, the queue takes the new limits.

        Args:
            name: The queue's name.
            concurrency: How many of its workflows may run at once, in all processes.
            worker_concurrency: How many may run at once in this process.
            rate: (n, seconds): at most n start in any window of so many seconds.
            consume: Whether this process runs its workflows, or only puts them in. Each process that does must be
                able to import their functions.
        """
        self._declare(build_queue(name, concurrency, worker_concurrency, rate, consume))

    # ---- inside a workflow

    def step(
        self,
        fn: Callable[..., Any],
        *args: Any,
        name: str | None = None,
        attempts: int = 1,
        backoff: float = 1.0,
        retry_on: type[Exception] | tuple[type[Exception], ...] = Exception,
        **kwargs: Any,
    ) -> Any:
        """Call a function as a step of the running workflow; its result, or its error, is recorded.

        Args:
            fn: The function, run again after a crash in the middle of it. Its changes to the store stand once all
                the same, see docs/workflows.md.
            *args: Its arguments. Storables are copied.
            name: The step's name, kept when the function is renamed; the function's own when None.
            attempts: How often it is tried in all when it raises.
            backoff: Seconds before the second attempt; each further pause is twice as long, up to a minute.
            retry_on: The exceptions after which it is tried again.
            **kwargs: Its other arguments; those of the names above need a lambda or `functools.partial`.

        Returns:
            A copy of what the function returned, the same after a crash.

        Raises:
            StepOutsideWorkflow: It was not called in a workflow's own thread.
            StepMismatch: This is not the step that was recorded here.
            NotSerializable: The result, or the error, cannot be pickled; the step has run.
        """
        run = require_run(self, "step()")
        call = StepCall(fn, args, kwargs, step_name(fn) if name is None else name, attempts, backoff, retry_on)
        position = self._position(run)
        if run.is_async:
            return self._step_async(run, position, call)
        return value_of(
            self._record(run, position, call.name, lambda: call.run(run, self._number(position))), call.name
        )

    async def _step_async(self, run: Run, position: Any, call: StepCall) -> Any:
        number = self._number(position)
        outcome = await self._record_async(run, position, call.name, lambda: call.run_async(run, number))
        return value_of(outcome, call.name)

    def sleep(self, seconds: float) -> Any:
        """Sleep in the running workflow. The time of waking is recorded: a restart does not begin it anew."""
        run = require_run(self, "sleep()")
        require_seconds("sleep()", seconds)
        position = self._position(run)

        def begin() -> Outcome:
            return outcome_of_value(time.time() + seconds, "sleep")

        if not run.is_async:
            return run.pause(value_of(self._record(run, position, "sleep", begin), "sleep") - time.time())

        async def begin_async() -> Outcome:
            return begin()

        async def sleeping() -> None:
            until = value_of(await self._record_async(run, position, "sleep", begin_async), "sleep")
            await asyncio.to_thread(run.pause, until - time.time())

        return sleeping()

    def send(self, workflow_id: str, topic: str, value: Any, *, idempotency_key: str | None = None) -> None:
        """Send a message to a workflow.

        Args:
            workflow_id: The workflow.
            topic: What `recv` asks for.
            value: Anything picklable.
            idempotency_key: A name for this message: repeating it sends nothing more. Inside a workflow, but outside
                its steps, a message is sent once without it.

        Raises:
            UnknownWorkflow: There is no such workflow.
        """
        require_message(workflow_id, topic, idempotency_key)
        data = dump(value, f"the message to {workflow_id}")
        run = running.get()
        if run is not None and run.step is None:
            run = require_run(self, "send()")
        off_loop(lambda: self._send(workflow_id, topic, data, idempotency_key))

    def recv(self, topic: str, timeout: float = 60.0) -> Any:
        """Wait for a message to the running workflow.

        Args:
            topic: Which messages; each is received once, in the order sent.
            timeout: Seconds to wait. A restart does not begin them anew.

        Returns:
            The message; None when none came in time.
        """
        run = require_run(self, "recv()")
        require_message(run.workflow_id, topic, None)
        require_seconds("the timeout of recv()", timeout, None)
        position = self._position(run, 2)

        def receive() -> Any:
            data = self._receive(run, position, topic, timeout)
            return None if data is None else load(data, f"the message to {run.workflow_id} on {topic}")

        return asyncio.to_thread(receive) if run.is_async else receive()

    @property
    def context(self) -> WorkflowContext:
        """What the running workflow may know of itself. See `workflow.current`."""
        return current()

    # ---- looking after them

    def handle(self, workflow_id: str) -> WorkflowHandle:
        """Return the handle of a workflow, started by whatever process.

        Raises:
            UnknownWorkflow: There is no such workflow.
        """
        self.show(workflow_id)
        return WorkflowHandle(self, workflow_id)

    @abstractmethod
    def cancel(self, workflow_id: str) -> None:
        """Cancel a workflow: it ends before its next step. One that has ended stays as it is."""

    @abstractmethod
    def resume(self, workflow_id: str) -> WorkflowHandle:
        """Let a cancelled workflow go on behind its last step, in its queue and with its timeout anew; no other one."""

    @abstractmethod
    def show(self, workflow_id: str) -> WorkflowInfo:
        """Return all that is known of a workflow, its steps included.

        Raises:
            UnknownWorkflow: There is no such workflow.
        """

    @abstractmethod
    def list(self, status: WorkflowStatus | str | None = None, limit: int = 100) -> Sequence[WorkflowInfo]:
        """Return workflows, the newest first, without their steps.

        Args:
            status: Only those of this status.
            limit: The most to return.
        """

    @abstractmethod
    def prune(self, older_than: float) -> int:
        """Forget workflows that ended, with their steps and messages, and return how many.

        Args:
            older_than: Seconds since they ended. A start repeated with the id of a forgotten one runs again.
        """

    @abstractmethod
    def wake(self) -> None:
        """Look into the store's outbox soon: a transition that starts a workflow was committed."""

    @abstractmethod
    def launch(self) -> Self:
        """Begin: recover what was cut off, and run what is queued."""

    @abstractmethod
    def destroy(self) -> None:
        """End. Workflows that run are cut off between two steps, and recovered by the next engine."""

    def __enter__(self) -> Self:
        return self.launch()

    def __exit__(self, *_: object) -> None:
        self.destroy()

    # ---- what runs a workflow, for every backend

    def _execute(self, run: Run, target: str, origin: str, payload: bytes) -> Outcome:
        """Call a workflow's function in this thread and return how it ended."""
        what = f"the workflow {run.workflow_id}"
        token = running.set(run)
        try:
            try:
                fn = find(target, origin)
                args, kwargs, run.user = load(payload, f"an argument of {what}")
                run.is_async = asyncio.iscoroutinefunction(fn)
                value = asyncio.run(fn(*args, **kwargs)) if run.is_async else fn(*args, **kwargs)
            except Interrupted:
                raise
            except BaseException as error:
                logger.error("%s (%s) failed", what, target, exc_info=run.broken or error)
                outcome = outcome_of_error(run.broken or error, what)
            else:
                outcome = outcome_of_error(run.broken, what) if run.broken else outcome_of_value(value, what)
            forget(target)
            return outcome
        finally:
            running.reset(token)

    # ---- what a backend implements

    @abstractmethod
    def _start(self, start: Start) -> WorkflowHandle:
        """Record a workflow and run it, or put it into its queue; return the one there is for an id that is known."""

    @abstractmethod
    def _declare(self, queue: Queue) -> None:
        """Make a queue known."""

    @abstractmethod
    def _queue(self, name: str) -> Queue:
        """Return a declared queue."""

    @abstractmethod
    def _position(self, run: Run, count: int = 1) -> Any:
        """Take the run's next position, or several; the order of the calls is the order of the steps."""

    @abstractmethod
    def _number(self, position: Any) -> int:
        """Return the number of a position, from 1."""

    @abstractmethod
    def _record(self, run: Run, position: Any, name: str, body: Callable[[], Outcome]) -> Outcome:
        """Return the outcome recorded at a position, else that of the body, recorded."""

    @abstractmethod
    def _record_async(
        self, run: Run, position: Any, name: str, body: Callable[[], Awaitable[Outcome]]
    ) -> Awaitable[Outcome]:
        """Do the same on the run's event loop."""

    @abstractmethod
    def _send(self, workflow_id: str, topic: str, data: bytes, idempotency_key: str | None) -> None:
        """Deliver a message."""

    @abstractmethod
    def _receive(self, run: Run, position: Any, topic: str, timeout: float) -> bytes | None:
        """Return the message recorded at a position, else wait for one."""

    @abstractmethod
    def _ended(self, workflow_id: str) -> Ended | None:
        """Return how a workflow ended, None while it has not."""

    @abstractmethod
    def _status(self, workflow_id: str) -> WorkflowStatus:
        """Return a workflow's status."""
