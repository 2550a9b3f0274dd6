"""Bi-temporal, event-sourced records on PostgreSQL: schema governance, state machines and row-level security."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from store.base import Storable
from store.columns import REGISTRY
from store.errors import RegistryError, StoreError, VersionConflict
from store.events import ChangeEvent, EventBus
from store.state_machine import StateMachine, Transition

if TYPE_CHECKING:
    from store.client import QueryResult, StoreClient
    from store.server import ObjectStoreServer
    from store.subscriptions import SubscriptionListener

__all__ = [
    "REGISTRY",
    "ChangeEvent",
    "EventBus",
    "ObjectStoreServer",
    "QueryResult",
    "RegistryError",
    "StateMachine",
    "Storable",
    "StoreClient",
    "StoreError",
    "SubscriptionListener",
    "Transition",
    "VersionConflict",
]


# A client needs no server, and whoever only reads the catalog of columns needs no driver of PostgreSQL.
_ON_DEMAND = {
    "ObjectStoreServer": "store.server",
    "QueryResult": "store.client",
    "StoreClient": "store.client",
    "SubscriptionListener": "store.subscriptions",
}


def __getattr__(name: str) -> Any:
    """Import what connects to a database where it is used."""
    if name in _ON_DEMAND:
        return getattr(import_module(_ON_DEMAND[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
