"""A trading desk end to end: orders and trades in the store, risk in a reactive graph, all of it ticking in Deephaven.

Starts PostgreSQL and Deephaven in this process, trades on simulated prices or on a real price history, and publishes
eight tables. Open the address that it prints in a browser; Ctrl-C ends it.

    python demo_bridge.py
    python demo_bridge.py --prices stocks.csv.gz --seconds 60
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from bridge import BridgeError, StoreBridge, TableWriter
from reactive import Const, Field, If, ReactiveGraph
from server.access_key import default_key_file
from server.embedded import DEFAULT_PORT, DeephavenServer
from server.errors import PriceFileError, ServerError
from server.market_data import MarketSimulator
from server.price_history import PriceHistory, PriceStep, read_prices
from server.shutdown import stop_requested
from server.terminal import Shown, last_rows, open_console, rendered
from store.base import Storable
from store.client import StoreClient
from store.columns import REGISTRY
from store.errors import StoreError
from store.models import Order, Trade
from store.server import ObjectStoreServer
from store.state_machine import StateMachine, Transition

if TYPE_CHECKING:
    from deephaven.table import Table

TICK_SECONDS = 0.2
STEP_SECONDS = 60.0  # market time that one simulated tick covers
REPLAY_STEPS_PER_SECOND = 60.0
REPLAY_SHARE = 0.8  # of --seconds; the rest is for the tables to settle
SHOWN_ROWS = 6

RISK_COLUMNS = {
    "Symbol": "string",
    "Timestamp": "Instant",
    "Quantity": "long",
    "AvgCost": "double",
    "Price": "double",
    "Volatility": "double",
    "MarketValue": "double",
    "UnrealizedPnL": "double",
    "Risk": "double",
}

# ---- risk: a reactive graph whose results go straight to Deephaven, past the store


@dataclass
class Position(Storable):
    """What the desk holds of one symbol; it lives in the graph only."""

    symbol: str = ""
    quantity: int = 0
    avg_cost: float = 0.0
    current_price: float = 0.0
    volatility: float = 0.0


market_value = Field("current_price") * Field("quantity")
exposure = If(market_value < Const(0), -market_value, market_value)
RESULTS = {
    "price": Field("current_price"),
    "volatility": Field("volatility"),
    "market_value": market_value,
    "unrealized_pnl": (Field("current_price") - Field("avg_cost")) * Field("quantity"),
    # Value at risk over one day at 99 %, normal returns (Hull, "Risk Management and Financial Institutions", ch. 13).
    "risk": exposure * Field("volatility") * Const(2.326 / 252**0.5),
}


class RiskBook:
    """Positions in a reactive graph; whatever changes one writes a row of risk.

    Attributes:
        time: The market's time: that of the latest prices.
    """

    def __init__(self, writer: TableWriter, steps_per_year: float) -> None:
        self._graph = ReactiveGraph()
        self._writer = writer
        self._positions: dict[str, Position] = {}
        self._nodes: dict[str, Any] = {}
        self._pushed: dict[str, list[Any]] = {}
        self._steps_per_year = steps_per_year
        self.time = datetime.now(timezone.utc)

    def reprice(self, step: PriceStep) -> None:
        """Take new prices over."""
        self.time = step.time
        for symbol, price in step.prices:
            if symbol not in self._nodes:
                self._track(symbol, price)
                continue
            position = self._positions[symbol]
            # Exponentially weighted variance (RiskMetrics, decay 0.94), scaled to a year.
            move = price / position.current_price - 1
            variance = 0.94 * position.volatility**2 + 0.06 * move**2 * self._steps_per_year
            self._graph.batch_update(self._nodes[symbol], {"current_price": price, "volatility": variance**0.5})

    def book(self, trade: Trade) -> None:
        """Take a trade into its position, at average cost."""
        if trade.symbol not in self._nodes:
            self._track(trade.symbol, trade.price)
        position = self._positions[trade.symbol]
        before, change = position.quantity, trade.quantity if trade.side == "BUY" else -trade.quantity
        after = before + change
        if before * change >= 0:
            cost = (before * position.avg_cost + change * trade.price) / after
        elif before * after > 0:
            cost = position.avg_cost
        else:
            cost = trade.price if after else 0.0
        self._graph.batch_update(self._nodes[trade.symbol], {"quantity": after, "avg_cost": cost})

    def price(self, symbol: str) -> float:
        """Return a symbol's current price."""
        return self._positions[symbol].current_price

    @property
    def symbols(self) -> list[str]:
        """The symbols that have a price."""
        return list(self._nodes)

    def _track(self, symbol: str, price: float) -> None:
        position = Position(symbol=symbol, current_price=price, volatility=0.25)
        node = self._graph.track(position)
        self._positions[symbol], self._nodes[symbol] = position, node
        for name, expression in RESULTS.items():
            self._graph.computed(node, name, expression)
        for name in RESULTS:
            self._graph.effect(node, name, lambda name, value: self._push(symbol))

    def _push(self, symbol: str) -> None:
        """Write a position's results, once when several of them change together."""
        position, node = self._positions[symbol], self._nodes[symbol]
        results = [self._graph.get(node, name) for name in RESULTS]
        row = [position.quantity, position.avg_cost, *results]
        if row != self._pushed.get(symbol):
            self._pushed[symbol] = row
            self._writer.write_row(symbol, self.time, *row)


