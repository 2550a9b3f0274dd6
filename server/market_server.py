"""The market data server: Deephaven, the published tables, and the feed behind them."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.dashboards import desk_pages
from server.dashboards.figures import desk_figures
from server.desk import Desk
from server.embedded import DeephavenServer, heap_bytes, heap_room
from server.errors import HeapTooSmall, PriceFileError
from server.feed import Feed
from server.fx import FxRates
from server.instruments import Instrument, sector_correlation, universe
from server.market_data import MarketSimulator, SimulatedTicks
from server.market_tables import MarketWriters, market_tables
from server.options import DEFAULT_SPEED, WORKING_HEAP, MarketOptions, least_heap
from server.price_files import read_prices
from server.price_history import PriceHistory, RecordedTicks
from server.shutdown import require_no_stop
from server.store_place import store_place
from server.ticks import TickSource

if TYPE_CHECKING:
    from deephaven.table import Table

    from server.desk_store import DeskStore

__all__ = ["MarketServer"]

_MOST_WITH_SECTORS = 1000


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
        store: The store that the desk trades in, open once started; None for a server without one.

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
        if options.heap is not None:
            self._require_heap(heap_bytes(options.heap))
        self.tables: dict[str, Table] = {}
        self.pages: dict[str, Any] = {}
        self.feed: Feed | None = None
        self.writers: MarketWriters | None = None
        self.store = None if options.store is None else _desk_store(options.store)
        self._history = None if options.replay is None else read_prices(options.replay)

    def start(self, stop: threading.Event | None = None) -> MarketServer:
        """Start Deephaven, publish the tables as globals of the main module, and begin; in the main thread.

        Args:
            stop: Ends the start after the step that it is at, once set.

        Raises:
            StartStopped: `stop` was set; what had been started has ended, but for the JVM.
            ServerError: The store or Deephaven does not start.
        """
        try:
            self.deephaven.check()
            # PostgreSQL starts before the JVM, in whose process no other should be forked.
            self.open_store(stop)
            require_no_stop(stop)
            self.deephaven.start(stop)
            require_no_stop(stop)
            # Before the tables: what runs out of memory on a thread of Deephaven's ends the process with its traces.
            self._require_heap(heap_room()[0])
            self.publish()
            require_no_stop(stop)
            return self
        except BaseException as error:
            self.stop()
            if "java.lang.OutOfMemoryError" in str(error):
                raise self._heap_too_small(heap_room()[0]) from error
            raise

    def open_store(self, stop: threading.Event | None = None) -> None:
        """Open the store, where there is one.

        Args:
            stop: Ends the wait for the trades that are there, once set.

        Raises:
            ServerError: It cannot be used, or takes no trades in the symbols of the replay.
        """
        if self.store is not None:
            if self._history is not None:
                _require_tradeable(self._history, self.options.replay)
            self.store.open(stop)

    def publish(self) -> MarketServer:
        """Publish the tables and begin, beside a Deephaven that runs in this process already; the store is open.

        Raises:
            ServerError: The store does not take what the desk writes.
        """
        options, store = self.options, self.store
        source, instruments, ticks_per_trade = self._source()
        desk = Desk(
            source.symbols,
            source.first_prices,
            source.start,
            instruments,
            positions=None if store is None else store.positions,
            sink=None if store is None else store.trades,
            ticks_per_trade=ticks_per_trade,
            seed=options.seed,
        )
        if store is not None:
            store.begin(desk)
        speed = options.speed or DEFAULT_SPEED
        rates = FxRates(desk.currencies, speed=speed, seed=options.seed)
        writers = self.writers = MarketWriters(source.symbols, desk)
        tables = self._tables(writers, None if store is None else store.tables())
        figures = desk_figures(
            tables,
            writers.positions.blink,
            source.symbols,
            clock_of_arrival=self._history is not None,
            silence=None if store is None else store.silence,
        )
        self.tables = tables | figures.published()
        self.pages = desk_pages(figures, reader=None if store is None else store.reader)
        # Deephaven publishes the globals of the main module.
        vars(sys.modules["__main__"]).update(self.tables | self.pages)
        self.feed = Feed(source, desk, rates, writers)
        self.feed.start()
        return self

    def stop(self) -> None:
        """End the feed and let go of the store; Deephaven and the tables stay to the end of the process."""
        if self.feed is not None:
            self.feed.stop()
        if self.store is not None:
            self.store.close()

    def _tables(self, writers: MarketWriters, store_tables: dict[str, Table] | None) -> dict[str, Table]:
        """Return the published tables, if the heap has room for them and for work."""
        tables = market_tables(writers, self.options.keep, store_tables)
        largest, free = heap_room()
        if free < WORKING_HEAP:
            raise self._heap_too_small(largest)
        return tables

    def _require_heap(self, largest: int) -> None:
        if largest < self._least_heap():
            raise self._heap_too_small(largest)

    def _least_heap(self) -> int:
        return least_heap(self.options.keep)

    def _heap_too_small(self, largest: int) -> HeapTooSmall:
        return HeapTooSmall(largest, self.options.keep, max(self._least_heap(), largest + (1 << 20)))

    def _source(self) -> tuple[TickSource, tuple[Instrument, ...], int]:
        options = self.options
        if self._history is not None:
            ticks = RecordedTicks(self._history, options.speed)
            return ticks, (), _ticks_per_trade(ticks.ticks_per_second, options.trades)
        instruments = universe(options.symbols)
        # A matrix of many symbols takes long to take apart; one correlation for all of them does not.
        correlation = sector_correlation(instruments) if len(instruments) <= _MOST_WITH_SECTORS else 0.4
        simulator = MarketSimulator(instruments, correlation=correlation, seed=options.seed)
        source = SimulatedTicks(simulator, options.rate, speed=options.speed or DEFAULT_SPEED, start=time.time_ns())
        return source, instruments, _ticks_per_trade(options.rate, options.trades)


def _ticks_per_trade(ticks_a_second: float, trades_a_minute: float) -> int:
    return max(1, round(60.0 * ticks_a_second / trades_a_minute)) if trades_a_minute else 0


def _desk_store(text: str) -> DeskStore:
    place = store_place(text)  # says what is missing, before it is imported
    from server.desk_store import DeskStore

    return DeskStore(place)


def _require_tradeable(history: PriceHistory, path: Path | None) -> None:
    """Refuse a history of symbols that no trade can have."""
    from store.columns import REGISTRY

    for symbol in history.symbols:
        problem = REGISTRY.resolve("symbol")[0].value_problem(symbol)
        if problem is not None:
            raise PriceFileError(
                path or Path(), f"the store takes no trade in {symbol!r}: expected {problem.expected}; --no-store does"
            )
