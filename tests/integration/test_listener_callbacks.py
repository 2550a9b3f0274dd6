"""What a listener delivers: to callbacks that are slow, write or exit; and just what the client tells its own bus."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import pytest

from store.errors import StoreError
from store.events import ChangeEvent, EventBus
from store.models import Trade
from tests.fix_listener import Listening, checkpoint
from tests.fix_postgres import StoreDatabase
from tests.integration.deals import Deal
from tests.waiting import wait_until

pytestmark = pytest.mark.both_servers


def trade(quantity: int = 100) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=150.0, side="BUY")


def test_slow_callback_slows_only_its_own_listener(store_db: StoreDatabase, listen: Callable[..., Listening]) -> None:
    alice, go_on = store_db.client(), threading.Event()
    slow, quick = listen(), listen()
    slow.bus.on_all(lambda event: go_on.wait(120))
    slow.listener.start()
    quick.listener.start()
    ids = [alice.write(trade()) for _ in range(30)]
    quick.wait_for(ids)
    wait_until(lambda: slow.entities() == ids[:1])
    go_on.set()
    slow.wait_for(ids)


def test_checkpoint_does_not_pass_an_event_that_the_client_is_still_delivering(
    store_db: StoreDatabase, listen: Callable[..., Listening]
) -> None:
    made, entered, go_on = listen(subscriber_id="shared bus"), threading.Event(), threading.Event()

    def slow_for_the_client(event: ChangeEvent) -> None:
        if threading.current_thread() is writer:
            entered.set()
            go_on.wait(120)

    made.bus.on_all(slow_for_the_client)
    made.listener.start()
    before = checkpoint(store_db)
    client = store_db.client(event_bus=made.bus)
    writer = threading.Thread(target=client.write, args=(trade(),))
    writer.start()
    assert entered.wait(120)
    reader = made.listener._reader
    assert reader is not None
    wait_until(lambda: reader._target > before)
    threading.Event().wait(0.3)  # the listener has read the event, and would have moved on
    assert checkpoint(store_db) == before
    go_on.set()
    writer.join(120)
    wait_until(lambda: checkpoint(store_db) > before)
    assert len(made.events) == 1


def test_callback_that_exits_does_not_end_the_listener(
    store_db: StoreDatabase, listen: Callable[..., Listening], caplog: pytest.LogCaptureFixture
) -> None:
    alice, made = store_db.client(), listen()
    made.bus.on_all(lambda event: sys.exit(1))
    made.listener.start()
    ids = [alice.write(trade()) for _ in range(2)]
    made.wait_for(ids)
    wait_until(lambda: caplog.text.count("tried to end the listener") == 2)  # said after the event was delivered
    assert made.listener.running


def test_callback_that_writes_is_announced_once_and_in_order(
    store_db: StoreDatabase, listen: Callable[..., Listening]
) -> None:
    made, second = listen(), list[tuple[str, int]]()
    client = store_db.client(event_bus=made.bus)

    def confirm(event: ChangeEvent) -> None:
        if event.version < 5:
            obj = client.read(Trade, event.entity_id)
            assert obj is not None
            obj.quantity += 1
            client.update(obj)

    made.bus.on(Trade, confirm)
    made.bus.on_all(lambda event: second.append((event.entity_id, event.version)))
    made.listener.start()
    entity = store_db.client().write(trade())
    wait_until(lambda: made.listener.lag().events == 0)
    assert second == [(entity, number) for number in range(1, 6)]
    assert [event.version for event in made.events] == [1, 2, 3, 4, 5]


def test_listener_and_client_tell_the_same_of_every_event(
    store_db: StoreDatabase, listen: Callable[..., Listening]
) -> None:
    made, announced = listen(), list[ChangeEvent]()
    bus = EventBus()
    bus.on_all(announced.append)
    client = store_db.client(event_bus=bus)
    made.listener.start()
    deal = Deal(quantity=100)
    client.write(deal)
    deal.quantity = 200
    client.update(deal)
    with client.transaction():
        client.transition(deal, "CHECKED")
        deal.price = 2.0
        client.update(deal)
    client.delete(deal)
    client.write(trade())
    wait_until(lambda: len(made.events) >= len(announced) == 6)
    assert made.events == announced
    assert [event.state for event in announced] == ["PENDING", "PENDING", "CHECKED", "CHECKED", "CHECKED", None]


def test_what_was_rolled_back_reaches_neither_bus(store_db: StoreDatabase, listen: Callable[..., Listening]) -> None:
    made, announced = listen(), list[ChangeEvent]()
    bus = EventBus()
    bus.on_all(announced.append)
    client = store_db.client(event_bus=bus)
    made.listener.start()
    with pytest.raises(StoreError, match="deliberate"), client.transaction():
        client.write(trade())
        with pytest.raises(StoreError, match="inner"), client.transaction():
            client.write(trade())
            raise StoreError("inner")
        assert announced == []
        raise StoreError("deliberate")
    with client.transaction():
        with pytest.raises(StoreError, match="inner"), client.transaction():
            client.write(trade())
            raise StoreError("inner")
        kept = client.write(trade())
        assert announced == []
    made.wait_for([kept])
    assert [event.entity_id for event in announced] == [kept]
