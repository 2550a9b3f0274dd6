-- The projection, derived anew from the logs, and compared with what stands.

CREATE OR REPLACE FUNCTION store.projected(p_entity uuid, p_folded_at timestamptz)
RETURNS store.object_heads LANGUAGE sql STABLE AS $$
    SELECT f.entity_id, f.type_name, f.owner,
           ARRAY(SELECT g.principal FROM store.current_grants(f.entity_id) g WHERE g.access = 'READ' ORDER BY 1),
           ARRAY(SELECT g.principal FROM store.current_grants(f.entity_id) g WHERE g.access = 'WRITE' ORDER BY 1),
           NULL::text[], f.version, f.last_tx_time, f.state_since, f.deleted, a.at,
           store.next_change(f.entity_id, a.at), coalesce(s.event_type <> 'DELETED', false),
           s.event_type, s.tx_time, s.valid_from, s.valid_to, s.updated_by, s.state, s.data, NULL::bigint
    FROM (
        SELECT e.entity_id, min(e.type_name) AS type_name, max(e.version) AS version, max(e.tx_time) AS last_tx_time,
               min(e.updated_by) FILTER (WHERE e.version = 1) AS owner,
               (array_agg(e.valid_from ORDER BY e.version DESC)
                    FILTER (WHERE e.event_type IN ('CREATED', 'STATE_CHANGE')))[1] AS state_since,
               coalesce(range_agg(tstzrange(e.valid_from, e.valid_to)) FILTER (WHERE e.event_type = 'DELETED'),
                        '{}'::tstzmultirange) AS deleted
        FROM store.object_events e WHERE e.entity_id = p_entity GROUP BY e.entity_id
    ) f
    CROSS JOIN LATERAL (SELECT greatest(p_folded_at, f.last_tx_time) AS at) a
    LEFT JOIN LATERAL store.state_at(f.entity_id, 'infinity', a.at) s ON true
$$;

