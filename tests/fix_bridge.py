"""Bridges to a test's store, and their tables as rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from tests.fix_postgres import StoreDatabase

if TYPE_CHECKING:
    from bridge import StoreBridge
    from store.base import Storable
    from store.models import Order, Trade


def order(symbol: str = "AAPL", **values: Any) -> Order:
    from store.models import Order

    return Order(**({"symbol": symbol, "quantity": 100, "price": 229.5, "side": "BUY"} | values))


def trade(symbol: str = "AAPL", **values: Any) -> Trade:
    from store.models import Trade

    return Trade(**({"symbol": symbol, "quantity": 100, "price": 229.5, "side": "BUY"} | values))


def rows(table: Any, *columns: str) -> list[Any]:
    """Return a ticking table's rows as they are now: tuples, or values where one column is asked for."""
    from deephaven import arrow

    found = arrow.to_arrow(table.view(list(columns)).snapshot()).to_pylist()
    return [row[columns[0]] if len(columns) == 1 else tuple(row.values()) for row in found]


def row_of(obj: Storable) -> dict[str, Any]:
    """Return the row that an object read from the store should have."""
    metadata = {
        "EntityId": obj.entity_id,
        "Version": obj.version,
        "EventType": obj.event_type,
        "State": obj.state,
        "Owner": obj.owner,
        "UpdatedBy": obj.updated_by,
        "TxTime": obj.tx_time,
        "ValidFrom": obj.valid_from,
        "ValidTo": obj.valid_to,
    }
    return {item.name: getattr(obj, item.name) for item in fields(obj)} | metadata  # type: ignore[arg-type]


class Bridges:
    """Bridges to one store, stopped at the end of the test."""

    def __init__(self, store: StoreDatabase) -> None:
        self._store = store
        self._user = store.provision("bridge_user", reads_all=True)
        self._made: list[StoreBridge] = []

    def __call__(self, *types: type[Storable], user: str | None = None, **options: Any) -> StoreBridge:
        """Return a bridge that is not started yet, with types registered."""
        from bridge import StoreBridge

        bridge = StoreBridge(**self._store.login(user or self._user), **options)
        self._made.append(bridge)
        for cls in types:
            bridge.register(cls)
        return bridge

    def close(self) -> None:
        for bridge in self._made:
            bridge.stop()


@pytest.fixture
def bridges(deephaven_context: Any, store_db: StoreDatabase) -> Iterator[Bridges]:
    made = Bridges(store_db)
    yield made
    made.close()
