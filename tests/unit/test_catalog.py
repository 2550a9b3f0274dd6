"""The catalog itself, and its renderings."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum

import pytest
from jsonschema import Draft202012Validator

from store.base import Storable, record_schema
from store.catalog import catalog_json, catalog_markdown, catalog_rows, catalog_table, json_schema
from store.columns import REGISTRY
from store.models import Limit, Order, Signal, Trade
from store.registry import ColumnDef, ColumnRegistry

NAMED = [
    "name",
    "label",
    "title",
    "color",
    "status",
    "notes",
    "tags",
    "weight",
    "amount",
    "value",
    "width",
    "height",
    "threshold",
    "unit",
    "ts",
    "active",
    "created",
    "model_name",
    "symbol",
    "side",
    "direction",
    "order_type",
    "option_type",
    "timestamp",
    "price",
    "quantity",
    "pnl",
    "strength",
    "bid",
    "ask",
    "last",
    "volume",
    "rate",
    "avg_cost",
    "current_price",
    "underlying_price",
    "strike",
    "time_to_expiry",
    "expiry_date",
    "volatility",
    "risk_free_rate",
    "pair",
    "isin",
    "face_value",
    "coupon_rate",
    "yield_to_maturity",
    "years_to_maturity",
    "notional",
    "daily_vol",
    "z_score",
    "currency",
    "account",
    "book",
    "strategy",
    "counterparty",
    "trade_date",
    "settlement_date",
    "metric",
    "warn",
    "stop",
]
CATALOG = [column for column in REGISTRY.all_columns() if not column.name.startswith("probe")]


@pytest.fixture
def odd() -> ColumnDef:
    return ColumnRegistry().define(
        "odd",
        Decimal,
        description="A | b\n<script>",
        role="measure",
        unit="USD",
        min_value=Decimal("0.10"),
        sample_values=[Decimal("1.50")],
        deprecated="use price",
        nullable=True,
        allowed_prefixes=["very"],
    )


def test_catalog_has_the_promised_columns() -> None:
    assert [name for name in NAMED if name not in REGISTRY] == []
    assert len(NAMED) >= 49


def test_catalog_synonyms_name_one_column_each_but_for_the_greeks() -> None:
    owners: dict[str, list[str]] = {}
    for column in CATALOG:
        for synonym in column.synonyms:
            owners.setdefault(synonym, []).append(column.name)
    shared = {synonym for synonym, names in owners.items() if len(names) > 1}
    assert shared == {"greek"}
    assert [synonym for synonym in owners if synonym in REGISTRY] == []


def test_catalog_measures_have_unit_and_format_of_their_samples() -> None:
    measures = [column for column in CATALOG if column.role == "measure"]
    assert all(column.unit for column in measures)
    assert all(format(v, column.format) for column in measures if column.format for v in column.sample_values)


def test_catalog_descriptions_are_one_line_without_full_stop() -> None:
    bad = [c.name for c in CATALOG if "\n" in c.description or c.description.endswith(".") or len(c.description) > 110]
    assert bad == []


def test_rows_are_json_ready_and_complete(odd: ColumnDef) -> None:
    (row,) = catalog_rows([odd])
    assert json.loads(json.dumps(row)) == row
    assert row["name"] == "odd"
    assert (row["python_type"], row["min_value"], row["sample_values"]) == ("Decimal", "0.1", ["1.5"])
    assert (row["allowed_prefixes"], row["deprecated"], row["enum"]) == (["very"], "use price", None)


def test_json_is_the_rows() -> None:
    assert json.loads(catalog_json(CATALOG)) == catalog_rows(CATALOG)


def test_table_aligns_columns_and_cuts_at_the_width(odd: ColumnDef) -> None:
    lines = catalog_table([odd, *CATALOG], width=50).splitlines()
    assert len(lines) == len(CATALOG) + 2
    assert lines[0].startswith("column ")
    assert max(len(line) for line in lines) == 50
    assert {line.index(kind) for line, kind in zip(lines[2:5], ("str", "str", "str"), strict=True)} == {
        lines[0].index("type")
    }
    assert "(deprecated: use price)" in catalog_table([odd])


def test_markdown_escapes_what_would_break_a_table(odd: ColumnDef) -> None:
    (line,) = [line for line in catalog_markdown([odd]).splitlines() if line.startswith("| odd")]
    assert "A \\| b &lt;script>" in line
    assert line.replace("\\|", "").count("|") == 7


def test_markdown_lists_each_column_once_under_its_category() -> None:
    text = catalog_markdown(CATALOG)
    assert [name for name in NAMED if text.count(f"\n| {name} |") != 1] == []
    assert text.index("## Options") < text.index("| strike |") < text.index("## Bonds")


class Way(Enum):
    BUY = "BUY"


@dataclass
class Described(Storable):
    """One line.

    More lines.
    """

    symbol: str
    side: Way = Way.BUY
    strength: float | None = None
    trade_date: date | None = None
    tags: list[str] = field(default_factory=list)


def test_json_schema_says_types_constraints_and_meaning() -> None:
    schema = json_schema(Described)
    assert (schema["title"], schema["description"], schema["additionalProperties"]) == ("Described", "One line.", False)
    properties = schema["properties"]
    assert properties["symbol"]["pattern"] == "^[A-Z0-9./]+$"
    assert properties["symbol"]["maxLength"] == 12
    assert properties["symbol"]["x-synonyms"] == ["ticker", "instrument", "security"]
    assert properties["side"]["enum"] == ["BUY"]
    assert properties["strength"]["anyOf"] == [{"type": "number", "minimum": -1.0, "maximum": 1.0}, {"type": "null"}]
    assert properties["strength"]["x-unit"] == "score"
    assert properties["trade_date"]["anyOf"][0] == {"type": "string", "format": "date"}
    assert properties["tags"] | {"items": {"type": "string"}} == properties["tags"]
    assert json.loads(json.dumps(schema)) == schema


def test_json_schema_requires_what_has_no_storable_default() -> None:
    assert json_schema(Described)["required"] == ["symbol"]
    assert json_schema(Trade)["required"] == ["symbol", "side"]
    assert json_schema(Trade)["properties"]["currency"]["default"] == "USD"
    assert json_schema(Trade)["properties"]["book"]["default"] is None


def test_json_schema_states_decimal_bounds_in_an_extension(odd: ColumnDef) -> None:
    REGISTRY.define(
        "probe_exact",
        Decimal,
        description="Exact",
        role="measure",
        unit="USD",
        min_value=Decimal("0.10"),
        nullable=True,
    )

    @dataclass
    class Exact(Storable):
        probe_exact: Decimal | None = None

    inner = json_schema(Exact)["properties"]["probe_exact"]["anyOf"][0]
    assert inner == {"type": "string", "format": "decimal", "x-minimum": "0.1"}


def test_json_schema_leaves_shared_type_schemas_alone() -> None:
    before = json.dumps(json_schema(Described))
    json_schema(Trade)["properties"]["symbol"]["pattern"] = "spoilt"
    assert json.dumps(json_schema(Described)) == before


def test_json_schema_accepts_what_the_client_sends_and_nothing_else() -> None:
    REGISTRY.define("probe_marks", dict[int, list[Decimal]], description="Marks by day", role="attribute")

    @dataclass
    class Probed(Described):
        probe_marks: dict[int, list[Decimal]] = field(default_factory=dict)

    schema = json_schema(Probed)
    Draft202012Validator.check_schema(schema)
    check = Draft202012Validator(schema)
    data = record_schema(Probed).encode_valid(
        Probed("AAPL", strength=0.5, trade_date=date(2026, 2, 20), tags=["a"], probe_marks={-7: [Decimal("1.5")]})
    )
    assert check.is_valid(data)
    for wrong in (
        {"symbol": "aapl"},
        {"symbol": "ABCDEFGHIJKLM"},
        {"symbol": None},
        {"strength": 1.5},
        {"strength": "0.5"},
        {"side": "HOLD"},
        {"tags": [1]},
        {"probe_marks": {"07": []}},
        {"probe_marks": {"7": [1.5]}},
        {"foo": 1},
    ):
        assert not check.is_valid(data | wrong), wrong
    assert not check.is_valid({name: value for name, value in data.items() if name != "symbol"})


@pytest.mark.parametrize("cls", [Trade, Order, Signal, Limit])
def test_json_schema_of_each_model_is_valid(cls: type[Storable]) -> None:
    Draft202012Validator.check_schema(json_schema(cls))
