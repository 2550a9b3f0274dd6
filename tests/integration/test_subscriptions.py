"""The event bus and the listener: every event, once to a bus, in order, over crashes and restarts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from store.errors import ConnectionLost
from store.events import ChangeEvent, EventBus
from store.models import Order, Trade
from store.permissions import share_read
from store.subscriptions import SubscriptionListener
from tests.fix_postgres import StoreDatabase
from tests.waiting import wait_until

pytestmark = pytest.mark.both_servers

LISTENERS_OF_BOB = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE usename = 'bob' AND query ~ 'watermark|fence_passed|read_log|LISTEN'"
)


def trade(quantity: int = 100) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=150.0, side="BUY")


class Recorder:
    """Collects events from a bus of its own."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.events: list[ChangeEvent] = []
        self.bus.on_all(self.events.append)

    def wait_for(self, count: int) -> list[ChangeEvent]:
        wait_until(lambda: len(self.events) >= count, message=lambda: f"{count} events, there are {len(self.events)}")
        return self.events


@contextmanager
def listening(
    store_db: StoreDatabase, recorder: Recorder, user: str = "alice", **options: object
) -> Iterator[SubscriptionListener]:
    listener = SubscriptionListener(event_bus=recorder.bus, **store_db.login(user), **options)  # type: ignore[arg-type]
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()


def test_bus_calls_by_type_entity_and_all_with_the_facts_of_the_event(store_db: StoreDatabase) -> None:
    bus = EventBus()
    by_name, by_class, by_entity, everything = ([] for _ in range(4))  # type: ignore[var-annotated]
    bus.on("Trade", by_name.append)
    bus.on(Trade, by_class.append)
    bus.on_all(everything.append)
    client = store_db.client(event_bus=bus)
    obj, other = trade(1), Order(symbol="AAPL", quantity=1, price=1.0, side="BUY")
    entity_id = client.write(obj)
    bus.on_entity(entity_id, by_entity.append)
    client.write(other)
    obj.quantity = 2
    client.update(obj)
    client.delete(obj)
    assert [event.event_type for event in by_name] == ["CREATED", "UPDATED", "DELETED"]
    assert by_class == by_name
    assert [event.version for event in by_entity] == [2, 3]
    assert len(everything) == 4
    created = by_name[0]
    assert (created.entity_id, created.version, created.type_name, created.updated_by) == (
        entity_id,
        1,
        "Trade",
        "alice",
    )
    assert (created.tx_time, created.valid_from) == (client.history(Trade, entity_id)[0].tx_time,) * 2


