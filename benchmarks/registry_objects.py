"""Governance: what checking and converting one object costs, and what checking one class costs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from math import isfinite
from typing import Any

from benchmarks.harness import Pair, ratio
from store.base import Storable, record_schema
from store.columns import REGISTRY
from store.constraints import is_isin

CALLS = 20_000
CLASSES = 200


@dataclass
class Execution(Storable):
    """Ten fields of the usual kinds: texts with a pattern, an enum or a check digit, bounded numbers, an instant."""

    symbol: str = ""
    quantity: int = 0
    price: float = 0.0
    side: str = ""
    currency: str = ""
    trader_name: str = ""
    book: str | None = None
    pnl: float = 0.0
    isin: str = ""
    timestamp: datetime | None = None


def execution() -> Execution:
    """Return a valid object."""
    now = datetime(2026, 2, 22, 10, tzinfo=timezone.utc)
    return Execution("AAPL", 100, 229.5, "BUY", "USD", "Ann", "EQ-US", 12.5, "US0378331005", now)


def repeated(function: Any, *arguments: Any) -> Any:
    """Return a function that calls another CALLS times."""

    def run() -> None:
        for _ in range(CALLS):
            function(*arguments)

    return run


def encode_by_hand(obj: Execution) -> dict[str, Any]:
    """Convert as a careful author would who knows the class."""
    if not (isfinite(obj.price) and isfinite(obj.pnl)):
        raise ValueError
    for text in (obj.symbol, obj.side, obj.currency, obj.trader_name, obj.book, obj.isin):
        if text is not None and "\x00" in text:
            raise ValueError
    data = dict(obj.__dict__)
    if obj.timestamp is not None:
        data["timestamp"] = obj.timestamp.astimezone(timezone.utc).isoformat(timespec="microseconds")
    return data


def decode_by_hand(data: dict[str, Any]) -> Execution:
    """Make the object of its data by keyword arguments."""
    instant = data["timestamp"]
    return Execution(**{**data, "timestamp": None if instant is None else datetime.fromisoformat(instant)})


SYMBOL = re.compile(r"\A[A-Z0-9./]+\Z")
CURRENCY = re.compile(r"\A[A-Z]{3}\Z")
ISIN = re.compile(r"\A[A-Z]{2}[A-Z0-9]{9}[0-9]\Z")


def check_by_hand(obj: Execution) -> None:
    """Check the same rules in one function."""
    encode_by_hand(obj)
    held = (
        isinstance(obj.symbol, str)
        and isinstance(obj.quantity, int)
        and isinstance(obj.price, float)
        and len(obj.symbol) <= 12
        and SYMBOL.search(obj.symbol) is not None
        and obj.price >= 0
        and obj.side in ("BUY", "SELL")
        and len(obj.currency) <= 3
        and CURRENCY.search(obj.currency) is not None
        and (obj.book is None or len(obj.book) <= 64)
        and len(obj.isin) <= 12
        and ISIN.search(obj.isin) is not None
        and is_isin(obj.isin)
    )
    if not held:
        raise ValueError


@ratio("validate_instance, 10 fields", against="the same rules written out by hand", aim=None, limit=20e-6)
def validate_instance() -> Iterator[Pair]:
    """Check a valid object."""
    obj = execution()
    yield Pair(repeated(REGISTRY.validate_instance, obj), repeated(check_by_hand, obj), CALLS)


@ratio("encode an object, 10 fields", against="conversion written out by hand", aim=None, limit=8e-6)
def encode() -> Iterator[Pair]:
    """Make JSON-ready data of an object."""
    obj = execution()
    yield Pair(repeated(record_schema(Execution).encode, obj), repeated(encode_by_hand, obj), CALLS)


@ratio("decode an object, 10 fields", against="conversion written out by hand", aim=None, limit=8e-6)
def decode() -> Iterator[Pair]:
    """Make an object of stored data."""
    data = record_schema(Execution).encode(execution())
    yield Pair(repeated(record_schema(Execution).decode, data), repeated(decode_by_hand, data), CALLS)


@ratio("validate_class, 30 fields", against="the dataclass decorator on the same class", aim=None, limit=1e-3)
def validate_class() -> Iterator[Pair]:
    """Check a class whose annotations are strings, the slower kind."""
    names = [column.name for column in REGISTRY.all_columns() if column.python_type is float][:30]
    body = {"__annotations__": dict.fromkeys(names, "float"), "__module__": __name__, **dict.fromkeys(names, 0.0)}

    def check() -> None:
        for cls in classes:
            REGISTRY.validate_class(cls)

    def decorate() -> None:
        for cls in classes:
            dataclass(cls)

    classes = [type("Wide", (), dict(body)) for _ in range(CLASSES)]
    yield Pair(check, decorate, CLASSES)
