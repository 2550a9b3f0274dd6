"""For any columns and any JSON: what PostgreSQL says of it is what Python says.

PostgreSQL sees JSON, not Python's values. So the verdict asked of Python is: is this document, as jsonb holds it, one
that the client would send for some object of the class? And for every object that the client refuses, its plain JSON
form is refused too, unless another object that the client takes has the very same one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, make_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import psycopg2
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import connection as Connection

from store.errors import InvalidValue
from store.publication import published_fields
from store.records import RecordSchema
from store.registry import ColumnDef, ColumnRegistry
from tests.fix_postgres import StoreDatabase
from tests.rounds import rounds

pytestmark = [pytest.mark.fuzz, pytest.mark.both_servers]
DOCUMENTS = 12  # that each drawn class is tried with


class Side(Enum):
    BUY = "BUY"
    SELL = "SELL"


class Level(Enum):
    ONE = 1
    TWO = 2


@dataclass
class Leg:
    symbol: str
    ratio: Decimal
    marks: list[float]
    due: date | None
    side: Side


ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=6)
EDGES = [0, 1, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63, 10**16, 10**16 + 1, 10**22, 2**70, 10**400, 10**4299]
INTS = st.one_of(st.integers(-9, 9), st.sampled_from(EDGES), st.integers(-(2**80), 2**80))
FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, 1.5, 5.0, 1e16, 1e22, 1.7976931348623157e308, 5e-324, -0.0, 3.092535278770144e18]),
)
NUMBERS = st.one_of(INTS, FLOATS)
DECIMALS = st.decimals(-(10**9), 10**9, places=3)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: INTS,
    float: FLOATS,
    str: st.one_of(TEXT, st.text("AB1\n", max_size=4), st.sampled_from(["US0378331005", "US0378331006", "😀😀", "é"])),
    Decimal: DECIMALS,
    date: st.dates(),
    datetime: st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES),
    time: st.times(timezones=st.one_of(st.none(), ZONES)),
    UUID: st.uuids(),
}
LEGS = st.builds(
    Leg,
    SCALARS[str],
    DECIMALS,
    st.lists(SCALARS[float], max_size=2),
    st.one_of(st.none(), st.dates()),
    st.sampled_from(Side),
)
NESTED: dict[Any, st.SearchStrategy[Any]] = {
    Leg: LEGS,
    list[Leg]: st.lists(LEGS, max_size=2),
    list[int]: st.lists(SCALARS[int], max_size=3),
    list[float | None]: st.lists(st.one_of(st.none(), SCALARS[float]), max_size=3),
    tuple[int, str]: st.tuples(SCALARS[int], SCALARS[str]),
    tuple[Decimal, ...]: st.lists(DECIMALS, max_size=2).map(tuple),
    dict[str, float]: st.dictionaries(TEXT, SCALARS[float], max_size=2),
    dict[int, bool]: st.dictionaries(st.integers(-(10**20), 10**20), st.booleans(), max_size=2),
    dict[date, list[str]]: st.dictionaries(st.dates(), st.lists(TEXT, max_size=1), max_size=2),
    dict[Side, UUID]: st.dictionaries(st.sampled_from(Side), st.uuids(), max_size=2),
    list: st.lists(st.one_of(NUMBERS, TEXT, st.none()), max_size=2),
    dict: st.dictionaries(TEXT, st.one_of(NUMBERS, st.lists(NUMBERS, max_size=1)), max_size=2),
}
ENUMS: dict[Any, tuple[type, st.SearchStrategy[Any]]] = {
    Side: (str, st.sampled_from(Side)),
    Level: (int, st.sampled_from(Level)),
    Literal["A", "B1"]: (str, st.sampled_from(["A", "B1"])),
}
PATTERNS = [r"^[A-Z]+$", r"^A", r"\d", r"^(A|BB)$", r"^.{2}$", r"[^A]", r"^\w*\s?$", r"^[é😀]+$"]
ABOUT = {"description": "A column of the test", "role": "attribute"}
ODD_TEXTS = [
    "1.50",
    "-0",
    "1e5",
    "01",
    ".5",
    "1.",
    "1,5",
    "+1",
    "2024-02-30",
    "2023-02-29",
    "2024-02-29",
    "0000-01-01",
    "2024-2-1",
    "1900-02-29",
    "2000-02-29",
    "9999-12-31",
    "2024-01-01T00:00:00.000000+00:00",
    "2024-01-01T00:00:00+00:00",
    "2024-01-01T00:00:00.000000Z",
    "2024-04-31T00:00:00.000000+00:00",
    "2024-01-01T24:00:00.000000+00:00",
    "2024-01-01T00:00:00.000000+01:00",
    "12:00:00",
    "12:00:00.000000",
    "12:00:00.000000+02:00",
    "12:00:00.000000+02:00:00",
    "12:00:00.000000-00:00",
    "12:00:00.000000-00:00:30",
    "23:59:60.000000",
    "12:00:00.000000+24:00",
    "BUY",
    "buy",
    "A",
    "B1",
    "US0378331005",
    "US0378331006",
    "12345678-1234-5678-1234-567812345678",
    "12345678123456781234567812345678",
    "ABCDEFAB-1234-5678-1234-567812345678",
    "2024-01-01 00:00:00.000000+00:00",
    " 1",
    "1\n",
]
# What stands in the wrong place: of another type, in a form that the client never writes, out of bounds.
WILD = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    TEXT,
    st.sampled_from(ODD_TEXTS),
    st.lists(st.one_of(NUMBERS, TEXT), max_size=2),
    st.dictionaries(st.one_of(TEXT, st.sampled_from(["1", "01", "-0", "2024-01-01", "BUY"])), NUMBERS, max_size=2),
)
RAW = ["1.0", "1e2", "1e400", "1e-400", "0.1000000000000000055", "1E+3", "-0", "-0.0", "12345678901234567890.5", "1.50"]


@st.composite
def columns(draw: st.DrawFn, name: str) -> tuple[ColumnDef, Any, st.SearchStrategy[Any]]:
    """Draw a column with constraints that fit it; return it with a field's annotation and what draws its values."""
    registry, attributes = ColumnRegistry(), dict(ABOUT)
    choice = draw(st.sampled_from(["scalar", "scalar", "nested", "record", "enum"]))
    if choice == "enum":
        annotation = draw(st.sampled_from(list(ENUMS)))
        kind, values = ENUMS[annotation]
    elif choice in ("nested", "record"):
        annotation = kind = draw(st.sampled_from([Leg, list[Leg]] if choice == "record" else list(NESTED)))
        values = NESTED[kind]
    else:
        annotation = kind = draw(st.sampled_from(list(SCALARS)))
        values = SCALARS[kind]
        attributes |= draw(_constraints(kind))
    nullable = draw(st.booleans())
    column = registry.define(name, kind, nullable=nullable, **attributes)
    if nullable and draw(st.booleans()):
        return column, annotation | None if not _is_literal(annotation) else annotation, values
    return column, annotation, values


