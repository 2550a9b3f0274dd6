"""Legend Pure text from expressions.

A field is required unless it is declared nullable. An operation on an operand that may be empty maps over it, so that
an empty one makes the result empty: `$row.x->map(v1|($v1 + 1.0))`. The functions are legend-pure's; `min`, `max` and
`coalesce` are legend-engine's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

from reactive.errors import ExpressionError, UnsupportedNode, shown
from reactive.expr.base import Expr
from reactive.expr.inference import ARITHMETIC, COMPARISONS, Inference
from reactive.expr.kinds import EXP_LIMIT, NUMERIC
from reactive.expr.nodes import BinOp, Coalesce, Const, Field, Func, If, IsNull, StrOp, UnaryOp

__all__ = ["string_literal", "to_pure"]

_VARIABLE = re.compile(r"\$?[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Words that the lexer takes for itself; in quotes they are names like any other.
_WORDS = frozenset(
    (
        *("all", "allVersions", "allVersionsInRange", "as", "Association", "Class", "Enum", "extends", "false"),
        *("function", "import", "let", "Measure", "native", "Primitive", "Profile", "projects", "stereotypes"),
        *("tags", "toBytes", "true"),
    )
)


def to_pure(expr: Expr, variable: str = "$row", types: Mapping[str, Any] | None = None) -> str:
    """Return Legend Pure text over a variable; see `Expr.to_pure`."""
    if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
        raise ExpressionError(f"{shown(variable)} is not a variable, such as $pos")
    return _Pure("$" + variable.removeprefix("$"), types).code(expr, None).text


def string_literal(text: str) -> str:
    r"""Return a string as a Pure literal.

    Example:
        >>> print(string_literal("it's"))
        'it\'s'
    """
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    for character, escape in {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.items():
        escaped = escaped.replace(character, escape)
    return f"'{escaped}'"


def number_literal(value: int | float | Decimal, kind: str | None) -> str:
    """Return a number as a Pure literal, in parentheses if negative; a double always has a decimal point.

    Example:
        >>> number_literal(-1e20, "float")
        '(-1.0e+20)'
    """
    if kind == "decimal":
        text = f"{Decimal(value):f}D"
    elif kind == "int":
        text = str(value)
    else:
        mantissa, exponent, power = repr(float(value)).partition("e")
        text = f"{mantissa if '.' in mantissa else f'{mantissa}.0'}{exponent}{power}"
    return f"({text})" if value < 0 else text


class _Code(NamedTuple):
    """The text of a value.

    Attributes:
        text: The text.
        nullable: Whether it may be empty.
        atom: Whether it is a field or a number, which may stand more than once.
        integer: Whether it is, or may be, an Integer, which equals no Float.
    """

    text: str
    nullable: bool = False
    atom: bool = False
    integer: bool = False


class _Pure:
    FORMS: ClassVar[dict[str, str]] = {
        "+": "({0} + {1})",
        "-": "({0} - {1})",
        "*": "({0} * {1})",
        "/": "if({1} == 0.0, |[], |{0} / {1})",
        "%": "if({1} == 0.0, |[], |({0} - ({1} * (floor({0} / {1})->toFloat()))))",
        "**": (
            "if((({0} == 0.0) && ({1} < 0.0)) || (({0} < 0.0) && ({1} != floor({1})->toFloat())), |[], "
            "|pow({0}, {1})->toFloat())"
        ),
        "neg": "(-{0})",
        "abs": "abs({0})",
        "sqrt": "if({0} < 0.0, |[], |sqrt({0}))",
        "log": "if({0} <= 0.0, |[], |log({0}))",
        "exp": f"if({{0}} > {EXP_LIMIT!r}, |[], |if({{0}} < (-745.13), |0.0, |exp({{0}})))",
        "ceil": "ceiling({0})->toFloat()",
        "floor": "floor({0})->toFloat()",
        "round": "round({0})->toFloat()",
        "min": "min({0}, {1})",
        "max": "max({0}, {1})",
        "not": "(!{0})",
        "length": "length({0})",
        "upper": "toUpper({0})",
        "lower": "toLower({0})",
        "contains": "contains({0}, {1})",
        "starts_with": "startsWith({0}, {1})",
        "concat": "({0} + {1})",
    }
    PARTIAL: ClassVar[frozenset[str]] = frozenset({"/", "%", "**", "sqrt", "log", "exp"})
    KLEENE: ClassVar[dict[str, str]] = {
        "&": "if(($x == false) || ($y == false), |false, |if(isEmpty($x) || isEmpty($y), |[], |true))",
        "|": "if(($x == true) || ($y == true), |true, |if(isEmpty($x) || isEmpty($y), |[], |false))",
    }

    def __init__(self, variable: str, types: Mapping[str, Any] | None) -> None:
        self._variable = variable
        self._inference = Inference(types)
        self._variables = 0

    def code(self, node: Expr, want: str | None) -> _Code:
        kind = self._inference.kind(node)
        if isinstance(node, Field):
            declared = self._inference.declared(node)
            plain = _NAME.fullmatch(node.name) and node.name not in _WORDS
            name = node.name if plain else string_literal(node.name)
            return _Code(f"{self._variable}.{name}", declared.nullable is True, True, declared.kind == "int")
        if isinstance(node, Const):
            return self._const(node, want)
        if isinstance(node, IsNull):
            return _Code(f"isEmpty({self.code(node.operand, None).text})")
        if isinstance(node, (If, Coalesce)):
            kind = want if kind is None or (kind in NUMERIC and want in NUMERIC) else kind
            return self._if(node, kind) if isinstance(node, If) else self._coalesce(node, kind)
        if isinstance(node, BinOp) and node.op in COMPARISONS:
            return self._comparison(node)
        if isinstance(node, BinOp) and node.op not in ARITHMETIC:
            return self._logical(node)
        if isinstance(node, StrOp):
            code = self._fold(node.op, [self.code(operand, "str") for operand in node.children])
            return code._replace(integer=node.op == "length")
        if isinstance(node, Func):
            return self._function(node)
        if isinstance(node, UnaryOp) and node.op == "not":
            return self._apply("not", [self.code(node.operand, "bool")])
        if isinstance(node, (BinOp, UnaryOp)):
            return self._arithmetic(node)
        raise UnsupportedNode("Pure", node, f"{type(node).__name__} is not a node of this library")

    def _const(self, node: Const, want: str | None) -> _Code:
        value = node.value
        if value is None:
            return _Code("[]", nullable=True)
        if isinstance(value, bool):
            return _Code("true" if value else "false")
        if isinstance(value, str):
            return _Code(string_literal(value))
        if isinstance(value, datetime):
            return _Code(f"%{value.replace(tzinfo=None).isoformat(timespec='microseconds')}+0000")
        if isinstance(value, date):
            return _Code(f"%{value.isoformat()}")
        kind = want or self._inference.kind(node)
        if kind == "decimal" and isinstance(value, int):
            # An Integer compares with a Decimal by value; with a Float it does not.
            kind = "int"
        try:
            return _Code(number_literal(value, kind), atom=True, integer=kind == "int")
        except OverflowError:
            return _Code("[]", nullable=True)

    def _apply(self, name: str, operands: Sequence[_Code]) -> _Code:
        return self._mapped(self.FORMS[name], operands, name in self.PARTIAL)

    def _mapped(self, form: str, operands: Sequence[_Code], partial: bool = False) -> _Code:
        """Return an operation on operands, mapped over those that may be empty or would stand twice."""
        texts, opening, maps = [], "", 0
        for place, operand in enumerate(operands):
            if operand.nullable or (not operand.atom and form.count(f"{{{place}}}") > 1):
                self._variables += 1
                maps += 1
                opening += f"{operand.text}->map(v{self._variables}|"
                texts.append(f"$v{self._variables}")
            else:
                texts.append(operand.text)
        nullable = partial or any(operand.nullable for operand in operands)
        return _Code(f"{opening}{form.format(*texts)}{')' * maps}", nullable)

    def _fold(self, name: str, operands: Sequence[_Code]) -> _Code:
        """Return an operation of two operands on any number of them, from the left."""
        if name not in ("concat", "min", "max"):
            return self._apply(name, operands)
        result = operands[0]
        for operand in operands[1:]:
            result = self._apply(name, [result, operand])
        return result

    def _double(self, code: _Code) -> _Code:
        """Return a number as a Float, mapped over if it may be empty."""
        return self._mapped("{0}->toFloat()", [code]) if code.integer else code

    def _arithmetic(self, node: BinOp | UnaryOp) -> _Code:
        operands = [self.code(operand, "float") for operand in node.children]
        if all(operand.integer for operand in operands):
            # Of Integers the result would be an Integer, without bound; one Float among them suffices.
            operands[0] = self._double(operands[0])
        divisor = node.children[-1]
        if node.op == "/" and isinstance(divisor, Const) and divisor.value:
            return self._mapped("({0} / {1})", operands)
        if node.op == "/" or node.op == "%" or node.op == "**":
            # An Integer equals no Float, so that a test for 0.0 would fail.
            operands = [self._double(operand) for operand in operands]
        return self._apply(node.op, operands)

    def _function(self, node: Func) -> _Code:
        operands = [self._double(self.code(operand, "float")) for operand in node.children]
        if node.name != "round" or len(node.children) == 1:
            return self._fold(node.name, operands)
        places = node.children[1]
        assert isinstance(places, Const)
        return self._mapped(
            f"round({{0}}->toDecimal(), {number_literal(places.value, 'int')})->toFloat()", operands[:1]
        )

    def _comparison(self, node: BinOp) -> _Code:
        kind = self._inference.comparison(node)
        operands = [self.code(operand, kind) for operand in node.children]
        if kind == "float" and node.op in ("==", "!=") and any(operand.integer for operand in operands):
            operands = [self._double(operand) for operand in operands]
        return self._mapped(f"({{0}} {node.op} {{1}})", operands)

    def _logical(self, node: BinOp) -> _Code:
        left, right = (self.code(operand, "bool") for operand in node.children)
        if not left.nullable and not right.nullable:
            return _Code(f"({left.text} {node.op * 2} {right.text})")
        form = f"{{x:Boolean[0..1],y:Boolean[0..1]|{self.KLEENE[node.op]}}}"
        return _Code(f"{form}->eval({left.text}, {right.text})", nullable=True)

    def _if(self, node: If, kind: str | None) -> _Code:
        condition = self.code(node.condition, "bool")
        # `if` takes one Boolean, and an empty condition chooses the second value.
        test = f"({condition.text} == true)" if condition.nullable else condition.text
        then, otherwise = self.code(node.then, kind), self.code(node.otherwise, kind)
        return _Code(
            f"if({test}, |{then.text}, |{otherwise.text})",
            then.nullable or otherwise.nullable,
            integer=then.integer or otherwise.integer,
        )

    def _coalesce(self, node: Coalesce, kind: str | None) -> _Code:
        operands = [self.code(operand, kind) for operand in node.children]
        result = operands[-1]
        for operand in reversed(operands[:-1]):
            if not operand.nullable:
                # What stands behind a value that is always there is never looked at.
                result = operand
                continue
            result = _Code(
                f"meta::pure::functions::flow::coalesce({operand.text}, {result.text})",
                result.nullable,
                integer=operand.integer or result.integer,
            )
        return result
