"""Calls made to write what is another's, under another's name, at another time, over what stands; and odd arguments."""

from __future__ import annotations

import json
from typing import Any

import psycopg2
import pytest

from store import groups
from store.models import Trade
from store.permissions import share_write, unshare
from tests.integration.hostile.conftest import MISSING, Attacker, Scene

pytestmark = pytest.mark.both_servers

CREATE = "SELECT * FROM store.create_objects(%s, '{}', '{}', false, NULL)"
APPEND = "SELECT * FROM store.append_events(%s, false, NULL)"
APPEND_BATCH = "SELECT * FROM store.append_batch(%s, false, NULL)"
FORGERIES = {
    "owner": "alice",
    "updated_by": "alice",
    "tx_time": "2001-01-01T00:00:00Z",
    "version": 7,
    "seq": -5,
    "entity_id": MISSING,
    "readers": ["alice", "carol"],
    "writers": ["carol"],
    "acl": [""],
    "session_user": "alice",
    "username": "alice",
    "folded_at": "2001-01-01T00:00:00Z",
    "present": False,
    "event_type": "DELETED",
}


def event(entity_id: str, **facts: Any) -> str:
    item = {"entity_id": entity_id, "type_name": "Trade", "version": 1, "event_type": "UPDATED", "changes": {}}
    return json.dumps([item | facts])


def own_entity(bob: Attacker, **facts: Any) -> Any:
    item = {"type_name": "Trade", "data": {"symbol": "MINE"}}
    return bob.run(CREATE, json.dumps([item | facts]))[0]


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_fact_of_a_new_entity_is_stamped_over(bob: Attacker, name: str) -> None:
    entity_id, version, owner, updated_by, tx_time, *_ = own_entity(bob, **{name: FORGERIES[name]})
    assert (version, owner, updated_by) == (1, "bob", "bob")
    assert entity_id != MISSING and tx_time.year > 2020
    head = "SELECT owner, readers, writers, present FROM store.object_heads WHERE entity_id = %s"
    assert bob.run(head, entity_id) == [("bob", [], [], True)]
    logged = "SELECT version, event_type, updated_by, seq > 0 FROM store.object_events WHERE entity_id = %s"
    assert bob.run(logged, entity_id) == [(1, "CREATED", "bob", True)]


@pytest.mark.parametrize("name", [name for name in FORGERIES if name not in ("version", "entity_id", "event_type")])
@pytest.mark.parametrize("others", [0, 1], ids=["alone", "among others"])
def test_forged_fact_of_a_change_is_stamped_over(bob: Attacker, name: str, others: int) -> None:
    ids = [own_entity(bob)[0] for _ in range(1 + others)]
    items = [json.loads(event(entity_id, **{name: FORGERIES[name]}))[0] for entity_id in ids]
    for row in bob.run(APPEND, json.dumps(items)):
        assert (row[1], row[2], row[3]) == (2, "bob", "bob")
        assert row[4].year > 2020
        head = "SELECT owner, readers, writers, updated_by FROM store.object_heads WHERE entity_id = %s"
        assert bob.run(head, row[0]) == [("bob", [], [], "bob")]


THEN, SOON = "2020-06-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"
MOVE: dict[str, Any] = {"event_type": "STATE_CHANGE", "from_state": "OPEN", "state": "DONE"}


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"type_name": "Order"}, "TS004"),
        ({"version": 2}, "TS003"),
        ({"version": 0}, "TS003"),
        ({"version": None}, "TS003"),
        *(({"event_type": kind}, "TS008") for kind in ("CREATED", "CORRECTED", "SHARED", "")),
        ({"event_type": None}, None),
        ({"valid_from": THEN, "valid_to": THEN}, "TS005"),
        ({"valid_from": SOON, "valid_to": THEN}, "TS005"),
        ({"valid_from": "infinity"}, "TS005"),
        ({**MOVE, "from_state": "DONE"}, "TS011"),
        ({**MOVE, "from_state": None}, "TS011"),
        ({**MOVE, "valid_to": SOON}, "TS005"),
        ({**MOVE, "valid_from": SOON}, "TS009"),
        ({**MOVE, "valid_from": THEN}, "TS009"),
    ],
)
@pytest.mark.parametrize("others", [0, 1], ids=["alone", "among others"])
def test_change_that_our_client_would_not_send_is_refused_and_nothing_logged(
    bob: Attacker, facts: dict[str, Any], code: str | None, others: int
) -> None:
    ids = [own_entity(bob, state="OPEN")[0] for _ in range(1 + others)]
    items = [json.loads(event(entity_id))[0] for entity_id in ids]
    items[-1] |= facts
    with pytest.raises(psycopg2.Error) as caught:
        bob.run(APPEND, json.dumps(items))
    assert code is None or caught.value.pgcode == code, caught.value
    logged = "SELECT count(*) FROM store.object_events WHERE entity_id = ANY (%s::uuid[])"
    assert bob.run(logged, ids) == [(1 + others,)]


