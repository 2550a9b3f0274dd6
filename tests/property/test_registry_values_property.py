"""Any value of any storable type survives JSON; any verdict on a value is that of a plain reading of its column."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from store.constraints import is_isin
from store.errors import RegistryError
from store.patterns import PortablePattern
from store.registry import ColumnDef, ColumnRegistry
from store.values import ValueRefused, codec
from tests.rounds import rounds

pytestmark = pytest.mark.fuzz
EXAMPLES = settings(max_examples=rounds(100, 5_000))


class Side(Enum):
    BUY = "BUY"
    SELL = "SELL"


ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)))
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False).filter(lambda d: -300 < d.adjusted() < 300)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-(2**300), 2**300),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: TEXT,
    Decimal: DECIMALS,
    date: st.dates(),
    datetime: st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES),
    UUID: st.uuids(),
    Side: st.sampled_from(Side),
}
KEYS = [str, int, date, UUID, Decimal, Side]


@st.composite
def typed_values(draw: st.DrawFn, depth: int = 2) -> tuple[Any, Any]:
    """Draw a storable type and a value of it."""
    kind = draw(st.sampled_from(["scalar", "scalar", "list", "tuple", "dict", "optional"]))
    if kind == "scalar" or depth == 0:
        scalar = draw(st.sampled_from(list(SCALARS)))
        return scalar, draw(SCALARS[scalar])
    annotation, value = draw(typed_values(depth - 1))
    if kind == "list":
        return list[annotation], [value] * draw(st.integers(0, 2))  # type: ignore[valid-type]
    if kind == "tuple":
        other, second = draw(typed_values(0))
        return tuple[annotation, other], (value, second)  # type: ignore[valid-type]
    if kind == "dict":
        key = draw(st.sampled_from(KEYS))
        return dict[key, annotation], {draw(SCALARS[key]): value}  # type: ignore[valid-type]
    return annotation | None, draw(st.sampled_from([value, None]))


@EXAMPLES
@given(typed_values())
def test_value_of_any_type_survives_json_text(drawn: tuple[Any, Any]) -> None:
    annotation, value = drawn
    compiled = codec(annotation)
    text = json.dumps(compiled.encode(value), allow_nan=False, ensure_ascii=False)
    text.encode()
    assert compiled.decode(json.loads(text)) == value


@EXAMPLES
@given(st.tuples(DECIMALS, DECIMALS))
@example((Decimal("1.10"), Decimal("1.1")))
@example((Decimal("-0"), Decimal("0E+5")))
def test_decimals_are_equal_exactly_when_their_json_is(pair: tuple[Decimal, Decimal]) -> None:
    one, other = pair
    encode = codec(Decimal).encode
    assert (encode(one) == encode(other)) == (one == other)


@EXAMPLES
@given(st.lists(SCALARS[datetime], min_size=2))
def test_instants_sort_as_their_text(instants: list[datetime]) -> None:
    encode = codec(datetime).encode
    assert [encode(instant) for instant in sorted(instants)] == sorted(encode(instant) for instant in instants)


WILD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(),
    st.text("AB1 \x00\ud800é\n", max_size=4),
    DECIMALS,
    st.dates(),
    st.datetimes(),
    SCALARS[datetime],
    st.lists(st.integers(), max_size=1),
)
ROLE = {"description": "A column of the test", "role": "attribute"}
PATTERNS = [r"^[A-Z]+$", r"^A", r"\d", r"^(A|BB)$", r"^.{2}$"]


@st.composite
def columns(draw: st.DrawFn) -> ColumnDef:
    """Draw a column of any scalar type with constraints that fit it."""
    kind = draw(st.sampled_from([bool, int, float, str, Decimal, date, datetime]))
    attributes: dict[str, Any] = {}
    if kind in (int, float, Decimal, date, datetime) and draw(st.booleans()):
        bounds = sorted(draw(st.tuples(SCALARS[kind], SCALARS[kind])))
        attributes |= {"min_value": bounds[0], "max_value": bounds[draw(st.sampled_from([0, 1]))]}
    if kind is str:
        attributes["max_length"] = draw(st.one_of(st.none(), st.integers(1, 3)))
        attributes["pattern"] = draw(st.one_of(st.none(), st.sampled_from(PATTERNS)))
    if kind is str and draw(st.booleans()):
        attributes = {"enum": draw(st.lists(st.text("AB1", max_size=2), min_size=1, max_size=3))}
    return ColumnRegistry().define("drawn", kind, **ROLE, **attributes)


def allowed(column: ColumnDef, value: Any) -> bool:
    """Read a column's definition word by word."""
    kind = column.python_type
    if kind is float and type(value) is int:
        value = float(value)
    if kind is Decimal and type(value) is int:
        value = Decimal(value)
    if type(value) is not kind:
        return False
    if kind is float and (value != value or value in (float("inf"), float("-inf"))):
        return False
    if kind is datetime and value.utcoffset() is None:
        return False
    if kind is str and any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in value):
        return False
    if column.enum is not None and value not in column.enum:
        return False
    if column.min_value is not None and value < column.min_value:
        return False
    if column.max_value is not None and value > column.max_value:
        return False
    if column.max_length is not None and len(value) > column.max_length:
        return False
    if column.pattern is None:
        return True
    return re.search(column.pattern.replace("$", r"\Z"), value, re.ASCII | re.DOTALL) is not None


