"""The reference of all operations, made from the targets themselves.

`python -m reactive.expr.document docs/expressions.md` brings the page up to date.
"""

from __future__ import annotations

import sys
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from reactive.expr.base import Expr
from reactive.expr.nodes import Coalesce, Const, Field, Func, If

__all__ = ["OPERATIONS", "operations_markdown", "with_operations"]

BEGIN = "<!-- operations: made by `python -m reactive.expr.document docs/expressions.md` -->"
END = "<!-- end of operations -->"

_X, _Y, _F, _G, _S, _T = (Field(name) for name in ("x", "y", "f", "g", "s", "t"))
_TYPES: dict[str, Any] = {
    "x": float,
    "y": float,
    "n": int,
    "m": int,
    "a": Decimal,
    "f": bool,
    "g": bool,
    "s": str,
    "t": str,
    "day": date,
    "at": datetime,
}
_NULLABLE: dict[str, Any] = {name: annotation | None for name, annotation in _TYPES.items()}

OPERATIONS: dict[str, list[tuple[str, Expr, str]]] = {
    "Fields and constants": [
        ('Field("x")', _X, "The field's value; a missing key is null."),
        ('Field("odd name")', Field("odd name"), "Any name will do, quoted where the target asks for it."),
        ("Const(2.5)", Const(2.5), "A double. NaN and infinity are refused."),
        ('Const("it\'s")', Const("it's"), "A string."),
        ("Const(True)", Const(True), "A boolean."),
        ('Const(Decimal("1.50"))', Const(Decimal("1.50")), "An exact number."),
        ("Const(date(2026, 2, 22))", Const(date(2026, 2, 22)), "A date."),
        (
            "Const(datetime(2026, 2, 22, 10, tzinfo=timezone.utc))",
            Const(datetime(2026, 2, 22, 10, tzinfo=timezone.utc)),
            "An instant. A datetime without a time zone is refused.",
        ),
        ("Const(None)", Const(None), "Null."),
    ],
    "Arithmetic": [
        ("x + y", _X + _Y, "IEEE doubles, null if an operand is; overflow is null, in PostgreSQL an error."),
        ("x - y", _X - _Y, ""),
        ("x * y", _X * _Y, ""),
        ("x / y", _X / _Y, "By zero: null."),
        ("x % y", _X % _Y, "Floored, `x - y * floor(x / y)`, so that it has the sign of y. By zero: null."),
        ("x ** y", _X**_Y, "Off its domain (0 to a negative power, a negative base to a fraction): null."),
        ("-x", -_X, ""),
        ("abs(x)", abs(_X), ""),
    ],
    "Comparison": [
        ("x > y", Field("x", float) > Field("y", float), "Null if a side is."),
        ("x <= 100", _X <= 100, ""),
        ("x == 1", _X == 1, "Numbers by value, whole or not. `x == None` builds `IsNull(x)`."),
        ("x != 1", _X != 1, ""),
        ('n == m', Field("n", int) == Field("m", int), "Declared whole: exact, of any size."),
        ('a > Decimal("1.50")', Field("a", Decimal) > Decimal("1.50"), "Declared Decimal: exact."),
        ('s < "M"', _S < "M", "Strings by code point."),
        ("day >= date(2026, 2, 22)", Field("day") >= date(2026, 2, 22), ""),
        (
            "at < datetime(2026, 2, 22, 10, tzinfo=timezone.utc)",
            Field("at") < datetime(2026, 2, 22, 10, tzinfo=timezone.utc),
            "By the instant, whatever the offset.",
        ),
    ],
    "Logic": [
        ("f & g", _F & _G, "Three-valued: false if a side is false, else null if a side is null."),
        ("f | g", _F | _G, "True if a side is true, else null if a side is null."),
        ("~f", ~_F, "Null if f is."),
    ],
    "Conditionals and null": [
        ("If(f, x, 0.0)", If(_F, _X, 0.0), "The third where the condition is false or null."),
        ("Coalesce([x, y, 0.0])", Coalesce([_X, _Y, 0.0]), "The first that is not null."),
        ("x.is_null()", _X.is_null(), "True or false, never null."),
    ],
    "Functions": [
        ('Func("sqrt", x)', Func("sqrt", _X), "Of a negative number: null."),
        ('Func("log", x)', Func("log", _X), "Natural; of zero or less: null."),
        ('Func("exp", x)', Func("exp", _X), "Too large for a double: null; too small: 0."),
        ('Func("ceil", x)', Func("ceil", _X), "A whole number, never -0."),
        ('Func("floor", x)', Func("floor", _X), ""),
        ('Func("round", x)', Func("round", _X), "Halves to the even neighbour."),
        ('Func("round", x, 2)', Func("round", _X, 2), "Halves away from zero, of the shortest decimal form of x."),
        ('Func("min", x, y)', Func("min", _X, _Y), "Of any number of arguments; null if one is."),
        ('Func("max", [x, y])', Func("max", [_X, _Y]), ""),
    ],
    "Strings": [
        ("s.length()", _S.length(), "In code points."),
        ("s.upper()", _S.upper(), ""),
        ("s.lower()", _S.lower(), ""),
        ("s.contains(t)", _S.contains(_T), "Literally: there are no wildcards."),
        ("s.starts_with(t)", _S.starts_with(_T), ""),
        ("s.concat(t)", _S.concat(_T), "Of any number of strings; null if one is."),
    ],
}  # fmt: skip


def _code(text: str) -> str:
    escaped = text.replace("|", "\\|")
    return f"`` {escaped} ``" if "`" in escaped else f"`{escaped}`"


def operations_markdown() -> str:
    """Return every operation with its form in every target, as Markdown."""
    parts = []
    for title, operations in OPERATIONS.items():
        parts += [f"### {title}", ""]
        for text, expr, rule in operations:
            required, nullable = expr.to_pure(types=_TYPES), expr.to_pure(types=_NULLABLE)
            forms = [("SQL", expr.to_sql()), ("Pure", required)]
            if nullable != required:
                forms.append(("nullable", nullable))
            if all(name.isidentifier() for name in expr.fields()):
                forms.append(("Deephaven", expr.to_deephaven()))
            parts += [f"**{_code(text)}** {rule}".rstrip(), "", "| target | text |", "|---|---|"]
            parts += [f"| {target} | {_code(form)} |" for target, form in forms]
            parts.append("")
    return "\n".join(parts)


def with_operations(page: str) -> str:
    """Return a page with what stands between its two marks replaced by the operations as they are now."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{operations_markdown()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_operations(path.read_text(encoding="utf-8")), encoding="utf-8")
