-- The log is immutable even to its owner.
CREATE OR REPLACE FUNCTION store.refuse_rewrite()
RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'TS002', MESSAGE = format('%s is append-only: %s refused', TG_TABLE_NAME, TG_OP);
END
$$;
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON store.object_events
    FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_rewrite();
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON store.share_events
    FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_rewrite();
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON store.admin_events
    FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_rewrite();
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON store.publications
    FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_rewrite();
