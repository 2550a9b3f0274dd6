"""Classes with a field of every storable type, and how an object is compared with what the store holds."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from store.base import Storable
from store.client import StoreClient
from store.columns import REGISTRY
from store.state_machine import StateMachine, Transition

UTC = timezone.utc


class Side(Enum):
    BUY = "BUY"
    SELL = "SELL"


class Urgency(Enum):
    LOW = 9
    HIGH = 10


@dataclass
class Leg:
    symbol: str = ""
    ratio: Decimal = Decimal(1)
    due: date | None = None
    marks: list[float] = field(default_factory=list)


for name, kind in (
    ("exact_amount", Decimal),
    ("external_ref", UUID),
    ("urgency", int),
    ("opening_time", time),
    ("legs", list),
    ("main_leg", Leg),
    ("limits_by_desk", dict),
    ("extra", dict),
    ("data", str),
    ("now", int),
    ("order", str),
    ("percent_sign", str),
):
    REGISTRY.define(name, kind, description=f"Sample of {name}", role="attribute", nullable=True)


class OpenClosed(StateMachine):
    initial = "OPEN"
    transitions = (Transition("OPEN", "CLOSED"),)


@dataclass
class Ticket(Storable, state_machine=OpenClosed):
    label: str = ""
    quantity: int = 0


@dataclass
class Position(Storable):
    """What most tests write: two numbers and a label."""

    symbol: str = "AAPL"
    quantity: int = 0
    price: float = 0.0
    label: str | None = None


@dataclass
class Everything(Storable):
    """A field of every type that the store knows."""

    notes: str | None = None
    quantity: int | None = None
    weight: float | None = None
    active: bool | None = None
    exact_amount: Decimal | None = None
    ts: datetime | None = None
    trade_date: date | None = None
    opening_time: time | None = None
    external_ref: UUID | None = None
    side: Side | None = None
    urgency: Urgency | None = None
    tags: list | None = None  # type: ignore[type-arg]
    legs: list[Leg] | None = None
    main_leg: Leg | None = None
    limits_by_desk: dict[str, Decimal] | None = None
    extra: dict | None = None  # type: ignore[type-arg]


FULL: dict[str, Any] = {
    "notes": "désk 'one' \u2603 \U0001f680",
    "quantity": -(10**30),
    "weight": 0.1,
    "active": False,
    "exact_amount": Decimal("12345678901234567890.123456789"),
    "ts": datetime(2026, 2, 22, 10, 0, 0, 1, tzinfo=UTC),
    "trade_date": date(2026, 2, 22),
    "opening_time": time(9, 30, 0, 1),
    "external_ref": UUID("12345678-1234-5678-1234-567812345678"),
    "side": Side.SELL,
    "urgency": Urgency.HIGH,
    "tags": ["a", 1, 2.5, None, True, {"k": []}],
    "legs": [Leg("AAPL", Decimal("0.5"), date(2026, 3, 1), [1.0, 2.5]), Leg()],
    "main_leg": Leg("GOOG", Decimal("-2"), None, []),
    "limits_by_desk": {"rates": Decimal("1000000.01"), "": Decimal(0)},
    "extra": {"nested": {"deep": [1, {"x": None}]}, "": ""},
}


def moment(days: float) -> datetime:
    """Return a time on a calendar that lies wholly in the past."""
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=days)


def soon(milliseconds: float) -> datetime:
    """Return a time that comes while the test runs."""
    return datetime.now(UTC) + timedelta(milliseconds=milliseconds)


def content(obj: Storable) -> dict[str, Any]:
    """Return a deep copy of an object's fields."""
    return {item.name: copy.deepcopy(getattr(obj, item.name)) for item in fields(obj)}  # type: ignore[arg-type]


def whole(obj: Storable) -> tuple[Any, ...]:
    """Return everything of an object that a call may change, for a comparison with itself later."""
    return repr(obj), content(obj), obj._metadata, copy.deepcopy(obj._stored)


def told(value: Any) -> Any:
    """Return a value as text that shows its type all the way down; the order of a dict's keys does not count."""
    if isinstance(value, dict):
        return sorted((told(key), told(item)) for key, item in value.items())
    return [told(item) for item in value] if isinstance(value, list) else repr(value)


def assert_as_read(client: StoreClient, obj: Storable) -> None:
    """Require that an object is what a read returns: data, their types, and metadata."""
    assert obj.entity_id is not None
    found = client.read(type(obj), obj.entity_id)
    assert found == obj
    assert told(content(found)) == told(content(obj))
    assert found._metadata == obj._metadata
