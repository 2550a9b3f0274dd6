"""The store's outbox: each transition that starts a workflow has left a row there, from which an engine starts it.

The row was committed with the transition. It is taken out once the workflow is recorded under an id made from the
entity and its version, so that neither a crash in between nor a second engine starts it twice. What this process cannot
start stays, for another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import psycopg

from store.base import types_by_name
from store.wording import printable
from workflow.database import Database
from workflow.errors import WorkflowConflict, WorkflowError
from workflow.logs import logger
from workflow.records import Start
from workflow.sql import statements
from workflow.starting import build_start

__all__ = ["Outbox", "workflow_id_of"]

PAGE = 100
# So many of the rows that nobody here can start are reported one by one, and past a page of them looked at only this
# often (seconds). Those that can be started are found without them.
MANY = 1000
LOOK_SECONDS = 30.0

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
        self._look_at = 0.0
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
        """Start what can be started. What cannot is looked at now and then, so that it costs nothing in between."""
        started = 0
        if len(self.waiting) <= PAGE or time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            started = self._look()
        edges, after = _edges(), 0
        while edges:
            types, before, behind = zip(*edges, strict=True)
            params = {"types": [*types], "before": [*before], "behind": [*behind], "limit": PAGE, "after": after}
            rows = self._database.fetch(Sql["startable"], params)
            for row in rows:
                edge, after = (row[3], row[4], row[5]), row[2]
                if edge in edges:
                    done = self._take(row)
                    started += done
                    if not done:  # nor will the others of this edge, now
                        edges.discard(edge)
            if len(rows) < PAGE:
                break
        return started

    def _look(self) -> int:
        """Look at the oldest rows one by one, and report those that cannot be started."""
        known, self.waiting = self.waiting, {}
        started, looked, after = 0, 0, 0
        while looked < MANY:
            rows = self._database.fetch(Sql["pending"], {"limit": PAGE, "after": after})
            for row in rows:
                started += self._take(row, known)
                after = row[2]
            looked += len(rows)
            if len(rows) < PAGE:
                break
        return started

    def _take(self, row: tuple[Any, ...], known: Mapping[str, str] | None = None) -> bool:
        """Start the workflow of a row, or report why it cannot be, unless that is known."""
        entity_id, version, _, type_name, from_state, to_state, user, _ = row
        subject, known = workflow_id_of(entity_id, version), self.waiting if known is None else known
        reason = self._try(subject, entity_id, type_name, from_state, to_state, user)
        if reason is None:
            self._database.fetch(Sql["done"], {"entity": entity_id, "version": version})
            if subject in known:
                self._settle(subject)
                self.waiting.pop(subject, None)
            return True
        reason = printable(reason)  # it goes to logs and terminals, and whoever wrote the row named type and states
        if known.get(subject) != reason:
            self._note(subject, reason)
        if len(self.waiting) < MANY:
            self.waiting[subject] = reason
        return False

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


def _edges() -> set[tuple[str, str, str]]:
    """Return the edges that start a workflow in this process: type, and the states before and behind."""
    found = set()
    for name, cls in list(types_by_name.items()):
        machine = getattr(cls, "_state_machine", None)
        if machine is not None:
            found |= {(name, *edge) for edge, taken in machine._edges.items() if taken.start_workflow is not None}
    return found
