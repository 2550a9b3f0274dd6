"""The values of a graph: each knows what it is made of, what is made of it, and whether it must be computed anew.

A cell that is not clean has nothing clean made of it. That is what lets a change stop where everything beyond is
already marked, and costs a change the number of values that it touches, whatever the size of the graph.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from reactive.errors import ComputationError, CycleError, GraphError, shown
from reactive.expr import Expr
from reactive.expr.values import PLAIN, plain, same_value
from reactive.graph.reductions import Reduction, reduction_of

if TYPE_CHECKING:
    from reactive.graph.propagation import Propagation

__all__ = [
    "Cell",
    "Effect",
    "ExpressionCell",
    "FieldCell",
    "FunctionCell",
    "GroupCell",
    "Node",
    "added",
    "expression_value",
    "require_name",
    "required_value",
]

# What most cells have of effects and dependents, shared: a change then looks at less memory.
_NOTHING: dict[Any, None] = {}
_Key = TypeVar("_Key")


def added(entries: dict[_Key, None], key: _Key) -> dict[_Key, None]:
    """Return entries with one more."""
    if entries is _NOTHING:
        return {key: None}
    entries[key] = None
    return entries


def require_name(name: object) -> None:
    """Refuse what cannot be the name of a value."""
    if not isinstance(name, str) or not name:
        raise GraphError(f"a name is a text of at least one character, not {shown(name)}")


def require_callable(function: object, what: str) -> None:
    """Refuse what cannot be called, and what would only make a coroutine that nobody awaits."""
    called = getattr(function, "__call__", None)  # noqa: B004 - an object may have an async __call__
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called):
        raise GraphError(f"{what}: expected a plain function, not the coroutine function {shown(function)}")
    if not callable(function):
        raise GraphError(f"{what}: expected a function, not {shown(function)}")


def required_value(answer: Any, what: str) -> Any:
    """Return what a function of the user's has returned, unless it is a coroutine, of which nothing has run."""
    if inspect.iscoroutine(answer):
        answer.close()
        raise GraphError(f"{what}: the function returned a coroutine, which nobody waits for; write a plain function")
    return answer


class Effect:
    """A callback that is called when a value has changed; `remove` ends it.

    Attributes:
        name: What it is called with, beside the value.
        error: What the callback raised when it was last called; None if it returned.
    """

    __slots__ = ("_callback", "_graph", "_last", "_owner", "error", "name", "queued")

    def __init__(self, name: str, callback: Callable[[str, Any], object], graph: Propagation, owner: Cell | Node):
        """Take the callback, which has seen no value yet, and what it belongs to."""
        require_callable(callback, f"the effect on {name}")
        self.name = name
        self.error: Exception | None = None
        self.queued = False
        self._callback = callback
        self._last: Any = self
        self._graph = graph
        self._owner = owner

    def is_due(self, value: Any) -> bool:
        """Say whether a value differs from the one last delivered, and remember it."""
        if same_value(self._last, value):
            return False
        self._last = value
        return True

    def forget(self) -> None:
        """Remember no value, so that whichever comes next is due."""
        self._last = self

    def run(self, value: Any) -> None:
        """Call back."""
        try:
            required_value(self._callback(self.name, value), self.name)
        except Exception as error:
            self.error = error
            raise
        self.error = None

    def repeat(self) -> None:
        """Call back once more with the present value, as after a failure; `error` tells how it went."""
        self._graph._repeat(self._owner, self)

    def remove(self) -> None:
        """Stop calling back."""
        self._graph._remove(self._owner, self)


