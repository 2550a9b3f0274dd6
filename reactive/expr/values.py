"""Values as expressions take them, from rows, objects and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from reactive.errors import UnknownFieldError

__all__ = ["PLAIN", "alike", "coerce", "is_missing", "is_nan", "plain", "row_of", "same_value"]

PLAIN = frozenset({int, float, bool, str, type(None)})
"""Types of which `plain` changes nothing, among others."""


def row_of(context: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return the named fields of a mapping or of an object's attributes, or what its class has an expression for.

    Raises:
        UnknownFieldError: The object has no such attribute, and its class no such expression.
    """
    if isinstance(context, Mapping):
        return {name: plain(context[name]) if name in context else None for name in names}
    row = {}
    for name in names:
        try:
            value = getattr(context, name)
        except AttributeError:
            value = _named_value(context, name)
        if callable(value) or name.startswith("__"):
            # Of an object, an expression sees the data; it may come from anywhere, and be about anything.
            raise UnknownFieldError(name, type(context).__name__, _attributes(context))
        row[name] = plain(value)
    return row


def _named_value(context: Any, name: str) -> Any:
    from reactive.expr.named import named_expression, named_expressions

    known = named_expressions(type(context))
    if name not in known:
        raise UnknownFieldError(name, type(context).__name__, [*_attributes(context), *known])
    return named_expression(type(context), name).eval(context)


def _attributes(context: Any) -> list[str]:
    methods = {name for name in dir(type(context)) if callable(getattr(type(context), name, None))} | {"expressions"}
    return [name for name in dir(context) if not name.startswith("_") and name not in methods]


def is_missing(value: Any) -> bool:
    """Say whether a value is what pandas has for a missing one, with which every comparison is an error or false."""
    return type(value).__name__ in ("NAType", "NaTType")


def plain(value: Any) -> Any:
    """Return an Enum's member as its value, a UUID as its text, a NumPy scalar as a number, pandas' NA as None."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, UUID):
        return str(value)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return value.item()
    return None if is_missing(value) else value


def is_nan(value: Any) -> bool:
    """Say whether a value is a NaN, a Decimal's included, of which even `!=` may raise an error."""
    return value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and math.isnan(value)


def coerce(value: Any, kind: str) -> Any:
    """Return a date, a datetime or an exact number, read from the text or number that JSON has for it.

    Raises:
        TypeError: It is none.
    """
    if isinstance(value, str):
        if kind == "datetime":
            # Python 3.10 reads the offset only as +00:00.
            value = datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
        elif kind == "date":
            return date.fromisoformat(value)
        else:
            return Decimal(value)
    if kind == "datetime":
        if isinstance(value, datetime):
            if value.utcoffset() is None:
                raise TypeError(f"{value!r} has no time zone")
            return value
    elif kind == "date":
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
    elif isinstance(value, float) and value == value:
        return Decimal(repr(value))
    elif isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return value
    raise TypeError(f"{value!r} is not a {kind}")


def alike(one: Any, other: Any) -> bool:
    """Say whether two values of any kinds are equal, as they would be in JSON: True is not 1.

    Example:
        >>> alike(1, 1.0), alike(True, 1), alike(Decimal("0.1"), 0.1)
        (True, False, True)

    Raises:
        TypeError: One of them is missing.
    """
    one, other = plain(one), plain(other)
    if one is None or other is None:
        raise TypeError("a missing value is neither equal nor unequal to another")
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    if isinstance(one, Decimal) and isinstance(other, float):
        other = Decimal(repr(other))
    elif isinstance(one, float) and isinstance(other, Decimal):
        one = Decimal(repr(one))
    return bool(one == other)


def same_value(one: Any, other: Any) -> bool:
    """Say whether a value is unchanged: of the same type and equal; a NaN equals itself.

    Example:
        >>> same_value(1, 1.0), same_value(float("nan"), float("nan"))
        (False, True)
    """
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    try:
        return bool(one == other or (one != one and other != other))
    except Exception:
        # What cannot be compared, such as an array, counts as changed.
        return False
