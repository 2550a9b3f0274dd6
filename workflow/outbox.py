"""The store's outbox: each transition that starts a workflow has left a row there, from which an engine starts it.

The row was committed with the transition. It is taken out once the workflow is recorded under an id made from the
entity and its version, so that neither a crash in between nor a second engine starts it twice. What this process cannot
start stays, for another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg

from store.base import types_by_name
from workflow.database import Database
from workflow.errors import WorkflowConflict, WorkflowError
from workflow.logs import logger
from workflow.records import Start
from workflow.sql import statements
from workflow.starting import build_start

__all__ = ["Outbox", "workflow_id_of"]

PAGE = 100
# Past so many rows that nobody here can start, the rows behind them are looked at more often than they are.
MANY = 1000
RECHECK_SECONDS = 30.0

Sql = statements("outbox")


def workflow_id_of(entity_id: str, version: int) -> str:
    """Return the id of the workflow that the transition to a version of an entity starts."""
    return f"{entity_id}:{version}"


class Outbox:
    """Starts what waits in the outbox of one store.

    Args:
        url: The engine's URL of the store's database.
        start: Starts a workflow durably.
        note: Told the workflow's id and the reason, for each row that cannot be started here.
        settle: Told the workflow's id when such a row was started after all.
    """

    def __init__(
        self,
        url: str,
        start: Callable[[Start], Any],
        note: Callable[[str, str], None],
        settle: Callable[[str], None] = lambda subject: None,
    ) -> None:
        """Connect nothing yet."""
        self._database = Database(url)
        self._start = start
        self._note = note
        self._settle = settle
        self._present: bool | None = None
        self._unreachable = False
        self._behind = 0
        self._rechecked = 0.0
        self.waiting: dict[str, str] = {}

    def drain(self) -> int:
        """Start what can be started, and return how many. A server that is away is asked again the next time."""
        try:
            if self._present is None:
                self._present = self._database.fetch(Sql["present"])[0][0]
            started = self._pages() if self._present else 0
        except psycopg.OperationalError as error:
            if not self._unreachable:
                logger.warning("the outbox cannot be reached: %s", error)
            self._unreachable = True
            return 0
        self._unreachable = False
        return started

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def _pages(self) -> int:
        started, waiting, after = 0, {}, 0
        if len(self.waiting) > MANY and time.monotonic() - self._rechecked < RECHECK_SECONDS:
            after, waiting = self._behind, self.waiting
        else:
            self._rechecked = time.monotonic()
        while True:
            rows = self._database.fetch(Sql["pending"], {"limit": PAGE, "after": after})
            for entity_id, version, seq, type_name, from_state, to_state, user, _ in rows:
                subject, after = workflow_id_of(entity_id, version), seq
                reason = self._try(subject, entity_id, type_name, from_state, to_state, user)
                if reason is None:
                    self._database.fetch(Sql["done"], {"entity": entity_id, "version": version})
                    started += 1
                    if subject in self.waiting:
                        self._settle(subject)
                else:
                    waiting[subject] = reason
                    self._behind = max(self._behind, seq)
                    if self.waiting.get(subject) != reason:
                        self._note(subject, reason)
            if len(rows) < PAGE:
                self.waiting = waiting
                return started

    def _try(
        self, subject: str, entity_id: str, type_name: str, from_state: str, to_state: str, user: str
    ) -> str | None:
        """Start the workflow of a row; return why it cannot be, None when it is started."""
        cls = types_by_name.get(type_name)
        edge = f"{type_name} {from_state} -> {to_state}"
        if cls is None:
            return f"{edge}: no class {type_name} is loaded in this process: import its module"
        machine = getattr(cls, "_state_machine", None)
        if machine is None:
            return f"{edge}: {cls.__name__} has no state machine in this process"
        try:
            target = machine.edge(from_state, to_state).start_workflow
        except Exception as error:
            return f"{edge}: {error}"
        if target is None:
            return f"{edge}: this edge of {machine.__name__} starts no workflow in this process"
        try:
            self._start(build_start(target, (entity_id,), {}, workflow_id=subject, user=user))
        except WorkflowConflict:
            return None  # started by a process whose machine named another function
        except WorkflowError as error:
            return f"{edge}: {error}"
        return None
