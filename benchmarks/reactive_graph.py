"""The graph against raw reaktiv and csp, for the same shapes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from benchmarks.harness import Pair, ratio
from reactive import Field, ReactiveGraph

TICKS = 2000
VALUE = Field("price") * Field("quantity")


@dataclass
class Position:
    """A holding of one instrument."""

    price: float = 100.0
    quantity: int = 100


def portfolio(size: int) -> tuple[ReactiveGraph, list[str]]:
    """Return positions with a value each and their total."""
    graph = ReactiveGraph()
    nodes = [graph.track(Position()) for _ in range(size)]
    for node in nodes:
        graph.computed(node, "value", VALUE)
    graph.group_computed("total", nodes, "value", sum)
    graph.get_group("total")
    return graph, nodes


def group_ticks(size: int, *, watched: bool = False) -> Callable[[], None]:
    """Return what moves one price after another and reads the total, or has an effect do so."""
    graph, nodes = portfolio(size)
    totals: list[float] = []
    if watched:
        graph.group_effect("total", lambda name, value: totals.append(value))
    prices = itertools.count(1)

    def tick() -> None:
        totals.clear()
        for _ in range(TICKS):
            number = next(prices)
            graph.update(nodes[number * 7919 % size], "price", 100.0 + number % 97 / 7)
            if not watched:
                graph.get_group("total")

    return tick


@ratio("graph update + get, 1 computed", against="raw reaktiv: set a Signal, read a Computed", aim=0.7)
def update_and_get() -> Iterator[Pair]:
    from reaktiv import Computed, Signal  # type: ignore[import-untyped]

    graph = ReactiveGraph()
    node = graph.track(Position())
    graph.computed(node, "value", VALUE)
    price, quantity = Signal(100.0), Signal(100)
    value = Computed(lambda: price() * quantity())

    def ours() -> None:
        for number in range(TICKS):
            graph.update(node, "price", number + 0.5)
            graph.get(node, "value")

    def raw() -> None:
        for number in range(TICKS):
            price.set(number + 0.5)
            value()

    yield Pair(ours, raw, operations=TICKS)


@ratio("group sum, tick, N = 100,000", against="the same at N = 100", aim=0.5, limit=50e-6)
def group_sum_size() -> Iterator[Pair]:
    yield Pair(group_ticks(100_000), group_ticks(100), operations=TICKS)


@ratio("group sum with an effect, tick, N = 1,000", against="the same without an effect", aim=None)
def group_sum_effect() -> Iterator[Pair]:
    yield Pair(group_ticks(1_000, watched=True), group_ticks(1_000), operations=TICKS)


@ratio("group sum, tick, N = 1,000", against="raw reaktiv: one Computed over 1,000 Signals", aim=None)
def group_sum_reaktiv() -> Iterator[Pair]:
    from reaktiv import Computed, Signal

    prices = [Signal(100.0) for _ in range(1000)]
    values = [Computed(lambda price=price: price() * 100) for price in prices]
    total = Computed(lambda: sum(value() for value in values))
    total()

    def raw() -> None:
        for number in range(20):
            prices[number * 7 % 1000].set(100.0 + number / 7)
            total()

    yield Pair(group_ticks(1_000), raw, operations=TICKS, raw_operations=20)


@ratio("group sum, tick, N = 1,000 again", against="csp: a dynamic sum over 1,000 inputs, its run included", aim=None)
def group_sum_csp() -> Iterator[Pair]:
    import csp
    from csp import ts

    size, start = 1000, datetime(2026, 1, 1)

    @csp.node  # type: ignore[untyped-decorator]
    def total(prices: {int: ts[float]}) -> ts[float]:  # type: ignore[valid-type]
        with csp.state():
            s_sum = 0.0
            s_last: dict[int, float] = {}
        if csp.ticked(prices):
            for key, price in prices.tickeditems():
                s_sum += price * 100 - s_last.get(key, 0.0)
                s_last[key] = price * 100
            return s_sum

    @csp.graph  # type: ignore[untyped-decorator]
    def book() -> ts[float]:
        step = timedelta(microseconds=1)
        inputs = {key: [] for key in range(size)}  # type: ignore[var-annotated]
        for number in range(TICKS):
            inputs[number * 7919 % size].append((step * (number + 1), 100.0 + number % 97 / 7))
        return total({key: csp.curve(float, ticks) for key, ticks in inputs.items()})

    def raw() -> None:
        csp.run(book, starttime=start, endtime=start + timedelta(seconds=1))

    yield Pair(group_ticks(size), raw, operations=TICKS)


def _append(seen: list[float], value: Callable[[], float]) -> Callable[[], None]:
    return lambda: seen.append(value())


def fan_out(computed: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return one price with many values computed of it and an effect on each, here and in reaktiv."""
    from reaktiv import Computed, Effect, Signal

    graph = ReactiveGraph()
    node = graph.track(Position())
    seen: list[float] = []
    for place in range(computed):
        graph.computed(node, f"value{place}", Field("price") * Field("quantity") + place)
        graph.effect(node, f"value{place}", lambda name, value: seen.append(value))
    price, quantity = Signal(100.0), Signal(100)
    values = [Computed(lambda place=place: price() * quantity() + place) for place in range(computed)]
    effects = [Effect(_append(seen, value)) for value in values]

    def ours() -> None:
        for number in range(20):
            graph.update(node, "price", number + 0.5)
        seen.clear()

    def raw() -> None:
        for number in range(20):
            price.set(number + 0.5)
        seen.clear()
        assert effects

    return ours, raw


@ratio("graph update, 100 computeds with an effect each", against="raw reaktiv, the same", aim=None)
def update_fan_out() -> Iterator[Pair]:
    ours, raw = fan_out(100)
    yield Pair(ours, raw, operations=20)
