"""Deephaven query-language formulas from expressions.

A formula is Java over columns, in which null is a value of its own: the least double for a double, null for an object.
Arithmetic passes it on; what does not is written here so that it does, and so that an operand stands once wherever that
can be, since a formula has no local names. A condition is written as two tests, of being true and of being false, both
false where it is null; a formula whose value is a condition combines them into a Boolean.

Columns of undeclared fields are taken as numbers, or as what their place asks for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from reactive.errors import ExpressionError, ExpressionTypeError, UnsupportedNode, shown
from reactive.expr.base import Expr
from reactive.expr.inference import ARITHMETIC, COMPARISONS, Inference
from reactive.expr.kinds import NUMERIC
from reactive.expr.nodes import BinOp, Coalesce, Const, Field, Func, If, IsNull, StrOp, UnaryOp

__all__ = ["string_literal", "to_deephaven", "to_filter"]

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
# Names that the query language takes for itself, Java's own words, and what a column would hide from the formulas.
_RESERVED = re.compile(
    "i|ii|k|in|not|case|and|or|abstract|assert|boolean|break|byte|catch|char|class|const|continue|default|do|double|"
    "else|enum|extends|false|final|finally|float|for|goto|if|implements|import|instanceof|int|interface|long|native|"
    "new|null|package|private|protected|public|return|short|static|strictfp|super|switch|synchronized|this|throw|"
    "throws|transient|true|try|void|volatile|while|_|java|org|NULL_[A-Z]+"
)
_HARMLESS = re.compile("[A-Za-z0-9 .,:;_/+-]")
_MAX_LENGTH = 60_000  # a Java method ends at 64 kB
_NEGATED = {">": "<=", "<": ">=", ">=": "<", "<=": ">", "==": "!=", "!=": "=="}
_UTF8 = "java.nio.charset.StandardCharsets.UTF_8"
_STRINGS = "org.apache.commons.lang3.StringUtils"


def to_deephaven(expr: Expr, types: Mapping[str, Any] | None = None) -> str:
    """Return a formula over columns named as the fields are; see `Expr.to_deephaven`."""
    return _bounded(_Deephaven(types).root(expr), expr)


def to_filter(expr: Expr, types: Mapping[str, Any] | None = None) -> str:
    """Return a filter for `where`: rows in which a condition is true, where it is null as little as where it is false.

    `where` fails on a Boolean column that holds a null, as a formula of `to_deephaven` may.

    Args:
        expr: A condition.
        types: What fields are declared as.

    Raises:
        ExpressionTypeError: It is no condition.

    Example:
        >>> to_filter(Field("price") > 100)
        '((replaceIfNaN((double)price, NULL_DOUBLE) - 100.0 + 0.0) > 0)'
    """
    inference = Inference(types)
    if inference.kind(expr) not in (None, "bool"):
        raise ExpressionTypeError(f"{shown(expr)} is {inference.kind(expr)}, not a condition", expr)
    return _bounded(_Deephaven(types).truth(expr, True), expr)


def _bounded(text: str, node: Expr) -> str:
    if len(text) > _MAX_LENGTH:
        raise ExpressionError(
            f"{shown(node)}: a formula of more than {_MAX_LENGTH:,} characters is more than Deephaven compiles; make "
            "columns of its parts",
            node,
        )
    return text


def string_literal(text: str) -> str:
    r"""Return a string as a Java literal of ASCII characters.

    Example:
        >>> print(string_literal('say "é"'))
        "say \042\u00e9\042"
    """
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if _HARMLESS.fullmatch(character):
        return character
    if character < "\x80":
        # Not as \u0027: Java reads those before strings, and Deephaven looks for quotes and lone equals signs.
        return f"\\{ord(character):03o}"
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))


class _Deephaven:
    def __init__(self, types: Mapping[str, Any] | None) -> None:
        self._inference = Inference(types)

    def root(self, expr: Expr) -> str:
        if self._inference.kind(expr) == "bool" and not isinstance(expr, (Field, Const)):
            true, false = self.truth(expr, True), self.truth(expr, False)
            return f"({true} ? true : {false} ? false : NULL_BOOLEAN)"
        return self.value(expr, None)

    # Values other than conditions.

    def value(self, node: Expr, want: str | None) -> str:
        return _bounded(self._value(node, want), node)

    def _value(self, node: Expr, want: str | None) -> str:
        kind = self._inference.kind(node)
        if isinstance(node, Field):
            return self._field(node, want)
        if isinstance(node, Const):
            return self._const(node, want)
        if isinstance(node, (If, Coalesce)):
            common = want if kind is None or (kind in NUMERIC and want in NUMERIC) else kind
            return self._if(node, common) if isinstance(node, If) else self._coalesce(node, common)
        if isinstance(node, StrOp):
            return self._string(node, want)
        if isinstance(node, Func):
            return self._function(node)
        if kind == "bool":
            return self.root(node)
        if isinstance(node, BinOp) and node.op in ARITHMETIC:
            return self._arithmetic(node)
        if isinstance(node, UnaryOp):
            operand = self._operand(node.operand)
            return self._finite(f"(-({operand}))" if node.op == "neg" else f"abs({operand})")
        raise UnsupportedNode("Deephaven", node, f"{type(node).__name__} is not a node of this library")

    @staticmethod
    def _column(node: Field) -> str:
        if not _NAME.fullmatch(node.name) or _RESERVED.fullmatch(node.name):
            raise UnsupportedNode("Deephaven", node, "the name cannot be a column's")
        return node.name

    def _field(self, node: Field, want: str | None) -> str:
        name = self._column(node)
        kind = self._inference.kind(node) or want
        if want == "float" and kind == "decimal":
            return f"(isNull({name}) ? NULL_DOUBLE : {name}.doubleValue())"
        if want == "float":
            # The column may be of whole numbers, whose products wrap around; or of doubles, with a NaN among them.
            return f"(double){name}" if kind == "int" else f"replaceIfNaN((double){name}, NULL_DOUBLE)"
        if want == "decimal" and kind == "int":
            return f"(isNull({name}) ? null : java.math.BigDecimal.valueOf({name}))"
        return name

    def _const(self, node: Const, want: str | None) -> str:
        value = node.value
        if value is None:
            nulls = {"float": "NULL_DOUBLE", "int": "NULL_LONG", "bool": "NULL_BOOLEAN"}
            types = {"str": "String", "decimal": "java.math.BigDecimal", "datetime": "java.time.Instant"}
            types["date"] = "java.time.LocalDate"
            return nulls.get(want or "float") or f"(({types[want or '']})null)"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return string_literal(value)
        if isinstance(value, datetime):
            if not 1678 <= value.year < 2262:
                raise UnsupportedNode("Deephaven", node, "an Instant reaches from 1677-09-22 to 2262-04-11")
            return f"'{value.replace(tzinfo=None).isoformat(timespec='microseconds')}Z'"
        if isinstance(value, date):
            return f"'{value.isoformat()}'"
        if want == "decimal" or (want is None and isinstance(value, Decimal)):
            return f'new java.math.BigDecimal("{value}")'
        if want == "int" and -(2**63) < value < 2**63:
            return f"{value}L"
        try:
            return repr(float(value))
        except OverflowError:
            return "NULL_DOUBLE"

    def _arithmetic(self, node: BinOp) -> str:
        if node.op in ("+", "-", "*"):
            return self._finite(self._sum(node))
        if node.op == "**":
            # To the power of 0, even NaN gives 1.
            left, right = (self.value(operand, "float") for operand in node.children)
            return self._finite(f"pow({left}, {right})")
        left, right = (self._operand(operand) for operand in node.children)
        if node.op == "%":
            return self._finite(f"({left} - {right} * floor({left} / {right}))")
        return self._finite(f"({left} {node.op} {right})")

    def _sum(self, node: Expr) -> str:
        """Return sums and products that may be infinite or NaN; once they are, they stay so."""
        if isinstance(node, BinOp) and node.op in ("+", "-", "*"):
            left, right = (self._sum(operand) for operand in node.children)
            return f"({left} {node.op} {right})"
        return self._operand(node)

    def _operand(self, node: Expr) -> str:
        """Return a number for a place whose own result is checked, so that a NaN of a column may come through."""
        if isinstance(node, Field) and self._inference.kind(node) != "decimal":
            return f"(double){self._column(node)}"
        return self.value(node, "float")

    @staticmethod
    def _finite(text: str) -> str:
        return f"replaceIfNonFinite({text}, NULL_DOUBLE)"

    def _function(self, node: Func) -> str:
        if node.name == "round" and len(node.children) == 2:
            places = node.children[1]
            assert isinstance(places, Const)
            # valueOf goes by the shortest decimal that reads back as the double, and fails on what is not finite.
            x = self._finite(self._operand(node.children[0]))
            half_up = f"setScale({places.value}, java.math.RoundingMode.HALF_UP).doubleValue() + 0.0"
            return f"(isNull({x}) ? NULL_DOUBLE : java.math.BigDecimal.valueOf({x}).{half_up})"
        operands = [self._operand(operand) for operand in node.children]
        if node.name == "min":
            # The least double stands for null, so that Java's minimum of a null and a number is null.
            return self._finite(self._nested("java.lang.Math.min", operands))
        if node.name == "max":
            negated = [f"(-({operand}))" for operand in operands]
            return self._finite(f"(-{self._nested('java.lang.Math.min', negated)})")
        x = operands[0]
        forms = {
            "sqrt": f"sqrt({x})",
            "log": f"log({x})",
            "exp": f"exp({x})",
            "ceil": f"(ceil({x}) + 0.0)",
            "floor": f"(floor({x}) + 0.0)",
            "round": f"(rint({x}) + 0.0)",
        }
        return self._finite(forms[node.name])

    @staticmethod
    def _nested(function: str, operands: Sequence[str]) -> str:
        text = operands[-1]
        for operand in reversed(operands[:-1]):
            text = f"{function}({operand}, {text})"
        return text

    def _string(self, node: StrOp, want: str | None) -> str:
        if node.op in ("contains", "starts_with"):
            return self.root(node)
        operands = [self.value(operand, "str") for operand in node.children]
        text = operands[0]
        if node.op == "length":
            null, cast = {
                "float": ("NULL_DOUBLE", "(double)"),
                "decimal": ("null", "java.math.BigDecimal.valueOf"),
            }.get(want or "", ("NULL_LONG", "(long)"))
            return f"(isNull({text}) ? {null} : {cast}({text}.codePointCount(0, {text}.length())))"
        if node.op == "concat":
            nulls = " || ".join(f"isNull({operand})" for operand in operands)
            return f"({nulls} ? ((String)null) : {' + '.join(operands)})"
        return f"{_STRINGS}.{node.op}Case({text}, java.util.Locale.ROOT)"

    def _if(self, node: If, kind: str | None) -> str:
        then, otherwise = self.value(node.then, kind), self.value(node.otherwise, kind)
        return f"({self.truth(node.condition, True)} ? {then} : {otherwise})"

    def _coalesce(self, node: Coalesce, kind: str | None) -> str:
        operands = [self.value(operand, kind) for operand in node.children]
        return self._nested("replaceIfNull", operands)

    # Conditions: tests that are never null.

    def truth(self, node: Expr, value: bool) -> str:
        """Return a test of whether a condition has a value, false where it is null."""
        return _bounded(self._truth(node, value), node)

    def _truth(self, node: Expr, value: bool) -> str:
        if isinstance(node, BinOp) and node.op in ("&", "|"):
            word = "&&" if (node.op == "&") is value else "||"
            return f"({self.truth(node.left, value)} {word} {self.truth(node.right, value)})"
        if isinstance(node, UnaryOp) and node.op == "not":
            return self.truth(node.operand, not value)
        if isinstance(node, BinOp) and node.op in COMPARISONS:
            return self._compared(node, node.op if value else _NEGATED[node.op])
        if isinstance(node, IsNull):
            return f"({'' if value else '!'}{self._is_null(node.operand)})"
        if isinstance(node, StrOp):
            text, part = (self.value(operand, "str") for operand in node.children)
            function = "contains" if node.op == "contains" else "startsWith"
            test = f"{_STRINGS}.{function}({text}, {part})"
            known = f"!isNull({text}) && !isNull({part})"
            return f"({known} && {'' if value else '!'}{test})"
        if isinstance(node, If):
            then, otherwise = self.truth(node.then, value), self.truth(node.otherwise, value)
            return f"({self.truth(node.condition, True)} ? {then} : {otherwise})"
        if isinstance(node, Coalesce):
            return self._first_known(node.children, value)
        if isinstance(node, Const):
            return "true" if node.value is value else "false"
        if isinstance(node, Field):
            name = self._field(node, "bool")
            return f"(!isNull({name}) && {'' if value else '!'}{name})"
        raise UnsupportedNode("Deephaven", node, "it is not a condition")

    def _first_known(self, operands: Sequence[Expr], value: bool) -> str:
        first, *rest = operands
        if not rest:
            return self.truth(first, value)
        return f"({self.truth(first, value)} || (!{self.truth(first, not value)} && {self._first_known(rest, value)}))"

    def _is_null(self, node: Expr) -> str:
        if self._inference.kind(node) == "bool" and not isinstance(node, (Field, Const)):
            return f"(!{self.truth(node, True)} && !{self.truth(node, False)})"
        return f"isNull({self.value(node, 'float' if self._inference.kind(node) == 'float' else None)})"

    def _compared(self, node: BinOp, op: str) -> str:
        kind = self._inference.comparison(node)
        if kind == "bool":
            return self._same(node, op == "==")
        if kind in ("json", "decimal") and "decimal" not in map(self._inference.kind, node.children):
            # Longs, or columns of which nothing is known: compared as they are, since a double would not hold them all.
            kind = "int"
        left, right = (self.value(operand, kind) for operand in node.children)
        if kind == "float":
            return self._difference(left, right, op)
        if kind == "decimal" or kind == "date" or kind == "datetime":
            test = f"{left}.compareTo({right}) {op} 0"
        elif kind == "str" and op in ("==", "!="):
            test = f"{'!' * (op == '!=')}{_STRINGS}.equals({left}, {right})"
        elif kind == "str":
            # Java's own order is that of UTF-16; the bytes of UTF-8 sort as the code points do.
            bytes_of = [f"({text}).getBytes({_UTF8})" for text in (left, right)]
            test = f"java.util.Arrays.compareUnsigned({bytes_of[0]}, {bytes_of[1]}) {op} 0"
        else:
            left, right = (
                _beyond_doubles(operand) or text for operand, text in zip(node.children, (left, right), strict=True)
            )
            test = f"{left} {op} {right}"
        operands = zip(node.children, (left, right), strict=True)
        known = [f"!isNull({text})" for operand, text in operands if not _is_value(operand)]
        return f"({' && '.join([*known, test])})"

    @staticmethod
    def _difference(left: str, right: str, op: str) -> str:
        """Return a comparison of doubles: a null makes the difference null, which is less than any number."""
        if op == "!=":
            return f"(abs({left} - {right}) > 0)"
        if op in ("<", "<="):
            left, right, op = right, left, op.replace("<", ">")
        # Deephaven orders -0.0 before 0, and adding 0.0 turns one into the other.
        return f"(({left} - {right} + 0.0) {op} 0)"

    def _same(self, node: BinOp, equal: bool) -> str:
        left_true, left_false = self.truth(node.left, True), self.truth(node.left, False)
        right_true, right_false = self.truth(node.right, equal), self.truth(node.right, not equal)
        return f"(({left_true} && {right_true}) || ({left_false} && {right_false}))"


def _beyond_doubles(node: Expr) -> str | None:
    """Return what stands for a whole number that no double holds, which is more, or less, than all that do."""
    if not isinstance(node, Const) or type(node.value) is not int:
        return None
    try:
        float(node.value)
    except OverflowError:
        return "POS_INFINITY_DOUBLE" if node.value > 0 else "NEG_INFINITY_DOUBLE"
    return None


def _is_value(node: Expr) -> bool:
    return isinstance(node, Const) and node.value is not None