def test_bus_with_a_failing_callback_logs_it_and_calls_the_others(
    store_db: StoreDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()

    def fails(event: ChangeEvent) -> None:
        raise RuntimeError("deliberate")

    bus = EventBus()
    bus.on("Trade", fails)
    bus.on("Trade", recorder.events.append)
    with caplog.at_level(logging.ERROR):
        store_db.client(event_bus=bus).write(trade())
    assert len(recorder.events) == 1
    assert "deliberate" in caplog.text


def test_listener_delivers_what_others_write_after_its_start(store_db: StoreDatabase) -> None:
    recorder = Recorder()
    client = store_db.client()
    client.write(trade(1))
    with listening(store_db, recorder):
        ids = client.write_many([trade(2), trade(3)])
        events = recorder.wait_for(2)
    assert [event.entity_id for event in events] == ids


def test_listener_and_client_on_one_bus_deliver_each_event_once(store_db: StoreDatabase) -> None:
    recorder, witness = Recorder(), Recorder()
    client = store_db.client(event_bus=recorder.bus)
    with listening(store_db, recorder), listening(store_db, witness):
        for number in range(20):
            client.write(trade(number + 1))
        witness.wait_for(20)
        store_db.client().write(trade(99))
        recorder.wait_for(21)
    assert len({(event.entity_id, event.version) for event in recorder.events}) == len(recorder.events) == 21


def test_listener_sees_only_what_its_user_may_read(store_db: StoreDatabase) -> None:
    recorder = Recorder()
    alice, bob = store_db.client("alice"), store_db.client("bob")
    with listening(store_db, recorder, "bob"):
        hidden = alice.write(trade(1))
        shared = alice.write(trade(2))
        share_read(alice.conn, shared, "bob")
        obj = alice.read(Trade, shared)
        assert obj is not None
        obj.quantity = 3
        alice.update(obj)
        own = bob.write(trade(4))
        wait_until(lambda: own in {event.entity_id for event in recorder.events})
    seen = {event.entity_id for event in recorder.events}
    assert hidden not in seen
    assert shared in seen


def test_listener_by_type_delivers_that_type_only(store_db: StoreDatabase) -> None:
    recorder = Recorder()
    client = store_db.client()
    with listening(store_db, recorder, types=[Order]):
        client.write(trade())
        client.write(Order(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
        assert [event.type_name for event in recorder.wait_for(1)] == ["Order"]


def test_listener_with_subscriber_id_goes_on_where_it_stopped(store_db: StoreDatabase) -> None:
    client = store_db.client()
    first, second = Recorder(), Recorder()
    with listening(store_db, first, subscriber_id="risk_engine"):
        before = client.write(trade(1))
        first.wait_for(1)
    missed = client.write_many([trade(2), trade(3)])
    with listening(store_db, second, subscriber_id="risk_engine"):
        events = second.wait_for(2)
    assert [event.entity_id for event in events] == missed
    assert before not in {event.entity_id for event in events}


def test_checkpoint_of_one_user_is_not_another_users(store_db: StoreDatabase) -> None:
    alice = store_db.client("alice")
    with listening(store_db, Recorder(), "alice", subscriber_id="shared name"):
        pass
    missed = alice.write(trade(1))
    with listening(store_db, Recorder(), "bob", subscriber_id="shared name"):
        pass
    recorder = Recorder()
    with listening(store_db, recorder, "alice", subscriber_id="shared name"):
        assert [event.entity_id for event in recorder.wait_for(1)] == [missed]


def test_listener_from_the_beginning_replays_the_whole_log_in_order(store_db: StoreDatabase) -> None:
    client = store_db.client()
    obj = trade(1)
    entity_id = client.write(obj)
    for number in range(2, 6):
        obj.quantity = number
        client.update(obj)
    recorder = Recorder()
    with listening(store_db, recorder, from_beginning=True):
        events = recorder.wait_for(5)
    assert [(event.entity_id, event.version) for event in events] == [(entity_id, number) for number in range(1, 6)]


def test_listener_whose_connection_is_killed_misses_and_repeats_nothing(store_db: StoreDatabase) -> None:
    recorder = Recorder()
    client = store_db.client("bob")
    admin = store_db.admin()
    admin.autocommit = True
    with listening(store_db, recorder, "bob"):
        ids = []
        for number in range(30):
            ids.append(client.write(trade(number + 1)))
            if number % 10 == 5:
                with admin.cursor() as cursor:
                    cursor.execute(LISTENERS_OF_BOB)
        recorder.wait_for(30)
    assert [event.entity_id for event in recorder.events] == ids


def test_watermark_is_passed_once_nothing_older_can_still_be_written(store_db: StoreDatabase) -> None:
    alice, reader = store_db.client("alice"), store_db.connect("bob")
    reader.autocommit = True

    def watermark(after: int = 0) -> tuple[int, bool, bool | None]:
        with reader.cursor() as cursor:
            cursor.execute("SELECT seq, fence IS NOT NULL, passed FROM store.watermark(%s)", (after,))
            row = cursor.fetchone()
            assert row is not None
            return row

    alice.write(trade())
    wait_until(lambda: watermark() == (1, True, True))
    assert watermark(1) == (1, False, None)
    with alice.transaction():
        alice.write(trade())
        store_db.client("alice").write(trade())
        assert watermark() == (3, True, False)
    wait_until(lambda: watermark() == (3, True, True))

    reader.autocommit = False
    reader.set_session(isolation_level="REPEATABLE READ")
    assert watermark(9) == (3, False, None)
    alice.write(trade())
    assert watermark() == (4, True, False), "nothing that was committed since the snapshot is in it"


def test_event_of_a_slow_transaction_is_not_overtaken_and_not_lost(store_db: StoreDatabase) -> None:
    slow, quick, recorder = store_db.client(), store_db.client(), Recorder()
    with listening(store_db, recorder, poll_seconds=0.05):
        with slow.transaction():
            late = slow.write(trade(1))
            early = quick.write(trade(2))
            threading.Event().wait(0.3)  # several polls: the committed event must wait for the open one
            assert recorder.events == []
        recorder.wait_for(2)
    assert [event.entity_id for event in recorder.events] == [late, early]


def test_listener_with_a_failing_callback_goes_on(store_db: StoreDatabase, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()

    def fails(event: ChangeEvent) -> None:
        raise RuntimeError("deliberate")

    recorder.bus.on("Trade", fails)
    client = store_db.client()
    with listening(store_db, recorder):
        client.write(trade(1))
        client.write(trade(2))
        recorder.wait_for(2)
    assert caplog.text.count("RuntimeError: deliberate") == 2


def test_lag_counts_what_a_slow_callback_has_not_had_yet(store_db: StoreDatabase) -> None:
    recorder, client = Recorder(), store_db.client()
    go_on = threading.Event()
    recorder.bus.on("Trade", lambda event: go_on.wait(120))
    with listening(store_db, recorder) as listener:
        assert listener.lag() == (0, 0.0)
        client.write_many([trade(number + 1) for number in range(5)])
        recorder_started = wait_until(lambda: listener.lag().events)
        assert recorder_started == 5
        assert listener.lag().seconds > 0
        go_on.set()
        wait_until(lambda: listener.lag().events == 0)


def test_listener_with_a_wrong_password_fails_at_start(store_db: StoreDatabase) -> None:
    listener = SubscriptionListener(event_bus=EventBus(), **{**store_db.login("bob"), "password": "wrong"})
    with pytest.raises(ConnectionLost, match="bob"):
        listener.start()
