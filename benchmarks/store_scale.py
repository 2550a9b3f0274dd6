"""How far one server goes: `python -m benchmarks.store_scale [--entities 100000]`.

Measures what a store takes on the disk and in the write-ahead log, for each event and each entity, and how its speed
changes with the number of entities and of writers. Not part of `make bench`: it has nothing to compare with but itself.
Prints a table and writes it as JSON; docs/scale.md reckons with the figures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.store_processes import children, share_out, wait_until, write_on_demand
from benchmarks.store_scene import Scene, add_database, deepen, load, running_server, trade
from benchmarks.store_sizes import seconds_of
from store.models import Trade
from store.subscriptions import EventBus, SubscriptionListener

ENTITIES = (1_000, 10_000, 100_000)
WRITERS = (1, 2, 4, 8)
ROUNDS = 5
SINGLES = 500
PARTITIONS = 16

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "benchmarks" / "results" / "store_scale.json"


class Figure(NamedTuple):
    """One figure: what was measured, on how large a store, in which unit."""

    name: str
    entities: int
    value: float
    unit: str


def sizes(scene: Scene) -> dict[str, int]:
    """Return the bytes of every table of the store, with its oversized values, and of every index."""
    rows = scene.execute(
        "SELECT c.relname, CASE WHEN c.relkind = 'i' THEN pg_relation_size(c.oid) ELSE pg_table_size(c.oid) END"
        " FROM pg_class c WHERE c.relnamespace = 'store'::regnamespace AND c.relkind IN ('r', 'i')"
    )
    return dict(rows)


def growth(scene: Scene, change: Callable[[], object]) -> tuple[dict[str, int], int]:
    """Return by how many bytes each relation, and the write-ahead log, grows with a change."""
    before, start = sizes(scene), scene.execute("SELECT pg_current_wal_lsn()")[0][0]
    change()
    [(wal,)] = scene.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s)::bigint", [start])
    scene.execute("VACUUM (ANALYZE)")
    return {name: size - before[name] for name, size in sizes(scene).items()}, int(wal)


def space(scene: Scene, entities: int) -> Iterator[Figure]:
    """Measure what a created entity takes, what one more event does, and what both write to the log of the server."""
    made: list[Trade] = []
    begin = time.perf_counter()
    created, wal = growth(scene, lambda: made.extend(load(scene.client, entities)))
    yield Figure("created in batches", entities, entities / (time.perf_counter() - begin), "events/s")
    for name, size in created.items():
        if size >= entities:
            yield Figure(f"created: {name}", entities, size / entities, "bytes each")
    yield Figure("created: all", entities, sum(created.values()) / entities, "bytes each")
    yield Figure("created in batches: write-ahead log", entities, wal / entities, "bytes each")
    updated, wal = growth(scene, lambda: deepen(scene.client, made, 2))
    for name, size in updated.items():
        if size >= entities:
            yield Figure(f"updated: {name}", entities, size / entities, "bytes each")
    yield Figure("updated: all", entities, sum(updated.values()) / entities, "bytes each")
    yield Figure("updated in batches: write-ahead log", entities, wal / entities, "bytes each")
    scene.execute("CHECKPOINT")
    for round_name in ("with whole pages after a checkpoint", "later"):
        _, wal = growth(scene, lambda: [scene.client.write(trade(number)) for number in range(SINGLES)])
        yield Figure(f"created one by one, {round_name}: write-ahead log", entities, wal / SINGLES, "bytes each")


def speed(scene: Scene, entities: int) -> Iterator[Figure]:
    """Measure single calls of one client."""
    client = scene.client
    changed = trade(entities)
    entity_id = client.write(changed)

    def update() -> None:
        changed.quantity += 1
        client.update(changed)

    calls: dict[str, Callable[[], object]] = {
        "write": lambda: client.write(trade(1)),
        "update": update,
        "read": lambda: client.read(Trade, entity_id),
        "query of 50, filter by symbol": lambda: client.query(Trade, {"symbol": "SYM7"}, limit=50),
        "query of 50, half match": lambda: client.query(Trade, {"side": "BUY"}, limit=50),
    }
    for name, call in calls.items():
        yield Figure(name, entities, 1 / seconds_of(call), "calls/s")


def commits(scene: Scene, entities: int) -> Iterator[Figure]:
    """Measure single writes of 1 to 8 processes, round about."""
    rates: dict[int, list[float]] = {writers: [] for writers in WRITERS}
    with children(write_on_demand, [(scene.login,)] * max(WRITERS)) as pipes:
        for _ in range(ROUNDS):
            for writers in WRITERS:
                begin = scene.execute("SELECT last_value FROM store.event_seq")[0][0]
                seconds = share_out(pipes[:writers])
                end = scene.execute("SELECT last_value FROM store.event_seq")[0][0]
                rates[writers].append((end - begin) / seconds)
    for writers, found in rates.items():
        yield Figure(f"commits, {writers} writer{'s' * (writers > 1)}", entities, median(found), "events/s")


def listening(scene: Scene, entities: int) -> Iterator[Figure]:
    """Measure a listener that reads the whole log, and what one that has nothing to read asks of the server."""
    [(events,)] = scene.execute("SELECT count(*) FROM store.object_events")
    heard: list[object] = []
    bus = EventBus()
    bus.on_all(heard.append)
    login: dict[str, Any] = {**scene.login, "from_beginning": True}
    begin = time.perf_counter()
    with SubscriptionListener(bus, **login) as listener:
        wait_until(lambda: len(heard) >= events)
        yield Figure("listener, catching up", entities, len(heard) / (time.perf_counter() - begin), "events/s")
        wait_until(lambda: listener.lag().events == 0)
        first = _statements(scene)
        time.sleep(5)
        yield Figure("listener, idle", entities, (_statements(scene) - first) / 5, "transactions/s")


def partitions(scene: Scene, entities: int) -> Iterator[Figure]:
    """Measure on plain copies of the log, whole and in partitions, what a fold and a listener ask of it."""
    [(last,)] = scene.execute("SELECT max(seq) FROM store.object_events")
    width = last // PARTITIONS + 1
    bounds = [(number * width, (number + 1) * width) for number in range(PARTITIONS)]
    layouts = {
        "one table": ("", []),
        "16 ranges of seq": ("RANGE (seq)", [f"FROM ({low}) TO ({high})" for low, high in bounds]),
        "16 hashes of entity_id": (
            "HASH (entity_id)",
            [f"WITH (MODULUS {PARTITIONS}, REMAINDER {number})" for number in range(PARTITIONS)],
        ),
    }
    entity_ids = [row[0] for row in scene.execute("SELECT entity_id FROM store.object_heads LIMIT 30")]
    for number, (layout, (key, parts)) in enumerate(layouts.items()):
        table = f"copy_{number}"
        scene.execute(f"CREATE TABLE {table} (LIKE store.object_events) {f'PARTITION BY {key}' if key else ''}")
        for part, values in enumerate(parts):
            scene.execute(f"CREATE TABLE {table}_{part} PARTITION OF {table} FOR VALUES {values}")
        scene.execute(f"INSERT INTO {table} SELECT * FROM store.object_events")
        scene.execute(f"CREATE INDEX ON {table} (entity_id, version); CREATE INDEX ON {table} (seq)")
        scene.execute(f"VACUUM (ANALYZE) {table}")

        def fold(table: str = table) -> None:
            for entity_id in entity_ids:
                scene.execute(f"SELECT changes FROM {table} WHERE entity_id = %s ORDER BY version", [entity_id])

        def batch(table: str = table) -> None:
            scene.execute(f"SELECT * FROM {table} WHERE seq > %s ORDER BY seq LIMIT 2000", [last // 2])

        yield Figure(f"log as {layout}: an entity's events", entities, len(entity_ids) / seconds_of(fold), "calls/s")
        yield Figure(f"log as {layout}: 2,000 by seq", entities, 1 / seconds_of(batch), "calls/s")


def _statements(scene: Scene) -> int:
    """Return how many transactions the database has ended, without the one that asks."""
    scene.execute("SELECT pg_stat_force_next_flush()")
    [(count,)] = scene.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    return int(count) - 2


def figures(largest: int) -> Iterator[Figure]:
    """Measure on stores of each size."""
    with running_server() as server:
        for entities in (size for size in ENTITIES if size <= largest):
            with closing(add_database(server)) as scene:
                yield from space(scene, entities)
                scene.settle()
                yield from speed(scene, entities)
                if entities == min(largest, max(ENTITIES)):
                    yield from listening(scene, entities)
                    yield from partitions(scene, entities)
                    yield from commits(scene, entities)


def main() -> None:
    """Measure, print each figure as it comes, and write all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store_scale", description="How far one server goes.")
    parser.add_argument("--entities", type=int, default=max(ENTITIES), help="the most entities (default: 100,000)")
    parser.add_argument("--figures", type=Path, default=FIGURES, help="where the figures go, as JSON")
    options = parser.parse_args()
    found: list[Figure] = []
    for figure in figures(options.entities):
        found.append(figure)
        print(f"{figure.entities:>9,}  {figure.name:<60} {figure.value:12,.1f} {figure.unit}", flush=True)
    options.figures.parent.mkdir(parents=True, exist_ok=True)
    options.figures.write_text(json.dumps([figure._asdict() for figure in found], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
