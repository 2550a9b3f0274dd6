"""The nodes of an expression: immutable, compared by identity, and ignorant of the targets they compile to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from reactive.errors import ExpressionError, ExpressionTypeError, did_you_mean, shown
from reactive.expr.kinds import Declared, declared
from reactive.expr.operators import Operators

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "MAX_DEPTH",
    "MAX_SIZE",
    "NODES",
    "BinOp",
    "Coalesce",
    "Const",
    "Expr",
    "Field",
    "Func",
    "If",
    "IsNull",
    "StrOp",
    "UnaryOp",
    "lift",
]

MAX_DEPTH = 200
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

    __slots__ = ("__weakref__", "_compiled", "_depth", "_size", "children")
    _attributes: ClassVar[tuple[str, ...]] = ()

    children: tuple[Expr, ...]
    _compiled: Callable[[Any], Any] | None
    _depth: int
    _size: int

    def _init(self, children: tuple[Expr, ...], **attributes: object) -> None:
        assign = object.__setattr__
        assign(self, "children", children)
        for name, value in attributes.items():
            assign(self, name, value)
        assign(self, "_compiled", None)
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

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: expressions are immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted: expressions are immutable")

    def _binary(self, op: str, left: Any, right: Any) -> BinOp:
        return BinOp(op, left, right)

    def _unary(self, op: str) -> UnaryOp:
        return UnaryOp(op, self)

    def _string(self, op: str, *arguments: Any) -> StrOp:
        return StrOp(op, self, *arguments)

    def _is_null(self) -> IsNull:
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
        for child in self.children:
            yield from child.walk()
        yield self

    def fields(self) -> frozenset[str]:
        """Return the names of the fields that the expression reads.

        Example:
            >>> sorted((Field("price") * Field("quantity")).fields())
            ['price', 'quantity']
        """
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
        return self.transform(lambda node: replacements.get(node.name, node) if isinstance(node, Field) else node)

    def transform(self, change: Callable[[Expr], Expr]) -> Expr:
        """Return the expression with every node passed through a function, operands first.

        Args:
            change: Takes a node whose operands are already changed; returns it or what replaces it.
        """
        children = tuple(child.transform(change) for child in self.children)
        same = all(new is old for new, old in zip(children, self.children, strict=True))
        return change(self if same else self._rebuilt(children))

    def eval(self, context: Any) -> Any:
        """Compute the value for one row.

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
        """
        compiled = self._compiled
        if compiled is None:
            from reactive.expr.python import compile_function

            compiled = compile_function(self)
            object.__setattr__(self, "_compiled", compiled)
        return compiled(context)

    def eval_columns(self, columns: Mapping[str, Any]) -> Any:
        """Compute the values for whole columns at once.

        Args:
            columns: NumPy arrays, NumPy masked arrays (the mask marks nulls) or Arrow arrays of one length, by name. A
                NaN is a null; a missing column is all null.

        Returns:
            An Arrow array if any column is one, else a NumPy masked array, whose mask marks nulls.

        Raises:
            ExpressionTypeError: A column is of a kind that its node does not take.
        """
        from reactive.expr.columns import eval_columns

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

    def bind(self, schema: Any) -> Expr:
        """Return the expression with its fields' declared types, checked: what is ill-typed is refused.

        Args:
            schema: A dataclass, such as a Storable, or a mapping of field names to annotations.

        Raises:
            UnknownFieldError: A field that the schema does not have.
            ExpressionTypeError: A node whose operands are of kinds that it does not take.
        """
        from reactive.expr.inference import bind

        return bind(self, schema)


class Field(Expr):
    """The value of a named field; a missing key is null.

    Attributes:
        name: The field's name.
        declared: What is known of its type.

    Example:
        >>> Field("price").eval({"price": 1.5})
        1.5
    """

    __slots__ = ("declared", "name")
    _attributes = ("name", "declared")
    name: str
    declared: Declared

    def __init__(self, name: str, type: object = None, *, nullable: bool | None = None) -> None:
        """Name a field.

        Args:
            name: Its name; any text but the empty one.
            type: What it is declared as, if known: an annotation such as `float | None`, or a kind such as "float".
            nullable: Whether it may be null, if the annotation does not tell.

        Raises:
            ExpressionError: The name is empty, or holds what no target can hold.
        """
        if not isinstance(name, str) or not name:
            raise ExpressionTypeError(f"a field's name is a text of at least one character, not {shown(name)}")
        _require_text(name, "a field's name")
        known = declared(type)
        if nullable is not None:
            known = Declared(known.kind, nullable)
        self._init((), name=str.__str__(name), declared=known)

    @classmethod
    def of(cls, schema: Any, name: str) -> Field:
        """Return a field of a class with its declared type.

        Args:
            schema: A dataclass, such as a Storable, or a mapping of field names to annotations.
            name: The field's name.

        Raises:
            UnknownFieldError: The class has no such field.
        """
        from reactive.expr.inference import field_of

        return field_of(schema, name)

    def _rebuilt(self, children: tuple[Expr, ...]) -> Expr:
        return self

    def __repr__(self) -> str:
        kind, nullable = self.declared.kind, self.declared.nullable
        parts = [repr(self.name)]
        if kind is not None:
            parts.append(repr(kind))
        if nullable is not None:
            parts.append(f"nullable={nullable}")
        return f"Field({', '.join(parts)})"


class Const(Expr):
    """A constant: None, bool, int, float, Decimal, str, date or datetime.

    An aware datetime is kept in UTC; a member of an Enum stands for its value, a UUID for its text, and a NumPy scalar
    for the Python number.

    Attributes:
        value: The Python value.
    """

    __slots__ = ("value",)
    _attributes = ("value",)
    value: Any

    def __init__(self, value: Any) -> None:
        """Check and keep a value.

        Raises:
            ExpressionError: NaN, infinity, a naive datetime, or text that no target can hold.
            ExpressionTypeError: A value of another type.
        """
        self._init((), value=_constant(value))

    def _own(self) -> tuple[Any, ...]:
        return type(self.value), repr(self.value)

    def __repr__(self) -> str:
        return f"Const({self.value!r})"


class BinOp(Expr):
    """Two operands and an operator: `+ - * / % ** > < >= <= == != & |`.

    Attributes:
        op: The operator.
    """

    __slots__ = ("op",)
    _attributes = ("op",)
    OPERATORS: ClassVar[tuple[str, ...]] = (
        *("+", "-", "*", "/", "%", "**"),
        *(">", "<", ">=", "<=", "==", "!="),
        *("&", "|"),
    )
    op: str

    def __init__(self, op: str, left: Any, right: Any) -> None:
        """Combine two operands; plain Python values become constants."""
        self._init((lift(left), lift(right)), op=_known(op, self.OPERATORS, "operator"))

    @property
    def left(self) -> Expr:
        """The first operand."""
        return self.children[0]

    @property
    def right(self) -> Expr:
        """The second operand."""
        return self.children[1]


class UnaryOp(Expr):
    """One operand and an operator: neg, abs or not.

    Attributes:
        op: The operator.
    """

    __slots__ = ("op",)
    _attributes = ("op",)
    OPERATORS: ClassVar[tuple[str, ...]] = ("neg", "abs", "not")
    op: str

    def __init__(self, op: str, operand: Any) -> None:
        """Apply an operator to an operand."""
        self._init((lift(operand),), op=_known(op, self.OPERATORS, "operator"))

    @property
    def operand(self) -> Expr:
        """The operand."""
        return self.children[0]


class Func(Expr):
    """A function of numbers: sqrt, ceil, floor, round, log (natural), exp, min or max.

    Attributes:
        name: The function's name.

    Example:
        >>> Func("max", Field("spot") - Field("strike"), 0).eval({"spot": 105.0, "strike": 100.0})
        5.0
    """

    __slots__ = ("name",)
    _attributes = ("name",)
    # The least and the most arguments of each; None: any number.
    FUNCTIONS: ClassVar[dict[str, tuple[int, int | None]]] = {
        "sqrt": (1, 1),
        "ceil": (1, 1),
        "floor": (1, 1),
        "round": (1, 2),
        "log": (1, 1),
        "exp": (1, 1),
        "min": (1, None),
        "max": (1, None),
    }
    name: str

    def __init__(self, name: str, *arguments: Any) -> None:
        """Apply a function.

        Args:
            name: The function's name.
            arguments: Its arguments, one after another or in one list. The second of `round` is the number of decimal
                places, a whole constant from -300 to 300.

        Raises:
            ExpressionError: There is no such function, or it takes another number of arguments.
        """
        _known(name, tuple(self.FUNCTIONS), "function")
        children = _lifted(arguments)
        least, most = self.FUNCTIONS[name]
        if len(children) < least or (most is not None and len(children) > most):
            takes = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
            raise ExpressionError(f"{name} takes {takes} argument{'s' * (takes != '1')}, not {len(children)}")
        if name == "round" and len(children) == 2:
            places = children[1].value if isinstance(children[1], Const) else None
            if type(places) is not int or not -300 <= places <= 300:
                raise ExpressionError(
                    f"round: the number of decimal places is a whole constant from -300 to 300, not {children[1]!r}"
                )
        self._init(children, name=name)


class If(Expr):
    """A condition and two values: the first where the condition is true, the second where it is false or null.

    Example:
        >>> If(Field("pnl") < -5000, "STOP_LOSS", "OK").eval({"pnl": -6000.0})
        'STOP_LOSS'
    """

    __slots__ = ()

    def __init__(self, condition: Any, then: Any, otherwise: Any) -> None:
        """Choose between two values; plain Python values become constants."""
        self._init((lift(condition), lift(then), lift(otherwise)))

    @property
    def condition(self) -> Expr:
        """The condition."""
        return self.children[0]

    @property
    def then(self) -> Expr:
        """The value where the condition is true."""
        return self.children[1]

    @property
    def otherwise(self) -> Expr:
        """The value where it is not."""
        return self.children[2]


class Coalesce(Expr):
    """The first of several values that is not null.

    Example:
        >>> Coalesce([Field("bid"), Field("last"), 0]).eval({"last": 9.5})
        9.5
    """

    __slots__ = ()

    def __init__(self, *arguments: Any) -> None:
        """Take the values, one after another or in one list; at least one."""
        children = _lifted(arguments)
        if not children:
            raise ExpressionError("Coalesce takes at least one value")
        self._init(children)


class IsNull(Expr):
    """Whether a value is null; never null itself."""

    __slots__ = ()

    def __init__(self, operand: Any) -> None:
        """Test an operand."""
        self._init((lift(operand),))

    @property
    def operand(self) -> Expr:
        """The operand."""
        return self.children[0]


class StrOp(Expr):
    """An operation on strings: length, upper, lower, contains, starts_with or concat.

    Attributes:
        op: The operation's name.
    """

    __slots__ = ("op",)
    _attributes = ("op",)
    # The least and the most operands of each; None: any number.
    OPERATORS: ClassVar[dict[str, tuple[int, int | None]]] = {
        "length": (1, 1),
        "upper": (1, 1),
        "lower": (1, 1),
        "contains": (2, 2),
        "starts_with": (2, 2),
        "concat": (1, None),
    }
    op: str

    def __init__(self, op: str, operand: Any, *arguments: Any) -> None:
        """Apply an operation to a string."""
        _known(op, tuple(self.OPERATORS), "string operation")
        children = (lift(operand), *_lifted(arguments))
        least, most = self.OPERATORS[op]
        if len(children) < least or (most is not None and len(children) > most):
            raise ExpressionError(f"{op} takes {least} operand{'s' * (least > 1)}, not {len(children)}")
        self._init(children, op=op)

    @property
    def operand(self) -> Expr:
        """The string operated on."""
        return self.children[0]


NODES: dict[str, type[Expr]] = {
    node.__name__: node for node in (Field, Const, BinOp, UnaryOp, Func, If, Coalesce, IsNull, StrOp)
}


def lift(value: Any) -> Expr:
    """Return an expression as it is, and a plain Python value as a constant.

    Example:
        >>> lift(1.5)
        Const(1.5)
    """
    return value if isinstance(value, Expr) else Const(value)


def _lifted(arguments: Sequence[Any]) -> tuple[Expr, ...]:
    if len(arguments) == 1 and isinstance(arguments[0], (list, tuple)):
        arguments = arguments[0]
    return tuple(lift(argument) for argument in arguments)


def _known(name: str, names: Sequence[str], what: str) -> str:
    if name not in names:
        hint = " (write abs(x))" if name == "abs" else did_you_mean(name, names)
        raise ExpressionError(f"no {what} {name!r}{hint}; there is {' '.join(names)}")
    return name


def _require_text(text: str, what: str) -> None:
    if "\0" in text:
        raise ExpressionError(f"{what} holds a NUL character, which PostgreSQL cannot store: {shown(text)}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ExpressionError(f"{what} holds a lone surrogate, which is not valid Unicode: {shown(text)}") from None


def _constant(value: Any) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        _require_text(value, "a constant")
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (float, Decimal)):
        value = float(value) if isinstance(value, float) else Decimal(value)
        if not math.isfinite(value):
            raise ExpressionError(f"a constant is finite, not {value!r}: use None for a missing value")
        return value
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            call = f"{datetime.__repr__(value)[:-1]}, tzinfo=datetime.timezone.utc)"
            raise ExpressionError(f"{value!r} has no time zone: write {call}")
        utc = value.astimezone(timezone.utc)
        return datetime.combine(utc.date(), utc.timetz(), timezone.utc)
    if isinstance(value, date):
        return date(value.year, value.month, value.day)
    if isinstance(value, UUID):
        return str(value)
    raise ExpressionTypeError(
        f"a constant is None, bool, int, float, Decimal, str, date or datetime, not {shown(value)} "
        f"({type(value).__name__})"
    )
