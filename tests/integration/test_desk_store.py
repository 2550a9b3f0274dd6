"""The store behind the market data server, without Deephaven: positions follow whoever writes trades."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from server.desk import BOOKS, Desk, Fill
from server.desk_store import DeskStore
from server.errors import ServerError, StorePlaceError
from server.instruments import universe
from server.past import positions_at
from server.positions import Contract, Holding, PositionKey
from server.store_place import RISK_MANAGERS, TRADERS, StoreLogins, store_place
from store.client import StoreClient
from store.groups import create_group
from store.log_rows import Position
from store.models import Limit, Trade
from store.permissions import share_read, unshare
from tests.fix_bridge import trade
from tests.fix_postgres import StoreDatabase, password_of
from tests.integration.server_ends import kill_postgres
from tests.rounds import rounds
from tests.waiting import in_time, wait_until

START = 1_760_000_000 * 10**9
AAPL = PositionKey("A", Contract("AAPL"), "USD")


class Place:
    """A test's database as a place of a server's store."""

    def __init__(self, logins: StoreLogins) -> None:
        self._logins = logins

    def open(self) -> StoreLogins:
        return self._logins

    def guide(self) -> str:
        return ""

    def close(self) -> None:
        pass


@pytest.fixture
def place(store_db: StoreDatabase) -> Place:
    for group, members in ((TRADERS, ["bob"]), (RISK_MANAGERS, ["carol"])):
        create_group(store_db.admin(), group, members)
    reader = store_db.provision("desk_reader", reads_all=True)
    return Place(StoreLogins(store_db.login("alice"), store_db.login(reader)))


@pytest.fixture
def desk_store(place: Place) -> Iterator[DeskStore]:
    with closing(DeskStore(place).open()) as store:
        yield store


def desk_of(store: DeskStore, **options: Any) -> Desk:
    instruments = universe(6)
    symbols = [instrument.symbol for instrument in instruments]
    prices = np.array([instrument.price for instrument in instruments])
    return Desk(symbols, prices, START, instruments, positions=store.positions, sink=store.trades, seed=3, **options)


def held(store: DeskStore, key: PositionKey = AAPL) -> Holding:
    return store.positions.holdings().get(key, Holding())


def figures(store: DeskStore) -> dict[tuple[str | None, str, str], Holding]:
    return {
        (key.book, key.contract.name, key.currency): held
        for key, held in store.positions.holdings().items()
        if held.trades
    }


def as_stored(store: DeskStore) -> dict[tuple[str | None, str, str], Holding]:
    return {
        (row.book, row.symbol, row.currency): Holding(
            float(row.quantity), row.avg_cost, row.realized_pnl, row.trades, row.last_trade
        )
        for row in positions_at(store.reader)
    }


def test_positions_follow_trades_that_others_write_correct_and_delete(
    store_db: StoreDatabase, desk_store: DeskStore
) -> None:
    bob = store_db.client("bob")
    bought = trade(book="A", price=100.0)
    bob.write(bought)
    sold = trade(book="A", price=120.0, quantity=40, side="SELL", currency="USD")
    bob.write(sold)
    wait_until(lambda: held(desk_store)[:3] == (60.0, 100.0, 800.0))
    bought.price = 110.0
    bob.update(bought, valid_from=bought.valid_from)
    wait_until(lambda: held(desk_store)[:3] == (60.0, 110.0, 400.0))
    bought.book = "B"
    bob.update(bought, valid_from=bought.valid_from)
    wait_until(lambda: held(desk_store)[:3] == (-40.0, 120.0, 0.0))
    bob.delete(sold)
    wait_until(lambda: held(desk_store) == Holding())
    late = trade(book="B", price=50.0)
    bob.write(late, valid_from=datetime.now(timezone.utc) - timedelta(days=30))
    assert desk_store.wait_current(120)
    assert figures(desk_store) == as_stored(desk_store)
    assert figures(desk_store)["B", "AAPL", "USD"][:2] == (200.0, 80.0)


def test_positions_take_scheduled_trades_and_ends_in_as_they_fall_due(
    store_db: StoreDatabase, desk_store: DeskStore
) -> None:
    bob = store_db.client("bob")

    def schedule(soon: datetime) -> None:
        for earlier in bob.query(Trade):
            bob.delete(earlier)
        bob.write(trade(book="A", quantity=10), valid_to=soon)
        bob.write(trade(book="A", quantity=5), valid_from=soon)
        wait_until(lambda: held(desk_store).quantity == 10.0, 20)

    soon, _ = in_time(schedule, 1.5)
    wait_until(lambda: held(desk_store).quantity == 5.0)
    assert datetime.now(timezone.utc) >= soon


def test_trade_that_cannot_be_counted_is_told_once_and_harms_no_other(
    store_db: StoreDatabase, desk_store: DeskStore, caplog: pytest.LogCaptureFixture
) -> None:
    bob = store_db.client("bob")
    odd = trade(book="A", option_type="CALL")
    bob.write(odd)
    odd.quantity = 7
    bob.update(odd)
    bob.write(trade(book="A"))
    assert desk_store.wait_current(120)
    assert held(desk_store).trades == 1
    assert caplog.text.count(f"trade {odd.entity_id} is left out of the positions") == 1
    odd.option_type = None
    bob.update(odd)
    wait_until(lambda: held(desk_store).trades == 2)


def test_positions_of_a_reader_from_whom_a_trade_is_withdrawn_count_it_no_more(store_db: StoreDatabase) -> None:
    carol = store_db.client("carol", readers=["bob"])
    with closing(DeskStore(Place(StoreLogins(store_db.login("alice"), store_db.login("bob")))).open()) as store:
        kept, shared = trade(book="A", quantity=5), trade(book="A", quantity=100)
        carol.write_many([kept, shared])
        wait_until(lambda: held(store).quantity == 105.0)
        unshare(carol.conn, str(shared.entity_id), "bob")
        wait_until(lambda: held(store).quantity == 5.0)
        share_read(carol.conn, str(shared.entity_id), "bob")
        wait_until(lambda: held(store).quantity == 105.0)
        assert figures(store) == as_stored(store)


def test_first_positions_and_limits_are_written_once_and_are_their_users_own(
    store_db: StoreDatabase, place: Place
) -> None:
    with closing(DeskStore(place).open()) as store:
        desk = desk_of(store)
        store.begin(desk)
        first = figures(store)
        assert len(first) == 6 * 4
        assert first == as_stored(store)
        limits = list(store.reader.query(Limit, limit=None))
        assert {(limit.book, limit.metric) for limit in limits} == {
            (book, metric) for book in BOOKS for metric in ("gross_exposure", "net_exposure", "loss")
        }
        assert all(0 < limit.warn < limit.stop for limit in limits)
        marks, _ = desk.mark(START, everything=True)
        gross = np.abs(marks.market_value[[desk.values.books[place] == "QUANT" for place in marks.book]]).sum()
        (quant,) = store.reader.query(Limit, {"book": "QUANT", "metric": "gross_exposure"})
        assert quant.warn == pytest.approx(1.1 * gross, rel=0.005)
    carol = store_db.client("carol")
    for limit in carol.query(Limit, limit=None):
        carol.delete(limit)
    for mine in (bob := store_db.client("bob")).query(Trade, {"book": "VOL"}, limit=None):
        bob.delete(mine)
    with closing(DeskStore(place).open()) as store:
        store.begin(desk_of(store))
        assert list(store.reader.query(Limit)) == []
        assert figures(store) == {key: held for key, held in first.items() if key[0] != "VOL"}


def test_trades_of_the_desk_are_written_and_come_back_as_positions(
    desk_store: DeskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, go_on = desk_of(desk_store, ticks_per_trade=1), threading.Event()
    write_many = StoreClient.write_many

    def write_later(self: StoreClient, *arguments: Any, **options: Any) -> list[str]:
        assert go_on.wait(120)
        return write_many(self, *arguments, **options)

    monkeypatch.setattr(StoreClient, "write_many", write_later)
    key = PositionKey("A", Contract("AAPL", "CALL", 240.0, datetime(2027, 1, 15).date()), "USD")
    fills = [Fill(START + number * 1000, key, 10 - 4 * number, 5.0 + number, "test") for number in range(5)]
    for fill in fills:
        desk_store.trades.take([fill])
    assert desk_store.trades.is_awaited(key)
    go_on.set()
    wait_until(lambda: not desk_store.trades.is_awaited(key))
    assert held(desk_store, key).quantity == sum(fill.quantity for fill in fills)
    stored = sorted(desk_store.reader.query(Trade, limit=None), key=lambda found: str(found.timestamp))
    assert [found.price for found in stored] == [5.0, 6.0, 7.0, 8.0, 9.0]
    assert {(found.owner, found.strike, found.book) for found in stored} == {("alice", 240.0, "A")}
    assert figures(desk_store) == as_stored(desk_store)
    desk.mark(START)


def test_trades_wait_for_a_store_that_is_away_and_are_there_once(
    store_db: StoreDatabase, desk_store: DeskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks just after the commit: the writer cannot know, and tries again."""
    from store.errors import ConnectionLost

    write_many = StoreClient.write_many
    broken: list[str] = []

    def break_once(self: StoreClient, *arguments: Any, **options: Any) -> list[str]:
        done = write_many(self, *arguments, **options)
        if len(broken) < 2:
            broken.append("once")
            raise ConnectionLost("the connection broke")
        return done

    monkeypatch.setattr(StoreClient, "write_many", break_once)
    desk_store.trades.take([Fill(START, AAPL, 10, 5.0, "test"), Fill(START + 1000, AAPL, 5, 6.0, "test")])
    wait_until(lambda: not desk_store.trades.is_awaited(AAPL))
    assert len(broken) == 2
    assert desk_store.wait_current(120)
    assert held(desk_store).quantity == 15.0
    assert desk_store.reader.count(Trade) == 2


