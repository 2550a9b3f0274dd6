"""A trading desk end to end: orders and trades in the store, risk in a reactive graph, all of it ticking in Deephaven.

Starts PostgreSQL and Deephaven in this process, trades on simulated prices or on a real price history, and publishes
eight tables. Open the address that it prints in a browser; Ctrl-C ends it.

    python demo_bridge.py
    python demo_bridge.py --prices stocks.csv.gz --seconds 60
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from bridge import BridgeError, StoreBridge, TableWriter
from server.access_key import default_key_file
from server.embedded import DEFAULT_PORT, DeephavenServer
from server.errors import PriceFileError, ServerError
from server.market_data import MarketSimulator, SimulatedMarket
from server.market_tables import sums
from server.price_files import read_prices
from server.price_history import ReplayedMarket
from server.risk_book import RISK_COLUMNS, RiskBook
from server.shutdown import stop_requested
from server.terminal import Shown, last_rows, open_console, rendered
from server.trading_desk import OrderLifecycle, TradingDesk
from store.client import StoreClient
from store.columns import REGISTRY
from store.errors import StoreError
from store.models import Order, Trade
from store.server import ObjectStoreServer

if TYPE_CHECKING:
    from deephaven.table import Table

Market: TypeAlias = SimulatedMarket | ReplayedMarket

TICK_SECONDS = 0.2
REPLAY_STEPS_PER_SECOND = 60.0
REPLAY_SHARE = 0.8  # of --seconds; the rest is for the tables to settle
SHOWN_ROWS = 6

# ---- the tables


def build_tables(bridge: StoreBridge, risk: TableWriter) -> dict[str, Table]:
    """Return the eight tables by name."""
    from deephaven import agg

    bought = "side == null ? 0 : side == `BUY` ? 1 : -1"
    trades_live = bridge.live(Trade)
    risk_live = risk.blink.last_by("Symbol")
    return {
        "orders_raw": bridge.table(Order),
        "orders_live": bridge.live(Order),
        "trades_raw": bridge.table(Trade),
        "trades_live": trades_live,
        "portfolio": trades_live.update_view(
            [
                f"Signed = isNull(quantity) ? 0 : (long)(quantity * ({bought}))",
                "Notional = isNull(price) ? 0.0 : Signed * price",
            ]
        ).agg_by(
            [agg.count_("Trades"), agg.sum_("Quantity = Signed"), *sums(NetNotional="Notional")],
            by="symbol",
        ),
        "risk_calcs": risk.append_only(),
        "risk_live": risk_live,
        "risk_totals": risk_live.agg_by(
            [agg.count_("Positions"), *sums(MarketValue="MarketValue", UnrealizedPnL="UnrealizedPnL", Risk="Risk")]
        ),
    }


FIELDS_SHOWN = {
    "symbol": Shown("symbol"),
    "side": Shown("side"),
    "quantity": Shown("quantity", ",d"),
    "price": Shown("price", ",.2f"),
}
STATE_SHOWN = {"State": Shown("state")}
EVENT_SHOWN = {
    "Version": Shown("version", "d"),
    "EventType": Shown("event"),
    "TxTime": Shown("recorded UTC"),
}
RISK_SHOWN = {
    "Symbol": Shown("symbol"),
    "Timestamp": Shown("as of", "%Y-%m-%d"),
    "Price": Shown("price", ",.2f"),
    "Volatility": Shown("vol", ".1%"),
    "Quantity": Shown("quantity", "+,d"),
    "MarketValue": Shown("market value", "+,.0f"),
    "UnrealizedPnL": Shown("P&L", "+,.0f"),
    "Risk": Shown("VaR 99%", ",.0f"),
}
LAYOUT: dict[str, tuple[str, dict[str, Shown]]] = {
    "orders_raw": ("every event of every order, as recorded", FIELDS_SHOWN | STATE_SHOWN | EVENT_SHOWN),
    "orders_live": ("one row per order, changing in place", FIELDS_SHOWN | STATE_SHOWN | EVENT_SHOWN),
    "trades_raw": ("every event of every trade", FIELDS_SHOWN | EVENT_SHOWN),
    "trades_live": ("one row per trade", FIELDS_SHOWN | EVENT_SHOWN),
    "portfolio": (
        "the trades added up by Deephaven",
        {
            "symbol": Shown("symbol"),
            "Trades": Shown("trades", ",d"),
            "Quantity": Shown("quantity", "+,d"),
            "NetNotional": Shown("net notional", "+,.0f"),
        },
    ),
    "risk_calcs": ("every result of the reactive graph, never stored", RISK_SHOWN),
    "risk_live": ("the latest result per symbol", RISK_SHOWN),
    "risk_totals": (
        "the desk as a whole",
        {
            "Positions": Shown("positions", ",d"),
            "MarketValue": Shown("market value", "+,.0f"),
            "UnrealizedPnL": Shown("unrealized P&L", "+,.0f"),
            "Risk": Shown("sum of VaR", ",.0f"),
        },
    ),
}


# ---- running it


def guide(server: DeephavenServer, tables: dict[str, Table]) -> str:
    """Return what a person should look at."""
    names = "\n".join(f"    {name:<12} {LAYOUT[name][0]}" for name in tables)
    return f"""
  Open   {server.login_url}
         The address carries your key, also kept in
         {default_key_file()}

  In the browser, "Panels" at the top right lists the tables:
{names}

  What to look at
    1. orders_live beside orders_raw: in the one, an order's State and quantity
       change in place; the other keeps each change as an event of its own.
    2. trades_live beside portfolio: each fill adds a trade, and Deephaven adds
       the trades up.
    3. risk_live: it ticks with every price, straight from the reactive graph.
       Nothing of it is stored, and risk_totals follows it.
    The browser shows UTC until you choose another zone under the gear.

  From another program: a pydeephaven Session to {server.host}:{server.port} with the
  key, then session.open_table("orders_live"). Ctrl-C ends the demo.
