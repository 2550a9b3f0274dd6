"""`python -m store` for users: each sees what the store lets them see, laid out so that it can be read."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from store.models import Order, Trade
from store.permissions import share_read, unshare_read
from tests.fix_children import Child, Children
from tests.fix_postgres import StoreDatabase
from tests.integration.workers.command_line import CommandLine, by_url
from tests.waiting import in_time, wait_until

TEN = datetime(2026, 2, 22, 10, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def trade(module_store_db: StoreDatabase) -> Trade:
    """A trade of alice's: booked late, changed, corrected, shared with bob; beside it two orders, one of them gone."""
    client = module_store_db.client()
    trade = Trade(symbol="AAPL", quantity=100, price=150.0, side="BUY", trader_name="Ann")
    client.write(trade, valid_from=TEN)
    trade.quantity = 120
    client.update(trade)
    trade.price = 151.25
    client.update(trade, valid_from=TEN, valid_to=TEN + timedelta(hours=2))
    assert trade.entity_id is not None
    share_read(client.conn, trade.entity_id, "bob")
    share_read(client.conn, trade.entity_id, "carol")
    unshare_read(client.conn, trade.entity_id, "carol")
    orders = [
        Order(symbol="F", quantity=5, price=1.5, side="BUY"),
        Order(symbol="GOOG", quantity=1, price=9.0, side="SELL"),
    ]
    client.write_many(orders)
    client.delete(orders[0])
    return trade


@pytest.fixture
def alice(module_store_db: StoreDatabase, trade: Trade) -> CommandLine:
    return by_url(module_store_db, "alice")


@pytest.fixture
def bob(module_store_db: StoreDatabase, trade: Trade) -> CommandLine:
    return by_url(module_store_db, "bob")


@pytest.fixture
def entity_id(trade: Trade) -> str:
    assert trade.entity_id is not None
    return trade.entity_id


def shown(moment: datetime | None) -> str:
    """Return a time as the command line shows it."""
    assert moment is not None
    return moment.astimezone(timezone.utc).isoformat(sep=" ").replace("+00:00", "Z")


def test_ls_lists_the_types_with_numbers_to_the_right(alice: CommandLine) -> None:
    assert alice.lines("ls") == [
        "type   entities  events",
        "Order         1       3",
        "Trade         1       3",
    ]
    assert alice.records("ls") == [
        {"type": "Order", "entities": 1, "events": 3},
        {"type": "Trade", "entities": 1, "events": 3},
    ]


@pytest.mark.both_servers
def test_ls_shows_what_the_user_may_see(bob: CommandLine) -> None:
    assert bob.records("ls") == [{"type": "Trade", "entities": 1, "events": 3}]
    assert bob.fails("ls", "Order").startswith("Error: there is no entity of type Order that you may see")


def test_ls_of_a_type_shows_a_column_for_each_field_that_has_values(alice: CommandLine, trade: Trade) -> None:
    head, line = alice.lines("ls", "Trade")
    assert head.split() == [
        *("entity_id", "version", "owner", "tx_time", "valid_from"),
        *("symbol", "quantity", "price", "side", "currency", "trader_name"),
    ]
    assert line.split() == [
        *(trade.entity_id, "3", "alice", *shown(trade.tx_time).split(), *shown(trade.valid_from).split()),
        *("AAPL", "120", "150.0", "BUY", "USD", "Ann"),
    ]
    for name in ("version", "quantity", "price"):
        end = head.index(name) + len(name)
        assert line[end - 1].isdigit(), f"{name} stands to the right"
        assert line[end : end + 1] in ("", " ")


def test_ls_of_a_type_leaves_the_deleted_out(alice: CommandLine) -> None:
    [order] = alice.records("ls", "Order")
    assert order["data"]["symbol"] == "GOOG"


def test_ls_of_a_misspelt_type_names_the_nearest(alice: CommandLine) -> None:
    assert alice.fails("ls", "Trad").endswith("did you mean Trade?")


