"""What is recorded of workflows in the database, for the engine and for `python -m workflow`."""

from __future__ import annotations

import base64
import pickle
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import psycopg

from workflow.database import Database
from workflow.errors import EngineError
from workflow.payloads import Outcome, RecordedError, outcome_of_error
from workflow.records import Ended, StepInfo, WorkflowInfo, WorkflowStatus
from workflow.sql import statements
from workflow.starting import is_text, require_limit, unknown_workflow

__all__ = ["Ledger"]

Sql = statements("ledger")
STATUSES = {
    "ENQUEUED": WorkflowStatus.PENDING,
    "DELAYED": WorkflowStatus.PENDING,
    "PENDING": WorkflowStatus.RUNNING,
    "SUCCESS": WorkflowStatus.SUCCESS,
    "ERROR": WorkflowStatus.ERROR,
    "CANCELLED": WorkflowStatus.CANCELLED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": WorkflowStatus.ERROR,
}
PATIENCE_SECONDS = 30.0
TOO_OFTEN = "it was begun again too often without ending, each time ending its process"


class Ledger:
    """Reads what is recorded.

    Args:
        database: The engine's database.
        application: Whose workflows; those of every application when None.
    """

    def __init__(self, database: Database, application: str | None = None) -> None:
        """Read nothing yet."""
        self._database = database
        self._application = application

    def list(
        self, status: WorkflowStatus | str | None = None, limit: int = 100, workflow_id: str | None = None
    ) -> Sequence[WorkflowInfo]:
        """Return workflows, the newest first, without their steps."""
        require_limit(limit)
        wanted = None if status is None else WorkflowStatus(status)
        kinds = None
        if wanted is not None:
            # What a dead process holds is RUNNING in the table and PENDING in truth; the query tells them apart.
            same = {wanted, WorkflowStatus.RUNNING} if wanted is WorkflowStatus.PENDING else {wanted}
            kinds = [kind for kind, meaning in STATUSES.items() if meaning in same]
        rows = self._fetch(
            "workflows",
            {
                "application": self._application,
                "workflow": workflow_id,
                "statuses": kinds,
                "runs": wanted is WorkflowStatus.RUNNING,
                "limit": limit,
            },
        )
        return [_info(row) for row in rows]

    def show(self, workflow_id: str) -> WorkflowInfo:
        """Return all that is known of a workflow.

        Raises:
            UnknownWorkflow: There is none.
        """
        found = self.list(workflow_id=workflow_id) if is_text(workflow_id) else []
        if not found:
            raise unknown_workflow(workflow_id)
        rows = self._fetch("steps", {"workflow": workflow_id})
        return found[0]._replace(steps=[_step(row) for row in rows])

    def status(self, workflow_id: str) -> WorkflowStatus:
        """Return how a workflow stands.

        Raises:
            UnknownWorkflow: There is none.
        """
        return self.show(workflow_id).status

    def ended(self, workflow_id: str) -> Ended | None:
        """Return how a workflow ended; None while it has not, or while the server is away."""
        try:
            rows = self._database.fetch(Sql["outcome"], {"workflow": workflow_id})
        except psycopg.OperationalError:
            return None
        if not rows:
            raise unknown_workflow(workflow_id)
        kind, output, error = rows[0]
        status = STATUSES[kind]
        if status is WorkflowStatus.SUCCESS:
            return Ended(status, unpacked(output))
        if status is WorkflowStatus.ERROR:
            return Ended(status, _outcome_of(workflow_id, error))
        return Ended(status, None) if status is WorkflowStatus.CANCELLED else None

    def started_as(self, workflow_id: str) -> tuple[str, str, str, bytes]:
        """Return the function's name and origin, and the digest and bytes of the arguments, of a workflow."""
        target, origin, digest, inputs = self._fetch("started_as", {"workflow": workflow_id})[0]
        return target or "", origin or "", digest or "", unpacked(inputs)["args"][-1]

    def step_after(self, workflow_id: str, taken: int) -> tuple[int, str] | None:
        """Return the first step recorded after a position."""
        rows = self._fetch("last_step", {"workflow": workflow_id, "taken": taken})
        return (rows[0][0], rows[0][1]) if rows else None

    def queued(self, queues: Sequence[str], version: str) -> Sequence[str]:
        """Return what waits in queues for a process of a version, the oldest first."""
        params = {"application": self._application, "queues": [*queues], "version": version}
        return [row[0] for row in self._fetch("queued", params)]

    def elsewhere(self, executor: str) -> int:
        """Return how many workflows run in other processes than one."""
        count: int = self._fetch("elsewhere", {"application": self._application, "executor": executor})[0][0]
        return count

    def ended_before(self, age: float, limit: int) -> Sequence[str]:
        """Return workflows that ended longer than so many seconds ago, the oldest first."""
        rows = self._fetch("ended_before", {"application": self._application, "age": int(age * 1000), "limit": limit})
        return [row[0] for row in rows]

    def _fetch(self, name: str, params: dict[str, Any]) -> Sequence[tuple[Any, ...]]:
        """Run a query; wait a while for a server that restarts."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._database.fetch(Sql[name], params)
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise EngineError(f"the engine's database cannot be reached: {error}") from error
            time.sleep(0.1)

    def check(self) -> None:
        """Refuse a database in which no engine was ever launched.

        Raises:
            EngineError: It is one, or it cannot be reached.
        """
        try:
            found = self._database.fetch("SELECT to_regclass('workflow.executors') IS NOT NULL")
        except psycopg.Error as error:
            raise EngineError(f"the engine's database cannot be reached: {error}") from error
        if not found[0][0]:
            raise EngineError("no workflow engine was launched on this database yet: it holds no workflows")


def unpacked(text: str) -> Any:
    """Return what the backend packed. Only the engine's role can have written it."""
    return pickle.loads(base64.b64decode(text))


def _outcome_of(workflow_id: str, packed: str | None) -> Outcome:
    if packed is None:
        return outcome_of_error(EngineError(TOO_OFTEN), f"the workflow {workflow_id}")
    try:
        error = unpacked(packed)
    except Exception as reason:
        error = EngineError(f"its error cannot be read back: {reason}")
    return error.outcome if isinstance(error, RecordedError) else outcome_of_error(error, f"workflow {workflow_id}")


def _info(row: tuple[Any, ...]) -> WorkflowInfo:
    workflow_id, kind, target, queue, executor, attempt, created, updated, deadline, error, reason, alive = row
    status, note = STATUSES[kind], reason
    if kind == "PENDING" and (reason or not alive):
        status, note = WorkflowStatus.PENDING, reason or f"the process {executor} that ran it is gone"
    shown = None
    if status is WorkflowStatus.ERROR:
        shown = _outcome_of(workflow_id, error)[1]
    return WorkflowInfo(
        workflow_id,
        status,
        target or "?",
        None if queue is None or queue.startswith("_") else queue,
        executor,
        attempt or 0,
        _time(created),
        _time(updated),
        _time(deadline),
        shown,
        note,
    )


def _step(row: tuple[Any, ...]) -> StepInfo:
    position, name, output, error, child, started, ended = row
    told = None
    if error is not None:
        told = _outcome_of("", error)[1]
    elif child is None and output is not None and not name.startswith("DBOS."):
        told = unpacked(output)[1] or None
    shown = {"DBOS.recv": "recv", "DBOS.send": "send", "DBOS.sleep": "recv until"}.get(name, name)
    return StepInfo(position, f"start {child}" if child is not None else shown, told, _time(started), _time(ended))


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
