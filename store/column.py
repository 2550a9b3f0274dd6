"""One entry of the column catalog."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field, fields
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any, Literal, get_args, get_origin

from store.annotations import resolve, split_optional, type_label
from store.constraints import CHECKS, Broken, Check, compile_check
from store.errors import RegistryError, Violation, nearest_names, shown
from store.patterns import PortablePattern
from store.values import Codec, UnsupportedType, ValueRefused, codec

__all__ = ["AGGREGATIONS", "ROLES", "SENSITIVITIES", "ColumnDef", "enum_values"]

ROLES = ("dimension", "measure", "attribute")
AGGREGATIONS = ("sum", "avg", "weighted_avg", "min", "max", "first", "last", "count", "distinct", "none")
SENSITIVITIES = ("public", "internal", "confidential", "restricted")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_BOUNDED = (int, float, Decimal, datetime, date, time)
_FORMATTED = (int, float, Decimal, str)
_LONGEST_TEXT = 2**31 - 1  # what the database counts to
_SEQUENCES = ("enum", "synonyms", "sample_values", "tags", "allowed_prefixes")


@dataclass(frozen=True, repr=False)
class ColumnDef:
    """A column: its type, its constraints, and what people, tools and the other layers should know about it.

    Attributes:
        name: Field name, lower-case snake_case.
        python_type: The type that a field of this name must declare.
        nullable: Whether a field may be declared `Optional`.
        default: A default that forms and tools may propose; the class's own default is what counts.
        enum: The allowed values.
        min_value: Lower bound, inclusive.
        max_value: Upper bound, inclusive.
        max_length: Longest text, in code points.
        pattern: Regular expression of the portable subset (`store.patterns`).
        check: A named check of `store.constraints.CHECKS`, such as `isin`.
        description: What the column means, one sentence.
        synonyms: Other names by which people ask for it.
        sample_values: Values as they occur; they satisfy the constraints.
        semantic_type: What kind of thing it is, such as `identifier` or `currency_amount`.
        role: `dimension`, `measure` or `attribute`.
        aggregation: How a measure is summed up over rows, one of AGGREGATIONS.
        unit: Unit of a measure, such as `USD` or `shares`.
        display_name: Heading; from the name by default.
        format: Format specification for `format(value, ...)`, such as `,.2f`.
        category: Heading under which the catalog lists it.
        sensitivity: One of SENSITIVITIES.
        deprecated: True, or what to use instead.
        tags: Free labels.
        legend_type: Type in Legend Pure when it is not the one of python_type.
        dh_type_override: Deephaven type when it is not the one of python_type.
        allowed_prefixes: Prefixes under which the column may also be used: `trader` allows `trader_name`.
    """

    name: str
    python_type: Any
    nullable: bool = False
    default: Any = None
    enum: tuple[Any, ...] | None = None
    min_value: Any = None
    max_value: Any = None
    max_length: int | None = None
    pattern: str | None = None
    check: str | None = None
    description: str = ""
    synonyms: tuple[str, ...] = ()
    sample_values: tuple[Any, ...] = ()
    semantic_type: str | None = None
    role: str = ""
    aggregation: str | None = None
    unit: str | None = None
    display_name: str = ""
    format: str | None = None
    category: str | None = None
    sensitivity: str = "internal"
    deprecated: bool | str = False
    tags: tuple[str, ...] = ()
    legend_type: str | None = None
    dh_type_override: str | None = None
    allowed_prefixes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Freeze the sequences and check the definition itself."""
        problems = [
            _problem(name, "a list", getattr(self, name))
            for name in _SEQUENCES
            if not _is_list(getattr(self, name)) and not (name == "enum" and self.enum is None)
        ]
        if not problems:
            for name in _SEQUENCES:
                value = getattr(self, name)
                object.__setattr__(self, name, None if value is None else tuple(_enum_members(value)))
            if isinstance(self.name, str) and not self.display_name:
                object.__setattr__(self, "display_name", self.name.replace("_", " ").title())
            problems = _problems(self)
        if problems:
            raise RegistryError.of(f"column {self.name!r}", problems)

    def __repr__(self) -> str:
        """Return the short form that listings show."""
        return f'ColumnDef("{self.name}")'

    def __hash__(self) -> int:
        """Hash by name: a default or a sample may be a list."""
        return hash(self.name)

    @cached_property
    def codec(self) -> Codec:
        """How non-null values of the column become JSON."""
        return codec(self.python_type)

    @cached_property
    def broken(self) -> Check | None:
        """The compiled constraints: a function of the encoded value, or None without constraints."""
        encode = self.codec.encode
        return compile_check(
            enum=None if self.enum is None else tuple(encode(value) for value in self.enum),
            min_value=None if self.min_value is None else encode(self.min_value),
            max_value=None if self.max_value is None else encode(self.max_value),
            max_length=self.max_length,
            pattern=self.pattern,
            check=self.check,
            exact=self.python_type is Decimal,
        )

    @property
    def sql_pattern(self) -> str | None:
        """The pattern as PostgreSQL's `~` takes it, None without a pattern."""
        return None if self.pattern is None else PortablePattern(self.pattern).sql

    @property
    def type_name(self) -> str:
        """The type as one writes it."""
        return type_label(self.python_type)

    def accepts(self, annotation: Any) -> bool:
        """Return whether a field with this annotation, `Optional` taken off, holds values of this column.

        An Enum or a Literal stands for the type of its values; a bare list, tuple or dict for any of its kind.
        """
        if _same_type(annotation, self.python_type) or get_origin(annotation) is self.python_type:
            return True
        members = enum_values(annotation)
        return bool(members) and all(type(member) is self.python_type for member in members)

    def differences(self, other: ColumnDef) -> tuple[str, ...]:
        """Return the names of the attributes in which another definition differs."""
        return tuple(
            item.name
            for item in fields(self)
            if not (
                _same_type(getattr(self, item.name), getattr(other, item.name))
                if item.name == "python_type"
                else getattr(self, item.name) == getattr(other, item.name)
            )
        )

    def value_problem(self, value: Any) -> Broken | ValueRefused | None:
        """Return what is wrong with a non-null Python value for this column, None when nothing is."""
        try:
            encoded = self.codec.encode(value)
        except ValueRefused as error:
            return error
        return None if self.broken is None else self.broken(encoded)


