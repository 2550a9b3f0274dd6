"""How a client and its connections do: calls, errors, how long they took, repeats, the pool."""

from __future__ import annotations

import functools
import logging
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

__all__ = ["ClientStats", "Meter", "OperationStats", "PoolStats", "Sink", "measured"]

logger = logging.getLogger("store.client")

# Upper bounds in seconds; a call is counted with the first that it does not exceed.
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
FRESH = 1_000
C = TypeVar("C", bound=type)
Sink = Callable[[str, float, "str | None"], None]


class OperationStats(NamedTuple):
    """What became of the calls of one method.

    Attributes:
        calls: How many have ended.
        errors: How many of them raised.
        seconds: How long all of them took together.
        slowest: How long the slowest took, in seconds.
        counts: How many took at most 0.5 ms, at most 1 ms and so on, as in `store.metrics.BOUNDS`; the last: longer.
    """

    calls: int
    errors: int
    seconds: float
    slowest: float
    counts: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Seconds a call."""
        return self.seconds / self.calls if self.calls else 0.0

    def within(self, share: float) -> float:
        """Return how many seconds that share of the calls took at most, to the next bound above.

        Example:
            >>> OperationStats(4, 0, 0.01, 0.007, (0, 3, 0, 0, 1) + (0,) * 11).within(0.5)
            0.001
        """
        left = share * self.calls
        for bound, count in zip(BOUNDS, self.counts, strict=False):
            left -= count
            if left <= 0:
                return min(bound, self.slowest)
        return self.slowest


class PoolStats(NamedTuple):
    """A client's connections.

    Attributes:
        size: The most that it keeps open.
        in_use: Those lent out now.
        idle: Those open and not in use.
        opened: Opened since the client was made; far more than `size` where they break, or tasks outnumber them.
        waits: How often a caller had to wait for one.
    """

    size: int
    in_use: int
    idle: int
    opened: int
    waits: int


class ClientStats(NamedTuple):
    """A client's figures since it was made.

    Attributes:
        operations: The figures of each method that was called, by name.
        retries: Reads that were sent again, because their connection broke. No change ever is.
        pool: The connections.
    """

    operations: dict[str, OperationStats]
    retries: int
    pool: PoolStats


class Meter:
    """Counts calls. Safe to share between threads.

    Attributes:
        sinks: Told of each call's name, seconds and error class, or None.
    """

    def __init__(self) -> None:
        """Count nothing yet."""
        self.sinks: tuple[Sink, ...] = ()
        self._lock = threading.Lock()
        self._calls: dict[str, list[Any]] = {}
        self._fresh: deque[tuple[str, float, str | None]] = deque()  # counted later: each call pays for little

    def count(self, name: str, seconds: float, error: str | None = None) -> None:
        """Count a call that has ended.

        Args:
            name: The method.
            seconds: How long it took.
            error: The class of what it raised.
        """
        self._fresh.append((name, seconds, error))
        if len(self._fresh) >= FRESH:
            self.operations()
        for sink in self.sinks:
            sink(name, seconds, error)
        if logger.isEnabledFor(logging.DEBUG):
            facts = {"operation": name, "seconds": seconds, "error": error}
            logger.debug("%s %s in %.6f s", name, error or "ok", seconds, extra=facts)

    def operations(self) -> dict[str, OperationStats]:
        """Return the figures by name."""
        with self._lock:
            while self._fresh:
                name, seconds, error = self._fresh.popleft()
                found = self._calls.get(name)
                if found is None:
                    found = self._calls[name] = [0, 0, 0.0, 0.0, [0] * (len(BOUNDS) + 1)]
                found[0] += 1
                found[2] += seconds
                if error is not None:
                    found[1] += 1
                if seconds > found[3]:
                    found[3] = seconds
                found[4][bisect_left(BOUNDS, seconds)] += 1
            return {
                name: OperationStats(calls, errors, seconds, slowest, tuple(counts))
                for name, (calls, errors, seconds, slowest, counts) in self._calls.items()
            }


def measured(*names: str) -> Callable[[C], C]:
    """Count the calls of a class's methods, those of subclasses included, in each object's `meter`."""

    def measure_class(cls: C) -> C:
        for name in names:
            setattr(cls, name, _measured(name, getattr(cls, name)))
        return cls

    return measure_class


def _measured(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            result = method(self, *args, **kwargs)
        except BaseException as error:
            self.meter.count(name, time.perf_counter() - start, type(error).__name__)
            raise
        self.meter.count(name, time.perf_counter() - start)
        return result

    return call
