"""The market data server: Deephaven, the published tables, and the feed behind them."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from server.dashboards import desk_pages
from server.desk import Desk
from server.embedded import DeephavenServer
from server.feed import Feed
from server.fx import FxRates
from server.instruments import Instrument, sector_correlation, universe
from server.market_data import MarketSimulator, SimulatedTicks
from server.market_tables import MarketWriters, market_tables
from server.options import DEFAULT_SPEED, MarketOptions
from server.price_files import read_prices
from server.price_history import RecordedTicks
from server.ticks import TickSource

if TYPE_CHECKING:
    from deephaven.table import Table

__all__ = ["MarketServer"]

_MOST_WITH_SECTORS = 1000
_TRADES_A_SECOND = 2.0


class MarketServer:
    """Everything that `server/app.py` runs.

    Args:
        options: As from the command line.

    Attributes:
        deephaven: The Deephaven server.
        tables: The published tables by name, once started.
        pages: The dashboards of the web IDE by name, once started.
        feed: What moves them, once started.
        writers: What the feed writes to, once started.

    Raises:
        ServerError: An option cannot be, or the price history cannot be read.

    Example:
        >>> market = MarketServer(MarketOptions(port=0, seed=1)).start()
        >>> market.tables["prices_live"].size
        16
    """

    def __init__(self, options: MarketOptions) -> None:
        self.options = options
        self.deephaven = DeephavenServer(
            host=options.host,
            port=options.port,
            heap=options.heap,
            key_file=options.key_file,
            anonymous=options.anonymous,
            tls_cert=options.tls_cert,
            tls_key=options.tls_key,
        )
        self.tables: dict[str, Table] = {}
        self.pages: dict[str, Any] = {}
        self.feed: Feed | None = None
        self.writers: MarketWriters | None = None
        self._history = None if options.replay is None else read_prices(options.replay)

    def start(self) -> MarketServer:
        """Start Deephaven, publish the tables as globals of the main module, and begin; in the main thread.

        Raises:
            ServerError: Deephaven does not start.
        """
        self.deephaven.start()
        return self.publish()

    def publish(self) -> MarketServer:
        """Publish the tables and begin, beside a Deephaven that runs in this process already."""
        options = self.options
        source, instruments, ticks_per_trade = self._source()
        desk = Desk(
            source.symbols,
            source.first_prices,
            source.start,
            instruments,
            ticks_per_trade=ticks_per_trade,
            seed=options.seed,
        )
        speed = options.speed or DEFAULT_SPEED
        rates = FxRates(desk.currencies, speed=speed, seed=options.seed)
        writers = self.writers = MarketWriters(source.symbols, desk)
        self.tables = market_tables(writers, options.keep)
        self.pages = desk_pages(
            self.tables, writers.positions.blink, source.symbols, clock_of_arrival=self._history is not None
        )
        # Deephaven publishes the globals of the main module.
        vars(sys.modules["__main__"]).update(self.tables | self.pages)
        self.feed = Feed(source, desk, rates, writers)
        self.feed.start()
        return self

    def stop(self) -> None:
        """End the feed; Deephaven and the tables stay to the end of the process."""
        if self.feed is not None:
            self.feed.stop()

    def _source(self) -> tuple[TickSource, tuple[Instrument, ...], int]:
        options = self.options
        if self._history is not None:
            ticks = RecordedTicks(self._history, options.speed)
            return ticks, (), max(1, round(ticks.ticks_per_second / _TRADES_A_SECOND))
        instruments = universe(options.symbols)
        # A matrix of many symbols takes long to take apart; one correlation for all of them does not.
        correlation = sector_correlation(instruments) if len(instruments) <= _MOST_WITH_SECTORS else 0.4
        simulator = MarketSimulator(instruments, correlation=correlation, seed=options.seed)
        source = SimulatedTicks(simulator, options.rate, speed=options.speed or DEFAULT_SPEED, start=time.time_ns())
        return source, instruments, max(1, round(options.rate / _TRADES_A_SECOND))