@EXAMPLES
@given(columns(), WILD)
def test_verdict_on_a_value_is_that_of_a_plain_reading(column: ColumnDef, value: Any) -> None:
    assert (column.value_problem(value) is None) == allowed(column, value)


@EXAMPLES
@given(columns(), st.data())
def test_verdict_on_a_value_of_the_right_type_is_that_of_a_plain_reading(
    column: ColumnDef, data: st.DataObject
) -> None:
    near = [bound for bound in (column.min_value, column.max_value, *(column.enum or ())) if bound is not None]
    strategy = SCALARS[column.python_type]
    value = data.draw(st.one_of(strategy, st.sampled_from(near)) if near else strategy)
    assert (column.value_problem(value) is None) == allowed(column, value)


@EXAMPLES
@given(columns(), WILD)
def test_verdict_of_the_class_check_is_that_of_the_column(column: ColumnDef, value: Any) -> None:
    registry = ColumnRegistry()
    registry.define("drawn", column.python_type, **ROLE, **{n: getattr(column, n) for n in CONSTRAINTS})
    cls = type("Drawn", (), {"__annotations__": {"drawn": column.python_type}})
    obj = cls()
    obj.drawn = value
    try:
        registry.validate_instance(obj)
        accepted = True
    except RegistryError as error:
        accepted = False
        assert [violation.field.partition("[")[0] for violation in error.violations] == ["drawn"]
    assert accepted == (value is not None and column.value_problem(value) is None)


CONSTRAINTS = ("enum", "min_value", "max_value", "max_length", "pattern")


@EXAMPLES
@given(st.from_regex(r"[A-Z]{2}[A-Z0-9]{9}", fullmatch=True))
def test_isin_of_any_body_has_exactly_one_check_digit(body: str) -> None:
    assert sum(is_isin(f"{body}{digit}") for digit in range(10)) == 1


LITERALS = st.sampled_from(["a", "b", "A", "1", "_", "-", " ", "/", "é", r"\.", r"\\", r"\d", r"\w", r"\s", ".", r"\n"])
BRACKETS = st.lists(
    st.sampled_from(["a-z", "0-9", "_", r"\d", r"\s", "é", r"\-", r"\]", "."]), min_size=1, max_size=3
).map(lambda items: f"[{''.join(items)}]")
ATOMS = st.one_of(LITERALS, BRACKETS, BRACKETS.map(lambda text: f"[^{text[1:]}"))
QUANTIFIED = st.tuples(ATOMS, st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,}", "{0,2}"])).map("".join)
BRANCHES = st.lists(QUANTIFIED, min_size=1, max_size=3).map("".join)
GROUPS = st.tuples(st.sampled_from(["(", "(?:"]), BRANCHES, BRANCHES, st.sampled_from([")", ")?"])).map(
    lambda parts: f"{parts[0]}{parts[1]}|{parts[2]}{parts[3]}"
)
SOURCES = st.lists(st.one_of(BRANCHES, GROUPS), min_size=1, max_size=3).map("".join)
TEXTS = st.text("abA1_-. /\\é\n\t٣", max_size=6)


@EXAMPLES
@given(SOURCES, st.booleans(), st.booleans(), st.lists(TEXTS, min_size=5))
def test_pattern_of_the_subset_means_what_python_means_by_it(
    source: str, starts: bool, ends: bool, texts: list[str]
) -> None:
    compiled = PortablePattern(("^" if starts else "") + source + ("$" if ends else ""))
    plain = re.compile(("^" if starts else "") + source + (r"\Z" if ends else ""), re.ASCII | re.DOTALL)
    assert [compiled.matches(text) for text in texts] == [plain.search(text) is not None for text in texts]


@EXAMPLES
@given(st.text("ab[]()|^$*+?{},\\.-d", max_size=8))
def test_pattern_of_any_text_is_compiled_as_python_compiles_it_or_refused_with_the_position(source: str) -> None:
    try:
        PortablePattern(source)
    except ValueError as error:
        assert re.search(r" has .* at position \d+", str(error), re.DOTALL)
    else:
        re.compile(source)


@EXAMPLES
@given(
    st.recursive(st.one_of(st.none(), st.floats(), TEXT), lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner))
)
def test_plain_json_is_stored_unless_it_holds_what_json_has_not(value: Any) -> None:
    try:
        encoded = codec(list).encode([value])
    except ValueRefused:
        with pytest.raises(ValueError, match="not JSON compliant"):
            json.dumps(value, allow_nan=False)
    else:
        assert json.loads(json.dumps(encoded, allow_nan=False)) == [value]