# ---- the desk: orders that are placed, amended, cancelled and filled, all through the store


class OrderLifecycle(StateMachine):
    """An order waits, until it is filled or cancelled."""

    initial = "PENDING"
    transitions = (
        Transition("PENDING", "FILLED", guard=Field("quantity") > Const(0)),
        Transition("PENDING", "CANCELLED"),
    )


Order._state_machine = OrderLifecycle


class Desk:
    """A trader who acts at random, the same for the same seed."""

    def __init__(self, client: StoreClient, book: RiskBook, seed: int | None) -> None:
        self._client = client
        self._book = book
        self._random = random.Random(seed)
        self._working: list[Order] = []
        self.orders = self.trades = 0
        for trade in sorted(client.query(Trade, limit=None), key=lambda trade: (trade.valid_from, trade.entity_id)):
            book.book(trade)

    def open(self) -> None:
        """Place a first order in every symbol, so that there is something to see."""
        for symbol in self._book.symbols:
            self._place(symbol, "BUY")

    def act(self) -> None:
        """Do what a trader does in one tick."""
        chance = self._random.random
        if chance() < 0.4 and len(self._working) < 12:
            self._place(self._random.choice(self._book.symbols), self._random.choice(["BUY", "BUY", "SELL"]))
        for order in list(self._working):
            luck = chance()
            if luck < 0.06:
                self._fill(order)
            elif luck < 0.08:
                order.quantity += 100
                self._client.update(order)
            elif luck < 0.09:
                self._client.transition(order, "CANCELLED")
                self._working.remove(order)

    def _place(self, symbol: str, side: str) -> None:
        quantity = 100 * self._random.randint(1, 10)
        order = Order(symbol=symbol, quantity=quantity, price=self._book.price(symbol), side=side)
        self._client.write(order)
        self._working.append(order)
        self.orders += 1

    def _fill(self, order: Order) -> None:
        self._client.transition(order, "FILLED")
        self._working.remove(order)
        trade = Trade(
            symbol=order.symbol, quantity=order.quantity, price=self._book.price(order.symbol), side=order.side
        )
        self._client.write(trade)
        self._book.book(trade)
        self.trades += 1


# ---- the market: prices that come by themselves, from the simulator or a file


class SimulatedMarket:
    """Random prices, one step a tick, for ever."""

    steps_per_year = 252 * 6.5 * 3600 / STEP_SECONDS
    finished = False

    def __init__(self, seed: int | None) -> None:
        self._simulator = MarketSimulator(seed=seed)

    def advance(self, elapsed: float) -> Iterator[PriceStep]:
        """Yield the prices of this tick."""
        prices = self._simulator.step(STEP_SECONDS)
        yield PriceStep(datetime.now(timezone.utc), list(prices.items()))


class ReplayedMarket:
    """A price history, played in order: within `seconds`, or at an easy pace."""

    steps_per_year = 252.0

    def __init__(self, history: PriceHistory, seconds: float | None) -> None:
        self.history = history
        self._steps = history.steps
        self._pace = len(history.steps) / (REPLAY_SHARE * seconds) if seconds else REPLAY_STEPS_PER_SECOND
        self._next = 0
        self.rows_played = 0

    @property
    def finished(self) -> bool:
        """Whether every price has been played."""
        return self._next == len(self._steps)

    def advance(self, elapsed: float) -> Iterator[PriceStep]:
        """Yield the prices that are due after so many seconds."""
        due = min(int(elapsed * self._pace) + 1, len(self._steps))
        for step in self._steps[self._next : due]:
            self._next += 1
            self.rows_played += len(step.prices)
            yield step


