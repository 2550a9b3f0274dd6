"""Orders with a life cycle, for the tests of state machines."""

# A list on the class is how machines are written.
# ruff: noqa: RUF012

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from reactive.expr import Const, Field
from store.base import Metadata, Storable
from store.state_machine import StateMachine, Transition

NOON = datetime(2026, 2, 22, 12, tzinfo=timezone.utc)


@dataclass
class Order(Storable):
    symbol: str = "AAPL"
    quantity: int | None = 0
    price: float = 0.0
    side: str = "BUY"


def settlement_workflow(entity_id: str) -> str:
    return entity_id


class Desk:
    @staticmethod
    def settle(entity_id: str) -> str:
        return entity_id

    def settle_here(self, entity_id: str) -> str:
        return entity_id


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(entity_id: str) -> Any:
        return function(entity_id)

    return wrapper


@decorated
def wrapped_workflow(entity_id: str) -> str:
    return entity_id


hidden = decorated(settlement_workflow)
calls: list[Any] = []


class OrderLifecycle(StateMachine):
    initial = "PENDING"
    transitions = [
        Transition(
            "PENDING",
            "FILLED",
            guard=Field("quantity") > Const(0),
            action=lambda obj, f, t: calls.append(("action", f, t)),
            on_exit=lambda obj, f, t: calls.append(("exit", f, t)),
            on_enter=lambda obj, f, t: calls.append(("enter", f, t)),
            start_workflow=settlement_workflow,
        ),
        Transition("PENDING", "CANCELLED", allowed_by=["risk_manager"]),
        Transition("FILLED", "SETTLED", guard=Field("price") > Const(0)),
    ]


def order(state: str | None = "PENDING", **values: Any) -> Order:
    made = Order(**values)
    if state is not None:
        made._bind(Metadata("e-1", 1, "alice", "alice", NOON, NOON, None, state, "CREATED"), {})
    return made
