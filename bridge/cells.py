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

None is null everywhere. A cell is made only of what fits: a value that Java does not take would cost all rows of its
batch, and whoever can log in may have stored it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any, TypeAlias

from bridge.errors import BridgeError, CellRefused
from store.scalars import SCALARS, ValueRefused, numpy_item

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
_INSTANT_LIMIT = 9_223_372_036 * 1_000_000_000
_DECIMAL_DIGITS = 131_072
_WIDEN = 'give the column dh_type_override="BigInteger"'
_WIDEN_LIST = 'give the column dh_type_override="string"'


def instant_cell(value: datetime | None) -> int | None:
    """Return nanoseconds since 1970 of a datetime with a time zone.

    Raises:
        CellRefused: It lies outside 1677-09-22 to 2262-04-11, all that an Instant column holds, or has no time zone.

    Example:
        >>> instant_cell(datetime(1970, 1, 2, tzinfo=timezone.utc))
        86400000000000
    """
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise CellRefused(value, "Instant", "it takes a datetime with a time zone")
    since = value - _EPOCH
    nanoseconds = (since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds) * 1000
    # Of 64 bits, Deephaven leaves the last second at either end.
    if -_INSTANT_LIMIT < nanoseconds < _INSTANT_LIMIT:
        return nanoseconds
    raise CellRefused(value.isoformat(), "Instant", "it reaches from 1677-09-22 to 2262-04-11")


def _day_cell(value: date | None) -> int | None:
    if value is None:
        return None
    if not isinstance(value, date):
        raise CellRefused(value, "LocalDate", "it takes a date")
    return value.toordinal() - _EPOCH_DAY


def _time_cell(value: time | None) -> int | None:
    if value is None:
        return None
    if not isinstance(value, time):
        raise CellRefused(value, "LocalTime", "it takes a time")
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000_000 + value.microsecond * 1000


def _truth(value: Any) -> bool | None:
    if value is None or value is True or value is False:
        return value
    item = numpy_item(value)
    if isinstance(item, bool):
        return item
    raise CellRefused(value, "bool")


def _plain_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise CellRefused(value, "string")


def _whole(value: Any, dh_type: str) -> int:
    """Return a whole number as an int; JSON may have it as 5.0."""
    item = numpy_item(value)
    if isinstance(item, (int, float)) and not isinstance(item, bool) and item == item // 1:
        return int(item)
    raise CellRefused(value, dh_type)


def _bounded_integer(dh_type: str, hint: str = _WIDEN) -> CellMaker:
    # The lowest value of each Java integer type is Deephaven's null.
    limit = 2 ** (_INTEGER_BITS[dh_type] - 1)

    def convert(value: Any) -> int | None:
        if value is None:
            return None
        number = value if type(value) is int else _whole(value, dh_type)
        if -limit < number < limit:
            return number
        raise CellRefused(value, dh_type, hint)

    return convert


def _real(dh_type: str) -> CellMaker:
    limit = _FLOAT_LIMIT if dh_type == "float" else _DOUBLE_LIMIT

    def convert(value: Any) -> float | None:
        if value is None:
            return None
        try:
            number = value if type(value) is float else float(value)
        except OverflowError:
            number = float("inf")
        # The lowest number of each Java float type is Deephaven's null.
        if -limit < number <= limit and not isinstance(value, bool):
            return number
        raise CellRefused(value, dh_type)

    return convert


def _text(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    return json.dumps(value, ensure_ascii=False)


def _integer_text(value: Any) -> str | None:
    return None if value is None else str(_whole(value, "BigInteger"))


def _decimal_text(value: Any) -> str | None:
    """Return the text of a number that the store takes: a short one such as 1E+999999999 would fill Java's memory."""
    if value is None:
        return None
    item = numpy_item(value)
    try:
        number = item if isinstance(item, Decimal) else SCALARS[Decimal].decode(item)
    except ValueRefused as error:
        raise CellRefused(value, "BigDecimal") from error
    if not number:
        return "0"
    if number.is_finite():
        before = number.adjusted() + 1
        if before <= _DECIMAL_DIGITS and len(number.as_tuple().digits) - before <= _DECIMAL_DIGITS:
            return str(number)
    raise CellRefused(value, "BigDecimal", "it holds numbers of 131,072 digits before the point and as many after it")


def _optional(convert: CellMaker) -> CellMaker:
    return lambda value: None if value is None else convert(value)


def _each(convert: CellMaker, dh_type: str) -> CellMaker:
    def convert_all(values: Any) -> list[Cell] | None:
        if values is None:
            return None
        if isinstance(values, (str, bytes, dict)):
            raise CellRefused(values, dh_type)
        return [convert(value) for value in values]

    return convert_all


_ARRAYS = {
    "bool[]": _each(_truth, "bool[]"),
    "long[]": _each(_bounded_integer("long", _WIDEN_LIST), "long[]"),
    "double[]": _each(_real("double"), "double[]"),
    "string[]": _each(_plain_text, "string[]"),
}
_NUMBERS: dict[str, CellMaker] = {
    **{name: _bounded_integer(name) for name in _INTEGER_BITS},
    **{name: _real(name) for name in ("float", "double")},
    "BigInteger": _integer_text,
    "BigDecimal": _decimal_text,
}

# By the natural type of a field, then by the type of its column: how the stored JSON value becomes a cell.
_FROM_JSON: dict[str, dict[str, CellMaker]] = {
    "string": {"string": _text},
    "bool": {"bool": _truth},
    "long": _NUMBERS,
    "double": {name: _NUMBERS[name] for name in ("float", "double", "BigDecimal")},
    "BigDecimal": {name: _NUMBERS[name] for name in ("float", "double", "BigDecimal")},
    "Instant": {"Instant": _optional(lambda text: instant_cell(SCALARS[datetime].decode(text)))},
    "LocalDate": {"LocalDate": _optional(lambda text: _day_cell(date.fromisoformat(text)))},
    "LocalTime": {"LocalTime": _optional(lambda text: _time_cell(time.fromisoformat(text)))},
    **{natural: {natural: convert} for natural, convert in _ARRAYS.items()},
}
_FROM_JSON["long[]"]["double[]"] = _ARRAYS["double[]"]

_FROM_PYTHON: dict[str, CellMaker] = {
    "string": _plain_text,
    "bool": _truth,
    **_NUMBERS,
    "Instant": instant_cell,
    "LocalDate": _day_cell,
    "LocalTime": _time_cell,
    **_ARRAYS,
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

    Raises:
        BridgeError: There is no such type.

    Example:
        >>> python_cell("LocalDate")(date(1970, 1, 11))
        10
    """
    if dh_type not in _FROM_PYTHON:
        raise BridgeError(f"{dh_type!r} is no column type; use one of {', '.join(_FROM_PYTHON)}")
    return _FROM_PYTHON[dh_type]
