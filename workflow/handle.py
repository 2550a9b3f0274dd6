"""`WorkflowHandle`: the status and the result of one workflow."""

from __future__ import annotations

import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any

from workflow.errors import WorkflowCancelled, WorkflowError, WorkflowFailed
from workflow.payloads import RecordedError, value_of
from workflow.records import Ended, WorkflowStatus
from workflow.run import Interrupted, running

if TYPE_CHECKING:
    from workflow.engine import WorkflowEngine

__all__ = ["WorkflowHandle", "ended_future"]

POLL = 0.05  # seconds between two looks at a workflow of another process


class WorkflowHandle:
    """One workflow, seen from outside.

    Attributes:
        workflow_id: Its id.
    """

    def __init__(self, engine: WorkflowEngine, workflow_id: str, future: Future[Ended] | None = None) -> None:
        """Look at nothing yet; the future is there when this process runs the workflow."""
        self.workflow_id = workflow_id
        self._engine = engine
        self._future = future

    def get_status(self) -> WorkflowStatus:
        """Return how the workflow stands."""
        return self._engine._status(self.workflow_id)

    def get_result(self, timeout: float | None = None) -> Any:
        """Wait until the workflow has ended, and return what its function returned.

        Args:
            timeout: The most seconds to wait; None waits for ever. The workflow goes on after that.

        Raises:
            TimeoutError: It has not ended in time.
            WorkflowFailed: It raised; the error is chained.
            WorkflowCancelled: It was cancelled, or its deadline passed.
        """
        if (timeout is not None and not isinstance(timeout, (int, float))) or timeout != timeout:
            raise WorkflowError(f"timeout takes a number of seconds, or None to wait for ever, not {timeout!r}")
        ended = self._wait(timeout)
        if ended.status is WorkflowStatus.CANCELLED or ended.outcome is None:
            raise WorkflowCancelled(f"workflow {self.workflow_id} was cancelled", workflow_id=self.workflow_id)
        try:
            return value_of(ended.outcome, f"the workflow {self.workflow_id}")
        except Exception as error:
            told = ended.outcome[1] or str(error)
            raise WorkflowFailed(f"workflow {self.workflow_id} failed: {told}", workflow_id=self.workflow_id) from error

    def _wait(self, timeout: float | None) -> Ended:
        deadline = None if timeout is None else time.monotonic() + timeout
        run = running.get()
        future, self._future = self._future, None
        while True:
            if future is not None:
                try:
                    # In slices: a workflow that waits for another one may be interrupted.
                    ended: Ended | None = future.result(_slice(deadline, 0.25))
                except (FutureTimeout, TimeoutError):
                    ended = None
                except BaseException:
                    future = ended = None  # this process lost the workflow: what is recorded counts
                if ended is not None:
                    self._future = future
                    return ended
            if future is None:
                ended = self._engine._ended(self.workflow_id)
                if ended is not None:
                    return ended
            if deadline is not None and time.monotonic() >= deadline:
                self._future = future
                raise TimeoutError(f"workflow {self.workflow_id} has not ended within {timeout:g} s; it goes on")
            if run is not None and run.interrupted.is_set():
                raise Interrupted(run.workflow_id)
            if future is None:
                time.sleep(_slice(deadline, POLL))

    def __repr__(self) -> str:
        """Return the id; the status would need the engine."""
        return f"WorkflowHandle({self.workflow_id!r})"


def _slice(deadline: float | None, longest: float) -> float:
    return longest if deadline is None else min(longest, max(0.0, deadline - time.monotonic()))


def ended_future(future: Future[Any]) -> Future[Ended]:
    """Return how a workflow of this process ends, once it has; the error of one that this process lost."""
    ended: Future[Ended] = Future()

    def end(done: Future[Any]) -> None:
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or (isinstance(error, BaseException) and not isinstance(error, RecordedError)):
            ended.set_exception(Interrupted())
        elif isinstance(error, RecordedError):
            ended.set_result(Ended(WorkflowStatus.ERROR, error.outcome))
        else:
            ended.set_result(Ended(WorkflowStatus.SUCCESS, done.result()))

    future.add_done_callback(end)
    return ended
