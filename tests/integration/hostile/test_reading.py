"""Ways of reading what is another's: past row security, through functions, plans, catalogs, errors and hints."""

from __future__ import annotations

import io
import json
import re
import select
from datetime import datetime, timezone
from pathlib import Path

import psycopg2
import pytest

from store.models import Trade
from store.permissions import share_read, unshare
from tests.integration.hostile.conftest import MISSING, Attacker, Scene

pytestmark = pytest.mark.both_servers

# What each should show bob: the two entities that alice let him see, or nothing at all.
ALLOWED_ROWS = [
    "SELECT * FROM store.object_heads WHERE type_name = 'Trade'",
    "SELECT h FROM store.object_heads h",
    "SELECT to_jsonb(h), h.ctid, h.xmin, h.tableoid FROM store.object_heads h",
    "SELECT * FROM store.object_heads TABLESAMPLE SYSTEM (100)",
    "SELECT * FROM store.object_heads WHERE ctid = ANY"
    " (ARRAY(SELECT format('(0,%s)', n)::tid FROM generate_series(1, 9) n))",
    "SELECT * FROM (SELECT * FROM store.object_heads OFFSET 0) h WHERE data::text LIKE '%'",
    "SELECT * FROM store.object_events e JOIN store.object_heads h USING (entity_id)",
    "SELECT * FROM store.object_events e LEFT JOIN store.object_heads s USING (entity_id)",
    "WITH RECURSIVE r AS (TABLE store.object_events UNION SELECT e.* FROM store.object_events e, r) TABLE r",
    "SELECT * FROM unnest(ARRAY(SELECT h FROM store.object_heads h))",
    "SELECT string_agg(data::text, ',' ORDER BY data->>'quantity') OVER () FROM store.object_heads",
    "TABLE store.checkpoints",
    "SELECT table_to_xml('store.object_events', true, false, '')",
    "SELECT query_to_xml('SELECT * FROM store.object_heads', true, false, '')",
    "SELECT schema_to_xml('store', true, false, '') IS NOT NULL",
    "SELECT * FROM store.objects_as_of('Trade', NULL, NULL)",
    "SELECT * FROM store.objects_as_of('Trade', 'infinity', now())",
    "SELECT * FROM store.objects_due('Trade', 'infinity')",
    "SELECT * FROM store.objects_now('Trade', ARRAY['{secret}']::uuid[])",
    "SELECT * FROM store.objects_at('Trade', ARRAY['{secret}']::uuid[], now())",
    "SELECT * FROM store.changes_ahead('Trade', '2001-01-01')",
    "SELECT * FROM store.first_matches('Trade', '{{}}', NULL, NULL, 1000)",
    "SELECT * FROM store.first_matches('Trade', '{{\"symbol\": \"KRYPTON\"}}', NULL, NULL, 2000000000)",
    "SELECT * FROM store.read_log(0, 9000000000, NULL, NULL, true)",
    "SELECT * FROM store.read_log(-9000000000, 9000000000, ARRAY['Trade'], 1000000, true)",
    "SELECT * FROM store.read_stream(0, 0, 9000000000, NULL, 1000000, true)",
    "SELECT * FROM store.read_stream(0, 0, 9000000000, NULL, 1000000, false)",
    "SELECT * FROM store.read_stream(-1, 9000000000, 9000000000, ARRAY['Trade'], 1000000, true)",
    "SELECT * FROM store.read_stream(0, 1, 9000000000, NULL, NULL, true)",
    "SELECT * FROM store.log_lag(0, 0, NULL)",
    "SELECT * FROM store.stretch('-infinity', 'infinity')",
    "SELECT * FROM store.held_back_by()",
    "SELECT * FROM store.object_as_of('{secret}', NULL, NULL)",
    "SELECT * FROM store.object_as_of('{secret}', 'infinity', '-infinity')",
    "SELECT * FROM store.object_history('{secret}')",
    "SELECT * FROM store.object_audit('{secret}')",
    "SELECT * FROM store.grants_of('{secret}')",
    "SELECT * FROM store.lacking_fields('Trade', '{{symbol,x}}')",
    "SELECT * FROM store.publication('Trade')",
    "SELECT * FROM store.published()",
    "SELECT * FROM store.replay('confid' || 'ential key')",
    "SELECT store.stable_time() <= now()",
    "SELECT * FROM pg_stats WHERE schemaname = 'store'",
    "SELECT * FROM pg_stat_activity",
    "SELECT * FROM pg_locks",
    "SELECT * FROM pg_prepared_statements",
    "SELECT * FROM pg_cursors",
    "SELECT * FROM pg_settings WHERE setting LIKE '%data%'",
    "SELECT * FROM pg_sequences",
    "SELECT pg_sequence_last_value('store.event_seq')",
    "DECLARE c CURSOR WITH HOLD FOR TABLE store.object_events; FETCH ALL FROM c",
    "PREPARE p AS TABLE store.object_heads; EXECUTE p",
    "SET plan_cache_mode = force_generic_plan; PREPARE p AS TABLE store.object_heads; SET ROLE store_user; EXECUTE p",
    "SET ROLE store_user; TABLE store.object_events",
    "SET enable_seqscan = off; SET enable_indexscan = off; SELECT * FROM store.object_heads WHERE data @> '{{}}'",
    "BEGIN ISOLATION LEVEL SERIALIZABLE; TABLE store.object_events; COMMIT; TABLE store.object_events",
    'SET gin_fuzzy_search_limit = 1; SELECT * FROM store.object_heads WHERE data @> \'{{"side": "BUY"}}\'',
    "SET transform_null_equals = on; SELECT * FROM store.first_matches('Trade', '{{}}', NULL, NULL, 10)",
    "SET search_path = pg_temp, public, pg_catalog; SELECT * FROM store.object_history('{secret}')",
]


