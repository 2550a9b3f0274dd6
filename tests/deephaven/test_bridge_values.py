"""Values of every type in a bridge, those that only SQL can have written, and filters that mean what queries do."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, make_dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pytest

from bridge import BridgeError, TableWriter, infer_dh_schema
from bridge.errors import CellRefused
from reactive.expr import Coalesce, Expr, Field, If
from store.base import Storable
from store.columns import REGISTRY
from store.models import Order, Trade
from tests.fix_bridge import Bridges, order, rows, trade
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import FULL, Everything, Side, Ticket
from tests.waiting import wait_until

SECONDS = 120.0
UTC = timezone.utc


def test_bridge_field_of_every_type_shows_what_was_written(bridges: Bridges, store_db: StoreDatabase) -> None:
    client = store_db.client()
    bridge = bridges(Everything).start()
    edges = {
        "quantity": 2**63 - 1,
        "weight": 5e-324,
        "exact_amount": Decimal("-1E-16383"),
        "ts": datetime(2262, 4, 11, 23, 47, 15, 999_999, tzinfo=UTC),
        "trade_date": date(9999, 12, 31),
        "external_ref": UUID(int=0),
    }
    last_second = datetime(2262, 4, 11, 23, 47, 16, tzinfo=UTC)
    beyond = {"quantity": 2**64, "weight": -1.7976931348623157e308, "ts": last_second}
    client.write_many([Everything(**FULL), Everything(), Everything(**edges), Everything(**beyond)])
    client.write(Everything(quantity=1), valid_to=last_second)
    assert bridge.wait_current(SECONDS)
    names = [name for name in FULL if name != "exact_amount"]
    table = bridge.table(Everything).update_view("Amount = exact_amount == null ? null : exact_amount.toPlainString()")
    full, empty, at_edges, lost, bounded = (
        dict(zip([*names, "Amount"], row, strict=True)) for row in rows(table, *names, "Amount")
    )
    exact = {name: FULL[name] for name in ("notes", "weight", "active", "ts", "trade_date", "opening_time")}
    assert {name: full[name] for name in exact} == exact
    assert full["quantity"] is None  # beyond 64 bits
    assert (full["side"], full["urgency"], full["external_ref"]) == ("SELL", 10, str(FULL["external_ref"]))
    assert Decimal(full["Amount"]) == FULL["exact_amount"]
    assert (json.loads(full["tags"]), json.loads(full["extra"])) == (FULL["tags"], FULL["extra"])
    assert json.loads(full["main_leg"]) == {"symbol": "GOOG", "ratio": "-2", "due": None, "marks": []}
    assert [leg["symbol"] for leg in json.loads(full["legs"])] == ["AAPL", ""]
    assert json.loads(full["limits_by_desk"]) == {"rates": "1000000.01", "": "0"}
    assert set(empty.values()) == set(lost.values()) == {None}
    assert (at_edges["quantity"], at_edges["weight"], at_edges["ts"]) == (2**63 - 1, 5e-324, edges["ts"])
    assert Decimal(at_edges["Amount"]) == edges["exact_amount"]
    assert at_edges["trade_date"] == edges["trade_date"]
    assert bounded["quantity"] == 1


class Grade(Enum):
    HIGH = 2.5
    LOW = 1.5


LISTS: dict[str, Any] = {
    "wholes": list[int | None],
    "reals": tuple[float, ...],
    "truths": list[bool],
    "texts": list[str | None],
    "refs": list[UUID],
    "grades": list[Grade],
    "grade": Grade,
    "rate_kind": Literal["FIXED", "FLOAT"],
    "size": Literal[1, 10],
}
for _name, _kind in LISTS.items():
    REGISTRY.define(f"shown_{_name}", _kind, description=f"Shown {_name}", role="attribute", nullable=True)
Lists = make_dataclass(
    "Lists",
    [(f"shown_{name}", kind | None, None) for name, kind in LISTS.items()],
    bases=(Storable,),
    namespace={"__module__": __name__},
)


def test_bridge_lists_and_choices_show_what_the_store_holds(
    bridges: Bridges, store_db: StoreDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    client = store_db.client()
    bridge = bridges(Lists).start()
    first = [[1, None, 1 - 2**63], (5e-324, 1e308), [True, False], ["", None, "\U0001f680"], [UUID(int=7)]]
    first += [[Grade.LOW], Grade.HIGH, "FLOAT", 10]
    client.write_many([Lists(*first), Lists(*([[], ()] + [[]] * 4)), Lists(), Lists(shown_wholes=[-(2**63)])])
    assert bridge.wait_current(SECONDS)
    stored = [tuple(json.loads(one.to_json())["data"].values()) for one in client.query(Lists, limit=None)]
    expected = [(None, *cells[1:]) if cells[0] == [-(2**63)] else cells for cells in stored]  # Deephaven's null
    names = [f"shown_{name}" for name in LISTS]
    for table in (bridge.table(Lists), bridge.live(Lists)):
        assert sorted(rows(table, *names), key=repr) == sorted(expected, key=repr)
    assert 'hold -9223372036854775808; give the column dh_type_override="string"' in caplog.text


UNGOVERNED: list[dict[str, Any]] = [
    {"quantity": 1.5},
    {"quantity": True},
    {"quantity": "many"},
    {"weight": "heavy"},
    {"active": "yes"},
    {"active": 1},
    {"exact_amount": "much"},
    {"exact_amount": "1E+999999999"},
    {"exact_amount": True},
    {"exact_amount": "NaN"},
    {"ts": "2024-01-01"},
    {"trade_date": 5},
    {"opening_time": []},
    {"external_ref": 7},
    {"side": 1},
    {"urgency": "HIGH"},
    {"notes": {"a": 1}},
    {"tags": "none"},
    {name: None for name in FULL},
    {"unheard_of": 1},
    {},
]


def test_bridge_rows_that_only_sql_can_have_written_cost_no_other_row(
    bridges: Bridges, store_db: StoreDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """A colleague past our client, and a type that is not published: each value has the wrong shape for its column."""
    client = store_db.client()
    bridge = bridges(Everything)
    filtered = bridges()
    wanted = (
        (Field("quantity") >= 0) & (Field("exact_amount") * 2 > 0) & (Field("ts") > datetime(2000, 1, 1, tzinfo=UTC))
    )
    filtered.register(Everything, filter=wanted)
    for each in (bridge, filtered):
        each.start()
    good = FULL | {"quantity": 1}
    client.write(Everything(**good))
    items = [{"type_name": "Everything", "data": data} for data in UNGOVERNED]
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        cursor.execute("SELECT * FROM store.create_objects(%s, '{}', '{}', false, NULL)", (json.dumps(items),))
    client.write(Everything(**good))
    for each in (bridge, filtered):
        assert each.wait_current(SECONDS)
    assert bridge.table(Everything).size == bridge.live(Everything).size == len(UNGOVERNED) + 2
    assert filtered.live(Everything).size == 2
    # What has no place in its column is missing there.
    odd = rows(bridge.table(Everything).where("Owner == `bob`"), "quantity", "weight", "active", "trade_date")
    assert set(odd) == {(None, None, None, None)}
    assert "Everything.quantity of" in caplog.text
    assert "stumbles" not in caplog.text


def test_bridge_shows_texts_of_a_megabyte_and_states_that_no_machine_knows(
    bridges: Bridges, store_db: StoreDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """What a colleague may write through SQL while a type is not published."""
    pending = bridges()
    pending.register(Ticket, filter=Field("state") == "OPEN")
    whole = bridges(Ticket, Trade)
    for bridge in (pending, whole):
        bridge.start()
    states = ["OPEN", "NOSUCH", "", "\x1b[2J", "A\u202eB", None]
    large = ["x" * 1_000_000, "😀" * 250_000]
    items = [{"type_name": "Ticket", "data": {"label": str(n)}, "state": state} for n, state in enumerate(states)]
    items += [{"type_name": "Trade", "data": {"symbol": text}} for text in large]
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        cursor.execute("SELECT * FROM store.create_objects(%s, '{}', '{}', false, NULL)", (json.dumps(items),))
    store_db.client().write(trade("AAPL"))
    for bridge in (pending, whole):
        assert bridge.wait_current(SECONDS)
    assert rows(whole.table(Ticket), "State") == states
    assert rows(pending.live(Ticket), "label") == ["0"]
    assert rows(whole.table(Trade), "symbol") == rows(whole.live(Trade), "symbol") == [*large, "AAPL"]
    assert caplog.text == ""


MOMENT = datetime(2026, 2, 22, 10, tzinfo=UTC)
CONDITIONS: list[Expr] = [
    Field("quantity") > 1,
    Field("quantity") != 1,
    ~(Field("quantity") > 1),
    Field("quantity").is_null(),
    Field("tags").is_null(),
    Field("active"),
    ~Field("active"),
    (Field("quantity") > 1) | Field("active"),
    Field("side") == "SELL",
    Field("urgency") >= 10,
    Field("exact_amount") == Decimal("0.1"),
    Field("exact_amount") * 3 > Decimal("0.3"),
    Field("ts") >= MOMENT,
    Field("trade_date") < date(2026, 3, 1),
    Field("external_ref").starts_with("0000"),
    Coalesce([Field("notes"), "none"]) == "none",
    If(Field("active"), Field("quantity"), 5) == 5,
    Field("notes").upper() == "ÉTÉ",
    Field("weight") / Field("quantity") > 0.1,
    Field("state").is_null() & (Field("owner") == "alice"),
    Field("version") >= 2,
    (Field("updated_by") != Field("owner")) | (Field("event_type") == "CREATED"),
    Field("entity_id").length() == 36,
    Field("tx_time") <= Field("valid_from"),
]


def test_bridge_filters_show_what_queries_return(bridges: Bridges, store_db: StoreDatabase) -> None:
    client, bob = store_db.client(), store_db.client("bob")
    samples = [
        Everything(),
        Everything(**FULL),
        Everything(quantity=1, active=True, side=Side.BUY, exact_amount=Decimal("0.1"), notes="été"),
        Everything(quantity=2, active=False, weight=0.3, ts=MOMENT, external_ref=UUID(int=5), notes="none"),
        Everything(quantity=10**30, active=True, weight=-1.0, exact_amount=Decimal("0.10000000000000000001")),
        Everything(
            quantity=0, weight=1.0, ts=MOMENT - timedelta(microseconds=1), notes="", trade_date=date(2026, 2, 28)
        ),
    ]
    client.write_many(samples)
    bob.write(Everything(quantity=5, active=True))
    samples[2].quantity = 5
    client.update(samples[2])
    reader = store_db.client("bridge_user")
    for condition in CONDITIONS:
        bridge = bridges()
        bridge.register(Everything, filter=condition)
        with bridge:
            assert bridge.wait_current(SECONDS)
            shown = set(rows(bridge.live(Everything), "EntityId"))
            assert shown == {one.entity_id for one in reader.query(Everything, condition, limit=None)}, condition


def test_bridge_filter_by_state_follows_the_lifecycle(bridges: Bridges, store_db: StoreDatabase) -> None:
    client = store_db.client()
    bridge = bridges()
    bridge.register(Ticket, filter=Field("state") == "OPEN")
    bridge.start()
    first, second = Ticket("a"), Ticket("b")
    client.write_many([first, second])
    client.transition(first, "CLOSED")
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.live(Ticket), "label") == ["b"]
    assert rows(bridge.table(Ticket), "label", "State") == [("a", "OPEN"), ("b", "OPEN")]


class Broken:
    """A writer that takes no row of a symbol for as long as it has a failure."""

    def __init__(self) -> None:
        self.failure: BaseException | None = OSError("disk full")
        self.tries = 0
        self.rows: list[tuple[Any, ...]] = []

    def write_row(self, *values: Any) -> None:
        if self.failure is not None and values[0] == "BAD":
            self.tries += 1
            raise self.failure
        self.rows.append(values)


def test_bridge_writer_that_keeps_failing_says_so_once_and_holds_up_no_other_type(
    bridges: Bridges, store_db: StoreDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    client = store_db.client()
    writer = Broken()
    bridge = bridges()
    bridge.register(Trade, columns=["symbol"], writer=writer)
    bridge.register(Order)
    bridge.start()
    client.write_many([trade("GOOD"), trade("BAD")])
    client.write_many([order(quantity=number) for number in range(1, 50)])
    client.write(trade("LAST"))

    wait_until(lambda: bridge.table(Order).size == 49, SECONDS)
    client.write(order(quantity=50))
    wait_until(lambda: bridge.table(Order).size == 50, SECONDS)
    assert not bridge.wait_current(0.5)
    wait_until(lambda: writer.tries >= 3, SECONDS)
    assert bridge.stats()["Trade"].failure == "the writer of Trade does not take a row: OSError: disk full"
    assert bridge.stats()["Order"].failure is None
    assert bridge.lag().events > 0
    writer.failure, tried = CellRefused("BAD", "string"), writer.tries
    wait_until(lambda: writer.tries >= tried + 3, SECONDS)
    writer.failure, tried = SystemExit("a writer that gives up"), writer.tries
    wait_until(lambda: writer.tries >= tried + 3, SECONDS)
    told = [str(record.exc_info) for record in caplog.records if "stumbles" in record.message]
    found = [["disk full" in text, "cannot hold" in text, "gives up" in text] for text in told]
    assert found == [[True, False, False], [False, True, False], [False, False, True]]  # each failure once
    assert [values[0] for values in writer.rows] == ["GOOD"]
    writer.failure = None
    assert bridge.wait_current(SECONDS)
    assert bridge.stats()["Trade"].failure is None
    assert bridge.stats()["Trade"].events == 3
    wait_until(lambda: "the bridge goes on from position" in caplog.text)  # said once the rows are written
    assert [values[0] for values in writer.rows] == ["GOOD", "BAD", "LAST"]
    assert sorted(rows(bridge.live(Trade), "symbol")) == ["BAD", "GOOD", "LAST"]


def test_bridge_writer_of_other_columns_is_refused_before_a_row_is_lost(bridges: Bridges) -> None:
    from deephaven import DynamicTableWriter

    bridge = bridges()
    with pytest.raises(BridgeError, match=r"the writer of Order has 2\d columns .*, and a row 11"):
        bridge.register(Order, columns=["symbol"], writer=DynamicTableWriter(infer_dh_schema(Order)))
    with pytest.raises(BridgeError, match="the writer of Order has 1 columns"):
        bridge.register(Order, writer=TableWriter("narrow", {"symbol": "string"}))
    turned = dict(reversed(infer_dh_schema(Order).items()))
    with pytest.raises(BridgeError, match="the writer of Order has the column 'Changed' where a row has 'symbol'"):
        bridge.register(Order, writer=DynamicTableWriter(turned))
    bridge.register(Order, columns=["symbol"], writer=DynamicTableWriter(infer_dh_schema(Order, ["symbol"])))


def test_bridge_columns_that_are_no_names_are_refused(bridges: Bridges) -> None:
    bridge = bridges()
    for columns in (5, [None], "symbol"):
        with pytest.raises(BridgeError, match="columns takes a list of names, not "):
            bridge.register(Order, columns=columns)


def test_bridge_type_registered_in_a_thread_of_its_own_says_what_it_lacks(bridges: Bridges) -> None:
    bridge = bridges()
    caught: list[BaseException] = []

    def register() -> None:
        try:
            bridge.register(Order)
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=register)
    thread.start()
    thread.join()
    with pytest.raises(BridgeError, match="in another, inside `with exec_ctx:`"):
        raise caught[0]
    bridge.register(Order)


@dataclass
class Steered(Storable):
    symbol: str = ""
    quantity: int = 0


Steered.expressions = {"InRaw": Field("quantity") < 0, "InLive": Field("quantity") < 0}  # type: ignore[attr-defined]


def test_bridge_expressions_of_any_name_steer_nothing(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge = bridges()
    bridge.register(Steered, columns=["symbol", "InRaw", "InLive"])
    bridge.start()
    store_db.client().write(Steered("AAPL", 1))
    assert bridge.wait_current(SECONDS)
    for table in (bridge.table(Steered), bridge.live(Steered)):
        assert rows(table, "symbol", "InRaw", "InLive") == [("AAPL", False, False)]


def test_bridge_expression_whose_name_does_not_reach_java_is_refused(
    bridges: Bridges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Steered, "expressions", {"\U0001d4b3": Field("quantity") * 2})
    with pytest.raises(BridgeError, match="a column's name takes no character beyond U"):
        bridges().register(Steered, columns=["symbol", "\U0001d4b3"])