def test_trade_that_the_store_refuses_is_dropped_and_many_of_them_end_the_desks_trading(
    store_db: StoreDatabase, desk_store: DeskStore, caplog: pytest.LogCaptureFixture
) -> None:
    refused = Fill(START, AAPL._replace(contract=Contract("no such")), 10, 5.0, "test")
    desk_store.trades.take([Fill(START, AAPL, 1, 5.0, "test"), refused, Fill(START, AAPL, 2, 5.0, "test")])
    wait_until(lambda: held(desk_store).quantity == 3.0)
    assert "the store does not take a trade of the desk in no such" in caplog.text
    assert desk_store.trades.is_awaited(refused.key)
    wait_until(lambda: not desk_store.trades.is_awaited(AAPL))  # its writer may hear of the commit later than others
    assert not desk_store.trades.is_full
    desk_store.trades.take([refused] * 20)
    wait_until(lambda: desk_store.trades.is_full)
    assert "the desk stops trading: the store does not take its trades" in caplog.text
    store_db.client("bob").write(trade(book="A"))
    wait_until(lambda: held(desk_store).quantity == 103.0)


@pytest.mark.parametrize(("positions", "waits"), [([0, 5, 9, 9], 3), ([0, 0], 1)])
def test_start_waits_for_all_trades_as_long_as_some_come(
    desk_store: DeskStore, monkeypatch: pytest.MonkeyPatch, positions: list[int], waits: int
) -> None:
    """Given the reader's place at each look: with the first that is as before, nothing more is waited for."""
    waited: list[float | None] = []

    def wait(timeout: float | None = None) -> bool:
        waited.append(timeout)
        return False

    class Reader:
        @property
        def position(self) -> Position:
            return Position(positions[min(len(waited), len(positions) - 1)])

    monkeypatch.setattr(desk_store, "wait_current", wait)
    monkeypatch.setattr(desk_store, "_follower", Reader())
    desk_store._wait_for_trades()
    assert len(waited) == waits


