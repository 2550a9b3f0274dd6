"""The graph: what is computed when, who is told, and what a mistake leaves behind."""

from __future__ import annotations

import asyncio
import logging
import math
import statistics
import threading
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest

from reactive.errors import (
    ComputationError,
    CycleError,
    ExpressionTypeError,
    GraphError,
    UnknownFieldError,
    UnknownNodeError,
)
from reactive.expr import Field, If
from reactive.graph import ReactiveGraph


class Side(Enum):
    BUY = "B"
    SELL = "S"


@dataclass
class Position:
    symbol: str = ""
    quantity: int = 0
    price: float | None = 0.0
    cost: float = 0.0
    value: float = 0.0
    side: Side = Side.BUY


VALUE = Field("price") * Field("quantity")


def book(*prices: float | None, quantity: int = 100) -> tuple[ReactiveGraph, list[str]]:
    """Return a graph of positions with a computed `mv`."""
    graph = ReactiveGraph()
    nodes = [graph.track(Position(f"S{place}", quantity, price)) for place, price in enumerate(prices)]
    for node in nodes:
        graph.computed(node, "mv", VALUE)
    return graph, nodes


class Calls(list[tuple[str, Any]]):
    """An effect's callback that remembers its calls."""

    def __call__(self, name: str, value: Any) -> None:
        self.append((name, value))

    @property
    def values(self) -> list[Any]:
        return [value for _, value in self]


def test_quick_start_prints_as_documented() -> None:
    graph = ReactiveGraph()
    position = Position(symbol="AAPL", quantity=100, cost=220.0, price=230.0)
    node = graph.track(position)
    graph.computed(node, "pnl", (Field("price") - Field("cost")) * Field("quantity"))
    assert graph.get(node, "pnl") == 1000.0
    graph.update(node, "price", 235.0)
    assert graph.get(node, "pnl") == 1500.0
    assert position.price == 235.0


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


def test_track_of_the_same_object_is_the_same_node() -> None:
    graph = ReactiveGraph()
    position = Position()
    assert graph.track(position) == graph.track(position)
    assert graph.track(Position()) != graph.track(position)
    assert graph.tracked(graph.track(position)) is position


def test_track_takes_any_object_with_attributes_but_nothing_else() -> None:
    class Quote:
        def __init__(self) -> None:
            self.bid, self.ask, self._secret = 9.0, 11.0, 5

    graph = ReactiveGraph()
    node = graph.track(Quote())
    graph.computed(node, "mid", (Field("bid") + Field("ask")) / 2)
    assert graph.get(node, "mid") == 10.0
    with pytest.raises(UnknownFieldError, match="bid, ask"):
        graph.computed(node, "x", Field("_secret"))
    for nothing in (5, Position, object()):
        with pytest.raises(GraphError, match="has no fields"):
            graph.track(nothing)


def test_computed_of_computed_settles_in_one_go() -> None:
    graph, (node,) = book(10.0)
    graph.computed(node, "twice", Field("mv") * 2)
    graph.computed(node, "sum", Field("mv") + Field("twice"))
    calls = Calls()
    graph.effect(node, "sum", calls)
    graph.update(node, "price", 11.0)
    assert calls == [("sum", 3000.0), ("sum", 3300.0)]


def test_chain_of_computed_values_may_be_longer_than_pythons_stack() -> None:
    graph, (node,) = book(1.0, quantity=1)
    graph.computed(node, "c0", Field("mv") + 1)
    for place in range(1, 3000):
        graph.computed(node, f"c{place}", Field(f"c{place - 1}") + 1)
    assert graph.get(node, "c2999") == 3001.0
    graph.update(node, "price", 2.0)
    assert graph.get(node, "c2999") == 3002.0
    with pytest.raises(CycleError, match="mv -> c2999 -> c2998"):
        graph.computed(node, "mv", Field("c2999"))


