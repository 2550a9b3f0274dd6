"""A listener's life: started, stopped, taken over, disturbed, and never stopped by what a callback does."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from store.errors import StoreError
from store.events import ChangeEvent, EventBus
from store.models import Trade
from store.subscriptions import CHECKPOINT_EVENTS, SubscriptionListener
from tests.fix_listener import Listening, checkpoint
from tests.fix_postgres import StoreDatabase
from tests.waiting import wait_until

pytestmark = pytest.mark.both_servers


def trade(quantity: int = 100) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=150.0, side="BUY")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"types": "Trade"}, r"write types=\['Trade'\]"),
        ({"types": Trade}, "takes a list"),
        ({"types": []}, "types is empty"),
        ({"types": [3]}, "neither a type name nor a Storable class"),
        ({"subscriber_id": ""}, "1 to 512 characters"),
        ({"subscriber_id": "x" * 513}, "1 to 512 characters"),
        ({"subscriber_id": "a\0b"}, "NUL"),
        ({"subscriber_id": 7}, "not 7 "),
        ({"poll_seconds": 0}, "above 0"),
        ({"poll_seconds": float("nan")}, "above 0"),
        ({"poll_seconds": float("inf")}, "above 0, of an hour at most, not inf"),
        ({"poll_seconds": "1"}, "above 0, of an hour at most, not '1'"),
    ],
)
def test_listener_asked_for_what_cannot_be_is_refused_when_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        SubscriptionListener(EventBus(), "h", 1, "d", "u", "p", **options)


@pytest.mark.parametrize("bus", [None, print, "bus"])
def test_listener_without_a_bus_is_refused_when_made(bus: Any) -> None:
    with pytest.raises(StoreError, match="event_bus takes an EventBus, not"):
        SubscriptionListener(bus, "h", 1, "d", "u", "p")


def test_listener_stopped_before_start_twice_and_started_again_delivers(
    store_db: StoreDatabase, listen: Callable[..., Listening]
) -> None:
    alice, made = store_db.client(), listen(subscriber_id="again")
    made.listener.stop()
    assert not made.listener.running
    made.listener.start()
    assert made.listener.running
    with pytest.raises(StoreError, match="runs already"):
        made.listener.start()
    first = alice.write(trade())
    made.wait_for([first])
    made.listener.stop()
    made.listener.stop()
    assert not made.listener.running
    with pytest.raises(StoreError, match="does not run"):
        made.listener.lag()
    missed = alice.write(trade())
    made.listener.start()
    made.wait_for([first, missed])


def test_listener_stopped_by_its_callback_ends_after_it_and_can_be_started_again(
    store_db: StoreDatabase, listen: Callable[..., Listening]
) -> None:
    alice, made = store_db.client(), listen(subscriber_id="self-made")
    failures: list[str] = []

    def stop(event: ChangeEvent) -> None:
        made.bus.off_all(stop)
        made.listener.stop()
        made.listener.stop()
        try:
            made.listener.start()
        except StoreError as error:
            failures.append(str(error))

    made.bus.on_all(stop)
    made.listener.start()
    ids = alice.write_many([trade() for _ in range(3)])
    wait_until(lambda: not made.listener.running)
    made.wait_for(ids[:1])
    assert len(failures) == 1
    assert "just stopping" in failures[0]
    made.listener.start()
    made.wait_for(ids)


def test_listener_whose_callback_does_not_return_says_so_and_ends_later(
    store_db: StoreDatabase, listen: Callable[..., Listening]
) -> None:
    alice, made, go_on = store_db.client(), listen(), threading.Event()
    made.bus.on_all(lambda event: go_on.wait(120))
    made.listener.start()
    entity = alice.write(trade())
    made.wait_for([entity])
    with pytest.raises(StoreError, match=r"did not return within 0\.05 s"):
        made.listener.stop(timeout=0.05)
    go_on.set()
    made.listener.stop()
    assert not made.listener.running


def test_second_listener_of_a_subscriber_takes_over_and_the_first_ends(
    store_db: StoreDatabase, listen: Callable[..., Listening], caplog: pytest.LogCaptureFixture
) -> None:
    alice = store_db.client()
    old, new, others = (listen(subscriber_id="risk"), listen(subscriber_id="risk"), listen("bob", subscriber_id="risk"))
    for made in (old, others, new):
        made.listener.start()
    first = alice.write(trade())
    wait_until(lambda: not old.listener.running)
    assert "another listener has taken over subscriber 'risk'" in caplog.text
    second = alice.write(trade())
    new.wait_for([first, second])
    assert old.entities() == [first]  # both deliver until the old one learns of it at its checkpoint
    assert others.listener.running
    with pytest.raises(StoreError, match="does not run"):
        old.listener.lag()
    wait_until(lambda: checkpoint_of(store_db, "alice") > checkpoint_of(store_db, "bob"))


def checkpoint_of(store_db: StoreDatabase, user: str) -> int:
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT seq FROM store.checkpoints WHERE username = %s", (user,))
        [(seq,)] = cursor.fetchall()
        return int(seq)


def test_old_listener_that_was_slow_cannot_move_the_new_ones_checkpoint(
    store_db: StoreDatabase, listen: Callable[..., Listening]
) -> None:
    alice, go_on = store_db.client(), threading.Event()
    old, new = listen(subscriber_id="risk"), listen(subscriber_id="risk")
    old.bus.on_all(lambda event: go_on.wait(120))
    old.listener.start()
    ids = alice.write_many([trade() for _ in range(3)])
    wait_until(lambda: old.events)
    new.bus.on_all(lambda event: new.listener.stop())
    new.listener.start()
    wait_until(lambda: not new.listener.running)
    stands = checkpoint(store_db)
    go_on.set()
    wait_until(lambda: not old.listener.running)
    assert old.entities() == ids
    assert checkpoint(store_db) == stands
    again = listen(subscriber_id="risk")
    again.listener.start()
    again.wait_for(ids[1:])


def test_delivery_waits_while_the_checkpoint_cannot_be_moved(
    store_db: StoreDatabase, listen: Callable[..., Listening], caplog: pytest.LogCaptureFixture
) -> None:
    alice, made = store_db.client(), listen(subscriber_id="window")
    made.listener.start()
    moving = "EXECUTE ON FUNCTION store.move_checkpoint"
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute(f"REVOKE {moving} FROM store_user")
    ids = alice.write_many([trade() for _ in range(250)])
    wait_until(lambda: caplog.text.count("the checkpoint of 'window' stays") >= 3)
    assert made.entities() == ids[:CHECKPOINT_EVENTS]
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute(f"GRANT {moving} TO store_user")
    made.wait_for(ids)


def test_event_of_a_writer_who_sends_no_hint_comes_with_the_next_poll(
    store_db: StoreDatabase, listen: Callable[..., Listening]
) -> None:
    made = listen(poll_seconds=0.2)
    made.listener.start()
    with store_db.connect("alice") as conn, conn.cursor() as cursor:
        item = '[{"type_name": "Trade", "data": {"symbol": "AAPL"}}]'
        cursor.execute("SELECT entity_id::text FROM store.create_objects(%s, '{}', '{}', false, null)", (item,))
        [(entity,)] = cursor.fetchall()
    made.wait_for([entity])


def test_reading_that_the_database_refuses_for_a_while_goes_on_afterwards(
    store_db: StoreDatabase, listen: Callable[..., Listening], caplog: pytest.LogCaptureFixture
) -> None:
    alice, made = store_db.client(), listen(poll_seconds=0.05)
    made.listener.start()
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("REVOKE EXECUTE ON FUNCTION store.watermark FROM store_user")
    wait_until(lambda: "permission denied" in caplog.text)
    entity = alice.write(trade())
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("GRANT EXECUTE ON FUNCTION store.watermark TO store_user")
    made.wait_for([entity])


def test_listener_beyond_a_log_that_lost_numbers_begins_at_its_end(
    store_db: StoreDatabase, listen: Callable[..., Listening]
) -> None:
    # As after a crash: a number that was handed out but never used may be handed out again.
    alice, made = store_db.client(), listen(poll_seconds=0.05)
    first = alice.write(trade())
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT setval('store.event_seq', last_value + 30) FROM store.event_seq")
    made.listener.start()
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT setval('store.event_seq', (SELECT max(seq) FROM store.object_events))")
    reader = made.listener._reader
    assert reader is not None
    wait_until(lambda: reader.position.seq < 30)
    second = alice.write(trade())
    made.wait_for([second])
    assert first != second


def test_lag_asked_from_many_threads_disturbs_nothing(
    store_db: StoreDatabase, listen: Callable[..., Listening]
) -> None:
    alice, made, stop = store_db.client(), listen(), threading.Event()
    made.listener.start()
    lags: list[int] = []

    def ask() -> None:
        while not stop.is_set():
            lags.append(made.listener.lag().events)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    ids = [alice.write(trade()) for _ in range(60)]
    made.wait_for(ids)
    wait_until(lambda: len(lags) > 4)
    stop.set()
    for thread in threads:
        thread.join(120)
    wait_until(lambda: made.listener.lag() == (0, 0.0))


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_stop_in_a_forked_child_leaves_the_parents_listener_alone(
    store_db: StoreDatabase, listen: Callable[..., Listening]
) -> None:
    alice, made = store_db.client(), listen()
    made.listener.start()
    child = os.fork()
    if child == 0:
        made.listener.stop()
        os._exit(3 if made.listener.running else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    entity = alice.write(trade())
    made.wait_for([entity])
