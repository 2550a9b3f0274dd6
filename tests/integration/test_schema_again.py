"""The schema brought up to date: what stood otherwise in the database meanwhile is as the scripts say again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from store import schema
from store.errors import StoreError
from store.models import Trade
from store.schema import MIGRATIONS, bootstrap_schema
from tests.fix_postgres import StoreDatabase

# Everybody's rights in the schema, one a line, and what row security and triggers say.
RIGHTS = """
SELECT concat_ws(' ', 'relation', c.relname, c.relrowsecurity, c.relforcerowsecurity, a.grantee, a.privilege_type)
FROM pg_class c,
     aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
WHERE c.relnamespace = 'store'::regnamespace AND c.relkind IN ('r', 'S')
UNION SELECT concat_ws(' ', 'function', p.oid::regprocedure, md5(p.prosrc), a.grantee, a.privilege_type)
FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
WHERE p.pronamespace = 'store'::regnamespace
UNION SELECT concat_ws(' ', 'schema', a.grantee, a.privilege_type)
FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'store'
UNION SELECT concat_ws(' ', 'policy', p.polrelid::regclass, p.polname, p.polroles, pg_get_expr(p.polqual, p.polrelid))
FROM pg_policy p
UNION SELECT concat_ws(' ', 'trigger', t.tgrelid::regclass, t.tgname, t.tgenabled)
FROM pg_trigger t WHERE NOT t.tgisinternal
"""
ALTERATIONS = [
    "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA store TO store_user",
    "GRANT SELECT ON ALL TABLES IN SCHEMA store TO PUBLIC",
    "GRANT SELECT ON store.idempotency_keys TO store_admin, store_engine",
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA store TO PUBLIC, store_user",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA store TO PUBLIC",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA store TO store_user, store_engine",
    "GRANT ALL ON SCHEMA store TO PUBLIC",
    "GRANT CREATE ON SCHEMA store TO store_user",
    "ALTER TABLE store.object_heads DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE store.object_events NO FORCE ROW LEVEL SECURITY",
    "ALTER POLICY readers ON store.object_heads USING (true)",
    "ALTER POLICY readers ON store.object_events USING (true)",
    "CREATE POLICY readers ON store.share_events FOR SELECT USING (true)",
    "GRANT SELECT ON store.share_events TO store_user",
    "ALTER POLICY own ON store.checkpoints USING (true)",
    "ALTER POLICY functions ON store.object_heads TO PUBLIC",
    "DROP TRIGGER append_only ON store.object_events",
    "CREATE OR REPLACE FUNCTION store.is_admin() RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT true $$",
]


def rights(cursor: Any) -> set[str]:
    cursor.execute(RIGHTS)
    return {right for (right,) in cursor.fetchall()}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_bootstrap_of_another_version_leaves_no_right_that_it_does_not_give(
    store_db: StoreDatabase, alteration: str
) -> None:
    with closing(store_db.admin()) as conn, conn.cursor() as cursor:
        given = rights(cursor)
        cursor.execute(alteration)
        assert rights(cursor) != given
        cursor.execute("UPDATE store.schema_version SET digest = 'of another version'")
        conn.commit()
        assert bootstrap_schema(conn) == []
        assert rights(cursor) == given


def test_bootstrap_of_the_same_version_changes_nothing(store_db: StoreDatabase) -> None:
    with closing(store_db.admin()) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT xmin, version, digest FROM store.schema_version")
        before = cursor.fetchall()
        conn.commit()
        assert bootstrap_schema(conn) == bootstrap_schema(conn) == []
        cursor.execute("SELECT xmin, version, digest FROM store.schema_version")
        assert cursor.fetchall() == before


def test_bootstrap_of_a_database_of_a_newer_version_is_refused(store_db: StoreDatabase) -> None:
    with closing(store_db.admin()) as conn, conn.cursor() as cursor:
        cursor.execute("INSERT INTO store.schema_version (version, digest) VALUES (%s, 'new')", (len(MIGRATIONS) + 1,))
        conn.commit()
        with pytest.raises(StoreError, match=f"has schema version {len(MIGRATIONS) + 1}, newer than the"):
            bootstrap_schema(conn)


def test_bootstrap_beside_another_schema_of_that_name_is_refused(store_db: StoreDatabase) -> None:
    with closing(store_db.admin()) as conn, conn.cursor() as cursor:
        cursor.execute("DROP SCHEMA store CASCADE; CREATE SCHEMA store")
        conn.commit()
        with pytest.raises(StoreError, match="a schema named store that is not a store's"):
            bootstrap_schema(conn)


def test_bootstrap_does_not_make_everybody_wait_behind_a_transaction_that_stays_open(
    store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", "200ms")
    alice, admin = store_db.client("alice"), store_db.admin()
    with admin, admin.cursor() as cursor:
        cursor.execute("UPDATE store.schema_version SET digest = 'of another version'")
        cursor.execute("SET lock_timeout = 0")  # the server of the tests has a bound of its own
    with closing(store_db.connect("bob")) as bob, ThreadPoolExecutor(1) as beside:
        with bob.cursor() as reading:
            reading.execute("SELECT count(*) FROM store.object_heads")  # and goes to lunch
        upgrade = beside.submit(bootstrap_schema, admin)
        try:
            with pytest.raises(StoreError, match="read by open transactions, of bob: let them end, or end them"):
                upgrade.result(timeout=60)
            assert alice.count(Trade) == 0
        finally:
            bob.rollback()
    assert bootstrap_schema(admin) == []


def test_bootstrap_takes_from_users_of_an_earlier_version_the_place_of_the_base_role(store_db: StoreDatabase) -> None:
    store_db.provision("olden")
    with closing(store_db.admin()) as admin:
        if admin.server_version < 160_000:
            pytest.skip("membership in a role and acting as it are one before PostgreSQL 16")
        with admin, admin.cursor() as cursor:
            cursor.execute("GRANT store_user TO olden WITH SET TRUE")
            cursor.execute("UPDATE store.schema_version SET digest = 'of another version'")
        with closing(store_db.connect("olden")) as conn, conn.cursor() as cursor:
            cursor.execute("SET ROLE store_user")
        assert bootstrap_schema(admin) == []
    with closing(store_db.connect("olden")) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM store.object_heads")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SET ROLE store_user")


@pytest.fixture
def olden(store_db: StoreDatabase) -> Iterator[str]:
    """A user as an earlier version made him, in a database of that version."""
    name = store_db.provision("olden")
    with closing(store_db.admin()) as admin, admin, admin.cursor() as cursor:
        cursor.execute(f"ALTER ROLE {name} IN DATABASE {store_db.dbname} RESET ALL")
        cursor.execute(f"ALTER ROLE {name} SET log_min_messages = 'fatal'")
        cursor.execute("UPDATE store.schema_version SET digest = 'of another version'")
    yield name
    with closing(store_db.admin()) as admin, admin, admin.cursor() as cursor:
        cursor.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("login", ["LOGIN", "NOLOGIN"])
def test_bootstrap_keeps_users_of_an_earlier_version_from_filling_the_log(
    store_db: StoreDatabase, olden: str, login: str
) -> None:
    with closing(store_db.admin()) as admin:
        with admin, admin.cursor() as cursor:
            cursor.execute(f"ALTER ROLE {olden} {login}")
        assert bootstrap_schema(admin) == []
        with admin, admin.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_db_role_setting s WHERE s.setrole = %s::regrole"
                " AND 'log_min_messages=panic' = ANY (s.setconfig)",
                (olden,),
            )
            assert cursor.fetchone() == (2,)


def test_bootstrap_names_the_user_who_keeps_a_change_of_his_own_login_open(
    store_db: StoreDatabase, olden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", "100ms")
    with closing(store_db.connect(olden)) as conn, conn.cursor() as cursor, closing(store_db.admin()) as admin:
        cursor.execute("SET LOCAL work_mem = '5MB'; ALTER ROLE CURRENT_USER SET work_mem = '5MB'")
        with pytest.raises(StoreError, match="user 'olden' changes its own login at this moment, or keeps such"):
            bootstrap_schema(admin)
        conn.rollback()
        assert bootstrap_schema(admin) == []
