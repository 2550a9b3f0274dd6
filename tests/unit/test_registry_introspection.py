"""Asking the registry: resolve, entities, columns, search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from store.columns import REGISTRY, finance, general, trading
from store.models import Limit, Order, Signal, Trade
from store.registry import ColumnRegistry, RegistryError

DIMENSION: dict[str, Any] = {"description": "A column of the tests", "role": "dimension"}


@pytest.fixture
def registry() -> ColumnRegistry:
    made = ColumnRegistry()
    made.define("name", str, **DIMENSION, allowed_prefixes=["trader", "client"])
    made.define("fee", float, description="Commission of the broker", role="measure", unit="USD", synonyms=["charge"])
    made.define("desk", str, description="Where the broker calls", role="dimension", tags=["people"])
    return made


def test_resolve_prefixed_name_gives_column_and_prefix() -> None:
    assert REGISTRY.resolve("trader_name") == (REGISTRY.get("name"), "trader")


def test_resolve_plain_name_gives_no_prefix() -> None:
    column, prefix = REGISTRY.resolve("name")
    assert (column.name, prefix) == ("name", None)


def test_resolve_unknown_name_suggests_the_nearest(registry: ColumnRegistry) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.resolve("tradername")
    assert caught.value.suggestions[0] == "trader_name"


def test_resolve_synonym_suggests_its_column(registry: ColumnRegistry) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.resolve("charge")
    assert caught.value.suggestions == ("fee",)


def test_get_has_and_is_prefixed_tell_names_apart(registry: ColumnRegistry) -> None:
    names = ["name", "trader_name", "random_name"]
    assert [registry.get(name) is not None for name in names] == [True, False, False]
    assert [registry.has(name) for name in names] == [True, True, False]
    assert [registry.is_prefixed(name) for name in names] == [False, True, False]
    assert ["name" in registry, "trader_name" in registry, len(registry)] == [True, False, 3]


def test_all_columns_are_in_order_of_definition(registry: ColumnRegistry) -> None:
    assert [column.name for column in registry.all_columns()] == ["name", "fee", "desk"]


def test_prefixed_columns_are_the_approved_names() -> None:
    assert REGISTRY.prefixed_columns("name") == ["trader_name", "salesperson_name", "client_name"]
    assert REGISTRY.prefixed_columns("price") == []


def test_entities_with_symbol_lists_the_models_in_order() -> None:
    catalog = ColumnRegistry()
    for module in (general, trading, finance):
        module.define_columns(catalog)
    for cls in (Trade, Order, Signal, Limit):
        catalog.validate_class(cls)
    assert catalog.entities_with("symbol") == [Trade, Order, Signal]
    assert catalog.entities() == [Trade, Order, Signal, Limit]


def test_entities_with_base_column_includes_prefixed_fields(registry: ColumnRegistry) -> None:
    @dataclass
    class Deal:
        trader_name: str = ""

    @dataclass
    class Visit:
        client_name: str = ""
        name: str = ""

    registry.validate_class(Deal)
    registry.validate_class(Visit)
    assert registry.entities_with("name") == [Deal, Visit]
    assert registry.entities_with("client_name") == [Visit]
    assert registry.entities_with("fee") == []
    with pytest.raises(RegistryError, match="not in registry"):
        registry.entities_with("rogue")


def test_columns_for_class_or_name_are_the_base_columns(registry: ColumnRegistry) -> None:
    @dataclass
    class Deal:
        trader_name: str = ""
        fee: float = 0.0

    assert registry.columns_for(Deal) == [registry.get("name"), registry.get("fee")]
    assert registry.columns_for("Deal") == registry.columns_for(Deal)


def test_columns_for_unknown_name_suggests_the_nearest(registry: ColumnRegistry) -> None:
    registry.validate_class(type("Trade", (), {"__annotations__": {"fee": float}}))
    registry.validate_class(kept := type("Trade", (), {"__annotations__": {"fee": float}}))
    with pytest.raises(RegistryError) as caught:
        registry.columns_for("Tradee")
    assert registry.columns_for("Trade") == registry.columns_for(kept)
    assert "Trade" in caught.value.suggestions


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ticker", "symbol"),
        ("TICKER", "symbol"),
        ("profit and loss", "pnl"),
        ("trader name", "name"),
        ("vol", "volatility"),
        ("implied volatility", "volatility"),
        ("price", "price"),
        ("ytm", "yield_to_maturity"),
        ("check digit", "isin"),
        ("buy sell indicator", "side"),
        ("ISO 4217", "currency"),
    ],
)
def test_find_by_name_synonym_or_words_puts_the_column_first(text: str, name: str) -> None:
    assert REGISTRY.find(text)[0].name == name


def test_find_misspelt_word_falls_back_to_the_nearest_name() -> None:
    assert REGISTRY.find("simbol")[0].name == "symbol"


def test_find_matching_more_words_ranks_higher(registry: ColumnRegistry) -> None:
    assert [column.name for column in registry.find("commission of the broker")] == ["fee", "name", "desk"]


@pytest.mark.parametrize("text", ["", "   ", "?!", "xyzzyx"])
def test_find_nothing_like_it_gives_nothing(text: str, registry: ColumnRegistry) -> None:
    assert registry.find(text) == []


def test_find_limit_bounds_the_answer() -> None:
    assert len(REGISTRY.find("price", limit=3)) == 3


def test_lookups_while_another_thread_defines_columns_and_classes_do_not_fail(registry: ColumnRegistry) -> None:
    import threading

    failures: list[Exception] = []

    def define() -> None:
        for number in range(300):
            registry.define(f"column_{number}", str, **DIMENSION)
            cls = dataclass(type(f"Class{number}", (), {"__annotations__": {f"column_{number}": str}}))
            registry.validate_class(cls)

    def ask() -> None:
        try:
            while writer.is_alive():
                registry.find("column")
                registry.entities_with("name")
                registry.unknown("colum")
        except Exception as error:
            failures.append(error)

    writer = threading.Thread(target=define)
    reader = threading.Thread(target=ask)
    writer.start()
    reader.start()
    writer.join()
    reader.join()
    assert failures == []


@pytest.mark.parametrize("name", [None, 5, [], Trade])
@pytest.mark.parametrize("question", ["resolve", "entities_with", "prefixed_columns", "find"])
def test_question_about_what_is_no_text_is_refused(question: str, name: Any) -> None:
    with pytest.raises(RegistryError, match=r"not (by )?(None|5|\[\]|<class 'store.models.Trade'>) "):
        getattr(REGISTRY, question)(name)


@pytest.mark.parametrize("cls", [None, 5, []])
@pytest.mark.parametrize("question", ["validate_class", "columns_for", "binding"])
def test_question_about_what_is_no_class_is_refused(question: str, cls: Any) -> None:
    with pytest.raises(RegistryError, match="expected a class, found"):
        getattr(REGISTRY, question)(cls)
