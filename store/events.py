"""What changed, as callbacks see it, and the bus that carries it inside a process."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from store.errors import StoreError, shown

__all__ = ["Callback", "ChangeEvent", "EventBus"]

logger = logging.getLogger(__name__)


class ChangeEvent(NamedTuple):
    """One committed event.

    Attributes:
        entity_id: The entity.
        version: Its version after the event.
        event_type: CREATED, UPDATED, CORRECTED, STATE_CHANGE or DELETED.
        type_name: The entity's type.
        updated_by: Who changed it.
        state: Its state after the event, None for a type without a state machine.
        tx_time: When it was recorded.
        valid_from: From when on it holds.
    """

    entity_id: str
    version: int
    event_type: str
    type_name: str
    updated_by: str
    state: str | None
    tx_time: datetime
    valid_from: datetime


Callback: TypeAlias = Callable[[ChangeEvent], Any]


class EventBus:
    """Calls back, in the emitting thread, for each event once.

    A client and a listener may feed the same bus: an event that one of them delivered is not delivered again. The
    bus remembers the newest `memory` events for that. A callback that raises is logged and does not stop the others.

    Example:
        >>> bus = EventBus()
        >>> bus.on("Order", lambda event: print(event.event_type, event.entity_id))
    """

    def __init__(self, memory: int = 100_000) -> None:
        """Begin with no callbacks."""
        self._lock = threading.Lock()
        self._by_type: dict[str, list[Callback]] = {}
        self._by_entity: dict[str, list[Callback]] = {}
        self._all: list[Callback] = []
        self._memory = memory
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()

    def on(self, type_name: str | type, callback: Callback) -> None:
        """Call back for every event of a type, given as its name or its class."""
        self._add(self._by_type, _name_of(type_name), callback)

    def on_entity(self, entity_id: str, callback: Callback) -> None:
        """Call back for every event of one entity."""
        self._add(self._by_entity, entity_id, callback)

    def on_all(self, callback: Callback) -> None:
        """Call back for every event."""
        _require_callable(callback)
        with self._lock:
            self._all = [*self._all, callback]

    def off(self, type_name: str | type, callback: Callback) -> None:
        """Undo `on`. A callback that is not registered is an error."""
        self._remove(self._by_type, _name_of(type_name), callback)

    def off_entity(self, entity_id: str, callback: Callback) -> None:
        """Undo `on_entity`."""
        self._remove(self._by_entity, entity_id, callback)

    def off_all(self, callback: Callback) -> None:
        """Undo `on_all`."""
        with self._lock:
            if callback not in self._all:
                raise StoreError(f"{shown(callback)} is not registered for all events")
            rest = list(self._all)
            rest.remove(callback)
            self._all = rest

    def emit(self, event: ChangeEvent) -> None:
        """Deliver an event, unless it was delivered before."""
        identity = (event.entity_id, event.version)
        with self._lock:
            if identity in self._seen:
                return
            self._seen[identity] = None
            if len(self._seen) > self._memory:
                self._seen.popitem(last=False)
            callbacks = [
                *self._by_type.get(event.type_name, ()),
                *self._by_entity.get(event.entity_id, ()),
                *self._all,
            ]
        for callback in callbacks:
            try:
                callback(event)
            except Exception:
                logger.exception("callback %r failed on %s %s", callback, event.event_type, event.entity_id)

    def _add(self, table: dict[str, list[Callback]], key: str, callback: Callback) -> None:
        _require_callable(callback)
        with self._lock:
            table[key] = [*table.get(key, ()), callback]

    def _remove(self, table: dict[str, list[Callback]], key: str, callback: Callback) -> None:
        with self._lock:
            rest = list(table.get(key, ()))
            if callback not in rest:
                raise StoreError(f"{shown(callback)} is not registered for {key!r}")
            rest.remove(callback)
            if rest:
                table[key] = rest
            else:
                table.pop(key)


def _name_of(type_name: str | type) -> str:
    if isinstance(type_name, str):
        return type_name
    name = getattr(type_name, "type_name", None)
    if name is None:
        raise StoreError(f"{shown(type_name)} is neither a type name nor a Storable class")
    return str(name())


def _require_callable(callback: object) -> None:
    if not callable(callback):
        raise StoreError(f"{shown(callback)} cannot be called: pass a function of one ChangeEvent")
