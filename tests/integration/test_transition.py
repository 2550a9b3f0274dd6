"""Transitions through a client: what is checked first, what joins the transaction, what comes after it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from reactive.expr import Const, Field
from store.base import Storable
from store.client import StoreClient, VersionConflict
from store.errors import (
    AccessDenied,
    EntityDeleted,
    GuardFailure,
    InvalidRange,
    InvalidTransition,
    InvalidValue,
    StoreError,
    TransitionNotPermitted,
)
from store.permissions import share_read, share_write
from store.state_machine import StateMachine, Transition
from store.subscriptions import ChangeEvent, EventBus
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import Position, assert_as_read, moment, soon, whole


class Effects:
    """What the hooks of the machine below did, and what they are told to do."""

    log: ClassVar[list[tuple[Any, ...]]] = []
    client: ClassVar[StoreClient]
    failing: ClassVar[set[str]] = set()
    written: ClassVar[list[Position]] = []

    @classmethod
    def clear(cls, client: StoreClient) -> None:
        cls.client = client
        cls.log, cls.failing, cls.written = [], set(), []

    @classmethod
    def note(cls, hook: str, obj: Any, from_state: str, to_state: str) -> None:
        cls.log.append((hook, obj.state, obj.quantity, from_state, to_state))
        if hook in cls.failing:
            raise RuntimeError(f"{hook} failed")


def settle(obj: Any, from_state: str, to_state: str) -> None:
    """Write another entity and change the object, unsaved, before anything can fail."""
    made = Position(quantity=obj.quantity, label="settlement")
    Effects.client.write(made)
    Effects.written.append(made)
    obj.symbol = "EDIT"
    Effects.note("action", obj, from_state, to_state)


class Lifecycle(StateMachine):
    initial = "PENDING"
    transitions = (
        Transition("PENDING", "CHECKED", guard=Field("quantity") > Const(0)),
        Transition("PENDING", "VETOED", allowed_by=["bob"], guard=Field("quantity") > Const(0)),
        Transition(
            "PENDING",
            "FILLED",
            action=settle,
            on_exit=lambda obj, f, t: Effects.note("on_exit", obj, f, t),
            on_enter=lambda obj, f, t: Effects.note("on_enter", obj, f, t),
        ),
        Transition(
            "PENDING",
            "SEEN",
            on_exit=lambda obj, f, t: Effects.note("on_exit", obj, f, t),
            on_enter=lambda obj, f, t: Effects.note("on_enter", obj, f, t),
        ),
        Transition("CHECKED", "PENDING"),
        Transition("FILLED", "SETTLED"),
    )


@dataclass
class Deal(Storable, state_machine=Lifecycle):
    symbol: str = "AAPL"
    quantity: int = 1
    price: float = 0.0


@pytest.fixture(scope="module")
def module_client(module_store_db: StoreDatabase) -> StoreClient:
    return module_store_db.client()


@pytest.fixture
def client(module_client: StoreClient) -> Iterator[StoreClient]:
    Effects.clear(module_client)
    yield module_client
    Effects.clear(module_client)


@pytest.fixture(scope="module")
def bob(module_store_db: StoreDatabase) -> StoreClient:
    return module_store_db.client("bob")


def written(client: StoreClient, **fields: Any) -> Deal:
    obj = Deal(**fields)
    client.write(obj)
    return obj


def trail(client: StoreClient, obj: Storable) -> list[tuple[str, str | None]]:
    return [(entry["event_type"], entry["state"]) for entry in client.audit(str(obj.entity_id))]


# ---- the event


def test_write_of_a_class_with_a_machine_starts_in_its_initial_state(client: StoreClient) -> None:
    assert written(client).state == "PENDING"


def test_transition_stores_unsaved_changes_with_the_state(client: StoreClient) -> None:
    obj = written(client, quantity=1)
    obj.quantity = 2
    client.transition(obj, "CHECKED")
    assert (obj.state, obj.quantity, obj.version, obj.event_type) == ("CHECKED", 2, 2, "STATE_CHANGE")
    assert_as_read(client, obj)
    entry = client.audit(str(obj.entity_id))[-1]
    assert entry["changes"] == {"quantity": {"old": 1, "new": 2}}
    assert (entry["event_type"], entry["state"], entry["valid_from"]) == ("STATE_CHANGE", "CHECKED", entry["tx_time"])


def test_transition_back_and_forth_keeps_every_state_in_history(client: StoreClient) -> None:
    obj = written(client)
    for state in ("CHECKED", "PENDING", "CHECKED"):
        client.transition(obj, state)
    states = [item.state for item in client.history(Deal, str(obj.entity_id))]
    assert states == ["PENDING", "CHECKED", "PENDING", "CHECKED"]


def test_update_after_a_transition_keeps_the_state(client: StoreClient) -> None:
    obj = written(client)
    client.transition(obj, "CHECKED")
    obj.price = 5.0
    client.update(obj)
    assert (obj.state, obj.event_type) == ("CHECKED", "UPDATED")
    assert_as_read(client, obj)


def test_transition_backdated_sets_the_state_from_then(client: StoreClient) -> None:
    obj = Deal()
    entity_id = client.write(obj, valid_from=moment(1))
    client.transition(obj, "CHECKED", valid_from=moment(5))
    assert (obj.event_type, obj.state, obj.valid_from) == ("STATE_CHANGE", "CHECKED", moment(5))
    for day, state in ((1, "PENDING"), (4.9, "PENDING"), (5, "CHECKED")):
        found = client.as_of(Deal, entity_id, valid_time=moment(day))
        assert found is not None and found.state == state
    client.transition(obj, "PENDING", valid_from=moment(5))  # not before: the same moment is fine
    assert obj.state == "PENDING"
    assert_as_read(client, obj)


def test_transition_before_the_latest_change_of_state_is_refused(client: StoreClient) -> None:
    obj = Deal()
    client.write(obj, valid_from=moment(1))
    client.transition(obj, "CHECKED", valid_from=moment(5))
    before = whole(obj)
    with pytest.raises(InvalidRange, match="latest change of state"):
        client.transition(obj, "PENDING", valid_from=moment(5) - timedelta(microseconds=1))
    assert whole(obj) == before


def test_transition_before_the_start_of_the_entity_is_refused(client: StoreClient) -> None:
    obj = Deal()
    client.write(obj, valid_from=moment(1))
    with pytest.raises(InvalidRange):
        client.transition(obj, "CHECKED", valid_from=moment(0))


def test_transition_into_the_future_is_refused(client: StoreClient) -> None:
    obj = written(client)
    before = whole(obj)
    with pytest.raises(InvalidRange, match="future"):
        client.transition(obj, "CHECKED", valid_from=soon(10**9))
    assert whole(obj) == before


def test_transition_of_an_entity_that_starts_later_is_refused(client: StoreClient) -> None:
    obj = Deal()
    client.write(obj, valid_from=soon(10**9))
    with pytest.raises(InvalidRange):
        client.transition(obj, "CHECKED")


# ---- the checks, in their order


def test_transition_without_an_edge_names_the_states_that_can_be_reached(client: StoreClient) -> None:
    obj = written(client, quantity=0)
    with pytest.raises(InvalidTransition) as caught:
        client.transition(obj, "SETTLED")
    assert (caught.value.from_state, caught.value.to_state) == ("PENDING", "SETTLED")
    assert caught.value.allowed == ("CHECKED", "VETOED", "FILLED", "SEEN")


@pytest.mark.parametrize("state", ["checked", "CHEKED", "", "x\x00y", "'; DROP TABLE x", None, 5])
def test_transition_to_what_is_no_state_is_invalid(client: StoreClient, state: Any) -> None:
    obj = written(client)
    before = whole(obj)
    with pytest.raises(InvalidTransition):
        client.transition(obj, state)
    assert whole(obj) == before


def test_transition_without_machine_is_invalid(client: StoreClient) -> None:
    obj = Position()
    client.write(obj)
    with pytest.raises(InvalidTransition, match="Position has no state machine"):
        client.transition(obj, "CHECKED")


def test_transition_of_an_unwritten_object_says_to_write_it(client: StoreClient) -> None:
    with pytest.raises(StoreError, match=r"write\(\)"):
        client.transition(Deal(), "CHECKED")


def test_transition_permission_is_checked_before_the_guard(client: StoreClient) -> None:
    obj = written(client, quantity=0)
    with pytest.raises(TransitionNotPermitted) as caught:
        client.transition(obj, "VETOED")
    assert isinstance(caught.value, PermissionError)
    assert (caught.value.user, caught.value.allowed_by) == ("alice", ("bob",))


def test_transition_by_an_allowed_user_with_write_access_passes(client: StoreClient, bob: StoreClient) -> None:
    obj = written(client)
    share_write(client.conn, str(obj.entity_id), "bob")
    theirs = bob.read(Deal, str(obj.entity_id))
    assert theirs is not None
    bob.transition(theirs, "VETOED")
    assert (theirs.state, theirs.updated_by, theirs.owner) == ("VETOED", "bob", "alice")


def test_transition_by_a_reader_is_forbidden(client: StoreClient, bob: StoreClient) -> None:
    obj = written(client)
    share_read(client.conn, str(obj.entity_id), "bob")
    theirs = bob.read(Deal, str(obj.entity_id))
    assert theirs is not None
    before = whole(theirs)
    with pytest.raises(AccessDenied):
        bob.transition(theirs, "CHECKED")
    assert whole(theirs) == before


def test_transition_guard_reads_unsaved_changes_and_tells_the_values(client: StoreClient) -> None:
    obj = written(client, quantity=0)
    before = whole(obj)
    with pytest.raises(GuardFailure) as caught:
        client.transition(obj, "CHECKED")
    assert caught.value.values == {"quantity": 0}
    assert whole(obj) == before
    obj.quantity = 1
    client.transition(obj, "CHECKED")
    assert_as_read(client, obj)


def test_transition_with_an_unsaved_value_that_is_not_allowed_is_refused(client: StoreClient) -> None:
    obj = written(client)
    obj.price = -1.0
    before = whole(obj)
    with pytest.raises(InvalidValue):
        client.transition(obj, "FILLED")
    assert whole(obj) == before
    assert Effects.log == []


def test_transition_of_an_outdated_object_conflicts_and_fires_nothing(client: StoreClient) -> None:
    obj = written(client)
    twin = copy.copy(obj)
    client.update(twin)
    before = whole(obj)
    with pytest.raises(VersionConflict):
        client.transition(obj, "FILLED")
    assert whole(obj) == before
    assert Effects.log == []


def test_transition_of_a_deleted_entity_is_refused(client: StoreClient) -> None:
    obj = written(client)
    client.delete(obj)
    with pytest.raises(EntityDeleted):
        client.transition(obj, "FILLED")
    assert Effects.log == []


def test_transition_of_an_object_read_at_an_earlier_valid_time_starts_from_the_present_state(
    client: StoreClient,
) -> None:
    obj = Deal()
    entity_id = client.write(obj, valid_from=moment(1))
    client.transition(obj, "FILLED", valid_from=moment(5))
    old = client.as_of(Deal, entity_id, valid_time=moment(2))
    assert old is not None and (old.state, old.version) == ("PENDING", 2)
    before = whole(old)
    with pytest.raises(InvalidTransition) as caught:
        client.transition(old, "CHECKED")  # an edge of PENDING; the entity is FILLED
    assert (caught.value.from_state, caught.value.to_state) == ("FILLED", "CHECKED")
    assert whole(old) == before
    assert trail(client, obj) == [("CREATED", "PENDING"), ("STATE_CHANGE", "FILLED")]


def test_transition_after_a_deletion_of_the_past_starts_from_the_present_state(client: StoreClient) -> None:
    obj = Deal()
    client.write(obj, valid_from=moment(1))
    client.transition(obj, "CHECKED", valid_from=moment(5))
    client.delete(obj, valid_from=moment(2), valid_to=moment(3))
    assert (obj.state, obj.event_type) == ("CHECKED", "DELETED")
    client.transition(obj, "PENDING")
    assert_as_read(client, obj)


# ---- side effects


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
