-- What concerns the whole server or database, done as far as the administrator may. Each statement is tried by itself;
-- the comment above it says what is so without it, and stands in the report when it cannot be done.

-- name: only_users_connect
-- Without it every login of the server may connect to this database and make temporary tables in it.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO store_user, store_engine', current_database());
END
$$

-- name: public_schema_closed
-- Without it users may make tables and functions in the schema public.
REVOKE CREATE ON SCHEMA public FROM PUBLIC

-- name: engine_has_its_schema
-- Without it the workflow engine has nowhere to keep its records, among them pickled objects: whoever could write those
-- would run code in the engine's process, so nobody but the engine's role reaches this schema.
CREATE SCHEMA IF NOT EXISTS workflow AUTHORIZATION store_engine; REVOKE ALL ON SCHEMA workflow FROM PUBLIC

-- name: containment_uses_the_index
-- Without it an equality filter looks through everything that its user may read, not through an index of the values.
-- Containment of jsonb raises nothing that depends on the data.
ALTER FUNCTION pg_catalog.jsonb_contains(jsonb, jsonb) LEAKPROOF

-- name: row_security_comes_first
-- Without it EXPLAIN ANALYZE tells who guesses a value of another's entity that the guess is right. PostgreSQL makes
-- comparisons that it takes for leak-proof before it asks row security, where it holds them for cheaper, and a plan shows
-- whether that was asked: an array of one value to compare with costs half of what a comparison costs, and the subscript of
-- a jsonb value, which need not be a constant, nothing at all.
ALTER FUNCTION pg_catalog.arrayoverlap(anyarray, anyarray) COST 0.0001;
ALTER TYPE pg_catalog.jsonb SET (SUBSCRIPT = NONE)

-- name: sessions_are_seen
-- Without it stable_time() may lag behind while others write, and reap() finds no session to end.
GRANT pg_read_all_stats TO store_owner

-- name: sessions_are_ended
-- Without it reap() ends no session, and a transaction that stays open delays every listener until it ends.
GRANT pg_signal_backend TO store_owner

-- name: users_are_bounded
-- Without it a user's sorts may fill the server's disk, and what its sessions print may fill the server's log.
-- PostgreSQL takes these from each login, where provision_user() sets them; here it shows whether that can be.
ALTER ROLE store_user SET temp_file_limit = '2GB'; ALTER ROLE store_user SET log_min_messages = 'panic'

-- name: locks_are_not_lent
-- Without it a user may take the advisory locks for which changes of users and of the schema wait, and, with these or with
-- locks on all that PostgreSQL has a name for (pg_get_object_address), fill the server's table of locks, so that nobody gets
-- in. The workflow engine and administrators need them.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN SELECT p.oid FROM pg_proc p
                      WHERE p.pronamespace = 'pg_catalog'::regnamespace
                        AND p.proname ~ '^pg_((try_)?advisory_|get_object_address$)' LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', v_function);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO store_owner, store_admin, store_engine', v_function);
    END LOOP;
END
$$

-- name: no_large_objects
-- Without it users may fill the disk with large objects, which belong to no table and are seen by nobody.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN SELECT p.oid FROM pg_proc p
                      WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^(lo_|loread$|lowrite$)'
                        AND p.provolatile = 'v' LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', v_function);
    END LOOP;
END
$$

-- name: no_messages_into_the_log
-- Without it users may write as much into the write-ahead log as they like, past every table, and publish snapshots.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN SELECT p.oid FROM pg_proc p
                      WHERE p.pronamespace = 'pg_catalog'::regnamespace
                        AND p.proname IN ('pg_logical_emit_message', 'pg_export_snapshot') LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', v_function);
    END LOOP;
END
$$

-- name: no_programs
-- Without it users may run programs of their own inside the server (DO blocks), which write to its log and never end.
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC; GRANT USAGE ON LANGUAGE plpgsql TO store_owner, store_admin, store_engine

