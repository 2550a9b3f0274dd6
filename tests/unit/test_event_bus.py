"""The event bus by itself: who is called, in which order, and what goes wrong inside callbacks."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest

from store.errors import StoreError
from store.events import Callback, ChangeEvent, EventBus
from store.models import Order, Trade
from tests.waiting import wait_until

ENTITY = "01890000-0000-7000-8000-000000000000"
MOMENT = datetime(2026, 2, 22, 10, tzinfo=timezone.utc)


def event(version: int = 1, entity: str = ENTITY, type_name: str = "Trade") -> ChangeEvent:
    return ChangeEvent(entity, version, "UPDATED", type_name, "alice", None, MOMENT, MOMENT)


def versions(events: list[ChangeEvent]) -> list[int]:
    return [found.version for found in events]


def emit_all(bus: EventBus, numbers: Iterable[int]) -> None:
    for number in numbers:
        bus.emit(event(number))


def in_threads(*calls: Callable[[], Any]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()


def test_on_by_name_class_entity_and_all_are_called_with_their_events() -> None:
    bus = EventBus()
    by_name, by_class, by_entity, everything = (list[ChangeEvent]() for _ in range(4))
    bus.on("Trade", by_name.append)
    bus.on(Trade, by_class.append)
    bus.on_entity(ENTITY, by_entity.append)
    bus.on_all(everything.append)
    other = event(1, str(uuid4()), "Order")
    bus.emit(event(1))
    bus.emit(other)
    assert by_name == by_class == by_entity == [event(1)]
    assert everything == [event(1), other]


def test_on_entity_takes_an_id_in_any_form() -> None:
    bus, seen = EventBus(), list[ChangeEvent]()
    bus.on_entity(ENTITY.upper(), seen.append)
    bus.on_entity(UUID(ENTITY), seen.append)  # type: ignore[arg-type]
    bus.emit(event())
    assert len(seen) == 2
    bus.off_entity(ENTITY, seen.append)
    bus.emit(event(2))
    assert versions(seen) == [1, 1, 2]


def test_off_undoes_one_registration_and_refuses_what_is_not_registered() -> None:
    bus, seen = EventBus(), list[ChangeEvent]()
    bus.on(Trade, seen.append)
    bus.on("Trade", seen.append)
    bus.on_all(seen.append)
    bus.off("Trade", seen.append)
    bus.emit(event(1))
    assert versions(seen) == [1, 1]
    bus.off(Trade, seen.append)
    bus.off_all(seen.append)
    bus.emit(event(2))
    assert versions(seen) == [1, 1]
    for call in (
        lambda: bus.off("Trade", seen.append),
        lambda: bus.off(Order, seen.append),
        lambda: bus.off_entity(ENTITY, seen.append),
        lambda: bus.off_all(seen.append),
    ):
        with pytest.raises(StoreError, match="not registered for"):
            call()


@pytest.mark.parametrize(
    ("register", "message"),
    [
        (lambda bus: bus.on_all("not a function"), "cannot be called"),
        (lambda bus: bus.on(3, print), "3 .int. is neither a type name nor a Storable class"),
        (lambda bus: bus.on("", print), "neither a type name"),
        (lambda bus: bus.on(Trade(), print), "neither a type name"),
        (lambda bus: bus.on(dict, print), "neither a type name"),
        (lambda bus: bus.on_entity("no id", print), "not an entity id"),
        (lambda bus: EventBus(memory=0), "1 or more, not 0"),
    ],
)
def test_registration_of_what_cannot_work_is_refused(register: Callable[[EventBus], None], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        register(EventBus())


def test_coroutine_function_is_refused_with_the_way_to_do_it() -> None:
    async def handle(found: ChangeEvent) -> None: ...

    class Handler:
        async def __call__(self, found: ChangeEvent) -> None: ...

    for callback in (handle, functools.partial(handle), Handler()):
        with pytest.raises(StoreError, match="call_soon_threadsafe"):
            EventBus().on_all(callback)


def test_coroutine_that_a_callback_returns_is_reported_as_its_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(found: ChangeEvent) -> None: ...

    bus = EventBus()
    bus.on_all(lambda found: handle(found))
    bus.emit(event())
    assert "returned a coroutine, which nobody awaits" in caplog.text


def test_callback_that_hands_to_an_asyncio_loop_is_received_there() -> None:
    bus = EventBus()

    async def receive() -> list[int]:
        queue: asyncio.Queue[ChangeEvent] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        bus.on_all(lambda found: loop.call_soon_threadsafe(queue.put_nowait, found))
        await asyncio.to_thread(lambda: emit_all(bus, [1, 2, 3]))
        return [(await asyncio.wait_for(queue.get(), 30)).version for _ in range(3)]

    assert asyncio.run(receive()) == [1, 2, 3]


def test_event_emitted_again_is_delivered_once_within_the_memory_only() -> None:
    bus, seen = EventBus(memory=3), list[ChangeEvent]()
    bus.on_all(seen.append)
    for number in (1, 2, 1, 3, 2, 4):
        bus.emit(event(number))
    assert versions(seen) == [1, 2, 3, 4]
    assert len(bus._seen) == 3
    bus.emit(event(2))
    assert versions(seen) == [1, 2, 3, 4]
    bus.emit(event(1))  # forgotten
    assert versions(seen) == [1, 2, 3, 4, 1]


def test_backfilled_event_is_the_same_event() -> None:
    bus, seen = EventBus(), list[ChangeEvent]()
    bus.on_all(seen.append)
    bus.emit(event())
    bus.emit(event()._replace(backfill=True))
    assert seen == [event()]


def test_events_emitted_by_many_threads_are_delivered_once_each() -> None:
    bus, seen, lock = EventBus(memory=100_000), [], threading.Lock()

    def callback(found: ChangeEvent) -> None:
        with lock:
            seen.append(found.version)

    bus.on_all(callback)
    in_threads(*[lambda: emit_all(bus, range(2_000)) for _ in range(8)])
    assert sorted(seen) == list(range(2_000))
    assert not bus._under_way


def test_failing_callback_is_logged_and_told_and_the_others_are_called(caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[ChangeEvent, Callback, BaseException]] = []
    bus, seen = EventBus(on_error=lambda *facts: told.append(facts)), list[ChangeEvent]()

    def fails(found: ChangeEvent) -> None:
        raise RuntimeError("deliberate")

    bus.on("Trade", fails)
    bus.on("Trade", seen.append)
    with caplog.at_level(logging.ERROR):
        bus.emit(event())
        bus.emit(event(2))
    assert versions(seen) == [1, 2]
    assert [(found.version, callback) for found, callback, _ in told] == [(1, fails), (2, fails)]
    assert {str(error) for *_, error in told} == {"deliberate"}
    assert caplog.text.count("RuntimeError: deliberate") == 2
    assert f"failed on UPDATED of {ENTITY} version 1" in caplog.text


def test_failing_on_error_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    def fails(*facts: object) -> None:
        raise RuntimeError("one after the other")

    bus, seen = EventBus(on_error=fails), list[ChangeEvent]()
    bus.on_all(fails)
    bus.on_all(seen.append)
    bus.emit(event())
    assert versions(seen) == [1]
    assert "on_error failed" in caplog.text


def test_interrupt_in_a_callback_reaches_the_emitter_and_the_event_may_come_again() -> None:
    bus, seen, armed = EventBus(), list[ChangeEvent](), [True]

    def interrupted(found: ChangeEvent) -> None:
        if armed:
            armed.clear()
            bus.emit(event(2))
            raise KeyboardInterrupt

    bus.on_all(interrupted)
    bus.on_all(seen.append)
    with pytest.raises(KeyboardInterrupt):
        bus.emit(event(1))
    assert seen == []
    assert not bus._under_way
    bus.emit(event(1))
    bus.emit(event(2))
    assert versions(seen) == [1, 2]


def test_event_emitted_by_a_callback_follows_the_one_at_hand_for_all_callbacks() -> None:
    bus, first, second = EventBus(), [], []

    def writes_on(found: ChangeEvent) -> None:
        first.append(found.version)
        if found.version < 500:  # deeper than a recursion could go
            bus.emit(event(found.version + 1))
            bus.emit(event(found.version))

    bus.on_all(writes_on)
    bus.on_all(lambda found: second.append(found.version))
    bus.emit(event(1))
    assert first == second == list(range(1, 501))


def test_callback_taken_off_during_a_delivery_is_called_no_more() -> None:
    bus, seen = EventBus(), list[ChangeEvent]()

    def once(found: ChangeEvent) -> None:
        bus.off_all(once)
        bus.off(Trade, seen.append)
        bus.on("Trade", later.append)

    later: list[ChangeEvent] = []
    bus.on_all(once)
    bus.on(Trade, seen.append)
    bus.emit(event(1))
    # By type comes before all events, so the first was delivered before it was taken off.
    assert (versions(seen), versions(later)) == ([1], [])
    bus.emit(event(2))
    assert (versions(seen), versions(later)) == ([1], [2])


def test_callback_taken_off_by_an_earlier_one_is_not_called_for_the_same_event() -> None:
    bus, seen = EventBus(), list[ChangeEvent]()
    bus.on("Trade", lambda found: bus.off_all(seen.append))
    bus.on_all(seen.append)
    bus.emit(event(1))
    assert seen == []


def test_delivery_in_another_thread_is_awaited_and_ones_own_is_not() -> None:
    bus, entered, go_on = EventBus(), threading.Event(), threading.Event()

    def slow(found: ChangeEvent) -> None:
        entered.set()
        go_on.wait(120)

    bus.on_all(slow)
    assert bus.await_settled(event(), 0)
    thread = threading.Thread(target=bus.emit, args=(event(),))
    thread.start()
    assert entered.wait(120)
    bus.emit(event())  # returns at once: it is being delivered
    assert not bus.await_settled(event(), 0.01)
    assert bus.await_settled(event(2), 0)
    go_on.set()
    wait_until(lambda: bus.await_settled(event(), 1))
    thread.join(120)