def test_ls_with_a_limit_says_that_there_is_more(store_db: StoreDatabase) -> None:
    store_db.client().write_many([Trade(symbol="F", quantity=n, price=1.0, side="BUY") for n in range(1, 4)])
    alice = by_url(store_db, "alice")
    few = alice.run("ls", "Trade", "--limit", "2")
    assert (few.returncode, len(few.stdout.splitlines())) == (0, 3)
    assert few.stderr == "there are more: --limit shows more than 2\n"
    assert {record["data"]["quantity"] for record in alice.records("ls", "Trade", "--limit", "3")} == {1, 2, 3}


def test_ls_shows_a_scheduled_change_and_a_scheduled_end_once_they_are_due(store_db: StoreDatabase) -> None:
    client = store_db.client()

    def schedule(soon: datetime) -> None:
        for earlier in client.query(Trade):
            client.delete(earlier)
        changing, ending, coming = (
            Trade(symbol=s, quantity=1, price=1.0, side="BUY") for s in ("CHANGE", "END", "COME")
        )
        client.write(changing)
        changing.quantity = 2
        client.update(changing, valid_from=soon)
        client.write(ending, valid_to=soon)
        client.write(coming, valid_from=soon)

    soon, _ = in_time(schedule)
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM store.object_events")
        [(events,)] = cursor.fetchall()
    wait_until(lambda: datetime.now(timezone.utc) > soon)
    alice = by_url(store_db, "alice")
    found = {record["data"]["symbol"]: record["data"]["quantity"] for record in alice.records("ls", "Trade")}
    assert found == {"CHANGE": 2, "COME": 1}
    assert alice.records("ls") == [{"type": "Trade", "entities": 2, "events": events}]


@pytest.mark.both_servers
def test_get_shows_every_field_of_the_current_state(bob: CommandLine, trade: Trade, entity_id: str) -> None:
    lines = bob.lines("get", entity_id)
    assert {len(line) - len(line[17:]) for line in lines[1:] if len(line) > 17} == {17}, "the values are not aligned"
    assert dict([*line.split(maxsplit=1), ""][:2] for line in lines) == {
        "field": "value",
        "entity_id": entity_id,
        "type": "Trade",
        "version": "3",
        "state": "",
        "owner": "alice",
        "event_type": "UPDATED",
        "updated_by": "alice",
        "tx_time": shown(trade.tx_time),
        "valid_from": shown(trade.valid_from),
        "valid_to": "",
        "symbol": "AAPL",
        "quantity": "120",
        "price": "150.0",
        "side": "BUY",
        "currency": "USD",
        "trader_name": "Ann",
        **dict.fromkeys(["account", "book", "strategy", "counterparty", "trade_date", "settlement_date"], ""),
        **dict.fromkeys(["timestamp", "option_type", "strike", "expiry_date"], ""),
    }


def test_get_with_json_keeps_types_and_nulls(alice: CommandLine, trade: Trade, entity_id: str) -> None:
    [record] = alice.records("get", entity_id)
    assert (record["version"], record["state"], record["valid_to"]) == (3, None, None)
    assert datetime.fromisoformat(record["tx_time"]) == trade.tx_time
    assert record["tx_time"].endswith("+00:00")
    assert (record["data"]["quantity"], record["data"]["price"], record["data"]["book"]) == (120, 150.0, None)


def test_get_of_what_is_not_there_or_not_for_the_user_says_the_same(
    module_store_db: StoreDatabase, bob: CommandLine, alice: CommandLine
) -> None:
    [order] = alice.records("ls", "Order")
    nowhere = "00000000-0000-7000-8000-000000000000"
    assert bob.fails("get", order["entity_id"]) == f"Error: there is no entity {order['entity_id']} that you may see"
    for command in (["get"], ["history"], ["audit"], ["as-of"]):
        assert bob.fails(*command, nowhere) == f"Error: there is no entity {nowhere} that you may see"
    assert bob.fails("diff", nowhere, "1", "2") == f"Error: there is no entity {nowhere} that you may see"


