-- Run by the superuser, outside the owner's rights: what concerns the whole database.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO store_user', current_database());
END
$$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
-- Containment of jsonb raises nothing that depends on the data. Marked so, it may use the index under row security.
ALTER FUNCTION pg_catalog.jsonb_contains(jsonb, jsonb) LEAKPROOF;
