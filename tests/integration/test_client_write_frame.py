"""DataFrames as objects: what pandas makes of each type, missing values, times, and what does not fit."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy
import pandas
import pyarrow
import pytest

from store.base import Storable
from store.client import StoreClient
from store.errors import InvalidRange, InvalidValue, StoreError
from tests.integration.samples import FULL, UTC, Everything, Side, content, moment


@dataclass
class Row(Storable):
    """What the loads below make, in a type of their own."""

    symbol: str
    quantity: int = 0
    price: float = 0.0
    label: str | None = None
    volume: int | None = None
    weight: float | None = None
    active: bool | None = None
    ts: datetime | None = None
    trade_date: date | None = None
    side: Side | None = None
    exact_amount: Decimal | None = None
    tags: list = field(default_factory=list)  # type: ignore[type-arg]


@dataclass
class Stamped(Storable):
    timestamp: datetime | None = None
    quantity: int = 0
    notes: str = field(default="made", init=False)


def loaded(client: StoreClient, ids: list[str]) -> list[Row]:
    found = {item.entity_id: item for item in client.query(Row, {"entity_id": ids}, limit=None)}
    return [found[entity_id] for entity_id in ids]


def test_write_frame_makes_an_object_a_row_in_order(client: StoreClient) -> None:
    frame = pandas.DataFrame({"symbol": ["A", "B", "C"], "price": [1.0, 2.0, 3.0]}, index=[9, 9, 7])
    ids = client.write_frame(Row, frame)
    assert [(item.symbol, item.price, item.quantity, item.tags) for item in loaded(client, ids)] == [
        ("A", 1.0, 0, []),
        ("B", 2.0, 0, []),
        ("C", 3.0, 0, []),
    ]


def test_write_frame_takes_what_pandas_makes_of_each_type(client: StoreClient) -> None:
    frame = pandas.DataFrame(
        {
            "symbol": pandas.Categorical(["A", "B"]),
            "quantity": numpy.array([1, 2], dtype="int32"),
            "price": numpy.array([0.5, 1.5], dtype="float32"),
            "label": pandas.Categorical(["x", None]),
            "volume": pandas.array([2**53 + 1, None], dtype="Int64"),
            "weight": [0.1, float("nan")],
            "active": pandas.array([True, None], dtype="boolean"),
            "ts": pandas.to_datetime(["2026-01-01T10:00:00.000001Z", None]),
            "trade_date": pandas.to_datetime(["2026-01-02", None]),
            "side": [Side.BUY, None],
            "exact_amount": [Decimal("0.10"), Decimal("NaN")],
            "tags": [numpy.array([1, 2]), ["a", None]],
        }
    )
    first, second = loaded(client, client.write_frame(Row, frame))
    assert content(first) == {
        "symbol": "A",
        "quantity": 1,
        "price": 0.5,
        "label": "x",
        "volume": 2**53 + 1,
        "weight": 0.1,
        "active": True,
        "ts": datetime(2026, 1, 1, 10, 0, 0, 1, tzinfo=UTC),
        "trade_date": date(2026, 1, 2),
        "side": Side.BUY,
        "exact_amount": Decimal("0.1"),
        "tags": [1, 2],
    }
    optional = ("label", "volume", "weight", "active", "ts", "trade_date", "side", "exact_amount")
    assert [getattr(second, name) for name in optional] == [None] * len(optional)
    assert second.tags == ["a", None]


@pytest.mark.parametrize("missing", [None, float("nan"), numpy.nan, pandas.NA, pandas.NaT])
@pytest.mark.parametrize("name", ["label", "volume", "weight", "active", "ts", "trade_date", "side", "exact_amount"])
def test_write_frame_takes_every_mark_of_a_missing_value_as_none(client: StoreClient, name: str, missing: Any) -> None:
    frame = pandas.DataFrame({"symbol": ["A"], name: pandas.Series([missing], dtype=object)})
    (found,) = loaded(client, client.write_frame(Row, frame))
    assert getattr(found, name) is None


def test_write_frame_of_ints_with_gaps_keeps_the_ints(client: StoreClient) -> None:
    frame = pandas.DataFrame({"symbol": ["A", "B", "C"], "volume": [1, None, 3]})
    assert str(frame["volume"].dtype) == "float64"
    assert [item.volume for item in loaded(client, client.write_frame(Row, frame))] == [1, None, 3]


def test_write_frame_of_ints_that_floats_cannot_hold_says_so(client: StoreClient) -> None:
    frame = pandas.DataFrame({"symbol": ["A", "B"], "volume": [2**53 + 2, None]})
    with pytest.raises(StoreError, match=r"Row\.volume in row 0 is 9007199254740994\.0, a float: .* dtype Int64"):
        client.write_frame(Row, frame)
    frame["volume"] = pandas.array([2**53 + 1, None], dtype="Int64")
    assert [item.volume for item in loaded(client, client.write_frame(Row, frame))] == [2**53 + 1, None]


def test_write_frame_of_a_query_result_writes_it_again(client: StoreClient) -> None:
    page = client.query(Everything, {"entity_id": client.write(Everything(**FULL | {"quantity": 5}))})
    frame = page.to_pandas().drop(columns=["entity_id", "version", "state"])
    (entity_id,) = client.write_frame(Everything, frame)
    found = client.read(Everything, entity_id)
    assert found == page[0]
    assert found.entity_id != page[0].entity_id


def test_write_frame_of_a_csv_file_writes_its_rows(client: StoreClient) -> None:
    frame = pandas.read_csv(io.StringIO("symbol,quantity,price,label\nA,1,1.5,x\nB,2,2,\n"))
    found = loaded(client, client.write_frame(Row, frame))
    assert [(item.symbol, item.quantity, item.price, item.label) for item in found] == [
        ("A", 1, 1.5, "x"),
        ("B", 2, 2.0, None),
    ]


def test_write_frame_of_an_arrow_table_writes_its_rows(client: StoreClient) -> None:
    table = pyarrow.table({"symbol": ["A"], "trade_date": [date(2026, 1, 2)], "tags": [["x", "y"]], "volume": [None]})
    (found,) = loaded(client, client.write_frame(Row, table.to_pandas()))
    assert (found.trade_date, found.tags, found.volume) == (date(2026, 1, 2), ["x", "y"], None)


def test_write_frame_without_rows_writes_nothing(client: StoreClient) -> None:
    assert client.write_frame(Row, pandas.DataFrame({"symbol": []})) == []


def test_write_frame_at_one_time_books_every_row_at_it(client: StoreClient) -> None:
    ids = client.write_frame(Row, pandas.DataFrame({"symbol": ["A", "B"]}), valid_from=moment(3))
    assert {item.valid_from for item in loaded(client, ids)} == {moment(3)}


@pytest.mark.parametrize("kind", ["datetime64", "object", "other zone"])
def test_write_frame_with_a_column_of_times_books_each_row_at_its_own(client: StoreClient, kind: str) -> None:
    times: Any = [moment(1), None, moment(3)]
    if kind != "object":
        times = pandas.to_datetime(pandas.Series(times), utc=True)
    if kind == "other zone":
        times = times.dt.tz_convert("Asia/Tokyo")
    frame = pandas.DataFrame({"symbol": ["A", "B", "C"], "booked": pandas.Series(times)})
    found = loaded(client, client.write_frame(Row, frame, valid_from="booked"))
    assert [item.valid_from for item in found] == [moment(1), found[1].tx_time, moment(3)]


def test_write_frame_with_times_from_a_field_keeps_the_field(client: StoreClient) -> None:
    frame = pandas.DataFrame({"timestamp": pandas.to_datetime([moment(1), moment(2)]), "quantity": [1, 2]})
    ids = client.write_frame(Stamped, frame, valid_from="timestamp")
    found = client.query(Stamped, {"entity_id": ids}, order_by="quantity")
    assert [(item.timestamp, item.valid_from, item.notes) for item in found] == [
        (moment(1), moment(1), "made"),
        (moment(2), moment(2), "made"),
    ]


@pytest.mark.parametrize(
    ("columns", "error", "said"),
    [
        ({"symbol": ["A"], "pirce": [1.0]}, StoreError, "did you mean 'price'"),
        ({"symbol": ["A"], "entity_id": ["x"]}, StoreError, "'entity_id' is not a field"),
        ({"symbol": ["A"], 5: [1.0]}, StoreError, "column 5 is not a field"),
        ({"symbol": ["A"], "x'; DROP TABLE y": [1.0]}, StoreError, "is not a field"),
        ({"price": [1.0]}, StoreError, "Row.symbol has no default"),
        ({"symbol": ["A", None]}, StoreError, "Row.symbol is missing in row 1"),
        ({"symbol": ["A", "B"], "price": [1.0, float("nan")]}, StoreError, "Row.price is missing in row 1"),
        ({"symbol": ["A", "B"], "quantity": [1, None]}, StoreError, "Row.quantity is missing in row 1"),
        ({"symbol": ["A", "B"], "quantity": [1, 1.5]}, InvalidValue, "object 1 of 2"),
        ({"symbol": ["A", "B"], "price": [1.0, -1.0]}, InvalidValue, "object 1 of 2"),
        ({"symbol": ["A", "B"], "price": [1.0, float("inf")]}, InvalidValue, "finite"),
        ({"symbol": ["A", "B"], "price": ["1", "2"]}, InvalidValue, "object 0 of 2"),
        ({"symbol": ["A"], "ts": pandas.to_datetime(["2026-01-01"])}, InvalidValue, "tz_localize"),
        ({"symbol": ["A"], "ts": ["2026-01-01"]}, InvalidValue, "datetime"),
        ({"symbol": ["A"], "trade_date": pandas.to_datetime(["2026-01-01T10:00:00"])}, InvalidValue, "date()"),
        ({"symbol": ["A"], "side": ["BUY"]}, InvalidValue, "Side('BUY')"),
        ({"symbol": ["A"], "exact_amount": [0.1]}, InvalidValue, 'Decimal("0.1")'),
        ({"symbol": ["A"], "label": ["a\x00"]}, InvalidValue, "NUL"),
    ],
)
def test_write_frame_that_does_not_fit_is_refused_and_writes_nothing(
    client: StoreClient, columns: dict[Any, Any], error: type[Exception], said: str
) -> None:
    before = client.count(Row)
    with pytest.raises(error) as caught:
        client.write_frame(Row, pandas.DataFrame(columns))
    assert said in str(caught.value)
    assert client.count(Row) == before


@pytest.mark.parametrize(
    ("frame", "options", "error", "said"),
    [
        ([{"symbol": "A"}], {}, StoreError, "takes a pandas DataFrame"),
        (pandas.Series(["A"], name="symbol"), {}, StoreError, "takes a pandas DataFrame"),
        (pandas.DataFrame([["A", "B"]], columns=["symbol", "symbol"]), {}, StoreError, "more than one column"),
        (pandas.DataFrame({"symbol": ["A"]}), {"valid_from": "booked"}, StoreError, "'booked' is not a column"),
        (pandas.DataFrame({"symbol": ["A"]}), {"valid_from": date(2026, 1, 1)}, InvalidRange, "valid_from"),
        (pandas.DataFrame({"symbol": ["A"]}), {"valid_from": datetime(2026, 1, 1)}, InvalidRange, "time zone"),
        (
            pandas.DataFrame({"symbol": ["A", "B"], "at": [moment(1), datetime(2026, 1, 1)]}, dtype=object),
            {"valid_from": "at"},
            InvalidRange,
            "row 1: at",
        ),
        (pandas.DataFrame({"symbol": ["A"], "at": ["2026-01-01Z"]}), {"valid_from": "at"}, InvalidRange, "row 0: at"),
    ],
)
def test_write_frame_called_wrongly_is_refused(
    client: StoreClient, frame: Any, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        client.write_frame(Row, frame, **options)
    assert said in str(caught.value)


def test_write_frame_with_a_column_that_the_class_sets_itself_is_refused(client: StoreClient) -> None:
    with pytest.raises(StoreError, match="set by the class itself"):
        client.write_frame(Stamped, pandas.DataFrame({"notes": ["x"]}))


@pytest.mark.parametrize("cls", [None, "Row", dict, Storable])
def test_write_frame_as_what_is_no_class_is_refused(client: StoreClient, cls: Any) -> None:
    with pytest.raises(StoreError, match="Storable class"):
        client.write_frame(cls, pandas.DataFrame({"symbol": ["A"]}))


def test_write_frame_of_objects_that_pandas_does_not_know_keeps_them(client: StoreClient) -> None:
    frame = pandas.DataFrame({"external_ref": [UUID(int=5), None], "opening_time": [time(9, 30), None]})
    ids = client.write_frame(Everything, frame)
    found = {
        item.entity_id: (item.external_ref, item.opening_time) for item in client.query(Everything, {"entity_id": ids})
    }
    assert [found[entity_id] for entity_id in ids] == [(UUID(int=5), time(9, 30)), (None, None)]
