"""Scalar values and their JSON form: one strict encoder and one decoder for each type.

The table of forms stands in `store.values`, which builds lists, dictionaries and records of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timezone
from decimal import Decimal
from math import isfinite
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

from store.errors import shown

__all__ = ["SCALARS", "Codec", "ValueRefused", "numpy_item", "refuse", "require_text"]

_INT_LIMIT = 10**4300  # what Python itself agrees to read back from text


class ValueRefused(Exception):
    """A value that does not fit its declared type; the record that holds it adds class and field.

    Attributes:
        expected: What would have been accepted.
        value: What was found.
        hint: What to write instead, may be empty.
        path: Where inside the field, such as `[2].price`.
    """

    def __init__(self, expected: str, value: object, hint: str = "") -> None:
        """Keep the facts."""
        super().__init__(expected, value, hint)
        self.expected = expected
        self.value = value
        self.hint = hint
        self.path = ""

    def within(self, step: str) -> ValueRefused:
        """Prefix the path with one step and return the error itself."""
        if len(self.path) < 200:  # enough to find it; a deep structure must not make an endless message
            self.path = step + self.path
        return self

    def __str__(self) -> str:
        """Return the sentence: expected, found, what to do."""
        text = f"expected {self.expected}, found {shown(self.value)}"
        return f"{text}; {self.hint}" if self.hint else text


class Codec(NamedTuple):
    """How values of one declared type become JSON and come back.

    Attributes:
        encode: Python value to JSON value; raises ValueRefused.
        decode: JSON value to Python value, sharing no mutable part with it; raises ValueRefused.
        schema: The JSON Schema of the encoded form.
    """

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    schema: Mapping[str, Any]


def refuse(expected: str, value: Any, hint: str = "") -> NoReturn:
    """Raise ValueRefused; for NaN, NaT and NA the hint is to use None."""
    if not hint and _is_missing_marker(value):
        hint = "use None for a missing value"
    raise ValueRefused(expected, value, hint)


def _is_missing_marker(value: Any) -> bool:
    kind = type(value)
    return kind.__name__ in ("NaTType", "NAType") or (isinstance(value, (float, Decimal)) and value != value)


def numpy_item(value: Any) -> Any:
    """Return the builtin that a NumPy scalar stands for, any other value unchanged; NumPy is never imported."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def require_text(value: str) -> str:
    """Return a string as a plain `str` that PostgreSQL can hold.

    Raises:
        ValueRefused: It contains a NUL character or a lone surrogate.
    """
    if "\x00" in value:
        raise ValueRefused("text without NUL characters", value, 'write value.replace("\\x00", "")')
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueRefused(
                "valid Unicode text", value, "it holds a lone surrogate; decode the original bytes as UTF-8"
            ) from None
    return value if type(value) is str else str.__str__(value)


def _encode_str(value: Any) -> str:
    if isinstance(value, str):
        return require_text(value)
    refuse("str", value)


def _decode_str(value: Any) -> str:
    if type(value) is str:
        return value
    refuse("a JSON string", value)


def _encode_bool(value: Any) -> bool:
    if value is True or value is False:
        return value
    item = numpy_item(value)
    if type(item) is bool:
        return item
    refuse("bool", value)


def _decode_bool(value: Any) -> bool:
    if value is True or value is False:
        return value
    refuse("a JSON boolean", value)


def _encode_int(value: Any) -> int:
    if type(value) is not int:
        item = numpy_item(value)
        if not isinstance(item, int) or isinstance(item, bool):
            whole = isinstance(item, float) and isfinite(item) and item.is_integer()
            refuse("int", value, f"write {int(item)}" if whole else "")
        value = int(item)
    if -_INT_LIMIT < value < _INT_LIMIT:
        return value  # type: ignore[no-any-return]
    raise ValueRefused("an int of at most 4,300 digits", value)


