"""The kinds of values that expressions know, and which kind each node has.

Numbers are IEEE doubles, except where a field is declared `int` or `Decimal`: then comparisons of it are exact. A field
of which nothing tells the kind takes the one that its place asks for.
"""

from __future__ import annotations

import types
import typing
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import NamedTuple, Union
from uuid import UUID

__all__ = [
    "EXACT",
    "EXACT_BELOW",
    "EXP_LIMIT",
    "NUMERIC",
    "ORDERED",
    "Declared",
    "common_kind",
    "declared",
    "kind_of_value",
]

NUMERIC = frozenset({"int", "float", "decimal"})
EXACT = frozenset({"int", "decimal"})
ORDERED = NUMERIC | {"str", "date", "datetime"}
# Up to here every whole number is a double; whichever number is compared with a smaller one, rounding it to a double
# first does not change the outcome.
EXACT_BELOW = 2**53
# The natural logarithm of the largest double: exp of anything greater overflows.
EXP_LIMIT = 709.782712893384

_KINDS: dict[object, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    Decimal: "decimal",
    str: "str",
    date: "date",
    datetime: "datetime",
    UUID: "str",
}
_NAMES = frozenset(_KINDS.values()) | {"json"}


class Declared(NamedTuple):
    """What is known of a field.

    Attributes:
        kind: One of int, float, decimal, bool, str, date, datetime; "json" for lists, dictionaries and records; None
            when unknown.
        nullable: Whether it may be None; None when unknown.
    """

    kind: str | None
    nullable: bool | None = None


def declared(annotation: object) -> Declared:
    """Return what an annotation, such as `float | None`, or the name of a kind tells about a field.

    Raises:
        TypeError: It is no annotation, or the text is not the name of a kind.

    Example:
        >>> declared(float | None)
        Declared(kind='float', nullable=True)
    """
    if annotation is None or annotation is typing.Any or annotation is object:
        return Declared(None)
    if isinstance(annotation, Declared):
        return annotation
    if isinstance(annotation, str):
        if annotation not in _NAMES:
            raise TypeError(f"{annotation!r} is not a kind of value: use one of {', '.join(sorted(_NAMES))}")
        return Declared(annotation)
    if isinstance(annotation, typing.NewType):
        return declared(annotation.__supertype__)
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return declared(typing.get_args(annotation)[0])
    if origin is Union or origin is types.UnionType:
        arguments = typing.get_args(annotation)
        rest = [each for each in arguments if each is not type(None)]
        kinds = {declared(each).kind for each in rest}
        return Declared(kinds.pop() if len(kinds) == 1 else "json", len(rest) < len(arguments))
    return Declared(_kind_of_class(annotation), False)


def _kind_of_class(annotation: object) -> str:
    if origin := typing.get_origin(annotation):
        if origin is typing.Literal:
            kinds = {kind_of_value(each) for each in typing.get_args(annotation)}
            return (kinds.pop() or "json") if len(kinds) == 1 else "json"
        return "json"
    if isinstance(annotation, type):
        if issubclass(annotation, Enum):
            kinds = {kind_of_value(member.value) for member in annotation}
            return (kinds.pop() or "json") if len(kinds) == 1 else "json"
        for base in annotation.__mro__:
            if base in _KINDS:
                return _KINDS[base]
    elif isinstance(annotation, (int, float, bytes, list, tuple, dict, set)):
        raise TypeError(f"{annotation!r} is not a type: use an annotation such as float | None, or the name of a kind")
    return "json"


def kind_of_value(value: object) -> str | None:
    """Return the kind of a Python value, None for None and for what has no kind."""
    return _KINDS.get(type(value))


def common_kind(kinds: typing.Iterable[str | None]) -> str | None:
    """Return the kind of a value that is one of several, None when none of them is known.

    Raises:
        TypeError: They do not go together; the message names two of them.

    Example:
        >>> common_kind(["int", None, "float"])
        'float'
    """
    result: str | None = None
    for kind in kinds:
        if kind is None or kind == result:
            continue
        if result is None:
            result = kind
        elif result in NUMERIC and kind in NUMERIC:
            result = "float" if "float" in (result, kind) else "decimal"
        else:
            raise TypeError(f"{result} and {kind}")
    return result
