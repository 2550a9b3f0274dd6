"""Cells: the form in which values wait for Deephaven, and how a stored JSON value becomes one.

A cell is what is cheapest to turn into a Java array later, and needs no JVM to make:

| column type | cell |
|---|---|
| string | str |
| bool | bool |
| byte, short, int, long | int |
| float, double | float |
| BigInteger, BigDecimal | their text |
| Instant | nanoseconds since 1970 in UTC |
| LocalDate | days since 1970 |
| LocalTime | nanoseconds since midnight |
| bool[], long[], double[], string[] | list of cells |

None is null everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, time, timezone
from typing import Any, TypeAlias

from bridge.errors import CellRefused

__all__ = ["ARRAY_TYPES", "JAVA_NAMES", "Cell", "cell_from_json", "instant_cell", "python_cell"]

Cell: TypeAlias = Any
CellMaker: TypeAlias = Callable[[Any], Cell]

ARRAY_TYPES = {"bool": "bool[]", "long": "long[]", "double": "double[]", "string": "string[]"}
JAVA_NAMES = {
    "string": "java.lang.String",
    "bool": "java.lang.Boolean",
    **{name: name for name in ("byte", "short", "int", "long", "float", "double")},
    **{name: f"java.math.{name}" for name in ("BigInteger", "BigDecimal")},
    **{name: f"java.time.{name}" for name in ("Instant", "LocalDate", "LocalTime")},
    "bool[]": "[Ljava.lang.Boolean;",
    "long[]": "[J",
    "double[]": "[D",
    "string[]": "[Ljava.lang.String;",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_EPOCH_DAY = _EPOCH.toordinal()
_INTEGER_BITS = {"byte": 8, "short": 16, "int": 32, "long": 64}
_FLOAT_LIMIT = 3.4028234663852886e38
_DOUBLE_LIMIT = 1.7976931348623157e308
_WIDEN = 'give the column dh_type_override="BigInteger"'


def instant_cell(value: datetime | None) -> int | None:
    """Return nanoseconds since 1970 of a datetime with a time zone.

    Raises:
        CellRefused: It lies outside 1677-09-22 to 2262-04-11, all that an Instant column holds.

    Example:
        >>> instant_cell(datetime(1970, 1, 2, tzinfo=timezone.utc))
        86400000000000
    """
    if value is None:
        return None
    since = value - _EPOCH
    nanoseconds = (since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds) * 1000
    if -(2**63) < nanoseconds < 2**63:
        return nanoseconds
    raise CellRefused(value.isoformat(), "Instant", "it reaches from 1677-09-22 to 2262-04-11")


def _day_cell(value: date | None) -> int | None:
    return None if value is None else value.toordinal() - _EPOCH_DAY


def _time_cell(value: time | None) -> int | None:
    if value is None:
        return None
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000_000 + value.microsecond * 1000


def _same(value: Any) -> Cell:
    return value


def _bounded_integer(dh_type: str) -> CellMaker:
    # The lowest value of each Java integer type is Deephaven's null.
    limit = 2 ** (_INTEGER_BITS[dh_type] - 1)

    def convert(value: int | None) -> int | None:
        if value is None or -limit < value < limit:
            return value
        raise CellRefused(value, dh_type, _WIDEN)

    return convert


def _real(dh_type: str) -> CellMaker:
    limit = _FLOAT_LIMIT if dh_type == "float" else _DOUBLE_LIMIT

    def convert(value: Any) -> float | None:
        if value is None:
            return None
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        # The lowest number of each Java float type is Deephaven's null.
        if -limit < number <= limit:
            return number
        raise CellRefused(value, dh_type)

    return convert


def _text(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    return json.dumps(value, ensure_ascii=False)


def _number_text(value: Any) -> str | None:
    return None if value is None else str(value)


def _optional(convert: CellMaker) -> CellMaker:
    return lambda value: None if value is None else convert(value)


def _each(convert: CellMaker) -> CellMaker:
    return lambda values: None if values is None else [convert(value) for value in values]


_LONG, _DOUBLE = _bounded_integer("long"), _real("double")

# By the natural type of a field, then by the type of its column: how the stored JSON value becomes a cell.
_FROM_JSON: dict[str, dict[str, CellMaker]] = {
    "string": {"string": _same},
    "bool": {"bool": _same},
    "long": {
        **{name: _bounded_integer(name) for name in _INTEGER_BITS},
        **{name: _real(name) for name in ("float", "double")},
        **dict.fromkeys(("BigInteger", "BigDecimal"), _number_text),
    },
    "double": {"float": _real("float"), "double": _DOUBLE, "BigDecimal": _number_text},
    "BigDecimal": {"float": _real("float"), "double": _DOUBLE, "BigDecimal": _number_text},
    "Instant": {"Instant": _optional(lambda text: instant_cell(datetime.fromisoformat(text)))},
    "LocalDate": {"LocalDate": _optional(lambda text: _day_cell(date.fromisoformat(text)))},
    "LocalTime": {"LocalTime": _optional(lambda text: _time_cell(time.fromisoformat(text)))},
    "bool[]": {"bool[]": _same},
    "long[]": {"long[]": _each(_LONG), "double[]": _each(_DOUBLE)},
    "double[]": {"double[]": _each(_DOUBLE)},
    "string[]": {"string[]": _same},
}

_FROM_PYTHON: dict[str, CellMaker] = {
    **dict.fromkeys(("string", "bool", "bool[]", "string[]"), _same),
    **{name: _bounded_integer(name) for name in _INTEGER_BITS},
    **{name: _real(name) for name in ("float", "double")},
    **dict.fromkeys(("BigInteger", "BigDecimal"), _number_text),
    "Instant": instant_cell,
    "LocalDate": _day_cell,
    "LocalTime": _time_cell,
    "long[]": _each(_LONG),
    "double[]": _each(_DOUBLE),
}


def cell_from_json(natural: str, dh_type: str) -> CellMaker | None:
    """Return what makes a cell of a stored JSON value, None when a column cannot be of that type.

    Args:
        natural: The column type that the field's declared type calls for.
        dh_type: The type of the column: `natural`, `string`, or one that holds the same values.

    Example:
        >>> cell_from_json("BigDecimal", "double")("1.25")
        1.25
    """
    if dh_type == "string":
        return _text
    return _FROM_JSON[natural].get(dh_type)


def python_cell(dh_type: str) -> CellMaker:
    """Return what makes a cell of the Python value that one would write: an int, a datetime, a Decimal, a list.

    Example:
        >>> python_cell("LocalDate")(date(1970, 1, 11))
        10
    """
    return _FROM_PYTHON[dh_type]
