"""Making others wait: for locks that PostgreSQL takes before it asks for rights, for a login, for one's own calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from store import groups, users
from store.errors import StoreError
from store.models import Trade
from store.permissions import share_read, unshare
from store.publishing import publish
from tests.fix_postgres import StoreDatabase, password_of
from tests.waiting import wait_until

pytestmark = pytest.mark.both_servers

# PostgreSQL waits for the table, the index or the database to be the caller's alone, and looks at rights afterwards.
GREEDY = [
    "CREATE RULE mine AS ON INSERT TO store.object_heads DO NOTHING",
    "CREATE OR REPLACE RULE mine AS ON SELECT TO store.object_events DO INSTEAD SELECT 1",
    "CREATE RULE mine AS ON DELETE TO store.groups DO NOTHING",
    "CREATE RULE mine AS ON INSERT TO pg_catalog.pg_class DO NOTHING",
    "CREATE RULE mine AS ON INSERT TO pg_catalog.pg_authid DO NOTHING",
    "CREATE TRIGGER mine AFTER INSERT ON store.object_events EXECUTE FUNCTION store.refuse_rewrite()",
    "CREATE CONSTRAINT TRIGGER mine AFTER INSERT ON store.object_events FOR EACH ROW"
    " EXECUTE FUNCTION store.refuse_rewrite()",
    "ALTER INDEX store.object_heads_data DEPENDS ON EXTENSION plpgsql",
    "ALTER INDEX store.object_events_pkey NO DEPENDS ON EXTENSION plpgsql",
    "ALTER MATERIALIZED VIEW store.object_heads DEPENDS ON EXTENSION plpgsql",
]
# PostgreSQL warns that the user may grant nothing, and writes the object's row in the catalog anew all the same.
REWRITING = [
    "GRANT SELECT ON store.object_heads TO bob",
    "GRANT INSERT ON store.object_heads TO bob",
    "REVOKE SELECT ON pg_catalog.pg_class FROM bob",
    "GRANT EXECUTE ON FUNCTION store.append_events(jsonb, boolean, text) TO bob",
    "GRANT USAGE ON SCHEMA store TO bob",
    "GRANT USAGE ON SCHEMA pg_catalog TO bob",
    "GRANT USAGE ON TYPE store.change TO bob",
    "GRANT USAGE ON LANGUAGE sql TO bob",
    "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC",
    "DROP OWNED BY store_user",
    "DROP OWNED BY bob",
]
# PostgreSQL waits for who clears a table up, and asks for rights later; a vacuum of its own it breaks off for that.
DISTURBING = [
    "COMMENT ON TABLE store.object_heads IS 'mine'",
    "COMMENT ON COLUMN store.object_events.changes IS 'mine'",
    "CREATE STATISTICS store.mine ON owner, type_name FROM store.object_heads",
    "SELECT brin_summarize_new_values('store.object_events_by_time')",
    "SELECT brin_summarize_range('store.object_events_by_time', 0)",
    "SELECT brin_desummarize_range('store.object_events_by_time', 0)",
]
# A session that holds the weak locks which users get, without a transaction id: nobody ends it.
HOLDING = """
SELECT FROM store.object_heads; SELECT FROM store.object_events; SELECT FROM pg_catalog.pg_class;
PREPARE held_1 AS INSERT INTO store.object_events (seq) VALUES (1);
PREPARE held_2 AS DELETE FROM store.object_heads;
PREPARE held_3 AS DELETE FROM store.groups;
PREPARE held_4 AS DELETE FROM store.publications;
PREPARE held_5 AS SELECT FROM pg_catalog.pg_authid FOR UPDATE;
"""


@contextmanager
def holding(store_db: StoreDatabase) -> Iterator[None]:
    with closing(store_db.connect("bob")) as conn, conn.cursor() as cursor:
        cursor.execute(HOLDING)
        yield


def rows(conn: Connection, text: str, *params: object) -> list[tuple[object, ...]]:
    with conn, conn.cursor() as cursor:
        cursor.execute(text, params)
        return cursor.fetchall()


def waits(store_db: StoreDatabase, conn: Connection) -> bool:
    with closing(store_db.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", (conn.info.backend_pid,))
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("text", GREEDY)
def test_statement_that_waits_before_it_is_refused_is_refused_before(module_store_db: StoreDatabase, text: str) -> None:
    with holding(module_store_db), module_store_db.connect("bob") as conn, conn.cursor() as cursor:
        cursor.execute("SET lock_timeout = '2s'")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="not for users of a store"):
            cursor.execute(text)


@pytest.mark.parametrize("text", REWRITING)
def test_grant_of_what_a_user_may_not_grant_makes_nobody_plan_anew(module_store_db: StoreDatabase, text: str) -> None:
    refused = pytest.raises(psycopg2.errors.InsufficientPrivilege, match="not for users of a store")
    with module_store_db.connect("bob") as conn, conn.cursor() as cursor, refused:
        cursor.execute(text)


@pytest.mark.parametrize("text", DISTURBING)
def test_statement_that_breaks_off_a_vacuum_is_refused_before(module_store_db: StoreDatabase, text: str) -> None:
    with closing(module_store_db.admin()) as clearing, clearing.cursor() as held:
        held.execute("LOCK TABLE store.object_heads, store.object_events IN SHARE UPDATE EXCLUSIVE MODE")
        with module_store_db.connect("bob") as conn, conn.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(text)


def test_administrator_and_engine_still_define_what_users_may_not(store_db: StoreDatabase) -> None:
    with closing(store_db.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE TABLE workflow.mine (x integer); CREATE INDEX mine_x ON workflow.mine (x)")
        cursor.execute("SET SESSION AUTHORIZATION store_engine")
        cursor.execute("CREATE TABLE workflow.own (x integer); CREATE RULE own AS ON DELETE TO workflow.own DO NOTHING")
        cursor.execute("GRANT SELECT ON workflow.own TO store_admin; REVOKE SELECT ON workflow.own FROM store_admin")


def test_publishing_does_not_wait_for_what_a_user_has_prepared(store_db: StoreDatabase) -> None:
    with holding(store_db), closing(store_db.admin()) as admin:
        with admin, admin.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        assert [done.revision for done in publish(admin, Trade)] == [1]


# The user's own login ----------------------------------------------------------------------------------------


def is_coming(store_db: StoreDatabase) -> bool:
    """Say whether somebody is logging in to the database and has got past being asked who it is."""
    with closing(store_db.admin()) as admin, admin.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
            " WHERE l.classid = 'pg_database'::regclass AND l.granted AND a.usename IS NULL"
            " AND l.objid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return cursor.rowcount > 0


def test_user_who_was_logging_in_when_it_was_disabled_is_out_as_well(store_db: StoreDatabase) -> None:
    where = store_db.login(store_db.provision("dawdler"))
    with ThreadPoolExecutor(1) as beside, closing(store_db.admin()) as admin:
        coming = beside.submit(psycopg2.connect, **where, options="-c post_auth_delay=20")
        wait_until(lambda: is_coming(store_db))
        users.disable_user(admin, "dawdler")
        with pytest.raises(psycopg2.OperationalError), closing(coming.result(timeout=60)) as conn:
            conn.cursor().execute("SELECT count(*) FROM store.object_heads")
        users.enable_user(admin, "dawdler")


def is_out(conn: Connection) -> bool:
    try:
        conn.cursor().execute("SELECT 1")
    except psycopg2.Error:
        return True
    return False


def test_user_does_not_put_off_being_disabled_by_changing_its_own_login(
    store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "LOCK_TIMEOUT", "200ms")
    user = store_db.provision("stayer")
    sessions = [store_db.connect(user) for _ in range(3)]
    change = f"ALTER ROLE {user} PASSWORD 'mine'"
    with closing(store_db.admin()) as admin, ThreadPoolExecutor(2) as beside:
        sessions[0].cursor().execute(change)
        waiting = [beside.submit(conn.cursor().execute, change) for conn in sessions[1:]]
        wait_until(lambda: all(waits(store_db, conn) for conn in sessions[1:]))
        users.disable_user(admin, user)
        for attempt in waiting:
            attempt.exception(timeout=120)
        wait_until(lambda: all(is_out(conn) for conn in sessions))
        with pytest.raises(psycopg2.OperationalError, match="not permitted to log in"):
            psycopg2.connect(**store_db.login(user))
        users.enable_user(admin, user)


def test_administrator_is_told_who_holds_up_the_change_of_a_password(
    store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "LOCK_TIMEOUT", "200ms")
    user = store_db.provision("stayer")
    own = store_db.connect(user)
    own.cursor().execute(f"ALTER ROLE {user} PASSWORD 'mine'")
    with closing(store_db.admin()) as admin, ThreadPoolExecutor(1) as beside:
        with admin, admin.cursor() as cursor:
            cursor.execute("SET lock_timeout = 0")
        asked = beside.submit(users.change_password, admin, user, password_of(user))
        try:
            with pytest.raises(StoreError, match="changes its own login at this moment"):
                asked.result(timeout=120)
        finally:
            own.rollback()
        users.change_password(admin, user, password_of(user))


def test_administrator_is_told_of_a_computation_that_postgresql_does_not_end(
    store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "ENDING_SECONDS", 0.1)
    user = store_db.provision("reckoner")
    conn = store_db.connect(user)
    # A search that compares each place of a long text with nearly all of a shorter one, and never looks up.
    search = "SELECT strpos(repeat('a', 120000), 'b' || repeat('a', 60000))"
    with closing(store_db.admin()) as admin, ThreadPoolExecutor(1) as beside:
        done = beside.submit(conn.cursor().execute, search)
        running = "SELECT FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
        wait_until(lambda: rows(admin, running, conn.info.backend_pid))
        with pytest.raises(StoreError, match=f"goes on in process {conn.info.backend_pid} of the server"):
            users.disable_user(admin, user)
        assert isinstance(done.exception(timeout=120), psycopg2.OperationalError)
        users.disable_user(admin, user)  # now it has ended
        users.enable_user(admin, user)


# Calls that wait ----------------------------------------------------------------------------------------


def item(entity_id: str) -> str:
    change = {"entity_id": entity_id, "type_name": "Trade", "version": 1, "event_type": "UPDATED", "changes": {}}
    return json.dumps([change])


CALLS: dict[str, Callable[[str], tuple[str, str]]] = {
    "append_events": lambda entity: ("SELECT FROM store.append_events(%s, false, NULL)", item(entity)),
    "append_batch": lambda entity: ("SELECT FROM store.append_batch(%s, false, NULL)", item(entity)),
    "share": lambda entity: ("SELECT store.share(%s, 'carol', 'READ')", entity),
    "unshare": lambda entity: ("SELECT store.unshare(%s, 'carol', '{READ}')", entity),
}


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ"])
@pytest.mark.parametrize("right", ["membership", "administrator"])
@pytest.mark.parametrize("call", CALLS)
def test_call_that_waited_while_its_right_was_withdrawn_changes_nothing(
    store_db: StoreDatabase, call: str, right: str, level: str
) -> None:
    alice, user = store_db.client("alice"), store_db.provision("chief")
    with closing(store_db.admin()) as admin, ThreadPoolExecutor(1) as beside:
        if right == "membership":
            groups.create_group(admin, "lent desk", [user])
            entity = store_db.client("alice", writers=["lent desk"]).write(trade())
        else:
            users.provision_user(admin, user, password_of(user), admin=True)
            entity = alice.write(trade())
        holder, caller = store_db.connect(user), store_db.connect(user)
        for conn in (holder, caller):
            conn.set_session(isolation_level=level)
        holder.cursor().execute("SELECT store.lock_batch(ARRAY[%s]::uuid[])", (entity,))
        asked = beside.submit(caller.cursor().execute, *arguments(call, entity))
        wait_until(lambda: waits(store_db, caller))
        if right == "membership":
            groups.remove_members(admin, "lent desk", [user])
        else:
            users.provision_user(admin, user, password_of(user))
        audited = len(alice.audit(entity))
        holder.rollback()
        with pytest.raises(psycopg2.errors.SerializationFailure):
            asked.result(timeout=120)
    assert len(alice.audit(entity)) == audited


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_membership_is_withdrawn_from_who_keeps_a_change_open(store_db: StoreDatabase, level: str) -> None:
    user, own = store_db.provision("stayer"), '[{"type_name": "Trade", "data": {}}]'
    create = "SELECT FROM store.create_objects(%s, '{}', '{}', false, NULL)"
    with closing(store_db.admin()) as admin:
        groups.create_group(admin, "lent desk", [user])
        staying = store_db.connect(user)
        staying.set_session(isolation_level=level)
        staying.cursor().execute(create, (own,))
        with admin, admin.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        groups.remove_members(admin, "lent desk", [user])
        publish(admin, Trade)
        with pytest.raises(psycopg2.errors.SerializationFailure):
            staying.cursor().execute(create, (own,))


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_call_that_waited_for_its_own_key_while_a_type_was_published_changes_nothing(
    store_db: StoreDatabase, level: str
) -> None:
    own = '[{"type_name": "Trade", "data": {"unpublished": 1}}]'
    create = "SELECT FROM store.create_batch(%s, '{}', '{}', false, 'mine')"
    holder, caller = store_db.connect("bob"), store_db.connect("bob")
    caller.set_session(isolation_level=level)
    holder.cursor().execute(create, (own,))
    with closing(store_db.admin()) as admin, ThreadPoolExecutor(1) as beside:
        asked = beside.submit(caller.cursor().execute, create, (own,))
        wait_until(lambda: waits(store_db, caller))
        publish(admin, Trade)
        holder.rollback()
        with pytest.raises(psycopg2.errors.SerializationFailure):
            asked.result(timeout=120)


def test_administrator_is_told_who_keeps_a_group_from_being_dropped(store_db: StoreDatabase) -> None:
    staying, user = store_db.connect("bob"), "bob"
    with closing(store_db.admin()) as admin, closing(store_db.admin()) as bystander:
        bystander.cursor().execute("SELECT pg_current_xact_id() FROM store.schema_version")
        groups.create_group(admin, "lent desk", ["carol"])
        staying.cursor().execute(
            "SELECT FROM store.create_objects(%s, '{lent desk}', '{}', false, NULL)",
            ('[{"type_name": "Trade", "data": {}}]',),
        )
        with admin, admin.cursor() as cursor:
            cursor.execute("ALTER FUNCTION store.drop_group(text) SET lock_timeout = '200ms'")
        with pytest.raises(StoreError, match=f"open transactions, of {user}: "):
            groups.drop_group(admin, "lent desk")
        groups.remove_members(admin, "lent desk", ["carol"])
        users.disable_user(admin, user)
        groups.drop_group(admin, "lent desk")
        users.enable_user(admin, user)
    assert store_db.client("carol").count(Trade) == 0


def test_disabling_a_user_waits_for_no_other_administration(store_db: StoreDatabase) -> None:
    user = store_db.provision("stayer")
    with closing(store_db.admin()) as busy, closing(store_db.admin()) as admin:
        busy.cursor().execute("SELECT pg_advisory_xact_lock(hashtext('store roles'))")
        with admin, admin.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        users.disable_user(admin, user)
        users.enable_user(admin, user)


def arguments(call: str, entity: str) -> tuple[str, tuple[str]]:
    text, argument = CALLS[call](entity)
    return text, (argument,)


def trade() -> Trade:
    return Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY")


def test_writer_does_not_use_up_what_the_owner_may_share(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client("alice"), store_db.client("bob")
    entity = store_db.client("alice", writers=["bob"]).write(trade())
    for _ in range(32):
        share_read(bob.conn, entity, "carol")
        unshare(bob.conn, entity, "carol")
    with pytest.raises(StoreError, match="32 times within a day"):
        share_read(bob.conn, entity, "carol")
    share_read(alice.conn, entity, "carol")
    assert store_db.client("carol").read(Trade, entity) is not None


def test_day_of_a_session_s_own_calendar_does_not_let_it_share_more_often(store_db: StoreDatabase) -> None:
    bob = store_db.connect("bob")
    bob.autocommit = True
    entity = store_db.client("bob").write(trade())
    with bob.cursor() as cursor, pytest.raises(psycopg2.Error, match="32 times within a day"):
        cursor.execute("SELECT extract(doy FROM now() AT TIME ZONE 'UTC')::integer")
        today = cursor.fetchone()[0] % 365
        # Clocks that are set back by two weeks at some moment near this one: a day before now is then days ahead.
        for day in range(today - 9, today + 10):
            turn = f"{(day + 365) % 365}/0,{(day + 390) % 365}/0"
            cursor.execute("SELECT set_config('timezone', 'AAA-167BBB167,' || %s, false)", (turn,))
            cursor.execute("SELECT now() - interval '1 day' > now()")
            if cursor.fetchone()[0]:
                break
        for _ in range(33):
            cursor.execute("SELECT store.share(%s, 'carol', 'READ')", (entity,))
            cursor.execute("SELECT store.unshare(%s, 'carol', '{READ}')", (entity,))
