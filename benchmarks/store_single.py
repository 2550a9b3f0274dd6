"""One entity at a time: write, read and update, against the plain statement."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from benchmarks.harness import Pair, ratio
from benchmarks.store_scene import Scene, data_of, insert_event, scene, trade
from store.models import Trade

WRITES = 300
READS = 1_000
ENTITIES = 5_000

SELECT_HEAD = (
    "SELECT entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data"
    " FROM raw_heads WHERE entity_id = %s"
)


@ratio("write one", against="raw INSERT of the row of the log", aim=0.75)
def write_one() -> Iterator[Pair]:
    with scene() as made:
        yield _write_pair(made)


@ratio("write one, published type", against="raw INSERT of the row of the log", aim=0.6)
def write_one_published() -> Iterator[Pair]:
    with scene() as made:
        made.server.publish(Trade)
        yield _write_pair(made)


def _write_pair(made: Scene) -> Pair:
    numbers, seqs = count(), count(1)
    made.plain_table("raw_events", like="object_events")

    def ours() -> None:
        for number in range(WRITES):
            made.client.write(trade(number))

    def raw() -> None:
        for data in rows:
            insert_event(made.raw, next(seqs), data)

    rows = data_of([trade(next(numbers)) for _ in range(WRITES)])
    return Pair(ours, raw, operations=WRITES)


@ratio("update one", against="raw INSERT of the row of the log", aim=None)
def update_one() -> Iterator[Pair]:
    prices, seqs = count(1), count(1)
    with scene() as made:
        made.plain_table("raw_events", like="object_events")
        trades = [trade(number) for number in range(WRITES)]
        made.client.write_many(trades)

        def ours() -> None:
            price = float(next(prices))
            for changed in trades:
                changed.price = price
                made.client.update(changed)

        def raw() -> None:
            price = float(next(prices))
            for _ in range(WRITES):
                insert_event(made.raw, next(seqs), {"price": price})

        yield Pair(ours, raw, operations=WRITES)


@ratio("read by id", against="raw SELECT by primary key", aim=0.7)
def read_by_id() -> Iterator[Pair]:
    with scene() as made:
        entity_ids = made.client.write_many([trade(number) for number in range(ENTITIES)])
        made.plain_table("raw_heads", like="object_heads")
        made.execute("INSERT INTO raw_heads SELECT * FROM store.object_heads")
        made.settle()
        wanted = entity_ids[:: ENTITIES // READS]

        def ours() -> None:
            for entity_id in wanted:
                made.client.read(Trade, entity_id)

        def raw() -> None:
            with made.raw.cursor() as cursor:
                for entity_id in wanted:
                    cursor.execute(SELECT_HEAD, (entity_id,))
                    cursor.fetchone()

        yield Pair(ours, raw, operations=READS)
