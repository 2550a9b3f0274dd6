"""Defining columns: what a definition needs, what it refuses, and defining a name again."""

from __future__ import annotations

import enum
import threading
from dataclasses import make_dataclass
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any

import pytest

from store.columns import REGISTRY
from store.registry import METADATA_NAMES, RESERVED_NAMES, ColumnDef, ColumnRegistry, RegistryError

DIMENSION: dict[str, Any] = {"description": "A column of the tests", "role": "dimension"}
MEASURE: dict[str, Any] = {"description": "A figure of the tests", "role": "measure", "unit": "USD"}


def refused(name: Any, python_type: Any, **attributes: Any) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        ColumnRegistry().define(name, python_type, **attributes)
    return caught.value


def test_define_full_definition_keeps_every_category() -> None:
    column = ColumnRegistry().define(
        "fee",
        float,
        nullable=True,
        default=1.0,
        min_value=0,
        max_value=100,
        description="Fee of the broker",
        synonyms=["commission"],
        sample_values=[1.5],
        semantic_type="currency_amount",
        role="measure",
        aggregation="sum",
        unit="USD",
        display_name="Broker fee",
        format=",.2f",
        category="costs",
        sensitivity="confidential",
        deprecated="use cost",
        tags=["cost"],
        legend_type="Number",
        dh_type_override="double",
        allowed_prefixes=["clearing"],
    )
    assert (column.name, column.python_type, column.nullable, column.default) == ("fee", float, True, 1.0)
    assert (column.min_value, column.max_value, column.synonyms, column.sample_values) == (
        0,
        100,
        ("commission",),
        (1.5,),
    )
    assert (column.aggregation, column.unit, column.format, column.sensitivity) == (
        "sum",
        "USD",
        ",.2f",
        "confidential",
    )
    assert (column.legend_type, column.dh_type_override, column.tags) == ("Number", "double", ("cost",))
    assert repr(column) == 'ColumnDef("fee")'


def test_define_without_display_name_derives_it_from_the_name() -> None:
    assert ColumnRegistry().define("avg_fee", str, **DIMENSION).display_name == "Avg Fee"


@pytest.mark.parametrize("name", ["Price", "1st", "a b", "", "class", "a" * 64, "_hidden", None, 'x"; DROP'])
def test_define_bad_name_is_refused(name: Any) -> None:
    assert refused(name, str, **DIMENSION).field == "name"


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_define_reserved_name_is_refused(name: str) -> None:
    assert "reserved" in str(refused(name, str, **DIMENSION))


def test_reserved_names_cover_the_metadata() -> None:
    assert set(METADATA_NAMES) < RESERVED_NAMES


