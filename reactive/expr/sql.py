"""PostgreSQL text from expressions.

Without declared types, a number is read as a double (`(data->>'x')::float`); a field takes the type that its place asks
for: a boolean in a condition, text in a string operation, the constant's type in a comparison with one. Two fields of
which nothing is known are compared as jsonb with `==`, as numerics with `<`. With declared types, ints and Decimals are
compared as numeric, dates and datetimes as `date` and `timestamptz`.

PostgreSQL raises an error where a double overflows or underflows, and where a text is not of the type it is read as.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

from reactive.errors import ExpressionError, shown
from reactive.expr.base import Expr
from reactive.expr.generator import Generator
from reactive.expr.kinds import EXACT_BELOW, EXP_LIMIT, NUMERIC
from reactive.expr.nodes import BinOp, Coalesce, Const, Field, Func, If, IsNull, StrOp

__all__ = ["CASTS", "CompiledSql", "compile_sql", "equality_conjuncts", "json_column", "literal", "to_sql"]

CASTS = {
    "int": "numeric",
    "float": "float8",
    "decimal": "numeric",
    "bool": "boolean",
    "str": "text",
    "date": "date",
    "datetime": "timestamptz",
    "json": "jsonb",
}
"""The PostgreSQL type in which each kind of value is computed."""

_COLUMN = re.compile(r'(?:[A-Za-z_][A-Za-z0-9_$]*|"[^"\0]+")(?:\.(?:[A-Za-z_][A-Za-z0-9_$]*|"[^"\0]+"))*')
# Marks the place of a bound value; neither names nor constants can hold a NUL.
_PLACE = re.compile("\0([0-9]+)\0")


class CompiledSql(NamedTuple):
    """A condition or value in SQL.

    Attributes:
        text: The SQL, in parentheses where it needs them to stand inside a larger expression.
        parameters: The values of its `%s` placeholders, in order.
    """

    text: str
    parameters: list[Any]


def compile_sql(
    expr: Expr,
    column: Callable[[str, str | None], str],
    types: Mapping[str, Any] | None = None,
    parameters: bool = True,
    casing: str | None = None,
) -> CompiledSql:
    """Return PostgreSQL text in which the caller says where each field comes from.

    Args:
        expr: What to compile.
        column: Takes a field's name and the kind of value that is wanted (a key of `CASTS`, or None for text), and
            returns SQL of the type in `CASTS` for it; `json_column("data")` is one such function. With `parameters`,
            the SQL goes through placeholder substitution: a `%` in it must stand doubled.
        types: What fields are declared as, by name: annotations or names of kinds.
        parameters: Whether constants become `%s` placeholders, as psycopg takes them, instead of literals.
        casing: The collation by whose rules text changes case; those of the database when None.

    Raises:
        ExpressionTypeError: An operation has operands of kinds that it does not take.

    Example:
        >>> compile_sql((Field("price") > 100) & (Field("state") == "OPEN"),
        ...     lambda name, kind: name if name == "state" else json_column("data")(name, kind))
        CompiledSql(text="(((data->>'price')::float > %s::float8) AND (state = %s::text))", parameters=[100.0, 'OPEN'])
    """
    generator = _PostgreSQL(column, types, parameters, casing)
    text = generator.text(expr)
    if not parameters:
        return CompiledSql(text, [])
    places = [int(place) for place in _PLACE.findall(text)]
    return CompiledSql(_PLACE.sub("%s", text), [generator.values[place] for place in places])


def to_sql(expr: Expr, column: str = "data", types: Mapping[str, Any] | None = None) -> str:
    """Return PostgreSQL text over a jsonb column; see `Expr.to_sql`."""
    if not isinstance(column, str) or not _COLUMN.fullmatch(column):
        raise ExpressionError(f"{shown(column)} is not the name of a column, such as data or e.data")
    text = compile_sql(expr, json_column(column, doubled=False), types, parameters=False).text
    if isinstance(expr, BinOp) and expr.op in ("+", "-", "*", "/"):
        return text[1:-1]
    return text


def equality_conjuncts(expr: Expr) -> tuple[dict[str, Any], Expr | None]:
    """Take the conjuncts `Field(x) == Const(v)` out of a condition's top-level ANDs.

    Args:
        expr: A condition.

    Returns:
        The constants by field name, and the condition that remains, or None if nothing does. A field's second
        equality remains.

    Example:
        >>> equality_conjuncts((Field("side") == "BUY") & (Field("price") > 100))
        ({'side': 'BUY'}, BinOp('>', Field('price'), Const(100)))
    """
    equalities: dict[str, Any] = {}
    rest: list[Expr] = []
    pending = [expr]
    while pending:
        node = pending.pop()
        if isinstance(node, BinOp) and node.op == "&":
            pending += [node.right, node.left]
            continue
        pair = _equality(node)
        if pair is None or pair[0] in equalities:
            rest.append(node)
        else:
            equalities[pair[0]] = pair[1]
    if not rest:
        return equalities, None
    remaining = rest[0]
    for node in rest[1:]:
        remaining = remaining & node
    return equalities, remaining


def _equality(node: Expr) -> tuple[str, Any] | None:
    if isinstance(node, BinOp) and node.op == "==":
        for field, constant in (node.children, node.children[::-1]):
            if isinstance(field, Field) and isinstance(constant, Const) and constant.value is not None:
                return field.name, constant.value
    return None


def json_column(column: str, *, doubled: bool = True) -> Callable[[str, str | None], str]:
    """Return the function that reads fields from a jsonb column, for `compile_sql`.

    Args:
        column: SQL of the jsonb column.
        doubled: Whether a `%` in a field's name is doubled, as placeholder substitution needs it.
    """

    def field(name: str, kind: str | None) -> str:
        key = literal(name.replace("%", "%%") if doubled else name)
        if kind == "json":
            return f"NULLIF({column}->{key}, 'null')"
        if kind is None or kind == "str":
            return f"({column}->>{key})"
        if kind == "bool":
            return f"(({column}->>{key})::boolean)"
        return f"({column}->>{key})::{'float' if kind == 'float' else CASTS[kind]}"

    return field


def literal(text: str) -> str:
    r"""Return a string as an SQL literal, whatever `standard_conforming_strings` is set to.

    Example:
        >>> literal("it's")
        "'it''s'"
    """
    quoted = text.replace("'", "''")
    if "\\" in quoted:
        escaped = quoted.replace("\\", "\\\\")
        return f"E'{escaped}'"
    return f"'{quoted}'"


class _PostgreSQL(Generator):
    target: ClassVar[str] = "PostgreSQL"

    # An operand that stands twice in a form is computed once, in a subselect, unless it is a field or a constant: the
    # text of nested operations stays linear in their number.
    FORMS: ClassVar[dict[str, str]] = {
        "+": "({0} + {1})",
        "-": "({0} - {1})",
        "*": "({0} * {1})",
        "/": "({0} / NULLIF({1}, 0))",
        "%": "({0} - {1} * FLOOR({0} / NULLIF({1}, 0)))",
        "**": "(CASE WHEN ({0} = 0 AND {1} < 0) OR ({0} < 0 AND {1} <> FLOOR({1})) THEN NULL ELSE POWER({0}, {1}) END)",
        "&": "({0} AND {1})",
        "|": "({0} OR {1})",
        "not": "(NOT {0})",
        "neg": "(-{0})",
        "abs": "ABS({0})",
        "sqrt": "SQRT(CASE WHEN {0} >= 0 THEN {0} END)",
        "log": "LN(CASE WHEN {0} > 0 THEN {0} END)",
        # PostgreSQL raises an error on underflow as well; e to the power of -745.13 is the smallest double.
        "exp": f"(CASE WHEN {{0}} > {EXP_LIMIT!r} THEN NULL WHEN {{0}} < -745.13 THEN 0 ELSE EXP({{0}}) END)",
        # Adding zero turns -0 into 0.
        "ceil": "(CEIL({0}) + 0)",
        "floor": "(FLOOR({0}) + 0)",
        "round": "(ROUND({0}) + 0)",
        "length": "LENGTH({0})",
        "upper": "UPPER({0})",
        "lower": "LOWER({0})",
        "contains": "(STRPOS({0}, {1}) > 0)",
        "starts_with": "STARTS_WITH({0}, {1})",
    }
    COMPARISONS: ClassVar[dict[str, str]] = {"==": "=", "!=": "<>"}

    def __init__(
        self,
        column: Callable[[str, str | None], str],
        types: Mapping[str, Any] | None,
        parameters: bool,
        casing: str | None,
    ) -> None:
        super().__init__(types)
        self._casing = casing
        self.values: list[Any] = []
        self._column = column
        self._parameters = parameters

    def field(self, node: Field, want: str | None) -> str:
        kind = self.inference.declared(node).kind
        if kind is None or (kind in NUMERIC and want in NUMERIC):
            kind = want
        return self._column(node.name, kind)

    def const(self, node: Const, want: str | None) -> str:
        value = node.value
        if value is None:
            return f"NULL::{CASTS[want]}" if want is not None else "NULL"
        if isinstance(value, bool):
            return self._value(value, "TRUE" if value else "FALSE", "boolean" if self._parameters else "")
        if isinstance(value, str):
            return self._value(value, literal(value), "text")
        if isinstance(value, datetime):
            return self._value(value, f"'{value.isoformat(timespec='microseconds')}'", "timestamptz")
        if isinstance(value, date):
            return self._value(value, f"'{value.isoformat()}'", "date")
        return self._number(value, want)

    def _number(self, value: int | float | Decimal, want: str | None) -> str:
        exact = want in ("int", "decimal") if want is not None else isinstance(value, Decimal)
        if exact or (want is None and isinstance(value, int) and abs(value) >= EXACT_BELOW):
            text = format(value, "f") if isinstance(value, Decimal) else repr(value)
            shown_value = self._value(value, text, "numeric")
        else:
            try:
                double = float(value)
            except OverflowError:
                return "NULL::float8"
            # A whole number stays short: 5, not 5.0.
            shown_value = self._value(double, str(value) if isinstance(value, int) else repr(double), "float8")
        # Without the parentheses, the minus of a negation before it would start a comment.
        return f"({shown_value})" if value < 0 else shown_value

    def _value(self, value: Any, text: str, cast: str) -> str:
        if self._parameters:
            self.values.append(value)
            text = f"\0{len(self.values) - 1}\0"
        return f"{text}::{cast}" if cast else text

    def operation(self, node: Expr, name: str, kind: str) -> str:
        operands = list(node.children)
        if isinstance(node, Func):
            if name in ("min", "max"):
                return self._extreme(operands, "LEAST" if name == "min" else "GREATEST")
            if len(operands) == 2:
                # The shortest decimal that reads back as the double, not its first 15 digits as ::numeric gives.
                places = operands[1]
                assert isinstance(places, Const)
                return f"ROUND({self.text(operands[0], kind)}::text::numeric, {places.value})::float8"
        if name in ("upper", "lower") and self._casing is not None:
            # The outer collation: one from inside would stand against that of a comparison around it.
            return f'({name.upper()}({self.text(operands[0], kind)} COLLATE {self._casing}) COLLATE "C")'
        if name == "concat":
            return f"({' || '.join(self.text(operand, kind) for operand in operands)})"
        return self._once(self.FORMS[name], operands, kind)

    def _once(self, form: str, operands: list[Expr], kind: str) -> str:
        texts = [self.text(operand, kind) for operand in operands]
        repeated = any(form.count(f"{{{place}}}") > 1 for place in range(len(texts)))
        if not repeated or all(isinstance(operand, (Field, Const)) for operand in operands):
            return form.format(*texts)
        names = [f"x{place}" for place in range(len(texts))]
        columns = ", ".join(f"{text} AS {name}" for text, name in zip(texts, names, strict=True))
        return f"(SELECT {form.format(*names)} FROM (SELECT {columns} OFFSET 0) AS q)"

    def _extreme(self, operands: list[Expr], function: str) -> str:
        places = [f"{{{place}}}" for place in range(len(operands))]
        tests = [
            f"{place} IS NULL"
            for place, operand in zip(places, operands, strict=True)
            if not (isinstance(operand, Const) and operand.value is not None)
        ]
        form = f"{function}({', '.join(places)})"
        if tests and len(operands) > 1:
            form = f"(CASE WHEN {' OR '.join(tests)} THEN NULL ELSE {form} END)"
        return self._once(form, operands, "float")

    def strop(self, node: StrOp, want: str | None) -> str:
        text = super().strop(node, want)
        return f"{text}::float8" if node.op == "length" and want == "float" else text

    def comparison(self, node: BinOp, kind: str) -> str:
        left, right = (self.text(operand, kind) for operand in node.children)
        collation = ' COLLATE "C"' if kind == "str" and node.op not in ("==", "!=") else ""
        return f"({left} {self.COMPARISONS.get(node.op, node.op)} {right}{collation})"

    def if_(self, node: If, want: str | None) -> str:
        kind = self.common(node, want)
        then, otherwise = self.text(node.then, kind), self.text(node.otherwise, kind)
        return f"(CASE WHEN {self.text(node.condition, 'bool')} THEN {then} ELSE {otherwise} END)"

    def coalesce(self, node: Coalesce, want: str | None) -> str:
        kind = self.common(node, want)
        return f"COALESCE({', '.join(self.text(operand, kind) for operand in node.children)})"

    def isnull(self, node: IsNull, want: str | None) -> str:
        return f"({self.text(node.operand)} IS NULL)"
