-- The fold: the one place that says what an entity's state is at a point of both time axes.

CREATE OR REPLACE AGGREGATE store.merge(jsonb) (sfunc = jsonb_concat, stype = jsonb, initcond = '{}');

-- State(p_tx, p_valid) of one entity: of the events known at p_tx whose valid range contains p_valid, each
-- one's changed fields over the first event's, in version order. No row when no event applies; a row whose
-- event_type is DELETED when the entity is gone at that point. `state` folds as if it were a field.
CREATE OR REPLACE FUNCTION store.state_at(p_entity uuid, p_tx timestamptz, p_valid timestamptz)
RETURNS TABLE (version integer, updated_by text, tx_time timestamptz, valid_from timestamptz, valid_to timestamptz,
               state text, event_type text, data jsonb)
LANGUAGE sql STABLE AS $$
    SELECT f.version, a.updated_by, a.tx_time, a.valid_from, a.valid_to, f.data->>'state', a.event_type,
           f.data - 'state'
    FROM (
        SELECT max(e.version) AS version,
               max(e.version) FILTER (WHERE e.valid_from <= p_valid AND p_valid < e.valid_to) AS applied,
               store.merge(CASE WHEN e.state IS NULL THEN e.changes
                                ELSE e.changes || jsonb_build_object('state', e.state) END
                           ORDER BY e.version)
                   FILTER (WHERE e.version = 1 OR (e.valid_from <= p_valid AND p_valid < e.valid_to)) AS data
        FROM store.object_events e
        WHERE e.entity_id = p_entity AND e.tx_time <= p_tx
    ) f
    JOIN store.object_events a ON a.entity_id = p_entity AND a.version = f.applied
$$;

-- The first valid time after p_valid at which an event of the entity begins or ends.
CREATE OR REPLACE FUNCTION store.next_change(p_entity uuid, p_valid timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT coalesce(min(b.at), 'infinity')
    FROM store.object_events e, LATERAL (VALUES (e.valid_from), (e.valid_to)) AS b (at)
    WHERE e.entity_id = p_entity AND b.at > p_valid
$$;