def test_computed_defined_anew_replaces_what_depends_on_it() -> None:
    graph, (node,) = book(10.0)
    graph.computed(node, "twice", Field("mv") * 2)
    calls = Calls()
    graph.effect(node, "twice", calls)
    graph.computed(node, "mv", Field("price"))
    assert calls.values == [2000.0, 20.0]
    graph.update(node, "quantity", 5)
    assert calls.values == [2000.0, 20.0]


def test_computed_takes_the_place_of_a_field_of_its_name() -> None:
    graph, (node,) = book(10.0)
    graph.computed(node, "double", Field("value") * 2)
    calls = Calls()
    graph.effect(node, "value", calls)
    graph.group_computed("values", [node], "value")
    graph.multi_computed("plus", lambda g: g.get(node, "value") + 1)
    assert graph.get("plus") == 1.0
    graph.computed(node, "value", VALUE)
    assert (graph.get(node, "double"), graph.get_group("values"), graph.get("plus")) == (2000.0, 1000.0, 1001.0)
    assert calls.values == [0.0, 1000.0]
    assert graph.get_field(node, "value") == 0.0
    with pytest.raises(GraphError, match=r"Position-1\.value is computed"):
        graph.update(node, "value", 5.0)


def test_computed_of_a_named_expression_brings_those_it_reads() -> None:
    @dataclass
    class Named(Position):
        expressions = {"pnl": VALUE - Field("cost"), "alert": If(Field("pnl") < -100, "STOP", "OK")}  # noqa: RUF012

    graph = ReactiveGraph()
    node = graph.track(Named(quantity=1, price=10.0, cost=200.0))
    graph.computed(node, "alert")
    assert graph.get(node, "alert") == "STOP"
    assert graph.get(node, "pnl") == -190.0
    with pytest.raises(UnknownNodeError, match="did you mean 'alert'"):
        graph.computed(node, "alrt")


@pytest.mark.parametrize("definitions", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "a"}])
def test_named_expressions_in_a_circle_are_refused(definitions: dict[str, str]) -> None:
    cls = type("Circle", (Position,), {"expressions": {name: Field(other) + 1 for name, other in definitions.items()}})
    graph = ReactiveGraph()
    with pytest.raises(CycleError, match="a -> "):
        graph.computed(graph.track(cls()), "a")


def test_computed_reads_enums_as_their_values() -> None:
    graph, (node,) = book(10.0)
    graph.computed(node, "signed", If(Field("side") == Side.BUY, Field("quantity"), -Field("quantity")))
    assert graph.get(node, "signed") == 100
    graph.update(node, "side", Side.SELL)
    assert graph.get(node, "signed") == -100


def test_computed_refuses_unknown_fields_and_ill_typed_trees() -> None:
    graph, (node,) = book(10.0)
    with pytest.raises(UnknownFieldError, match=r"Position-1 has no field 'prize' \(did you mean 'price'\?\)"):
        graph.computed(node, "x", Field("prize") * 2)
    with pytest.raises(ExpressionTypeError, match="is str"):
        graph.computed(node, "x", Field("symbol") * 2)
    with pytest.raises(GraphError, match="expected an expression"):
        graph.computed(node, "x", 5)  # type: ignore[arg-type]
    with pytest.raises(UnknownNodeError, match="no value of Position-1 'x'"):
        graph.get(node, "x")


def test_cycle_of_computed_values_is_refused_and_changes_nothing() -> None:
    graph, (node,) = book(10.0)
    graph.computed(node, "twice", Field("mv") * 2)
    with pytest.raises(CycleError, match="mv -> twice -> mv"):
        graph.computed(node, "mv", Field("twice") + 1)
    with pytest.raises(CycleError, match="twice -> twice"):
        graph.computed(node, "twice", Field("twice") + 1)
    with pytest.raises(CycleError, match="price -> "):
        graph.computed(node, "price", Field("twice"))
    graph.update(node, "price", 11.0)
    assert graph.get(node, "twice") == 2200.0


def test_cycle_of_functions_raises_when_read() -> None:
    graph = ReactiveGraph()
    graph.multi_computed("a", lambda g: g.get("b") + 1)
    graph.multi_computed("b", lambda g: g.get("a") + 1)
    with pytest.raises(CycleError):
        graph.get("a")