@pytest.mark.both_servers
def test_as_of_answers_on_both_axes(module_store_db: StoreDatabase, alice: CommandLine, entity_id: str) -> None:
    versions = module_store_db.client().history(Trade, entity_id)
    first = versions[0].tx_time
    assert first is not None
    inside, before = "2026-02-22T11:00:00Z", "2026-02-22 09:59:59+00:00"

    def answer(*options: str) -> tuple[Any, Any]:
        [record] = alice.records("as-of", entity_id, *options)
        return record["data"]["quantity"], record["data"]["price"]

    assert answer() == (120, 150.0)
    assert answer("--tx-time", first.isoformat()) == (100, 150.0)
    assert answer("--valid-time", inside) == (100, 151.25)
    assert answer("--tx-time", first.isoformat(), "--valid-time", inside) == (100, 150.0)
    assert answer("--tx-time", first.isoformat(), "--valid-time", "now") == (100, 150.0)
    assert answer("--valid-time", "2026-02-22T12:00:00+01:00") == (100, 151.25)
    assert answer("--valid-time", inside.lower()) == (100, 151.25)
    gone = alice.fails("as-of", entity_id, "--valid-time", before)
    assert gone == f"Error: Trade {entity_id} was not there at that point"


@pytest.mark.both_servers
def test_history_shows_one_line_for_each_event(alice: CommandLine, entity_id: str) -> None:
    head, *lines = alice.lines("history", entity_id)
    at = head.index("symbol")
    assert [line[at:].split()[:3] for line in lines] == [
        ["AAPL", "100", "150.0"],
        ["AAPL", "120", "150.0"],
        ["AAPL", "100", "151.25"],
    ]
    assert [line.split()[:3] for line in lines] == [
        ["1", "CREATED", "alice"],
        ["2", "UPDATED", "alice"],
        ["3", "CORRECTED", "alice"],
    ]
    assert "valid_to" in head
    assert "state" not in head, "a column without any value"
    records = alice.records("history", entity_id)
    assert [record["state"] for record in records] == [None, None, None]


@pytest.mark.both_servers
def test_audit_shows_changes_and_grants_in_words(alice: CommandLine, entity_id: str) -> None:
    head, *lines = alice.lines("audit", entity_id)
    at = head.index("changes")
    assert [(line.split()[1], line[at:]) for line in lines] == [
        ("CREATED", 'symbol="AAPL" quantity=100 price=150.0 side="BUY" currency="USD" trader_name="Ann"'),
        ("UPDATED", "quantity 100 -> 120"),
        ("CORRECTED", "price 150.0 -> 151.25"),
        ("SHARED", 'access="READ" principal="bob"'),
        ("SHARED", 'access="READ" principal="carol"'),
        ("UNSHARED", 'access="READ" principal="carol"'),
    ]
    corrected = alice.records("audit", entity_id)[2]
    assert corrected["changes"] == {"price": {"old": 150.0, "new": 151.25}}
    assert corrected["meta"] == {}


@pytest.mark.both_servers
def test_diff_of_two_versions_shows_each_field_that_differs(alice: CommandLine, entity_id: str) -> None:
    assert alice.lines("diff", entity_id, "1", "2") == ["field     before  after", "quantity  100     120"]
    assert alice.records("diff", entity_id, "2", "3") == [
        {"field": "quantity", "before": 120, "after": 100},
        {"field": "price", "before": 150.0, "after": 151.25},
    ]
    assert alice.lines("diff", entity_id, "1", "1") == ["field  before  after"]


def test_diff_of_two_points_in_time_shows_what_was_known_and_what_was_effective(
    module_store_db: StoreDatabase, alice: CommandLine, entity_id: str
) -> None:
    first, second, third = (str(v.tx_time) for v in module_store_db.client().history(Trade, entity_id))
    inside = "2026-02-22T11:00:00Z"
    quantity = {"field": "quantity", "before": 100, "after": 120}
    price = {"field": "price", "before": 150.0, "after": 151.25}
    assert alice.records("diff", entity_id, first, "now") == [quantity]
    assert alice.records("diff", entity_id, first, second) == [quantity]
    assert alice.records("diff", entity_id, second, "now") == []
    assert alice.records("diff", entity_id, f"{second}/{inside}", f"{third}/{inside}") == [price]
    assert alice.records("diff", entity_id, "1", f"now/{inside}") == [price]