def _decode_int(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    refuse("a whole JSON number", value)


def _encode_float(value: Any) -> float:
    if type(value) is float:
        number = value
    else:
        item = numpy_item(value)
        if not isinstance(item, (float, int)) or isinstance(item, bool):
            refuse("float", value)
        try:
            number = float(item)
        except OverflowError:
            number = float("inf")
        if number != item and item == item:
            refuse("float", value, "no float is exactly this int; write float(...) to round it")
    if isfinite(number):
        return number + 0.0  # PostgreSQL knows no -0.0
    raise ValueRefused("a finite float", value, "use None for a missing value")


def _decode_float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            pass
    refuse("a JSON number within the range of a float", value)


def _encode_decimal(value: Any) -> str:
    item = value if isinstance(value, Decimal) else numpy_item(value)
    if type(item) is int:
        value = Decimal(item)
    elif not isinstance(value, Decimal):
        refuse("Decimal", value, f'write Decimal("{item!r}")' if type(item) is float and isfinite(item) else "")
    if not value.is_finite():
        raise ValueRefused("a finite Decimal", value, "use None for a missing value")
    if not value:
        return "0"
    # The bounds of PostgreSQL's numeric; without them a short literal such as 1E+999999999 would fill the memory.
    if -16383 <= value.adjusted() < 131072:
        whole, _, fraction = format(value, "f").partition(".")
        fraction = fraction.rstrip("0")
        if len(fraction) <= 16383:
            return f"{whole}.{fraction}" if fraction else whole
    raise ValueRefused("a Decimal of at most 131,072 digits before and 16,383 after the point", value)


def _decode_decimal(value: Any) -> Decimal:
    if type(value) is str or type(value) is int:
        try:
            found = Decimal(value)
        except ArithmeticError:
            refuse("a decimal number", value)
        if found.is_finite():
            return found
    elif type(value) is float and isfinite(value):
        return Decimal(repr(value))
    refuse("a decimal number", value)


def _encode_datetime(value: Any) -> str:
    if not isinstance(value, datetime) or _is_missing_marker(value):
        is_date = isinstance(value, date) and not isinstance(value, datetime)
        refuse("datetime", value, "write a datetime with tzinfo" if is_date else "")
    zone = value.tzinfo
    if zone is not timezone.utc:
        if zone is None or value.utcoffset() is None:
            _refuse_naive(value)
        try:
            value = value.astimezone(timezone.utc)
        except OverflowError:
            raise ValueRefused("a datetime between the years 1 and 9999 in UTC", value) from None
    if type(value) is not datetime and getattr(value, "nanosecond", False):
        raise ValueRefused("a datetime of microsecond precision", value, 'write value.floor("us")')
    return datetime.isoformat(value, timespec="microseconds")


def _refuse_naive(value: datetime) -> NoReturn:
    call = repr(value.replace(tzinfo=timezone.utc)) if type(value) is datetime else 'value.tz_localize("UTC")'
    raise ValueRefused("a datetime with a time zone", value, f"write {call}")


def _decode_datetime(value: Any) -> datetime:
    if type(value) is str:
        try:
            # Python 3.10 reads the offset only as +00:00.
            found = datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
        except ValueError:
            refuse("an ISO 8601 date and time", value)
        if found.tzinfo is not None:
            return found
    refuse("an ISO 8601 date and time with an offset", value)


def _encode_date(value: Any) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    refuse("date", value, "write value.date()" if isinstance(value, datetime) and value == value else "")


def _encode_time(value: Any) -> str:
    if isinstance(value, time):
        return value.isoformat(timespec="microseconds")
    refuse("time", value, "write value.time()" if isinstance(value, datetime) else "")


def _encode_uuid(value: Any) -> str:
    if isinstance(value, UUID):
        return str(value)
    refuse("UUID", value, f'write UUID("{value}")' if isinstance(value, str) and len(value) < 50 else "")


def _parser(parse: Callable[[str], Any], expected: str) -> Callable[[Any], Any]:
    def decode(value: Any) -> Any:
        if type(value) is str:
            try:
                return parse(value)
            except ValueError:
                pass
        refuse(expected, value)

    return decode


SCALARS: dict[Any, Codec] = {
    str: Codec(_encode_str, _decode_str, {"type": "string"}),
    bool: Codec(_encode_bool, _decode_bool, {"type": "boolean"}),
    int: Codec(_encode_int, _decode_int, {"type": "integer"}),
    float: Codec(_encode_float, _decode_float, {"type": "number"}),
    Decimal: Codec(_encode_decimal, _decode_decimal, {"type": "string", "format": "decimal"}),
    datetime: Codec(_encode_datetime, _decode_datetime, {"type": "string", "format": "date-time"}),
    date: Codec(_encode_date, _parser(date.fromisoformat, "an ISO 8601 date"), {"type": "string", "format": "date"}),
    time: Codec(_encode_time, _parser(time.fromisoformat, "an ISO 8601 time"), {"type": "string", "format": "time"}),
    UUID: Codec(_encode_uuid, _parser(UUID, "a UUID"), {"type": "string", "format": "uuid"}),
}
