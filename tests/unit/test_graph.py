"""The graph: objects, computed values, batches, errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
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
from tests.unit.positions import VALUE, Calls, Position, Side, book


def test_quick_start_prints_as_documented() -> None:
    graph = ReactiveGraph()
    position = Position(symbol="AAPL", quantity=100, cost=220.0, price=230.0)
    node = graph.track(position)
    graph.computed(node, "pnl", (Field("price") - Field("cost")) * Field("quantity"))
    assert graph.get(node, "pnl") == 1000.0
    graph.update(node, "price", 235.0)
    assert graph.get(node, "pnl") == 1500.0
    assert position.price == 235.0


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


class Waiting:
    async def __call__(self, *arguments: Any) -> None:
        """Wait for nothing."""


@pytest.mark.parametrize(
    ("define", "message"),
    [
        (lambda g, n: g.effect(n, "mv", "print"), "the effect on mv: expected a function, not 'print'"),
        (lambda g, n: g.group_effect("total", None), "the effect on total: expected a function, not None"),
        (lambda g, n: g.effect(n, "mv", asyncio.sleep), "expected a plain function, not the coroutine function"),
        (lambda g, n: g.group_computed("other", [n], "mv", "sum"), "the reduction of other: expected a function"),
        (lambda g, n: g.group_computed("other", n, "mv", sum), r"other: expected nodes, not one: \['Position-1'\]"),
        (lambda g, n: g.multi_computed("other", 5), "other: expected a function, not 5"),
        (lambda g, n: g.computed(n, "", Field("price")), "a name is a text of at least one character, not ''"),
        (lambda g, n: g.computed(n, 5, Field("price")), "a name is a text of at least one character, not 5"),
        (lambda g, n: g.batch_update(n, [("price", 1.0)]), "Position-1: expected a mapping of fields to values"),
        (lambda g, n: g.batch_update([(n, "price", 1.0)]), "expected a mapping of nodes to fields and values, not"),
        (lambda g, n: g.batch_update(g.tracked(n), {"price": 1.0}), "expected a node, as track returned it, not Posi"),
        (lambda g, n: g.effect(n, "mv", Waiting()), "expected a plain function, not the coroutine function"),
        (lambda g, n: g.update(n, "mv", 1.0), "Position-1.mv is computed"),
        (lambda g, n: g.get(n), "Position-1 is a node: name the value as well"),
        (lambda g, n: g.get(g.tracked(n), "mv"), "expected a node, as track returned it, not Position\\("),
        (lambda g, n: g.get(g.tracked(n)), "no group or function Position\\("),
        (lambda g, n: g.update(g.tracked(n), "price", 1.0), "expected a node, as track returned it, not Position\\("),
        (lambda g, n: g.scenario([n]).__enter__(), r"expected a mapping of nodes to fields and values, not \['"),
        (lambda g, n: g.scenario({n: 5}).__enter__(), "Position-1: expected a mapping of fields to values, not 5"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_said(
    define: Callable[[ReactiveGraph, str], object], message: str
) -> None:
    graph, (node,) = book(1.0)
    graph.group_computed("total", [node], "mv", sum)
    with pytest.raises(GraphError, match=message):
        define(graph, node)
    graph.update(node, "price", 2.0)
    assert graph.get_group("total") == 200.0


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


def test_update_takes_what_the_object_makes_of_a_value() -> None:
    class Priced:
        def __init__(self) -> None:
            self.price = 1.5

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, float(value))

    graph = ReactiveGraph()
    node = graph.track(Priced())
    graph.computed(node, "twice", Field("price") * 2)
    graph.update(node, "price", "5")
    assert (graph.get(node, "price"), graph.get(node, "twice")) == (5.0, 10.0)
    graph.batch_update({node: {"price": "6"}})
    assert (graph.get(node, "price"), graph.get(node, "twice")) == (6.0, 12.0)


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


def test_nothing_is_computed_before_it_is_wanted() -> None:
    graph, (node,) = book(1.0)
    runs = []
    graph.multi_computed("counted", lambda g: runs.append(1) or g.get(node, "mv"))
    for price in range(10):
        graph.update(node, "price", float(price))
    assert runs == []
    assert (graph.get("counted"), graph.get("counted"), runs) == (900.0, 900.0, [1])


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


def test_function_that_returns_a_coroutine_has_no_value() -> None:
    graph, (node,) = book(10.0)
    graph.multi_computed("waits", lambda g: asyncio.sleep(0))
    graph.group_computed("all", [node], "mv", lambda values: asyncio.sleep(0))
    for name in ("waits", "all"):
        with pytest.raises(ComputationError, match="returned a coroutine, which nobody waits for"):
            graph.get(name)


def test_batch_that_is_interrupted_changes_nothing() -> None:
    class Interrupting(Position):
        def __setattr__(self, name: str, value: Any) -> None:
            if name == "cost" and value == 7.0:
                raise KeyboardInterrupt
            super().__setattr__(name, value)

    graph = ReactiveGraph()
    node = graph.track(position := Interrupting(price=1.0))
    graph.computed(node, "twice", Field("price") * 2)
    with pytest.raises(KeyboardInterrupt):
        graph.batch_update(node, {"price": 5.0, "cost": 7.0})
    assert (position.price, graph.get(node, "price"), graph.get(node, "twice")) == (1.0, 1.0, 2.0)
