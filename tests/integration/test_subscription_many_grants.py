"""Many grants, and long histories that come into view: read in bounded calls, at a cost that is the reader's own."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from store.errors import StoreError
from store.events import ChangeEvent
from store.permissions import share_read, share_write, unshare
from tests.fix_postgres import StoreDatabase
from tests.integration.streams import Listening, amend, join, listening, stream, trade
from tests.waiting import wait_until

pytestmark = pytest.mark.both_servers


def test_long_history_interrupted_goes_on_where_the_checkpoint_is(store_db: StoreDatabase) -> None:
    alice = store_db.client("alice")
    objs = [trade() for _ in range(3)]
    alice.write_many(objs)
    for _ in range(99):
        for obj in objs:
            obj.quantity += 1
        alice.update_many(objs)
    with listening(store_db, subscriber_id="backfill"):
        pass
    join(store_db, "rates", "carol")
    for obj in objs:
        assert obj.entity_id
        share_read(alice.conn, obj.entity_id, "rates")
    join_first = Listening(store_db, "bob", subscriber_id="backfill")

    def stop_early(event: ChangeEvent) -> None:
        if len(join_first.events) == 150:
            join_first.listener.stop()

    join_first.listener._bus.on_all(stop_early)
    with join_first.listener:
        join(store_db, "rates", "bob")
        wait_until(lambda: not join_first.listener.running)
    with listening(store_db, subscriber_id="backfill") as second:
        wait_until(lambda: len(second.events) >= 150)
    together = join_first.told() + second.told()
    assert len(join_first.events) == len(second.events) == 150
    assert sorted(together) == sorted((obj.entity_id or "", number, True) for obj in objs for number in range(1, 101))
    for obj in objs:
        assert [number for entity, number, _ in together if entity == obj.entity_id] == list(range(1, 101))


def test_lag_counts_the_history_that_comes_into_view(store_db: StoreDatabase) -> None:
    alice, obj = store_db.client("alice"), trade()
    entity = alice.write(obj)
    amend(alice, obj, 4)
    go_on = threading.Event()
    bob = Listening(store_db, "bob")
    bob.listener._bus.on_all(lambda event: go_on.wait(120))
    with bob.listener:
        share_read(alice.conn, entity, "bob")
        amend(alice, obj, 2)
        wait_until(lambda: bob.events)
        assert bob.listener.lag().events == 7
        go_on.set()
        wait_until(lambda: bob.listener.lag() == (0, 0.0))
    assert len(bob.events) == 7


def test_grants_by_the_thousand_are_read_in_bounded_calls(store_db: StoreDatabase) -> None:
    alice = store_db.client("alice")
    ids = alice.write_many([trade() for _ in range(600)])
    with alice.transaction():
        for entity in ids:
            share_read(alice.conn, entity, "bob")
            share_write(alice.conn, entity, "bob")
    assert stream(store_db) == [(entity, 1, True) for entity in ids]
    assert stream(store_db, batch=7) == [(entity, 1, True) for entity in ids]


def test_grants_of_one_entity_to_one_user_are_bounded(store_db: StoreDatabase) -> None:
    alice, obj = store_db.client("alice"), trade()
    entity, other = alice.write(obj), alice.write(trade())
    for _ in range(32):
        share_read(alice.conn, entity, "bob")
        unshare(alice.conn, entity, "bob")
    for share in (share_read, share_write):
        with pytest.raises(StoreError, match=f"{entity} was shared with 'bob' 32 times within a day: leave it shared"):
            share(alice.conn, entity, "bob")
    share_read(alice.conn, entity, "carol")
    share_read(alice.conn, other, "bob")
    assert stream(store_db) == [(other, 1, True)]
    with closing(store_db.admin()) as conn, conn, conn.cursor() as cursor:  # a day later
        cursor.execute("ALTER TABLE store.share_events DISABLE TRIGGER append_only")
        cursor.execute("UPDATE store.share_events SET tx_time = tx_time - interval '1 day'")
        cursor.execute("ALTER TABLE store.share_events ENABLE TRIGGER append_only")
    share_read(alice.conn, entity, "bob")
    assert stream(store_db)[1:] == [(entity, 1, True)]


def test_grants_to_others_do_not_slow_a_reader_down(store_db: StoreDatabase) -> None:
    alice, obj = store_db.client("alice"), trade()
    entity = alice.write(obj)
    share_read(alice.conn, entity, "bob")
    amend(alice, obj, 200)
    pages = [pages_of_stream(store_db, 201)]
    with closing(store_db.admin()) as conn, conn, conn.cursor() as cursor:  # as years of sharing would
        cursor.execute(
            "INSERT INTO store.share_events (seq, entity_id, version, tx_time, action, access, principal, grantor,"
            " place) SELECT nextval('store.share_seq'), %s, 1, now(), CASE n %% 2 WHEN 0 THEN 'SHARED' ELSE"
            " 'UNSHARED' END, 'READ', 'carol', 'alice', nextval('store.event_seq')"
            " FROM generate_series(1, 40000) n",
            (entity,),
        )
    pages.append(pages_of_stream(store_db, 201))
    # A tree that is a level deeper costs a page more for each look; to go through the others' grants, hundreds.
    assert pages[1] < 3 * pages[0]


def pages_of_stream(store_db: StoreDatabase, events: int) -> int:
    """Return how many pages bob's session looks at to read his stream of some events."""
    read = "FROM store.read_stream(0, 0, 9000000000, NULL, 100000, true)"
    with closing(store_db.connect("bob")) as conn, conn.cursor() as cursor:
        cursor.execute(f"SELECT count(entity_id) {read}")  # the catalogs' pages are looked at now
        assert cursor.fetchone() == (events,)
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT {read}")
        [[[explained]]] = cursor.fetchall()
        plan = explained["Plan"]
        return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])