def test_effect_runs_once_when_registered_and_once_per_change() -> None:
    graph, (node,) = book(10.0)
    calls = Calls()
    graph.effect(node, "mv", calls)
    graph.update(node, "price", 10.0)
    graph.update(node, "symbol", "X")
    graph.update(node, "price", 11.0)
    graph.batch_update(node, {"price": 10.0, "quantity": 110})
    graph.batch_update(node, {"price": 12.0, "quantity": 100})
    assert calls == [("mv", 1000.0), ("mv", 1100.0), ("mv", 1200.0)]


def test_effect_tells_types_apart_and_nan_from_nothing() -> None:
    graph, (node,) = book(10.0)
    calls = Calls()
    graph.effect(node, "price", calls)
    for value in (10, 10, True, 1, 1.0, math.nan, math.nan, None):
        graph.update(node, "price", value)
    assert [repr(value) for value in calls.values] == ["10.0", "10", "True", "1", "1.0", "nan", "None"]


def test_effect_removed_runs_no_more() -> None:
    graph, (node,) = book(10.0)
    first, second = Calls(), Calls()
    effect = graph.effect(node, "mv", first)
    graph.effect(node, "mv", second)
    graph.remove_effect(effect)
    graph.update(node, "price", 11.0)
    graph.remove_effect(node, "mv")
    graph.update(node, "price", 12.0)
    assert (first.values, second.values) == ([1000.0], [1000.0, 1100.0])


def test_effect_that_is_not_held_lives_on() -> None:
    import gc

    graph, (node,) = book(10.0)
    calls = Calls()
    graph.effect(node, "mv", calls)
    gc.collect()
    graph.update(node, "price", 11.0)
    assert calls.values == [1000.0, 1100.0]


def test_effect_that_raises_is_logged_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    graph, (node,) = book(10.0)
    calls = Calls()

    def fail(name: str, value: Any) -> None:
        raise ValueError(f"cannot take {value}")

    graph.effect(node, "mv", fail)
    graph.effect(node, "mv", calls)
    with caplog.at_level(logging.ERROR):
        graph.update(node, "price", 11.0)
    assert calls.values == [1000.0, 1100.0]
    assert "the effect on mv failed" in caplog.text
    assert "cannot take 1100.0" in caplog.text


def test_effects_that_change_the_graph_run_after_one_another() -> None:
    graph, (n1, n2) = book(1.0, 0.0)
    seen: list[tuple[str, float]] = []

    def follow(name: str, value: float) -> None:
        seen.append(("first", value))
        graph.update(n2, "price", value)
        seen.append(("first done", graph.get(n2, "mv")))

    graph.effect(n1, "mv", follow)
    graph.effect(n2, "mv", lambda name, value: seen.append(("second", value)))
    seen.clear()
    graph.update(n1, "price", 2.0)
    assert seen == [("first", 200.0), ("first done", 20000.0), ("second", 20000.0)]


def test_effects_in_a_circle_are_stopped_with_an_error() -> None:
    graph, (node,) = book(1.0)
    graph.effect(node, "mv", lambda name, value: None if value == 100.0 else graph.update(node, "price", value))
    with pytest.raises(CycleError, match="an effect -> a change that it makes"):
        graph.update(node, "price", 2.0)
    graph.update(node, "price", 1.0)
    assert graph.get(node, "mv") == 100.0


def test_node_effect_is_called_once_for_any_number_of_changes() -> None:
    graph, (node,) = book(1.0)
    calls = Calls()
    graph.node_effect(node, calls)
    graph.batch_update(node, {"price": 2.0, "quantity": 5, "symbol": "Y"})
    graph.update(node, "symbol", "Y")
    assert calls == [(node, graph.tracked(node))] * 2


