"""`WorkflowDispatcher`: moving an object through its states, one recorded step each."""

from __future__ import annotations

import inspect
from datetime import datetime
from typing import Any

from store.base import Storable, record_schema
from store.client import StoreClient
from store.errors import StoreError, shown
from workflow.engine import WorkflowEngine
from workflow.errors import WorkflowError

__all__ = ["WorkflowDispatcher"]


class WorkflowDispatcher:
    """Makes transitions that stand exactly once, whatever happens to the process.

    Args:
        engine: The engine that runs the workflow.
        client: The client of the user in whose name the transitions are made.

    Raises:
        WorkflowError: They are not these.

    Example:
        >>> dispatcher = WorkflowDispatcher(engine, client)
        >>> def settlement_workflow(entity_id):
        ...     order = engine.step(lambda: client.read(Order, entity_id))
        ...     engine.step(lambda: call_clearing_house(order))
        ...     dispatcher.durable_transition(order, "SETTLED")
    """

    def __init__(self, engine: WorkflowEngine, client: StoreClient) -> None:
        """Change nothing yet."""
        if not hasattr(engine, "step") or not hasattr(client, "transition"):
            found = f"{shown(engine)} and {shown(client)}"
            raise WorkflowError(f"WorkflowDispatcher takes an engine and a client, in this order, not {found}")
        self._engine = engine
        self._client = client

    def durable_transition(self, obj: Storable, to_state: str, *, valid_from: datetime | None = None) -> Any:
        """Move an object to another state as a step of the running workflow, and bring the object up to date.

        Args:
            obj: An object of a class with a state machine, at its entity's newest version.
            to_state: The state to move to.
            valid_from: As for `StoreClient.transition`.

        Returns:
            None; in a coroutine function an awaitable.

        Raises:
            StoreError: The transition is refused, as `StoreClient.transition` says.
        """
        if not isinstance(obj, Storable):
            raise StoreError(f"durable_transition takes an object of the store, not {shown(obj)}")

        def transition(mine: Storable) -> Storable:
            self._client.transition(mine, to_state, valid_from=valid_from)
            return mine

        made = self._engine.step(transition, obj, name=f"transition {type(obj).type_name()} to {to_state}")
        if not inspect.isawaitable(made):
            _become(obj, made)
            return None

        async def finish() -> None:
            _become(obj, await made)

        return finish()


def _become(obj: Storable, other: Storable) -> None:
    """Give an object the data and metadata of another one of its class."""
    for name in record_schema(type(obj)).fields:
        object.__setattr__(obj, name, getattr(other, name))
    obj._bind(other._metadata, other._stored)