@pytest.mark.parametrize("text", ALLOWED_ROWS)
def test_statement_shows_nothing_of_another_s(bob: Attacker, text: str) -> None:
    bob.attempt(text.format(secret=bob.scene.secret) if "{" in text else text)
    # The fixture looks through all that came back.


def test_reads_show_what_is_shared_so_that_the_others_prove_something(bob: Attacker) -> None:
    assert len(bob.run("SELECT FROM store.object_heads")) == 2
    assert "READABLE" in bob.attempt("TABLE store.object_heads")
    assert "READABLE" in bob.attempt("SELECT * FROM store.read_log(0, 9000000000, NULL, NULL, true)")


def test_past_of_a_type_shows_what_is_shared_only(bob: Attacker) -> None:
    with bob.scene.db.admin() as admin, admin.cursor() as cursor:
        cursor.execute("SELECT tx_time FROM store.object_events ORDER BY seq")
        moments = [moment for (moment,) in cursor.fetchall()]
    seen = [bob.attempt("SELECT * FROM store.objects_as_of('Trade', %s, %s)", moment, moment) for moment in moments]
    assert "READABLE" not in seen[0] and "READABLE" in seen[2] and "READABLE" in seen[-1]


# Functions that tell what they are given, by an error or a notice, if they ever get hold of it.
LEAKS = [
    "(data->>'symbol')::integer = 1",
    "1 / ((data->>'quantity')::bigint - 471147000471147) = 1",
    "(data->>'trader_name')::date > now()",
    "(data->>'price')::numeric::integer / 0 = 1",
    "xpath(data->>'symbol', '<a/>'::xml) IS NULL",
    "jsonb_path_query_first(data, ('strict $.' || (data->>'symbol'))::jsonpath) IS NULL",
    "regexp_match('x', '(' || (data->>'symbol')) IS NULL",
    "to_date(data->>'symbol', 'YYYY') IS NULL",
    "current_setting(data->>'symbol') IS NULL",
    "set_config('mine.' || (data->>'symbol'), '1', false) IS NULL",
    "pg_notify(data->>'symbol', data::text) IS NULL",
    "query_to_xml('SELECT ' || (data->>'symbol'), true, false, '') IS NULL",
    "('{' || (data->>'symbol'))::jsonb IS NULL",
    "(owner || updated_by)::integer = 1",
    "store.save_checkpoint(data->>'symbol', 1) IS NULL",
    "data @> (data->>'symbol')::jsonb",
    "CASE WHEN data->>'symbol' = 'KRYPTON' || 'ITE' THEN 1 / 0 = 1 ELSE true END",
]


