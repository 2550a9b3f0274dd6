"""Batches in which one's own entities stand beside others': refused as a whole, alike, and at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from tests.integration.hostile.conftest import MISSING, Attacker
from tests.integration.hostile.test_forging import APPEND, APPEND_BATCH, own_entity

pytestmark = pytest.mark.both_servers

BOTH = pytest.mark.parametrize("statement", [APPEND, APPEND_BATCH], ids=["append_events", "append_batch"])


def change(entity_id: str | None, **facts: Any) -> dict[str, Any]:
    item = {"entity_id": entity_id, "type_name": "Trade", "version": 1, "event_type": "UPDATED", "changes": {"x": 1}}
    return item | facts


@pytest.fixture
def own(bob: Attacker) -> list[str]:
    """Two entities of bob's own."""
    return [own_entity(bob)[0] for _ in range(2)]


@BOTH
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"version": 2},
        {"version": 3},
        {"type_name": "Order"},
        {"event_type": "DELETED", "version": 2},
        {"event_type": "STATE_CHANGE", "state": "X", "workflow": True, "version": 2},
        {"changes": {"x": "y" * 5_000_000}, "version": 2},
        {"changes": None, "version": 2},
        {"valid_from": "infinity", "version": 2},
        {"valid_from": "-infinity", "version": 2},
        {"valid_from": "294276-12-31T23:59:59.999999Z", "version": 2},
        {"valid_from": "2001-01-01", "valid_to": "2000-01-01", "version": 2},
    ],
    ids=lambda facts: " ".join(facts) or "as it is",
)
def test_foreign_entity_and_missing_one_answer_alike_among_one_s_own(
    bob: Attacker, own: list[str], statement: str, place: int, facts: dict[str, Any]
) -> None:
    answers = []
    for entity_id in (bob.scene.secret, MISSING):
        items = [change(one) for one in own]
        items.insert(place, change(entity_id, **facts))
        answers.append(bob.attempt(statement, json.dumps(items)).replace(entity_id, "<id>"))
    assert answers[0] == answers[1]
    assert answers[0].startswith("TS001")
    logged = bob.run("SELECT count(*) FROM store.object_events WHERE entity_id = ANY (%s::uuid[])", own)
    assert logged == [(2,)], "nothing of the batch was written"


@BOTH
@pytest.mark.parametrize(
    "odd",
    [
        [None],
        [{}],
        [{"entity_id": None}],
        [[]],
        ["x"],
        [change(None)],
        [{**change(MISSING), "entity_id": [MISSING]}],
        [{**change(MISSING), "version": 2**31}],
        [{**change(MISSING), "version": "1; SELECT 1"}],
        [{**change(MISSING), "valid_from": "allballs"}],
        [{**change(MISSING), "valid_from": "1e999"}],
    ],
)
def test_batch_with_an_element_that_is_none_writes_nothing(
    bob: Attacker, own: list[str], statement: str, odd: list[Any]
) -> None:
    for items in ([*map(change, own), *odd], [*odd, *map(change, own)]):
        with pytest.raises(psycopg2.Error):
            bob.run(statement, json.dumps(items))
    assert bob.run("SELECT version FROM store.object_heads WHERE entity_id = ANY (%s::uuid[])", own) == [(1,), (1,)]


@BOTH
def test_successive_versions_of_one_entity_in_one_batch_are_refused(
    bob: Attacker, own: list[str], statement: str
) -> None:
    items = [change(own[0]), change(own[1]), change(own[0], version=2)]
    with pytest.raises(psycopg2.Error) as caught:
        bob.run(statement, json.dumps(items))
    assert caught.value.pgcode == "TS003"
    items = [change(own[0]), change(bob.scene.secret, version=2), change(own[0])]
    assert bob.attempt(statement, json.dumps(items)).startswith("TS001")


@BOTH
def test_keys_are_told_apart_by_user_and_by_request(bob: Attacker, own: list[str], statement: str) -> None:
    keyed = statement.replace("NULL", f"'taken {own[0]}'")
    bob.run(keyed, json.dumps([change(own[0])]))
    answer = bob.attempt(keyed, json.dumps([change(own[0]), change(own[1])]))
    assert answer.startswith("TS007")
    create = f"SELECT * FROM store.create_batch(%s, '{{}}', '{{}}', false, 'taken {own[0]}')"
    assert bob.attempt(create, '[{"type_name": "Trade", "data": {}}]').startswith("TS007")


