"""The workflow that the present thread runs, and what its function may know of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from workflow.errors import StepOutsideWorkflow
from workflow.loops import off_loop

if TYPE_CHECKING:
    from workflow.engine import WorkflowEngine

__all__ = ["Interrupted", "Run", "WorkflowContext", "current", "require_run", "running"]


class Interrupted(BaseException):
    """Ends a workflow's thread without an outcome: it was cancelled, its engine stops, or another process has it.

    No Exception, so that a workflow's own `except Exception` lets it pass.
    """


class WorkflowContext(NamedTuple):
    """What a workflow, and its steps, may know of it.

    Attributes:
        workflow_id: The workflow.
        user: For a workflow that a transition started, the login that made the transition; else None.
        step: The name of the step that runs, None between steps.
    """

    workflow_id: str
    user: str | None
    step: str | None


@dataclass(eq=False)
class Run:
    """One execution of a workflow by one thread.

    Attributes:
        engine: The engine that runs it.
        workflow_id: The workflow.
        user: See `WorkflowContext`.
        is_async: Whether its function is a coroutine function: steps then return awaitables.
        thread: The thread that its function runs in.
        interrupted: Set when this execution shall go no further.
        broken: Why no step can be taken any more, whatever the function made of the error.
        taken: How many positions it has taken.
        replayed: Whether it found a step recorded by a run before it.
        step: The name of the step that runs, in the step's own view of the run.
        deadline: When it is cancelled, as `time.time` tells it; None for never.
    """

    engine: WorkflowEngine
    workflow_id: str
    user: str | None = None
    is_async: bool = False
    thread: int = field(default_factory=threading.get_ident)
    interrupted: threading.Event = field(default_factory=threading.Event)
    broken: Exception | None = None
    taken: int = 0
    replayed: bool = False
    step: str | None = None
    deadline: float | None = None

    def require_time(self, cancel: Callable[[str], None]) -> None:
        """Cancel the run if its deadline has passed: whoever looks after deadlines looks now and then.

        Raises:
            Interrupted: It was cancelled, now or before, or shall go no further for another reason.
        """
        if self.deadline is not None and time.time() >= self.deadline and not self.interrupted.is_set():
            off_loop(lambda: cancel(self.workflow_id))
            self.interrupted.set()
        self.pause(0)

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Interrupted: The run was interrupted meanwhile.
        """
        if self.interrupted.wait(max(0.0, seconds)):
            raise Interrupted(self.workflow_id)


running: ContextVar[Run | None] = ContextVar("workflow run", default=None)


def current() -> WorkflowContext:
    """Return what is known of the workflow that runs here.

    Raises:
        StepOutsideWorkflow: None does.

    Example:
        >>> def settle(entity_id):
        ...     print("for", workflow.current().user)
    """
    run = running.get()
    if run is None:
        raise StepOutsideWorkflow("no workflow runs in this thread")
    return WorkflowContext(run.workflow_id, run.user, run.step)


def require_run(engine: WorkflowEngine, what: str) -> Run:
    """Return the run of this thread, in which a call may be recorded.

    Raises:
        StepOutsideWorkflow: There is none, it is in the middle of a step, or it is another engine's.
        Interrupted: It goes no further, as when its deadline has passed.
    """
    run = running.get()
    if run is None:
        raise StepOutsideWorkflow(
            f"{what} was called where no workflow runs: call it in the function given to engine.run or"
            " engine.workflow, in that function's own thread"
        )
    if run.engine is not engine:
        raise StepOutsideWorkflow(f"{what} was called on another engine than the one that runs {run.workflow_id}")
    if run.step is not None:
        raise StepOutsideWorkflow(
            f"{what} was called inside the step {run.step}: a step is recorded as a whole; call the function itself"
        )
    if run.thread != threading.get_ident():
        raise StepOutsideWorkflow(
            f"{what} was called in another thread than the one that runs {run.workflow_id}: the order of its steps"
            " would be left to chance"
        )
    if run.broken is not None:
        raise run.broken
    run.require_time(engine.cancel)
    return run
