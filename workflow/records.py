"""What engines keep of workflows, queues and steps, and show of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from workflow.errors import WorkflowError
from workflow.payloads import Outcome
from workflow.targets import Target

__all__ = ["Ended", "Queue", "Start", "StepInfo", "WorkflowInfo", "WorkflowStatus"]


class WorkflowStatus(str, Enum):
    """How a workflow stands.

    Attributes:
        PENDING: It waits: in a queue, or for a process that can run it.
        RUNNING: A process runs it.
        SUCCESS: It returned.
        ERROR: It raised.
        CANCELLED: It was cancelled, or its deadline passed.
    """

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"

    @classmethod
    def _missing_(cls, value: object) -> WorkflowStatus:
        raise WorkflowError(f"there is no status {value!r}: it is one of {', '.join(each.value for each in cls)}")

    def __str__(self) -> str:
        """Return the bare word, on every version of Python."""
        return self.value


class Start(NamedTuple):
    """One workflow to be started.

    Attributes:
        workflow_id: Its id, None for a new one.
        target: Its function.
        payload: Its arguments, and the user for whom it runs, as bytes.
        timeout: Seconds until it is cancelled.
        queue: The queue it goes into, None to run at once.
        priority: Its place in the queue.
        deduplication_id: What no other workflow in the queue may have.
        delay: Seconds before it may start.
    """

    workflow_id: str | None
    target: Target
    payload: bytes
    timeout: float | None = None
    queue: str | None = None
    priority: int | None = None
    deduplication_id: str | None = None
    delay: float | None = None


class Queue(NamedTuple):
    """A declared queue. See `WorkflowEngine.declare_queue`."""

    name: str
    concurrency: int | None
    worker_concurrency: int | None
    rate: tuple[int, float] | None
    consume: bool


class Ended(NamedTuple):
    """How a workflow ended.

    Attributes:
        status: SUCCESS, ERROR or CANCELLED.
        outcome: What it returned or raised; None when it was cancelled.
    """

    status: WorkflowStatus
    outcome: Outcome | None


class StepInfo(NamedTuple):
    """One recorded step.

    Attributes:
        position: Its number, from 1.
        name: Its name.
        error: What it raised, as text; None when it returned.
        started_at: When it began, UTC.
        ended_at: When it was recorded, UTC.
    """

    position: int
    name: str
    error: str | None
    started_at: datetime | None
    ended_at: datetime | None


class WorkflowInfo(NamedTuple):
    """What is known of one workflow.

    Attributes:
        workflow_id: Its id.
        status: How it stands.
        target: Its function, `module:qualname`.
        queue: The queue it went through, None without one.
        executor: The process that runs it, or ran it last.
        attempt: How often it was begun.
        created_at: When it was started, UTC.
        updated_at: When its status last changed, UTC.
        deadline: When it is cancelled, UTC.
        error: What it raised, as text.
        note: Why it waits, where an engine could not go on with it.
        steps: Its recorded steps; empty in a list.
    """

    workflow_id: str
    status: WorkflowStatus
    target: str
    queue: str | None = None
    executor: str | None = None
    attempt: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    deadline: datetime | None = None
    error: str | None = None
    note: str | None = None
    steps: Sequence[StepInfo] = ()
