"""Carrying out one transition.

One transaction holds the event, its Tier 1 action and the Tier 3 row from which an engine starts the workflow; the
engine's waking and Tier 2 come after the commit.
"""

from __future__ import annotations

import inspect
import logging
from datetime import datetime
from typing import Any

from store.base import Storable
from store.connection import Database
from store.engine import WorkflowStarter
from store.errors import EngineMissing, InvalidTransition, StateMachineError, shown
from store.items import Append, changed_fields, require_written
from store.state_machine import Transition
from store.transition import Hook
from store.writing import Writer

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
        if self._writer.replay([Append(obj, "STATE_CHANGE", {}, to_state)], key):
            return
        machine = getattr(type(obj), "_state_machine", None)
        if machine is None:
            name = type(obj).__name__
            raise InvalidTransition(
                f"{name} has no state machine: set {name}._state_machine to a StateMachine class", to_state=to_state
            )
        user = self._database.user
        groups = () if machine.edge(obj.state, to_state).permits(user) else self._groups()
        edge: Transition = machine.check_transition(obj, to_state, user, groups)
        engine = None if edge.start_workflow is None else _engine_of(type(obj), edge)
        change = Append(
            obj, "STATE_CHANGE", changed_fields(obj, None), to_state, valid_from, starts_workflow=engine is not None
        )
        hooks = [hook for hook in (edge.on_exit, edge.on_enter) if hook is not None]
        if edge.action is None and not hooks and engine is None:
            self._writer.append([change], key, replayed=False)
            return
        made = False
        with self._database.transaction() as transaction:
            # Before the event is on its way, so that these come before the bus.
            if engine is not None:
                transaction.after_commit.append(lambda: _wake(engine))
            transaction.after_commit.append(lambda: _run_hooks(hooks if made else [], obj, edge))
            made = self._writer.append([change], key, replayed=False)
            if made and edge.action is not None:
                _call(edge.action, obj, edge)

    def _groups(self) -> list[str]:
        """Return the names besides the login under which the user has access: its groups, as they are now."""
        return list(self._database.fetch("principals")[0][0])


def _engine_of(cls: type[Storable], edge: Transition) -> WorkflowStarter:
    """Return the engine of a class for an edge that starts a workflow, or say how to give it one."""
    engine = cls._workflow_engine
    if isinstance(engine, WorkflowStarter):
        return engine
    workflow = getattr(edge.start_workflow, "__qualname__", edge.start_workflow)
    found = "has no workflow engine" if engine is None else f"has {shown(engine)} for a workflow engine"
    raise EngineMissing(
        f"{cls.__name__}: {edge.from_state!r} -> {edge.to_state!r} starts the workflow {workflow}, and {cls.__name__}"
        f" {found}: set {cls.__name__}._workflow_engine to the engine that shall run it",
        type_name=cls.type_name(),
        from_state=edge.from_state,
        to_state=edge.to_state,
    )


def _call(hook: Hook, obj: Storable, edge: Transition) -> None:
    """Run an action or a hook, which must have done its work when it returns."""
    answer = hook(obj, edge.from_state, edge.to_state)
    where = f"{hook!r} of {edge.from_state!r} -> {edge.to_state!r}"
    if inspect.iscoroutine(answer):
        answer.close()
        raise StateMachineError(
            f"{where} returned a coroutine, which nobody waits for: give the transition a plain function, or"
            " start_workflow an async one"
        )
    if inspect.isgenerator(answer) or inspect.isasyncgen(answer):
        raise StateMachineError(f"{where} returned a generator, of which nothing has run: write it without yield")


def _wake(engine: WorkflowStarter) -> None:
    """Tell the engine of a new row. The row is committed: without this it is only found later."""
    try:
        engine.wake()
    except Exception:
        logger.exception("%r could not be woken; it finds the workflow to be started when it looks by itself", engine)


def _run_hooks(hooks: list[Any], obj: Storable, edge: Transition) -> None:
    """Run Tier 2: what fails is logged and changes nothing."""
    for hook in hooks:
        try:
            _call(hook, obj, edge)
        except Exception:
            logger.exception(
                "%r failed after %s %s went from %s to %s",
                hook,
                type(obj).__name__,
                obj.entity_id,
                edge.from_state,
                edge.to_state,
                extra={"entity_id": obj.entity_id, "type": type(obj).__name__, "to_state": edge.to_state},
            )
