"""Bi-temporal, event-sourced records on PostgreSQL: schema governance, state machines and row-level security."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from store.base import Storable
from store.client import QueryResult, StoreClient
from store.columns import REGISTRY
from store.errors import RegistryError, StoreError, VersionConflict
from store.events import ChangeEvent, EventBus
from store.state_machine import StateMachine, Transition
from store.subscriptions import SubscriptionListener

if TYPE_CHECKING:
    from store.server import ObjectStoreServer

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


def __getattr__(name: str) -> Any:
    """Import the server where it is used: a client needs none, and starts faster without."""
    if name == "ObjectStoreServer":
        from store.server import ObjectStoreServer

        return ObjectStoreServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
