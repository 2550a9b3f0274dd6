-- Cluster-wide roles. None of them can log in; login roles are members of store_user.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['store_owner', 'store_user', 'store_reads_all', 'store_admin', 'store_engine'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of the cluster is being set up at the same moment
            END;
        END IF;
    END LOOP;
END
$$;
-- stable_time() must see when other sessions' transactions began; reap() ends those that are too old.
GRANT pg_read_all_stats, pg_signal_backend TO store_owner;