def _is_list(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes))


def _enum_members(values: Any) -> list[Any]:
    """Return the values of a sequence; an Enum class stands for its members' values."""
    return [item.value if isinstance(item, Enum) else item for item in values]


def enum_values(annotation: Any) -> tuple[Any, ...]:
    """Return the values that an Enum or a Literal can take, none for any other type."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(member.value for member in annotation)
    return ()


def _same_type(one: Any, other: Any) -> bool:
    """Return whether two types are one; a class that a notebook cell defined twice with the same shape is."""
    if one is other or one == other:
        return True
    if get_origin(one) is not get_origin(other):
        return False
    inner, outer = get_args(one), get_args(other)
    if inner or outer:
        return len(inner) == len(outer) and all(_same_type(a, b) for a, b in zip(inner, outer, strict=True))
    if not (isinstance(one, type) and isinstance(other, type)):
        return False
    if (one.__module__, one.__qualname__) != (other.__module__, other.__qualname__):
        return False
    try:
        return codec(one).schema == codec(other).schema
    except UnsupportedType:
        return False


def _problem(attribute: str, expected: str, value: Any, hint: str = "") -> Violation:
    tail = f"; {hint}" if hint else ""
    message = f"{attribute}: expected {expected}, found {shown(value)}{tail}"
    return Violation(attribute, "definition", expected, value, message)


def _problems(column: ColumnDef) -> list[Violation]:
    """Return everything that is wrong with a definition."""
    found = [*_text_problems(column), *_choice_problems(column)]
    try:
        resolved, nullable = split_optional(resolve(column.python_type, None))
        if nullable:
            found.append(_problem("python_type", "a type without None", column.python_type, "pass nullable=True"))
            return found
        object.__setattr__(column, "python_type", resolved)
        column.codec  # noqa: B018 - compiling it is the check
    except (TypeError, NameError) as error:
        found.append(_problem("python_type", "a storable type", column.python_type, str(error)))
        return found
    constraints = _constraint_problems(column)
    return [*found, *constraints] if constraints else [*found, *_value_problems(column)]


def _text_problems(column: ColumnDef) -> list[Violation]:
    found: list[Violation] = []
    name = column.name
    if not isinstance(name, str) or not _NAME.fullmatch(name) or keyword.iskeyword(name):
        hint = "no Python keyword, at most 63 characters"
        found.append(_problem("name", "a lower-case snake_case name", name, hint))
    if not isinstance(column.description, str) or not column.description.strip():
        found.append(_problem("description", "one sentence that says what the column means", column.description))
    texts = ("semantic_type", "unit", "display_name", "format", "category", "legend_type", "dh_type_override")
    for attribute in texts:
        value = getattr(column, attribute)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            found.append(_problem(attribute, "a text that is not empty", value))
    for attribute in ("synonyms", "tags", "allowed_prefixes"):
        for value in getattr(column, attribute):
            if not isinstance(value, str) or not value.strip():
                found.append(_problem(attribute, "texts that are not empty", value))
            elif attribute == "allowed_prefixes" and not _NAME.fullmatch(value):
                found.append(_problem(attribute, "lower-case snake_case prefixes", value))
    if not isinstance(column.nullable, bool):
        found.append(_problem("nullable", "True or False", column.nullable))
    if not isinstance(column.deprecated, (bool, str)):
        found.append(_problem("deprecated", "True, False or what to use instead", column.deprecated))
    return found


def _choice_problems(column: ColumnDef) -> list[Violation]:
    found: list[Violation] = []
    choices = (("role", ROLES, False), ("aggregation", AGGREGATIONS, True), ("sensitivity", SENSITIVITIES, False))
    for attribute, allowed, optional in choices:
        value = getattr(column, attribute)
        if value not in allowed and not (optional and value is None):
            near = nearest_names(value, allowed) if isinstance(value, str) else ()
            hint = f"did you mean {near[0]!r}?" if near else ""
            found.append(_problem(attribute, f"one of {', '.join(allowed)}", value, hint))
    if column.role == "measure" and column.unit is None:
        found.append(_problem("unit", "a unit, as every measure needs one", None, "such as 'USD' or 'shares'"))
    if column.check is not None and not (isinstance(column.check, str) and column.check in CHECKS):
        found.append(_problem("check", f"one of {', '.join(CHECKS)}", column.check))
    return found


def _constraint_problems(column: ColumnDef) -> list[Violation]:
    """Return the constraints that do not fit the type or each other."""
    found: list[Violation] = []
    kind = column.python_type
    for attribute in ("min_value", "max_value"):
        bound = getattr(column, attribute)
        if bound is None:
            continue
        if kind not in _BOUNDED:
            found.append(_problem(attribute, "no bound on a column of this type", bound))
            continue
        try:
            column.codec.encode(bound)
        except ValueRefused as error:
            found.append(_problem(attribute, error.expected, bound, error.hint))
    for attribute in ("max_length", "pattern", "check"):
        value = getattr(column, attribute)
        if value is not None and kind is not str:
            found.append(_problem(attribute, f"None on a column of type {column.type_name}", value))
    longest = column.max_length
    if longest is not None and (type(longest) is not int or not 1 <= longest <= _LONGEST_TEXT):
        found.append(_problem("max_length", f"a positive int of at most {_LONGEST_TEXT}", longest))
    if column.pattern is not None:
        try:
            if not isinstance(column.pattern, str):
                raise ValueError("write it as text")
            PortablePattern(column.pattern)
        except ValueError as error:
            found.append(_problem("pattern", "a portable regular expression", column.pattern, str(error)))
    if column.enum is not None:
        if not column.enum or kind not in (str, int, float, Decimal):
            found.append(_problem("enum", "values, on a column of str, int, float or Decimal", column.enum))
        for value in column.enum:
            try:
                column.codec.encode(value)
            except ValueRefused as error:
                found.append(_problem("enum", error.expected, value, error.hint))
    if isinstance(column.format, str) and kind in _FORMATTED:
        try:
            format(kind(), column.format)
        except ValueError as error:
            found.append(
                _problem("format", f"a format specification for {column.type_name}", column.format, str(error))
            )
    low, high = column.min_value, column.max_value
    if not found and low is not None and high is not None:
        try:
            crossed = low > high
        except TypeError:  # a time with an offset from UTC and one without
            found.append(_problem("min_value", f"a bound that compares with max_value {high!r}", low))
        else:
            found += [_problem("min_value", f"at most max_value {high!r}", low)] if crossed else []
    return found


def _value_problems(column: ColumnDef) -> list[Violation]:
    """Return the samples, enum values and default that break the column's own constraints."""
    found: list[Violation] = []
    candidates = [("sample_values", value) for value in column.sample_values]
    candidates += [("enum", value) for value in column.enum or ()]
    if column.default is not None:
        candidates.append(("default", column.default))
    for attribute, value in candidates:
        problem = column.value_problem(value)
        if problem is not None:
            hint = problem.hint if isinstance(problem, ValueRefused) else ""
            found.append(_problem(attribute, problem.expected, value, hint))
        elif column.format is not None and attribute != "enum":
            try:
                format(value, column.format)
            except (ValueError, TypeError) as error:
                found.append(_problem("format", f"a format for {value!r}", column.format, str(error)))
    return found
