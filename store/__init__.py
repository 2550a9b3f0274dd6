"""Bi-temporal, event-sourced records on PostgreSQL: schema governance, state machines and row-level security."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from store.base import Storable
from store.columns import REGISTRY
from store.errors import RegistryError, StoreError, VersionConflict
from store.state_machine import StateMachine, Transition

if TYPE_CHECKING:
    from store.client import QueryResult, StoreClient
    from store.events import ChangeEvent, EventBus
    from store.server import ObjectStoreServer
    from store.subscriptions import SubscriptionListener

__version__ = "0.1.0"
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

# Imported where they are used: whoever only defines records needs neither PostgreSQL's driver nor a server.
_LATER = {
    "ChangeEvent": "store.events",
    "EventBus": "store.events",
    "ObjectStoreServer": "store.server",
    "QueryResult": "store.client",
    "StoreClient": "store.client",
    "SubscriptionListener": "store.subscriptions",
}


def __getattr__(name: str) -> Any:
    """Import a name on its first use."""
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    """List what can be imported, used already or not."""
    return sorted({*globals(), *__all__})
