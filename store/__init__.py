"""Bi-temporal, event-sourced records on PostgreSQL: schema governance, state machines and row-level security."""

from store.base import Storable
from store.client import QueryResult, StoreClient
from store.columns import REGISTRY
from store.errors import RegistryError, StoreError, VersionConflict
from store.events import ChangeEvent, EventBus
from store.server import ObjectStoreServer
from store.state_machine import StateMachine, Transition
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
