"""Durable workflows: functions whose steps survive a crash."""

from __future__ import annotations

from workflow.engine import WorkflowEngine, WorkflowHandle, WorkflowStatus
from workflow.errors import (
    NotRecoverableWarning,
    StepMismatch,
    UnknownQueue,
    WorkflowCancelled,
    WorkflowConflict,
    WorkflowError,
    WorkflowFailed,
)
from workflow.run import WorkflowContext, current

__all__ = [
    "NotRecoverableWarning",
    "StepMismatch",
    "UnknownQueue",
    "WorkflowCancelled",
    "WorkflowConflict",
    "WorkflowContext",
    "WorkflowEngine",
    "WorkflowError",
    "WorkflowFailed",
    "WorkflowHandle",
    "WorkflowStatus",
    "current",
]
