"""Market data: how fast ticks reach Deephaven's tables, and how old a price is when a client has it."""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
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
from server.ticks import Ticks

if TYPE_CHECKING:
    from deephaven.table import Table

SYMBOLS, BATCH, BATCHES = 100, 50_000, 40
CAPACITY = 1_000_000  # rows that may wait for the engine, a multiple of the batch
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


class RawPublisher:
    """A table publisher, fed with batches that are Deephaven's tables already.

    As many rows may wait for the engine as with ours: without a bound, one cycle would take all at once, and a ring
    drop what it cannot hold without a look.
    """

    def __init__(self, batches: Sequence[Table]) -> None:
        from deephaven.stream.table_publisher import table_publisher
        from deephaven.table_factory import ring_table

        self._cycle = threading.Condition()
        self._cycles = 0
        self._waiting = 0
        self._batches = batches
        blink, self._publisher = table_publisher("raw", batches[0].definition, on_flush_callback=self._flushed)
        self._blink = blink
        self.tables = [blink.last_by("Symbol"), ring_table(blink, RING_ROWS)]

    def _flushed(self, _: Any) -> None:
        with self._cycle:
            self._cycles += 1
            self._waiting = 0
            self._cycle.notify_all()

    def run(self) -> None:
        """Publish all batches and wait until they are in the tables."""
        from deephaven.update_graph import shared_lock

        for batch in self._batches:
            with self._cycle:
                self._cycle.wait_for(lambda: self._waiting < CAPACITY)
                self._waiting += BATCH
            self._publisher.add(batch)
        with self._cycle:
            target = self._cycles + 1
            self._cycle.wait_for(lambda: self._cycles >= target)
        with shared_lock(self._blink):
            pass


def taken(source: SimulatedTicks, count: int) -> Ticks:
    """Return exactly so many of the next ticks."""
    parts: list[Ticks] = []
    while (left := count - sum(map(len, parts))) > 0:
        parts.append(source.take(left))
    return Ticks(*map(np.concatenate, zip(*(part.columns() for part in parts), strict=True)))


class Scene:
    """A writer with the tables derived from it, two million ticks, and the same as finished batches."""

    def __init__(self) -> None:
        deephaven()
        instruments = universe(SYMBOLS)
        simulator = MarketSimulator(instruments, correlation=sector_correlation(instruments), seed=1)
        self.source = SimulatedTicks(simulator, 1e6, start=time.time_ns())
        first = self.source.first_prices
        self.desk = Desk(self.source.symbols, first, self.source.start, instruments, ticks_per_trade=500_000, seed=1)
        self.writer = ColumnWriter(
            "prices", column_types("prices_raw"), {"Symbol": self.source.symbols}, capacity=CAPACITY
        )
        self.tables = [self.writer.last_by("Symbol"), self.writer.kept(RING_ROWS)]
        self.batches = [taken(self.source, BATCH) for _ in range(BATCHES)]
        self.raw = RawPublisher([self._finished(batch) for batch in self.batches])

    def publish(self, batches: Iterable[Ticks]) -> None:
        """Publish batches as the feed does, and wait until they are in the tables."""
        for ticks in batches:
            self.writer.write(*ticks.columns())
            self.desk.see(ticks)
        assert self.writer.wait_visible(60)

    def check(self) -> None:
        """Hold the prices of both sides, published in turn, against each other."""
        from deephaven import arrow

        ours, raw = (arrow.to_arrow(tables[0].sort("Symbol").snapshot()) for tables in (self.tables, self.raw.tables))
        assert ours == raw
        assert ours.num_rows == SYMBOLS

    def _finished(self, batch: Ticks) -> Table:
        from deephaven.liveness_scope import liveness_scope

        self.publish([batch])
        with liveness_scope() as scope:  # else the table's tail would go on ticking
            finished = self.tables[1].tail(BATCH).snapshot()
            scope.preserve(finished)
        return finished


@ratio("market data: 2M ticks into Deephaven", against="table_publisher, the same batches as its own tables", aim=0.7)
def market_data() -> Iterator[Pair]:
    """Both begin with 40 batches of 50,000 ticks, ours as NumPy columns; both end in prices_live and a ring."""
    scene = Scene()
    yield Pair(ours=lambda: scene.publish(scene.batches), raw=scene.raw.run, operations=BATCH * BATCHES)
    scene.publish(scene.batches)
    scene.raw.run()
    scene.check()


@ratio(
    "market data: 2M ticks simulated and into Deephaven", against="table_publisher, batches that are there", aim=None
)
def simulation() -> Iterator[Pair]:
    """Ours makes each tick besides, from random numbers on; shown for comparison, since nothing raw does that."""
    scene = Scene()

    def ours() -> None:
        scene.publish(taken(scene.source, BATCH) for _ in range(BATCHES))

    yield Pair(ours=ours, raw=scene.raw.run, operations=BATCH * BATCHES)


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
