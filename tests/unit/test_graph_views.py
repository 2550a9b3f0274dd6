"""Looking at a graph: what-if values, how a value comes about, and the whole as a picture."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from reactive.errors import (
    ComputationError,
    UnknownFieldError,
)
from reactive.expr import Coalesce, Expr, Field, If
from reactive.graph import Scenario
from tests.unit.positions import Calls, Position, book


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
        thread.join(timeout=120)
        assert not thread.is_alive()
        assert scenario.get_group("total") == 5100.0
    assert graph.get_group("total") == 3100.0


def test_function_that_looks_at_a_scenario_follows_what_it_saw_there() -> None:
    graph, (n1, n2, n3) = book(10.0, 20.0, 30.0)
    graph.computed(n1, "twice", Field("mv") * 2)
    graph.group_computed("total", [n1, n2], "mv")
    graph.multi_computed("half", lambda g: g.get_group("total") / 2)

    def stressed(of: Callable[[Scenario], Any]) -> Callable[[Any], Any]:
        def function(g: Any) -> Any:
            with g.scenario({n1: {"price": 1.0}}) as scenario:
                return of(scenario)

        return function

    graph.multi_computed("value", stressed(lambda s: s.get(n1, "twice")))
    graph.multi_computed("group", stressed(lambda s: s.get_group("total")))
    graph.multi_computed("function", stressed(lambda s: s.get("half")))
    graph.multi_computed("field", stressed(lambda s: s.get_field(n1, "quantity") + s.get(n2, "price")))
    calls = {name: Calls() for name in ("value", "group", "function", "field")}
    for name, effect in calls.items():
        graph.group_effect(name, effect)
    graph.update(n1, "quantity", 50)
    graph.update(n2, "price", 40.0)
    graph.add_to_group("total", n3)
    graph.update(n1, "price", 99.0)
    assert calls["value"].values == [200.0, 100.0]
    assert calls["group"].values == [2100.0, 2050.0, 4050.0, 7050.0]
    assert calls["function"].values == [1050.0, 1025.0, 2025.0, 3525.0]
    assert calls["field"].values == [120.0, 70.0, 90.0]


def test_scenario_of_a_scenario_has_the_changes_of_both() -> None:
    graph, (n1, n2) = book(10.0, 20.0)
    graph.group_computed("total", [n1, n2], "mv")

    def stressed(g: Any) -> Any:
        with g.scenario({n1: {"price": 1.0}}) as scenario:
            return scenario.get_group("total")

    graph.multi_computed("stressed", stressed)
    with graph.scenario({n1: {"price": 5.0, "quantity": 10}, n2: {"price": 2.0}}) as scenario:
        assert scenario.get("stressed") == 210.0
        assert scenario.get_group("total") == 250.0
        with pytest.raises(UnknownFieldError, match="did you mean 'price'"), scenario.scenario({n1: {"prise": 1.0}}):
            pass
    assert graph.get("stressed") == 2100.0


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


def test_explain_of_what_is_deep_wide_or_shared_stays_readable() -> None:
    graph, (node,) = book(2.0)
    for name, expr in {"deep0": Field("mv"), "twice0": Field("mv")}.items():
        graph.computed(node, name, expr + 0)
    for place in range(1, 1200):
        graph.computed(node, f"deep{place}", Field(f"deep{place - 1}") + 1)
    for place in range(1, 60):
        before = Field(f"twice{place - 1}")
        graph.computed(node, f"twice{place}", before - before * 0.5)
    deep, twice = (graph.explain(node, name).splitlines() for name in ("deep1199", "twice59"))
    assert deep[0] == "Position-1.deep1199 = 1399.0  [deep1198 + 1]"
    assert deep[-1].endswith("└─ ...")
    assert len(deep) < 60
    assert len(twice) < 200
    assert any(line.endswith("(as above)") for line in twice)
    nodes = [graph.track(Position(price=1.0)) for _ in range(150)]
    graph.group_computed("all", nodes, "price", sum)
    assert graph.explain("all").splitlines()[-1] == "└─ ... and 50 more"
    graph.computed(node, "long", Coalesce([Field("price")] * 500))
    assert len(graph.explain(node, "long").splitlines()[0]) < 300


def test_explanation_of_deeply_nested_functions_is_made_in_time() -> None:
    graph, (node,) = book(2.0)
    tiers: Expr = Field("price")
    for limit in range(60):
        tiers = If(Field("price") > limit, tiers, Field("cost") * limit)
    graph.computed(node, "tiers", tiers)
    assert graph.explain(node, "tiers").startswith("Position-1.tiers = 0.0  [if(price > 59, if(price > 58, ")
    assert "tiers<br>if(price #62; 59, if(price #62; 58, " in graph.to_mermaid()


def test_scenario_follows_chains_longer_than_pythons_stack() -> None:
    graph, (node,) = book(2.0)
    graph.computed(node, "deep0", Field("mv") + 0)
    for place in range(1, 1200):
        graph.computed(node, f"deep{place}", Field(f"deep{place - 1}") + 1)
    with graph.scenario({node: {"price": 3.0}}) as scenario:
        assert scenario.get(node, "deep1199") == 1499.0
    assert graph.get(node, "deep1199") == 1399.0


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
