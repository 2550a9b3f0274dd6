-- Handing the workflows to be started to the engine, which alone may call these: its login is a member of store_engine.

-- The oldest rows behind p_after. A row that cannot be started stays: the next page goes on behind it.
CREATE OR REPLACE FUNCTION store.outbox_pending(p_limit integer, p_after bigint DEFAULT 0)
RETURNS TABLE (entity_id uuid, version integer, seq bigint, type_name text, from_state text, to_state text,
               username text, created_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT o.entity_id, o.version, o.seq, o.type_name, o.from_state, o.to_state, o.username, o.created_at
    FROM store.workflow_outbox o WHERE o.seq > p_after ORDER BY o.seq LIMIT p_limit
$$;

-- The oldest rows behind p_after of some edges, whatever else waits.
CREATE OR REPLACE FUNCTION store.outbox_startable(
    p_types text[], p_from text[], p_to text[], p_limit integer, p_after bigint)
RETURNS TABLE (entity_id uuid, version integer, seq bigint, type_name text, from_state text, to_state text,
               username text, created_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT o.entity_id, o.version, o.seq, o.type_name, o.from_state, o.to_state, o.username, o.created_at
    FROM unnest(p_types, p_from, p_to) AS e (type_name, from_state, to_state)
    CROSS JOIN LATERAL (
        SELECT * FROM store.workflow_outbox x
        WHERE x.type_name = e.type_name AND x.from_state = e.from_state AND x.to_state = e.to_state AND x.seq > p_after
        ORDER BY x.seq LIMIT p_limit
    ) o
    ORDER BY o.seq LIMIT p_limit
$$;

-- Takes out a row whose workflow is started durably. False when another drain was faster.
CREATE OR REPLACE FUNCTION store.outbox_done(p_entity uuid, p_version integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
BEGIN
    DELETE FROM store.workflow_outbox o WHERE o.entity_id = p_entity AND o.version = p_version;
    RETURN FOUND;
END
$$;
