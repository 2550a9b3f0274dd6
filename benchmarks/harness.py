"""Registering and measuring: pairs of ours and raw in the same run, interleaved, and samples against limits.

A benchmark is a generator function: what stands before its `yield` is set-up, what stands after it is clean-up.

    @ratio("write one", against="raw INSERT of the same row", aim=0.75)
    def write_one() -> Iterator[Pair]:
        with ObjectStoreServer() as server:
            ...
            yield Pair(ours=write_500, raw=insert_500, operations=500)
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

Side = Callable[[], float | None]
Clock = Callable[[], float]
REPEATS = 5
# So many repeats are made of even the slowest, and no more once one has taken so long: 50 rows in under ten minutes.
FEWEST_REPEATS, ENOUGH_SECONDS = 3, 8.0


@dataclass(frozen=True)
class Pair:
    """The two sides of a ratio. Each is called once per repeat.

    Attributes:
        ours: Does the work through our API. Returns None, or the seconds that it took by its own measure.
        raw: Does the same work without us.
        operations: How many operations one call of `ours` does; the table shows the time of one, and how many a second.
        raw_operations: The same for `raw`, where it differs.
        reset: Called, unmeasured, before each side of each repeat.
    """

    ours: Side
    raw: Side
    operations: int = 1
    raw_operations: int | None = None
    reset: Callable[[], None] | None = None


@dataclass(frozen=True)
class Samples:
    """A quantity measured many times, such as a latency.

    Attributes:
        take: Returns one repeat's samples, in seconds.
    """

    take: Callable[[], Sequence[float]]


@dataclass(frozen=True)
class Benchmark:
    """A registered benchmark: what it measures, what it is held against, and what it must reach.

    Attributes:
        name: The row's name in the table.
        against: What our speed is divided by; empty for samples.
        aim: The ratio of our speed to the raw speed that is asked for; None for one shown for comparison only.
        floor: The ratio below which the row fails.
        limits: Upper bounds in seconds, by statistic: "median" of one operation for a pair, and any of "p50", "p90",
            "p99" and "max" for samples.
        start: The generator function.
        module: The module that registered it.
    """

    name: str
    against: str
    aim: float | None
    floor: float | None
    limits: Mapping[str, float]
    start: Callable[[], Iterator[Pair | Samples]]
    module: str


@dataclass(frozen=True)
class Result:
    """One row of the table.

    Attributes:
        name: The benchmark's name, with the statistic where it has several limits.
        against: What `ours` is held against.
        ours: Seconds per operation, or the statistic of the samples in seconds.
        operations: How many operations were timed at once; 0 for samples.
        raw: Seconds per operation without us; None for samples.
        ratio: Median of the repeats' ratios of speeds, raw time over our time: higher is better.
        aim: The ratio asked for.
        floor: The ratio below which the row fails.
        limit: The most seconds allowed.
        repeats: Our time in each repeat, in seconds.
        error: What went wrong instead.
    """

    name: str
    against: str = ""
    ours: float | None = None
    operations: int = 0
    raw: float | None = None
    ratio: float | None = None
    aim: float | None = None
    floor: float | None = None
    limit: float | None = None
    repeats: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether it ran, is not below its floor, and kept its limit."""
        slow = self.floor is not None and (self.ratio is None or self.ratio < self.floor)
        late = self.limit is not None and (self.ours is None or self.ours >= self.limit)
        return not (self.error or slow or late)

    @property
    def short(self) -> bool:
        """Whether it passed without reaching what was aimed at."""
        return self.passed and self.aim is not None and (self.ratio or 0.0) < self.aim

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON-ready values."""
        return asdict(self)


REGISTERED: list[Benchmark] = []
# Between runs on one machine, ratios of what waits for a disk or another process change by so much.
RUNS_DIFFER = 0.8


def ratio(
    name: str, *, against: str, aim: float | None, floor: float | None = None, limit: float | None = None
) -> Callable[[Callable[[], Iterator[Pair]]], Callable[[], Iterator[Pair]]]:
    """Register a generator function that yields one `Pair`.

    Args:
        name: The row's name.
        against: What the raw side is, in words.
        aim: The ratio of our speed to the raw speed that is asked for; None shows the ratio without judging it.
        floor: The ratio below which the row fails; by default four fifths of the aim, as runs differ by so much.
        limit: The most seconds that one of our operations may take.
    """

    def register(start: Callable[[], Iterator[Pair]]) -> Callable[[], Iterator[Pair]]:
        limits = {} if limit is None else {"median": limit}
        least = floor if floor is not None or aim is None else RUNS_DIFFER * aim
        REGISTERED.append(Benchmark(name, against, aim, least, limits, start, start.__module__))
        return start

    return register


def bounded(name: str, **limits: float) -> Callable[[Callable[[], Iterator[Samples]]], Callable[[], Iterator[Samples]]]:
    """Register a generator function that yields `Samples`, with upper bounds in seconds: `p50=0.002, p99=0.010`."""

    def register(start: Callable[[], Iterator[Samples]]) -> Callable[[], Iterator[Samples]]:
        REGISTERED.append(Benchmark(name, "", None, None, limits, start, start.__module__))
        return start

    return register


def measure(benchmark: Benchmark, repeats: int = REPEATS, clock: Clock = time.perf_counter) -> list[Result]:
    """Run a benchmark: one unmeasured warm-up, then the repeats.

    Args:
        benchmark: What to run.
        repeats: How often each side is measured at the most; the median counts.
        clock: Returns seconds.

    Returns:
        One result for a pair, one for each limit for samples.
    """
    with contextmanager(benchmark.start)() as yielded:
        if isinstance(yielded, Pair):
            return [_measure_pair(benchmark, yielded, repeats, clock)]
        return _measure_samples(benchmark, yielded, repeats, clock)


def enough(repeats: int, begin: float, now: float) -> bool:
    """Return whether the repeats made since a moment are enough, though not all that were asked for."""
    return repeats >= FEWEST_REPEATS and now - begin > ENOUGH_SECONDS


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that at least that percentage of the samples does not exceed (nearest rank)."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def _measure_pair(benchmark: Benchmark, pair: Pair, repeats: int, clock: Clock) -> Result:
    ours: list[float] = []
    raw: list[float] = []
    sides: list[tuple[Side, int, list[float]]] = [
        (pair.ours, pair.operations, ours),
        (pair.raw, pair.raw_operations or pair.operations, raw),
    ]
    begun = clock()
    for repeat in range(repeats + 1):
        if enough(len(ours), begun, clock()):
            break
        # Each side goes first in turn, so that neither always finds the machine as the other left it.
        for side, operations, times in sides if repeat % 2 else reversed(sides):
            if pair.reset is not None:
                pair.reset()
            gc.collect()
            begin = clock()
            own_measure = side()
            seconds = clock() - begin if own_measure is None else own_measure
            if repeat > 0:
                times.append(seconds / operations)
    return Result(
        name=benchmark.name,
        against=benchmark.against,
        ours=median(ours),
        operations=pair.operations,
        raw=median(raw),
        ratio=median(theirs / our for our, theirs in zip(ours, raw, strict=True)),
        aim=benchmark.aim,
        floor=benchmark.floor,
        limit=benchmark.limits.get("median"),
        repeats=ours,
    )


def _measure_samples(benchmark: Benchmark, samples: Samples, repeats: int, clock: Clock) -> list[Result]:
    begun = clock()
    samples.take()
    taken: list[Sequence[float]] = []
    while len(taken) < repeats and not enough(len(taken), begun, clock()):
        taken.append(samples.take())
    results = []
    for statistic, limit in benchmark.limits.items():
        percent = 100.0 if statistic == "max" else float(statistic.removeprefix("p"))
        values = [percentile(repeat, percent) for repeat in taken]
        results.append(Result(f"{benchmark.name}, {statistic}", ours=median(values), limit=limit, repeats=values))
    return results
