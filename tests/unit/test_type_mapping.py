from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Optional
from uuid import UUID

import numpy as np
import pytest

from bridge import BridgeError, CellRefused, ColumnTypeError, extract_row
from bridge.cells import instant_cell, python_cell
from bridge.type_mapping import METADATA_COLUMNS, FieldColumn, column_types, field_column, field_columns
from store.annotations import split_optional
from store.base import FieldSpec, Metadata
from store.models import Order
from store.registry import ColumnDef
from store.scalars import ValueRefused
from store.values import codec


class Side(Enum):
    BUY = "B"
    SELL = "S"


class Rank(Enum):
    LOW = 1
    HIGH = 2


@dataclass
class Leg:
    symbol: str
    ratio: int


def column(annotation: Any, override: str | None = None) -> FieldColumn:
    """Return a field of this type as a column."""
    bare, nullable = split_optional(annotation)
    python_type = {Side: str, Rank: int}.get(bare, str if bare == Literal["a", "b"] else bare)
    definition = ColumnDef(
        "probe", python_type, description="A probe", role="attribute", nullable=nullable, dh_type_override=override
    )
    encode, decode, _ = codec(annotation)
    return field_column("Probe", FieldSpec("probe", bare, object, nullable, definition, None, (), encode, decode))


def cell(annotation: Any, value: Any, override: str | None = None) -> Any:
    """Return the cell that a Python value becomes, by way of its stored form."""
    return column(annotation, override).cell(codec(annotation).encode(value))


@pytest.mark.parametrize(
    ("annotation", "dh_type", "value", "expected"),
    [
        (str, "string", "é", "é"),
        (bool, "bool", True, True),
        (int, "long", 2**63 - 1, 2**63 - 1),
        (float, "double", 3, 3.0),
        (Decimal, "BigDecimal", Decimal("1.250"), "1.25"),
        (date, "LocalDate", date(1969, 12, 31), -1),
        (time, "LocalTime", time(0, 0, 1, 2), 1_000_002_000),
        (datetime, "Instant", datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=-1))), 7_200_000_000_000),
        (UUID, "string", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Side, "string", Side.SELL, "S"),
        (Rank, "long", Rank.HIGH, 2),
        (Literal["a", "b"], "string", "b", "b"),
        (list[float], "double[]", [1, 2.5], [1.0, 2.5]),
        (list[int], "long[]", [1, 2], [1, 2]),
        (tuple[str, ...], "string[]", ("a", "b"), ["a", "b"]),
        (list[bool], "bool[]", [True], [True]),
        (list[Optional[int]], "long[]", [1, None], [1, None]),  # noqa: UP045
        (list[Side], "string[]", [Side.BUY], ["B"]),
        (list[date], "string", [date(2024, 1, 2)], '["2024-01-02"]'),
        (list[Leg], "string", [Leg("AAPL", 2)], '[{"symbol": "AAPL", "ratio": 2}]'),
        (list[dict[str, int]], "string", [{"a": 1}], '[{"a": 1}]'),
        (list[list[str]], "string", [["a"]], '[["a"]]'),
        (list[UUID], "string[]", [UUID(int=1)], ["00000000-0000-0000-0000-000000000001"]),
        (tuple[int, str], "string", (1, "é"), '[1, "é"]'),
        (list, "string", [1, "a"], '[1, "a"]'),
        (dict[str, float], "string", {"a": 1.5}, '{"a": 1.5}'),
        (Leg, "string", Leg("AAPL", 2), '{"symbol": "AAPL", "ratio": 2}'),
    ],
)
def test_column_each_declared_type_has_its_column_and_cell(
    annotation: Any, dh_type: str, value: Any, expected: Any
) -> None:
    assert column(annotation).dh_type == dh_type
    found = cell(annotation, value)
    assert found == expected
    assert type(found) is type(expected)
    assert column(Optional[annotation]).dh_type == dh_type  # noqa: UP045
    assert cell(Optional[annotation], None) is None  # noqa: UP045