def test_diff_against_a_point_before_the_entity_says_so(alice: CommandLine, entity_id: str) -> None:
    done = alice.run("--json", "diff", entity_id, "2026-01-01T00:00:00Z", "now")
    assert (done.returncode, done.stderr) == (0, "the entity was not there at A\n")
    assert '{"field": "symbol", "before": null, "after": "AAPL"}' in done.stdout.splitlines()


def test_diff_of_a_version_that_is_not_there_says_how_many_there_are(alice: CommandLine, entity_id: str) -> None:
    assert alice.fails("diff", entity_id, "1", "4") == f"Error: {entity_id} has no version 4: it has 3"
    assert alice.fails("diff", entity_id, "0", "1") == f"Error: {entity_id} has no version 0: it has 3"
    assert alice.fails("diff", entity_id, "9" * 5000, "1") == f"Error: {entity_id} has no version {'9' * 20}: it has 3"


@pytest.mark.both_servers
def test_tail_once_from_the_beginning_prints_every_event_that_the_user_may_see(
    alice: CommandLine, bob: CommandLine, entity_id: str
) -> None:
    lines = alice.lines("tail", "--once", "--from-beginning")
    assert len(lines) == 6
    assert re.fullmatch(
        rf" +\d+ \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+Z UPDATED      Trade {entity_id} v2 by alice quantity=120",
        lines[1],
    )
    records = alice.records("tail", "--once", "--from-beginning", "--type", "Order")
    assert [(record["type"], record["event_type"]) for record in records] == [
        ("Order", "CREATED"),
        ("Order", "CREATED"),
        ("Order", "DELETED"),
    ]
    assert [record["seq"] for record in records] == sorted(record["seq"] for record in records)
    assert len(bob.lines("tail", "--once", "--from-beginning")) == 3
    assert bob.lines("tail", "--once", "--from-beginning", "--type", "Order") == []
    assert alice.lines("tail", "--once") == []


def follow(command: CommandLine, children: Children, *arguments: str) -> Child:
    return children.run("-m", "store", *command.options, *arguments, env=command.environment())


@pytest.mark.both_servers
def test_tail_follows_until_ctrl_c(store_db: StoreDatabase, children: Children) -> None:
    client = store_db.client()
    client.write(Trade(symbol="OLD", quantity=1, price=1.0, side="BUY"))
    tail = follow(by_url(store_db, "alice"), children, "tail", "--type", "Trade")
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT 1")
    written = []

    def seen() -> bool:
        """Write on until the command, which begins at a moment of its own, shows something."""
        trade = Trade(symbol="NEW", quantity=1, price=1.0, side="BUY")
        client.write(Order(symbol="F", quantity=1, price=1.0, side="BUY"))
        written.append(client.write(trade))
        return bool(tail.lines)

    wait_until(seen, message=lambda: tail.output)
    tail.wait_for_line(written[-1])
    tail.interrupt()
    assert tail.wait() == 0, tail.output
    found = [line.split()[5] for line in tail.lines]
    assert found == written[-len(found) :], "events are missing, doubled or out of order"
    assert "OLD" not in tail.output


@pytest.mark.both_servers
def test_stats_counts_what_the_user_may_see(alice: CommandLine, bob: CommandLine) -> None:
    figures = {record["figure"]: record["value"] for record in alice.records("stats")}
    assert list(figures.values())[:3] == [2, 3, 6]
    assert figures["bytes of the database"] > figures["bytes of the log"] > 0
    assert [record["value"] for record in bob.records("stats")][:3] == [1, 1, 3]
    lines = alice.lines("stats")
    assert len({len(line) for line in lines}) == 1, "numbers do not stand to the right"
    assert re.search(r" \d{1,3},\d{3},\d{3}$", lines[-1])