def test_change_over_a_time_at_which_the_entity_is_deleted_is_refused(bob: Attacker) -> None:
    entity_id = own_entity(bob)[0]
    bob.run(APPEND, event(entity_id, event_type="DELETED", valid_from=SOON))
    for facts in ({}, {"valid_from": SOON}, {"valid_from": "3000-01-01T00:00:00Z"}, {"event_type": "DELETED"}):
        with pytest.raises(psycopg2.Error) as caught:
            bob.run(APPEND, event(entity_id, version=2, **facts))
        assert caught.value.pgcode == "TS006"
    assert bob.run(APPEND, event(entity_id, version=2, valid_to=SOON))[0][1] == 3


@pytest.mark.parametrize("target", ["secret", "readable"])
@pytest.mark.parametrize("kind", ["UPDATED", "DELETED", "STATE_CHANGE", "CREATED", "CORRECTED"])
@pytest.mark.parametrize("others", [0, 1], ids=["alone", "among one's own"])
@pytest.mark.parametrize("statement", [APPEND, APPEND_BATCH], ids=["append_events", "append_batch"])
def test_event_on_another_s_entity_is_refused(
    bob: Attacker, statement: str, target: str, kind: str, others: int
) -> None:
    own = [json.loads(event(own_entity(bob)[0]))[0]] * others
    items = own + json.loads(event(getattr(bob.scene, target), version=2, event_type=kind, state="X"))
    with pytest.raises(psycopg2.Error) as caught:
        bob.run(statement, json.dumps(items))
    assert caught.value.pgcode == ("TS001" if target == "secret" else "TS002")


@pytest.mark.parametrize("version", [0, 1, 3, -1, 2147483647, None])
@pytest.mark.parametrize("statement", [APPEND, APPEND_BATCH], ids=["append_events", "append_batch"])
def test_event_at_another_version_than_the_newest_is_refused(
    bob: Attacker, statement: str, version: int | None
) -> None:
    with pytest.raises(psycopg2.Error) as caught:
        bob.run(statement, event(bob.scene.writable, version=version))
    assert caught.value.pgcode == "TS003"


@pytest.mark.parametrize("statement", [APPEND, APPEND_BATCH], ids=["append_events", "append_batch"])
def test_same_version_sent_twice_in_one_call_is_refused(bob: Attacker, statement: str) -> None:
    item = json.loads(event(own_entity(bob)[0]))
    with pytest.raises(psycopg2.errors.UniqueViolation):
        bob.run(statement, json.dumps(item * 2))


def test_lock_of_a_batch_takes_what_its_caller_may_change_only(bob: Attacker) -> None:
    scene = bob.scene
    bob.run("BEGIN")
    bob.run("SELECT store.lock_batch(%s::uuid[])", [scene.secret, scene.readable, scene.writable])
    with scene.db.admin() as admin, admin.cursor() as cursor:
        lock = "SELECT FROM store.object_heads WHERE entity_id = ANY (%s::uuid[]) FOR UPDATE NOWAIT"
        cursor.execute(lock, ([scene.secret, scene.readable],))
        assert cursor.rowcount == 2
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            cursor.execute(lock, ([scene.writable],))
        admin.rollback()
    bob.run("ROLLBACK")


def test_state_is_not_changed_by_what_is_no_change_of_state(bob: Attacker) -> None:
    entity_id = own_entity(bob, state="PENDING")[0]
    bob.run(APPEND, event(entity_id, state="SETTLED"))
    bob.run(APPEND, event(entity_id, version=2, event_type="DELETED", state="SETTLED"))
    states = bob.run("SELECT state FROM store.object_events WHERE entity_id = %s ORDER BY version", entity_id)
    assert states == [("PENDING",), (None,), (None,)]
    with pytest.raises(psycopg2.errors.CheckViolation):
        own_entity(bob, data={"state": "SETTLED"})


