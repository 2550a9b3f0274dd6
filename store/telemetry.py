"""Figures of clients, listeners and bridges as OpenTelemetry metrics, where `opentelemetry-api` is installed.

Nothing is measured twice: what is exported is what `stats()` and `lag()` tell, and each call's duration.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from store.client import StoreClient
from store.errors import StoreError, shown
from store.metrics import BOUNDS
from store.subscriptions import SubscriptionListener

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

__all__ = ["observe"]

logger = logging.getLogger(__name__)


class _Bridge(Protocol):
    def stats(self) -> dict[str, Any]: ...

    def lag(self) -> Any: ...


def observe(
    source: StoreClient | SubscriptionListener | _Bridge,
    attributes: Mapping[str, str] | None = None,
    *,
    provider: MeterProvider | None = None,
) -> None:
    """Export a client's, a listener's or a bridge's figures. Call it once for each.

    Args:
        source: A `StoreClient`, a `SubscriptionListener` or a `StoreBridge`.
        attributes: What tells it from others of its kind, such as `{"desk": "rates"}`.
        provider: The provider of meters; OpenTelemetry's global one when None.

    Raises:
        StoreError: OpenTelemetry is not installed, or the source has no figures.

    Example:
        >>> observe(client, {"desk": "rates"})
    """
    try:
        from opentelemetry.metrics import get_meter
    except ImportError as error:
        raise StoreError("metrics need OpenTelemetry: pip install opentelemetry-sdk") from error
    exporter = _Exporter(get_meter("store", meter_provider=provider), dict(attributes or {}))
    if isinstance(source, StoreClient):
        exporter.client(source)
    elif isinstance(source, SubscriptionListener):
        exporter.listener(source)
    elif callable(getattr(source, "stats", None)) and callable(getattr(source, "lag", None)):
        exporter.bridge(source)
    else:
        raise StoreError(f"observe() takes a StoreClient, a SubscriptionListener or a StoreBridge, not {shown(source)}")


class _Exporter:
    """Makes the instruments of one source."""

    def __init__(self, meter: Meter, attributes: dict[str, str]) -> None:
        self._meter = meter
        self._attributes = attributes

    def client(self, client: StoreClient) -> None:
        durations = self._meter.create_histogram(
            "store.client.operation.duration",
            unit="s",
            description="How long a client's call took",
            explicit_bucket_boundaries_advisory=BOUNDS,
        )

        def record(operation: str, seconds: float, error: str | None) -> None:
            facts = {**self._attributes, "operation": operation}
            durations.record(seconds, facts if error is None else {**facts, "error.type": error})

        client.meter.sinks += (record,)
        self._counter("store.client.retries", "Reads sent again on a new connection", lambda: client.stats().retries)
        self._counter("store.client.connections.opened", "Connections opened", lambda: client.stats().pool.opened)
        self._counter("store.client.connections.waits", "Callers who waited", lambda: client.stats().pool.waits)
        self._gauge("store.client.connections.in_use", "Connections lent out", lambda: client.stats().pool.in_use)
        self._gauge("store.client.connections.idle", "Connections not in use", lambda: client.stats().pool.idle)

    def listener(self, listener: SubscriptionListener) -> None:
        self._counter("store.listener.delivered", "Events delivered", lambda: listener.stats().delivered)
        self._counter("store.listener.reconnects", "Lost connections", lambda: listener.stats().reconnects)
        self._gauge("store.listener.running", "Whether it delivers", lambda: int(listener.running))
        self._gauge("store.listener.lag.events", "Committed events not delivered", lambda: listener.lag().events)
        self._gauge("store.listener.lag.seconds", "Age of the oldest of them", lambda: listener.lag().seconds, "s")

    def bridge(self, bridge: _Bridge) -> None:
        for field, unit, told in (
            ("events", "1", "Events handed to Deephaven"),
            ("events_per_second", "1/s", "The same, over the last ten seconds"),
            ("delay_seconds", "s", "From recording the newest event to handing it over"),
            ("waiting", "1", "Rows that Deephaven has not taken yet"),
            ("scheduled", "1", "Entities that will change without an event"),
        ):
            make = self._meter.create_observable_counter if field == "events" else self._meter.create_observable_gauge
            make(f"bridge.{field}", [self._by_type(bridge, field)], unit, told)
        self._gauge("bridge.lag.events", "Committed events not handed over", lambda: bridge.lag().events)
        self._gauge("bridge.lag.seconds", "Age of the oldest of them", lambda: bridge.lag().seconds, "s")

    def _by_type(self, bridge: _Bridge, field: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        from opentelemetry.metrics import Observation

        def look(options: CallbackOptions) -> Iterable[Observation]:
            for name, stats in bridge.stats().items():
                yield Observation(getattr(stats, field), {**self._attributes, "type": name})

        return look

    def _counter(self, name: str, told: str, value: Callable[[], float]) -> None:
        self._meter.create_observable_counter(name, [self._look(value)], description=told)

    def _gauge(self, name: str, told: str, value: Callable[[], float], unit: str = "1") -> None:
        self._meter.create_observable_gauge(name, [self._look(value)], unit, told)

    def _look(self, value: Callable[[], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
        from opentelemetry.metrics import Observation

        def look(options: CallbackOptions) -> Iterable[Observation]:
            try:
                yield Observation(value(), self._attributes)
            except Exception as error:  # a server that is away, a listener that has ended: the others go on
                logger.debug("a figure cannot be told: %s", error)

        return look
