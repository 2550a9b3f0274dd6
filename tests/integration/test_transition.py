"""Transitions through a client: the event they leave, and the checks before it, in their order."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

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
from tests.fix_postgres import StoreDatabase
from tests.integration.deals import Deal, Effects, trail, written
from tests.integration.samples import Position, assert_as_read, moment, soon, whole

pytestmark = pytest.mark.both_servers


@pytest.fixture(scope="module")
def module_client(module_store_db: StoreDatabase) -> StoreClient:
    return module_store_db.client()


@pytest.fixture
def client(module_client: StoreClient) -> Iterator[StoreClient]:
    Effects.clear(module_client)
    yield module_client
    Effects.clear(module_client)


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
