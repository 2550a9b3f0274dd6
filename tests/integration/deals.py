"""A class with a lifecycle whose hooks keep a record and fail when they are told to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from reactive.expr import Const, Field
from store.base import Storable
from store.client import StoreClient
from store.state_machine import StateMachine, Transition
from tests.integration.samples import Position


class Effects:
    """What the hooks of the machine below did, and what they are told to do."""

    log: ClassVar[list[tuple[Any, ...]]] = []
    client: ClassVar[StoreClient]
    failing: ClassVar[set[str]] = set()
    written: ClassVar[list[Position]] = []

    @classmethod
    def clear(cls, client: StoreClient) -> None:
        cls.client = client
        cls.log, cls.failing, cls.written = [], set(), []

    @classmethod
    def note(cls, hook: str, obj: Any, from_state: str, to_state: str) -> None:
        cls.log.append((hook, obj.state, obj.quantity, from_state, to_state))
        if hook in cls.failing:
            raise RuntimeError(f"{hook} failed")


def settle(obj: Any, from_state: str, to_state: str) -> None:
    """Write another entity and change the object, unsaved, before anything can fail."""
    made = Position(quantity=obj.quantity, label="settlement")
    Effects.client.write(made)
    Effects.written.append(made)
    obj.symbol = "EDIT"
    Effects.note("action", obj, from_state, to_state)


class Lifecycle(StateMachine):
    initial = "PENDING"
    transitions = (
        Transition("PENDING", "CHECKED", guard=Field("quantity") > Const(0)),
        Transition("PENDING", "VETOED", allowed_by=["bob"], guard=Field("quantity") > Const(0)),
        Transition(
            "PENDING",
            "FILLED",
            action=settle,
            on_exit=lambda obj, f, t: Effects.note("on_exit", obj, f, t),
            on_enter=lambda obj, f, t: Effects.note("on_enter", obj, f, t),
        ),
        Transition(
            "PENDING",
            "SEEN",
            on_exit=lambda obj, f, t: Effects.note("on_exit", obj, f, t),
            on_enter=lambda obj, f, t: Effects.note("on_enter", obj, f, t),
        ),
        Transition("CHECKED", "PENDING"),
        Transition("FILLED", "SETTLED"),
    )


@dataclass
class Deal(Storable, state_machine=Lifecycle):
    symbol: str = "AAPL"
    quantity: int = 1
    price: float = 0.0


def written(client: StoreClient, **fields: Any) -> Deal:
    """Return a deal that was just written."""
    obj = Deal(**fields)
    client.write(obj)
    return obj


def trail(client: StoreClient, obj: Storable) -> list[tuple[str, str | None]]:
    """Return type and state of each of an object's events."""
    return [(entry["event_type"], entry["state"]) for entry in client.audit(str(obj.entity_id))]