class Cell(ABC):
    """A value of the graph."""

    __slots__ = ("dependents", "dirty", "effects", "error", "groups", "label", "signal", "value")

    def __init__(self, label: str) -> None:
        """Start without a value."""
        self.label = label
        self.dirty = True
        self.value: Any = None
        self.error: ComputationError | None = None
        # Dicts, for their order: what happens at a change happens in the order in which it was asked for.
        self.dependents: dict[Cell, None] = _NOTHING
        self.groups: dict[GroupCell, str] = {}
        self.effects: dict[Effect, None] = _NOTHING
        self.signal: Any = None

    @property
    def inputs(self) -> tuple[Cell, ...]:
        """The cells that it is made of and that may be dirty."""
        return ()

    @property
    def watched(self) -> bool:
        """Whether somebody wants to be told of changes."""
        return bool(self.effects) or self.signal is not None

    @abstractmethod
    def compute(self) -> None:
        """Set the value, or the error, from inputs that are all clean."""

    def _fail(self, error: Exception) -> None:
        self.value = None
        if isinstance(error, ComputationError):
            # What failed is further down; that is the error to show.
            self.error = error
        else:
            self.error = ComputationError(self.label, error)
            self.error.__cause__ = error


class FieldCell(Cell):
    """A field of a tracked object, made when somebody watches the field or reads it from a function."""

    __slots__ = ("name", "node")

    def __init__(self, node: Node, name: str) -> None:
        """Stand for a field of a node."""
        super().__init__(f"{node.id}.{name}")
        self.node = node
        self.name = name

    def compute(self) -> None:
        """Read the object."""
        self.value = getattr(self.node.obj, self.name)
        self.dirty = False


class ExpressionCell(Cell):
    """A value computed by an expression over a node's fields and other such values."""

    __slots__ = ("_inputs", "expr", "function", "name", "node")

    def __init__(self, node: Node, name: str) -> None:
        """Belong to a node; `define` says how it is computed."""
        super().__init__(f"{node.id}.{name}")
        self.node = node
        self.name = name
        self.expr: Expr | None = None
        self.function: Callable[[Any], Any] = self._undefined
        self._inputs: tuple[Cell, ...] = ()

    @property
    def inputs(self) -> tuple[Cell, ...]:
        """The computed values that the expression reads."""
        return self._inputs

    def _undefined(self, row: Any) -> Any:
        raise GraphError(f"{self.label} is not defined")

    def define(self, expr: Expr, function: Callable[[Any], Any], inputs: tuple[Cell, ...]) -> None:
        """Say how it is computed, anew if it was said before."""
        for cell in self._inputs:
            cell.dependents.pop(self, None)
        self.expr, self.function, self._inputs = expr, function, inputs
        for cell in inputs:
            cell.dependents = added(cell.dependents, self)

    def compute(self) -> None:
        """Evaluate the expression; what it reads having failed, fail as well."""
        for cell in self._inputs:
            if cell.error is not None:
                self._fail(cell.error)
                self.node.values[self.name] = None
                break
        else:
            try:
                self.value = self.node.values[self.name] = self.function(self.node.values)
                self.error = None
            except Exception as error:
                self._fail(error)
                self.node.values[self.name] = None
        self.dirty = False


