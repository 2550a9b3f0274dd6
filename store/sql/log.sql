-- Reading the past: one entity or a whole type at a point of both axes, its events, and the log in safe order.
-- These functions look past row security, so each asks for the caller's principals itself.

-- State(p_tx, p_valid) of one entity. p_tx null: everything committed. p_valid null: now.
CREATE OR REPLACE FUNCTION store.object_as_of(p_entity uuid, p_tx timestamptz, p_valid timestamptz)
RETURNS TABLE (type_name text, version integer, owner text, updated_by text, tx_time timestamptz,
               valid_from timestamptz, valid_to timestamptz, state text, event_type text, data jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT h.type_name, s.version, h.owner, s.updated_by, s.tx_time, s.valid_from, nullif(s.valid_to, 'infinity'),
           s.state, s.event_type, s.data
    FROM store.object_heads h
    LEFT JOIN LATERAL store.state_at(h.entity_id, coalesce(p_tx, 'infinity'),
                                     coalesce(p_valid, greatest(clock_timestamp(), h.last_tx_time))) s
           ON s.event_type <> 'DELETED'
    WHERE h.entity_id = p_entity AND h.acl && (SELECT store.principals())
$$;

-- Whether a head holds State(p_tx, p_valid): nothing was recorded after p_tx, and no valid range begins or ends between
-- the moment of its fold and p_valid.
CREATE OR REPLACE FUNCTION store.head_tells(h store.object_heads, p_tx timestamptz, p_valid timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (h).last_tx_time <= coalesce(p_tx, 'infinity')
           AND coalesce(p_valid, greatest(statement_timestamp(), (h).last_tx_time)) >= (h).folded_at
           AND coalesce(p_valid, greatest(statement_timestamp(), (h).last_tx_time)) < (h).due
$$;

-- State(p_tx, p_valid) of many entities, those present at that point. In the order of their ids, in which neighbours' events
-- stand near each other. The planner, who has no statistics of ids, would collect each entity's few events in a bitmap, or
-- read the whole log for all.
CREATE OR REPLACE FUNCTION store.states_of(p_entities uuid[], p_tx timestamptz, p_valid timestamptz)
RETURNS SETOF store.object_state
LANGUAGE sql STABLE
SET plan_cache_mode = force_generic_plan SET enable_bitmapscan = off SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    SELECT h.entity_id, s.version, h.owner, s.updated_by, s.tx_time, s.valid_from, nullif(s.valid_to, 'infinity'),
           s.state, s.event_type, s.data
    FROM unnest(p_entities) AS e (entity_id)
    JOIN store.object_heads h ON h.entity_id = e.entity_id
    CROSS JOIN LATERAL store.state_at(h.entity_id, coalesce(p_tx, 'infinity'),
                                      coalesce(p_valid, greatest(statement_timestamp(), h.last_tx_time))) s
    WHERE s.event_type <> 'DELETED'
$$;

-- The same for every entity of a type that the caller may see; only those present at that point.
CREATE OR REPLACE FUNCTION store.objects_as_of(p_type text, p_tx timestamptz, p_valid timestamptz)
RETURNS SETOF store.object_state
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT h.entity_id, h.version, h.owner, h.updated_by, h.tx_time, h.valid_from, nullif(h.valid_to, 'infinity'),
           h.state, h.event_type, h.data
    FROM store.object_heads h
    WHERE h.type_name = p_type AND store.head_tells(h, p_tx, p_valid) AND h.present
      AND h.acl && (SELECT store.principals())
    UNION ALL
    SELECT * FROM store.states_of(ARRAY(
        SELECT h.entity_id FROM store.object_heads h
        WHERE h.type_name = p_type AND NOT store.head_tells(h, p_tx, p_valid) AND h.acl && (SELECT store.principals())
        ORDER BY h.entity_id), p_tx, p_valid)
$$;

-- The current state of those entities of a type whose head a valid time has overtaken.
CREATE OR REPLACE FUNCTION store.objects_due(p_type text, p_now timestamptz)
RETURNS SETOF store.object_state
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT h.entity_id, s.version, h.owner, s.updated_by, s.tx_time, s.valid_from, nullif(s.valid_to, 'infinity'),
           s.state, s.event_type, s.data
    FROM store.object_heads h,
         LATERAL store.state_at(h.entity_id, 'infinity', p_now) s
    WHERE h.due <= p_now AND h.due < 'infinity' AND h.type_name = p_type AND s.event_type <> 'DELETED'
      AND h.acl && (SELECT store.principals())
$$;

-- What a read returns now for entities of a type that the caller may see, and when that next changes by itself.
-- data is null where a read returns nothing.
CREATE OR REPLACE FUNCTION store.objects_now(p_type text, p_entities uuid[])
RETURNS TABLE (entity_id uuid, version integer, owner text, updated_by text, tx_time timestamptz,
               valid_from timestamptz, valid_to timestamptz, state text, event_type text, data jsonb, due timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT h.entity_id, h.version, h.owner, s.updated_by, s.tx_time, s.valid_from, nullif(s.valid_to, 'infinity'),
           s.state, s.event_type, CASE WHEN s.event_type <> 'DELETED' THEN s.data END,
           nullif(store.next_change(h.entity_id, a.present_moment), 'infinity')
    FROM store.object_heads h
    CROSS JOIN LATERAL (SELECT greatest(statement_timestamp(), h.last_tx_time) AS present_moment) a
    LEFT JOIN LATERAL store.state_at(h.entity_id, 'infinity', a.present_moment) s ON true
    WHERE h.entity_id = ANY (p_entities) AND h.type_name = p_type AND h.acl && (SELECT store.principals())
$$;

-- The first entities of a type, in entity order behind p_after, whose current data contains p_contained and whose
-- state is p_state (null: any); only those found among the next few, beyond which the index on data costs less.
CREATE OR REPLACE FUNCTION store.first_matches(
    p_type text, p_contained jsonb, p_state text, p_after uuid, p_limit integer)
RETURNS SETOF store.object_state
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_principals text[] := store.principals();
    v_now timestamptz := clock_timestamp();
    v_entities float;
BEGIN
    SELECT greatest(c.reltuples, 0) INTO v_entities FROM pg_class c WHERE c.oid = 'store.object_heads'::regclass;
    RETURN QUERY
    SELECT h.entity_id, h.version, h.owner, s.updated_by, s.tx_time, s.valid_from, nullif(s.valid_to, 'infinity'),
           s.state, s.event_type, s.data
    FROM (
        SELECT * FROM store.object_heads x
        WHERE x.type_name = p_type
          AND x.entity_id > coalesce(p_after, '00000000-0000-0000-0000-000000000000')
        ORDER BY x.entity_id LIMIT greatest(200, sqrt(p_limit * v_entities))
    ) h
    CROSS JOIN LATERAL (
        SELECT h.updated_by, h.tx_time, h.valid_from, h.valid_to, h.state, h.event_type, h.data
        WHERE h.due > v_now AND h.present
        UNION ALL
        SELECT f.updated_by, f.tx_time, f.valid_from, f.valid_to, f.state, f.event_type, f.data
        FROM store.state_at(h.entity_id, 'infinity', v_now) f
        WHERE h.due <= v_now AND f.event_type <> 'DELETED'
    ) s
    WHERE h.acl && v_principals AND s.data @> p_contained AND (p_state IS NULL OR s.state = p_state)
    ORDER BY h.entity_id LIMIT p_limit;
END
$$;

-- One row an event, oldest first: the state it left at its own valid_from; a deletion shows the state before it.
CREATE OR REPLACE FUNCTION store.object_history(p_entity uuid)
RETURNS TABLE (type_name text, version integer, owner text, updated_by text, tx_time timestamptz,
               valid_from timestamptz, valid_to timestamptz, state text, event_type text, data jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT e.type_name, e.version, h.owner, e.updated_by, e.tx_time, e.valid_from, nullif(e.valid_to, 'infinity'),
           s.state, e.event_type, s.data
    FROM store.object_heads h
    CROSS JOIN LATERAL store.states_along(h.entity_id, 1, h.version, true) s
    JOIN store.object_events e ON e.entity_id = h.entity_id AND e.version = s.version
    WHERE h.entity_id = p_entity AND h.acl && (SELECT store.principals())
    ORDER BY e.version
$$;

-- stable_time() for an owner who may not see when other sessions' transactions began. Each transaction gets its id
-- before it stamps its clock, so a time read before an id was handed out is stable once no older id runs: at once where
-- nothing else runs, else the last such time that was noted and has proved so.
CREATE OR REPLACE FUNCTION store.proven_time()
RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_stamping boolean := pg_current_xact_id_if_assigned() IS NOT NULL;
    v_now timestamptz := clock_timestamp();
    v_fence xid8 := pg_current_xact_id();
    v_oldest xid8 := pg_snapshot_xmin(pg_current_snapshot());
    v_proven timestamptz;
    v store.stability;
BEGIN
    SELECT * INTO v FROM store.stability;
    v_proven := CASE WHEN v_oldest >= v_fence AND NOT v_stamping THEN v_now
                     WHEN v_oldest >= v.fence THEN greatest(v.at, v.proven) ELSE v.proven END;
    PERFORM FROM store.stability FOR UPDATE SKIP LOCKED;
    IF FOUND AND NOT v_stamping THEN
        UPDATE store.stability s
        -- A fence beyond this transaction's id is another server's, from which the database was restored.
        SET proven = greatest(s.proven, v_proven),
            fence = CASE WHEN v_oldest >= s.fence OR s.fence > v_fence THEN v_fence ELSE s.fence END,
            at = CASE WHEN v_oldest >= s.fence OR s.fence > v_fence THEN v_now ELSE s.at END;
    END IF;
    RETURN v_proven;
END
$$;

-- The newest transaction time whose answers can no longer change: no running transaction can still stamp an
-- earlier one, because each stamps its clock after it began.
CREATE OR REPLACE FUNCTION store.stable_time()
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_oldest timestamptz;
BEGIN
    IF NOT pg_has_role('pg_read_all_stats', 'USAGE') THEN
        RETURN store.proven_time();
    END IF;
    PERFORM pg_stat_clear_snapshot();
    SELECT min(a.xact_start) INTO v_oldest FROM pg_stat_activity a
    WHERE a.backend_xid IS NOT NULL AND a.datname = current_database() AND a.backend_type = 'client backend';
    RETURN least(v_now, v_oldest - interval '1 microsecond');
END
$$;

-- The events in (p_after, p_upto] that the caller may see now, by seq: at most p_limit, and about 8 MB of them.
-- data, when asked for, is State(tx_time, tx_time): what a read returned just after the event, null if nothing.
-- due: when what a read returns of the entity next changes by itself, counted from its newest event on.
-- The planner cannot know how few rows a batch takes, and would read the whole log for each, or all heads that the
-- caller may see.
CREATE OR REPLACE FUNCTION store.read_log(p_after bigint, p_upto bigint, p_types text[], p_limit integer, p_data boolean)
RETURNS TABLE (seq bigint, entity_id uuid, version integer, owner text, updated_by text, tx_time timestamptz,
               valid_from timestamptz, valid_to timestamptz, state text, event_type text, type_name text,
               changes text, data text, due timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = off AS $$
DECLARE
    v_bytes bigint := 0;
    v_changes jsonb;
    v_data jsonb;
BEGIN
    FOR seq, entity_id, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, type_name, v_changes,
        v_data, due IN
    SELECT e.seq, e.entity_id, e.version, h.owner, e.updated_by, e.tx_time, e.valid_from,
           nullif(e.valid_to, 'infinity'), s.state, e.event_type, e.type_name, e.changes, s.data,
           nullif(h.due, 'infinity')
    FROM store.object_events e
    CROSS JOIN LATERAL (SELECT * FROM store.object_heads x WHERE x.entity_id = e.entity_id OFFSET 0) h
    LEFT JOIN LATERAL (
        SELECT h.state, h.data WHERE h.folded_at = e.tx_time AND h.version = e.version AND h.present
        UNION ALL
        SELECT a.state, a.data FROM store.state_at(e.entity_id, e.tx_time, e.tx_time) a
        WHERE NOT (h.folded_at = e.tx_time AND h.version = e.version) AND a.event_type <> 'DELETED'
    ) s ON true
    WHERE e.seq > p_after AND e.seq <= p_upto AND (p_types IS NULL OR e.type_name = ANY (p_types))
      AND h.acl && (SELECT store.principals())
    ORDER BY e.seq LIMIT p_limit
    LOOP
        changes := v_changes::text;
        data := v_data::text;
        v_bytes := v_bytes + octet_length(changes) + coalesce(octet_length(data), 0);
        RETURN NEXT;
        EXIT WHEN v_bytes >= 8388608;
    END LOOP;
END
$$;

-- Who changed what, when: each event with its fields' new values and what was known of them just before, and each
-- grant of access.
CREATE OR REPLACE FUNCTION store.object_audit(p_entity uuid)
RETURNS TABLE (version integer, event_type text, updated_by text, tx_time timestamptz, valid_from timestamptz,
               valid_to timestamptz, state text, changes jsonb, old jsonb, meta jsonb, type_name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT a.version, a.event_type, a.updated_by, a.tx_time, a.valid_from, a.valid_to, a.state, a.changes, a.old,
           a.meta, h.type_name
    FROM store.object_heads h
    CROSS JOIN LATERAL (
        SELECT e.version, e.event_type, e.updated_by, e.tx_time, e.valid_from,
               nullif(e.valid_to, 'infinity') AS valid_to, s.state, e.changes,
               s.before AS old, e.meta, 0::bigint AS share
        FROM store.states_along(h.entity_id, 1, h.version, true, true) s
        JOIN store.object_events e ON e.entity_id = h.entity_id AND e.version = s.version
        UNION ALL
        SELECT g.version, g.action, g.grantor, g.tx_time, NULL, NULL, NULL, '{}', NULL,
               jsonb_build_object('principal', g.principal, 'access', g.access), g.seq
        FROM store.share_events g
        WHERE g.entity_id = h.entity_id
    ) a
    WHERE h.entity_id = p_entity AND h.acl && (SELECT store.principals())
    ORDER BY a.tx_time, a.version, a.share
$$;

-- Those of p_fields without which some entity of the type was created that the caller may see. Of the others' entities
-- nothing can be told from the answer, and nobody's odd ones turn the others' filters away from their index.
CREATE OR REPLACE FUNCTION store.lacking_fields(p_type text, p_fields text[])
RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
DECLARE
    v_principals text[] := store.principals();
    v_owners text[];
BEGIN
    WITH suspect AS MATERIALIZED (
        SELECT DISTINCT t.owner FROM store.type_shapes t WHERE t.type_name = p_type AND NOT t.fields @> p_fields
    )
    SELECT array_agg(s.owner) INTO v_owners
    FROM suspect s
    WHERE s.owner = session_user
       OR EXISTS (SELECT FROM store.object_heads h
                  WHERE h.acl && ARRAY[s.owner] AND h.acl && v_principals AND h.type_name = p_type
                    AND h.owner = s.owner);
    RETURN ARRAY(SELECT f FROM unnest(p_fields) AS f
                 WHERE EXISTS (SELECT FROM store.type_shapes t
                               WHERE t.type_name = p_type AND t.owner = ANY (v_owners) AND f <> ALL (t.fields)));
END
$$;
