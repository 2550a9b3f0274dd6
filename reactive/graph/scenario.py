"""A graph as it would be with other values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from reactive.errors import ComputationError, CycleError, UnknownFieldError
from reactive.graph.cells import Cell, ExpressionCell, FunctionCell, GroupCell, Node, expression_value

if TYPE_CHECKING:
    from reactive.graph.core import ReactiveGraph

__all__ = ["Scenario"]


class Scenario:
    """What `ReactiveGraph.scenario` yields: values computed anew where the changes reach, the graph's own elsewhere."""

    def __init__(self, graph: ReactiveGraph, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Take the changes, already checked."""
        self._graph = graph
        self._changes = {node_id: dict(values) for node_id, values in changes.items()}
        self._values: dict[str, dict[str, Any]] = {}
        self._computed: dict[Cell, Any] = {}
        self._running: list[Cell] = []

    def get(self, node_id: str, name: str | None = None) -> Any:
        """Return a computed value or field of a node; with one argument, a group or function of the graph.

        Raises:
            UnknownNodeError: There is no such node or name.
            ComputationError: Computing it, or what it depends on, failed.
        """
        with self._graph._state:
            if name is None:
                return self._result(self._graph._result(node_id))
            node = self._graph._node(node_id)
            cell = node.cells.get(name)
            if isinstance(cell, ExpressionCell):
                return self._expression(cell)
            if name in node.fields:
                return self.get_field(node_id, name)
            return self._graph.get(node_id, name)

    def get_field(self, node_id: str, name: str) -> Any:
        """Return a field of a node as the changes have it."""
        with self._graph._state:
            node = self._graph._node(node_id)
            if name not in node.fields:
                raise UnknownFieldError(name, node_id, node.fields)
            changed = self._changes.get(node_id, {})
            return changed[name] if name in changed else self._graph.get_field(node_id, name)

    def get_group(self, name: str) -> Any:
        """Return the value of a group."""
        return self.get(name)

    @contextmanager
    def scenario(self, changes: Mapping[str, Mapping[str, Any]]) -> Iterator[Scenario]:
        """Look at the scenario as it would be with further changes; as `ReactiveGraph.scenario`."""
        with self._graph.scenario(changes):
            # Now they are known to be well formed.
            nodes = {**self._changes, **changes}
            both = {node_id: {**self._changes.get(node_id, {}), **changes.get(node_id, {})} for node_id in nodes}
        yield Scenario(self._graph, both)

    def _node_values(self, node: Node) -> dict[str, Any]:
        values = self._values.get(node.id)
        if values is None:
            changed = {name: expression_value(value) for name, value in self._changes.get(node.id, {}).items()}
            values = self._values[node.id] = {**node.values, **changed}
        return values

    def _expression(self, cell: ExpressionCell) -> Any:
        # Computed values read their own node's fields alone.
        if cell.node.id not in self._changes:
            return self._graph._read(cell)
        self._graph._depend(cell)
        values = self._node_values(cell.node)
        # A stack of our own: chains of computed values may be longer than Python's.
        stack: list[Cell] = [cell]
        while stack:
            top = stack[-1]
            assert isinstance(top, ExpressionCell)
            waiting = [each for each in top.inputs if each not in self._computed]
            if top in self._computed:
                stack.pop()
            elif waiting:
                stack += waiting
            else:
                stack.pop()
                self._computed[top] = values[top.name] = self._guarded(top, partial(top.function, values))
        return self._computed[cell]

    def _result(self, cell: GroupCell | FunctionCell) -> Any:
        if isinstance(cell, GroupCell):
            if not self._changes.keys() & cell.members.keys():
                return self._graph._read(cell)
            self._graph._depend(cell)
        if cell not in self._computed:
            if isinstance(cell, GroupCell):
                values = {node_id: self.get(node_id, cell.of) for node_id in cell.members}
                self._computed[cell] = self._guarded(cell, lambda: cell.reduce(values))
            else:
                self._computed[cell] = self._guarded(cell, lambda: cell.function(self))
        return self._computed[cell]

    def _guarded(self, cell: Cell, compute: Any) -> Any:
        if cell in self._running:
            raise CycleError([*(each.label for each in self._running), cell.label])
        self._running.append(cell)
        try:
            return compute()
        except (ComputationError, CycleError):
            raise
        except Exception as error:
            raise ComputationError(cell.label, error) from error
        finally:
            self._running.pop()
