from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from bridge import BridgeError, StoreBridge, extract_row, infer_dh_schema
from reactive.expr import Const, Field
from server.embedded import DeephavenServer
from store.base import Storable
from store.client import StoreClient
from store.errors import ConnectionLost, RegistryError, StoreError
from store.models import Order, Signal, Trade
from store.server import ObjectStoreServer
from tests.fix_bridge import Bridges, order, row_of, rows, trade
from tests.fix_children import Children
from tests.fix_postgres import StoreDatabase
from tests.waiting import wait_until

SECONDS = 120.0


@pytest.mark.both_servers
def test_bridge_order_written_after_start_has_the_row_of_what_read_returns(
    bridges: Bridges, store_db: StoreDatabase
) -> None:
    bridge = bridges(Order).start()
    client = store_db.client()
    entity = client.write(order(book="EQ-US"))
    assert bridge.wait_current(SECONDS)
    read = client.read(Order, entity)
    assert read is not None
    expected = row_of(read)
    for table in (bridge.table(Order), bridge.live(Order)):
        assert rows(table, *expected) == [tuple(expected.values())]
        assert [column.name for column in table.columns] == [*expected, "Changed"]


@pytest.mark.both_servers
def test_bridge_log_written_before_start_is_replayed_in_order(bridges: Bridges, store_db: StoreDatabase) -> None:
    client = store_db.client()
    orders = [order(quantity=100 * number) for number in range(1, 6)]
    client.write_many(orders)
    for amended in orders[:3]:
        amended.quantity += 7
        client.update(amended)
    bridge = bridges(Order).start()
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.table(Order), "quantity", "Version", "EventType") == [
        *[(100 * number, 1, "CREATED") for number in range(1, 6)],
        *[(100 * number + 7, 2, "UPDATED") for number in range(1, 4)],
    ]
    assert sorted(rows(bridge.live(Order), "quantity", "Version")) == [(107, 2), (207, 2), (307, 2), (400, 1), (500, 1)]


def test_bridge_events_written_while_it_replays_come_once_each(bridges: Bridges, store_db: StoreDatabase) -> None:
    client = store_db.client()
    client.write_many([order() for _ in range(3_000)])

    def write(user: str) -> None:
        own = store_db.client(user)
        for _ in range(100):
            mine = order()
            own.write(mine)
            own.update(mine)

    writers = [threading.Thread(target=write, args=(user,)) for user in ("alice", "bob", "carol")]
    for writer in writers:
        writer.start()
    bridge = bridges(Order).start()
    for writer in writers:
        writer.join()
    assert bridge.wait_current(SECONDS)
    seen = Counter(rows(bridge.table(Order), "EntityId", "Version"))
    assert len(seen) == 3_600
    assert set(seen.values()) == {1}
    assert bridge.live(Order).size == 3_300
    newest = dict(rows(bridge.table(Order).last_by("EntityId"), "EntityId", "Version"))
    assert dict(rows(bridge.live(Order), "EntityId", "Version")) == newest


def test_bridge_deleted_order_is_an_event_and_no_longer_live(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge = bridges(Order).start()
    client = store_db.client()
    kept, deleted = order("AAPL"), order("MSFT")
    client.write(kept)
    client.write(deleted)
    client.delete(deleted)
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.table(Order), "symbol", "EventType") == [
        ("AAPL", "CREATED"),
        ("MSFT", "CREATED"),
        (None, "DELETED"),
    ]
    assert rows(bridge.live(Order), "symbol") == ["AAPL"]


