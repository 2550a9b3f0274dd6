"""How a change goes through a graph: what it makes stale, when that is computed anew, and who is told."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from reactive.errors import ComputationError, CycleError, GraphError, UnknownFieldError, UnknownNodeError, shown
from reactive.expr import Expr
from reactive.expr.values import same_value
from reactive.graph.cells import (
    Cell,
    Effect,
    ExpressionCell,
    FieldCell,
    FunctionCell,
    GroupCell,
    Node,
    added,
    expression_value,
    required_value,
)

__all__ = ["Propagation"]

LOGGER = logging.getLogger("reactive.graph")
# Effects that change what other effects watch, and so on: beyond this many in a row they are going round in a circle.
_MAX_ROUNDS = 100


class Propagation:
    """The state of a graph, and the rules by which it changes."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._nodes: dict[str, Node] = {}
        self._ids: dict[int, str] = {}
        self._results: dict[str, GroupCell | FunctionCell] = {}
        self._numbers = itertools.count(1)
        self._functions: dict[tuple[int, type, frozenset[str]], tuple[Expr, Callable[[Any], Any]]] = {}
        # Whoever changes the graph holds the first, until the effects have run; whoever looks at it, the second.
        self._changing = threading.RLock()
        self._state = threading.RLock()
        self._reading: list[FunctionCell] = []
        # The values that functions of the user's are computing now, and the thread that they do it in.
        self._computing: list[str] = []
        self._computer: int | None = None
        self._stale: list[Cell] = []
        # Each call with its round, and the name of what it is called for.
        self._queue: deque[tuple[int, str, Callable[[], None]]] = deque()
        self._round: int | None = None
        self._caller = ""
        self._endless: CycleError | None = None

    # Finding what is meant.

    def _node(self, node_id: str) -> Node:
        try:
            return self._nodes[node_id]
        except (KeyError, TypeError):
            if not isinstance(node_id, str):
                raise GraphError(f"expected a node, as track returned it, not {shown(node_id)}") from None
            raise self._missing("node", node_id, self._nodes) from None

    def _result(self, name: str) -> GroupCell | FunctionCell:
        cell = self._results.get(name) if isinstance(name, str) else None
        if cell is None:
            if isinstance(name, str) and name in self._nodes:
                raise GraphError(f"{name} is a node: name the value as well, as in get({name!r}, 'price')")
            raise self._missing("group or function", name, self._results)
        return cell

    def _missing(self, what: str, name: str, known: Iterable[str]) -> UnknownNodeError:
        if self._reading:
            self._reading[-1].incomplete = True
        return UnknownNodeError(what, name, known)

    def _group(self, name: str) -> GroupCell:
        cell = self._result(name)
        if not isinstance(cell, GroupCell):
            raise UnknownNodeError("group", name, self._results)
        return cell

    def _require_new(self, name: str) -> None:
        if name in self._results:
            raise GraphError(f"the graph has {name!r} already: remove_group({name!r}) first")

    def _cell(self, node: Node, name: str) -> Cell:
        cell = node.cells.get(name)
        if cell is None:
            if name not in node.fields:
                raise self._missing(f"value of {node.id}", name, [*node.cells, *node.fields])
            cell = node.cells[name] = FieldCell(node, name)
            node.users[name] = (*node.users.get(name, ()), cell)
        return cell

    def _settable(self, node: Node, field: str) -> None:
        if field in node.overridden or (field not in node.fields and isinstance(node.cells.get(field), ExpressionCell)):
            raise GraphError(f"{node.id}.{field} is computed: change what it is computed from")
        if field not in node.fields:
            raise UnknownFieldError(field, node.id, node.fields)

    # Reading.

    def _depend(self, cell: Cell) -> None:
        """Let the function that runs now, if one does, be called again when a cell changes."""
        if self._reading:
            self._reading[-1].note(cell)
            if cell.dirty:
                # Nothing clean is made of what is not.
                self._evaluate(cell)

    def _read(self, cell: Cell) -> Any:
        if self._reading:
            self._reading[-1].note(cell)
        if cell.dirty:
            self._evaluate(cell)
        if cell.error is not None:
            error = cell.error
            if isinstance(error.__cause__, CycleError):
                raise CycleError(error.__cause__.path) from error
            # A new error each time: one that is raised again and again would gather tracebacks without end.
            raise ComputationError(error.name, error.__cause__ or error) from error.__cause__
        return cell.value

    def _evaluate(self, cell: Cell) -> None:
        # A stack of our own: chains of computed values may be longer than Python's.
        stack = [cell]
        while stack:
            top = stack[-1]
            if not top.dirty:
                stack.pop()
                continue
            waiting = [each for each in top.inputs if each.dirty]
            if waiting:
                stack += waiting
            else:
                stack.pop()
                top.compute()

    def _run(self, cell: FunctionCell) -> Any:
        self._reading.append(cell)
        try:
            return self._compute(cell.label, cell.function, self)
        finally:
            self._reading.pop()

    def _compute(self, label: str, function: Callable[[Any], Any], argument: Any) -> Any:
        """Call a function of the user's, which must not change the graph."""
        self._computing.append(label)
        self._computer = threading.get_ident()
        try:
            return required_value(function(argument), label)
        finally:
            self._computing.pop()

    # Changing.

    @contextmanager
    def _change(self, *, ending: bool = False) -> Iterator[None]:
        """Hold the graph for a change; settle it at the end and run the effects.

        Args:
            ending: Whether the change can only make less happen, such as the removal of an effect.
        """
        self._refuse_computing()
        with self._changing:
            if self._round is not None and not ending:
                self._refuse_endless()
            try:
                with self._state:
                    yield
                    for cell in self._results.values():
                        if isinstance(cell, FunctionCell) and cell.incomplete:
                            # What it looked for in vain may be there now.
                            self._invalidate((cell,))
                    self._settle()
            finally:
                self._drain()

    def _refuse_computing(self) -> None:
        # Only the thread that holds the state computes, so that this needs no lock.
        if self._computing and self._computer == threading.get_ident():
            raise GraphError(f"{self._computing[-1]}: a function of the graph must not change it")

    def _refuse_endless(self) -> None:
        # Who comes here is an effect: anybody else waits until the effects have run.
        if self._round is not None and self._round >= _MAX_ROUNDS:
            effect = f"the effect on {self._caller}"
            error = CycleError([effect, "the change that it makes", effect])
            self._endless = self._endless or error
            raise error

    def _update(self, changes: list[tuple[str, Mapping[str, Any]]]) -> None:
        if self._computing:
            self._refuse_computing()
        with self._changing:
            if self._round is not None:
                self._refuse_endless()
            with self._state:
                nodes = [(self._node(node_id), values) for node_id, values in changes]
                for node, values in nodes:
                    for field in values:
                        if field not in node.fields or field in node.overridden:
                            self._settable(node, field)
                if len(nodes) == 1 and len(nodes[0][1]) == 1:
                    node, values = nodes[0]
                    for field, value in values.items():
                        _assign(node, field, value)
                else:
                    _assign_all(nodes)
                for node, values in nodes:
                    self._settle_fields(node, values)
                if self._stale:
                    self._settle()
            if self._queue:
                self._drain()

    def _settle_fields(self, node: Node, fields: Iterable[str]) -> None:
        """Take in fields as the object has them, which may have made something else of what it was given."""
        changed = False
        for field in fields:
            value = expression_value(getattr(node.obj, field))
            if same_value(node.values[field], value):
                continue
            node.values[field] = value
            changed = True
            users = node.users.get(field)
            if users:
                self._invalidate(users)
        if changed and node.effects:
            self._enqueue_node(node)

    def _invalidate(self, cells: Iterable[Cell]) -> None:
        stack = list(cells)
        while stack:
            cell = stack.pop()
            if cell.dirty:
                # Then everything made of it is dirty as well.
                continue
            cell.dirty = True
            if cell.effects or cell.signal is not None:
                self._stale.append(cell)
            if cell.dependents:
                stack += cell.dependents
            if cell.groups:
                for group, node_id in cell.groups.items():
                    group.pending[node_id] = cell
                    stack.append(group)

    def _settle(self) -> None:
        """Compute what is watched, and queue the effects of what has changed."""
        signals: list[tuple[Any, Any]] = []
        stale, self._stale = self._stale, []
        for cell in stale:
            # Another effect's value may have needed this one already.
            if cell.dirty:
                self._evaluate(cell)
            if cell.error is not None:
                continue
            for effect in cell.effects:
                self._enqueue(cell.effects, effect, cell.value)
            if cell.signal is not None:
                signals.append((cell.signal, cell.value))
        if signals:
            self._queue.append(((self._round or 0) + 1, "a signal", lambda: _publish(signals)))

    def _watch(self, cell: Cell, name: str, callback: Callable[[str, Any], object]) -> Effect:
        effect = Effect(name, callback, self, cell)
        cell.effects = added(cell.effects, effect)
        if cell.dirty:
            self._evaluate(cell)
        if cell.error is None:
            self._enqueue(cell.effects, effect, cell.value)
        return effect

    def _remove(self, owner: Cell | Node, effect: Effect) -> None:
        with self._change(ending=True):
            owner.effects.pop(effect, None)

    def _repeat(self, owner: Cell | Node, effect: Effect) -> None:
        with self._change():
            if effect not in owner.effects:
                raise GraphError(f"the effect on {effect.name} has been removed")
            if isinstance(owner, Node):
                self._enqueue_node(owner)
                return
            if owner.dirty:
                self._evaluate(owner)
            if owner.error is None:
                effect.forget()
                self._enqueue(owner.effects, effect, owner.value)

    def _enqueue(self, effects: dict[Effect, None], effect: Effect, value: Any) -> None:
        if effect.is_due(value):

            def run() -> None:
                if effect in effects:
                    _call(effect, value)

            self._queue.append(((self._round or 0) + 1, effect.name, run))

    def _enqueue_node(self, node: Node) -> None:
        for effect in node.effects:
            if not effect.queued:
                effect.queued = True

                def run(effect: Effect = effect) -> None:
                    effect.queued = False
                    if effect in node.effects:
                        _call(effect, node.obj)

                self._queue.append(((self._round or 0) + 1, effect.name, run))

    def _drain(self) -> None:
        """Run the queued effects, and those of the changes that they make; only the outermost call does."""
        if self._round is not None:
            return
        try:
            while self._queue:
                self._round, self._caller, run = self._queue.popleft()
                run()
        finally:
            self._round = None
            endless, self._endless = self._endless, None
        if endless is not None:
            # Not before the others have been told of the changes that there were.
            raise endless


def _assign(node: Node, field: str, value: Any) -> None:
    try:
        setattr(node.obj, field, value)
    except Exception as error:
        raise GraphError(f"{node.id}.{field} cannot be set to {shown(value)}: {error}") from error


def _assign_all(nodes: list[tuple[Node, Mapping[str, Any]]]) -> None:
    """Set attributes, or in case of an error or interruption put back those that were set."""
    done: list[tuple[Node, str, Any]] = []
    try:
        for node, values in nodes:
            for field, value in values.items():
                before = getattr(node.obj, field)
                _assign(node, field, value)
                done.append((node, field, before))
    except BaseException:
        for node, field, before in reversed(done):
            setattr(node.obj, field, before)
        raise


def _call(effect: Effect, value: Any) -> None:
    try:
        effect.run(value)
    except Exception:
        LOGGER.exception("the effect on %s failed", effect.name)


def _publish(signals: list[tuple[Any, Any]]) -> None:
    from reaktiv import batch  # type: ignore[import-untyped]

    with batch():
        for signal, value in signals:
            signal.set(value)