def test_batch_is_all_or_nothing() -> None:
    @dataclass
    class Guarded:
        low: float = 1.0
        high: float = 2.0

        def __setattr__(self, name: str, value: float) -> None:
            if name == "high" and value < 0:
                raise ValueError("negative")
            object.__setattr__(self, name, value)

    graph = ReactiveGraph()
    guarded = Guarded()
    node, other = graph.track(guarded), graph.track(Position(price=1.0))
    calls = Calls()
    graph.effect(node, "low", calls)
    with pytest.raises(UnknownFieldError, match="did you mean 'high'"):
        graph.batch_update(node, {"low": 5.0, "hihg": 1.0})
    with pytest.raises(GraphError, match=r"Guarded-1\.high cannot be set to -1: negative"):
        graph.batch_update({other: {"price": 9.0}, node: {"low": 5.0, "high": -1}})
    assert (guarded.low, graph.get(other, "price"), calls.values) == (1.0, 1.0, [1.0])
    graph.batch_update({other: {"price": 9.0}, node: {"low": 5.0, "high": 6.0}})
    assert (guarded.low, guarded.high, graph.get(other, "price"), calls.values) == (5.0, 6.0, 9.0, [1.0, 5.0])


def test_update_of_a_frozen_object_changes_nothing() -> None:
    @dataclass(frozen=True)
    class Frozen:
        price: float = 1.0

    graph = ReactiveGraph()
    node = graph.track(Frozen())
    graph.computed(node, "twice", Field("price") * 2)
    with pytest.raises(GraphError, match="cannot be set"):
        graph.update(node, "price", 2.0)
    assert graph.get(node, "twice") == 2.0


def test_refresh_takes_in_what_was_changed_past_the_graph() -> None:
    graph, (node,) = book(10.0)
    calls = Calls()
    graph.effect(node, "mv", calls)
    position = graph.tracked(node)
    position.price, position.quantity = 11.0, 10
    assert graph.get(node, "mv") == 1000.0
    graph.refresh(node)
    assert calls.values == [1000.0, 110.0]


def test_an_error_poisons_what_depends_on_it_and_clears_with_its_inputs() -> None:
    graph, (n1, n2) = book(10.0, 20.0)
    graph.computed(n1, "twice", Field("mv") * 2)
    graph.computed(n1, "other", Field("quantity") + 1)
    graph.group_computed("total", [n1, n2], "mv")
    graph.multi_computed("half", lambda g: g.get_group("total") / 2)
    calls, total = Calls(), Calls()
    graph.effect(n1, "twice", calls)
    graph.group_effect("total", total)
    graph.update(n1, "price", "ten")
    message = r"^Position-1\.mv failed: .* expected a number, found 'ten'"
    for read in (lambda: graph.get(n1, "mv"), lambda: graph.get(n1, "twice"), lambda: graph.get("half")):
        with pytest.raises(ComputationError, match=message) as caught:
            read()
        assert isinstance(caught.value.__cause__, ExpressionTypeError)
    assert (graph.get(n1, "other"), graph.get(n2, "mv")) == (101.0, 2000.0)
    graph.update(n2, "price", 30.0)
    with pytest.raises(ComputationError):
        graph.get_group("total")
    graph.update(n1, "price", 11.0)
    assert (graph.get_group("total"), graph.get("half")) == (4100.0, 2050.0)
    assert calls.values == [2000.0, 2200.0]
    assert total.values == [3000.0, 4100.0]


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


def test_nothing_is_computed_before_it_is_wanted() -> None:
    graph, (node,) = book(1.0)
    runs = []
    graph.multi_computed("counted", lambda g: runs.append(1) or g.get(node, "mv"))
    for price in range(10):
        graph.update(node, "price", float(price))
    assert runs == []
    assert (graph.get("counted"), graph.get("counted"), runs) == (900.0, 900.0, [1])


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


def test_group_of_a_reduction_that_fails_recovers() -> None:
    graph, nodes = book(1.0, 2.0)
    graph.group_computed("symbols", nodes, "symbol", sum)
    with pytest.raises(ComputationError, match="symbols failed: TypeError"):
        graph.get_group("symbols")
    graph.batch_update({nodes[0]: {"symbol": 1}, nodes[1]: {"symbol": 2}})
    assert graph.get_group("symbols") == 3


