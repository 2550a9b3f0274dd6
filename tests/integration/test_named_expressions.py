"""Named expressions of a class: one definition filters and orders queries, guards transitions and feeds a graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from reactive import Coalesce, Const, Field, Func, If, ReactiveGraph
from store.base import Storable
from store.client import StoreClient
from store.errors import GuardFailure, InvalidFilter, StateMachineError
from store.state_machine import StateMachine, Transition
from tests.fix_postgres import StoreDatabase


@dataclass
class Holding(Storable):
    symbol: str = ""
    quantity: int = 0
    price: float = 0.0
    avg_cost: float | None = None
    label: str = ""


Holding.expressions = {  # type: ignore[attr-defined]
    "pnl": (Field("price") - Field("avg_cost")) * Field("quantity"),
    "losing": Field("pnl") < 0,
    "tag": If(Field("losing"), Const("50% off; it's 'x' %s"), Field("symbol").concat("%")),
    "size": Field("symbol").length(),
    "label": Const("never, since the class has a field of this name"),
    "worst": Func("min", Field("pnl"), 0),
    "round": Field("circle") + 1,
    "circle": Field("round"),
    "mixed": Field("symbol") + Field("price"),
    "known": Coalesce([Field("pnl"), 0.0]),
}

ROWS = {
    "A": Holding("A", 10, 12.0, 10.0, "x"),  # 20
    "BB": Holding("BB", 10, 8.0, 10.0, "y"),  # -20
    "CCC": Holding("CCC", 1, 8.0, 10.0, "z"),  # -2
    "D": Holding("D", 5, 8.0, None, "x"),  # null
    "EE": Holding("EE", 1, 30.0, 10.0, ""),  # 20
}


@pytest.fixture(scope="module")
def client(module_store_db: StoreDatabase) -> Iterator[StoreClient]:
    client = module_store_db.client()
    client.write_many(list(ROWS.values()))
    yield client


def symbols(client: StoreClient, filters: Any = None, **options: Any) -> list[str]:
    return [holding.symbol for holding in client.query(Holding, filters=filters, **options)]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"losing": True}, {"BB", "CCC"}),
        ({"losing": False}, {"A", "EE"}),
        ({"losing": None}, {"D"}),
        ({"pnl": 20.0}, {"A", "EE"}),
        ({"pnl": 20}, {"A", "EE"}),
        ({"pnl": [20, -2]}, {"A", "EE", "CCC"}),
        ({"pnl": {-2.0, None}}, {"CCC", "D"}),
        ({"pnl": []}, set()),
        ({"tag": "50% off; it's 'x' %s"}, {"BB", "CCC"}),
        ({"tag": "A%", "losing": False}, {"A"}),
        ({"label": "x", "losing": False}, {"A"}),
        (Field("losing"), {"BB", "CCC"}),
        (~Field("losing"), {"A", "EE"}),
        (Field("losing") & (Field("symbol") == "BB"), {"BB"}),
        ((Field("pnl") > 0) | Field("avg_cost").is_null(), {"A", "D", "EE"}),
        (Field("label") == "x", {"A", "D"}),
        (Field("size") == 2, {"BB", "EE"}),
        (Field("pnl").is_null(), {"D"}),
    ],
)
def test_filter_by_a_named_expression(client: StoreClient, filters: Any, expected: set[str]) -> None:
    assert set(symbols(client, filters)) == expected
    assert client.count(Holding, filters) == len(expected)
    assert set(symbols(client, filters, tx_time=client.stable_time())) == expected
    if not isinstance(filters, dict):
        assert {symbol for symbol, holding in ROWS.items() if filters.eval(holding) is True} == expected


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ("pnl", [-20.0, -2.0, 20.0, 20.0, None]),
        ("-pnl", [20.0, 20.0, -2.0, -20.0, None]),
        ("size", [1, 1, 2, 2, 3]),
        ("-tag", ["EE%", "D%", "A%", "50% off; it's 'x' %s", "50% off; it's 'x' %s"]),
        ("losing", [False, False, True, True, None]),
        ("label", ["", "x", "x", "y", "z"]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, None])
def test_order_by_a_named_expression_over_pages(
    client: StoreClient, order_by: str, expected: list[Any], limit: int | None
) -> None:
    found: list[Holding] = []
    cursor = None
    while True:
        page = client.query(Holding, filters=Field("quantity") > 0, limit=limit, cursor=cursor, order_by=order_by)
        found += page
        cursor = page.next_cursor
        if cursor is None:
            break
    assert {holding.symbol for holding in found} == ROWS.keys()
    values = [Field(order_by.removeprefix("-")).eval(holding) for holding in found]
    assert values == expected


def test_order_by_a_named_expression_of_the_past(client: StoreClient) -> None:
    page = client.query(Holding, order_by="-known", limit=2, tx_time=client.stable_time())
    assert [Field("known").eval(holding) for holding in page] == [20.0, 20.0]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"filters": {"pnll": 1}}, r"has no field 'pnll' \(did you mean 'pnl'\?\)"),
        ({"filters": Field("pnll") > 1}, r"has no field 'pnll' \(did you mean 'pnl'\?\)"),
        ({"filters": {"pnl": "much"}}, "float and str do not compare"),
        ({"filters": {"pnl": float("nan")}}, "a constant is finite"),
        ({"filters": Field("pnl")}, "is no condition but float"),
        ({"filters": Field("circle") > 1}, "cyclic dependency: circle -> round -> circle"),
        ({"filters": {"mixed": 1}}, "takes numbers, but .* is str"),
        ({"order_by": "-circle"}, "order_by: circle: cyclic dependency"),
        ({"order_by": "mixed"}, "order_by: mixed: .* takes numbers"),
        ({"order_by": "losin"}, r"order_by: Holding has no field 'losin' \(did you mean 'losing'\?\)"),
    ],
)
def test_query_with_a_named_expression_that_cannot_be_used(
    client: StoreClient, query: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidFilter, match=message):
        client.query(Holding, **query)


def test_what_is_no_expression_under_a_name_is_refused(client: StoreClient) -> None:
    @dataclass
    class Wrong(Storable):
        quantity: int = 0
        expressions = {"twice": 2}  # noqa: RUF012

    with pytest.raises(InvalidFilter, match=r"Wrong\.expressions\['twice'\] is not an expression: 2"):
        client.query(Wrong, filters={"twice": 2})


def test_cursor_of_one_order_does_not_fit_another(client: StoreClient) -> None:
    page = client.query(Holding, order_by="pnl", limit=1)
    with pytest.raises(InvalidFilter, match="belongs to another query"):
        client.query(Holding, order_by="-pnl", limit=1, cursor=page.next_cursor)


def test_guard_reads_a_named_expression(store_db: StoreDatabase) -> None:
    class Selling(StateMachine):
        initial = "HELD"
        transitions = [Transition("HELD", "SOLD", guard=~Field("losing"))]  # noqa: RUF012

    @dataclass
    class Sellable(Holding):
        pass

    Sellable._state_machine = Selling
    client = store_db.client()
    winner, loser = Sellable("W", 1, 2.0, 1.0), Sellable("L", 1, 1.0, 2.0)
    client.write_many([winner, loser])
    client.transition(winner, "SOLD")
    assert winner.state == "SOLD"
    with pytest.raises(GuardFailure, match="losing") as caught:
        client.transition(loser, "SOLD")
    assert caught.value.values == {"losing": True}

    class Misspelt(StateMachine):
        initial = "HELD"
        transitions = [Transition("HELD", "SOLD", guard=Field("losin"))]  # noqa: RUF012

    with pytest.raises(StateMachineError, match="did you mean 'losing'"):
        Sellable._state_machine = Misspelt


def test_graph_computes_what_a_query_finds(client: StoreClient) -> None:
    graph = ReactiveGraph()
    for holding in client.query(Holding, filters={"losing": True}):
        node = graph.track(holding)
        graph.computed(node, "losing")
        assert graph.get(node, "losing") is True
        assert graph.get(node, "pnl") == Field("pnl").eval(holding)


def test_columns_of_a_query_take_a_named_expression(client: StoreClient) -> None:
    page = client.query(Holding, order_by="symbol")
    pnl = Field("pnl").bind(Holding)
    expected = [Field("pnl").eval(holding) for holding in page]
    assert pnl.eval_columns(page.to_arrow()).to_pylist() == expected
    assert pnl.eval_columns(page.to_pandas()).tolist() == expected