@pytest.mark.parametrize("condition", LEAKS)
@pytest.mark.parametrize("table", ["object_heads", "object_events"])
def test_condition_that_tells_what_it_sees_is_evaluated_on_visible_rows_only(
    bob: Attacker, condition: str, table: str
) -> None:
    if table == "object_events":
        condition = condition.replace("data", "changes").replace("owner || ", "")
    for settings in ("", "SET enable_seqscan = off; ", "SET enable_indexscan = off; SET enable_bitmapscan = off; "):
        bob.attempt(
            f"{settings}SELECT count(*) FROM store.{table} WHERE {condition} AND entity_id = '{bob.scene.secret}'"
        )
        bob.attempt(f"{settings}SELECT count(*) FROM store.{table} WHERE {condition}")
    assert bob.run("SELECT FROM store.checkpoints WHERE subscriber_id ~ 'KRYPTON'") == []
    bob.conn.poll()
    bob.heard += [f"{note.channel} {note.payload}" for note in bob.conn.notifies]


# Whether an entity exists must not be told apart, whatever bob asks or tries with its id.
CALLS = [
    "SELECT count(*) FROM store.object_heads WHERE entity_id = %(id)s",
    "SELECT count(*) FROM store.object_events WHERE entity_id = %(id)s",
    "SELECT count(*) FROM store.object_as_of(%(id)s, NULL, NULL)",
    "SELECT count(*) FROM store.object_history(%(id)s)",
    "SELECT count(*) FROM store.object_audit(%(id)s)",
    "SELECT count(*) FROM store.grants_of(%(id)s)",
    "SELECT count(*) FROM store.objects_now('Trade', ARRAY[%(id)s]::uuid[])",
    "SELECT count(*) FROM store.objects_at('Trade', ARRAY[%(id)s]::uuid[], now())",
    "SELECT store.share(%(id)s, 'carol', 'READ')",
    "SELECT store.share(%(id)s, 'alice', 'READ')",
    "SELECT store.share(%(id)s, 'bob', 'WRITE')",
    "SELECT store.share(%(id)s, 'carol', 'OTHER')",
    "SELECT store.share(%(id)s, 'nobody', 'READ')",
    "SELECT store.unshare(%(id)s, 'alice', '{READ,WRITE}')",
    "SELECT store.unshare(%(id)s, 'confidential desk', '{READ}')",
    "SELECT store.unshare(%(id)s, 'bob', NULL)",
]
ITEM = (
    """[{{"entity_id": "%(raw)s", "type_name": "{type}", "version": {version}, "event_type": "{event}","""
    """ "changes": {{}}, "state": {state}, "from_state": null, "valid_from": {valid}}}]"""
)
CALLS += [
    f"SELECT store.append_events('{ITEM.format(type=t, version=v, event=e, state=s, valid=f)}', false, {key})"
    for t, v, e, s, f, key in [
        ("Trade", 2, "UPDATED", "null", "null", "NULL"),
        ("Trade", 1, "UPDATED", "null", "null", "NULL"),
        ("Trade", 3, "UPDATED", "null", "null", "'key %(raw)s'"),
        ("Order", 2, "DELETED", "null", "null", "NULL"),
        ("Trade", 2, "DELETED", "null", '"infinity"', "NULL"),
        ("Trade", 2, "STATE_CHANGE", '"FILLED"', "null", "NULL"),
        ("Trade", 2, "CREATED", "null", "null", "NULL"),
        ("Trade", 2, "CORRECTED", "null", '"2001-01-01"', "NULL"),
        ("Trade", "null", "UPDATED", "null", "null", "NULL"),
        ("Trade", 2, "UPDATED", "null", '"no time"', "NULL"),
    ]
]
CALLS += [call.replace("append_events", "append_batch") for call in CALLS if "append_events" in call]
CALLS += ["SELECT store.lock_batch('{%(raw)s}')"]