def _is_literal(annotation: Any) -> bool:
    return annotation == Literal["A", "B1"]


@st.composite
def _constraints(draw: st.DrawFn, kind: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if kind in (int, float, Decimal, date, datetime) and draw(st.booleans()):
        low, high = sorted(draw(st.tuples(SCALARS[kind], SCALARS[kind])))
        found = draw(st.sampled_from([{"min_value": low}, {"max_value": high}, {"min_value": low, "max_value": high}]))
    elif kind in (str, int, float, Decimal) and draw(st.booleans()):
        found = {"enum": draw(st.lists(SCALARS[kind], min_size=1, max_size=3))}
    elif kind is str:
        found = {
            "max_length": draw(st.one_of(st.none(), st.integers(1, 3))),
            "pattern": draw(st.one_of(st.none(), st.sampled_from(PATTERNS))),
            "check": draw(st.sampled_from([None, None, None, "isin"])),
        }
    return found


@st.composite
def schemas(draw: st.DrawFn) -> tuple[RecordSchema[Any], dict[str, st.SearchStrategy[Any]]]:
    """Draw a class of one to three fields, with what draws the values of each."""
    registry, drawn, values = ColumnRegistry(), [], {}
    for name in ("first", "second", "third")[: draw(st.integers(1, 3))]:
        column, annotation, source = draw(columns(name))
        attributes = {key: getattr(column, key) for key in ("nullable", "enum", "min_value", "max_value", "max_length")}
        attributes |= {key: getattr(column, key) for key in ("pattern", "check", "description", "role")}
        registry.define(name, column.python_type, **attributes)
        drawn.append((name, annotation, field(default=None)) if draw(st.booleans()) else (name, annotation, field()))
        values[name] = source
    drawn.sort(key=lambda item: item[2].default is None)
    cls = make_dataclass("Drawn", drawn, namespace={"__module__": __name__})
    return RecordSchema(cls, "Drawn", registry.binding(cls)), values


@st.composite
def documents(draw: st.DrawFn, schema: RecordSchema[Any], values: dict[str, st.SearchStrategy[Any]]) -> str:
    """Draw JSON text: an object of the class, with something wrong in it more often than not."""
    parts: dict[str, str] = {}
    for name, spec in schema.fields.items():
        how = draw(st.sampled_from(["right", "right", "right", "wild", "raw", "missing", "null", "inside", "inside"]))
        if how == "missing":
            continue
        if how == "raw":
            parts[name] = draw(st.sampled_from(RAW))
        elif how == "null":
            parts[name] = "null"
        else:
            value = draw(WILD if how == "wild" else values[name])
            parts[name] = json.dumps(value if how == "wild" else spec.encode(value))
            if how == "inside":  # a field more, or less, in the records within
                step = draw(st.sampled_from([('"ratio":', '"ratia": 1, "ratio":'), ('"ratio":', '"other":')]))
                parts[name] = parts[name].replace(*step)
    if draw(st.integers(0, 9)) == 0:
        parts[draw(st.sampled_from(["fourth", "First", "first ", ""]))] = "1"
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in parts.items()) + "}"


