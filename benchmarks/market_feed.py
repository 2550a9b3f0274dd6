"""Market data: how fast ticks reach Deephaven's tables, and how old a price is when a client has it."""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import Pair, Samples, bounded, ratio
from server.column_writer import ColumnWriter
from server.desk import Desk
from server.embedded import AUTH_TYPE, DeephavenServer
from server.instruments import sector_correlation, universe
from server.market_columns import column_types
from server.market_data import MarketSimulator, SimulatedTicks
from server.market_server import MarketServer
from server.options import MarketOptions

if TYPE_CHECKING:
    from deephaven.table import Table

SYMBOLS, BATCH, BATCHES = 100, 50_000, 40
RING_ROWS = 1_000_000
CLIENT_TICKS_PER_SECOND, CLIENT_SECONDS = 1000.0, 4.0

_deephaven: DeephavenServer | None = None


def deephaven() -> DeephavenServer:
    """Return the process's one Deephaven, started by the first who asks."""
    global _deephaven
    if _deephaven is None:
        with tempfile.TemporaryDirectory() as folder:
            _deephaven = DeephavenServer(port=0, heap="3g", key_file=Path(folder, "key")).start()
    return _deephaven


def derived(blink: Table) -> list[Table]:
    """Return what the server derives of its price ticks."""
    from deephaven.table_factory import ring_table

    return [blink.last_by("Symbol"), ring_table(blink, RING_ROWS)]


class RawPublisher:
    """A table publisher, fed with one and the same batch of finished columns again and again."""

    def __init__(self, batch: Table) -> None:
        from deephaven.stream.table_publisher import table_publisher

        self._cycle = threading.Condition()
        self._cycles = 0
        self._batch = batch
        blink, self._publisher = table_publisher("raw", batch.definition, on_flush_callback=self._flushed)
        self._blink = blink
        self.tables = derived(blink)

    def _flushed(self, _: Any) -> None:
        with self._cycle:
            self._cycles += 1
            self._cycle.notify_all()

    def run(self) -> None:
        """Publish all batches and wait until they are in the tables."""
        from deephaven.update_graph import shared_lock

        for _ in range(BATCHES):
            self._publisher.add(self._batch)
        with self._cycle:
            target = self._cycles + 1
            self._cycle.wait_for(lambda: self._cycles >= target)
        with shared_lock(self._blink):
            pass


@ratio("market data: 2M ticks into Deephaven", against="table_publisher, one finished batch again and again", floor=0.7)
def market_data() -> Iterator[Pair]:
    """Ours makes each tick, from random numbers on; the raw side publishes 50,000 rows that are there already."""
    deephaven()
    instruments = universe(SYMBOLS)
    simulator = MarketSimulator(instruments, correlation=sector_correlation(instruments), seed=1)
    source = SimulatedTicks(simulator, 1e6, start=time.time_ns())
    desk = Desk(source.symbols, source.first_prices, source.start, instruments, ticks_per_trade=500_000, seed=1)
    writer = ColumnWriter("prices", column_types("prices_raw"), {"Symbol": source.symbols})
    tables = derived(writer.blink)

    def through_us() -> None:
        left = BATCH * BATCHES
        while left:
            ticks = source.take(min(left, BATCH))
            writer.write(*ticks.columns())
            desk.see(ticks)
            left -= len(ticks)
        assert writer.wait_visible(60)

    # A batch of the same columns, as it stands in the ring.
    through_us()
    raw = RawPublisher(tables[1].head(BATCH).select().snapshot())
    yield Pair(ours=through_us, raw=raw.run, operations=BATCH * BATCHES)
    assert tables[0].size == raw.tables[0].size == SYMBOLS


def watch(port: int, key: str, pipe: Connection) -> None:
    """Listen to prices_live whenever asked, and answer with the age of every price when it came, in seconds."""
    from pydeephaven import Session
    from pydeephaven_ticking.table_listener import TableListener, TableListenerHandle, TableUpdate

    session = Session(host="127.0.0.1", port=port, auth_type=AUTH_TYPE, auth_token=key)
    table = session.open_table("prices_live")
    ages: list[float] = []

    class Ages(TableListener):
        def on_update(self, update: TableUpdate) -> None:
            now = time.time_ns()
            for changed in (update.modified("Timestamp"), update.added("Timestamp")):
                for column in changed.values():
                    times = np.asarray(column).astype("datetime64[ns]").astype(np.int64)
                    ages.extend(((now - times) / 1e9).tolist())

    handle = TableListenerHandle(table, Ages())
    handle.start()
    while pipe.recv():
        ages.clear()
        time.sleep(CLIENT_SECONDS)
        pipe.send(list(ages))
    handle.stop()
    session.close()


@bounded("market data: age of a price at a ticking client", p50=0.25, p99=0.6)
def client_age() -> Iterator[Samples]:
    """A thousand ticks a second over 100 symbols, a client in a process of its own, both on one clock."""
    server = deephaven()
    market = MarketServer(MarketOptions(symbols=SYMBOLS, rate=CLIENT_TICKS_PER_SECOND, seed=1)).publish()
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    client = spawn.Process(target=watch, args=(server.port, server.key, theirs))
    with ExitStack() as opened:
        opened.callback(market.stop)
        client.start()
        opened.callback(client.join)
        opened.callback(ours.send, False)

        def take() -> Sequence[float]:
            ours.send(True)
            if not ours.poll(60):
                raise RuntimeError("the client does not answer")
            ages: list[float] = ours.recv()
            assert len(ages) > CLIENT_TICKS_PER_SECOND, "the client saw next to nothing"
            return ages

        yield Samples(take)
