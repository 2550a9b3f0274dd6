"""Constraints of a column, checked on the encoded value.

They are checked on the JSON form, which is what the database sees, so that a rule can be given to PostgreSQL with the
same meaning: bounds compare numbers as numbers and dates as their ISO text, lengths count code points, patterns are of
the portable subset of `store.patterns`, named checks have one published definition.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from store.patterns import PortablePattern

__all__ = ["CHECKS", "Broken", "Check", "NamedCheck", "compile_check", "is_isin"]


class Broken(NamedTuple):
    """A broken constraint: the rule's name, what it expects, what to do.

    Attributes:
        rule: `enum`, `min_value`, `max_value`, `max_length`, `pattern` or `check`.
        expected: The expectation in words.
    """

    rule: str
    expected: str


Check = Callable[[Any], "Broken | None"]


class NamedCheck(NamedTuple):
    """A check that cannot be said with bounds and patterns; columns refer to it by name, as the database does.

    Attributes:
        description: What it requires, in words.
        holds: Whether an encoded, non-null value satisfies it.
    """

    description: str
    holds: Callable[[Any], bool]


_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
_DIGITS = {character: str(int(character, 36)) for character in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_VALUES = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED = bytes.maketrans(b"0123456789", bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))  # digit sum of twice the digit


def is_isin(text: str) -> bool:
    """Return whether a text is an ISIN with a right check digit (ISO 6166).

    Letters count as 10 to 35, then the digits are summed by the Luhn algorithm (ISO/IEC 7812-1, annex B).

    Example:
        >>> is_isin("US0378331005")
        True
    """
    if _ISIN.fullmatch(text) is None:
        return False
    digits = "".join(map(_DIGITS.__getitem__, text)).encode()
    return (sum(digits[::-2].translate(_VALUES)) + sum(digits[-2::-2].translate(_DOUBLED))) % 10 == 0


CHECKS: dict[str, NamedCheck] = {
    "isin": NamedCheck("a 12-character ISIN with a right check digit (ISO 6166)", is_isin),
}


def compile_check(
    *,
    enum: tuple[Any, ...] | None,
    min_value: Any,
    max_value: Any,
    max_length: int | None,
    pattern: str | None,
    check: str | None,
    exact: bool,
) -> Check | None:
    """Compile the constraints of one column to a function of the encoded, non-null value.

    Args:
        enum: The encoded values that are allowed, None for any.
        min_value: The encoded lower bound, inclusive, or None.
        max_value: The encoded upper bound, inclusive, or None.
        max_length: The longest text, in code points, or None.
        pattern: A pattern of the portable subset, or None.
        check: A name of CHECKS, or None.
        exact: The encoded values are decimal strings, to be compared as numbers.

    Returns:
        The first broken constraint's finder, or None when the column has no constraints.
    """
    rules: list[Check] = []
    if enum is not None:
        rules.append(_enum_rule(enum))
    if min_value is not None or max_value is not None:
        rules.append(_bounds_rule(min_value, max_value, exact))
    if max_length is not None:
        rules.append(_length_rule(max_length))
    if pattern is not None:
        rules.append(_pattern_rule(pattern))
    if check is not None:
        rules.append(_named_rule(check))
    if len(rules) < 2:
        return rules[0] if rules else None

    def first_broken(value: Any) -> Broken | None:
        for rule in rules:
            broken = rule(value)
            if broken is not None:
                return broken
        return None

    return first_broken


def _enum_rule(allowed: tuple[Any, ...]) -> Check:
    broken = Broken("enum", f"one of {list(allowed)}")
    known = frozenset(allowed)
    return lambda value: None if value in known else broken


def _bounds_rule(low: Any, high: Any, exact: bool) -> Check:
    below, above = Broken("min_value", f"at least {low}"), Broken("max_value", f"at most {high}")
    read = Decimal if exact else None
    if read is not None:
        low, high = (None if bound is None else read(bound) for bound in (low, high))

    def rule(value: Any) -> Broken | None:
        number = value if read is None else read(value)
        if low is not None and number < low:
            return below
        return above if high is not None and number > high else None

    return rule


def _length_rule(longest: int) -> Check:
    broken = Broken("max_length", f"at most {longest} characters")
    return lambda value: None if len(value) <= longest else broken


def _pattern_rule(source: str) -> Check:
    broken = Broken("pattern", f"text that matches {source}")
    search = PortablePattern(source).search
    return lambda value: broken if search(value) is None else None


def _named_rule(name: str) -> Check:
    broken = Broken("check", CHECKS[name].description)
    holds = CHECKS[name].holds
    return lambda value: None if holds(value) else broken
