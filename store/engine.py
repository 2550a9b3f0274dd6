"""What the store asks of a workflow engine; it knows no engine of its own."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["WorkflowStarter"]


@runtime_checkable
class WorkflowStarter(Protocol):
    """An engine that starts the workflows waiting in the store's outbox: `Order._workflow_engine = engine`."""

    def wake(self) -> None:
        """Take note that the outbox has a new row. A hint: an engine that misses it looks by itself before long."""