def test_names_that_are_not_there_and_names_that_are_taken() -> None:
    graph, (node,) = book(1.0)
    graph.group_computed("total", [node], "mv")
    graph.multi_computed("spread", lambda g: 0)
    for call, message in [
        (lambda: graph.get("Position-9", "mv"), "no node 'Position-9' \\(did you mean 'Position-1'"),
        (lambda: graph.get(node, "mvv"), "did you mean 'mv'"),
        (lambda: graph.get_group("totl"), "did you mean 'total'"),
        (lambda: graph.add_to_group("spread", node), "no group 'spread'"),
        (lambda: graph.remove_from_group("total", "x"), "no member of total 'x'"),
        (lambda: graph.group_computed("g", [node], "nope"), "no value of Position-1 'nope'"),
        (lambda: graph.effect(node, "nope", print), "no value of Position-1 'nope'"),
        (lambda: graph.group_effect("nope", print), "no group or function 'nope'"),
        (lambda: graph.untrack("nope"), "no node 'nope'"),
        (lambda: graph.remove_effect("nope"), "no group or function"),
        (lambda: graph.multi_computed("total", lambda g: 0), "has 'total' already"),
        (lambda: graph.group_computed("spread", [], "mv"), "has 'spread' already"),
    ]:
        with pytest.raises(GraphError, match=message):
            call()
    with pytest.raises(UnknownFieldError, match="did you mean 'price'"):
        graph.get_field(node, "prise")


def test_untrack_takes_a_node_out_of_everything() -> None:
    graph, (n1, n2) = book(1.0, 2.0)
    graph.group_computed("total", [n1, n2], "mv")
    graph.multi_computed("diff", lambda g: g.get(n1, "mv") - g.get(n2, "mv"))
    calls, total = Calls(), Calls()
    graph.effect(n1, "mv", calls)
    graph.group_effect("total", total)
    position = graph.tracked(n1)
    assert graph.get("diff") == -100.0
    graph.untrack(n1)
    assert total.values == [300.0, 200.0]
    with pytest.raises(UnknownNodeError):
        graph.get(n1, "mv")
    with pytest.raises(ComputationError, match="no node 'Position-1'"):
        graph.get("diff")
    assert graph.track(position) != n1


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


def test_scenario_looks_without_touching() -> None:
    graph, (n1, n2) = book(10.0, 20.0)
    graph.computed(n1, "twice", Field("mv") * 2)
    graph.group_computed("total", [n1, n2], "mv")
    graph.multi_computed("ratio", lambda g: g.get(n1, "mv") / g.get_group("total"))
    calls = Calls()
    graph.group_effect("total", calls)
    with graph.scenario({n1: {"price": 30.0}}) as scenario:
        assert scenario.get(n1, "price") == scenario.get_field(n1, "price") == 30.0
        assert (scenario.get(n1, "mv"), scenario.get(n1, "twice"), scenario.get(n2, "mv")) == (3000.0, 6000.0, 2000.0)
        assert scenario.get_group("total") == 5000.0
        assert scenario.get("ratio") == 0.6
        assert graph.get_group("total") == 3000.0
    assert graph.get(n1, "price") == graph.tracked(n1).price == 10.0
    assert calls.values == [3000.0]
    with pytest.raises(UnknownFieldError), graph.scenario({n1: {"prise": 1.0}}):
        pass
    with graph.scenario({n1: {"price": "ten"}}) as scenario, pytest.raises(ComputationError, match="found 'ten'"):
        scenario.get_group("total")


def test_scenario_stays_open_while_the_graph_goes_on() -> None:
    graph, (n1, n2) = book(10.0, 20.0)
    graph.group_computed("total", [n1, n2], "mv")
    with graph.scenario({n1: {"price": 30.0}}) as scenario:
        thread = threading.Thread(target=graph.update, args=(n2, "price", 21.0))
        thread.start()
        thread.join(timeout=30)
        assert not thread.is_alive()
        assert scenario.get_group("total") == 5100.0
    assert graph.get_group("total") == 3100.0


