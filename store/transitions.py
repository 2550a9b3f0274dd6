"""Carrying out one transition: checks, the event and its Tier 1 action in one transaction, Tier 2 after the commit."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from store.base import Storable
from store.connection import Database
from store.errors import InvalidTransition, StoreError
from store.state_machine import Transition
from store.writing import Append, Writer, changed_fields, require_written

__all__ = ["Transitions"]

logger = logging.getLogger(__name__)


class Transitions:
    """Runs transitions of one client's user.

    Args:
        database: The user's connections.
        writer: What appends the events.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        """Run nothing yet."""
        self._database = database
        self._writer = writer

    def run(self, obj: Storable, to_state: str, valid_from: datetime | None, key: str | None) -> None:
        """Move an object to a state. See `StoreClient.transition`."""
        require_written(obj)
        machine = getattr(type(obj), "_state_machine", None)
        if machine is None:
            name = type(obj).__name__
            raise InvalidTransition(
                f"{name} has no state machine: set {name}._state_machine to a StateMachine class", to_state=to_state
            )
        edge: Transition = machine.check_transition(obj, to_state, self._database.user)
        if edge.start_workflow is not None:
            raise StoreError(
                f"{type(obj).__name__}: {edge.from_state} -> {to_state} starts a workflow, and this version of the"
                " store has no durable way to start one"
            )
        change = Append(obj, "STATE_CHANGE", changed_fields(obj, None), to_state, valid_from)
        hooks = [hook for hook in (edge.on_exit, edge.on_enter) if hook is not None]
        if edge.action is None and not hooks:
            self._writer.append([change], key)
            return
        made = False
        with self._database.transaction() as transaction:
            # Before the event is on its way, so that the hooks come before the bus.
            transaction.after_commit.append(lambda: _run_hooks(hooks if made else [], obj, edge))
            made = self._writer.append([change], key)
            if made and edge.action is not None:
                edge.action(obj, edge.from_state, to_state)


def _run_hooks(hooks: list[Any], obj: Storable, edge: Transition) -> None:
    """Run Tier 2: what fails is logged and changes nothing."""
    for hook in hooks:
        try:
            hook(obj, edge.from_state, edge.to_state)
        except Exception:
            logger.exception(
                "%r failed after %s %s went from %s to %s",
                hook,
                type(obj).__name__,
                obj.entity_id,
                edge.from_state,
                edge.to_state,
            )
