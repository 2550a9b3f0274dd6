"""The documented code of the column registry and the state machines, as a reader types it."""

# Written as the documentation writes it.
# ruff: noqa: RUF012

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pytest

from reactive.expr import Const, Field
from store.base import Metadata, Storable
from store.columns import REGISTRY
from store.registry import ColumnDef, RegistryError
from store.state_machine import GuardFailure, InvalidTransition, StateMachine, Transition, TransitionNotPermitted

happened: list[str] = []


def create_settlement(obj: Any) -> None:
    happened.append("settlement")


def log(text: str) -> None:
    happened.append(text)


def notify_risk(obj: Any) -> None:
    happened.append("risk")


def settlement_workflow(entity_id: str) -> None:
    happened.append(entity_id)


def test_definitions_run_as_printed() -> None:
    REGISTRY.define("symbol", str,
        description="Financial instrument ticker symbol",
        semantic_type="identifier", role="dimension",
        synonyms=["ticker", "instrument", "security"],
        sample_values=["AAPL", "GOOGL", "MSFT"],
        max_length=12, pattern=r"^[A-Z0-9./]+$",
    )  # fmt: skip

    REGISTRY.define("price", float,
        description="Trade execution price",
        semantic_type="currency_amount", role="measure",
        unit="USD", min_value=0, format=",.2f",
    )  # fmt: skip

    # Prefixed columns — base column controls allowed prefixes
    REGISTRY.define("name", str,
        description="Person name", role="dimension",
        allowed_prefixes=["trader", "salesperson", "client"],
    )  # fmt: skip
    assert [REGISTRY.has(name) for name in ("trader_name", "client_name", "random_name")] == [True, True, False]


def test_enforcement_and_introspection_run_as_printed() -> None:
    @dataclass
    class Trade(Storable):
        symbol: str = ""
        trader_name: str = ""
        price: float = 0.0

    with pytest.raises(RegistryError, match="not in registry") as caught:

        @dataclass
        class Bad(Storable):
            foo: str = ""
            price: str = ""

    assert "type str ≠ float" in str(caught.value)

    column, prefix = REGISTRY.resolve("trader_name")
    assert (repr(column), prefix) == ('ColumnDef("name")', "trader")
    assert isinstance(column, ColumnDef)
    assert Trade in REGISTRY.entities_with("symbol")
    assert [repr(column) for column in REGISTRY.columns_for(Trade)][:1] == ['ColumnDef("symbol")']
    assert REGISTRY.prefixed_columns("name") == ["trader_name", "salesperson_name", "client_name"]
    assert REGISTRY.validate_instance(Trade(symbol="AAPL", price=1.0)) is None  # type: ignore[func-returns-value]


def test_lifecycle_runs_as_printed() -> None:
    @dataclass
    class Order(Storable):
        symbol: str = ""
        quantity: int = 0
        price: float = 0.0
        side: str = ""

    engine = object()

    class OrderLifecycle(StateMachine):
        initial = "PENDING"
        transitions = [
            Transition("PENDING", "FILLED",
                guard=Field("quantity") > Const(0),
                action=lambda obj, f, t: create_settlement(obj),    # Tier 1: atomic
                on_exit=lambda obj, f, t: log("left PENDING"),      # Tier 2: fire-and-forget
                on_enter=lambda obj, f, t: notify_risk(obj),        # Tier 2: fire-and-forget
                start_workflow=settlement_workflow),                  # Tier 3: durable
            Transition("PENDING", "CANCELLED",
                allowed_by=["risk_manager"]),
            Transition("FILLED", "SETTLED",
                guard=Field("price") > Const(0)),
        ]  # fmt: skip

    Order._state_machine = OrderLifecycle
    Order._workflow_engine = engine  # enables start_workflow=

    now = datetime.now(timezone.utc)
    order = Order(symbol="AAPL", quantity=0, side="BUY")
    order._bind(Metadata("e-1", 1, "alice", "alice", now, now, None, OrderLifecycle.initial, "CREATED"), {})
    with pytest.raises(GuardFailure):
        OrderLifecycle.check_transition(order, "FILLED", "alice")
    with pytest.raises(TransitionNotPermitted):
        OrderLifecycle.check_transition(order, "CANCELLED", "alice")
    with pytest.raises(InvalidTransition):
        OrderLifecycle.check_transition(order, "SETTLED", "alice")
    order.quantity = 100
    edge = OrderLifecycle.check_transition(order, "FILLED", "alice")
    happened.clear()
    for hook in (edge.action, edge.on_exit, edge.on_enter):
        assert hook is not None
        hook(order, "PENDING", "FILLED")
    assert happened == ["settlement", "left PENDING", "risk"]