@pytest.mark.parametrize("text", CALLS)
def test_foreign_entity_and_missing_one_answer_alike(bob: Attacker, text: str) -> None:
    answers = []
    for entity_id in (bob.scene.secret, MISSING):
        sent = text.replace("%(raw)s", entity_id).replace("%(id)s", f"'{entity_id}'")
        answers.append(bob.attempt(sent).replace(entity_id, "<id>"))
    assert answers[0] == answers[1]


def test_plans_estimate_alike_what_another_has_and_what_nobody_has(bob: Attacker) -> None:
    client = bob.scene.db.client("alice")
    client.write_many([Trade(symbol="KRYPTONITE", quantity=7, price=1.0, side="BUY") for _ in range(2000)])
    with bob.scene.db.admin() as admin, admin.cursor() as cursor:
        cursor.execute("ANALYZE")

    def plan(table: str, condition: str, value: str) -> str:
        rows = bob.run(f"EXPLAIN SELECT * FROM store.{table} WHERE {condition.format(value)}")
        return re.sub(r"(Filter|Cond): .*", "", "\n".join(row[0] for row in rows))

    pairs = [
        ("object_heads", """data @> '{{"symbol": "{}"}}'""", "KRYPTO" + "NITE", "NOBODY"),
        ("object_heads", "data->>'symbol' = '{}'", "KRYPTO" + "NITE", "NOBODY"),
        ("object_heads", "owner = '{}'", "alice", "carol"),
        ("object_heads", "updated_by = '{}'", "alice", "carol"),
        ("object_heads", "acl && '{{{}}}'", "alice", "carol"),
        ("object_heads", "tx_time > '{}'", "2001-01-01", "2099-01-01"),
        ("object_heads", "valid_from < '{}'", "2001-01-01", "2099-01-01"),
        ("object_heads", "version = {}", "1", "9"),
        ("object_heads", "entity_id > '{}'", MISSING, "ffffffff-0000-7000-8000-000000000000"),
        ("object_events", "updated_by = '{}'", "alice", "carol"),
        ("object_events", """changes @> '{{"symbol": "{}"}}'""", "KRYPTO" + "NITE", "NOBODY"),
        ("object_events", "tx_time < '{}'", "2001-01-01", "2099-01-01"),
        ("object_events", "event_type = '{}'", "CREATED", "DELETED"),
    ]
    for table, condition, held, absent in pairs:
        assert plan(table, condition, held) == plan(table, condition, absent), condition
    bob.heard = [text.replace("KRYPTO" + "NITE", "") for text in bob.heard]
    bob.before = bob.scene.state()


def test_statistics_of_values_are_not_even_kept(bob: Attacker) -> None:
    with bob.scene.db.admin() as admin, admin.cursor() as cursor:
        cursor.execute(
            "ANALYZE; SELECT DISTINCT attname FROM pg_stats WHERE schemaname = 'store'"
            " AND tablename IN ('object_heads', 'object_events')"
        )
        assert {row[0] for row in cursor.fetchall()} <= {"type_name", "due", "present", "seq"}


def test_notifications_carry_no_data(bob: Attacker) -> None:
    bob.run("LISTEN store_events")
    entity_id = bob.scene.db.client("alice").write(Trade(symbol="KRYPTONITE", quantity=1, price=1.0, side="BUY"))
    while not bob.conn.notifies:
        assert select.select([bob.conn], [], [], 30.0)[0], "no notification within 30 s"
        bob.conn.poll()
    assert {note.payload for note in bob.conn.notifies} == {""}
    assert entity_id not in str(bob.conn.notifies)
    bob.before = bob.scene.state()


@pytest.mark.parametrize("table", ["object_heads", "object_events", "checkpoints"])
def test_copy_gives_out_visible_rows_only(bob: Attacker, table: str) -> None:
    copied = io.StringIO()
    with bob.conn.cursor() as cursor:
        cursor.copy_expert(f"COPY (TABLE store.{table}) TO STDOUT", copied)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.copy_expert(f"COPY store.{table} FROM STDIN", io.StringIO(""))
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.copy_expert("COPY store.idempotency_keys TO STDOUT", copied)
    bob.heard.append(copied.getvalue())
    assert "READABLE" in copied.getvalue() or table not in ("object_heads", "object_events")


