"""Many entities in one call, against COPY of the rows of the log alone, into the same indexes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import uuid4

from benchmarks.harness import Pair, ratio
from benchmarks.store_scene import BATCH, Scene, copy_events, data_of, scene, trade
from store.models import Trade


@ratio("write_many 20k", against="raw COPY of the rows of the log", aim=0.45)
def write_many() -> Iterator[Pair]:
    with scene() as made:
        yield _write_pair(made)


@ratio("write_many 20k, published type", against="raw COPY of the rows of the log", aim=0.25)
def write_many_published() -> Iterator[Pair]:
    with scene() as made:
        made.server.publish(Trade)
        yield _write_pair(made)


def _write_pair(made: Scene) -> Pair:
    seqs = count(1, BATCH)
    made.plain_table("raw_events", like="object_events")
    batch: list[Trade] = []

    def reset() -> None:
        batch[:] = [trade(number) for number in range(BATCH)]
        made.settle()

    def ours() -> None:
        made.client.write_many(batch)

    def raw() -> None:
        copy_events(made.raw, rows, next(seqs), [str(uuid4()) for _ in rows], 1)

    rows = data_of([trade(number) for number in range(BATCH)])
    return Pair(ours, raw, operations=BATCH, reset=reset)


@ratio("update_many 20k, two fields each", against="raw COPY of the rows of the log", aim=0.5, floor=0.12)
def update_many_two_fields() -> Iterator[Pair]:
    with scene() as made:
        yield _update_pair(made, ("price", "quantity"))


@ratio("update_many 20k, all nine fields each", against="raw COPY of the rows of the log", aim=None)
def update_many_all_fields() -> Iterator[Pair]:
    with scene() as made:
        yield _update_pair(made, tuple(data_of([trade(0)])[0])[:9])


def _update_pair(made: Scene, names: tuple[str, ...]) -> Pair:
    """Update the same 20k entities on both sides; the plain log holds their first rows already, as the store's does."""
    trades = [trade(number) for number in range(BATCH)]
    entity_ids = made.client.write_many(trades)
    made.plain_table("raw_events", like="object_events")
    made.execute("INSERT INTO raw_events SELECT * FROM store.object_events")
    seqs, versions, numbers = count(BATCH + 1, BATCH), count(2), count(1)
    rows: list[dict[str, Any]] = []

    def reset() -> None:
        number = next(numbers)
        for place, changed in enumerate(trades):
            other = trade(place + number, version=number)
            for name in names:
                setattr(changed, name, getattr(other, name))
        rows[:] = [{name: getattr(changed, name) for name in names} for changed in trades]
        made.settle()

    def ours() -> None:
        made.client.update_many(trades)

    def raw() -> None:
        copy_events(made.raw, rows, next(seqs), entity_ids, next(versions))

    return Pair(ours, raw, operations=BATCH, reset=reset)
