"""Saving what a graph computes back to the store."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from reactive.errors import ComputationError, GraphError
from reactive.expr.inference import declared_fields
from reactive.expr.values import same_value

__all__ = ["Client", "Graph", "auto_persist_effect"]

LOGGER = logging.getLogger("reactive.bridge")
_ATTEMPTS = 5


class Client(Protocol):
    """What is needed of a store client."""

    def write(self, obj: Any) -> Any:
        """Store a new object."""

    def update(self, obj: Any) -> Any:
        """Store the changes of an object; raise an error named VersionConflict if it is no longer the newest."""

    def read(self, cls: type[Any], entity_id: str) -> Any:
        """Return the current state of an entity, or None."""


class Graph(Protocol):
    """What is needed of a graph."""

    def get(self, node_id: str, name: str | None = None) -> Any:
        """Return a value."""

    def refresh(self, node_id: str) -> None:
        """Take in what has changed of a node's object."""

    def tracked(self, node_id: str) -> Any:
        """Return the object of a node."""

    def node_effect(self, node_id: str, callback: Callable[[str, Any], object]) -> Any:
        """Call a function now and after each change of a node."""


def auto_persist_effect(graph: Graph, node_id: str, client: Client, obj: Any) -> Any:
    """Save an object whenever its fields or computed values in a graph have changed.

    What is saved are the object's fields, and the computed values that have the name of a field. One settled change, of
    however many fields, is one `client.update`; an object that was never written is written first. Nothing is saved
    where nothing differs.

    If somebody else has written meanwhile, the entity is read again, what they changed is taken into the graph, and
    what changed here is saved on top of it; a field that both have changed keeps the value from here, with a warning. A
    save that fails is logged and kept as the effect's `error`; the next change makes it good, or its `repeat()`.

    Args:
        graph: The graph.
        node_id: The object's node.
        client: A store client.
        obj: The object that is saved; usually the one that the node tracks.

    Returns:
        The effect: `remove()` ends the saving.

    Example:
        >>> auto_persist_effect(graph, node, client, position)
        >>> graph.update(node, "current_price", 231.0)  # saves current_price and every computed field
    """
    return graph.node_effect(node_id, _Saver(graph, node_id, client, obj).run)


class _Saver:
    def __init__(self, graph: Graph, node_id: str, client: Client, obj: Any) -> None:
        if not dataclasses.is_dataclass(obj) or isinstance(obj, type):
            raise GraphError(f"{obj!r} cannot be saved: pass an instance of a Storable")
        self._graph = graph
        self._node_id = node_id
        self._client = client
        self._obj: Any = obj
        self._fields = [field.name for field in dataclasses.fields(obj)]
        self._kinds = {name: known.kind for name, known in declared_fields(type(obj)).items()}
        self._saved = self._attributes(obj)

    def run(self, name: str, tracked: object) -> None:
        """Save what differs from what was saved last."""
        if getattr(self._obj, "entity_id", None) is None:
            self._take(self._current())
            self._client.write(self._obj)
            self._saved = self._attributes(self._obj)
            return
        for attempt in range(_ATTEMPTS):
            current = self._current()
            changed = _differences(self._saved, current)
            if not changed:
                return
            self._take(current)
            try:
                self._client.update(self._obj)
            except Exception as error:
                conflict = any(base.__name__ == "VersionConflict" for base in type(error).__mro__)
                if not conflict or attempt == _ATTEMPTS - 1:
                    raise
                self._merge(changed, error)
            else:
                self._saved = self._attributes(self._obj)
                return

    def _attributes(self, obj: Any) -> dict[str, Any]:
        return {name: getattr(obj, name) for name in self._fields}

    def _current(self) -> dict[str, Any]:
        values = self._attributes(self._obj)
        for name in self._fields:
            try:
                values[name] = self._fitted(name, self._graph.get(self._node_id, name))
            except ComputationError as error:
                LOGGER.warning("%s.%s keeps its last value: %s", self._node_id, name, error)
        return values

    def _fitted(self, name: str, value: Any) -> Any:
        """Return a double as the exact number that the field is declared as."""
        if isinstance(value, float):
            if self._kinds.get(name) == "int" and value.is_integer():
                return int(value)
            if self._kinds.get(name) == "decimal":
                return Decimal(repr(value))
        return value

    def _take(self, values: Mapping[str, Any]) -> None:
        for name, value in _differences(self._attributes(self._obj), values).items():
            setattr(self._obj, name, value)

    def _merge(self, changed: Mapping[str, Any], conflict: Exception) -> None:
        """Take in what somebody else has written, and stand on the version that they have made."""
        fresh = self._client.read(type(self._obj), self._obj.entity_id)
        if fresh is None:
            raise conflict
        theirs = _differences(self._saved, self._attributes(fresh))
        both = sorted(theirs.keys() & changed.keys())
        if both:
            LOGGER.warning("%s: %s changed here and by somebody else; kept as here", self._node_id, ", ".join(both))
        self._obj._bind(fresh._metadata, fresh._stored)
        self._saved = self._attributes(fresh)
        taken = {name: value for name, value in theirs.items() if name not in changed}
        for name, value in taken.items():
            setattr(self._obj, name, value)
            setattr(self._graph.tracked(self._node_id), name, value)
        self._graph.refresh(self._node_id)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in after.items() if not same_value(before[name], value)}