def as_held(text: str) -> Any:
    """Return JSON as jsonb holds it: numbers are decimals that keep their digits after the point."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


def as_read(held: Any) -> Any:
    """Return what Python reads when PostgreSQL writes that out."""
    if isinstance(held, Decimal):
        exponent = held.as_tuple().exponent
        assert isinstance(exponent, int)
        return int(held) if exponent >= 0 else float(held)
    if isinstance(held, list):
        return [as_read(item) for item in held]
    return {key: as_read(item) for key, item in held.items()} if isinstance(held, dict) else held


def is_sent(held: Any, sent: Any) -> bool:
    """Return whether a held document is a sent one: an int has no point, a float any number of zeros."""
    if isinstance(held, Decimal):
        if isinstance(sent, bool) or not isinstance(sent, (int, float)):
            return False
        if isinstance(sent, int):
            return bool(held == sent) and held.as_tuple().exponent >= 0  # type: ignore[operator]
        return held == Decimal(repr(sent))
    if isinstance(held, list):
        return isinstance(sent, list) and len(held) == len(sent) and all(map(is_sent, held, sent))
    if isinstance(held, dict):
        return isinstance(sent, dict) and held.keys() == sent.keys() and all(is_sent(held[k], sent[k]) for k in held)
    return type(held) is type(sent) and held == sent


def python_takes(schema: RecordSchema[Any], text: str) -> bool:
    """Return whether the client would send this document, or one that lacks only fields with a default."""
    held = as_held(text)
    for name, spec in schema.fields.items():
        if name not in held and spec.default is None:
            return False
    if held.keys() - schema.fields.keys():
        return False
    for name, value in held.items():
        spec = schema.fields[name]
        try:
            sent = spec.encode(spec.decode(as_read(value)))
        except Exception as error:
            assert type(error).__name__ == "ValueRefused", error
            return False
        broken = spec.column.broken
        if not is_sent(value, sent) or (sent is not None and broken is not None and broken(sent) is not None):
            return False
    return True


@pytest.fixture(scope="module")
def admin(module_store_db: StoreDatabase) -> Iterator[Connection]:
    with closing(module_store_db.admin()) as conn:
        yield conn


def postgres_takes(conn: Connection, texts: list[str]) -> bool:
    """Try to write documents in one call, and undo it."""
    items = ", ".join(f'{{"type_name": "Drawn", "data": {text}}}' for text in texts)
    with conn.cursor() as cursor:
        cursor.execute("SAVEPOINT before")
        try:
            cursor.execute("SELECT * FROM store.create_objects(%s, '{}', '{}', false, NULL)", (f"[{items}]",))
            return True
        except psycopg2.Error as error:
            assert error.pgcode == "TS020", error
            return False
        finally:
            cursor.execute("ROLLBACK TO before")


@settings(
    max_examples=rounds(60, 3_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_verdicts_of_python_and_of_postgresql_agree(admin: Connection, data: st.DataObject) -> None:
    schema, values = data.draw(schemas())
    with admin.cursor() as cursor:
        document = {"fields": published_fields(schema), "machine": None}
        cursor.execute("SELECT store.publish('Drawn', %s)", (json.dumps(document),))
        taken: list[str] = []
        for _ in range(DOCUMENTS):
            text = data.draw(documents(schema, values))
            verdict = python_takes(schema, text)
            event(f"taken: {verdict}")
            assert postgres_takes(admin, [text]) is verdict, text
            if taken:
                assert postgres_takes(admin, [taken[0], text]) is verdict, text
            if verdict:
                taken.append(text)
    admin.rollback()


@settings(max_examples=rounds(60, 3_000), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_object_that_the_client_takes_is_taken_by_postgresql_and_no_other(
    admin: Connection, data: st.DataObject
) -> None:
    schema, values = data.draw(schemas())
    with admin.cursor() as cursor:
        document = {"fields": published_fields(schema), "machine": None}
        cursor.execute("SELECT store.publish('Drawn', %s)", (json.dumps(document),))
    for _ in range(DOCUMENTS):
        obj = object.__new__(schema.cls)
        for name in schema.fields:
            object.__setattr__(obj, name, data.draw(st.one_of(values[name], values[name], WILD)))
        try:
            text = json.dumps(schema.encode_valid(obj))
            assert postgres_takes(admin, [text]), text
        except InvalidValue:
            text = json.dumps(_plain({name: getattr(obj, name) for name in schema.fields}))
            assert not postgres_takes(admin, [text]) or python_takes(schema, text), text
    admin.rollback()


def _plain(value: Any) -> Any:
    """Return a value as a careless program would write it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Leg):
        return _plain(vars(value))
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
