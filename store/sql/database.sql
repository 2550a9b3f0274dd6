-- What concerns the whole server or database, done as far as the administrator may. Each statement is tried by itself;
-- the comment above it says what is so without it, and stands in the report when it cannot be done.

-- name: only_users_connect
-- Without it every login of the server may connect to this database and make temporary tables in it.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO store_user', current_database());
END
$$

-- name: public_schema_closed
-- Without it users may make tables and functions in the schema public.
REVOKE CREATE ON SCHEMA public FROM PUBLIC

-- name: containment_uses_the_index
-- Without it an equality filter looks through everything that its user may read, not through an index of the values.
-- Containment of jsonb raises nothing that depends on the data.
ALTER FUNCTION pg_catalog.jsonb_contains(jsonb, jsonb) LEAKPROOF

-- name: sessions_are_seen
-- Without it stable_time() may lag behind while others write, and reap() finds no session to end.
GRANT pg_read_all_stats TO store_owner

-- name: sessions_are_ended
-- Without it reap() ends no session, and a transaction that stays open delays every listener until it ends.
GRANT pg_signal_backend TO store_owner

-- name: users_are_bounded
-- Without it a user's sorts may fill the server's disk, and what its sessions print may fill the server's log.
-- PostgreSQL takes these from each login, where provision_user() sets them; here it shows whether that can be.
ALTER ROLE store_user SET temp_file_limit = '2GB'; ALTER ROLE store_user SET log_min_messages = 'fatal'