@pytest.mark.parametrize(
    "text",
    [
        "SELECT store.share('{secret}', 'bob', 'READ')",
        "SELECT store.share('{secret}', 'bob', 'WRITE')",
        "SELECT store.share('{readable}', 'bob', 'WRITE')",
        "SELECT store.share('{readable}', 'carol', 'READ')",
        "SELECT store.share('{writable}', '', 'READ')",
        "SELECT store.share('{writable}', 'PUBLIC', 'READ')",
        "SELECT store.share('{writable}', 'alice', 'READ')",
        "SELECT store.share('{writable}', NULL, 'READ')",
        "SELECT store.share('{writable}', 'carol', 'OWNER')",
        "SELECT store.share('{writable}', 'carol', NULL)",
        "SELECT store.unshare('{writable}', 'alice', '{{READ,WRITE}}')",
        "SELECT store.unshare('{readable}', 'carol', '{{READ}}')",
        "SELECT store.unshare('{secret}', 'confidential desk', '{{READ}}')",
        "SELECT store.share(NULL, 'carol', 'READ')",
    ],
)
def test_grant_that_is_not_bob_s_to_make_is_refused(bob: Attacker, text: str) -> None:
    scene = bob.scene
    with pytest.raises(psycopg2.Error) as caught:
        bob.run(text.format(secret=scene.secret, readable=scene.readable, writable=scene.writable))
    assert caught.value.pgcode in ("TS001", "TS002", "TS008", "TS010", "23514", "23502")


def test_writer_does_not_withdraw_what_the_owner_granted(bob: Attacker) -> None:
    scene = bob.scene
    entity_id = scene.write("LENT", writers=["bob"], readers=["carol"])
    bob.before = scene.state()
    with pytest.raises(psycopg2.Error, match="only the owner"):
        bob.run("SELECT store.unshare(%s, 'carol', '{READ}')", entity_id)


@pytest.mark.parametrize("drop", [True, False], ids=["group dropped", "member removed"])
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_old_snapshot_keeps_no_right_to_change(bob: Attacker, level: str, drop: bool) -> None:
    scene = bob.scene
    with scene.db.admin() as admin:
        name = f"lent desk {level} {drop}"
        groups.create_group(admin, name, ["bob"])
    entity_id = scene.write("LENT", writers=[name])
    bob.run(f"BEGIN ISOLATION LEVEL {level}")
    bob.run("SELECT FROM store.object_heads")
    with scene.db.admin() as admin:
        if drop:
            groups.drop_group(admin, name)
        else:
            groups.remove_members(admin, name, ["bob"])
    bob.before = scene.state()
    calls = [
        ("SELECT FROM store.share(%s, 'bob', 'WRITE')", entity_id),
        ("SELECT FROM store.unshare(%s, 'carol', '{WRITE}')", entity_id),
        (APPEND, event(entity_id, version=2)),
        (CREATE, '[{"type_name": "Trade", "data": {}}]'),
        (APPEND_BATCH, event(entity_id, version=2)),
        (CREATE.replace("create_objects", "create_batch"), '[{"type_name": "Trade", "data": {}}]'),
        ("SELECT store.lock_batch(ARRAY[%s]::uuid[])", entity_id),
    ]
    bob.run("SAVEPOINT held")
    for text, argument in calls:
        assert bob.attempt(text, argument).startswith("40001")
        bob.run("ROLLBACK TO SAVEPOINT held")


def test_access_withdrawn_is_withdrawn_at_once_in_open_sessions(bob: Attacker) -> None:
    scene = bob.scene
    entity_id = scene.write("LENT", writers=["bob"])
    bob.run(APPEND, event(entity_id, version=2))
    unshare(scene.alice.conn, entity_id, "bob")
    bob.before = scene.state()
    with pytest.raises(psycopg2.Error) as caught:
        bob.run(APPEND, event(entity_id, version=3))
    assert caught.value.pgcode == "TS001"
    share_write(scene.alice.conn, entity_id, "bob")
    bob.before = scene.state()


@pytest.mark.parametrize(
    "readers", ["{nobody}", "{''}", '{""}', "{NULL}", "{alice,store_owner}", "{postgres}", "{{bob}}"]
)
def test_new_entity_for_nobody_s_name_is_refused(bob: Attacker, readers: str) -> None:
    item = json.dumps([{"type_name": "Trade", "data": {}}])
    for arguments in ("%s, %s, '{}'", "%s, '{}', %s"):
        with pytest.raises(psycopg2.Error):
            bob.run(f"SELECT * FROM store.create_objects({arguments}, false, NULL)", item, readers)


