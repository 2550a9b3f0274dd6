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
-- Who is no superuser acts as the owner and administrator of what it sets up. PostgreSQL gives the maker of a role the
-- right to do this.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['store_owner', 'store_admin', 'store_engine'] LOOP
        IF NOT pg_has_role(role_name, 'USAGE') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
        END IF;
    END LOOP;
END
$$;
-- An administrator is a user too.
GRANT store_user TO store_admin;
