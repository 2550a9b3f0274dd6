"""Query results as DataFrames, as Arrow tables and as HTML."""

from __future__ import annotations

import html
import json
import re
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any

import pytest

from store.client import QueryResult, StoreClient
from tests.integration.samples import FULL, UTC, Everything, Position, Side


def result(client: StoreClient, *objects: Everything) -> Any:
    """Return a query's result that holds these objects, in their order."""
    ids = client.write_many(objects)
    found = {item.entity_id: item for item in client.query(Everything, {"entity_id": ids})}
    return QueryResult(Everything, [found[entity_id] for entity_id in ids], None)


# ---- to pandas


def test_to_pandas_has_metadata_first_and_the_declared_types(client: StoreClient) -> None:
    page = result(client, Everything(**FULL | {"quantity": 5}), Everything(**FULL | {"quantity": 6}))
    frame = page.to_pandas()
    assert list(frame.columns) == ["entity_id", "version", "state", *FULL]
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == dict.fromkeys(frame.columns, "object") | {
        "version": "int64",
        "quantity": "int64",
        "weight": "float64",
        "active": "bool",
        "ts": "datetime64[us, UTC]",
    }
    assert frame["entity_id"].tolist() == [item.entity_id for item in page]
    assert frame["quantity"].tolist() == [5, 6]
    for name, value in (FULL | {"quantity": 5}).items():
        found = frame[name][0]
        assert (found.to_pydatetime() if name == "ts" else found) == value


def test_to_pandas_shows_missing_values_as_missing(client: StoreClient) -> None:
    frame = result(client, Everything(**FULL | {"quantity": 2**53 + 1}), Everything()).to_pandas()
    assert {name: str(frame[name].dtype) for name in ("quantity", "weight", "active", "ts")} == {
        "quantity": "Int64",
        "weight": "float64",
        "active": "boolean",
        "ts": "datetime64[us, UTC]",
    }
    assert frame["quantity"][0] == 2**53 + 1  # not through a float
    assert all(frame[name].isna().tolist() == [False, True] for name in FULL)
    assert frame["notes"][1] is None


def test_to_pandas_keeps_huge_ints_and_extreme_times(client: StoreClient) -> None:
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    frame = result(client, Everything(quantity=10**30, ts=first), Everything(quantity=1, ts=last)).to_pandas()
    assert frame["quantity"].tolist() == [10**30, 1]
    assert [stamp.to_pydatetime() for stamp in frame["ts"]] == [first, last]


def test_to_pandas_of_an_empty_page_has_the_same_columns_and_types(client: StoreClient) -> None:
    full = result(client, Everything(**FULL | {"quantity": 5})).to_pandas()
    empty = client.query(Everything, {"notes": "nowhere"}).to_pandas()
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_to_pandas_computes(client: StoreClient) -> None:
    client.write_many([Position(label="sum", quantity=q, price=p) for q, p in ((1, 2.0), (3, 4.0))])
    frame = client.query(Position, {"label": "sum"}).to_pandas()
    assert (frame["quantity"] * frame["price"]).sum() == 14.0


# ---- to Arrow


def test_to_arrow_has_metadata_first_and_the_declared_types(client: StoreClient) -> None:
    table = result(client, Everything(**FULL | {"quantity": 5}), Everything()).to_arrow()
    assert {item.name: str(item.type) for item in table.schema} == dict.fromkeys(table.column_names, "string") | {
        "version": "int64",
        "quantity": "int64",
        "weight": "double",
        "active": "bool",
        "exact_amount": "decimal128(29, 9)",
        "ts": "timestamp[us, tz=UTC]",
        "trade_date": "date32[day]",
        "opening_time": "time64[us]",
        "urgency": "int64",
    }
    assert table.column_names == ["entity_id", "version", "state", *FULL]
    first, second = table.to_pylist()
    for name in ("notes", "weight", "active", "exact_amount", "ts", "trade_date", "opening_time"):
        assert first[name] == FULL[name]
    assert (first["external_ref"], first["side"], first["urgency"]) == (str(FULL["external_ref"]), "SELL", 10)
    assert {second[name] for name in FULL} == {None}