@pytest.mark.parametrize(
    ("python_type", "attributes", "field"),
    [
        (str, {"role": "dimension"}, "description"),
        (str, {"description": "  ", "role": "dimension"}, "description"),
        (str, {"description": "x"}, "role"),
        (str, {**DIMENSION, "role": "dimensoin"}, "role"),
        (float, {"description": "x", "role": "measure"}, "unit"),
        (float, {**MEASURE, "aggregation": "average"}, "aggregation"),
        (str, {**DIMENSION, "sensitivity": "secret"}, "sensitivity"),
        (str, {**DIMENSION, "pattern": "[a-"}, "pattern"),
        (str, {**DIMENSION, "pattern": r"(a)\1"}, "pattern"),
        (float, {**MEASURE, "pattern": "a"}, "pattern"),
        (float, {**MEASURE, "max_length": 3}, "max_length"),
        (str, {**DIMENSION, "max_length": 0}, "max_length"),
        (str, {**DIMENSION, "max_length": True}, "max_length"),
        (str, {**DIMENSION, "max_length": 2**31}, "max_length"),
        (str, {**DIMENSION, "pattern": 5}, "pattern"),
        (str, {**DIMENSION, "pattern": b"a"}, "pattern"),
        (str, {**DIMENSION, "check": []}, "check"),
        (float, {**MEASURE, "format": 5}, "format"),
        (str, {**DIMENSION, "display_name": 5}, "display_name"),
        (str, {**DIMENSION, "tags": None}, "tags"),
        (str, {**DIMENSION, "synonyms": False}, "synonyms"),
        (time, {**DIMENSION, "min_value": time(9, tzinfo=timezone.utc), "max_value": time(17)}, "min_value"),
        (str, {**DIMENSION, "check": "iban"}, "check"),
        (str, {**DIMENSION, "min_value": "a"}, "min_value"),
        (float, {**MEASURE, "min_value": 2, "max_value": 1}, "min_value"),
        (float, {**MEASURE, "max_value": "high"}, "max_value"),
        (float, {**MEASURE, "min_value": float("nan")}, "min_value"),
        (datetime, {**DIMENSION, "min_value": datetime(2026, 1, 1)}, "min_value"),
        (str, {**DIMENSION, "enum": []}, "enum"),
        (str, {**DIMENSION, "enum": "BUY"}, "enum"),
        (str, {**DIMENSION, "enum": ["BUY", 1]}, "enum"),
        (str, {**DIMENSION, "enum": ["TOO LONG"], "max_length": 3}, "enum"),
        (list, {**DIMENSION, "enum": [["a"]]}, "enum"),
        (float, {**MEASURE, "sample_values": [-1.0], "min_value": 0}, "sample_values"),
        (str, {**DIMENSION, "sample_values": [1]}, "sample_values"),
        (str, {**DIMENSION, "sample_values": "AAPL"}, "sample_values"),
        (int, {**MEASURE, "default": "0"}, "default"),
        (int, {**MEASURE, "default": 7, "max_value": 5}, "default"),
        (float, {**MEASURE, "sample_values": [1.0], "format": ",.2q"}, "format"),
        (str, {**DIMENSION, "synonyms": "ticker"}, "synonyms"),
        (str, {**DIMENSION, "synonyms": [""]}, "synonyms"),
        (str, {**DIMENSION, "tags": 3}, "tags"),
        (str, {**DIMENSION, "allowed_prefixes": ["Trader"]}, "allowed_prefixes"),
        (str, {**DIMENSION, "allowed_prefixes": ["a", "a"]}, "allowed_prefixes"),
        (str, {**DIMENSION, "nullable": 1}, "nullable"),
        (str, {**DIMENSION, "deprecated": 1}, "deprecated"),
        (str, {**DIMENSION, "category": ""}, "category"),
        (complex, DIMENSION, "python_type"),
        (bytes, DIMENSION, "python_type"),
        (set, DIMENSION, "python_type"),
        (Any, DIMENSION, "python_type"),
        ("nowhere", DIMENSION, "python_type"),
        ("str", DIMENSION, "python_type"),
        (list["str"], DIMENSION, "python_type"),
        (float | None, MEASURE, "python_type"),
        (dict[float, str], DIMENSION, "python_type"),
    ],
)
def test_define_invalid_attribute_is_refused_by_name(python_type: Any, attributes: dict[str, Any], field: str) -> None:
    assert refused("fee", python_type, **attributes).field == field


def test_define_several_faults_lists_all_of_them() -> None:
    error = refused("fee", float, role="measure", description="", sensitivity="secret")
    assert {violation.field for violation in error.violations} == {"unit", "description", "sensitivity"}


def test_define_misspelt_attribute_names_the_right_one() -> None:
    error = refused("fee", str, **DIMENSION, synonim=["x"])
    assert error.suggestions == ("synonyms",)


@pytest.mark.parametrize(
    ("python_type", "attributes"),
    [
        (Decimal, {**MEASURE, "min_value": Decimal("0.01"), "max_value": 10, "sample_values": [Decimal("9.99")]}),
        (date, {**DIMENSION, "min_value": date(2020, 1, 1), "sample_values": [date(2026, 1, 1)]}),
        (datetime, {**DIMENSION, "max_value": datetime(2030, 1, 1, tzinfo=timezone.utc)}),
        (list[Decimal], DIMENSION),
        (dict[str, list[int]], DIMENSION),
        (tuple[int, str], DIMENSION),
        (make_dataclass("Leg", [("strike", float)]), DIMENSION),
        (enum.Enum("Venue", {"XNYS": "XNYS"}), DIMENSION),
    ],
)
def test_define_storable_type_is_accepted(python_type: Any, attributes: dict[str, Any]) -> None:
    assert ColumnRegistry().define("fee", python_type, **attributes).python_type == python_type


def test_define_again_with_equal_attributes_changes_nothing() -> None:
    registry = ColumnRegistry()
    first = registry.define("fee", str, **DIMENSION, synonyms=["cost"], allowed_prefixes=["clearing"])
    assert registry.define("fee", str, **DIMENSION, synonyms=("cost",), allowed_prefixes=["clearing"]) is first