def test_bridge_trades_of_the_same_names_written_again_after_a_deletion_are_others(
    bridges: Bridges, store_db: StoreDatabase
) -> None:
    bridge = bridges(Trade).start()
    alice, bob = store_db.client("alice"), store_db.client("bob")
    first, again, others = trade(quantity=1), trade(quantity=2), trade(quantity=3)
    bob.write(first)
    bob.delete(first)
    with pytest.raises(StoreError, match="is written already"):
        bob.write(first)
    bob.write(again)
    alice.write(others)
    away = trade("MSFT", quantity=4)
    bob.write(away)
    bob.delete(away, valid_to=datetime.now(timezone.utc) + timedelta(seconds=2))
    expected = [("AAPL", 2, "bob", 1), ("AAPL", 3, "alice", 1), ("MSFT", 4, "bob", 2)]
    wait_until(lambda: sorted(rows(bridge.live(Trade), "symbol", "quantity", "Owner", "Version")) == expected)
    ids = rows(bridge.live(Trade), "EntityId")
    assert set(ids) == {str(one.entity_id) for one in (again, others, away)}
    events = rows(bridge.table(Trade), "EntityId", "Version", "quantity")
    assert [event[1:] for event in events] == [(1, 1), (2, None), (1, 2), (1, 3), (1, 4), (2, None)]
    assert events[0][0] == events[1][0] == str(first.entity_id)


def test_bridge_correction_of_the_past_does_not_change_what_is_live(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge = bridges(Trade).start()
    client = store_db.client()
    now = datetime.now(timezone.utc)
    booked = trade(price=150.0)
    client.write(booked, valid_from=now - timedelta(hours=3))
    booked.price = 151.0
    client.update(booked, valid_from=now - timedelta(hours=2), valid_to=now - timedelta(hours=1))
    booked.price = 152.0
    client.update(booked, valid_from=now - timedelta(minutes=30), fields=["price"])
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.table(Trade), "price", "EventType", "Changed")[1:] == [
        (150.0, "CORRECTED", "price"),
        (152.0, "CORRECTED", "price"),
    ]
    read = client.read(Trade, booked.entity_id or "")
    assert read is not None
    assert rows(bridge.live(Trade), "price") == rows(bridge.table(Trade).last_by("EntityId"), "price") == [read.price]


def test_bridge_filter_follows_entities_in_and_out(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge = bridges()
    bridge.register(Trade, filter=Field("symbol") == Const("AAPL"))
    bridge.start()
    client = store_db.client()
    leaving, other = trade("AAPL"), trade("MSFT")
    client.write(leaving)
    client.write(other)
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.live(Trade), "EntityId") == [leaving.entity_id]
    leaving.symbol, other.symbol = "MSFT", "AAPL"
    client.update(leaving)
    client.update(other)
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.live(Trade), "EntityId", "symbol") == [(other.entity_id, "AAPL")]
    assert rows(bridge.table(Trade), "EntityId", "Version") == [(leaving.entity_id, 1), (other.entity_id, 2)]