@pytest.mark.parametrize(
    ("annotation", "override", "dh_type", "value", "expected"),
    [
        (int, "BigInteger", "BigInteger", 2**64, str(2**64)),
        (int, "java.math.BigInteger", "BigInteger", 5, "5"),
        (int, "int", "int", 2**31 - 1, 2**31 - 1),
        (int, "double", "double", 7, 7.0),
        (int, "string", "string", 7, "7"),
        (float, "float", "float", 1.5, 1.5),
        (Decimal, "double", "double", Decimal("1.25"), 1.25),
        (Decimal, "string", "string", Decimal("1.25"), "1.25"),
        (datetime, "string", "string", datetime(2024, 1, 2, tzinfo=timezone.utc), "2024-01-02T00:00:00.000000+00:00"),
        (bool, "string", "string", True, "true"),
        (list[int], "double[]", "double[]", [1], [1.0]),
        (list[int], "String", "string", [1], "[1]"),
    ],
)
def test_column_override_changes_the_type(
    annotation: Any, override: str, dh_type: str, value: Any, expected: Any
) -> None:
    assert column(annotation, override).dh_type == dh_type
    found = cell(annotation, value, override)
    assert found == expected
    assert type(found) is type(expected)


def test_column_override_unknown_suggests_the_nearest() -> None:
    with pytest.raises(ColumnTypeError, match=r"Probe\.probe: .*'BigDecimel'.*did you mean 'BigDecimal'"):
        column(Decimal, "BigDecimel")


@pytest.mark.parametrize(
    ("annotation", "override"),
    [(str, "long"), (float, "long"), (Decimal, "int"), (datetime, "LocalDate"), (date, "Instant")],
)
def test_column_override_that_would_lose_values_is_refused(annotation: Any, override: str) -> None:
    with pytest.raises(ColumnTypeError, match="cannot be shown as"):
        column(annotation, override)


@pytest.mark.parametrize(
    ("annotation", "override", "value"),
    [
        (int, None, 2**63),
        (int, None, -(2**63)),
        (int, "int", 2**31),
        (int, "byte", 128),
        (float, "float", 1e39),
        (float, None, -1.7976931348623157e308),
        (list[int], None, [2**63]),
        (datetime, None, datetime(9999, 12, 31, tzinfo=timezone.utc)),
        (datetime, None, datetime(1600, 1, 1, tzinfo=timezone.utc)),
    ],
)
def test_cell_that_does_not_fit_is_refused(annotation: Any, override: str | None, value: Any) -> None:
    with pytest.raises(CellRefused, match="column cannot hold"):
        cell(annotation, value, override)


@pytest.mark.parametrize(
    ("annotation", "stored"),
    [
        (bool, "yes"),
        (bool, 1),
        (int, 1.5),
        (int, True),
        (int, "5"),
        (float, "NaN"),
        (float, True),
        (Decimal, "abc"),
        (Decimal, "NaN"),
        (Decimal, True),
        (Decimal, "1E+999999999"),
        (Decimal, "1E-999999999"),
        (datetime, "2024-01-01"),
        (date, 5),
        (time, "noon"),
        (list[str], "abc"),
        (list[str], [["a"]]),
        (list[int], [1.5]),
        (list[int], {"a": 1}),
        (list[bool], ["yes"]),
        (list[float], 5),
    ],
)
def test_cell_of_what_only_sql_can_have_stored_is_refused(annotation: Any, stored: Any) -> None:
    """Whoever goes past the Python client may store anything as an unpublished type: Java takes only its own."""
    with pytest.raises((CellRefused, ValueRefused, TypeError, ValueError)):
        column(annotation).cell(stored)


@pytest.mark.parametrize(
    ("annotation", "stored", "expected"),
    [(int, 5.0, 5), (Decimal, " 1_0.50 ", "10.50"), (Decimal, "0E+99999999", "0"), (Decimal, 5, "5"), (float, 5, 5.0)],
)
def test_cell_of_another_spelling_of_a_value_is_the_value(annotation: Any, stored: Any, expected: Any) -> None:
    found = column(annotation).cell(stored)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("dh_type", "value"),
    [
        ("string", 5),
        ("bool", 1),
        ("long", 1.5),
        ("BigDecimal", Decimal("NaN")),
        ("BigInteger", "x"),
        ("Instant", datetime(2024, 1, 1)),
        ("Instant", "2024-01-01"),
        ("LocalDate", "2024-01-01"),
        ("LocalTime", 5),
        ("string[]", "abc"),
    ],
)
def test_python_cell_refuses_what_would_fail_in_java(dh_type: str, value: Any) -> None:
    with pytest.raises(CellRefused, match=f"an? {dh_type.removesuffix('[]')}"):
        python_cell(dh_type)(value)


