"""Groups and functions: what they make of their members, and when they do it anew."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest

from reactive.errors import (
    ComputationError,
    CycleError,
    UnknownNodeError,
)
from reactive.graph import ReactiveGraph
from reactive.graph.reductions import Extreme, reduction_of
from tests.unit.positions import VALUE, Calls, Position, book


def test_groups_and_functions_follow_updates_and_membership() -> None:
    graph, (n1, n2) = book(230.0, 94.0)
    graph.group_computed("portfolio_value", [n1, n2], "mv", sum)
    graph.multi_computed("spread", lambda g: g.get(n1, "mv") - g.get(n2, "mv"))
    assert graph.get_group("portfolio_value") == 32400.0
    assert graph.get("spread") == 13600.0
    n3 = graph.track(Position("TSLA", 10, 100.0))
    graph.computed(n3, "mv", VALUE)
    graph.add_to_group("portfolio_value", n3)
    graph.add_to_group("portfolio_value", n3)
    assert graph.get_group("portfolio_value") == 33400.0
    graph.update(n1, "price", 231.0)
    assert graph.get_group("portfolio_value") == 33500.0
    assert graph.get("spread") == 13700.0
    graph.remove_from_group("portfolio_value", n1)
    assert graph.get_group("portfolio_value") == 10400.0


def test_cycle_of_functions_raises_when_read() -> None:
    graph = ReactiveGraph()
    graph.multi_computed("a", lambda g: g.get("b") + 1)
    graph.multi_computed("b", lambda g: g.get("a") + 1)
    with pytest.raises(CycleError):
        graph.get("a")


def test_reduction_must_not_change_the_graph() -> None:
    graph, nodes = book(1.0, 2.0)
    graph.group_computed("greedy", nodes, "mv", lambda values: graph.update(nodes[0], "price", 5.0))
    with pytest.raises(ComputationError, match="greedy: a function of the graph must not change it"):
        graph.get_group("greedy")
    assert graph.get(nodes[0], "price") == 1.0


def test_function_that_raises_fails_until_what_it_read_changes() -> None:
    graph, (node,) = book(0.0)
    graph.multi_computed("inverse", lambda g: 1 / g.get(node, "price"))
    with pytest.raises(ComputationError, match="inverse failed: ZeroDivisionError"):
        graph.get("inverse")
    graph.update(node, "price", 4.0)
    assert graph.get("inverse") == 0.25


def test_function_is_called_again_only_when_what_it_read_has_changed() -> None:
    graph, (n1, n2) = book(1.0, 2.0)
    runs = []
    graph.multi_computed("pick", lambda g: runs.append(1) or (g.get(n2, "mv") if g.get(n1, "price") > 5 else 0.0))
    assert graph.get("pick") == 0.0
    graph.update(n2, "price", 3.0)
    graph.update(n1, "quantity", 7)
    assert (graph.get("pick"), len(runs)) == (0.0, 1)
    graph.update(n1, "price", 6.0)
    assert (graph.get("pick"), len(runs)) == (300.0, 2)
    graph.update(n2, "price", 4.0)
    assert (graph.get("pick"), len(runs)) == (400.0, 3)


def test_function_that_lacked_something_is_called_again_once_it_may_be_there() -> None:
    graph, nodes = book(1.0, 2.0)
    calls = Calls()
    graph.multi_computed("both", lambda g: g.get("doubled") + 1)
    graph.multi_computed("doubled", lambda g: g.get_group("total") * 2)
    graph.group_effect("both", calls)
    graph.group_computed("total", nodes, "mv")
    assert calls.values == [601.0]


def test_function_must_not_change_the_graph() -> None:
    graph, (node,) = book(1.0)
    graph.multi_computed("bad", lambda g: g.update(node, "price", 2.0))
    with pytest.raises(ComputationError, match="bad: a function of the graph must not change it"):
        graph.get("bad")
    assert graph.get(node, "price") == 1.0


@pytest.mark.parametrize(
    ("reduction", "expected", "empty"),
    [
        (sum, 600.0, 0),
        (len, 3, 0),
        (min, 100.0, None),
        (max, 300.0, None),
        (statistics.mean, 200.0, None),
        (statistics.fmean, 200.0, None),
        (statistics.variance, 10000.0, None),
        (statistics.pvariance, 20000 / 3, None),
        (statistics.stdev, 100.0, None),
        (statistics.pstdev, math.sqrt(20000 / 3), None),
        (lambda values: sorted(values, reverse=True), [300.0, 200.0, 100.0], []),
    ],
)
def test_reductions_of_values_and_of_none(reduction: Any, expected: Any, empty: Any) -> None:
    graph, nodes = book(1.0, 2.0, 3.0)
    graph.group_computed("group", nodes, "mv", reduction)
    assert graph.get_group("group") == expected
    for node in nodes:
        graph.remove_from_group("group", node)
    assert graph.get_group("group") == empty


@pytest.mark.parametrize(("reduction", "skipped"), [(sum, 400.0), (min, 100.0), (statistics.mean, 200.0), (len, 2)])
def test_none_makes_a_reduction_none_unless_it_is_skipped(reduction: Any, skipped: Any) -> None:
    graph, nodes = book(1.0, None, 3.0)
    graph.group_computed("strict", nodes, "mv", reduction)
    graph.group_computed("skipping", nodes, "mv", reduction, skip_none=True)
    assert graph.get_group("strict") == (3 if reduction is len else None)
    assert graph.get_group("skipping") == skipped
    graph.update(nodes[1], "price", 2.0)
    assert graph.get_group("strict") == graph.get_group("skipping") == reduction([100.0, 200.0, 300.0])


def test_sum_is_exact_whatever_has_been_in_it() -> None:
    graph, nodes = book(0.1, 0.2, 0.3, quantity=1)
    graph.group_computed("total", nodes, "mv")
    for price in (1e300, -1e300, 1e16, 5e-324, 0.1):
        graph.update(nodes[0], "price", price)
        values = [graph.get(node, "mv") for node in nodes]
        assert graph.get_group("total") == math.fsum(values)


def test_sum_of_whole_numbers_is_whole_and_of_others_is_the_functions_own() -> None:
    graph, nodes = book(1.0, 2.0)
    graph.group_computed("quantities", nodes, "quantity")
    assert repr(graph.get_group("quantities")) == "200"
    graph.update(nodes[0], "quantity", math.inf)
    assert graph.get_group("quantities") == math.inf
    graph.update(nodes[0], "quantity", 2**70)
    assert graph.get_group("quantities") == 2**70 + 100
    graph.group_computed("symbols", nodes, "symbol", max)
    assert graph.get_group("symbols") == "S1"


@pytest.mark.parametrize("reduction", [min, max])
def test_least_and_greatest_of_equals_is_the_first_members(reduction: Any) -> None:
    graph, nodes = book(0, 0.0, False)
    graph.group_computed("extreme", nodes, "price", reduction)
    assert repr(graph.get_group("extreme")) == "0"
    graph.update(nodes[0], "price", 0.0)
    assert repr(graph.get_group("extreme")) == "0.0"
    graph.remove_from_group("extreme", nodes[0])
    graph.remove_from_group("extreme", nodes[1])
    graph.add_to_group("extreme", nodes[0])
    assert graph.get_group("extreme") is False


def test_sum_beyond_the_largest_double_fails_and_recovers() -> None:
    graph, nodes = book(1.0, 1.0)
    graph.group_computed("total", nodes, "price", sum)
    graph.batch_update({node: {"price": 1e308} for node in nodes})
    with pytest.raises(ComputationError, match="total failed: OverflowError: the result is too large for a double"):
        graph.get_group("total")
    graph.update(nodes[0], "price", -1e308)
    assert graph.get_group("total") == 0.0


def test_group_of_a_reduction_that_fails_recovers() -> None:
    graph, nodes = book(1.0, 2.0)
    graph.group_computed("symbols", nodes, "symbol", sum)
    with pytest.raises(ComputationError, match="symbols failed: TypeError"):
        graph.get_group("symbols")
    graph.batch_update({nodes[0]: {"symbol": 1}, nodes[1]: {"symbol": 2}})
    assert graph.get_group("symbols") == 3


def test_remove_group_ends_its_effects_and_what_reads_it() -> None:
    graph, (node,) = book(1.0)
    graph.group_computed("total", [node], "mv")
    graph.multi_computed("half", lambda g: g.get("total") / 2)
    calls = Calls()
    graph.group_effect("total", calls)
    assert graph.get("half") == 50.0
    graph.remove_group("total")
    graph.update(node, "price", 2.0)
    assert calls.values == [100.0]
    with pytest.raises(ComputationError, match="no group or function 'total'"):
        graph.get("half")
    graph.group_computed("total", [node], "mv", max)
    graph.remove_group("half")
    with pytest.raises(UnknownNodeError):
        graph.get("half")


@pytest.mark.parametrize(("function", "sign"), [(min, 1.0), (max, -1.0)])
def test_extreme_beside_a_member_that_changes_without_end_stays_right_and_takes_no_more_room(
    function: Any, sign: float
) -> None:
    reduction = reduction_of(function, skip_none=False)
    assert isinstance(reduction, Extreme)
    reduction.set("still", 0.0)
    reduction.set("other", sign * 0.5)
    for step in range(1, 1_001):
        # Behind the others, so that its old values never come to the top, where they would be dropped.
        reduction.set("moving", sign * step)
        assert reduction.result() == 0.0
    assert len(reduction._heap) < 100
    reduction.discard("still")
    assert reduction.result() == sign * 0.5
    reduction.discard("other")
    assert reduction.result() == sign * 1_000