-- Entities whose head is not what the log says, with the columns that differ; empty in a sound store.
CREATE OR REPLACE FUNCTION store.differences()
RETURNS TABLE (entity_id uuid, type_name text, problem text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT coalesce(h.entity_id, l.entity_id), coalesce(h.type_name, l.type_name),
           CASE WHEN h.entity_id IS NULL THEN 'has events but no head'
                WHEN l.entity_id IS NULL THEN 'has a head but no events'
                WHEN l.versions <> l.newest THEN 'versions are not contiguous'
                ELSE concat_ws(', ',
                    CASE WHEN h.type_name <> p.type_name THEN 'type_name' END,
                    CASE WHEN h.owner <> p.owner THEN 'owner' END,
                    CASE WHEN NOT (h.readers @> p.readers AND h.readers <@ p.readers) THEN 'readers' END,
                    CASE WHEN NOT (h.writers @> p.writers AND h.writers <@ p.writers) THEN 'writers' END,
                    CASE WHEN h.version <> p.version THEN 'version' END,
                    CASE WHEN h.last_tx_time <> p.last_tx_time THEN 'last_tx_time' END,
                    CASE WHEN h.state_since <> p.state_since THEN 'state_since' END,
                    CASE WHEN h.deleted <> p.deleted THEN 'deleted' END,
                    CASE WHEN h.due <> p.due THEN 'due' END,
                    CASE WHEN h.present <> p.present THEN 'present' END,
                    CASE WHEN h.present AND h.event_type <> p.event_type THEN 'event_type' END,
                    CASE WHEN h.present AND h.tx_time <> p.tx_time THEN 'tx_time' END,
                    CASE WHEN h.present AND h.valid_from <> p.valid_from THEN 'valid_from' END,
                    CASE WHEN h.present AND h.valid_to <> p.valid_to THEN 'valid_to' END,
                    CASE WHEN h.present AND h.updated_by <> p.updated_by THEN 'updated_by' END,
                    CASE WHEN h.present AND h.state IS DISTINCT FROM p.state THEN 'state' END,
                    CASE WHEN h.present AND h.data <> p.data THEN 'data' END) END
    FROM store.object_heads h
    FULL JOIN (SELECT e.entity_id, min(e.type_name) AS type_name, count(*) AS versions, max(e.version) AS newest
               FROM store.object_events e GROUP BY e.entity_id) l ON l.entity_id = h.entity_id
    LEFT JOIN LATERAL store.projected(h.entity_id, h.folded_at) p ON true
    WHERE h.entity_id IS NULL OR l.entity_id IS NULL OR l.versions <> l.newest
       OR h.type_name <> p.type_name OR h.owner <> p.owner
       OR NOT (h.readers @> p.readers AND h.readers <@ p.readers)
       OR NOT (h.writers @> p.writers AND h.writers <@ p.writers)
       OR (h.version, h.last_tx_time, h.state_since, h.deleted, h.due, h.present)
          IS DISTINCT FROM (p.version, p.last_tx_time, p.state_since, p.deleted, p.due, p.present)
       OR (h.present AND (h.event_type, h.tx_time, h.valid_from, h.valid_to, h.updated_by, h.state, h.data)
                         IS DISTINCT FROM
                         (p.event_type, p.tx_time, p.valid_from, p.valid_to, p.updated_by, p.state, p.data))
    UNION ALL
    -- Each snapshot against the log from the one before it on.
    SELECT k.entity_id, coalesce(a.type_name, ''), format('the snapshot of version %s differs', k.version)
    FROM store.snapshots k
    LEFT JOIN store.object_events a ON a.entity_id = k.entity_id AND a.version = k.applied
    LEFT JOIN LATERAL store.folded(k.entity_id, k.tx_time, k.tx_time, k.version) f ON true
    WHERE (k.version, a.tx_time, a.event_type, k.folded->>'state', k.folded - 'state', k.due)
          IS DISTINCT FROM
          (f.version, f.tx_time, f.event_type, f.state, f.data, store.next_change_known(k.entity_id, k.version, k.tx_time))
$$;

-- Makes every head anew from the logs, folded at the present moment, and every snapshot. Returns how many heads there
-- are. Whoever comes while this waits for a lock waits behind it: it does not do so for long.
CREATE OR REPLACE FUNCTION store.rebuild()
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    v_rows bigint;
    v_holders text;
    e record;
BEGIN
    BEGIN
        LOCK TABLE store.object_heads, store.snapshots IN ACCESS EXCLUSIVE MODE;
    EXCEPTION WHEN lock_not_available THEN
        SELECT string_agg(DISTINCT quote_ident(a.usename), ', ') INTO v_holders
        FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.relation IN ('store.object_heads'::regclass, 'store.snapshots'::regclass) AND l.granted
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND a.pid <> pg_backend_pid();
        PERFORM store.refuse('TS014', format('the projection is read by open transactions, of %s: let them end, or end'
                                             ' them, and repeat this', coalesce(v_holders, 'users who have gone')), '{}');
    END;
    -- Not by TRUNCATE, after which a statement that began before and waits for the lock finds nothing: a listener would
    -- take that for all there is, and go on behind events that it has never seen.
    DELETE FROM store.object_heads;
    DELETE FROM store.snapshots;
    FOR e IN
        SELECT x.entity_id, x.version, x.tx_time FROM store.object_events x
        WHERE store.leaves_snapshot(x.version) ORDER BY x.entity_id, x.version
    LOOP
        INSERT INTO store.snapshots (entity_id, version, tx_time, due, applied, folded)
        SELECT e.entity_id, e.version, e.tx_time, store.next_change_known(e.entity_id, e.version, e.tx_time),
               a.version, CASE WHEN s.state IS NULL THEN s.data ELSE s.data || jsonb_build_object('state', s.state) END
        FROM store.state_at(e.entity_id, e.tx_time, e.tx_time) s
        JOIN store.object_events a ON a.entity_id = e.entity_id AND a.tx_time = s.tx_time
        WHERE s.event_type <> 'DELETED';
    END LOOP;
    INSERT INTO store.object_heads (entity_id, type_name, owner, readers, writers, version, last_tx_time, state_since,
                                    deleted, folded_at, due, present, event_type, tx_time, valid_from, valid_to,
                                    updated_by, state, data)
    SELECT p.entity_id, p.type_name, p.owner, p.readers, p.writers, p.version, p.last_tx_time, p.state_since,
           p.deleted, p.folded_at, p.due, p.present, coalesce(p.event_type, c.event_type),
           coalesce(p.tx_time, c.tx_time), coalesce(p.valid_from, c.valid_from), coalesce(p.valid_to, c.valid_to),
           coalesce(p.updated_by, c.updated_by), CASE WHEN p.event_type IS NULL THEN c.state ELSE p.state END,
           coalesce(p.data, c.changes)
    FROM store.object_events c
    CROSS JOIN LATERAL store.projected(c.entity_id, clock_timestamp()) p
    WHERE c.version = 1;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END
$$;
