"""What comes into a listener's view later arrives with its history, in order; what leaves it arrives no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pytest

from store import groups
from store.client import StoreClient
from store.errors import StoreError
from store.events import ChangeEvent, EventBus
from store.log_reader import BEGINNING, LogReader, LogRow
from store.models import Order, Trade
from store.permissions import share_read, share_write, unshare, unshare_read
from store.subscriptions import SubscriptionListener
from tests.fix_postgres import StoreDatabase
from tests.waiting import wait_until

pytestmark = pytest.mark.both_servers


def trade(quantity: int = 100) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=150.0, side="BUY")


def amend(client: StoreClient, obj: Trade, times: int = 1) -> None:
    for _ in range(times):
        obj.quantity += 1
        client.update(obj)


def join(store: StoreDatabase, group: str, user: str) -> None:
    with closing(store.admin()) as conn:
        if group in {found.name for found in groups.list_groups(conn)}:
            groups.add_members(conn, group, [user])
        else:
            groups.create_group(conn, group, [user])


def leave(store: StoreDatabase, group: str, user: str) -> None:
    with closing(store.admin()) as conn:
        groups.remove_members(conn, group, [user])


class Listening:
    """A listener, and what it has delivered: (entity, version, backfill) of each event."""

    def __init__(self, store: StoreDatabase, user: str, **options: object) -> None:
        self.events: list[ChangeEvent] = []
        bus = EventBus()
        bus.on_all(self.events.append)
        self.listener = SubscriptionListener(bus, **store.login(user), **options)  # type: ignore[arg-type]

    def told(self) -> list[tuple[str, int, bool]]:
        return [(event.entity_id, event.version, event.backfill) for event in self.events]

    def wait_for(self, *expected: tuple[str, int, bool]) -> None:
        wait_until(lambda: len(self.events) >= len(expected), message=lambda: str(self.told()))
        assert self.told() == list(expected)


@contextmanager
def listening(store: StoreDatabase, user: str = "bob", **options: object) -> Iterator[Listening]:
    made = Listening(store, user, **options)
    with made.listener:
        yield made


def stream(store: StoreDatabase, user: str = "bob", batch: int = 2_000) -> list[tuple[str, int, bool]]:
    """Read a user's whole stream from the log's beginning."""
    reader = LogReader({**store.login(user)})
    reader.position = BEGINNING
    rows: list[LogRow] = []
    try:
        while True:
            found = wait_until(lambda: reader.read(batch) or (not reader.waits and ([], None)))
            batch_rows, position = found
            rows += batch_rows
            if position is None:
                break
            assert position > reader.position
            assert all(reader.position < row.position <= position for row in batch_rows)
            reader.position = position
    finally:
        reader.close()
    assert [row.position for row in rows] == sorted({row.position for row in rows})
    return [(row.metadata.entity_id, row.metadata.version, row.granted_at > 0) for row in rows]


def versions(entity_id: str, numbers: Sequence[int], backfill: bool) -> list[tuple[str, int, bool]]:
    return [(entity_id, number, backfill) for number in numbers]


def test_entity_shared_later_arrives_with_its_history_and_goes_on_in_order(store_db: StoreDatabase) -> None:
    alice, obj = store_db.client("alice"), trade()
    with listening(store_db) as bob:
        entity = alice.write(obj)
        amend(alice, obj, 2)
        share_read(alice.conn, entity, "bob")
        amend(alice, obj)
        expected = [*versions(entity, [1, 2, 3], True), (entity, 4, False)]
        bob.wait_for(*expected)
    assert stream(store_db) == expected
    assert stream(store_db, batch=1) == expected
    assert stream(store_db, batch=2) == expected
    created = bob.events[0]
    assert (created.event_type, created.updated_by, created.state) == ("CREATED", "alice", None)
    assert created.tx_time == alice.history(Trade, entity)[0].tx_time


def test_entity_shared_with_a_group_arrives_with_each_member(store_db: StoreDatabase) -> None:
    alice, obj = store_db.client("alice"), trade()
    join(store_db, "rates", "bob")
    with listening(store_db) as bob, listening(store_db, "carol") as carol:
        entity = alice.write(obj)
        share_read(alice.conn, entity, "rates")
        amend(alice, obj)
        bob.wait_for((entity, 1, True), (entity, 2, False))
        own = store_db.client("carol").write(trade())
        carol.wait_for((own, 1, False))


def test_member_who_joins_later_gets_the_history_of_what_the_group_may_read(store_db: StoreDatabase) -> None:
    alice, first, second, foreign = store_db.client("alice"), trade(), trade(), trade()
    join(store_db, "rates", "carol")
    alice.write_many([first, second, foreign])
    assert first.entity_id and second.entity_id
    share_read(alice.conn, first.entity_id, "rates")
    amend(alice, first)
    share_write(alice.conn, second.entity_id, "rates")
    with listening(store_db) as bob:
        join(store_db, "rates", "bob")
        amend(alice, second)
        expected = [
            (first.entity_id, 1, True),
            (second.entity_id, 1, True),
            (first.entity_id, 2, True),
            (second.entity_id, 2, False),
        ]
        bob.wait_for(*expected)
        leave(store_db, "rates", "bob")
        amend(alice, second)
        own = store_db.client("bob").write(trade())
        bob.wait_for(*expected, (own, 1, False))
        join(store_db, "rates", "bob")
        bob.wait_for(*expected, (own, 1, False), (second.entity_id, 3, True))
    for batch in (1, 2, 3, 2_000):
        assert stream(store_db, batch=batch) == [
            (own, 1, False),
            (first.entity_id, 1, True),
            (second.entity_id, 1, True),
            (first.entity_id, 2, True),
            (second.entity_id, 2, True),
            (second.entity_id, 3, True),
        ]


def test_entity_unshared_arrives_no_more_and_shared_again_brings_what_was_missed(store_db: StoreDatabase) -> None:
    alice, obj = store_db.client("alice"), trade()
    with listening(store_db) as bob:
        entity = alice.write(obj)
        share_read(alice.conn, entity, "bob")
        bob.wait_for((entity, 1, True))
        unshare(alice.conn, entity, "bob")
        amend(alice, obj)
        own = store_db.client("bob").write(trade())
        bob.wait_for((entity, 1, True), (own, 1, False))
        share_read(alice.conn, entity, "bob")
        # The bus had the first version already; a listener without that memory would get both.
        bob.wait_for((entity, 1, True), (own, 1, False), (entity, 2, True))
    assert stream(store_db) == [(own, 1, False), (entity, 1, True), (entity, 2, True)]


def test_entities_of_a_group_that_is_dropped_arrive_no_more(store_db: StoreDatabase) -> None:
    alice, obj = store_db.client("alice"), trade()
    join(store_db, "rates", "bob")
    entity = alice.write(obj)
    with listening(store_db) as bob:
        share_read(alice.conn, entity, "rates")
        bob.wait_for((entity, 1, True))
        with closing(store_db.admin()) as conn:
            groups.drop_group(conn, "rates")
        amend(alice, obj)
        own = store_db.client("bob").write(trade())
        bob.wait_for((entity, 1, True), (own, 1, False))
        join(store_db, "rates", "bob")
        amend(alice, obj)
        second = store_db.client("bob").write(trade())
        bob.wait_for((entity, 1, True), (own, 1, False), (second, 1, False))


def test_entity_unshared_before_a_slow_listener_gets_to_it_does_not_arrive(store_db: StoreDatabase) -> None:
    alice, obj = store_db.client("alice"), trade()
    with listening(store_db, subscriber_id="late"):
        pass
    entity = alice.write(obj)
    share_read(alice.conn, entity, "bob")
    amend(alice, obj, 3)
    unshare(alice.conn, entity, "bob")
    own = store_db.client("bob").write(trade())
    with listening(store_db, subscriber_id="late") as bob:
        bob.wait_for((own, 1, False))


def test_second_grant_of_what_is_in_view_brings_nothing_again(store_db: StoreDatabase) -> None:
    alice, obj = store_db.client("alice"), trade()
    join(store_db, "rates", "bob")
    entity = alice.write(obj)
    share_read(alice.conn, entity, "bob")
    share_write(alice.conn, entity, "bob")
    share_read(alice.conn, entity, "rates")
    unshare_read(alice.conn, entity, "bob")
    amend(alice, obj)
    assert stream(store_db) == [(entity, 1, True), (entity, 2, False)]
    unshare(alice.conn, entity, "bob")
    amend(alice, obj)
    # What bob has now, he has from the group, and that was granted later than the first event.
    assert stream(store_db) == [(entity, 1, True), (entity, 2, False), (entity, 3, False)]


def test_entity_readable_from_its_first_event_is_no_backfill(store_db: StoreDatabase) -> None:
    join(store_db, "rates", "bob")
    alice, obj = store_db.client("alice", readers=["rates"], writers=["carol"]), trade()
    with listening(store_db) as bob, listening(store_db, "carol") as carol:
        entity = alice.write(obj)
        amend(alice, obj)
        bob.wait_for(*versions(entity, [1, 2], False))
        carol.wait_for(*versions(entity, [1, 2], False))


def test_user_who_reads_all_gets_every_event_at_its_own_place(store_db: StoreDatabase) -> None:
    auditor = store_db.provision("auditor", reads_all=True)
    alice, obj = store_db.client("alice"), trade()
    entity = alice.write(obj)
    share_read(alice.conn, entity, auditor)
    amend(alice, obj)
    assert stream(store_db, auditor) == versions(entity, [1, 2], False)
    assert stream(store_db, "alice") == versions(entity, [1, 2], False)


def test_listener_of_one_type_gets_no_history_of_others(store_db: StoreDatabase) -> None:
    alice = store_db.client("alice")
    other = Order(symbol="AAPL", quantity=1, price=1.0, side="BUY")
    with listening(store_db, types=[Order]) as bob:
        ids = alice.write_many([trade(), other])
        for entity in ids:
            share_read(alice.conn, entity, "bob")
        bob.wait_for((ids[1], 1, True))
        assert bob.events[0].state == other.state


def test_grant_in_an_open_transaction_is_neither_overtaken_nor_lost(store_db: StoreDatabase) -> None:
    alice, obj = store_db.client("alice"), trade()
    entity = alice.write(obj)
    with listening(store_db, poll_seconds=0.05) as bob:
        with alice.transaction():
            share_read(alice.conn, entity, "bob")
            own = store_db.client("bob").write(trade())
            threading.Event().wait(0.3)  # several polls
            assert bob.events == []
        bob.wait_for((entity, 1, True), (own, 1, False))


def test_rolled_back_grant_brings_nothing(store_db: StoreDatabase) -> None:
    alice, obj = store_db.client("alice"), trade()
    entity = alice.write(obj)
    with listening(store_db) as bob:
        with pytest.raises(StoreError, match="deliberate"), alice.transaction():
            share_read(alice.conn, entity, "bob")
            raise StoreError("deliberate")
        own = store_db.client("bob").write(trade())
        bob.wait_for((own, 1, False))


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
    bob.listener._bus.on_all(lambda event: go_on.wait(30))
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


def test_entity_granted_again_and_again_comes_once_where_it_came_last(store_db: StoreDatabase) -> None:
    alice, obj = store_db.client("alice"), trade()
    entity = alice.write(obj)
    join(store_db, "rates", "bob")
    for principal in ("bob", "rates", "bob", "rates"):
        share_read(alice.conn, entity, principal)
        amend(alice, obj)  # in view, at its own place
        unshare(alice.conn, entity, principal)
        amend(alice, obj)
    share_read(alice.conn, entity, "bob")
    amend(alice, obj)
    expected = [*versions(entity, range(1, 10), True), (entity, 10, False)]
    assert stream(store_db) == expected
    assert stream(store_db, batch=1) == expected
    # Shared with the group as well: that brings nothing, and once the other grant is gone it has brought nothing less.
    share_read(alice.conn, entity, "rates")
    assert stream(store_db) == expected
    unshare(alice.conn, entity, "bob")
    assert stream(store_db) == expected
    leave(store_db, "rates", "bob")
    assert stream(store_db) == []
    join(store_db, "rates", "bob")
    assert stream(store_db) == [*versions(entity, range(1, 11), True)]


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
    taken = []
    for _ in range(2):
        began = time.perf_counter()
        assert len(stream(store_db)) == 201
        taken.append(time.perf_counter() - began)
        with closing(store_db.admin()) as conn, conn, conn.cursor() as cursor:  # as years of sharing would
            cursor.execute(
                "INSERT INTO store.share_events (seq, entity_id, version, tx_time, action, access, principal, grantor,"
                " place) SELECT nextval('store.share_seq'), %s, 1, now(), CASE n %% 2 WHEN 0 THEN 'SHARED' ELSE"
                " 'UNSHARED' END, 'READ', 'carol', 'alice', nextval('store.event_seq')"
                " FROM generate_series(1, 40000) n",
                (entity,),
            )
    assert taken[1] < 10 * taken[0] + 1.0
