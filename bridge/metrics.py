"""How a bridge does: what it has handed to Deephaven, how fast, and what waits."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

__all__ = ["FeedStats", "Meter"]

_WINDOW = 10.0  # seconds


class FeedStats(NamedTuple):
    """One type's figures.

    Attributes:
        events: Events handed to its tables since it was registered.
        events_per_second: The same a second, over the last ten seconds.
        delay_seconds: From the recording of the newest event to its being handed over; 0.0 before the first.
        waiting: Rows that Deephaven has not taken yet: it does once an update cycle.
        scheduled: Entities that will change without an event.
        failure: Why a writer of one's own takes nothing at present; None while it takes what it is given.
    """

    events: int
    events_per_second: float
    delay_seconds: float
    waiting: int
    scheduled: int
    failure: str | None = None


class Meter:
    """Counts events, and how many came lately."""

    def __init__(self) -> None:
        self.events = 0
        self.delay_seconds = 0.0
        self._since = time.monotonic()
        self._batches: deque[tuple[float, int]] = deque()

    def count(self, events: int, delay_seconds: float) -> None:
        """Take note of a batch and of its newest event's delay."""
        now = time.monotonic()
        self.events += events
        self.delay_seconds = delay_seconds
        self._batches.append((now, events))
        self._forget(now)

    def per_second(self) -> float:
        """Return the events a second over the window, or since the beginning where that is shorter."""
        now = time.monotonic()
        self._forget(now)
        # A copy: the bridge's thread counts on meanwhile.
        return sum(events for _, events in list(self._batches)) / max(min(now - self._since, _WINDOW), 1e-3)

    def _forget(self, now: float) -> None:
        while self._batches and self._batches[0][0] < now - _WINDOW:
            self._batches.popleft()