class GroupCell(Cell):
    """A reduction of one value of each of several nodes."""

    __slots__ = ("_function", "_reduction", "_run", "_skip_none", "members", "of", "pending", "reduction_name")

    def __init__(
        self,
        name: str,
        of: str,
        function: Callable[[list[Any]], Any],
        skip_none: bool,
        run: Callable[[str, Callable[[Any], Any], Any], Any],
    ) -> None:
        """Have no members yet; a function of the user's is called by `run`, with the group's name before it."""
        require_name(name)
        require_callable(function, f"the reduction of {name}")
        super().__init__(name)
        self.of = of
        self.reduction_name = getattr(function, "__name__", type(function).__name__)
        self._function = function
        self._skip_none = skip_none
        self._run = run
        self._reduction = self._new_reduction()
        self.members: dict[str, Cell] = {}
        self.pending: dict[str, Cell] = {}

    @property
    def inputs(self) -> tuple[Cell, ...]:
        """The members that have changed."""
        return tuple(self.pending.values())

    def add(self, node_id: str, cell: Cell) -> None:
        """Take a member."""
        self.members[node_id] = self.pending[node_id] = cell
        cell.groups[self] = node_id
        self._reduction.reserve(node_id)

    def replace(self, node_id: str, cell: Cell) -> None:
        """Let a member's value come from another cell."""
        self.members[node_id].groups.pop(self, None)
        self.add(node_id, cell)

    def remove(self, node_id: str) -> None:
        """Let go of a member."""
        cell = self.members.pop(node_id)
        self.pending.pop(node_id, None)
        cell.groups.pop(self, None)
        self._reduction.discard(node_id)

    def compute(self) -> None:
        """Take in the members that have changed."""
        failed: ComputationError | None = None
        # A new dict, not an emptied one, which would keep the size of the fullest it has ever been.
        pending, self.pending = self.pending, {}
        for node_id, cell in pending.items():
            if cell.error is not None:
                # It stays pending: of a sum that lacks a member nobody must hear.
                failed = failed or cell.error
                self.pending[node_id] = cell
            else:
                self._reduction.set(node_id, cell.value)
        if failed is not None:
            self._fail(failed)
        else:
            try:
                self.value = self._reduction.result()
                self.error = None
            except Exception as error:
                self._fail(error)
        self.dirty = False

    def _new_reduction(self) -> Reduction:
        return reduction_of(self._function, self._skip_none, partial(self._run, self.label, self._function))

    def reduce(self, values: Mapping[str, Any]) -> Any:
        """Return what the reduction makes of other values of the members."""
        reduction = self._new_reduction()
        for node_id, value in values.items():
            reduction.set(node_id, value)
        return reduction.result()


class FunctionCell(Cell):
    """A value computed by a function of the graph; what it reads while it runs is what it is made of."""

    __slots__ = ("_reads", "_run", "_running", "function", "incomplete")

    def __init__(self, name: str, function: Callable[[Any], Any], run: Callable[[FunctionCell], Any]) -> None:
        """Take the function, and what runs it while noting its reads."""
        require_name(name)
        require_callable(function, name)
        super().__init__(name)
        self.function = function
        # Whether, when it last ran, it asked for what the graph did not have.
        self.incomplete = False
        self._run = run
        self._reads: dict[Cell, None] = {}
        self._running = False

    @property
    def reads(self) -> tuple[Cell, ...]:
        """The cells that the function read when it last ran."""
        return tuple(self._reads)

    def note(self, cell: Cell) -> None:
        """Remember that the function has read a cell."""
        self._reads[cell] = None
        cell.dependents = added(cell.dependents, self)

    def forget(self) -> None:
        """Depend on nothing."""
        for cell in self._reads:
            cell.dependents.pop(self, None)
        self._reads = {}
        self.incomplete = False

    def compute(self) -> None:
        """Run the function."""
        if self._running:
            raise CycleError([self.label, self.label])
        self.forget()
        self._running = True
        try:
            self.value = self._run(self)
            self.error = None
        except Exception as error:
            self._fail(error)
        finally:
            self._running = False
        self.dirty = False


class Node:
    """A tracked object.

    Attributes:
        id: The node's identifier.
        obj: The object.
        fields: The names of its fields.
        values: Fields and computed values by name, as expressions read them.
        cells: The values that something depends on or watches, by name.
        users: What a field goes into, and what stands for the field itself where it is watched, by the field's name.
        overridden: The names of fields whose place computed values have taken.
        effects: What wants to be told of any change of the node.
    """

    __slots__ = ("cells", "effects", "fields", "id", "obj", "overridden", "users", "values")

    def __init__(self, node_id: str, obj: Any, fields: Mapping[str, None]) -> None:
        """Read the object's fields."""
        self.id = node_id
        self.obj = obj
        self.fields = fields
        self.values: dict[str, Any] = {name: expression_value(getattr(obj, name)) for name in fields}
        self.cells: dict[str, Cell] = {}
        self.users: dict[str, tuple[Cell, ...]] = {}
        self.overridden: dict[str, None] = _NOTHING
        self.effects: dict[Effect, None] = _NOTHING


def expression_value(value: Any) -> Any:
    """Return a field's value as expressions take it: a member of an Enum as its value, a UUID as its text."""
    return value if type(value) in PLAIN else plain(value)