-- name: nobody_waits_for_what_users_may_not_do
-- Without it a user may make everybody wait for as long as he likes: some statements wait for a table to be theirs alone
-- before PostgreSQL looks whether their user has a right to it, and whoever comes then waits behind them. And of granting
-- what one may not grant or revoke (DROP OWNED BY store_user) PostgreSQL only warns, and writes the table's or function's
-- row in the catalog anew: all sessions throw away their plans then, as often as the user likes, and while such a change is
-- open no vacuum ends. For who waits to comment on a table, or have statistics of it, PostgreSQL breaks its own vacuum off.
CREATE OR REPLACE FUNCTION store.refuse_definition()
RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_has_role(session_user, 'store_user', 'MEMBER') AND NOT pg_has_role(session_user, 'store_admin', 'MEMBER')
       AND NOT pg_has_role(session_user, 'store_engine', 'MEMBER') THEN
        RAISE insufficient_privilege USING MESSAGE = format('%s is not for users of a store', tg_tag);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION store.refuse_definition() FROM PUBLIC, store_user, store_admin, store_engine;
GRANT EXECUTE ON FUNCTION store.refuse_definition() TO store_owner;  -- who revokes what others may have of all functions
DROP EVENT TRIGGER IF EXISTS store_refuses_definitions;
CREATE EVENT TRIGGER store_refuses_definitions ON ddl_command_start
    WHEN TAG IN ('GRANT', 'REVOKE', 'ALTER DEFAULT PRIVILEGES', 'DROP OWNED',
                 'COMMENT', 'CREATE STATISTICS', 'SECURITY LABEL',
                 'ALTER INDEX', 'ALTER MATERIALIZED VIEW', 'CREATE RULE', 'CREATE TRIGGER')
    EXECUTE FUNCTION store.refuse_definition()

-- name: clearing_up_is_not_broken_off
-- Without it a user may keep the log from being vacuumed: these functions wait for a table before they look at rights, and
-- PostgreSQL breaks its own vacuum off for whoever waits. It calls them itself without asking for a right to them.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN SELECT p.oid FROM pg_proc p
                      WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^brin_(de)?summarize_' LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', v_function);
    END LOOP;
END
$$

-- name: no_transaction_is_left_behind
-- Without it a user may prepare a transaction and leave: no session is left that reap() could end, and every listener
-- waits until an administrator rolls it back.
DO $$
BEGIN
    IF current_setting('max_prepared_transactions')::integer > 0 THEN
        RAISE WARNING 'max_prepared_transactions is %, not 0', current_setting('max_prepared_transactions');
    END IF;
END
$$

-- name: administrators_get_in
-- Without it the connections that reserved_connections keeps free are not for the store's administrators.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pg_use_reserved_connections') THEN  -- PostgreSQL 16 and newer
        GRANT pg_use_reserved_connections TO store_admin;
    END IF;
END
$$

-- name: users_act_as_themselves
-- Without it users whom an earlier version made can act as the store's base role (SET ROLE): nothing is to be had by that,
-- but they could change its settings.
DO $$
DECLARE
    v record;
BEGIN
    IF current_setting('server_version_num')::integer < 160000 THEN
        RETURN;  -- where membership and acting as a role are one
    END IF;
    FOR v IN
        SELECT m.roleid::regrole AS store_role, u.rolname, m.grantor::regrole AS grantor
        FROM pg_auth_members m JOIN pg_roles u ON u.oid = m.member
        WHERE m.roleid IN ('store_user'::regrole, 'store_reads_all'::regrole, 'store_admin'::regrole)
          AND (to_jsonb(m)->>'set_option')::boolean AND u.rolcanlogin AND NOT u.rolsuper AND NOT u.rolcreaterole
    LOOP
        EXECUTE format('GRANT %s TO %I WITH SET FALSE GRANTED BY %s', v.store_role, v.rolname, v.grantor);
    END LOOP;
END
$$