def test_bridge_chosen_columns_are_the_table(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge = bridges()
    bridge.register(Order, columns=["symbol", "quantity"])
    bridge.start()
    store_db.client().write(order())
    assert bridge.wait_current(SECONDS)
    assert [column.name for column in bridge.table(Order).columns][:3] == ["symbol", "quantity", "EntityId"]
    assert rows(bridge.live(Order), "symbol", "quantity", "Version") == [("AAPL", 100, 1)]


@dataclass
class Priced(Storable):
    symbol: str = ""
    quantity: int = 0
    price: float = 0.0


Priced.expressions = {  # type: ignore[attr-defined]
    "value": Field("price") * Field("quantity"),
    "dear": Field("value") > 1000,
    "title": Field("symbol").concat("!"),
}


@pytest.mark.parametrize("own_writer", [False, True])
def test_bridge_named_expressions_are_columns(bridges: Bridges, store_db: StoreDatabase, own_writer: bool) -> None:
    from deephaven import DynamicTableWriter

    bridge = bridges()
    columns = ["symbol", "value", "dear", "title"]
    writer = DynamicTableWriter(infer_dh_schema(Priced, columns)) if own_writer else None
    bridge.register(Priced, filter=Field("value") > 0, columns=columns, writer=writer)
    bridge.start()
    client = store_db.client()
    held = Priced("AAPL", 10, 230.0)
    client.write_many([held, Priced("MSFT", 1, 400.0), Priced("FREE", 1, 0.0)])
    held.quantity = 1
    client.update(held)
    assert bridge.wait_current(SECONDS)
    raw = bridge.table(Priced)
    wait_until(lambda: raw.size == 3, SECONDS)
    assert rows(raw, *columns) == [
        ("AAPL", 2300.0, True, "AAPL!"),
        ("MSFT", 400.0, False, "MSFT!"),
        ("AAPL", 230.0, False, "AAPL!"),
    ]
    assert sorted(rows(bridge.live(Priced), "symbol", "value")) == [("AAPL", 230.0), ("MSFT", 400.0)]
    assert extract_row(held, columns) == ["AAPL", 230.0, False, "AAPL!"]


def test_bridge_own_writer_gets_the_rows(bridges: Bridges, store_db: StoreDatabase) -> None:
    from deephaven import DynamicTableWriter

    writer = DynamicTableWriter(infer_dh_schema(Trade, ["symbol", "price", "trade_date"]))
    bridge = bridges()
    bridge.register(Trade, columns=["symbol", "price", "trade_date"], writer=writer)
    bridge.start()
    client = store_db.client()
    booked = trade(trade_date=datetime(2026, 2, 22, tzinfo=timezone.utc).date())
    client.write(booked)
    assert bridge.wait_current(SECONDS)
    table = bridge.table(Trade)
    wait_until(lambda: table.size == 1, SECONDS)
    expected = [("AAPL", 229.5, booked.trade_date, booked.entity_id, booked.tx_time)]
    assert rows(table, "symbol", "price", "trade_date", "EntityId", "TxTime") == expected
    assert rows(bridge.live(Trade), "symbol", "price", "trade_date", "EntityId", "TxTime") == expected
    writer.close()


def test_bridge_type_registered_after_start_is_replayed_too(bridges: Bridges, store_db: StoreDatabase) -> None:
    client = store_db.client()
    client.write(order())
    client.write(trade())
    bridge = bridges(Order).start()
    assert bridge.wait_current(SECONDS)
    bridge.register(Trade)
    client.write(trade("MSFT"))
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.table(Trade), "symbol") == ["AAPL", "MSFT"]
    assert rows(bridge.table(Order), "symbol") == ["AAPL"]


def test_bridge_started_before_any_type_is_registered_shows_what_is_registered_then(
    bridges: Bridges, store_db: StoreDatabase
) -> None:
    client = store_db.client()
    client.write(order())
    with bridges() as bridge:
        assert bridge.lag() == (0, 0.0)
        assert bridge.wait_current(SECONDS)
        bridge.register(Order)
        client.write(order("MSFT"))
        assert bridge.wait_current(SECONDS)
        assert rows(bridge.live(Order), "symbol") == ["AAPL", "MSFT"]
    with pytest.raises(BridgeError, match="does not run"):
        bridge.lag()


def test_bridge_stopped_and_started_goes_on_where_it_was(bridges: Bridges, store_db: StoreDatabase) -> None:
    client = store_db.client()
    bridge = bridges(Order, Trade).start()
    client.write(order("AAPL"))
    assert bridge.wait_current(SECONDS)
    bridge.stop()
    client.write(order("MSFT"))
    client.write(trade("MSFT"))
    bridge.start()
    client.write(order("NVDA"))
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.table(Order), "symbol") == ["AAPL", "MSFT", "NVDA"]
    assert rows(bridge.table(Trade), "symbol") == ["MSFT"]


