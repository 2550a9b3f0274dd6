"""The nodes of an expression: immutable, compared by identity, and ignorant of the targets they compile to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from reactive.errors import ExpressionError, ExpressionTypeError, did_you_mean, shown
from reactive.expr.base import Expr
from reactive.expr.constants import constant, require_text
from reactive.expr.kinds import Declared, declared

__all__ = [
    "NODES",
    "BinOp",
    "Coalesce",
    "Const",
    "Field",
    "Func",
    "If",
    "IsNull",
    "StrOp",
    "UnaryOp",
    "lift",
]


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
        require_text(name, "a field's name")
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
        self._init((), value=constant(value))

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
        raise ExpressionError(f"no {what} {shown(name)}{hint}; there is {' '.join(names)}")
    return name
