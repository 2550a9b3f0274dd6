-- Playing a past stretch of the log again.

-- Where in the log the events recorded in [p_start, p_end) lie: all of them are in (after, upto], others may be too.
CREATE OR REPLACE FUNCTION store.stretch(
    p_start timestamptz, p_end timestamptz, OUT after_seq bigint, OUT upto_seq bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT coalesce(min(e.seq) - 1, 0), coalesce(max(e.seq), 0)
    FROM store.object_events e WHERE e.tx_time >= p_start AND e.tx_time < p_end
$$;

-- The valid times from p_moment on at which entities of a type change by themselves, as known just before p_moment.
CREATE OR REPLACE FUNCTION store.changes_ahead(p_type text, p_moment timestamptz)
RETURNS TABLE (entity_id uuid, moment timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT DISTINCT e.entity_id, b.at
    FROM store.object_heads h
    JOIN store.object_events e ON e.entity_id = h.entity_id
    CROSS JOIN LATERAL (VALUES (e.valid_from), (e.valid_to)) AS b (at)
    WHERE h.type_name = p_type AND h.acl && (SELECT store.principals())
      AND e.tx_time < p_moment AND b.at >= p_moment AND b.at < 'infinity'
$$;

-- State(p_moment, p_moment) of entities of a type; data is null where a read returned nothing then.
CREATE OR REPLACE FUNCTION store.objects_at(p_type text, p_entities uuid[], p_moment timestamptz)
RETURNS SETOF store.object_state
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT h.entity_id, coalesce(s.version, 0), h.owner, s.updated_by, s.tx_time, s.valid_from,
           nullif(s.valid_to, 'infinity'), s.state, s.event_type, CASE WHEN s.event_type <> 'DELETED' THEN s.data END
    FROM store.object_heads h
    LEFT JOIN LATERAL store.state_at(h.entity_id, p_moment, p_moment) s ON true
    WHERE h.entity_id = ANY (p_entities) AND h.type_name = p_type AND h.acl && (SELECT store.principals())
$$;
