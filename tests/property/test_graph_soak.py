"""A portfolio under a long run of ticks: the total does not drift, and memory does not grow."""

from __future__ import annotations

import gc
import math
import random
import tracemalloc
from dataclasses import dataclass

import pytest

from reactive.expr import Field
from reactive.graph import ReactiveGraph
from tests.rounds import rounds

pytestmark = pytest.mark.soak

POSITIONS = 1000
TICKS = rounds(20_000, 1_000_000)


@dataclass
class Position:
    price: float = 100.0
    quantity: int = 100


def test_portfolio_total_neither_drifts_nor_grows() -> None:
    source = random.Random(1)
    graph = ReactiveGraph()
    nodes = [graph.track(Position(source.uniform(1, 500), source.randrange(1, 1000))) for _ in range(POSITIONS)]
    for node in nodes:
        graph.computed(node, "value", Field("price") * Field("quantity"))
    graph.group_computed("total", nodes, "value", sum)
    graph.group_computed("highest", nodes, "value", max)
    calls = [0]

    def count(name: str, value: float) -> None:
        calls[0] += 1

    graph.group_effect("total", count)

    def tick(times: int) -> None:
        for _ in range(times):
            graph.update(nodes[source.randrange(POSITIONS)], "price", source.uniform(1, 500))

    tick(TICKS // 10)
    gc.collect()
    tracemalloc.start()
    try:
        tick(TICKS // 10)
        before = tracemalloc.get_traced_memory()[0]
        tick(TICKS - 2 * (TICKS // 10))
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    values = [graph.get(node, "value") for node in nodes]
    assert graph.get_group("total") == math.fsum(values)
    assert graph.get_group("highest") == max(values)
    assert calls[0] == TICKS + 1
    # Room for what a thousand values of the last ticks hold; a leak of one object per tick would be far beyond.
    assert grown < 1_000_000