@pytest.mark.parametrize("function", ["pg_terminate_backend", "pg_cancel_backend"])
def test_sessions_of_others_are_not_ended(bob: Attacker, function: str) -> None:
    alice = bob.scene.db.connect("alice")
    for process in (alice.info.backend_pid, bob.scene.db.admin().info.backend_pid):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            bob.run(f"SELECT {function}(%s)", process)
    with alice.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_queries_of_others_are_not_seen(bob: Attacker) -> None:
    alice = bob.scene.db.connect("alice")
    with alice.cursor() as cursor:
        cursor.execute("SELECT 'confidential', 471147000471147")
    rows = bob.run("SELECT query FROM pg_stat_activity WHERE usename IN ('alice', 'postgres')")
    assert {row[0] for row in rows} == {"<insufficient privilege>"}


def test_held_cursor_and_old_snapshot_show_no_event_made_after_access_was_withdrawn(
    scene: Scene, bob: Attacker
) -> None:
    entity_id = scene.write("LENT", readers=["bob"])
    own = scene.db.connect("bob")
    own.set_session(isolation_level="REPEATABLE READ")
    with own.cursor() as cursor:
        cursor.execute("DECLARE lent CURSOR WITH HOLD FOR SELECT data->>'symbol' FROM store.object_heads")
        unshare(scene.alice.conn, entity_id, "bob")
        trade = scene.alice.read(Trade, entity_id)
        assert trade is not None
        trade.symbol = "CHANGED"
        scene.alice.update(trade)
        cursor.execute("FETCH ALL FROM lent")
        assert "CHANGED" not in str(cursor.fetchall())
        cursor.execute("SELECT data->>'symbol' FROM store.object_history(%s)", (entity_id,))
        assert "CHANGED" not in str(cursor.fetchall())
    own.rollback()
    assert bob.run("SELECT FROM store.object_history(%s)", entity_id) == []
    scene.alice.delete(trade)
    bob.before = scene.state()


def test_cursor_of_another_s_page_shows_only_one_s_own(scene: Scene, bob: Attacker) -> None:
    page = scene.alice.query(Trade, limit=1)
    assert page.next_cursor is not None
    client = scene.db.client("bob")
    owners = {trade.symbol for trade in client.query(Trade, cursor=page.next_cursor)}
    assert owners <= {"READABLE", "WRITABLE"}


def test_listener_and_checkpoint_of_another_are_out_of_reach(scene: Scene, bob: Attacker) -> None:
    assert bob.run("SELECT * FROM store.checkpoints WHERE subscriber_id LIKE 'confid%%'") == []
    assert bob.run("SELECT store.move_checkpoint('confid' || 'ential subscriber', 1, 999, 0)") == [(False,)]
    bob.run("SELECT store.save_checkpoint('confid' || 'ential subscriber', 999)")
    assert bob.run("SELECT * FROM store.claim_checkpoint('confid' || 'ential subscriber', 0)") == [(999, 0, 2)]
    assert bob.run("SELECT store.move_checkpoint('confid' || 'ential subscriber', 2, 5, 0)") == [(True,)]
    with scene.db.admin() as admin, admin.cursor() as cursor:
        cursor.execute("SELECT seq, term FROM store.checkpoints WHERE username = 'alice'")
        assert cursor.fetchall() == [(3, 1)]


def test_idempotency_key_of_another_tells_nothing(scene: Scene, bob: Attacker) -> None:
    create = "SELECT entity_id, replayed FROM store.create_objects(%s, '{}', '{}', false, 'confid' || 'ential key')"
    (row,) = bob.run(create, '[{"type_name": "Trade", "data": {}}]')
    assert row[1] is False
    assert bob.run("SELECT owner FROM store.object_heads WHERE entity_id = %s", row[0]) == [("bob",)]


# The request is known by its items alone, whichever function they were first given to.
CREATE_AGAIN = "SELECT data->>'symbol' FROM store.create_objects(%s, '{}', '{}', false, 'lent once')"


