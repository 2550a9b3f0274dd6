"""`ReactiveGraph`: what a program calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from reactive.errors import GraphError, UnknownFieldError, UnknownNodeError, shown
from reactive.expr import Expr
from reactive.expr.values import same_value
from reactive.graph.cells import Effect, ExpressionCell, FunctionCell, GroupCell, Node, added
from reactive.graph.definitions import define, define_named, field_names, require_changes
from reactive.graph.propagation import Propagation

if TYPE_CHECKING:
    from reactive.graph.scenario import Scenario

__all__ = ["ReactiveGraph"]


class ReactiveGraph(Propagation):
    """Objects whose changes carry through computed values, groups and functions to effects.

    A change costs the number of values that it touches, whatever the size of the graph: nothing is computed before
    somebody reads it or an effect watches it, sums and the like take in the changed members alone, and effects are
    called once for each change that has settled, in the caller's thread, before `update` returns.

    All methods may be called from several threads and inside a running event loop. Changes, with their effects, go one
    after another; an effect may change the graph itself, but must not wait for another thread that does.

    Example:
        >>> graph = ReactiveGraph()
        >>> node = graph.track(position)
        >>> graph.computed(node, "value", Field("price") * Field("quantity"))
        >>> graph.update(node, "price", 230.0)
        >>> graph.get(node, "value")
        23000.0
    """

    # Objects.

    def track(self, obj: Any) -> str:
        """Add an object.

        Args:
            obj: A dataclass instance, such as a Storable, or any object with attributes.

        Returns:
            The node's identifier; that of the first time, if the object is tracked already.

        Raises:
            GraphError: The object has no fields.
        """
        with self._change():
            known = self._ids.get(id(obj))
            if known is not None:
                return known
            node = Node(f"{type(obj).__name__}-{next(self._numbers)}", obj, field_names(obj))
            self._nodes[node.id] = node
            self._ids[id(obj)] = node.id
            return node.id

    def untrack(self, node_id: str) -> None:
        """Remove an object with its computed values and effects, and take it out of the groups."""
        with self._change(ending=True):
            node = self._node(node_id)
            del self._nodes[node_id]
            del self._ids[id(node.obj)]
            left = list(node.cells.values())
            for cell in left:
                for group in list(cell.groups):
                    group.remove(node_id)
                    self._invalidate((group,))
            for cell in left:
                self._invalidate(cell.dependents)
                cell.effects.clear()
            node.effects.clear()

    def tracked(self, node_id: str) -> Any:
        """Return the object of a node."""
        with self._state:
            return self._node(node_id).obj

    # Values.

    def computed(self, node_id: str, name: str, expr: Expr | None = None) -> None:
        """Define, or define anew, a value computed from a node's fields and other computed values.

        A name that is also a field's takes the field's place in expressions.

        Args:
            node_id: The node.
            name: The value's name.
            expr: The expression; by default the one that the class has under that name in its `expressions`.

        Raises:
            UnknownFieldError: The expression reads what the node does not have.
            ExpressionTypeError: An operation has operands of kinds that it does not take.
            CycleError: The value would depend on itself; nothing has changed then.
        """
        with self._change():
            node = self._node(node_id)
            if expr is None:
                define_named(self, node, name)
            elif isinstance(expr, Expr):
                define(self, node, name, expr)
            else:
                raise GraphError(f"{node_id}.{name}: expected an expression, not {shown(expr)}")

    def get(self, node_id: str, name: str | None = None) -> Any:
        """Return a computed value or field of a node; with one argument, a group or function of the graph.

        Raises:
            UnknownNodeError: There is no such node or name.
            ComputationError: Computing it, or what it depends on, failed.
        """
        with self._state:
            if name is None:
                return self._read(self._result(node_id))
            node = self._node(node_id)
            cell = node.cells.get(name)
            if cell is None:
                if not self._reading and name in node.fields:
                    return getattr(node.obj, name)
                cell = self._cell(node, name)
            return self._read(cell)

    def get_field(self, node_id: str, name: str) -> Any:
        """Return a field of a node's object, also where a computed value has its name."""
        with self._state:
            node = self._node(node_id)
            if name not in node.fields:
                raise UnknownFieldError(name, node_id, node.fields)
            if self._reading and not isinstance(node.cells.get(name), ExpressionCell):
                return self._read(self._cell(node, name))
            return getattr(node.obj, name)

    def update(self, node_id: str, field: str, value: Any) -> None:
        """Set a field of a node's object, and carry the change through the graph.

        Args:
            node_id: The node.
            field: The field.
            value: Its new value.

        Raises:
            UnknownFieldError: The object has no such field.
            GraphError: The field is computed, or the object does not let it be set.
        """
        self._update([(node_id, {field: value})])

    def batch_update(
        self, node: str | Mapping[str, Mapping[str, Any]], values: Mapping[str, Any] | None = None
    ) -> None:
        """Set several fields as one change: all of them, or in case of an error none.

        Args:
            node: The node; or, without `values`, fields and values by node.
            values: The new values by field.

        Raises:
            UnknownFieldError: The object has no such field.
            GraphError: A field is computed, or an object does not let it be set.
        """
        if values is not None and not isinstance(node, (str, Mapping)):
            self._node(node)
        changes = {node: {} if values is None else values} if isinstance(node, str) else node
        require_changes(changes)
        self._update(list(changes.items()))

    def refresh(self, node_id: str) -> None:
        """Take in what has changed of a node's object by other ways than this graph, as one change."""
        with self._change():
            node = self._node(node_id)
            self._settle_fields(node, [name for name in node.fields if name not in node.overridden])

    # Groups and functions.

    def group_computed(
        self,
        name: str,
        nodes: Iterable[str],
        of: str,
        reduction: Callable[[list[Any]], Any] = sum,
        *,
        skip_none: bool = False,
    ) -> None:
        """Define a reduction of one value of several nodes.

        `sum`, `len`, `min`, `max`, and mean, fmean, variance, pvariance, stdev and pstdev of `statistics` follow a
        change without reading the other members. A None among their values makes the result None. Of no members, they
        are 0, 0, and None. Any other function is called on the list of all values.

        Args:
            name: The group's name.
            nodes: The members.
            of: A computed value or field that all members have.
            reduction: What makes one value of a list of values.
            skip_none: Leave None out of the values instead.

        Raises:
            GraphError: The name is taken, or the reduction is no function.
            UnknownNodeError: There is no such node, or it has no such value.
        """
        if isinstance(nodes, str):
            raise GraphError(f"{name}: expected nodes, not one: [{nodes!r}]")
        with self._change():
            self._require_new(name)
            cells = {node_id: self._cell(self._node(node_id), of) for node_id in nodes}
            group = GroupCell(name, of, reduction, skip_none, self._compute)
            for node_id, cell in cells.items():
                group.add(node_id, cell)
            self._results[name] = group

    def get_group(self, name: str) -> Any:
        """Return the value of a group; as `get` with one argument."""
        return self.get(name)

    def add_to_group(self, name: str, node_id: str) -> None:
        """Add a node to a group; nothing changes if it is a member already."""
        with self._change():
            group = self._group(name)
            if node_id not in group.members:
                group.add(node_id, self._cell(self._node(node_id), group.of))
                self._invalidate((group,))

    def remove_from_group(self, name: str, node_id: str) -> None:
        """Take a node out of a group.

        Raises:
            UnknownNodeError: It is not a member.
        """
        with self._change():
            group = self._group(name)
            if node_id not in group.members:
                raise UnknownNodeError(f"member of {name}", node_id, group.members)
            group.remove(node_id)
            self._invalidate((group,))

    def remove_group(self, name: str) -> None:
        """Remove a group or function with its effects; what reads it fails from then on."""
        with self._change(ending=True):
            cell = self._result(name)
            del self._results[name]
            if isinstance(cell, GroupCell):
                for node_id in list(cell.members):
                    cell.remove(node_id)
            else:
                cell.forget()
            cell.effects.clear()
            self._invalidate(cell.dependents)

    def multi_computed(self, name: str, function: Callable[[ReactiveGraph], Any]) -> None:
        """Define a value computed by a function of the graph, which may read any of its values.

        Args:
            name: The value's name, for `get` with one argument.
            function: Takes the graph, or what stands for it in a scenario. What it reads there decides when it is
                called again. It must not change the graph.

        Raises:
            GraphError: The name is taken, or the function is none.
        """
        with self._change():
            self._require_new(name)
            self._results[name] = FunctionCell(name, function, self._run)

    # Effects.

    def effect(self, node_id: str, name: str, callback: Callable[[str, Any], object]) -> Effect:
        """Call a function with a name and value: now, and whenever the value has changed.

        An exception of the callback is logged and stops nothing else. While the value cannot be computed, it is not
        called. It is no coroutine function: to go on in an event loop, let it call `loop.call_soon_threadsafe`.

        Args:
            node_id: The node.
            name: A computed value or field of it.
            callback: Takes the name and the value.

        Returns:
            The effect; it lives until it is removed.
        """
        with self._change():
            return self._watch(self._cell(self._node(node_id), name), name, callback)

    def group_effect(self, name: str, callback: Callable[[str, Any], object]) -> Effect:
        """Call a function with a group's name and value: now, and whenever the value has changed.

        Args:
            name: A group, or a function of `multi_computed`.
            callback: Takes the name and the value.
        """
        with self._change():
            return self._watch(self._result(name), name, callback)

    def node_effect(self, node_id: str, callback: Callable[[str, Any], object]) -> Effect:
        """Call a function with a node's identifier and object: now, and after each change of its fields.

        Changes made meanwhile by other effects are taken together.

        Args:
            node_id: The node.
            callback: Takes the identifier and the object.
        """
        with self._change():
            node = self._node(node_id)
            node.effects = added(node.effects, effect := Effect(node_id, callback, self, node))
            self._enqueue_node(node)
            return effect

    def remove_effect(self, effect: Effect | str, name: str | None = None) -> None:
        """Remove an effect, or all effects of a value.

        Args:
            effect: What `effect`, `group_effect` or `node_effect` returned; or a node, or a group's name.
            name: With a node, the value's name.

        Raises:
            UnknownNodeError: There is no such node or name.
        """
        if isinstance(effect, Effect):
            effect.remove()
            return
        with self._change(ending=True):
            cell = self._result(effect) if name is None else self._cell(self._node(effect), name)
            cell.effects.clear()

    def signal(self, node_id: str, name: str | None = None) -> Any:
        """Return a reaktiv signal that follows a value, for reaktiv's own effects and computeds.

        Args:
            node_id: The node; with one argument, a group or function of the graph.
            name: A computed value or field of the node.

        Raises:
            UnknownNodeError: There is no such node or name.
            ComputationError: The value cannot be computed now. Once there is a signal, it keeps its last value then.
        """
        from reaktiv import Signal  # type: ignore[import-untyped]

        with self._change():
            cell = self._result(node_id) if name is None else self._cell(self._node(node_id), name)
            if cell.signal is None:
                cell.signal = Signal(self._read(cell), equal=same_value)
            return cell.signal.as_readonly()

    # Looking at it.

    @contextmanager
    def scenario(self, changes: Mapping[str, Mapping[str, Any]]) -> Iterator[Scenario]:
        """Look at the graph as it would be with other values: no effect runs, and the graph stays as it is.

        Args:
            changes: Fields and values by node.

        Yields:
            What has `get`, `get_field`, `get_group`, and `scenario` for further changes.

        Raises:
            UnknownFieldError: An object has no such field.

        Example:
            >>> with graph.scenario({node: {"price": 180.0}}) as s:
            ...     loss = s.get_group("portfolio_value") - graph.get_group("portfolio_value")
        """
        from reactive.graph.scenario import Scenario

        require_changes(changes)
        with self._state:
            for node_id, values in changes.items():
                for field in values:
                    self._settable(self._node(node_id), field)
        # Not under the lock: whoever looks may take his time.
        yield Scenario(self, changes)

    def explain(self, node_id: str, name: str | None = None) -> str:
        """Return how a value comes about, as a tree of its parts with their current values.

        Args:
            node_id: The node; with one argument, a group or function of the graph.
            name: A computed value or field of the node.
        """
        from reactive.graph.views import explain

        with self._state:
            cell = self._result(node_id) if name is None else self._cell(self._node(node_id), name)
            return explain(self, cell)

    def to_mermaid(self) -> str:
        """Return the graph as a Mermaid flowchart: fields, computed values, groups and functions."""
        from reactive.graph.views import to_mermaid

        with self._state:
            for cell in self._results.values():
                if isinstance(cell, FunctionCell):
                    # What it depends on is known once it has run.
                    self._evaluate(cell)
            return to_mermaid(self._nodes.values(), self._results.values())