ODD_ARGUMENTS = [
    "SELECT * FROM store.create_objects(NULL, NULL, NULL, NULL, NULL)",
    "SELECT * FROM store.create_objects('{}', '{}', '{}', false, NULL)",
    "SELECT * FROM store.create_objects('null', '{}', '{}', false, NULL)",
    "SELECT * FROM store.create_objects('[]', '{}', '{}', true, '')",
    "SELECT * FROM store.create_objects('[]', '{}', '{}', true, repeat('k', 513))",
    "SELECT * FROM store.create_objects('[null, 1, [], {}]', '{}', '{}', false, NULL)",
    "SELECT * FROM store.create_objects('[{\"type_name\": null, \"data\": null}]', '{}', '{}', false, NULL)",
    "SELECT * FROM store.create_objects('[{\"type_name\": \"T\", \"data\": []}]', '{}', '{}', false, NULL)",
    'SELECT * FROM store.create_objects(\'[{"type_name": "T", "data": {}}]\', NULL, NULL, false, NULL)',
    'SELECT * FROM store.create_objects(\'[{"type_name": "T", "data": {}, "valid_from": "infinity"}]\', \'{}\','
    " '{}', false, NULL)",
    'SELECT * FROM store.create_objects(\'[{"type_name": "T", "data": {}, "valid_to": "-infinity"}]\', \'{}\','
    " '{}', false, NULL)",
    "SELECT * FROM store.create_objects(repeat('[', 100000)::jsonb, '{}', '{}', false, NULL)",
    "SELECT * FROM store.create_object(NULL, NULL)",
    "SELECT * FROM store.create_object('{}', false)",
    "SELECT * FROM store.create_object('[null]', true)",
    'SELECT * FROM store.create_object(\'[{"type_name": "T", "data": {}}, {}]\', false)',
    "SELECT * FROM store.append_events(NULL, NULL, NULL)",
    "SELECT * FROM store.append_events('[{}]', false, NULL)",
    'SELECT * FROM store.append_events(\'[{"entity_id": "x"}]\', false, NULL)',
    "SELECT * FROM store.append_events('[1, \"a\"]', true, 'key')",
    "SELECT * FROM store.append_batch(NULL, NULL, NULL)",
    "SELECT * FROM store.append_batch('[]', NULL, NULL)",
    "SELECT * FROM store.append_batch('[{}]', false, NULL)",
    "SELECT * FROM store.append_batch('[1, \"a\"]', true, 'key')",
    "SELECT * FROM store.create_batch(NULL, NULL, NULL, NULL, NULL)",
    "SELECT * FROM store.create_batch('{}', '{}', '{}', false, NULL)",
    "SELECT * FROM store.create_batch('[null, 1, [], {}]', '{}', '{}', false, NULL)",
    "SELECT * FROM store.create_batch('[{\"type_name\": null, \"data\": null}]', '{}', '{}', false, NULL)",
    'SELECT * FROM store.create_batch(\'[{"type_name": "T", "data": {}}]\', NULL, NULL, false, NULL)',
    "SELECT store.lock_batch(NULL)",
    "SELECT store.lock_batch('{NULL}')",
    "SELECT * FROM store.read_log(NULL, NULL, NULL, NULL, NULL)",
    "SELECT * FROM store.read_log(0, 9, NULL, -1, true)",
    "SELECT * FROM store.first_matches(NULL, NULL, NULL, NULL, NULL)",
    "SELECT * FROM store.first_matches('Trade', 'null', NULL, NULL, -5)",
    "SELECT * FROM store.objects_as_of('Trade', '-infinity', 'infinity')",
    "SELECT * FROM store.objects_now('Trade', NULL)",
    "SELECT * FROM store.objects_now('Trade', ARRAY(SELECT gen_random_uuid() FROM generate_series(1, 10000)))",
    "SELECT store.save_checkpoint(NULL, NULL)",
    "SELECT store.save_checkpoint(repeat('s', 513), 1)",
    "SELECT store.save_checkpoint('mine', 9223372036854775807)",
    "SELECT store.lacking_fields(NULL, NULL)",
    "SELECT store.lacking_fields('Trade', ARRAY(SELECT 'f' || n FROM generate_series(1, 10000) n))",
    "SELECT store.watermark(NULL)",
    "SELECT store.unshare(NULL, NULL, NULL)",
    "SELECT * FROM store.append_batch('[]', NULL, NULL, NULL)",
    "SELECT * FROM store.watermark(9223372036854775807)",
    "SELECT * FROM store.watermark(-9223372036854775808)",
    "SELECT * FROM store.read_stream(9223372036854775807, 0, 9223372036854775807, NULL, 10, true)",
    "SELECT * FROM store.read_stream(-9223372036854775808, NULL, 9223372036854775807, '{NULL}', 10, NULL)",
    "SELECT * FROM store.read_stream(0, 0, 9000000000, NULL, -1, false)",
    "SELECT * FROM store.log_lag(-9223372036854775808, NULL, '{NULL}')",
    "SELECT * FROM store.claim_checkpoint('mine', NULL)",
    "SELECT store.move_checkpoint('mine', NULL, NULL, NULL)",
    "SELECT * FROM store.stretch('infinity', '-infinity')",
    "SELECT store.lacking_fields('Trade', '{{a},{b}}')",
    "SELECT store.settle(NULL)",
    "SELECT store.settle(-1)",
    "SELECT store.settle(2147483647)",
]