def test_python_cell_of_an_unknown_type_names_the_types() -> None:
    with pytest.raises(BridgeError, match="'strin' is no column type; use one of string, bool"):
        python_cell("strin")


def test_python_cell_takes_numpy_scalars() -> None:
    assert python_cell("long")(np.int64(5)) == 5
    assert python_cell("bool")(np.bool_(True)) is True
    assert python_cell("double")(np.float32(1.5)) == 1.5


def test_cell_too_large_an_int_names_the_way_out() -> None:
    with pytest.raises(CellRefused, match='dh_type_override="BigInteger"') as caught:
        cell(int, 10**30)
    assert (caught.value.value, caught.value.dh_type) == (10**30, "long")


def test_cell_refused_speaks_of_an_int_as_of_an_instant() -> None:
    columns = {dh_type: str(CellRefused(0, dh_type)).split(" column")[0] for dh_type in ("int", "Instant", "long")}
    assert columns == {"int": "an int", "Instant": "an Instant", "long": "a long"}


def test_instant_cell_is_exact_to_the_microsecond() -> None:
    value = datetime(2262, 4, 11, 23, 47, 15, 999999, tzinfo=timezone.utc)
    assert instant_cell(value) == 9_223_372_035_999_999_000
    assert instant_cell(datetime(1677, 9, 21, 0, 12, 44, 1, tzinfo=timezone.utc)) == -9_223_372_035_999_999_000
    # Deephaven refuses an Instant in the last second that 64 bits hold, and with it all rows of its batch.
    for beyond in (value + timedelta(microseconds=1), datetime(1677, 9, 21, 0, 12, 44, tzinfo=timezone.utc)):
        with pytest.raises(CellRefused):
            instant_cell(beyond)


def test_python_cell_takes_what_one_would_write() -> None:
    assert python_cell("BigDecimal")(Decimal("1.250")) == "1.250"
    assert python_cell("double")(3) == 3.0
    assert python_cell("Instant")(datetime(1970, 1, 1, tzinfo=timezone.utc)) == 0
    assert python_cell("LocalDate")(None) is None
    with pytest.raises(CellRefused):
        python_cell("int")(2**31)


def test_column_types_fields_come_first_and_verbatim() -> None:
    types = column_types(Order)
    assert list(types)[-len(METADATA_COLUMNS) :] == list(METADATA_COLUMNS)
    assert types["symbol"] == "string"
    assert types["quantity"] == "long"
    assert types["price"] == "double"
    assert types["TxTime"] == "Instant"


def test_column_types_of_chosen_columns_keep_the_metadata() -> None:
    assert list(column_types(Order, ["quantity", "symbol"])) == ["symbol", "quantity", *METADATA_COLUMNS]


def test_field_columns_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(BridgeError, match="Order has no field 'quantty'; did you mean 'quantity'"):
        field_columns(Order, ["quantty"])


def test_extract_row_unwritten_object_has_null_metadata() -> None:
    order = Order(symbol="AAPL", quantity=100, price=229.5, side="BUY")
    columns = ["price", "symbol", "EntityId", "Version", "Changed"]
    assert extract_row(order, columns) == [229.5, "AAPL", None, None, None]


def test_extract_row_written_object_carries_its_metadata() -> None:
    order = Order(symbol="AAPL", quantity=100)
    moment = datetime(2026, 2, 22, 10, tzinfo=timezone.utc)
    order._bind(Metadata("e-1", 3, "alice", "bob", moment, moment, None, "FILLED", "UPDATED"), {})
    columns = ["symbol", "EntityId", "Version", "Owner", "UpdatedBy", "State", "EventType", "ValidTo"]
    assert extract_row(order, columns) == ["AAPL", "e-1", 3, "alice", "bob", "FILLED", "UPDATED", None]


def test_extract_row_unknown_column_is_an_error() -> None:
    with pytest.raises(BridgeError, match="no field 'colour'"):
        extract_row(Order(), ["colour"])
