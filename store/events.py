"""What changed, as callbacks see it, and the bus that carries it inside a process."""

from __future__ import annotations

import inspect
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from store.base import require_entity_id
from store.errors import StoreError, shown

__all__ = ["Callback", "ChangeEvent", "ErrorCallback", "EventBus", "name_of"]

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
        backfill: Whether it is an event of the past, of an entity that has just come into the listener's view.
    """

    entity_id: str
    version: int
    event_type: str
    type_name: str
    updated_by: str
    state: str | None
    tx_time: datetime
    valid_from: datetime
    backfill: bool = False


Callback: TypeAlias = Callable[[ChangeEvent], Any]
ErrorCallback: TypeAlias = Callable[[ChangeEvent, Callback, BaseException], Any]
_Identity: TypeAlias = tuple[str, int]


class _Registration:
    """A callback, and whether it still is registered: what is taken off during a delivery is called no more."""

    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.active = True


class EventBus:
    """Calls back for each event once, in the thread that emits it.

    A client and a listener may feed the same bus: an event that one of them delivered is not delivered again. For that
    the bus remembers the newest `memory` events.

    A callback that raises is logged and does not stop the others; the event counts as delivered. What a callback itself
    changes in the store is announced after the event at hand has been to all callbacks. Callbacks of several threads
    may run at the same time.

    Args:
        memory: How many events the bus remembers.
        on_error: Called with the event, the callback and the exception whenever a callback raised.

    Example:
        >>> bus = EventBus()
        >>> bus.on("Order", lambda event: print(event.event_type, event.entity_id))
    """

    def __init__(self, memory: int = 100_000, *, on_error: ErrorCallback | None = None) -> None:
        """Begin with no callbacks."""
        if not isinstance(memory, int) or memory < 1:
            raise StoreError(f"memory takes a number of events, 1 or more, not {shown(memory)}")
        self._lock = threading.Lock()
        # By kind and name. The tuples are replaced, never changed, so that an event's are found without a lock.
        self._registered: dict[str, dict[str, tuple[_Registration, ...]]] = {"type": {}, "entity": {}, "all": {}}
        self._memory = memory
        self._on_error = on_error
        self._seen: OrderedDict[_Identity, None] = OrderedDict()
        self._under_way: set[_Identity] = set()
        self._settled = threading.Condition(self._lock)
        self._waiting = 0
        self._thread = _Thread()

    def on(self, type_name: str | type, callback: Callback) -> None:
        """Call back for every event of a type, given as its name or its class."""
        self._add("type", name_of(type_name), callback)

    def on_entity(self, entity_id: str, callback: Callback) -> None:
        """Call back for every event of one entity."""
        self._add("entity", require_entity_id(entity_id), callback)

    def on_all(self, callback: Callback) -> None:
        """Call back for every event."""
        self._add("all", "events", callback)

    def off(self, type_name: str | type, callback: Callback) -> None:
        """Undo `on`; a callback that was registered twice stays once.

        Raises:
            StoreError: The callback is not registered for this type.
        """
        self._remove("type", name_of(type_name), callback)

    def off_entity(self, entity_id: str, callback: Callback) -> None:
        """Undo `on_entity`. Raises as `off` does."""
        self._remove("entity", require_entity_id(entity_id), callback)

    def off_all(self, callback: Callback) -> None:
        """Undo `on_all`. Raises as `off` does."""
        self._remove("all", "events", callback)

    def emit(self, event: ChangeEvent) -> None:
        """Deliver an event, unless it was delivered before.

        Inside a callback, it is delivered once the event at hand has been to all callbacks.
        """
        identity = (event.entity_id, event.version)
        with self._lock:
            if identity in self._seen:
                return
            self._seen[identity] = None
            if len(self._seen) > self._memory:
                self._seen.popitem(last=False)
            self._under_way.add(identity)
        queue = self._thread.queue
        queue.append(event)
        if len(queue) > 1:
            return
        try:
            while queue:
                self._call(queue[0])
                self._settle(queue.popleft())
        except BaseException:  # an interrupt: those not delivered may come again
            while queue:
                self._settle(queue.popleft(), delivered=False)
            raise

    def await_settled(self, event: ChangeEvent, seconds: float) -> bool:
        """Wait until no other thread is delivering an event, at most for `seconds`; return whether none is."""
        identity = (event.entity_id, event.version)
        if identity not in self._under_way:  # whoever emits it has put it there before `emit` returned here
            return True
        with self._settled:
            self._waiting += 1
            try:
                return self._settled.wait_for(lambda: identity not in self._under_way, seconds)
            finally:
                self._waiting -= 1

    def _settle(self, event: ChangeEvent, *, delivered: bool = True) -> None:
        identity = (event.entity_id, event.version)
        with self._lock:
            self._under_way.discard(identity)
            if not delivered:
                self._seen.pop(identity, None)
            if self._waiting:
                self._settled.notify_all()

    def _call(self, event: ChangeEvent) -> None:
        registered = self._registered
        wanted = (
            *registered["type"].get(event.type_name, ()),
            *registered["entity"].get(event.entity_id, ()),
            *registered["all"].get("events", ()),
        )
        for registration in wanted:
            if not registration.active:
                continue
            try:
                answer = registration.callback(event)
                if answer is not None and inspect.iscoroutine(answer):
                    answer.close()
                    raise StoreError(f"{shown(registration.callback)} returned a coroutine, which nobody awaits")
            except Exception as error:
                self._report(event, registration.callback, error)

    def _report(self, event: ChangeEvent, callback: Callback, error: Exception) -> None:
        logger.error(
            "callback %r failed on %s of %s version %d",
            callback,
            event.event_type,
            event.entity_id,
            event.version,
            exc_info=error,
            extra={"entity_id": event.entity_id, "type": event.type_name, "version": event.version},
        )
        if self._on_error is not None:
            try:
                self._on_error(event, callback, error)
            except Exception:
                logger.exception("on_error failed for callback %r", callback)

    def _add(self, kind: str, name: str, callback: Callback) -> None:
        _require_callback(callback)
        with self._lock:
            of_kind = self._registered[kind]
            of_kind[name] = (*of_kind.get(name, ()), _Registration(callback))

    def _remove(self, kind: str, name: str, callback: Callback) -> None:
        with self._lock:
            of_kind = self._registered[kind]
            registrations = of_kind.get(name, ())
            for registration in registrations:
                if registration.callback == callback:
                    registration.active = False
                    of_kind[name] = tuple(other for other in registrations if other is not registration)
                    if not of_kind[name]:
                        del of_kind[name]
                    return
        raise StoreError(f"{shown(callback)} is not registered for {'all' if kind == 'all' else kind} {name}")


class _Thread(threading.local):
    """What one thread is delivering, and what has come up meanwhile."""

    def __init__(self) -> None:
        self.queue: deque[ChangeEvent] = deque()


def name_of(type_name: str | type) -> str:
    """Return the name of a type given as its name or its class.

    Raises:
        StoreError: It is neither.
    """
    if isinstance(type_name, str) and type_name:
        return type_name
    name = getattr(type_name, "type_name", None)
    if not isinstance(type_name, type) or name is None:
        raise StoreError(f"{shown(type_name)} is neither a type name nor a Storable class")
    return str(name())


def _require_callback(callback: object) -> None:
    if not callable(callback):
        raise StoreError(f"{shown(callback)} cannot be called: pass a function of one ChangeEvent")
    if inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(getattr(callback, "__call__", None)):  # noqa: B004
        raise StoreError(
            f"{shown(callback)} is a coroutine function, which the bus cannot await: pass a plain function that hands"
            " the event to your loop, such as lambda event: loop.call_soon_threadsafe(queue.put_nowait, event)"
        )
