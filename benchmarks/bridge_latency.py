"""The bridge: how long a committed event takes into Deephaven, and how fast a log is replayed."""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.harness import Pair, Samples, bounded, ratio
from bridge import StoreBridge
from server.embedded import DeephavenServer
from store.client import StoreClient
from store.models import Order
from store.server import ObjectStoreServer

PASSWORD = "bench_pw"
WRITES, WRITES_PER_SECOND = 400, 200
ENTITIES, VERSIONS = 25_000, 4

RAW_LOG = """
SELECT e.seq, e.entity_id::text, e.version, h.owner, e.updated_by, e.tx_time, e.valid_from,
       nullif(e.valid_to, 'infinity'), e.state, e.event_type, e.type_name, e.changes::text, h.data::text
FROM store.object_events e JOIN store.object_heads h USING (entity_id) WHERE e.type_name = 'Order' ORDER BY e.seq
"""


def order(quantity: int) -> Order:
    """Return an order that can be told by its quantity."""
    return Order(symbol="AAPL", quantity=quantity, price=229.5, side="BUY", trader_name="alice", book="EQ-US")


@contextmanager
def servers() -> Iterator[ObjectStoreServer]:
    """Run a store with a writer and a bridge user, and the process's one Deephaven."""
    global _deephaven
    with ObjectStoreServer() as store:
        store.provision_user("alice", PASSWORD)
        store.provision_user("bridge_user", PASSWORD, reads_all=True)
        if _deephaven is None:
            with tempfile.TemporaryDirectory() as folder:
                _deephaven = DeephavenServer(port=0, heap="2g", key_file=Path(folder, "key")).start()
        yield store


_deephaven: DeephavenServer | None = None


class Arrivals:
    """Notes when each row reaches Deephaven's door."""

    def __init__(self) -> None:
        self.times: dict[int, float] = {}

    def write_row(self, *values: Any) -> None:
        """Note the time of a row, told by its quantity."""
        self.times[values[1]] = time.monotonic()


def write_steadily(where: dict[str, Any], pipe: Connection) -> None:
    """Write orders at a steady rate whenever asked; answer with the time at which each `write` returned."""
    with StoreClient(user="alice", password=PASSWORD, **where) as client:
        while (first := pipe.recv()) is not None:
            returned = {}
            begin = time.monotonic()
            for number in range(WRITES):
                time.sleep(max(0.0, begin + number / WRITES_PER_SECOND - time.monotonic()))
                client.write(order(first + number))
                returned[first + number] = time.monotonic()
            pipe.send(returned)


@bounded("bridge: commit to row handed to Deephaven, 200 writes/s", p50=0.002, p99=0.010)
def latency() -> Iterator[Samples]:
    """Both clocks are the machine's monotonic one; a row that is there before `write` returned counts as zero."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    first = 1
    with ExitStack() as opened:
        store = opened.enter_context(servers())
        writer = spawn.Process(target=write_steadily, args=(store.conn_info(), theirs))
        arrivals = Arrivals()
        bridge = StoreBridge(user="bridge_user", password=PASSWORD, **store.conn_info())
        bridge.register(Order, writer=arrivals)
        opened.enter_context(bridge)
        writer.start()
        opened.callback(writer.join)
        opened.callback(ours.send, None)

        def take() -> Sequence[float]:
            nonlocal first
            ours.send(first)
            first += WRITES
            returned: dict[int, float] = ours.recv()
            bridge.wait_current(30)
            return [max(0.0, arrivals.times[number] - moment) for number, moment in returned.items()]

        yield Samples(take)


@ratio("bridge: replay of 100k events", against="raw SELECT into the same Python rows", aim=0.4, limit=1 / 20_000)
def replay() -> Iterator[Pair]:
    """Four events an order; to the end of the replay, that is until the rows are visible in the tables."""
    with servers() as store, StoreClient(user="alice", password=PASSWORD, **store.conn_info()) as client:
        for start in range(0, ENTITIES, 5_000):
            orders = [order(start + number + 1) for number in range(5_000)]
            client.write_many(orders)
            for version in range(1, VERSIONS):
                for item in orders:
                    item.price = 229.5 + version
                client.update_many(orders)
        admin = store.admin_conn()

        def through_the_bridge() -> None:
            from deephaven.liveness_scope import liveness_scope

            with liveness_scope():
                bridge = StoreBridge(user="bridge_user", password=PASSWORD, **store.conn_info())
                bridge.register(Order)
                with bridge:
                    bridge.wait_current(120)
                    assert bridge.table(Order).size == ENTITIES * VERSIONS

        def raw() -> None:
            with admin.cursor() as cursor:
                cursor.execute(RAW_LOG)
                rows = [(*row[:11], json.loads(row[11]), json.loads(row[12])) for row in cursor]
            assert len(rows) == ENTITIES * VERSIONS

        yield Pair(ours=through_the_bridge, raw=raw, operations=ENTITIES * VERSIONS)
        admin.close()
