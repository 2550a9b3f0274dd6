-- Row security and grants. Tables: read only, and only rows whose acl names the caller.
DO $$
DECLARE
    v_table text;
BEGIN
    FOR v_table IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'store'::regnamespace AND c.relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE store.%I ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE format('ALTER TABLE store.%I FORCE ROW LEVEL SECURITY', v_table);
        EXECUTE format('DROP POLICY IF EXISTS functions ON store.%I', v_table);
        EXECUTE format('CREATE POLICY functions ON store.%I TO store_owner USING (true) WITH CHECK (true)', v_table);
    END LOOP;
END
$$;

-- For everybody, though only members of store_user may read the tables at all: a policy that names a role is dropped by
-- whoever has the role's rights and says DROP OWNED BY it.
DROP POLICY IF EXISTS readers ON store.object_heads;
CREATE POLICY readers ON store.object_heads FOR SELECT USING (acl && (SELECT store.principals()));
DROP POLICY IF EXISTS readers ON store.object_events;
CREATE POLICY readers ON store.object_events FOR SELECT
    USING (store.may_see(object_events.entity_id));
-- Grants are shown by grants_of() and object_audit() only: by a table's index, EXPLAIN ANALYZE would tell who has which.
DROP POLICY IF EXISTS readers ON store.share_events;
DROP POLICY IF EXISTS own ON store.checkpoints;
CREATE POLICY own ON store.checkpoints FOR SELECT USING (username = session_user);

REVOKE ALL ON SCHEMA store FROM PUBLIC, store_user, store_admin, store_engine;
REVOKE ALL ON ALL TABLES IN SCHEMA store FROM PUBLIC, store_user, store_admin, store_engine;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA store FROM PUBLIC, store_user, store_admin, store_engine;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA store FROM PUBLIC, store_user, store_admin, store_engine;

GRANT USAGE ON SCHEMA store TO store_user, store_engine;
GRANT SELECT ON store.object_heads, store.object_events, store.checkpoints TO store_user;
GRANT EXECUTE ON FUNCTION
    store.principals(),
    store.may_see(uuid),
    store.create_object(jsonb, boolean),
    store.create_objects(jsonb, text[], text[], boolean, text),
    store.create_batch(jsonb, text[], text[], boolean, text),
    store.append_events(jsonb, boolean, text),
    store.append_batch(jsonb, boolean, text, boolean),
    store.lock_batch(uuid[]),
    store.replay(text),
    store.object_as_of(uuid, timestamptz, timestamptz),
    store.objects_as_of(text, timestamptz, timestamptz),
    store.objects_due(text, timestamptz),
    store.objects_now(text, uuid[]),
    store.first_matches(text, jsonb, text, uuid, integer),
    store.object_history(uuid),
    store.object_audit(uuid),
    store.stable_time(),
    store.watermark(bigint),
    store.held_back_by(),
    store.read_stream(bigint, bigint, bigint, text[], integer, boolean),
    store.read_log(bigint, bigint, text[], integer, boolean),
    store.log_lag(bigint, bigint, text[]),
    store.claim_checkpoint(text, bigint),
    store.move_checkpoint(text, integer, bigint, bigint),
    store.save_checkpoint(text, bigint),
    store.stretch(timestamptz, timestamptz),
    store.changes_ahead(text, timestamptz),
    store.objects_at(text, uuid[], timestamptz),
    store.lacking_fields(text, text[]),
    store.share(uuid, text, text),
    store.unshare(uuid, text, text[]),
    store.grants_of(uuid),
    store.reap(),
    store.settle(integer),
    store.administration(),
    store.publication(text),
    store.published()
TO store_user;
GRANT EXECUTE ON FUNCTION
    store.publish(text, jsonb),
    store.lock_publications(),
    store.retire(text),
    store.set_governed(boolean),
    store.breaches(text, text[])
TO store_admin;
GRANT EXECUTE ON FUNCTION
    store.outbox_pending(integer, bigint),
    store.outbox_startable(text[], text[], text[], integer, bigint),
    store.outbox_done(uuid, integer),
    store.settle(integer),
    store.forget_workflow_keys(text[])
TO store_engine;
GRANT EXECUTE ON FUNCTION
    store.create_group(text, text[]),
    store.add_members(text, text[]),
    store.remove_members(text, text[]),
    store.drop_group(text),
    store.list_groups(),
    store.differences(),
    store.rebuild()
TO store_admin;
