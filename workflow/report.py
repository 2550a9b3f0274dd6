"""What an engine recovered when it was launched, and since; what it could not, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from workflow.logs import logger

__all__ = ["LaunchReport", "Recovered", "Waiting"]


class Recovered(NamedTuple):
    """A workflow that was taken over.

    Attributes:
        workflow_id: Its id.
        target: Its function.
        holder: The process that held it.
        queue: The queue it was put back into; None when it runs again at once.
    """

    workflow_id: str
    target: str
    holder: str
    queue: str | None


class Waiting(NamedTuple):
    """A workflow that nobody here can go on with.

    Attributes:
        workflow_id: Its id.
        target: Its function, or the transition that starts it.
        reason: Why.
    """

    workflow_id: str
    target: str
    reason: str


@dataclass
class LaunchReport:
    """What was found unfinished. Each entry is logged too, by the logger `workflow`.

    Attributes:
        executor_id: The process that made it.
        recovered: What goes on.
        waiting: What does not.
    """

    executor_id: str
    recovered: list[Recovered] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)

    def recover(self, entry: Recovered) -> None:
        """Add a workflow that goes on."""
        self.recovered.append(entry)
        logger.info("recovered the workflow %s (%s) of %s", entry.workflow_id, entry.target, entry.holder)

    def wait(self, entry: Waiting) -> None:
        """Add a workflow that does not."""
        self.waiting.append(entry)
        logger.warning("the workflow %s (%s) waits: %s", entry.workflow_id, entry.target, entry.reason)

    def __str__(self) -> str:
        """Return the report for people."""
        lines = [f"recovered {len(self.recovered)}, waiting {len(self.waiting)}"]
        lines += [f"  recovered {each.workflow_id} {each.target} of {each.holder}" for each in self.recovered]
        lines += [f"  waiting {each.workflow_id} {each.target}: {each.reason}" for each in self.waiting]
        return "\n".join(lines)