def test_bridge_user_without_the_right_to_read_all_sees_its_own(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge = bridges(Order, user="bob").start()
    store_db.client("alice").write(order("AAPL"))
    store_db.client("alice", readers=["bob"]).write(order("MSFT"))
    store_db.client("bob").write(order("NVDA"))
    assert bridge.wait_current(SECONDS)
    assert rows(bridge.table(Order), "symbol") == ["MSFT", "NVDA"]


def test_bridge_checkpoint_moves_with_the_bridge(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge = bridges(Order, subscriber_id="desk").start()
    store_db.client().write(order())
    assert bridge.wait_current(SECONDS)
    bridge.stop()
    with store_db.admin() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT username, c.seq = e.seq FROM store.checkpoints c, store.object_events e")
        assert cursor.fetchall() == [("bridge_user", True)]


@pytest.mark.both_servers
def test_bridge_wrong_password_shows_at_start(bridges: Bridges, store_db: StoreDatabase) -> None:
    bridge = StoreBridge(**(store_db.login("bob") | {"password": "wrong"}))
    with pytest.raises(ConnectionLost, match="bob"):
        bridge.start()
    bridge.register(Order)
    with pytest.raises(ConnectionLost, match="bob"):
        bridge.start()


def test_bridge_misuse_is_an_error_that_says_what_to_do(bridges: Bridges) -> None:
    bridge = bridges()
    for poll in (0, float("nan"), float("inf"), "1", True):
        with pytest.raises(BridgeError, match="poll_seconds takes a number of seconds above 0, of an hour at most"):
            bridges(poll_seconds=poll)
    for given in ("Order", 5, None):
        with pytest.raises(RegistryError, match="is no Storable: pass a class, as Order"):
            bridge.register(given)  # type: ignore[arg-type]
    bridge.register(Order)
    with pytest.raises(BridgeError, match="does not run: call start"):
        bridge.wait_current(1)
    with pytest.raises(BridgeError, match="Order is registered already"):
        bridge.register(Order)
    with pytest.raises(BridgeError, match="Signal is not registered with this bridge; it has Order"):
        bridge.table(Signal)
    bridge.start()
    with pytest.raises(BridgeError, match="runs already"):
        bridge.start()


def test_bridge_catches_up_after_postgresql_was_restarted(deephaven_context: Any, tmp_path: Path) -> None:
    login = {"user": "alice", "password": "alice_pw"}
    server = ObjectStoreServer(tmp_path / "data")
    with server:
        server.provision_user("alice", "alice_pw")
        bridge = StoreBridge(**login, **server.conn_info(), poll_seconds=0.1)
        bridge.register(Order)
        bridge.start()
        with StoreClient(**login, **server.conn_info()) as client:
            client.write(order("AAPL"))
        assert bridge.wait_current(SECONDS)
    with server:
        with StoreClient(**login, **server.conn_info()) as client:
            client.write(order("MSFT"))
        wait_until(lambda: rows(bridge.table(Order), "symbol") == ["AAPL", "MSFT"], SECONDS)
        assert bridge.wait_current(SECONDS)
        assert sorted(rows(bridge.live(Order), "symbol")) == ["AAPL", "MSFT"]
        bridge.stop()


CLIENT = """
import sys
from pydeephaven import Session

host, port, key = sys.argv[1:]
session = Session(
    host=host, port=int(port), auth_type="io.deephaven.authentication.psk.PskAuthenticationHandler", auth_token=key
)
table = session.open_table("orders_live")
print("opened", table.to_arrow().num_rows, flush=True)
while True:
    symbols = table.to_arrow()["symbol"].to_pylist()
    if "MSFT" in symbols:
        print("sees", sorted(symbols), flush=True)
        break
session.close()
"""


def test_bridge_second_process_sees_an_order_written_after_it_connected(
    bridges: Bridges,
    store_db: StoreDatabase,
    deephaven_server: DeephavenServer,
    children: Children,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bridge = bridges(Order).start()
    client = store_db.client()
    client.write(order("AAPL"))
    assert bridge.wait_current(SECONDS)
    import __main__

    monkeypatch.setattr(__main__, "orders_live", bridge.live(Order), raising=False)
    child = children.script(CLIENT, deephaven_server.host, str(deephaven_server.port), deephaven_server.key)
    child.wait_for_line("opened 1")
    client.write(order("MSFT"))
    child.wait_for_line("sees ['AAPL', 'MSFT']")
    assert child.wait() == 0
