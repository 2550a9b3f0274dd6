"""The side effects of transitions: what joins the transaction, what comes after it, and that each fires once."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator

import pytest

from store.client import StoreClient
from store.errors import StateMachineError
from store.state_machine import StateMachine, Transition
from store.subscriptions import ChangeEvent, EventBus
from tests.fix_postgres import StoreDatabase
from tests.integration.deals import Deal, Effects, trail, written
from tests.integration.samples import Position, assert_as_read, whole


@pytest.fixture(scope="module")
def module_client(module_store_db: StoreDatabase) -> StoreClient:
    return module_store_db.client()


@pytest.fixture
def client(module_client: StoreClient) -> Iterator[StoreClient]:
    Effects.clear(module_client)
    yield module_client
    Effects.clear(module_client)


def test_transition_action_sees_the_new_state_and_its_writes_join(client: StoreClient) -> None:
    obj = written(client, quantity=7)
    client.transition(obj, "FILLED")
    (settlement,) = Effects.written
    assert_as_read(client, settlement)
    assert settlement.quantity == 7
    assert settlement.tx_time == obj.tx_time
    assert Effects.log == [
        ("action", "FILLED", 7, "PENDING", "FILLED"),
        ("on_exit", "FILLED", 7, "PENDING", "FILLED"),
        ("on_enter", "FILLED", 7, "PENDING", "FILLED"),
    ]


def test_transition_whose_action_fails_leaves_nothing_behind(client: StoreClient) -> None:
    obj = written(client, quantity=7)
    obj.price = 3.0
    Effects.failing = {"action"}
    before, settled = whole(obj), client.count(Position)
    with pytest.raises(RuntimeError, match="action failed"):
        client.transition(obj, "FILLED")
    assert whole(obj) == before
    (settlement,) = Effects.written
    assert settlement.entity_id is None
    assert trail(client, obj) == [("CREATED", "PENDING")]
    assert client.count(Position) == settled
    assert [entry[0] for entry in Effects.log] == ["action"]
    Effects.failing = set()
    client.transition(obj, "FILLED")
    assert (obj.state, obj.price) == ("FILLED", 3.0)


def test_transition_whose_hooks_fail_is_committed_and_logs_each(
    client: StoreClient, caplog: pytest.LogCaptureFixture
) -> None:
    obj = written(client)
    Effects.failing = {"on_exit", "on_enter"}
    with caplog.at_level(logging.ERROR):
        client.transition(obj, "SEEN")
    assert obj.state == "SEEN"
    assert_as_read(client, obj)
    assert [entry[0] for entry in Effects.log] == ["on_exit", "on_enter"]
    errors = [record for record in caplog.records if record.name == "store.transitions"]
    assert [record.exc_info[1].args for record in errors if record.exc_info and record.exc_info[1]] == [
        ("on_exit failed",),
        ("on_enter failed",),
    ]
    assert all(str(obj.entity_id) in record.getMessage() for record in errors)


@pytest.mark.parametrize("state", ["FILLED", "SEEN"])
def test_transition_hooks_run_after_the_commit_and_before_the_bus(
    module_store_db: StoreDatabase, client: StoreClient, state: str
) -> None:
    bus = EventBus()
    watched = module_store_db.client(event_bus=bus)
    Effects.clear(watched)
    obj = written(watched)
    other = module_store_db.client()

    def told(event: ChangeEvent) -> None:
        Effects.log.append((event.event_type, event.type_name))

    def committed(event: ChangeEvent) -> None:
        found = other.read(Deal, event.entity_id)
        assert found is not None and found.state == state

    bus.on_all(told)
    bus.on(Deal, committed)
    watched.transition(obj, state)
    expected = [("on_exit",), ("on_enter",), ("STATE_CHANGE", "Deal")]
    if state == "FILLED":
        expected = [("action",), *expected, ("CREATED", "Position")]
    assert [entry[:1] if entry[0].islower() else entry for entry in Effects.log] == expected


def test_transition_inside_a_transaction_fires_hooks_after_its_commit(client: StoreClient) -> None:
    obj = written(client)
    with client.transaction():
        client.transition(obj, "FILLED")
        assert [entry[0] for entry in Effects.log] == ["action"]
    assert [entry[0] for entry in Effects.log] == ["action", "on_exit", "on_enter"]


def test_transition_inside_a_transaction_that_rolls_back_fires_no_hook(client: StoreClient) -> None:
    obj = written(client)
    before = whole(obj)
    with pytest.raises(ZeroDivisionError), client.transaction():
        client.transition(obj, "FILLED")
        raise ZeroDivisionError
    assert whole(obj) == before
    assert [entry[0] for entry in Effects.log] == ["action"]
    assert Effects.written[0].entity_id is None
    assert trail(client, obj) == [("CREATED", "PENDING")]


def test_transition_whose_action_fails_inside_a_transaction_leaves_the_rest_of_it(client: StoreClient) -> None:
    first, obj = written(client), written(client)
    Effects.failing = {"action"}
    with client.transaction():
        client.transition(first, "CHECKED")
        with pytest.raises(RuntimeError):
            client.transition(obj, "FILLED")
    assert (first.state, obj.state) == ("CHECKED", "PENDING")
    assert_as_read(client, first)
    assert_as_read(client, obj)


# ---- repeated under a key


def test_transition_repeated_with_its_key_fires_its_effects_once(client: StoreClient) -> None:
    obj = written(client)
    as_before = copy.copy(obj)
    client.transition(obj, "FILLED", idempotency_key="fill-1")
    fired = list(Effects.log)
    client.transition(as_before, "FILLED", idempotency_key="fill-1")
    assert Effects.log == fired
    assert len(Effects.written) == 1
    assert (as_before.state, as_before._metadata) == ("FILLED", obj._metadata)
    assert trail(client, obj) == [("CREATED", "PENDING"), ("STATE_CHANGE", "FILLED")]


def test_transition_that_failed_can_be_repeated_with_its_key(client: StoreClient) -> None:
    obj = written(client)
    Effects.failing = {"action"}
    with pytest.raises(RuntimeError):
        client.transition(obj, "FILLED", idempotency_key="fill-2")
    Effects.failing = set()
    client.transition(obj, "FILLED", idempotency_key="fill-2")
    assert [entry[0] for entry in Effects.log] == ["action", "action", "on_exit", "on_enter"]
    assert obj.state == "FILLED"


def test_transition_whose_action_returns_a_coroutine_is_rolled_back(
    client: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def notify() -> None:
        Effects.log.append(("never", None))

    class Waiting(StateMachine):
        initial = "PENDING"
        transitions = (Transition("PENDING", "FILLED", action=lambda obj, f, t: notify()),)

    monkeypatch.setattr(Deal, "_state_machine", Waiting)
    obj = written(client)
    with pytest.raises(StateMachineError, match="returned a coroutine, which nobody waits for"):
        client.transition(obj, "FILLED")
    assert (obj.state, trail(client, obj)) == ("PENDING", [("CREATED", "PENDING")])


def test_transition_whose_action_is_a_generator_is_rolled_back(
    client: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def book(obj: Deal, from_state: str, to_state: str) -> Iterator[None]:
        Effects.log.append(("never", None))
        yield

    class Yielding(StateMachine):
        initial = "PENDING"
        transitions = (Transition("PENDING", "FILLED", action=book),)

    monkeypatch.setattr(Deal, "_state_machine", Yielding)
    obj = written(client)
    with pytest.raises(StateMachineError, match="returned a generator, of which nothing has run"):
        client.transition(obj, "FILLED")
    assert (obj.state, trail(client, obj), Effects.log) == ("PENDING", [("CREATED", "PENDING")], [])


def test_transition_whose_hook_returns_a_coroutine_is_committed_and_logs_it(
    client: StoreClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def notify() -> None:
        Effects.log.append(("never", None))

    class Waiting(StateMachine):
        initial = "PENDING"
        transitions = (Transition("PENDING", "SEEN", on_enter=lambda obj, f, t: notify()),)

    monkeypatch.setattr(Deal, "_state_machine", Waiting)
    obj = written(client)
    with caplog.at_level(logging.ERROR):
        client.transition(obj, "SEEN")
    assert obj.state == "SEEN"
    assert "returned a coroutine, which nobody waits for" in caplog.text


def test_transition_whose_hook_is_interrupted_is_announced_all_the_same(
    module_store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(obj: Deal, from_state: str, to_state: str) -> None:
        raise KeyboardInterrupt

    class Ending(StateMachine):
        initial = "PENDING"
        transitions = (Transition("PENDING", "SEEN", on_enter=interrupted),)

    monkeypatch.setattr(Deal, "_state_machine", Ending)
    bus = EventBus()
    seen: list[ChangeEvent] = []
    bus.on_all(seen.append)
    client = module_store_db.client(event_bus=bus)
    obj = written(client)
    with pytest.raises(KeyboardInterrupt):
        client.transition(obj, "SEEN")
    assert [event.event_type for event in seen] == ["CREATED", "STATE_CHANGE"]
    assert_as_read(client, obj)
