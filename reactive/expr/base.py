"""`Expr`: what all nodes of an expression have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from reactive.errors import ExpressionError, NumpyMissing, did_you_mean, shown
from reactive.expr.operators import Operators

if TYPE_CHECKING:
    from typing_extensions import Self

    from reactive.expr.nodes import BinOp, Func, IsNull, StrOp, UnaryOp

__all__ = ["MAX_DEPTH", "MAX_SIZE", "Expr"]

MAX_DEPTH = 100
"""The most levels of an expression; more could not be compiled, nor parsed by every target."""
MAX_SIZE = 100_000
"""The most nodes of an expression, a shared node counted wherever it stands."""


class Expr(Operators):
    """A typed expression over named fields: one definition, evaluated in Python and compiled to other languages.

    Expressions are built from `Field` and `Const` with Python's operators, are immutable, hash by identity, and have no
    truth value; `equals` compares their structure.

    Example:
        >>> pnl = (Field("price") - Field("cost")) * Field("quantity")
        >>> pnl.eval({"price": 12.0, "cost": 10.0, "quantity": 100})
        200.0
    """

    # `eval` is not a method but a place for the compiled function, filled by the first use: without the call in
    # between, short expressions take a third less time.
    __slots__ = {
        "__weakref__": "",
        "_depth": "The number of levels.",
        "_kind": "The kind of the value, as far as constants and declared fields tell; see `reactive.expr.kinds`.",
        "_size": "The number of nodes, a shared one counted wherever it stands.",
        "children": "The operands.",
        "eval": """Compute the value for one row, as `expr.eval(context)`.

        Args:
            context: A mapping of field names to values, where a missing key is null, or an object with the fields as
                attributes.

        Returns:
            The value; None where a rule of the operations says null.

        Raises:
            ExpressionTypeError: A value is of a kind that its node does not take.
            UnknownFieldError: The object has no such attribute.

        Example:
            >>> (Field("price") * 2).eval({"price": 1.5})
            3.0
        """,
    }
    _attributes: ClassVar[tuple[str, ...]] = ()

    children: tuple[Expr, ...]
    eval: Callable[[Any], Any]
    _depth: int
    _kind: str | None
    _size: int

    def _init(self, children: tuple[Expr, ...], **attributes: object) -> None:
        assign = object.__setattr__
        assign(self, "children", children)
        for name, value in attributes.items():
            assign(self, name, value)
        depth, size = 1, 1
        for child in children:
            depth = max(depth, child._depth + 1)
            size += child._size
        if depth > MAX_DEPTH:
            raise ExpressionError(
                f"{type(self).__name__}: an expression of more than {MAX_DEPTH} levels; combine the terms in pairs, "
                "then pairs of pairs, instead of one after another"
            )
        if size > MAX_SIZE:
            raise ExpressionError(f"{type(self).__name__}: an expression of more than {MAX_SIZE:,} nodes")
        assign(self, "_depth", depth)
        assign(self, "_size", size)
        from reactive.expr.inference import BUILT

        assign(self, "_kind", BUILT.infer(self))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name != "eval":
                hint = "" if name.startswith("_") else did_you_mean(name, dir(type(self)))
                raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")
            from reactive.expr.python import compile_function

            compiled = compile_function(self)
            object.__setattr__(self, "eval", compiled)
            return compiled

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: expressions are immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted: expressions are immutable")

    def _binary(self, op: str, left: Any, right: Any) -> BinOp:
        from reactive.expr.nodes import BinOp

        return BinOp(op, left, right)

    def _unary(self, op: str) -> UnaryOp:
        from reactive.expr.nodes import UnaryOp

        return UnaryOp(op, self)

    def _function(self, name: str, *arguments: Any) -> Func:
        from reactive.expr.nodes import Func

        return Func(name, self, *arguments)

    def _string(self, op: str, *arguments: Any) -> StrOp:
        from reactive.expr.nodes import StrOp

        return StrOp(op, self, *arguments)

    def _is_null(self) -> IsNull:
        from reactive.expr.nodes import IsNull

        return IsNull(self)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        """Refuse: `and`, `or`, `not`, `if` and chained comparisons would silently drop a part."""
        raise TypeError(
            f"the expression {shown(self)} has no truth value: use & for and, | for or, ~ for not, If(...) for if, "
            "and .equals() to compare expressions"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        from reactive.expr.serialize import from_json

        return from_json, (self.to_json(),)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def _rebuilt(self, children: tuple[Expr, ...]) -> Expr:
        """Return the same node over other children."""
        return type(self)(*(getattr(self, name) for name in self._attributes), *children)

    def _own(self) -> tuple[Any, ...]:
        """Return what tells this node from another of its class, its children aside."""
        return tuple(getattr(self, name) for name in self._attributes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join([*map(repr, self._own()), *map(repr, self.children)])})"

    def walk(self) -> Iterator[Expr]:
        """Yield every node, operands before what is made of them."""
        pending: list[tuple[Expr, bool]] = [(self, False)]
        while pending:
            node, done = pending.pop()
            if done or not node.children:
                yield node
            else:
                pending.append((node, True))
                pending += [(child, False) for child in reversed(node.children)]

    def fields(self) -> frozenset[str]:
        """Return the names of the fields that the expression reads.

        Example:
            >>> sorted((Field("price") * Field("quantity")).fields())
            ['price', 'quantity']
        """
        from reactive.expr.nodes import Field

        return frozenset(node.name for node in self.walk() if isinstance(node, Field))

    def equals(self, other: object) -> bool:
        """Say whether another expression has the same structure, names and constants.

        Constants are the same when type and value are: `1`, `1.0` and `Decimal(1)` are three. `==` builds a node.

        Example:
            >>> (Field("a") + 1).equals(Field("a") + 1)
            True
        """
        if self is other:
            return True
        if not isinstance(other, Expr) or type(self) is not type(other) or self._size != other._size:
            return False
        return (
            self._own() == other._own()
            and len(self.children) == len(other.children)
            and all(mine.equals(theirs) for mine, theirs in zip(self.children, other.children, strict=True))
        )

    def substitute(self, replacements: Mapping[str, Expr]) -> Expr:
        """Return the expression with fields replaced by expressions.

        Args:
            replacements: What stands for a field, by the field's name.

        Example:
            >>> (Field("pnl") > 0).substitute({"pnl": Field("price") - Field("cost")})
            BinOp('>', BinOp('-', Field('price'), Field('cost')), Const(0))
        """
        from reactive.expr.nodes import Field

        return self.transform(lambda node: replacements.get(node.name, node) if isinstance(node, Field) else node)

    def transform(self, change: Callable[[Expr], Expr]) -> Expr:
        """Return the expression with every node passed through a function, operands first.

        Args:
            change: Takes a node whose operands are already changed; returns it or what replaces it.
        """
        children = tuple(child.transform(change) for child in self.children)
        same = all(new is old for new, old in zip(children, self.children, strict=True))
        return change(self if same else self._rebuilt(children))

    def eval_columns(self, columns: Any) -> Any:
        """Compute the values for whole columns at once.

        Args:
            columns: NumPy arrays, NumPy masked arrays (the mask marks nulls), Arrow arrays or pandas Series of one
                length, by name; or an Arrow table, or a DataFrame. A NaN is a null; a missing column is all null.

        Returns:
            An Arrow array if any column is one, else a NumPy masked array, whose mask marks nulls.

        Raises:
            ExpressionTypeError: A column is of a kind that its node does not take.
            NumpyMissing: There is no NumPy.
        """
        try:
            from reactive.expr.columns import eval_columns
        except ModuleNotFoundError as error:
            message = f"eval_columns() needs {error.name}, which is not installed: pip install {error.name}"
            raise NumpyMissing(message, name=error.name) from error

        return eval_columns(self, columns)

    def to_sql(self, column: str = "data", types: Mapping[str, Any] | None = None) -> str:
        """Return PostgreSQL text that computes the expression from a jsonb column, constants included.

        Put the text in parentheses before you combine it with other SQL. To bind constants as parameters, or to take
        fields from columns of their own, use `reactive.expr.sql.compile_sql`.

        Args:
            column: The name of the jsonb column, such as `data` or `e.data`.
            types: What fields are declared as, where neither `Field.of` nor `bind` has told.

        Raises:
            ExpressionTypeError: An operation has operands of kinds that it does not take.

        Example:
            >>> (Field("price") * 2).to_sql("data")
            "(data->>'price')::float * 2::float8"
        """
        from reactive.expr.sql import to_sql

        return to_sql(self, column, types)

    def to_pure(self, variable: str = "$row", types: Mapping[str, Any] | None = None) -> str:
        """Return Legend Pure text that computes the expression from an instance.

        Args:
            variable: The variable that holds the instance, such as `$pos`.
            types: What fields are declared as; `float | None` is a nullable one. A field is required by default.

        Raises:
            ExpressionTypeError: An operation has operands of kinds that it does not take.

        Example:
            >>> (Field("price") - Field("cost")).to_pure("$pos")
            '($pos.price - $pos.cost)'
        """
        from reactive.expr.pure import to_pure

        return to_pure(self, variable, types)

    def to_deephaven(self, types: Mapping[str, Any] | None = None) -> str:
        """Return a Deephaven query-language formula over columns named as the fields are.

        For a `where`, use `reactive.expr.deephaven.to_filter`: rows in which a condition is null must not get there.

        Args:
            types: What fields are declared as. An undeclared field is taken as a number, or as what its place asks for.

        Raises:
            ExpressionTypeError: An operation has operands of kinds that it does not take.
            UnsupportedNode: A field's name cannot be a column's.
        """
        from reactive.expr.deephaven import to_deephaven

        return to_deephaven(self, types)

    def to_json(self) -> str:
        """Return the expression as JSON text, which `from_json` reads.

        Example:
            >>> Field("price").to_json()
            '{"version": 1, "expr": {"node": "Field", "name": "price"}}'
        """
        from reactive.expr.serialize import to_json

        return to_json(self)

    @staticmethod
    def from_json(document: str | bytes | Mapping[str, Any]) -> Expr:
        """Return the expression that `to_json` wrote. See `reactive.from_json`.

        Example:
            >>> Expr.from_json(Field("price").to_json())
            Field('price')
        """
        from reactive.expr.serialize import from_json

        return from_json(document)

    def bind(self, schema: Any) -> Expr:
        """Return the expression with its fields' declared types, checked: what is ill-typed is refused.

        The names of the class's own expressions are replaced by those.

        Args:
            schema: A dataclass, such as a Storable, or a mapping of field names to annotations.

        Raises:
            UnknownFieldError: A field that the schema does not have.
            ExpressionTypeError: A node whose operands are of kinds that it does not take.
        """
        from reactive.expr.inference import bind

        return bind(self, schema)