def test_to_arrow_holds_lists_dicts_and_dataclasses_as_json(client: StoreClient) -> None:
    (row,) = result(client, Everything(**FULL)).to_arrow().to_pylist()
    assert json.loads(row["tags"]) == FULL["tags"]
    assert json.loads(row["extra"]) == FULL["extra"]
    assert json.loads(row["limits_by_desk"]) == {"rates": "1000000.01", "": "0"}
    assert json.loads(row["main_leg"]) == {"symbol": "GOOG", "ratio": "-2", "due": None, "marks": []}
    assert [leg["due"] for leg in json.loads(row["legs"])] == ["2026-03-01", None]


@pytest.mark.parametrize(
    ("name", "values", "kind", "shown"),
    [
        ("quantity", [10**30, 1], "string", [str(10**30), "1"]),
        ("quantity", [2**63 - 1, -(2**63) + 1], "int64", None),
        ("exact_amount", [Decimal("1E+20"), Decimal("1E-9")], "decimal128(30, 9)", None),
        ("exact_amount", [Decimal("1E+40"), Decimal("0.5")], "decimal256(42, 1)", None),
        ("exact_amount", [Decimal("1E+80"), Decimal("0.5")], "string", ["1" + "0" * 80, "0.5"]),
        ("exact_amount", [Decimal(0), None], "decimal128(1, 0)", None),
        (
            "opening_time",
            [time(9), time(9, tzinfo=timezone.utc)],
            "string",
            ["09:00:00.000000", "09:00:00.000000+00:00"],
        ),
        ("ts", [datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)], "timestamp[us, tz=UTC]", None),
        ("trade_date", [date.min, date.max], "date32[day]", None),
        ("notes", [None, None], "string", None),
    ],
)
def test_to_arrow_is_exact_at_the_edges_of_its_types(
    client: StoreClient, name: str, values: list[Any], kind: str, shown: list[str] | None
) -> None:
    column = result(client, *(Everything(**{name: value}) for value in values)).to_arrow().column(name)
    assert str(column.type) == kind
    assert column.to_pylist() == (values if shown is None else shown)


def test_to_arrow_of_an_empty_page_has_columns(client: StoreClient) -> None:
    table = client.query(Everything, {"notes": "nowhere"}).to_arrow()
    assert (table.num_rows, table.column_names) == (0, ["entity_id", "version", "state", *FULL])


# ---- to HTML


def cells(page: str) -> list[str]:
    return [html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", page)]


def test_repr_html_escapes_every_text(client: StoreClient) -> None:
    hostile = "<script>alert('x')</script>&\"<b>"
    text = result(client, Everything(notes=hostile, tags=[hostile], extra={hostile: 1}))._repr_html_()
    assert "<script" not in text and "<b>" not in text
    assert text.count("&lt;script&gt;") == 3
    assert hostile in cells(text)


def test_repr_html_says_how_many_there_are_and_whether_more(client: StoreClient) -> None:
    client.write_many([Position(label="html", quantity=number) for number in range(120)])
    shown = {limit: client.query(Position, {"label": "html"}, limit=limit)._repr_html_() for limit in (5, 119, 120)}
    assert {limit: re.findall("<p>(.*)</p>", text) for limit, text in shown.items()} == {
        5: ["5 Position, more with next_cursor"],
        119: ["first 100 of 119 Position, more with next_cursor"],
        120: ["first 100 of 120 Position"],
    }
    assert {limit: text.count("<tr>") for limit, text in shown.items()} == {5: 6, 119: 101, 120: 101}


def test_repr_html_shows_values_as_people_read_them(client: StoreClient) -> None:
    obj = Everything(notes="x" * 1_000, quantity=1234567, side=Side.BUY, active=None, ts=FULL["ts"])
    text = result(client, obj)._repr_html_()
    shown = dict(zip(re.findall("<th>(.*?)</th>", text), cells(text), strict=True))
    assert (shown["side"], shown["active"], shown["state"], shown["version"]) == ("BUY", "", "", "1")
    assert shown["notes"] == "x" * 200 + "\u2026"
    assert shown["quantity"] == "1,234,567"
    assert '<td style="text-align:right">1,234,567</td>' in text


def test_repr_html_of_an_empty_page_is_a_table(client: StoreClient) -> None:
    text = client.query(Position, {"label": "nowhere"})._repr_html_()
    assert text.startswith("<table>") and "<p>0 Position</p>" in text