def test_explain_shows_parts_with_their_values() -> None:
    graph, (n1, n2) = book(10.0, 20.0)
    graph.computed(n1, "rich", (Field("mv") - Field("cost")) > 500)
    assert graph.explain(n1, "rich").splitlines() == [
        "Position-1.rich = True  [(mv - cost) > 500]",
        "└─ mv - cost = 1000.0",
        "   ├─ Position-1.mv = 1000.0  [price * quantity]",
        "   │  ├─ price = 10.0",
        "   │  └─ quantity = 100",
        "   └─ cost = 0.0",
    ]
    graph.group_computed("total", [n1, n2], "mv")
    assert graph.explain("total").splitlines()[0] == "total = 3000.0  [sum of mv over 2 nodes]"
    graph.update(n1, "price", "ten")
    assert "ComputationError: Position-1.mv failed" in graph.explain("total")


def test_mermaid_has_every_value_and_no_markup_of_the_users() -> None:
    graph, (n1, n2) = book(10.0, 20.0)
    graph.computed(n1, 'odd"]; click', Field("symbol").concat('"]<script>'))
    graph.group_computed("total", [n1, n2], "mv")
    graph.multi_computed("spread", lambda g: g.get(n1, "mv") - g.get_field(n2, "cost"))
    text = graph.to_mermaid()
    assert text.startswith("flowchart LR\n")
    assert "<script>" not in text
    assert '"]; click' not in text
    assert text.count(" --> ") == 2 + 2 + 1 + 2 + 2
    assert "total<br>sum of mv" in text


def test_signal_drives_reaktivs_own_effects() -> None:
    from reaktiv import Computed, Effect

    graph, (n1, n2) = book(10.0, 20.0)
    graph.group_computed("total", [n1, n2], "mv")
    one, total = graph.signal(n1, "mv"), graph.signal("total")
    share = Computed(lambda: one() / total())
    seen: list[float] = []
    effect = Effect(lambda: seen.append(round(share(), 3)))
    graph.batch_update({n1: {"price": 20.0}, n2: {"price": 30.0}})
    graph.update(n1, "symbol", "Z")
    graph.update(n1, "price", "ten")
    assert seen == [0.333, 0.4]
    effect.dispose()


def test_update_inside_a_running_event_loop_runs_effects_at_once() -> None:
    graph, (node,) = book(10.0)
    calls = Calls()
    graph.effect(node, "mv", calls)

    async def tick() -> list[Any]:
        graph.update(node, "price", 11.0)
        return list(calls.values)

    async def ticks() -> list[list[Any]]:
        return list(await asyncio.gather(tick(), tick()))

    assert asyncio.run(ticks()) == [[1000.0, 1100.0], [1000.0, 1100.0]]


def test_updates_of_several_threads_lose_nothing_and_call_effects_in_order() -> None:
    graph, nodes = book(*[0.0] * 4, quantity=1)
    graph.group_computed("total", nodes, "mv")
    totals = Calls()
    graph.group_effect("total", totals)

    def count(node: str) -> None:
        for price in range(1, 501):
            graph.update(node, "price", float(price))
            assert graph.get_group("total") is not None

    threads = [threading.Thread(target=count, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert graph.get_group("total") == 2000.0
    assert totals.values == [float(value) for value in range(2001)]


@dataclass
class Slotted:
    __slots__ = ("price",)
    price: float


def test_track_takes_slotted_dataclasses() -> None:
    graph = ReactiveGraph()
    node = graph.track(Slotted(2.0))
    graph.computed(node, "twice", Field("price") * 2)
    graph.update(node, "price", 3.0)
    assert graph.get(node, "twice") == 6.0


@dataclass
class Tagged:
    tags: list[str] = field(default_factory=list)


def test_fields_of_any_type_can_be_watched() -> None:
    graph = ReactiveGraph()
    node = graph.track(Tagged())
    calls = Calls()
    graph.effect(node, "tags", calls)
    graph.update(node, "tags", ["a"])
    graph.update(node, "tags", ["a"])
    assert calls.values == [[], ["a"]]
