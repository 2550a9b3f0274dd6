"""The documented lifecycle of an order, as a reader types it, on a store and with an engine."""

# Written as the documentation writes it.
# ruff: noqa: RUF012

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from reactive.expr import Const, Field
from store.base import Storable
from store.client import StoreClient
from store.errors import GuardFailure, InvalidTransition, TransitionNotPermitted
from store.publishing import publish
from store.state_machine import StateMachine, Transition
from tests.fix_postgres import StoreDatabase
from tests.waiting import wait_until
from workflow.testing import InMemoryEngine

happened: list[str] = []


class Desk:
    client: ClassVar[StoreClient]


@dataclass
class Settlement(Storable):
    symbol: str = ""
    quantity: int = 0


def create_settlement(obj: Any) -> None:
    Desk.client.write(Settlement(symbol=obj.symbol, quantity=obj.quantity))
    happened.append("settlement")


def log(text: str) -> None:
    happened.append(text)


def notify_risk(obj: Any) -> None:
    happened.append("risk")


def settlement_workflow(entity_id: str) -> None:
    happened.append(f"workflow of {entity_id}")


@pytest.mark.parametrize("governed", [False, True], ids=["unpublished", "published"])
def test_lifecycle_runs_as_printed_on_a_store(store_db: StoreDatabase, governed: bool) -> None:
    @dataclass
    class Order(Storable):
        symbol: str = ""
        quantity: int = 0
        price: float = 0.0
        side: str = ""

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
    if governed:
        publish(store_db.admin(), Order, Settlement)
    client = Desk.client = store_db.client()
    happened.clear()
    with InMemoryEngine(outbox=store_db.server.dbos_url(store_db.dbname)) as engine:
        Order._workflow_engine = engine  # enables start_workflow=

        order = Order(symbol="AAPL", quantity=0, side="BUY")
        client.write(order)  # state → "PENDING"
        assert order.state == "PENDING"
        with pytest.raises(GuardFailure):
            client.transition(order, "FILLED")
        with pytest.raises(TransitionNotPermitted):
            client.transition(order, "CANCELLED")
        order.quantity = 100
        client.transition(order, "FILLED")  # guard passes → Tier 1/2/3 fire
        assert order.state == "FILLED"
        wait_until(lambda: f"workflow of {order.entity_id}" in happened)
        assert [what for what in happened if "workflow" not in what] == ["settlement", "left PENDING", "risk"]
        assert [found.quantity for found in client.query(Settlement)] == [100]
        with pytest.raises(GuardFailure):
            client.transition(order, "SETTLED")
        order.price = 150.0
        client.transition(order, "SETTLED")  # guard passes
        with pytest.raises(InvalidTransition):
            client.transition(order, "PENDING")  # raises InvalidTransition
        assert order.state == "SETTLED"
