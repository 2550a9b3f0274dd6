"""The domain models as the documentation uses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from store.base import Storable, record_schema
from store.columns import REGISTRY
from store.errors import InvalidValue
from store.models import Limit, Order, Signal, Trade

VALID: list[Storable] = [
    Trade(symbol="AAPL", quantity=100, price=150.0, side="BUY"),
    Order(symbol="AAPL", quantity=100, price=150.0, side="SELL"),
    Signal(symbol="AAPL", direction="LONG", strength=0.8, model_name="momentum"),
    Limit(book="EQ-US", metric="gross_exposure", warn=0.8e6, stop=1e6),
]


@pytest.mark.parametrize("obj", VALID, ids=lambda obj: type(obj).__name__)
def test_model_with_its_main_fields_is_valid_and_round_trips(obj: Storable) -> None:
    REGISTRY.validate_instance(obj)
    schema = record_schema(type(obj))
    assert schema.decode(schema.encode(obj)) == obj


@pytest.mark.parametrize("cls", [Trade, Order])
def test_model_without_symbol_and_side_is_refused(cls: type[Any]) -> None:
    with pytest.raises(InvalidValue) as caught:
        REGISTRY.validate_instance(cls())
    assert [violation.field for violation in caught.value.violations] == ["symbol", "side"]


def test_models_carry_no_lifecycle_of_their_own() -> None:
    assert [cls._state_machine for cls in (Trade, Order, Signal, Limit)] == [None] * 4


def test_quick_start_position_is_made_of_catalog_columns() -> None:
    @dataclass
    class Position(Storable):
        symbol: str = ""
        quantity: int = 0
        avg_cost: float = 0.0
        current_price: float = 0.0

    REGISTRY.validate_instance(Position(symbol="AAPL", quantity=100, avg_cost=220.0, current_price=230.0))