"""


def show_tables(console: Console, tables: dict[str, Table]) -> None:
    """Print the last rows of each table."""
    for name, table in tables.items():
        note, columns = LAYOUT[name]
        count = table.size
        console.print(f"\n[bold]{name}[/bold]  {count:,d} {'row' if count == 1 else 'rows'}: {note}")
        console.print(rendered(columns, last_rows(table, columns, SHOWN_ROWS)))


@contextmanager
def progress(console: Console, seconds: float | None, market: Market) -> Iterator[Callable[[float, str], None]]:
    """Show how far the run is, on a terminal only; give a function that takes the elapsed seconds and a note."""
    if not console.is_terminal:
        yield lambda elapsed, note: None
        return
    replayed = market if isinstance(market, ReplayedMarket) else None
    total = replayed.history.rows if replayed else seconds
    columns = [SpinnerColumn(), TextColumn("{task.description}")]
    if total is not None:
        columns += [BarColumn(), TaskProgressColumn()]
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task("starting", total=total)

        def report(elapsed: float, note: str) -> None:
            bar.update(task, completed=replayed.rows_played if replayed else elapsed, description=note)

        yield report


def trade(
    options: argparse.Namespace, desk: TradingDesk, book: RiskBook, market: Market, stop: Event
) -> Iterator[float]:
    """Let the market and the desk run tick by tick, until told to stop or the time is up; yield the elapsed seconds."""
    begin = time.monotonic()
    ticks = 0
    while not stop.is_set():
        elapsed = time.monotonic() - begin
        for step in market.advance(elapsed):
            book.reprice(step)
        if ticks == 0:
            desk.open()
        desk.act()
        ticks += 1
        yield elapsed
        # The whole of a price history is played, even where one tick takes longer than it should.
        played = not isinstance(market, ReplayedMarket) or market.finished
        if options.seconds is not None and elapsed >= options.seconds and played:
            return
        stop.wait(TICK_SECONDS)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="A trading desk on the store, the reactive graph and Deephaven. Ctrl-C ends it."
    )
    parser.add_argument(
        "--seconds", type=_positive, metavar="N", help="end after N seconds and print each table's last rows"
    )
    parser.add_argument(
        "--prices",
        type=Path,
        metavar="FILE",
        help="a .csv, .csv.gz or .parquet with columns date or timestamp, symbol or ticker, price or close; with "
        "--seconds, all of it is played in that time",
    )
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help=f"Deephaven's port, 0 for any (default: {DEFAULT_PORT})"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="keep the store here (default: a temporary directory)"
    )
    parser.add_argument("--seed", type=int, help="make prices and orders the same in every run")
    return parser.parse_args(given)


def _positive(text: str) -> float:
    with suppress(ValueError):
        seconds = float(text)
        if 0 < seconds < float("inf"):
            return seconds
    raise argparse.ArgumentTypeError(f"a number of seconds above 0 is needed, not {text!r}")


def open_market(options: argparse.Namespace) -> Market:
    """Return the market that the command line asks for."""
    if options.prices is None:
        return SimulatedMarket(MarketSimulator(seed=options.seed))
    history, symbols = read_prices(options.prices), REGISTRY.get("symbol")
    for symbol in history.symbols:
        problem = symbols.value_problem(symbol) if symbols else None
        if problem:
            raise PriceFileError(
                options.prices, f"the symbol {symbol!r} cannot be traded here: expected {problem.expected}"
            )
    pace = REPLAY_STEPS_PER_SECOND
    if options.seconds:
        pace = len(history.steps) / (REPLAY_SHARE * options.seconds)
    return ReplayedMarket(history, pace)


@contextmanager
def starting(console: Console, name: str) -> Iterator[None]:
    """Say what is being started, and how long it took."""
    begin = time.monotonic()
    with console.status(f"Starting {name}"):
        yield
    console.print(f"{name} is up after {time.monotonic() - begin:.1f} s")


def run(options: argparse.Namespace, console: Console, stop: Event) -> None:
    """Start everything, trade, and take everything down again."""
    market = open_market(options)
    server = DeephavenServer(host=options.host, port=options.port)
    server.check()  # before there is a store that nobody will use
    with ExitStack() as opened:
        with starting(console, "PostgreSQL"):
            store = opened.enter_context(ObjectStoreServer(options.data_dir))
            logins = {user: secrets.token_urlsafe(24) for user in ("trader", "bridge_user")}
            for user, password in logins.items():
                store.provision_user(user, password, reads_all=user == "bridge_user")
        if stop.is_set():
            return
        with starting(console, "Deephaven"):
            server.start()
        client = opened.enter_context(StoreClient(user="trader", password=logins["trader"], **store.conn_info()))
        bridge = StoreBridge(user="bridge_user", password=logins["bridge_user"], **store.conn_info())
        bridge.register(Order)
        bridge.register(Trade)
        opened.enter_context(bridge)
        risk = TableWriter("risk", RISK_COLUMNS)
        opened.callback(risk.close)
        tables = build_tables(bridge, risk)
        # Deephaven publishes the globals of the main module.
        vars(sys.modules["__main__"]).update(tables)
        console.print(guide(server, tables), soft_wrap=True, markup=False)
        book = RiskBook(risk, market.steps_per_year)
        desk = TradingDesk(client, book, options.seed)
        with progress(console, options.seconds, market) as report:
            for elapsed in trade(options, desk, book, market, stop):
                report(elapsed, f"{book.time:%Y-%m-%d %H:%M:%S}  {desk.orders} orders  {desk.trades} trades")
        if isinstance(market, ReplayedMarket):
            rows = market.history.rows
            console.print(f"Played {market.rows_played:,d} of {rows:,d} prices, to {book.time:%Y-%m-%d}")
        if options.seconds and not stop.is_set():
            bridge.wait_current(timeout=30)
            risk.wait_visible(timeout=30)
            show_tables(console, tables)


def main(given: list[str] | None = None) -> int:
    """Run the demo and return the exit status."""
    options = arguments(given)
    # Deephaven shows what goes through sys.stdout to every browser; the key must not, so this console is older than it.
    console = open_console(sys.stdout)
    Order._state_machine = OrderLifecycle
    with stop_requested() as stop:
        try:
            run(options, console, stop)
            console.print("\nStopped." if stop.is_set() else "\nDone.")
        except (PriceFileError, ServerError, StoreError, BridgeError) as error:
            print(f"demo_bridge.py: {error}", file=sys.stderr)
            return 2 if isinstance(error, PriceFileError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