def test_define_again_with_a_class_defined_twice_alike_changes_nothing() -> None:
    def leg(annotation: type) -> type:
        return make_dataclass("Leg", [("strike", annotation)], namespace={"__module__": "cell"})

    registry = ColumnRegistry()
    first = registry.define("legs", list[leg(float)], **DIMENSION)  # type: ignore[misc]
    assert registry.define("legs", list[leg(float)], **DIMENSION) is first  # type: ignore[misc]
    with pytest.raises(RegistryError, match="python_type"):
        registry.define("legs", list[leg(str)], **DIMENSION)  # type: ignore[misc]


@pytest.mark.parametrize(
    "changed", [{"max_length": 9}, {"description": "Other"}, {"nullable": True}, {"synonyms": ["x"]}]
)
def test_define_again_with_different_attributes_is_refused(changed: dict[str, Any]) -> None:
    registry = ColumnRegistry()
    registry.define("fee", str, **DIMENSION)
    with pytest.raises(RegistryError) as caught:
        registry.define("fee", str, **{**DIMENSION, **changed})
    assert caught.value.field == next(iter(changed))
    assert registry.resolve("fee")[0].description == DIMENSION["description"]


def test_define_again_with_another_type_is_refused() -> None:
    registry = ColumnRegistry()
    registry.define("fee", str, **DIMENSION)
    with pytest.raises(RegistryError, match="already defined as <class 'str'>"):
        registry.define("fee", int, **DIMENSION)


def test_define_prefixed_name_that_is_a_column_is_refused() -> None:
    registry = ColumnRegistry()
    registry.define("trader_fee", str, **DIMENSION)
    with pytest.raises(RegistryError, match="'trader_fee' is already a name of its own"):
        registry.define("fee", str, **DIMENSION, allowed_prefixes=["trader"])
    assert not registry.has("fee")


def test_define_name_that_is_prefixed_already_is_refused() -> None:
    registry = ColumnRegistry()
    registry.define("fee", str, **DIMENSION, allowed_prefixes=["trader"])
    with pytest.raises(RegistryError, match="already column 'fee' with the prefix 'trader'"):
        registry.define("trader_fee", str, **DIMENSION)


def test_define_same_full_name_through_two_bases_is_refused() -> None:
    registry = ColumnRegistry()
    registry.define("b_c", str, **DIMENSION, allowed_prefixes=["a"])
    with pytest.raises(RegistryError, match="'a_b_c' is already column 'b_c'"):
        registry.define("c", str, **DIMENSION, allowed_prefixes=["a_b"])


def test_define_prefix_that_makes_a_reserved_name_is_refused() -> None:
    with pytest.raises(RegistryError, match="'entity_id' is already"):
        ColumnRegistry().define("id", str, **DIMENSION, allowed_prefixes=["entity"])


def test_define_from_many_threads_keeps_one_definition() -> None:
    registry = ColumnRegistry()
    made: list[ColumnDef] = []
    threads = [
        threading.Thread(target=lambda: made.append(registry.define("fee", str, **DIMENSION))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 16
    assert len({id(column) for column in made}) == 1


def test_column_with_a_list_default_is_hashable() -> None:
    column = ColumnRegistry().define("fee", list, **DIMENSION, default=["a"])
    assert len({column, column}) == 1


def test_documented_definitions_are_those_of_the_catalog() -> None:
    before = [REGISTRY.resolve(name)[0] for name in ("symbol", "price", "name")]
    REGISTRY.define(
        "symbol",
        str,
        description="Financial instrument ticker symbol",
        semantic_type="identifier",
        role="dimension",
        synonyms=["ticker", "instrument", "security"],
        sample_values=["AAPL", "GOOGL", "MSFT"],
        max_length=12,
        pattern=r"^[A-Z0-9./]+$",
    )
    REGISTRY.define(
        "price",
        float,
        description="Trade execution price",
        semantic_type="currency_amount",
        role="measure",
        unit="USD",
        min_value=0,
        format=",.2f",
    )
    REGISTRY.define(
        "name",
        str,
        description="Person name",
        role="dimension",
        allowed_prefixes=["trader", "salesperson", "client"],
    )
    assert all(REGISTRY.resolve(column.name)[0] is column for column in before)
