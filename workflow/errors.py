"""Every error of the workflow engine, and the one warning."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "DuplicateInQueue",
    "EngineError",
    "NotRecoverableWarning",
    "NotSerializable",
    "StepMismatch",
    "StepOutsideWorkflow",
    "TargetNotFound",
    "UnknownQueue",
    "UnknownWorkflow",
    "WorkflowCancelled",
    "WorkflowConflict",
    "WorkflowError",
    "WorkflowFailed",
]


class WorkflowError(Exception):
    """Base of every error of the workflow engine."""


class NotRecoverableWarning(UserWarning):
    """A workflow whose function has no importable name: it runs, but a crash ends it for good."""


class EngineError(WorkflowError, RuntimeError):
    """An engine that is used before `launch` or after `destroy`, or that cannot be launched."""


class WorkflowFailed(WorkflowError):
    """A workflow ended with an error, which is chained as `__cause__`.

    Attributes:
        workflow_id: The workflow.
    """

    def __init__(self, message: str = "", *, workflow_id: str | None = None) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.workflow_id = workflow_id


class WorkflowCancelled(WorkflowFailed):
    """A workflow was cancelled, or its deadline passed, before it ended."""


class WorkflowConflict(WorkflowError, ValueError):
    """A workflow id that belongs to another function, or to the same one with other arguments.

    Attributes:
        workflow_id: The id.
    """

    def __init__(self, message: str = "", *, workflow_id: str | None = None) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.workflow_id = workflow_id


class UnknownWorkflow(WorkflowError, LookupError):
    """There is no workflow with that id.

    Attributes:
        workflow_id: The id.
    """

    def __init__(self, message: str = "", *, workflow_id: str | None = None) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.workflow_id = workflow_id


class UnknownQueue(WorkflowError, LookupError):
    """A queue that was not declared.

    Attributes:
        queue: Its name.
        declared: The queues that were.
    """

    def __init__(self, message: str = "", *, queue: str = "", declared: Sequence[str] = ()) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.queue = queue
        self.declared = tuple(declared)


class DuplicateInQueue(WorkflowError, ValueError):
    """A deduplication id that a workflow waiting or running in the queue has already.

    Attributes:
        queue: The queue.
        deduplication_id: The id.
    """

    def __init__(self, message: str = "", *, queue: str = "", deduplication_id: str = "") -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.queue = queue
        self.deduplication_id = deduplication_id


class StepMismatch(WorkflowError):
    """A workflow that, run again, took other steps than it recorded: its code was changed, or is not deterministic.

    Attributes:
        workflow_id: The workflow.
        position: The number of the step, from 1.
        found: The step that the code takes there now; None where it takes no more.
        recorded: The step that was recorded there.
    """

    def __init__(
        self,
        message: str = "",
        *,
        workflow_id: str = "",
        position: int = 0,
        found: str | None = None,
        recorded: str = "",
    ) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.workflow_id = workflow_id
        self.position = position
        self.found = found
        self.recorded = recorded


class StepOutsideWorkflow(WorkflowError, RuntimeError):
    """A call that belongs into a workflow's own thread, made elsewhere: it would not be recorded."""


class NotSerializable(WorkflowError, TypeError):
    """Arguments, a result, a message or an error that cannot be pickled, and so cannot survive a crash."""


class TargetNotFound(WorkflowError, LookupError):
    """A workflow's function that this process cannot find by its name.

    Attributes:
        target: The name, `module:qualname`.
    """

    def __init__(self, message: str = "", *, target: str = "") -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.target = target