def test_forged_facts_of_a_batch_are_stamped_over(bob: Attacker, own: list[str]) -> None:
    forged = {"owner": "alice", "updated_by": "alice", "version": 1, "tx_time": "2001-01-01", "state": "SETTLED"}
    bob.run(APPEND_BATCH, json.dumps([forged | change(entity_id) for entity_id in own]))
    logged = "SELECT updated_by, state, tx_time > '2020-01-01' FROM store.object_events WHERE entity_id = %s"
    for entity_id in own:
        assert bob.run(f"{logged} AND version = 2", entity_id) == [("bob", None, True)]
    item = {"type_name": "Trade", "data": {}} | forged
    ((ids, owner),) = bob.run(
        "SELECT entity_ids::text[], owner FROM store.create_batch(%s, '{}', '{}', false, NULL)", json.dumps([item] * 2)
    )
    assert owner == "bob"
    head = "SELECT owner, updated_by, readers, writers, tx_time > '2020-01-01' FROM store.object_heads"
    assert bob.run(f"{head} WHERE entity_id = ANY (%s::uuid[])", ids) == [("bob", "bob", [], [], True)] * 2


@pytest.mark.parametrize("names", ["{nobody}", "{NULL}", "{store_owner}", "{alice,''}"])
@pytest.mark.parametrize(
    "call", ["store.create_batch(%s, %s, '{}', false, NULL)", "store.create_batch(%s, '{}', %s, false, NULL)"]
)
def test_batch_for_nobody_s_name_is_refused(bob: Attacker, names: str, call: str) -> None:
    with pytest.raises(psycopg2.Error):
        bob.run(f"SELECT * FROM {call}", json.dumps([{"type_name": "Trade", "data": {}}] * 2), names)


@pytest.fixture
def held(bob: Attacker) -> Iterator[None]:
    """Alice's transaction, in which she holds what bob may not change, and a key of the name that bob uses."""
    scene = bob.scene
    conn = scene.db.connect("alice")
    with conn.cursor() as cursor:
        cursor.execute("SELECT store.lock_batch(%s::uuid[])", ([scene.secret, scene.readable],))
        cursor.execute(
            "SELECT FROM store.create_batch(%s, '{}', '{}', false, 'of both')",
            ('[{"type_name": "Trade", "data": {}}]',),
        )
        cursor.execute("SELECT store.save_checkpoint('of both', 1)")
    yield
    conn.rollback()
    conn.close()


CALLS = [
    ("SELECT * FROM store.append_events('[{}]', false, NULL)", {"TS001", "TS002"}),
    ("SELECT * FROM store.append_batch('[{}]', false, NULL)", {"TS001", "TS002"}),
    ("SELECT store.share('{id}', 'carol', 'READ')", {"TS001", "TS002"}),
    ("SELECT store.unshare('{id}', 'carol', '{{READ}}')", {"TS001", "TS002"}),
    ("SELECT store.lock_batch('{{{id}}}')", {None}),
    ("SELECT store.settle(1000)", {None}),
    ("SELECT * FROM store.create_batch('[]', '{{}}', '{{}}', false, 'of both')", {None}),
    ("SELECT store.save_checkpoint('of both', 2)", {None}),
]


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("target", ["secret", "readable"])
@pytest.mark.parametrize(("text", "expected"), CALLS)
def test_what_another_holds_is_not_waited_for(bob: Attacker, target: str, text: str, expected: set[str | None]) -> None:
    entity_id = getattr(bob.scene, target)
    item = json.dumps(change(entity_id, version=2))
    bob.run("SET lock_timeout = '5s'")  # a call that waits tells that there is something, and fails here with 55P03
    sent = text.replace("[{}]", f"[{item}]") if "[{}]" in text else text.format(id=entity_id)
    try:
        bob.run(sent)
        code = None
    except psycopg2.Error as error:
        code = error.pgcode
    assert code in expected
