"""Deephaven's formulas as text, by kind of operand; what they give in a table is held against `eval` elsewhere."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal

import pytest

from reactive.errors import UnsupportedNode
from reactive.expr import Coalesce, Const, Expr, Field, Func, If, IsNull
from reactive.expr.deephaven import to_filter

a, n, d, b = Field("a", float), Field("n", int), Field("d", Decimal), Field("b", bool)
name, day, at = Field("name", str), Field("day", date), Field("at", datetime)
x, y, f, t = (Field(each) for each in "xyft")
NOON = datetime(2026, 2, 28, 12, tzinfo=timezone.utc)
A, D = "replaceIfNaN((double)a, NULL_DOUBLE)", "(isNull(d) ? NULL_DOUBLE : d.doubleValue())"
B, NOT_B, F, NOT_F = "(!isNull(b) && b)", "(!isNull(b) && !b)", "(!isNull(f) && f)", "(!isNull(f) && !f)"
POINTS = "codePointCount(0, name.length())"
UTF8, STRINGS = "java.nio.charset.StandardCharsets.UTF_8", "org.apache.commons.lang3.StringUtils"
BYTES = f'(name).getBytes({UTF8}), ("b").getBytes({UTF8})'


def finite(text: str) -> str:
    return f"replaceIfNonFinite({text}, NULL_DOUBLE)"


@pytest.mark.parametrize(
    ("expr", "formula"),
    [
        (Const(None), "NULL_DOUBLE"),
        (Const(True), "true"),
        (Const(False), "false"),
        (Const(5), "5.0"),
        (Const(Decimal("0.1")), 'new java.math.BigDecimal("0.1")'),
        (a + 10**400, finite("((double)a + NULL_DOUBLE)")),
        (a - n * 2, finite("((double)a - ((double)n * 2.0))")),
        (d + 1, finite(f"({D} + 1.0)")),
        (a / n, finite("((double)a / (double)n)")),
        (a % n, finite("((double)a - (double)n * floor((double)a / (double)n))")),
        (a**2, finite(f"pow({A}, 2.0)")),
        (-d, finite(f"(-({D}))")),
        (abs(n), finite("abs((double)n)")),
        *((Func(each, a), finite(f"{each}((double)a)")) for each in ("sqrt", "log", "exp")),
        *((Func(each, a), finite(f"({each}((double)a) + 0.0)")) for each in ("ceil", "floor")),
        (Func("round", a), finite("(rint((double)a) + 0.0)")),
        (
            Func("round", a, 2),
            f"(isNull({finite('(double)a')}) ? NULL_DOUBLE : java.math.BigDecimal.valueOf({finite('(double)a')})"
            ".setScale(2, java.math.RoundingMode.HALF_UP).doubleValue() + 0.0)",
        ),
        (Func("min", a, n, 2), finite("java.lang.Math.min((double)a, java.lang.Math.min((double)n, 2.0))")),
        (Func("max", a, n), finite("(-java.lang.Math.min((-((double)a)), (-((double)n))))")),
        (name.length(), f"(isNull(name) ? NULL_LONG : (long)(name.{POINTS}))"),
        (name.length() + 1, finite(f"((isNull(name) ? NULL_DOUBLE : (double)(name.{POINTS})) + 1.0)")),
        (name.concat("x", t), '(isNull(name) || isNull("x") || isNull(t) ? ((String)null) : name + "x" + t)'),
        (name.upper(), f"{STRINGS}.upperCase(name, java.util.Locale.ROOT)"),
        (name.lower(), f"{STRINGS}.lowerCase(name, java.util.Locale.ROOT)"),
        (b, "b"),
        (~b, f"({NOT_B} ? true : {B} ? false : NULL_BOOLEAN)"),
        (If(b, a, n), f"({B} ? {A} : (double)n)"),
        (If(b, 1, 2) + a, finite(f"(({B} ? 1.0 : 2.0) + (double)a)")),
        (If(b, n, 2), f"({B} ? n : 2L)"),
        (If(b, n, None), f"({B} ? n : NULL_LONG)"),
        (If(b, name, None), f"({B} ? name : ((String)null))"),
        (If(b, None, day), f"({B} ? ((java.time.LocalDate)null) : day)"),
        (If(b, None, d), f"({B} ? ((java.math.BigDecimal)null) : d)"),
        (If(b, None, at), f"({B} ? ((java.time.Instant)null) : at)"),
        (If(b, n, d), f"({B} ? (isNull(n) ? null : java.math.BigDecimal.valueOf(n)) : d)"),
        (If(b, name.length(), d), f"({B} ? (isNull(name) ? null : java.math.BigDecimal.valueOf(name.{POINTS})) : d)"),
        (Coalesce([n, 0]), "replaceIfNull(n, 0L)"),
        (Coalesce([x, a, 1]) * 2, finite(f"(replaceIfNull({A.replace('a,', 'x,')}, replaceIfNull({A}, 1.0)) * 2.0)")),
        (Coalesce([name, "x"]), 'replaceIfNull(name, "x")'),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value)[:60],
)
def test_formula_of_a_value(expr: Expr, formula: str) -> None:
    assert expr.to_deephaven() == formula


@pytest.mark.parametrize(
    ("expr", "true", "false"),
    [
        (Const(True), "true", "false"),
        (Const(None) & b, f"(false && {B})", f"(false || {NOT_B})"),
        (a > 5, f"(({A} - 5.0 + 0.0) > 0)", f"((5.0 - {A} + 0.0) >= 0)"),
        (a >= n, f"(({A} - (double)n + 0.0) >= 0)", f"(((double)n - {A} + 0.0) > 0)"),
        (a < 5, f"((5.0 - {A} + 0.0) > 0)", f"(({A} - 5.0 + 0.0) >= 0)"),
        (a <= 5, f"((5.0 - {A} + 0.0) >= 0)", f"(({A} - 5.0 + 0.0) > 0)"),
        (a == 5, f"(({A} - 5.0 + 0.0) == 0)", f"(abs({A} - 5.0) > 0)"),
        (a != 5, f"(abs({A} - 5.0) > 0)", f"(({A} - 5.0 + 0.0) == 0)"),
        (n > 2**60, f"(!isNull(n) && n > {2**60}L)", f"(!isNull(n) && n <= {2**60}L)"),
        (n == 2**63, "(!isNull(n) && n == 9.223372036854776e+18)", "(!isNull(n) && n != 9.223372036854776e+18)"),
        (n == -(2**63), "(!isNull(n) && n == -9.223372036854776e+18)", "(!isNull(n) && n != -9.223372036854776e+18)"),
        (n == 2**63 - 1, f"(!isNull(n) && n == {2**63 - 1}L)", f"(!isNull(n) && n != {2**63 - 1}L)"),
        (x == y, "(!isNull(x) && !isNull(y) && x == y)", "(!isNull(x) && !isNull(y) && x != y)"),
        (x < y, "(!isNull(x) && !isNull(y) && x < y)", "(!isNull(x) && !isNull(y) && x >= y)"),
        (
            d > 3,
            '(!isNull(d) && d.compareTo(new java.math.BigDecimal("3")) > 0)',
            '(!isNull(d) && d.compareTo(new java.math.BigDecimal("3")) <= 0)',
        ),
        (d > 0.5, f"(({D} - 0.5 + 0.0) > 0)", f"((0.5 - {D} + 0.0) >= 0)"),
        (
            name == "a",
            f'(!isNull(name) && {STRINGS}.equals(name, "a"))',
            f'(!isNull(name) && !{STRINGS}.equals(name, "a"))',
        ),
        (
            name != "a",
            f'(!isNull(name) && !{STRINGS}.equals(name, "a"))',
            f'(!isNull(name) && {STRINGS}.equals(name, "a"))',
        ),
        *(
            (
                condition,
                f"(!isNull(name) && java.util.Arrays.compareUnsigned({BYTES}) {yes} 0)",
                f"(!isNull(name) && java.util.Arrays.compareUnsigned({BYTES}) {no} 0)",
            )
            for condition, yes, no in ((name < "b", "<", ">="), (name >= "b", ">=", "<"))
        ),
        (
            day < date(2026, 2, 28),
            "(!isNull(day) && day.compareTo('2026-02-28') < 0)",
            "(!isNull(day) && day.compareTo('2026-02-28') >= 0)",
        ),
        (
            at >= NOON,
            "(!isNull(at) && at.compareTo('2026-02-28T12:00:00.000000Z') >= 0)",
            "(!isNull(at) && at.compareTo('2026-02-28T12:00:00.000000Z') < 0)",
        ),
        (
            name.contains("a"),
            f'(!isNull(name) && !isNull("a") && {STRINGS}.contains(name, "a"))',
            f'(!isNull(name) && !isNull("a") && !{STRINGS}.contains(name, "a"))',
        ),
        (
            name.starts_with(t),
            f"(!isNull(name) && !isNull(t) && {STRINGS}.startsWith(name, t))",
            f"(!isNull(name) && !isNull(t) && !{STRINGS}.startsWith(name, t))",
        ),
        (b == f, f"(({B} && {F}) || ({NOT_B} && {NOT_F}))", f"(({B} && {NOT_F}) || ({NOT_B} && {F}))"),
        (b != f, f"(({B} && {NOT_F}) || ({NOT_B} && {F}))", f"(({B} && {F}) || ({NOT_B} && {NOT_F}))"),
        (b & f, f"({B} && {F})", f"({NOT_B} || {NOT_F})"),
        (b | f, f"({B} || {F})", f"({NOT_B} && {NOT_F})"),
        (IsNull(a), f"(isNull({A}))", f"(!isNull({A}))"),
        (IsNull(name), "(isNull(name))", "(!isNull(name))"),
        (IsNull(b), "(isNull(b))", "(!isNull(b))"),
        (
            IsNull(b & f),
            f"((!({B} && {F}) && !({NOT_B} || {NOT_F})))",
            f"(!(!({B} && {F}) && !({NOT_B} || {NOT_F})))",
        ),
        (If(b, f, True), f"({B} ? {F} : true)", f"({B} ? {NOT_F} : false)"),
        (Coalesce([b, f]), f"({B} || (!{NOT_B} && {F}))", f"({NOT_B} || (!{B} && {NOT_F}))"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value)[:60],
)
def test_tests_of_a_condition(expr: Expr, true: str, false: str) -> None:
    assert to_filter(expr) == true
    assert to_filter(~expr) == false
    if not isinstance(expr, Const):
        assert expr.to_deephaven() == f"({true} ? true : {false} ? false : NULL_BOOLEAN)"


@pytest.mark.parametrize("year", [1677, 2262])
def test_moment_beyond_what_an_instant_holds_is_refused(year: int) -> None:
    with pytest.raises(UnsupportedNode, match="an Instant reaches from 1677-09-22 to 2262-04-11"):
        to_filter(at > NOON.replace(year=year))


@pytest.mark.parametrize("year", [1678, 2261])
def test_moment_that_an_instant_holds_is_taken(year: int) -> None:
    assert f"'{year}-02-28T12:00:00.000000Z'" in to_filter(at > NOON.replace(year=year))
