"""What the engine in memory keeps of its workflows."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timezone

from workflow.payloads import Outcome
from workflow.records import Ended, Queue, Start, StepInfo, WorkflowInfo, WorkflowStatus
from workflow.run import Run
from workflow.starting import require_limit, require_seconds

__all__ = ["Journal", "Record", "StepRecord", "info_of", "now", "steps_of"]

ENDED = (WorkflowStatus.SUCCESS, WorkflowStatus.ERROR, WorkflowStatus.CANCELLED)


@dataclass(eq=False)
class StepRecord:
    """One recorded step."""

    name: str
    outcome: Outcome
    started_at: datetime
    ended_at: datetime


@dataclass(eq=False)
class Record:
    """All that is kept of one workflow."""

    workflow_id: str
    start: Start
    status: WorkflowStatus
    number: int
    created_at: datetime
    updated_at: datetime
    not_before: float
    outcome: Outcome | None = None
    steps: dict[int, StepRecord] = field(default_factory=dict)
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    message_keys: set[str] = field(default_factory=set)
    attempt: int = 0
    deadline: float | None = None
    begun: float | None = None
    run: Run | None = None
    future: Future[Ended] = field(default_factory=Future)


class Journal:
    """What an engine in memory keeps of its workflows."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.workflows: dict[str, Record] = {}
        self.queues: dict[str, Queue] = {}

    def newest(self, status: WorkflowStatus | str | None, limit: int) -> list[WorkflowInfo]:
        """Return what is shown of the workflows of a status, the newest first."""
        require_limit(limit)
        wanted = None if status is None else WorkflowStatus(status)
        with self.lock:
            newest = sorted(self.workflows.values(), key=lambda each: -each.number)
            return [info_of(each) for each in newest if wanted is None or each.status is wanted][:limit]

    def forget(self, older_than: float) -> int:
        """Forget workflows that ended so many seconds ago, and return how many."""
        require_seconds("older_than", older_than)
        with self.lock:
            gone = [
                each.workflow_id
                for each in self.workflows.values()
                if each.status in ENDED and (now() - each.updated_at).total_seconds() >= older_than
            ]
            for workflow_id in gone:
                del self.workflows[workflow_id]
            return len(gone)


def info_of(record: Record) -> WorkflowInfo:
    """Return what is shown of a workflow, without its steps."""
    failed = record.status is WorkflowStatus.ERROR and record.outcome is not None
    return WorkflowInfo(
        record.workflow_id,
        record.status,
        record.start.target.name,
        record.start.queue,
        None,
        record.attempt,
        record.created_at,
        record.updated_at,
        None if record.deadline is None else datetime.fromtimestamp(record.deadline, timezone.utc),
        record.outcome[1] if failed and record.outcome is not None else None,
    )


def steps_of(record: Record) -> list[StepInfo]:
    """Return what is shown of a workflow's steps."""
    return [
        StepInfo(position, step.name, step.outcome[1] or None, step.started_at, step.ended_at)
        for position, step in sorted(record.steps.items())
    ]


def now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(timezone.utc)