Market: TypeAlias = SimulatedMarket | ReplayedMarket


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
            [agg.count_("Trades"), agg.sum_(["Quantity = Signed", "NetNotional = Notional"])],
            by="symbol",
        ),
        "risk_calcs": risk.append_only(),
        "risk_live": risk_live,
        "risk_totals": risk_live.agg_by([agg.count_("Positions"), agg.sum_(["MarketValue", "UnrealizedPnL", "Risk"])]),
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
    "TxTime": Shown("recorded"),
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
  Open      {server.login_url}
            The address carries your key, also kept in {default_key_file()}.

  In the browser, "Panels" at the top right lists the tables:
{names}

  What to look at
    1. orders_live beside orders_raw: an order's State and quantity change in place in the one,
       while the other keeps each change as an event of its own, with its Version and TxTime.
    2. trades_live beside portfolio: each fill adds a trade, and Deephaven adds the trades up.
    3. risk_live: it ticks with every price, straight from the reactive graph. Nothing of it is
       stored, and risk_totals follows it.
    The browser shows times in New York until you choose another zone, under the gear.

  From another program: pydeephaven's Session(host="{server.host}", port={server.port}, ...) with the key, then
  session.open_table("orders_live").
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
    total = float(market.history.rows) if isinstance(market, ReplayedMarket) else seconds
    columns = [SpinnerColumn(), TextColumn("{task.description}")]
    if total is not None:
        columns += [BarColumn(), TaskProgressColumn()]
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task("starting", total=total)

        def report(elapsed: float, note: str) -> None:
            done = market.rows_played if isinstance(market, ReplayedMarket) else elapsed
            bar.update(task, completed=done if total is not None else None, description=note)

        yield report


def trade(desk: Desk, book: RiskBook, market: Market, stop: Event, seconds: float | None, console: Console) -> None:
    """Let the market and the desk run until told to stop, or until the time is up and the market has been played."""
    begin = time.monotonic()
    opened = False
    with progress(console, seconds, market) as report:
        while not stop.is_set():
            elapsed = time.monotonic() - begin
            if seconds is not None and elapsed >= seconds and (market.finished or isinstance(market, SimulatedMarket)):
                return
            for step in market.advance(elapsed):
                book.reprice(step)
            if not opened:
                desk.open()
                opened = True
            desk.act()
            report(elapsed, f"{book.time:%Y-%m-%d %H:%M:%S}  {desk.orders} orders  {desk.trades} trades")
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
        help="a .csv or .csv.gz with columns date or timestamp, symbol or ticker, price or close; with --seconds, "
        "all of it is played in that time",
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
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(text)
    return seconds


def load(path: Path) -> PriceHistory:
    """Read a price history whose symbols the store accepts."""
    history, symbols = read_prices(path), REGISTRY.get("symbol")
    for symbol in history.symbols:
        problem = symbols.value_problem(symbol) if symbols else None
        if problem:
            raise PriceFileError(path, f"the symbol {symbol!r} cannot be traded here: expected {problem.expected}")
    return history


@contextmanager
def starting(console: Console, name: str) -> Iterator[None]:
    """Say what is being started, and how long it took."""
    begin = time.monotonic()
    with console.status(f"Starting {name}"):
        yield
    console.print(f"{name} is up after {time.monotonic() - begin:.1f} s")


def run(options: argparse.Namespace, console: Console, stop: Event) -> None:
    """Start everything, trade, and take everything down again."""
    history = load(options.prices) if options.prices else None
    market = ReplayedMarket(history, options.seconds) if history else SimulatedMarket(options.seed)
    with ExitStack() as opened:
        with starting(console, "PostgreSQL"):
            store = opened.enter_context(ObjectStoreServer(options.data_dir))
            logins = {user: secrets.token_urlsafe(24) for user in ("trader", "bridge_user")}
            for user, password in logins.items():
                store.provision_user(user, password, reads_all=user == "bridge_user")
        if stop.is_set():
            return
        with starting(console, "Deephaven"):
            server = DeephavenServer(host=options.host, port=options.port).start()
        where = store.conn_info()
        client = StoreClient(user="trader", password=logins["trader"], **where)
        opened.callback(client.close)
        bridge = StoreBridge(user="bridge_user", password=logins["bridge_user"], **where)
        bridge.register(Order)
        bridge.register(Trade)
        bridge.start()
        opened.callback(bridge.stop)
        risk = TableWriter("risk", RISK_COLUMNS)
        opened.callback(risk.close)
        tables = build_tables(bridge, risk)
        # Deephaven publishes the globals of the main module.
        vars(sys.modules["__main__"]).update(tables)
        console.print(guide(server, tables), soft_wrap=True)
        book = RiskBook(risk, market.steps_per_year)
        trade(Desk(client, book, options.seed), book, market, stop, options.seconds, console)
        if isinstance(market, ReplayedMarket):
            console.print(f"Played {market.rows_played:,d} of {market.history.rows:,d} prices, to {book.time:%Y-%m-%d}")
        if options.seconds and not stop.is_set():
            bridge.wait_current(timeout=30)
            risk.wait_visible(timeout=30)
            show_tables(console, tables)


def main(given: list[str] | None = None) -> int:
    """Run the demo and return the exit status."""
    options = arguments(given)
    # Deephaven shows what goes through sys.stdout to every browser; the key must not, so this console is older than it.
    console = open_console(sys.stdout)
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
