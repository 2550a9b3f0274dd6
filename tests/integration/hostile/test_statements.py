"""Statements that no user may run: on the store's tables and functions, on roles and rights, on the server."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from store.models import Trade
from tests.integration.hostile.conftest import Attacker

pytestmark = pytest.mark.both_servers

EVENT = "(seq, entity_id, version, type_name, event_type, tx_time, valid_from, valid_to, updated_by, changes)"
FORGED = "(9, gen_random_uuid(), 1, 'Trade', 'CREATED', now(), now(), 'infinity', 'alice', '{}')"

ON_TABLES = [
    f"INSERT INTO store.object_events {EVENT} VALUES {FORGED}",
    "INSERT INTO store.share_events VALUES (9, gen_random_uuid(), 1, now(), 'SHARED', 'READ', 'bob', 'alice')",
    "INSERT INTO store.group_members VALUES ('confidential desk', 'bob')",
    "INSERT INTO store.admin_events (actor, action, subject) VALUES ('alice', 'USER_ADDED', 'mallory')",
    "UPDATE store.object_heads SET owner = 'bob'",
    "UPDATE store.object_heads SET readers = readers || '{bob}'::text[] WHERE true",
    "UPDATE store.object_heads SET data = '{}' WHERE owner = 'bob'",
    "UPDATE store.object_events SET updated_by = 'alice', tx_time = '2001-01-01'",
    "UPDATE store.limits SET longest_transaction = '1 year'",
    "DELETE FROM store.object_events WHERE updated_by = 'bob'",
    "DELETE FROM store.share_events",
    "TRUNCATE store.object_heads CASCADE",
    "WITH gone AS (DELETE FROM store.object_heads RETURNING *) SELECT * FROM gone",
    "MERGE INTO store.object_heads h USING (VALUES (1)) v ON true WHEN MATCHED THEN DELETE",
    "SELECT * FROM store.object_heads FOR UPDATE",
    "SELECT * FROM store.object_heads FOR KEY SHARE",
    "BEGIN; LOCK TABLE store.object_heads IN ROW EXCLUSIVE MODE",
    "BEGIN; LOCK TABLE store.object_events IN ACCESS EXCLUSIVE MODE",
    "COPY store.object_heads FROM '/etc/passwd'",
    "TABLE store.idempotency_keys",
    "TABLE store.groups",
    "TABLE store.group_members",
    "TABLE store.admin_events",
    "TABLE store.type_shapes",
    "TABLE store.transaction_clocks",
    "TABLE store.workflow_outbox",
    "SELECT nextval('store.event_seq')",
    "SELECT setval('store.event_seq', 1)",
    "SELECT last_value FROM store.event_seq",
]

ON_FUNCTIONS = [
    "SELECT store.rebuild()",
    "SELECT * FROM store.differences()",
    "SELECT * FROM store.state_at('{secret}', 'infinity', 'infinity')",
    "SELECT * FROM store.projected('{secret}', now())",
    "SELECT * FROM store.current_grants('{secret}')",
    "SELECT store.refold_head('{secret}', '2001-01-01')",
    "SELECT store.record_share(NULL, 'SHARED', 'READ', 'bob')",
    "SELECT * FROM store.make_events('[]', false)",
    "SELECT * FROM store.make_event_batch('[]', false, true)",
    "SELECT * FROM store.log_appends('[]', '{{bob}}', true, '2001-01-01', true)",
    "SELECT store.make_objects('[]', '{{}}', '{{}}', '2001-01-01')",
    "SELECT store.log_creations('[]', '{{}}', '{{}}', '2001-01-01')",
    "SELECT store.log_creation('{{\"type_name\": \"Trade\"}}', '{{}}', '{{}}', '2001-01-01')",
    "SELECT store.claim_key('confidential key', '[]')",
    "SELECT * FROM store.replayed('confidential key')",
    "SELECT store.transaction_clock(true)",
    "SELECT store.refuse('TS001', 'forged', '{{}}')",
    "SELECT store.lock_principals()",
    "SELECT store.is_admin()",
    "SELECT store.record_administration('USER_ADDED', 'mallory', NULL)",
    "SELECT * FROM store.administration()",
    "SELECT store.create_group('bobs', '{{bob}}')",
    "SELECT store.add_members('confidential desk', '{{bob}}')",
    "SELECT store.remove_members('confidential desk', '{{alice}}')",
    "SELECT store.drop_group('confidential desk')",
    "SELECT * FROM store.list_groups()",
    "SELECT * FROM store.outbox_pending(10)",
    "SELECT * FROM store.outbox_startable('{{Trade}}', '{{A}}', '{{B}}', 10, 0)",
    "SELECT store.outbox_done('{secret}', 1)",
    "SELECT store.publish('Trade', '{{}}')",
    "SELECT store.retire('Trade')",
    "SELECT store.set_governed(true)",
]

ON_OBJECTS = [
    "CREATE SCHEMA mine",
    "CREATE TABLE store.mine (x integer)",
    "CREATE TABLE public.mine (x integer)",
    "CREATE TABLE workflow.mine (x integer)",
    "CREATE TEMP TABLE object_heads (x integer)",
    "CREATE TEMP VIEW object_heads AS SELECT 1",
    "SELECT 1 AS x INTO TEMP mine",
    "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'",
    "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "CREATE OR REPLACE FUNCTION store.principals() RETURNS text[] LANGUAGE sql AS 'SELECT array[''alice'']'",
    "CREATE OPERATOR public.&& (FUNCTION = pg_catalog.arrayoverlap, LEFTARG = text[], RIGHTARG = text[])",
    "CREATE TYPE public.mine AS (x integer)",
    "CREATE DOMAIN public.mine AS text",
    "CREATE AGGREGATE public.mine (jsonb) (SFUNC = jsonb_concat, STYPE = jsonb)",
    "CREATE CAST (text AS jsonb) WITH INOUT",
    'CREATE COLLATION public.mine FROM "C"',
    "CREATE VIEW public.mine AS TABLE store.object_heads",
    "CREATE MATERIALIZED VIEW public.mine AS TABLE store.object_heads",
    "CREATE INDEX ON store.object_heads ((1 / version))",
    "CREATE STATISTICS store.mine ON owner, type_name FROM store.object_heads",
    "CREATE TRIGGER t AFTER INSERT ON store.object_events EXECUTE FUNCTION store.refuse_rewrite()",
    "CREATE RULE r AS ON SELECT TO store.object_heads DO INSTEAD SELECT 1",
    "CREATE POLICY p ON store.object_heads USING (true)",
    "ALTER POLICY readers ON store.object_heads USING (true)",
    "DROP POLICY readers ON store.object_heads",
    "ALTER TABLE store.object_heads DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE store.object_heads NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE store.object_events DISABLE TRIGGER ALL",
    "ALTER TABLE store.object_heads OWNER TO bob",
    "ALTER TABLE store.object_heads ALTER COLUMN data SET STATISTICS 1000",
    "ALTER FUNCTION store.principals() SECURITY INVOKER",
    "ALTER FUNCTION store.create_objects(jsonb, text[], text[], boolean, text) OWNER TO bob",
    "DROP FUNCTION store.principals() CASCADE",
    "DROP TABLE store.object_events CASCADE",
    "DROP SCHEMA store CASCADE",
    "COMMENT ON TABLE store.object_heads IS 'mine'",
    "REINDEX TABLE store.object_heads",
    "CLUSTER store.object_heads USING object_heads_pkey",
    "ALTER SYSTEM SET log_statement = 'all'",
    "ALTER DATABASE {dbname} SET row_security = off",
    "ALTER DATABASE {dbname} OWNER TO bob",
    "CREATE DATABASE mine",
    "DROP DATABASE postgres",
    "CREATE EXTENSION hstore",
    "CREATE LANGUAGE plperlu",
    "CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION store.refuse_rewrite()",
    "CREATE FOREIGN DATA WRAPPER mine",
    "CREATE PUBLICATION mine FOR ALL TABLES",
    "CREATE SUBSCRIPTION mine CONNECTION 'dbname=store' PUBLICATION mine",
    "CREATE TABLESPACE mine LOCATION '/tmp'",
    "CREATE ACCESS METHOD mine TYPE INDEX HANDLER bthandler",
    "SECURITY LABEL ON TABLE store.object_heads IS 'mine'",
    "CHECKPOINT",
]

ON_ROLES = [
    "SET ROLE alice",
    "SET ROLE postgres",
    "SET ROLE store_owner",
    "SET ROLE store_admin",
    "SET ROLE store_reads_all",
    "SET ROLE store_engine",
    "SET SESSION AUTHORIZATION alice",
    "SET SESSION AUTHORIZATION postgres",
    "SET ROLE store_user; SET SESSION AUTHORIZATION alice",
    "SELECT set_config('role', 'store_owner', false)",
    "SELECT set_config('session_authorization', 'alice', false)",
    "SELECT set_config('session_replication_role', 'replica', false)",
    "SET session_preload_libraries = 'x'",
    "SET log_statement = 'all'",
    "SET log_min_messages = 'debug5'",
    "SET temp_file_limit = -1",
    "SET track_activities = off",
    "ALTER ROLE bob SET temp_file_limit = -1",
    "ALTER ROLE bob SET log_min_messages = 'debug5'",
    "ALTER ROLE bob SUPERUSER",
    "ALTER ROLE bob BYPASSRLS",
    "ALTER ROLE bob CREATEROLE",
    "ALTER ROLE bob CREATEDB",
    "ALTER ROLE bob REPLICATION",
    "ALTER ROLE bob CONNECTION LIMIT -1",
    "ALTER ROLE bob RENAME TO alice2",
    "ALTER ROLE alice PASSWORD 'stolen'",
    "ALTER ROLE alice NOLOGIN",
    "ALTER ROLE alice SET search_path = mine",
    "ALTER ROLE ALL SET row_security = off",
    "ALTER ROLE store_owner LOGIN PASSWORD 'x'",
    "DROP ROLE alice",
    "CREATE ROLE mallory LOGIN SUPERUSER",
    "CREATE USER mallory IN ROLE store_user",
    "GRANT alice TO bob",
    "GRANT store_owner TO bob",
    "GRANT store_admin TO bob",
    "GRANT store_reads_all TO bob",
    "GRANT pg_read_all_data TO bob",
    "REVOKE store_user FROM alice",
    "GRANT EXECUTE ON FUNCTION store.rebuild() TO bob",
    "ALTER DEFAULT PRIVILEGES FOR ROLE alice GRANT ALL ON TABLES TO bob",
    "REASSIGN OWNED BY store_owner TO bob",
    "DROP OWNED BY store_owner",
    "DROP OWNED BY alice",
]

ON_SERVER = [
    "DO $$ BEGIN RAISE LOG 'filling the log'; END $$",
    "DO LANGUAGE plpgsql $$ BEGIN NULL; END $$",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_advisory_xact_lock(hashtext('store roles'))",
    "SELECT pg_try_advisory_lock_shared(1, 2)",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, repeat('x', 1000000)::bytea)",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000))",
    "SELECT pg_export_snapshot()",
    "SELECT pg_read_file('postgresql.conf')",
    "SELECT pg_read_binary_file('pg_hba.conf')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_stat_file('pg_hba.conf')",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT * FROM pg_file_settings",
    "SELECT * FROM pg_ident_file_mappings",
    "SELECT * FROM pg_config",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "COPY (SELECT 1) TO '/tmp/mine'",
    "LOAD 'auto_explain'",
    "SELECT pg_reload_conf()",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_switch_wal()",
    "SELECT pg_create_restore_point('x')",
    "SELECT pg_backup_start('x')",
    "SELECT pg_promote()",
    "SELECT pg_create_physical_replication_slot('x')",
    "SELECT pg_create_logical_replication_slot('x', 'pgoutput')",
    "SELECT pg_replication_origin_create('x')",
    "SELECT pg_stat_reset()",
    "SELECT pg_log_backend_memory_contexts(1)",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "SELECT * FROM pg_statistic",
    "SELECT * FROM pg_largeobject",
    "SELECT * FROM pg_user_mapping",
    "SELECT * FROM pg_backend_memory_contexts",
    "BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'left behind'",
]
# What PostgreSQL answers: no privilege, no such thing for the caller, not configured, not available here.
REFUSALS = {"TS002", "42501", "55000", "0A000", "58P01", "42710", "22023", "F0000", "58000"}


@pytest.mark.parametrize("text", [*ON_TABLES, *ON_FUNCTIONS, *ON_OBJECTS, *ON_ROLES, *ON_SERVER])
def test_statement_is_refused(bob: Attacker, text: str) -> None:
    if "{secret}" in text or "{{" in text or "{dbname}" in text:
        text = text.format(secret=bob.scene.secret, dbname=bob.scene.db.dbname)
    with pytest.raises(psycopg2.Error) as caught:
        bob.run(text)
    assert caught.value.pgcode in REFUSALS, caught.value


HARMLESS = [
    "ANALYZE store.object_heads",
    "VACUUM store.object_heads",
    "DROP OWNED BY store_user",
    "SET ROLE store_user; DROP OWNED BY store_user",
    "SET ROLE store_user; ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC",
    "GRANT SELECT ON store.object_heads TO bob",
    "GRANT INSERT ON store.object_events TO bob",
    "REVOKE SELECT ON store.object_heads FROM store_user",
    "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC",
    "ALTER ROLE bob RESET ALL",
    "SELECT pg_notify('store_events', repeat('x', 7999))",
    "NOTIFY store_events, 'KRYPTON'",
    "SELECT gin_fuzzy FROM (SELECT set_config('gin_fuzzy_search_limit', '1', false)) s (gin_fuzzy)",
    "DISCARD ALL",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_statement_that_postgresql_takes_changes_nothing_of_others(bob: Attacker, text: str) -> None:
    bob.attempt(text)
    assert bob.scene.alice.count(Trade) > 0
    limit = bob.run("SELECT current_setting('temp_file_limit'), current_setting('log_min_messages')")
    assert limit == [("2GB", "fatal")]


def test_settings_of_the_base_role_hold_for_nobody(bob: Attacker) -> None:
    setting = "SET ROLE store_user; ALTER ROLE store_user SET statement_timeout = '1ms'"
    if bob.conn.server_version >= 160_000:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            bob.run(setting)
        return
    bob.run(setting)
    for user, expected in (("alice", {"10min"}), ("bob", {"10min", "0"})):  # bob may have reset his own
        with closing(bob.scene.db.connect(user)) as conn, conn.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone()[0] in expected
    bob.run("ALTER ROLE store_user RESET statement_timeout")