def test_what_was_changed_under_a_key_is_not_shown_again_once_access_is_withdrawn(scene: Scene, bob: Attacker) -> None:
    entity_id = scene.write("LENTONCE", writers=["bob"])
    item = {"entity_id": entity_id, "type_name": "Trade", "version": 2, "event_type": "UPDATED", "changes": {}}
    append = "SELECT data->>'symbol' FROM store.append_events(%s, false, 'lent once')"
    assert bob.run(append, json.dumps([item])) == bob.run(append, json.dumps([item])) == [("LENTONCE",)]
    assert bob.run("SELECT data->>'symbol' FROM store.replay('lent once')") == [("LENTONCE",)]
    unshare(scene.alice.conn, entity_id, "bob")
    bob.before = scene.state()
    for text in (append, CREATE_AGAIN, "SELECT * FROM store.replay('lent once')"):
        answer = bob.attempt(text, *[json.dumps([item])] * text.count("%s"))
        assert answer.startswith("TS001") and "LENTONCE" not in answer
    # Nor by way of the other functions that take a key; these find that it was used, and show nothing.
    assert bob.run("SELECT FROM store.append_batch(%s, false, 'lent once')", json.dumps([item])) == []
    batch = "SELECT entity_ids FROM store.create_batch(%s, '{}', '{}', false, 'lent once')"
    assert bob.run(batch, json.dumps([item])) == [(None,)]


def test_past_and_future_of_another_s_entity_are_not_read(scene: Scene, bob: Attacker) -> None:
    trade = scene.alice.read(Trade, scene.secret)
    assert trade is not None
    first = scene.alice.history(Trade, scene.secret)[0]
    scene.alice.update(trade, valid_from=datetime(2999, 1, 1, tzinfo=timezone.utc))
    bob.before = scene.state()
    moments = (first.tx_time, "2999-01-02", "infinity", None)
    for tx_time in moments:
        for valid_time in moments:
            bob.attempt("SELECT * FROM store.objects_as_of('Trade', %s, %s)", tx_time, valid_time)
            bob.attempt("SELECT * FROM store.object_as_of(%s, %s, %s)", scene.secret, tx_time, valid_time)
        bob.attempt("SELECT * FROM store.objects_at('Trade', ARRAY[%s]::uuid[], %s)", scene.secret, tx_time)
    # What is due or ahead is told of one's own only, also where nothing but its time would be.
    assert bob.run("SELECT * FROM store.changes_ahead('Trade', '2998-01-01')") == []
    assert bob.run("SELECT * FROM store.objects_due('Trade', '2999-01-02')") == []


def test_lag_counts_what_its_caller_may_see_only(bob: Attacker) -> None:
    visible = bob.run("SELECT count(*)::bigint FROM store.object_events")
    assert bob.run("SELECT events FROM store.log_lag(0, 0, NULL)") == visible


def test_sharing_shows_the_whole_history_and_unsharing_hides_all(scene: Scene, bob: Attacker) -> None:
    entity_id = scene.write("LENTAGAIN")
    before = bob.run("SELECT count(*) FROM store.object_events")
    share_read(scene.alice.conn, entity_id, "bob")
    assert len(bob.run("SELECT FROM store.object_history(%s)", entity_id)) == 2
    stream = "SELECT count(data) FROM store.read_stream(0, 0, 9000000000, NULL, 1000000, true) WHERE entity_id = %s"
    trade = scene.alice.read(Trade, entity_id)
    assert trade is not None
    scene.alice.update(trade)
    assert bob.run(stream, entity_id) == [(3,)]
    unshare(scene.alice.conn, entity_id, "bob")
    assert bob.run("SELECT count(*) FROM store.object_events") == before
    assert bob.run(stream, entity_id) == [(0,)]
    with pytest.raises(psycopg2.Error, match="no entity"):
        bob.run("SELECT store.share(%s, 'carol', 'READ')", entity_id)
    bob.before = scene.state()


def test_every_function_that_users_may_call_is_attacked(scene: Scene) -> None:
    attacks = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    with scene.db.admin() as admin, admin.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'store'::regnamespace"
            " AND has_function_privilege('bob', oid, 'EXECUTE')"
        )
        assert {name for (name,) in cursor.fetchall() if f"store.{name}(" not in attacks} == set()
