"""Every operation in every text target: one table, required and nullable Pure, and the page that is made of it."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reactive.errors import ExpressionTypeError, UnsupportedNode
from reactive.expr import BinOp, Coalesce, Const, Expr, Field, Func, If, IsNull, StrOp, UnaryOp
from reactive.expr.deephaven import to_filter
from reactive.expr.document import OPERATIONS, with_operations

PAGE = Path(__file__).resolve().parents[2] / "docs" / "expressions.md"
x, y, f, g, s, t = (Field(name) for name in ("x", "y", "f", "g", "s", "t"))
NULLABLE: dict[str, Any] = {
    **dict.fromkeys(("x", "y"), float | None),
    **dict.fromkeys(("f", "g"), bool | None),
    **dict.fromkeys(("s", "t"), str | None),
    "n": int | None,
    "m": int | None,
}
X, Y, F, G, S, T = (f"$row.{name}" for name in "xyfgst")
MAP_X, MAP_S, MAP_F = (f"{each}->map(v1|" for each in (X, S, F))
MAP_XY, MAP_ST = f"{X}->map(v1|{Y}->map(v2|", f"{S}->map(v1|{T}->map(v2|"
KLEENE = (
    "{x:Boolean[0..1],y:Boolean[0..1]|if(($x == %s) || ($y == %s), |%s, |if(isEmpty($x) || isEmpty($y), |[], |%s))}"
)
COALESCE = "meta::pure::functions::flow::coalesce"

# Expression, Pure over required fields, Pure over nullable ones.
PURE: list[tuple[Expr, str, str]] = [
    (x, X, X),
    (Field("odd 'name'"), r"$row.'odd \'name\''", r"$row.'odd \'name\''"),
    (Field("true"), "$row.'true'", "$row.'true'"),
    (Field("import"), "$row.'import'", "$row.'import'"),
    (Const(2.5), "2.5", "2.5"),
    (Const(-2.5), "(-2.5)", "(-2.5)"),
    (Const(1e20), "1.0e+20", "1.0e+20"),
    (Const(5), "5", "5"),
    (Const("it's\n\\"), r"'it\'s\n\\'", r"'it\'s\n\\'"),
    (Const(None), "[]", "[]"),
    (x + y, f"({X} + {Y})", f"{MAP_XY}($v1 + $v2)))"),
    (x - y, f"({X} - {Y})", f"{MAP_XY}($v1 - $v2)))"),
    (x * y, f"({X} * {Y})", f"{MAP_XY}($v1 * $v2)))"),
    (x / y, f"if({Y} == 0.0, |[], |{X} / {Y})", f"{MAP_XY}if($v2 == 0.0, |[], |$v1 / $v2)))"),
    (x / 2, f"({X} / 2.0)", f"{MAP_X}($v1 / 2.0))"),
    (
        x % y,
        f"if({Y} == 0.0, |[], |({X} - ({Y} * (floor({X} / {Y})->toFloat()))))",
        f"{MAP_XY}if($v2 == 0.0, |[], |($v1 - ($v2 * (floor($v1 / $v2)->toFloat()))))))",
    ),
    (
        x**y,
        f"if((({X} == 0.0) && ({Y} < 0.0)) || (({X} < 0.0) && ({Y} != floor({Y})->toFloat())), |[], "
        f"|pow({X}, {Y})->toFloat())",
        f"{MAP_XY}if((($v1 == 0.0) && ($v2 < 0.0)) || (($v1 < 0.0) && ($v2 != floor($v2)->toFloat())), |[], "
        "|pow($v1, $v2)->toFloat())))",
    ),
    (-x, f"(-{X})", f"{MAP_X}(-$v1))"),
    (abs(x), f"abs({X})", f"{MAP_X}abs($v1))"),
    (x > y, f"({X} > {Y})", f"{MAP_XY}($v1 > $v2)))"),
    (x <= 5, f"({X} <= 5.0)", f"{MAP_X}($v1 <= 5.0))"),
    (x == 5, f"({X} == 5.0)", f"{MAP_X}($v1 == 5.0))"),
    (x != y, f"({X} != {Y})", f"{MAP_XY}($v1 != $v2)))"),
    (s == "a", f"({S} == 'a')", f"{MAP_S}($v1 == 'a'))"),
    (f & g, f"({F} && {G})", KLEENE % ("false", "false", "false", "true") + f"->eval({F}, {G})"),
    (f | g, f"({F} || {G})", KLEENE % ("true", "true", "true", "false") + f"->eval({F}, {G})"),
    (~f, f"(!{F})", f"{MAP_F}(!$v1))"),
    (If(f, x, y), f"if({F}, |{X}, |{Y})", f"if(({F} == true), |{X}, |{Y})"),
    (Coalesce([x, y, 0]), X, f"{COALESCE}({X}, {COALESCE}({Y}, 0.0))"),
    (IsNull(x), f"isEmpty({X})", f"isEmpty({X})"),
    (Func("sqrt", x), f"if({X} < 0.0, |[], |sqrt({X}))", f"{MAP_X}if($v1 < 0.0, |[], |sqrt($v1)))"),
    (Func("log", x), f"if({X} <= 0.0, |[], |log({X}))", f"{MAP_X}if($v1 <= 0.0, |[], |log($v1)))"),
    (
        Func("exp", x),
        f"if({X} > 709.782712893384, |[], |if({X} < (-745.13), |0.0, |exp({X})))",
        f"{MAP_X}if($v1 > 709.782712893384, |[], |if($v1 < (-745.13), |0.0, |exp($v1))))",
    ),
    (Func("ceil", x), f"ceiling({X})->toFloat()", f"{MAP_X}ceiling($v1)->toFloat())"),
    (Func("floor", x), f"floor({X})->toFloat()", f"{MAP_X}floor($v1)->toFloat())"),
    (Func("round", x), f"round({X})->toFloat()", f"{MAP_X}round($v1)->toFloat())"),
    (Func("round", x, 2), f"round({X}->toDecimal(), 2)->toFloat()", f"{MAP_X}round($v1->toDecimal(), 2)->toFloat())"),
    (Func("min", x, y), f"min({X}, {Y})", f"{MAP_XY}min($v1, $v2)))"),
    (Func("max", x, y, 0), f"max(max({X}, {Y}), 0.0)", f"{MAP_XY}max($v1, $v2)))->map(v3|max($v3, 0.0))"),
    (s.length(), f"length({S})", f"{MAP_S}length($v1))"),
    (s.upper(), f"toUpper({S})", f"{MAP_S}toUpper($v1))"),
    (s.lower(), f"toLower({S})", f"{MAP_S}toLower($v1))"),
    (s.contains(t), f"contains({S}, {T})", f"{MAP_ST}contains($v1, $v2)))"),
    (s.starts_with("a"), f"startsWith({S}, 'a')", f"{MAP_S}startsWith($v1, 'a'))"),
    (s.concat(t), f"({S} + {T})", f"{MAP_ST}($v1 + $v2)))"),
    (Field("n", int) == 5, "($row.n->toFloat() == 5.0)", "$row.n->map(v1|$v1->toFloat())->map(v2|($v2 == 5.0))"),
    (Field("n", int) * Field("m", int), "($row.n->toFloat() * $row.m)",
     "$row.n->map(v1|$v1->toFloat())->map(v2|$row.m->map(v3|($v2 * $v3)))"),
    (x / y + 1, f"if({Y} == 0.0, |[], |{X} / {Y})->map(v1|($v1 + 1.0))",
     f"{MAP_XY}if($v2 == 0.0, |[], |$v1 / $v2)))->map(v3|($v3 + 1.0))"),
]  # fmt: skip


@pytest.mark.parametrize(("expr", "required", "nullable"), PURE, ids=[repr(expr)[:70] for expr, _, _ in PURE])
def test_pure_form_of_required_and_of_nullable_fields(expr: Expr, required: str, nullable: str) -> None:
    assert expr.to_pure("$row") == required
    assert expr.to_pure("$row", NULLABLE) == nullable


n, a_float = Field("n", int), Field("x", float)
# What only some operands ask for, over required fields.
PURE_OF_OPERANDS: list[tuple[Expr, str]] = [
    (Const(True), "true"),
    (Const(False), "false"),
    (Const(10**400) + x, f"[]->map(v1|($v1 + {X}))"),
    (If(f, n, a_float) == 5, f"(if({F}, |$row.n, |{X})->toFloat() == 5.0)"),
    (If(f, a_float, n) == 5, f"(if({F}, |{X}, |$row.n)->toFloat() == 5.0)"),
    (If(f, n, a_float) > 5, f"(if({F}, |$row.n, |{X}) > 5.0)"),
    (If(f, 1, 2) + x, f"(if({F}, |1.0, |2.0) + {X})"),
    (If(f, x, y) / If(g, x, y), f"if({G}, |{X}, |{Y})->map(v1|if($v1 == 0.0, |[], |if({F}, |{X}, |{Y}) / $v1))"),
    (Coalesce([x, 1]) + 1, f"({X} + 1.0)"),
    (n / y, f"if({Y} == 0.0, |[], |$row.n->toFloat() / {Y})"),
    (x % n, f"$row.n->toFloat()->map(v1|if($v1 == 0.0, |[], |({X} - ($v1 * (floor({X} / $v1)->toFloat())))))"),
    (n / 2, "($row.n / 2.0)"),
    (x / 0, f"if(0.0 == 0.0, |[], |{X} / 0.0)"),
    (n + 1, "($row.n + 1.0)"),
    (n == Decimal("0.5"), "($row.n == 0.5D)"),
    (Field("d", Decimal) > 3, "($row.d > 3)"),
    (Field("d", Decimal) > n, "($row.d > $row.n)"),
    (s.length() == a_float, f"(length({S})->toFloat() == {X})"),
    (s.length() + 1, f"(length({S}) + 1.0)"),
    (Field("day", date) < date(2026, 2, 28), "($row.day < %2026-02-28)"),
    (
        Field("at", datetime) >= datetime(2026, 2, 28, 9, 30, tzinfo=timezone.utc),
        "($row.at >= %2026-02-28T09:30:00.000000+0000)",
    ),
    *(
        (partial + 1, f"{partial.to_pure('$row')}->map(v{number}|($v{number} + 1.0))")
        for partial, number in [
            *((each, 1) for each in (x / y, x % y, x**y)),
            *((Func(name, x), 1) for name in ("sqrt", "log", "exp")),
        ]
    ),
    *((total + 1, f"({total.to_pure('$row')} + 1.0)") for total in (-x, abs(x), x * y, Func("floor", x))),
]


@pytest.mark.parametrize(
    ("expr", "text"), PURE_OF_OPERANDS, ids=[repr(expr)[:70].replace("0" * 60, "") for expr, _ in PURE_OF_OPERANDS]
)
def test_pure_form_of_operands(expr: Expr, text: str) -> None:
    assert expr.to_pure("$row") == text


AND_FG = KLEENE % ("false", "false", "false", "true") + f"->eval({F}, {G})"
# The same over nullable ones.
PURE_OF_NULLABLE_OPERANDS: list[tuple[Expr, str]] = [
    (~(f & g), f"{AND_FG}->map(v1|(!$v1))"),
    (If(f & g, 1, 2), f"if(({AND_FG} == true), |1, |2)"),
    (If(x > y, x, y), f"if(({MAP_XY}($v1 > $v2))) == true), |{X}, |{Y})"),
    (IsNull(x) & f, KLEENE % ("false", "false", "false", "true") + f"->eval(isEmpty({X}), {F})"),
    (IsNull(x) & IsNull(y), f"(isEmpty({X}) && isEmpty({Y}))"),
    (If(IsNull(x), y, 1) + 1, f"if(isEmpty({X}), |{Y}, |1.0)->map(v1|($v1 + 1.0))"),
    (If(IsNull(x), 1, y) + 1, f"if(isEmpty({X}), |1.0, |{Y})->map(v1|($v1 + 1.0))"),
    (Coalesce([x, 1]) + 1, f"({COALESCE}({X}, 1.0) + 1.0)"),
    (Coalesce([x, y]) + 1, f"{COALESCE}({X}, {Y})->map(v1|($v1 + 1.0))"),
    (Coalesce([Field("n"), x]) == 5, f"{COALESCE}($row.n, {X})->map(v1|$v1->toFloat())->map(v2|($v2 == 5.0))"),
    (Coalesce([x, Field("n")]) == 5, f"{COALESCE}({X}, $row.n)->map(v1|$v1->toFloat())->map(v2|($v2 == 5.0))"),
    (s.concat("a", t), f"{S}->map(v1|($v1 + 'a'))->map(v2|{T}->map(v3|($v2 + $v3)))"),
    (x / 2 / y, f"{X}->map(v1|($v1 / 2.0))->map(v2|{Y}->map(v3|if($v3 == 0.0, |[], |$v2 / $v3)))"),
    (Func("round", x / 2, 2), f"{X}->map(v1|($v1 / 2.0))->map(v2|round($v2->toDecimal(), 2)->toFloat())"),
]


@pytest.mark.parametrize(
    ("expr", "text"), PURE_OF_NULLABLE_OPERANDS, ids=[repr(expr)[:70] for expr, _ in PURE_OF_NULLABLE_OPERANDS]
)
def test_pure_form_of_nullable_operands(expr: Expr, text: str) -> None:
    assert expr.to_pure("$row", NULLABLE) == text


def operations_in(expressions: list[Expr]) -> set[str]:
    return {
        f"{type(node).__name__} {getattr(node, 'op', None) or (node.name if isinstance(node, Func) else '')}".strip()
        for expr in expressions
        for node in expr.walk()
    }


def every_operation() -> set[str]:
    return {
        *("Field", "Const", "If", "Coalesce", "IsNull"),
        *(f"BinOp {op}" for op in BinOp.OPERATORS),
        *(f"UnaryOp {op}" for op in UnaryOp.OPERATORS),
        *(f"Func {name}" for name in Func.FUNCTIONS),
        *(f"StrOp {op}" for op in StrOp.OPERATORS),
    }


def test_page_shows_every_operation_as_it_is_now() -> None:
    shown = [expr for operations in OPERATIONS.values() for _, expr, _ in operations]
    text = " ".join(label for operations in OPERATIONS.values() for label, _, _ in operations)
    # The two comparisons that read as others do are not shown.
    assert every_operation() - operations_in(shown) <= {"BinOp >=", "Field", "BinOp <"}
    assert "x ** y" in text
    page = PAGE.read_text(encoding="utf-8")
    assert with_operations(page) == page


def test_pure_table_has_every_operation() -> None:
    comparisons = {"BinOp <", "BinOp >="}
    assert every_operation() - operations_in([expr for expr, _, _ in PURE]) == comparisons


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("plain text", '"plain text"'),
        ('"; System.exit(1); "', r'"\042; System.exit\0501\051; \042"'),
        ("it's `=\\", r'"it\047s \140\075\134"'),
        ("a\nb", r'"a\012b"'),
        ("é\U0001d538", r'"\u00e9\ud835\udd38"'),
    ],
)
def test_deephaven_strings_are_harmless_ascii(text: str, literal: str) -> None:
    assert Const(text).to_deephaven() == literal


@pytest.mark.parametrize(
    "name", ["odd name", "x; System.exit(1)", "1x", "ü", "class", "true", "i", "x)", "java", "NULL_DOUBLE"]
)
def test_deephaven_refuses_names_that_no_column_has(name: str) -> None:
    with pytest.raises(UnsupportedNode, match="has no form in Deephaven") as caught:
        (Field(name) + 1).to_deephaven()
    assert caught.value.target == "Deephaven"


@pytest.mark.parametrize(
    ("expr", "formula"),
    [
        (x + y * 2, "replaceIfNonFinite(((double)x + ((double)y * 2.0)), NULL_DOUBLE)"),
        (Func("max", x, 0), "replaceIfNonFinite((-java.lang.Math.min((-((double)x)), (-(0.0)))), NULL_DOUBLE)"),
        (If(x > y, "A", s), '((!isNull(x) && !isNull(y) && x > y) ? "A" : s)'),
        (If(x > 5, "A", s), '(((replaceIfNaN((double)x, NULL_DOUBLE) - 5.0 + 0.0) > 0) ? "A" : s)'),
        (
            Coalesce([x, 0]) / y,
            "replaceIfNonFinite((replaceIfNull(replaceIfNaN((double)x, NULL_DOUBLE), 0.0) / (double)y), NULL_DOUBLE)",
        ),
    ],
)
def test_deephaven_form(expr: Expr, formula: str) -> None:
    assert expr.to_deephaven() == formula


def test_deephaven_filter_takes_conditions_only() -> None:
    assert to_filter(~(x > 5) & f) == "(((5.0 - replaceIfNaN((double)x, NULL_DOUBLE) + 0.0) >= 0) && (!isNull(f) && f))"
    with pytest.raises(ExpressionTypeError, match="is float, not a condition"):
        to_filter(x + 1)