def test_store_without_the_groups_says_what_an_administrator_does(store_db: StoreDatabase) -> None:
    logins = StoreLogins(store_db.login("alice"), store_db.login(store_db.provision("desk_reader", reads_all=True)))
    with closing(DeskStore(Place(logins)).open()) as store, pytest.raises(ServerError, match="groups add NAME"):
        store.begin(desk_of(store))


def test_embedded_store_is_for_one_server_and_keeps_its_positions(tmp_path: Path) -> None:
    directory = tmp_path / "desk"
    with closing(DeskStore(store_place(str(directory))).open()) as store:
        store.begin(desk_of(store))
        first = figures(store)
        with pytest.raises(StorePlaceError, match=r"another market data server, process \d+"):
            DeskStore(store_place(str(directory))).open()
        guide = store.place.guide()
        # What it says works, beside the server.
        for arguments in ("users add quant", f"groups join {TRADERS} quant"):
            assert f"--data-dir {directory} {arguments.replace('quant', 'NAME')}" in guide
            command = [sys.executable, "-m", "store", "--data-dir", str(directory), *arguments.split()]
            subprocess.run(command, check=True, capture_output=True, env={"STORE_NEW_PASSWORD": "quant_pw", "PATH": ""})
        with StoreClient(user="quant", password="quant_pw", **logins_of(guide)) as quant:
            own = quant.query(Trade, {"symbol": "AAPL", "book": "EQ-US"})[0]
            own.quantity += 1000
            quant.update(own)
            wait_until(lambda: figures(store)["EQ-US", "AAPL", "USD"] != first["EQ-US", "AAPL", "USD"])
        last = figures(store)
    with closing(DeskStore(store_place(str(directory))).open()) as store:
        assert figures(store) == last


