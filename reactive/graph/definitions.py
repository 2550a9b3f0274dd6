"""Defining computed values: what they read, that none depends on itself, and what takes whose place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from reactive.errors import CycleError, ExpressionTypeError, GraphError, UnknownFieldError, UnknownNodeError, shown
from reactive.expr import Expr
from reactive.expr.inference import declared_fields
from reactive.expr.kinds import Declared
from reactive.expr.named import named_expressions
from reactive.expr.python import compile_function
from reactive.graph.cells import Cell, ExpressionCell, Node, added, require_name
from reactive.graph.propagation import Propagation

__all__ = ["define", "define_named", "field_names", "require_changes"]

_MAX_FUNCTIONS = 1000


def define_named(graph: Propagation, node: Node, name: str, path: tuple[str, ...] = ()) -> None:
    """Define the value that the class of a node's object has an expression for, and those that it reads."""
    if name in path:
        raise CycleError([*path[path.index(name) :], name])
    expressions = named_expressions(type(node.obj))
    if name not in expressions:
        raise UnknownNodeError(f"expression of {type(node.obj).__name__}", name, expressions)
    for other in sorted(expressions[name].fields() & expressions.keys() - node.cells.keys()):
        if other not in node.fields:
            define_named(graph, node, other, (*path, name))
    define(graph, node, name, expressions[name])


def define(graph: Propagation, node: Node, name: str, expr: Expr) -> None:
    """Define, or define anew, a computed value of a node; see `ReactiveGraph.computed`."""
    require_name(name)
    inputs: dict[str, Cell] = {}
    for field in sorted(expr.fields()):
        cell = node.cells.get(field)
        if isinstance(cell, ExpressionCell):
            inputs[field] = cell
        elif field not in node.fields:
            raise UnknownFieldError(field, node.id, [*node.cells, *node.fields], expr)
    old = node.cells.get(name)
    if name in expr.fields():
        raise CycleError([name, name])
    if isinstance(old, ExpressionCell) and (path := _path(inputs.values(), old)):
        raise CycleError([name, *(cell.name for cell in path)])
    function = _function(graph, type(node.obj), expr, frozenset(inputs))
    users = [cell for cell in node.users.get(name, ()) if isinstance(cell, ExpressionCell)]
    if not isinstance(old, ExpressionCell):
        # Values computed from the field of that name are computed from this one from now on.
        reached = _path(inputs.values(), *users)
        if reached:
            raise CycleError([name, *(cell.name for cell in reached), name])
    cell = old if isinstance(old, ExpressionCell) else ExpressionCell(node, name)
    if cell.expr is not None:
        for field in cell.expr.fields():
            node.users[field] = tuple(user for user in node.users.get(field, ()) if user is not cell)
    cell.define(expr, function, tuple(inputs.values()))
    for field in expr.fields() - inputs.keys():
        node.users[field] = (*node.users.get(field, ()), cell)
    node.cells[name] = cell
    if name in node.fields:
        node.overridden = added(node.overridden, name)
        node.users.pop(name, None)
    if old is not None and old is not cell:
        _take_over(graph, node, old, cell)
    for user in users:
        assert user.expr is not None
        define(graph, node, user.name, user.expr)
    cell.dirty = False
    graph._invalidate((cell,))
    if node.effects:
        graph._enqueue_node(node)


def require_changes(changes: object) -> None:
    """Refuse what is no mapping of nodes to mappings of fields to values."""
    if not isinstance(changes, Mapping):
        raise GraphError(f"expected a mapping of nodes to fields and values, not {shown(changes)}")
    for node_id, values in changes.items():
        if not isinstance(values, Mapping):
            raise GraphError(f"{node_id}: expected a mapping of fields to values, not {shown(values)}")


def _take_over(graph: Propagation, node: Node, old: Cell, new: Cell) -> None:
    """Let a computed value stand where the field of its name was watched."""
    new.effects, new.signal = old.effects, old.signal
    for group in list(old.groups):
        group.replace(node.id, new)
        graph._invalidate((group,))
    graph._invalidate(old.dependents)


def field_names(obj: Any) -> Mapping[str, None]:
    """Return the names of an object's fields, shared by all objects of a dataclass.

    Raises:
        GraphError: It has none.
    """
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        return _dataclass_fields(type(obj))
    names = {name: None for name in getattr(obj, "__dict__", ()) if not name.startswith("_")}
    if not names or isinstance(obj, type):
        raise GraphError(f"{shown(obj)} has no fields: track an instance of a dataclass, or an object with attributes")
    return names


@lru_cache(maxsize=256)
def _dataclass_fields(cls: Any) -> Mapping[str, None]:
    return {field.name: None for field in dataclasses.fields(cls)}


def _function(graph: Propagation, cls: type, expr: Expr, computed: frozenset[str]) -> Callable[[Any], Any]:
    """Return an expression's function over objects of a class; the nodes of a graph share it."""
    key = (id(expr), cls, computed)
    if key not in graph._functions:
        if len(graph._functions) >= _MAX_FUNCTIONS:
            graph._functions.clear()
        # The kind of a computed value is that of its own expression, which is not worked out again here.
        known = {field: declared for field, declared in _declared(cls).items() if field not in computed}
        # Kept with the expression, so that its id stays its own.
        graph._functions[key] = (expr, compile_function(expr, known))
    return graph._functions[key][1]


def _declared(cls: type) -> dict[str, Declared]:
    if not dataclasses.is_dataclass(cls):
        return {}
    try:
        return declared_fields(cls)
    except (NameError, ExpressionTypeError):
        # Annotations that cannot be resolved here tell nothing.
        return {}


def _path(start: Iterable[Cell], *targets: Cell) -> list[Any]:
    """Return a way from some cells, over what they are made of, to one of the targets; empty if there is none."""
    came_from: dict[Cell, Cell | None] = dict.fromkeys(start)
    pending = list(came_from) if targets else []
    while pending:
        cell = pending.pop()
        if cell in targets:
            way: list[Cell] = []
            step: Cell | None = cell
            while step is not None:
                way.insert(0, step)
                step = came_from[step]
            return way
        for each in cell.inputs:
            if each not in came_from:
                came_from[each] = cell
                pending.append(each)
    return []
