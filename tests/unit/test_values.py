"""Values by declared type: to JSON and back without loss, and what is refused."""

# The spellings of types are what is tested.
# ruff: noqa: UP045

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag
from typing import Any, Literal, Optional
from uuid import UUID

import numpy
import pandas
import pytest

from store.values import UnsupportedType, ValueRefused, codec

UTC = timezone.utc
PARIS = timezone(timedelta(hours=2))
IDENTIFIER = UUID("12345678-1234-5678-1234-567812345678")


class NoZone(tzinfo):
    """A time zone that does not know its offset: what carries it is naive."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None


class Side(Enum):
    BUY = "BUY"
    SELL = "SELL"


class Level(IntEnum):
    LOW = 1


class Flags(IntFlag):
    A = 1
    B = 2


@dataclass(frozen=True)
class Leg:
    strike: Decimal
    expiry: date
    side: Side = Side.BUY
    notes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class BarrierLeg(Leg):
    barrier: float = 0.0


@dataclass(slots=True)
class Node:
    price: float
    children: list[Node] = field(default_factory=list)


VALUES: list[tuple[Any, Any, Any]] = [
    (bool, True, True),
    (int, 0, 0),
    (int, -(2**200), -(2**200)),
    (float, 0.1, 0.1),
    (float, 5e-324, 5e-324),
    (float, -1.7976931348623157e308, -1.7976931348623157e308),
    (str, "", ""),
    (str, "naïve 😀 \u2028 \x01 \\u0000", "naïve 😀 \u2028 \x01 \\u0000"),
    (Decimal, Decimal("0.1"), "0.1"),
    (Decimal, Decimal("1.500"), "1.5"),
    (Decimal, Decimal("-0.00"), "0"),
    (Decimal, Decimal("1E+3"), "1000"),
    (Decimal, Decimal("1E-30"), "0.000000000000000000000000000001"),
    (Decimal, Decimal("123456789012345678901234567890.123456789"), "123456789012345678901234567890.123456789"),
    (Decimal, Decimal("0E-99999"), "0"),
    (datetime, datetime(2026, 2, 22, 10, 0, tzinfo=UTC), "2026-02-22T10:00:00.000000+00:00"),
    (datetime, datetime(2026, 2, 22, 10, 0, 0, 5, tzinfo=PARIS), "2026-02-22T08:00:00.000005+00:00"),
    (datetime, datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000+00:00"),
    (date, date(2026, 2, 22), "2026-02-22"),
    (time, time(9, 30), "09:30:00.000000"),
    (UUID, IDENTIFIER, "12345678-1234-5678-1234-567812345678"),
    (Side, Side.SELL, "SELL"),
    (Level, Level.LOW, 1),
    (Literal["a", "b"], "b", "b"),
    (Literal[1, 2], 2, 2),
    (Optional[float], None, None),
    (Optional[float], 2.5, 2.5),
    (list[Decimal], [Decimal("1.10")], ["1.1"]),
    (list[Optional[int]], [1, None], [1, None]),
    (list, [1, "a", None, {"b": [2.5]}], [1, "a", None, {"b": [2.5]}]),
    (tuple[int, str], (1, "a"), [1, "a"]),
    (tuple[float, ...], (1.0, 2.0), [1.0, 2.0]),
    (tuple, (1, "a"), [1, "a"]),
    (dict[str, date], {"a": date(2026, 1, 1)}, {"a": "2026-01-01"}),
    (dict[date, float], {date(2026, 1, 1): 0.5}, {"2026-01-01": 0.5}),
    (dict[int, str], {-7: "a"}, {"-7": "a"}),
    (dict[Side, int], {Side.BUY: 1}, {"BUY": 1}),
    (dict[Level, int], {Level.LOW: 1}, {"1": 1}),
    (dict[Decimal, int], {Decimal("1.5"): 1}, {"1.5": 1}),
    (dict, {"a": {"b": []}}, {"a": {"b": []}}),
    (
        list[Leg],
        [Leg(Decimal(5), date(2026, 3, 1), notes={"a": 1.0})],
        [{"strike": "5", "expiry": "2026-03-01", "side": "BUY", "notes": {"a": 1.0}}],
    ),
    (
        Node,
        Node(1.0, [Node(2.0)]),
        {"price": 1.0, "children": [{"price": 2.0, "children": []}]},
    ),
]


@pytest.mark.parametrize(("annotation", "value", "encoded"), VALUES)
def test_value_goes_to_json_and_back_unchanged(annotation: Any, value: Any, encoded: Any) -> None:
    compiled = codec(annotation, globals())
    assert compiled.encode(value) == encoded
    text = json.dumps(compiled.encode(value), allow_nan=False)
    back = compiled.decode(json.loads(text))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value", "encoded"),
    [
        (float, 3, 3.0),
        (float, -(2**53), -(2.0**53)),
        (Decimal, 3, "3"),
        (Decimal, numpy.int64(3), "3"),
        (float, numpy.float32(1.5), 1.5),
        (float, numpy.float64(0.1), 0.1),
        (float, numpy.int64(7), 7.0),
        (int, numpy.uint64(2**64 - 1), 2**64 - 1),
        (int, Level.LOW, 1),
        (bool, numpy.True_, True),
        (str, numpy.str_("a"), "a"),
        (datetime, pandas.Timestamp("2026-02-22 10:00", tz="Europe/Paris"), "2026-02-22T09:00:00.000000+00:00"),
        (list[float], [numpy.float64(1.0), 2], [1.0, 2.0]),
        (list, [numpy.int8(1)], [1]),
        (float, numpy.array(2.5), 2.5),
    ],
)
def test_value_of_a_kindred_type_is_accepted_exactly(annotation: Any, value: Any, encoded: Any) -> None:
    result = codec(annotation).encode(value)
    assert result == encoded
    assert type(result) is type(encoded)
    json.dumps(result)


@pytest.mark.parametrize(
    ("annotation", "value", "hint"),
    [
        (bool, 1, ""),
        (bool, "true", ""),
        (int, True, ""),
        (int, 5.0, "write 5"),
        (int, 5.5, ""),
        (int, "5", ""),
        (int, numpy.True_, ""),
        (int, numpy.float64(3.0), "write 3"),
        (float, True, ""),
        (float, "1.5", ""),
        (float, Decimal("1.5"), ""),
        (float, float("nan"), "use None"),
        (float, float("-inf"), "use None"),
        (float, numpy.float32("nan"), "use None"),
        (float, 2**53 + 1, "write float(...)"),
        (float, 10**400, "write float(...)"),
        (float, pandas.NA, "use None"),
        (float, pandas.NaT, "use None"),
        (float, numpy.array([1.0]), ""),
        (str, 1, ""),
        (str, b"a", ""),
        (str, "a\x00b", "replace"),
        (str, "\ud800", "lone surrogate"),
        (str, pandas.NA, "use None"),
        (str, float("nan"), "use None"),
        (Decimal, 0.1, 'write Decimal("0.1")'),
        (Decimal, numpy.float64(0.1), 'write Decimal("0.1")'),
        (Decimal, "0.1", ""),
        (Decimal, Decimal("NaN"), "use None"),
        (Decimal, Decimal("sNaN"), "use None"),
        (Decimal, Decimal("Infinity"), "use None"),
        (Decimal, Decimal("1E+999999"), ""),
        (Decimal, Decimal("1E-99999"), ""),
        (Decimal, Decimal("1." + "1" * 16384), ""),
        (
            datetime,
            datetime(2026, 2, 22, 10),
            "write datetime.datetime(2026, 2, 22, 10, 0, tzinfo=datetime.timezone.utc)",
        ),
        (
            datetime,
            datetime(2026, 2, 22, tzinfo=NoZone()),
            "write datetime.datetime(2026, 2, 22, 0, 0, tzinfo=datetime.timezone.utc)",
        ),
        (datetime, pandas.Timestamp("2026-02-22"), 'write value.tz_localize("UTC")'),
        (datetime, pandas.Timestamp(1, tz="UTC"), 'write value.floor("us")'),
        (datetime, pandas.NaT, "use None"),
        (datetime, pandas.NA, "use None"),
        (datetime, numpy.datetime64("2026-02-22"), ""),
        (datetime, date(2026, 2, 22), "tzinfo"),
        (datetime, "2026-02-22T10:00:00+00:00", ""),
        (datetime, datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))), ""),
        (date, datetime(2026, 2, 22, tzinfo=UTC), "write value.date()"),
        (date, pandas.NaT, "use None"),
        (date, "2026-02-22", ""),
        (time, datetime(2026, 2, 22, tzinfo=UTC), "write value.time()"),
        (UUID, str(IDENTIFIER), f'write UUID("{IDENTIFIER}")'),
        (Side, "BUY", "write Side('BUY')"),
        (Side, Level.LOW, ""),
        (Literal["a"], "b", ""),
        (list[int], (1,), "write list(value)"),
        (list[float], numpy.array([1.0]), "write value.tolist()"),
        (tuple[int, ...], [1], "write tuple(value)"),
        (tuple[int, int], (1,), ""),
        (dict[str, int], [("a", 1)], ""),
        (list, [Decimal(1)], "declare the element type"),
        (list, [(1,)], "declare the element type"),
        (Leg, {"strike": 1}, ""),
        (Leg, BarrierLeg(Decimal(5), date(2026, 3, 1)), "its barrier would be lost: write Leg("),
    ],
)
def test_value_of_another_type_is_refused_with_a_hint(annotation: Any, value: Any, hint: str) -> None:
    with pytest.raises(ValueRefused) as caught:
        codec(annotation).encode(value)
    assert hint in caught.value.hint
    assert type(value).__name__ in str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "value", "path"),
    [
        (list[float], [1.0, float("nan")], "[1]"),
        (dict, {"a": {"b": [float("inf")]}}, "['a']['b'][0]"),
        (dict, {1: "a"}, "[1]"),
        (dict[str, list[str]], {"k": ["a", "\x00"]}, "['k'][1]"),
        (dict[str, int], {"\x00": 1}, "['\\x00']"),
        (list[Leg], [Leg(Decimal(1), datetime(2026, 1, 1))], "[0].expiry"),
        (tuple[int, str], (1, 2), "[1]"),
    ],
)
def test_value_refused_inside_a_container_says_where(annotation: Any, value: Any, path: str) -> None:
    with pytest.raises(ValueRefused) as caught:
        codec(annotation).encode(value)
    assert caught.value.path == path


def test_value_int_is_taken_up_to_what_python_reads_back() -> None:
    largest = 10**4300 - 1
    assert json.loads(json.dumps(codec(int).encode(largest))) == largest
    with pytest.raises(ValueRefused, match="at most 4,300 digits"):
        codec(int).encode(largest + 1)


def test_value_that_contains_itself_is_refused() -> None:
    node = Node(1.0)
    node.children.append(node)
    with pytest.raises(ValueRefused, match="without cycles"):
        codec(Node, globals()).encode(node)
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueRefused, match="levels of nesting"):
        codec(list).encode(loop)


def test_encoded_container_shares_nothing_with_the_value() -> None:
    value: dict[str, Any] = {"a": {"b": [1]}}
    encoded = codec(dict).encode(value)
    decoded = codec(dict).decode(encoded)
    value["a"]["b"].append(2)
    decoded["a"]["b"].append(3)
    decoded["a"]["c"] = 4
    assert encoded == {"a": {"b": [1]}}


def test_encoded_times_sort_as_text_as_they_do_in_time() -> None:
    instants = [
        datetime(2026, 1, 1, 0, 0, 0, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 1, 1, 2, 0, 0, 2, tzinfo=PARIS),
        datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC),
    ]
    texts = [codec(datetime).encode(instant) for instant in instants]
    assert texts == sorted(texts)


@pytest.mark.parametrize(
    ("annotation", "stored", "value"),
    [
        (float, 3, 3.0),
        (float, 10**20, 1e20),
        (int, 3.0, 3),
        (Decimal, 3, Decimal(3)),
        (Decimal, 0.1, Decimal("0.1")),
        (datetime, "2026-02-22T10:00:00Z", datetime(2026, 2, 22, 10, tzinfo=UTC)),
    ],
)
def test_stored_value_of_a_kindred_form_is_read(annotation: Any, stored: Any, value: Any) -> None:
    back = codec(annotation).decode(stored)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("annotation", "stored"),
    [
        (bool, 1),
        (bool, "true"),
        (int, 1.5),
        (int, True),
        (int, "1"),
        (int, None),
        (float, "1"),
        (float, True),
        (float, 10**400),
        (str, 1),
        (Decimal, "x"),
        (Decimal, "NaN"),
        (Decimal, True),
        (datetime, "2026-02-22T10:00:00"),
        (datetime, "yesterday"),
        (datetime, 5),
        (date, "2026-02-30"),
        (time, "25:00"),
        (UUID, "x"),
        (Side, "HOLD"),
        (Side, 1),
        (Literal["a"], "b"),
        (list[int], {"a": 1}),
        (list[int], [1, "2"]),
        (tuple[int, int], [1]),
        (dict[str, int], [1]),
        (dict[int, int], {"x": 1}),
        (dict[date, int], {"x": 1}),
        (Leg, {"strike": "1"}),
        (Leg, [1]),
    ],
)
def test_stored_value_of_another_form_is_refused(annotation: Any, stored: Any) -> None:
    with pytest.raises(ValueRefused):
        codec(annotation).decode(stored)


def test_stored_dataclass_takes_defaults_and_ignores_unknown_fields() -> None:
    stored = {"strike": "1", "expiry": "2026-01-01", "added_later": 1}
    assert codec(Leg).decode(stored) == Leg(Decimal(1), date(2026, 1, 1))


@pytest.mark.parametrize(
    "annotation",
    [
        complex,
        bytes,
        set,
        set[int],
        object,
        Any,
        type,
        timedelta,
        Flags,
        Enum("Mixed", {"A": 1, "B": "b"}),
        Enum("Tuples", {"A": (1, 2)}),
        Literal[1, "a"],
        dict[float, int],
        dict[bool, int],
        dict[tuple, int],
        list[complex],
        float | int,
    ],
)
def test_type_without_json_form_is_refused(annotation: Any) -> None:
    with pytest.raises(UnsupportedType):
        codec(annotation)


def test_values_need_neither_numpy_nor_pandas() -> None:
    code = "import sys, store.values; sys.exit(bool({'numpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_flag_is_refused_with_what_to_use_instead() -> None:
    with pytest.raises(UnsupportedType, match="Flags is a Flag, whose members combine"):
        codec(Flags)
