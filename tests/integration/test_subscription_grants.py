"""What comes into a listener's view later arrives with its history, in order; what leaves it arrives no more."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from store import groups
from store.errors import StoreError
from store.models import Order, Trade
from store.permissions import share_read, share_write, unshare, unshare_read
from tests.fix_postgres import StoreDatabase
from tests.integration.streams import amend, join, leave, listening, stream, trade, versions

pytestmark = pytest.mark.both_servers


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