@pytest.mark.parametrize("text", ODD_ARGUMENTS)
def test_odd_arguments_harm_nobody(bob: Attacker, text: str) -> None:
    bob.attempt(text)
    assert bob.run("SELECT 1") == [(1,)], "the session, and the server, live"
    assert bob.scene.alice.count(Trade) > 0


def test_caller_s_settings_do_not_reach_into_the_functions(bob: Attacker) -> None:
    bob.run(
        "SET search_path = pg_temp, public; SET datestyle = 'SQL, DMY'; SET timezone = 'Asia/Kolkata';"
        " SET intervalstyle = 'iso_8601'; SET extra_float_digits = -15; SET bytea_output = 'escape';"
        " SET array_nulls = off; SET xmloption = document; SET transform_null_equals = on;"
        " SET default_transaction_isolation = 'serializable'; SET gin_fuzzy_search_limit = 1"
    )
    created = CREATE.replace("*", "entity_id::text, owner")
    ((entity_id, owner),) = bob.run(created, '[{"type_name": "Trade", "data": {}, "valid_from": "2026-02-01 10:00"}]')
    assert owner == "bob"
    assert bob.run(APPEND.replace("*", "version"), event(entity_id)) == [(2,)]
    with pytest.raises(psycopg2.Error) as caught:
        bob.run(APPEND, event(bob.scene.secret, version=2))
    assert caught.value.pgcode == "TS001"
    bob.run("SET row_security = off")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        bob.run("TABLE store.object_heads")


def test_every_function_of_the_owner_has_a_safe_path_and_is_granted_by_name(scene: Scene) -> None:
    with scene.db.admin() as admin, admin.cursor() as cursor:
        cursor.execute(
            "SELECT proname, proconfig, proowner::regrole::text FROM pg_proc"
            " WHERE pronamespace = 'store'::regnamespace AND prosecdef"
        )
        for name, settings, owner in cursor.fetchall():
            assert "search_path=pg_catalog, store, pg_temp" in (settings or []), name
            assert owner == "store_owner", name
        cursor.execute(
            "SELECT count(*) FROM pg_proc p WHERE pronamespace = 'store'::regnamespace AND NOT prosecdef"
            " AND (has_function_privilege('bob', p.oid, 'EXECUTE'))"
        )
        assert cursor.fetchone() == (0,), "whatever users may call runs as the owner, and looks who calls"
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'store'::regnamespace AND relkind = 'r'"
            " AND NOT (relrowsecurity AND relforcerowsecurity AND relowner = 'store_owner'::regrole)"
        )
        assert cursor.fetchall() == []
        cursor.execute(
            "SELECT c.relname, p"
            " FROM pg_class c, unnest('{INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p"
            " WHERE c.relnamespace = 'store'::regnamespace AND c.relkind = 'r'"
            " AND has_table_privilege('bob', c.oid, p)"
        )
        assert cursor.fetchall() == []


@pytest.mark.parametrize("table", ["object_events", "share_events", "admin_events"])
@pytest.mark.parametrize(
    "statement", ["UPDATE store.{0} SET seq = DEFAULT", "DELETE FROM store.{0}", "TRUNCATE store.{0}"]
)
def test_logs_refuse_changes_even_by_their_owner(scene: Scene, table: str, statement: str) -> None:
    with scene.db.admin() as admin, admin.cursor() as cursor:
        cursor.execute("SET ROLE store_owner")
        with pytest.raises(psycopg2.Error, match="append-only"):
            cursor.execute(statement.format(table))