@pytest.mark.parametrize("kills", [rounds(2, 10)])
def test_embedded_postgresql_that_is_killed_runs_again_and_each_trade_is_there_once(
    tmp_path: Path, kills: int, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "desk"
    with closing(DeskStore(store_place(str(directory))).open()) as store:
        for number in range(kills):
            before = [Fill(START, AAPL, 1, 5.0 + number, f"before {number}") for _ in range(10)]
            store.trades.take(before)
            kill_postgres(directory)
            store.trades.take([Fill(START, AAPL, 1, 5.0 + number, f"after {number}") for _ in range(10)])
            wait_until(lambda: not store.trades.is_awaited(AAPL), 120)
            wait_until(lambda: f"PostgreSQL in {directory} runs again" in caplog.text)
            caplog.clear()
        assert held(store).quantity == 20.0 * kills
        # Who asks about the past goes on, too.
        strategies = Counter(found.strategy for found in store.reader.query(Trade, limit=None))
        assert strategies == {f"{when} {number}": 10 for number in range(kills) for when in ("before", "after")}
        assert figures(store) == as_stored(store)
    assert not (directory / "postgres/postmaster.pid").exists()


def test_embedded_store_whose_directory_is_gone_is_not_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "desk"
    with closing(DeskStore(store_place(str(directory))).open()) as store:
        kill_postgres(directory, before=lambda: (directory / "postgres").rename(tmp_path / "taken away"))
        wait_until(lambda: "is no longer there: bring it back" in caplog.text)
        (tmp_path / "taken away").rename(directory / "postgres")
        store.trades.take([Fill(START, AAPL, 1, 5.0, "test")])
        wait_until(lambda: held(store).quantity == 1.0, 120)


def logins_of(guide: str) -> dict[str, Any]:
    """Return where the guide says that clients connect."""
    call = guide[guide.index("StoreClient(") :]
    names: dict[str, Any] = {"NAME": None, "PASSWORD": None}
    found: dict[str, Any] = eval(call.replace("StoreClient(", "dict("), names)
    return {name: found[name] for name in ("host", "port", "dbname")}


@pytest.mark.both_servers
def test_attached_store_is_used_with_one_login(store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    for group in (TRADERS, RISK_MANAGERS):
        create_group(store_db.admin(), group, ["bob"])
    user = store_db.provision("desk_login", reads_all=True)
    monkeypatch.setenv("STORE_PASSWORD", password_of(user))
    options = {name: str(value) for name, value in store_db.where.items() if name != "dbname"}
    url = f"postgresql://{user}@/{store_db.dbname}?{urlencode(options)}"
    with closing(DeskStore(store_place(url)).open()) as store:
        store.begin(desk_of(store))
        assert len(figures(store)) == 24
        bob = store_db.client("bob")
        own = bob.query(Trade, {"symbol": "AAPL", "book": "QUANT"})[0]
        own.quantity += 1000
        bob.update(own, valid_from=own.valid_from)
        wait_until(lambda: figures(store) == as_stored(store))
        assert f"{store_db.dbname} on" in store.place.guide()
