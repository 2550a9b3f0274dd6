-- The fold: the one place that says what an entity's state is at a point of both time axes.

-- Changed fields over each other, in order.
CREATE OR REPLACE FUNCTION store.merged(p_changes jsonb[])
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_data jsonb := coalesce(p_changes[1], '{}');
BEGIN
    FOR n IN 2..cardinality(p_changes) LOOP
        v_data := v_data || p_changes[n];
    END LOOP;
    RETURN v_data;
END
$$;
CREATE OR REPLACE AGGREGATE store.merge(jsonb) (
    sfunc = array_append, stype = jsonb[], initcond = '{}', finalfunc = store.merged);

-- How many events a fold holds in memory at once.
CREATE OR REPLACE FUNCTION store.folded_together()
RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT 16 $$;

-- The changed fields of some versions over what came before them, in order. One after the other: whoever reads an entity
-- would else hold all of its changes in memory, each as large as an object may be. Each `||` copies all that there is so
-- far: of many changes, the newest value of each field is picked instead.
CREATE OR REPLACE FUNCTION store.overlaid(p_entity uuid, p_data jsonb, p_versions integer[])
RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_data jsonb := p_data;
    v record;
BEGIN
    IF p_versions IS NULL THEN
        RETURN v_data;
    ELSIF cardinality(p_versions) <= 128 THEN
        FOR v IN
            SELECT e.changes, e.state FROM store.object_events e
            WHERE e.entity_id = p_entity AND e.version = ANY (p_versions) ORDER BY e.version
        LOOP
            v_data := v_data || v.changes;
            IF v.state IS NOT NULL THEN
                v_data := v_data || jsonb_build_object('state', v.state);
            END IF;
        END LOOP;
        RETURN v_data;
    END IF;
    RETURN v_data || (
        SELECT coalesce(jsonb_object_agg(c.key, c.value), '{}')
        FROM (SELECT w.version, jsonb_object_agg(w.key, NULL) AS keys
              FROM (SELECT k.key, max(e.version) AS version
                    FROM store.object_events e, jsonb_object_keys(e.changes) AS k (key)
                    WHERE e.entity_id = p_entity AND e.version = ANY (p_versions)
                    GROUP BY k.key COLLATE "C", k.key) w
              GROUP BY w.version) n
        JOIN store.object_events e ON e.entity_id = p_entity AND e.version = n.version
        CROSS JOIN LATERAL jsonb_each(e.changes) c
        WHERE n.keys ? c.key
    ) || coalesce((
        SELECT jsonb_build_object('state', e.state) FROM store.object_events e
        WHERE e.entity_id = p_entity AND e.version = ANY (p_versions) AND e.state IS NOT NULL
        ORDER BY e.version DESC LIMIT 1), '{}');
END
$$;

-- State(p_tx, p_valid) of one entity: of the events known at p_tx whose valid range contains p_valid, each
-- one's changed fields over the first event's, in version order. No row when no event applies; a row whose
-- event_type is DELETED when the entity is gone at that point. `state` folds as if it were a field.
-- A snapshot of a version before p_below, where one holds at that point, stands for the events up to its own.
CREATE OR REPLACE FUNCTION store.folded(p_entity uuid, p_tx timestamptz, p_valid timestamptz, p_below integer)
RETURNS TABLE (version integer, updated_by text, tx_time timestamptz, valid_from timestamptz, valid_to timestamptz,
               state text, event_type text, data jsonb)
LANGUAGE sql STABLE AS $$
    SELECT f.version, a.updated_by, a.tx_time, a.valid_from, a.valid_to, f.data->>'state', a.event_type,
           f.data - 'state'
    FROM (
        SELECT max(c.version) AS version, max(c.applied) AS applied,
               store.overlaid(p_entity,
                              store.merge(c.changes ORDER BY c.version)
                                  FILTER (WHERE c.place <= store.folded_together() AND (c.version = 1 OR c.applied IS NOT NULL)),
                              array_agg(c.version) FILTER (WHERE c.place > store.folded_together() AND c.applied IS NOT NULL)) AS data
        FROM (SELECT p_entity) AS p (entity_id)
        LEFT JOIN LATERAL (
            SELECT s.version, s.applied, s.folded FROM store.snapshots s
            WHERE s.entity_id = p.entity_id AND s.tx_time <= least(p_tx, p_valid) AND s.due > p_valid
              AND s.version < p_below
            ORDER BY s.tx_time DESC LIMIT 1
        ) k ON true
        CROSS JOIN LATERAL (
            SELECT 0, k.version, k.applied, k.folded WHERE k.version IS NOT NULL
            UNION ALL
            SELECT e.version - coalesce(k.version, 0), e.version,
                   CASE WHEN e.valid_from <= p_valid AND p_valid < e.valid_to THEN e.version END,
                   CASE WHEN e.state IS NULL THEN e.changes
                        ELSE e.changes || jsonb_build_object('state', e.state) END
            FROM store.object_events e
            WHERE e.entity_id = p.entity_id AND e.tx_time <= p_tx AND e.version > coalesce(k.version, 0)
        ) AS c (place, version, applied, changes)
    ) f
    JOIN store.object_events a ON a.entity_id = p_entity AND a.version = f.applied
$$;

CREATE OR REPLACE FUNCTION store.state_at(p_entity uuid, p_tx timestamptz, p_valid timestamptz)
RETURNS TABLE (version integer, updated_by text, tx_time timestamptz, valid_from timestamptz, valid_to timestamptz,
               state text, event_type text, data jsonb)
LANGUAGE sql STABLE AS $$ SELECT * FROM store.folded(p_entity, p_tx, p_valid, 2147483647) $$;

-- Whether a version is one that leaves a snapshot, unless the entity is absent then.
CREATE OR REPLACE FUNCTION store.leaves_snapshot(p_version integer)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT p_version % 64 = 0 $$;

-- Keeps the present state of an entity, whose head has just been brought up to date.
CREATE OR REPLACE FUNCTION store.keep_snapshot(p_entity uuid)
RETURNS void LANGUAGE sql VOLATILE AS $$
    INSERT INTO store.snapshots (entity_id, version, tx_time, due, applied, folded)
    SELECT h.entity_id, h.version, h.folded_at, h.due,
           (SELECT e.version FROM store.object_events e
            WHERE e.entity_id = h.entity_id AND e.tx_time = h.tx_time ORDER BY e.version DESC LIMIT 1),
           CASE WHEN h.state IS NULL THEN h.data ELSE h.data || jsonb_build_object('state', h.state) END
    FROM store.object_heads h WHERE h.entity_id = p_entity AND h.present
$$;

-- The first valid time after p_valid at which an event of the entity, up to p_version, begins or ends.
CREATE OR REPLACE FUNCTION store.next_change_known(p_entity uuid, p_version integer, p_valid timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT coalesce(min(b.at), 'infinity')
    FROM store.object_events e, LATERAL (VALUES (e.valid_from), (e.valid_to)) AS b (at)
    WHERE e.entity_id = p_entity AND e.version <= p_version AND b.at > p_valid
$$;

-- The first valid time after p_valid at which any event of the entity begins or ends.
CREATE OR REPLACE FUNCTION store.next_change(p_entity uuid, p_valid timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT store.next_change_known(p_entity, 2147483647, p_valid) $$;

-- The states along an entity's life: for each event from p_first to p_last, State(tx_time, valid) where valid is the
-- event's own valid_from (p_own) or its tx_time; `event_type` is that of the last event that applies there, null for
-- none; `before` is State just before the event was recorded, at the same valid time, null where the entity was absent.
-- One event's state is the one before it and its own changes, as long as no event begins or ends between their valid
-- times: the log is folded once for all of them, and again only where that does not hold.
-- p_changed: no `data`, and of `before` only what the event changes. Each of many small changes of a large object would
-- else come to twice that object, and together to more than a session may keep on the disk.
-- What is asked for is refused once it comes to 512 MiB written out: whoever asks has it all in memory.
DROP FUNCTION IF EXISTS store.states_along(uuid, integer, integer, boolean);
CREATE OR REPLACE FUNCTION store.states_along(
    p_entity uuid, p_first integer, p_last integer, p_own boolean, p_changed boolean DEFAULT false)
RETURNS TABLE (version integer, event_type text, state text, data jsonb, before jsonb)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    e store.object_events;
    v_created store.object_events;
    v_known timestamptz;      -- tx_time of the event before
    v_at timestamptz;         -- the valid time at which the carried state holds
    v_due timestamptz;        -- and where it next changes
    v_last text;              -- type of the last event applied to it
    v_state text;
    v_data jsonb;
    v_valid timestamptz;
    v_bytes bigint := 0;
    s record;
BEGIN
    SELECT * INTO v_created FROM store.object_events x WHERE x.entity_id = p_entity AND x.version = 1;
    SELECT x.tx_time INTO v_known FROM store.object_events x WHERE x.entity_id = p_entity AND x.version = p_first - 1;
    FOR e IN
        SELECT * FROM store.object_events x
        WHERE x.entity_id = p_entity AND x.version BETWEEN p_first AND p_last ORDER BY x.version
    LOOP
        v_valid := CASE WHEN p_own THEN e.valid_from ELSE e.tx_time END;
        IF v_at IS NULL OR v_valid >= v_due THEN
            SELECT * INTO s FROM store.state_at(p_entity, v_known, v_valid);
            v_last := s.event_type;
            v_state := CASE WHEN v_last IS NULL THEN v_created.state ELSE s.state END;
            v_data := coalesce(s.data, v_created.changes);
            v_due := store.next_change_known(p_entity, e.version - 1, v_valid);
            v_at := v_valid;
        ELSIF v_valid > v_at THEN
            v_at := v_valid;
        END IF;
        version := e.version;
        IF v_valid < v_at THEN
            -- A correction of the past stands aside: what comes after it goes on from the present.
            before := (SELECT b.data FROM store.state_at(p_entity, v_known, v_valid) b WHERE b.event_type <> 'DELETED');
            SELECT a.event_type, a.state, a.data INTO event_type, state, data
            FROM store.state_at(p_entity, e.tx_time, v_valid) a;
        ELSE
            before := CASE WHEN v_last <> 'DELETED' THEN v_data END;
        END IF;
        IF store.covers(e.valid_from, e.valid_to, v_at) THEN
            v_last := e.event_type;
            v_state := coalesce(e.state, v_state);
            v_data := v_data || e.changes;
        END IF;
        v_due := least(v_due, store.next_bound(e.valid_from, e.valid_to, v_at));
        IF v_valid = v_at THEN
            event_type := v_last;
            state := CASE WHEN v_last IS NOT NULL THEN v_state END;
            data := CASE WHEN v_last IS NOT NULL THEN v_data END;
        END IF;
        IF p_changed THEN
            data := NULL;
            before := (SELECT jsonb_object_agg(k, before->k) FROM jsonb_object_keys(e.changes) k);
            v_bytes := v_bytes + octet_length(e.changes::text) + coalesce(octet_length(before::text), 0);
        ELSE
            v_bytes := v_bytes + coalesce(octet_length(data::text), 0);
        END IF;
        IF v_bytes > 536870912 THEN
            PERFORM store.refuse('TS024', format('what is asked of %s comes to more than 512 MiB: ask for one state of it at'
                                                 ' a time, with as_of', p_entity), '{}');
        END IF;
        v_known := e.tx_time;
        RETURN NEXT;
    END LOOP;
END
$$;

-- The state that an event left, as the one who made it was told. p_known: what was found so for entities that had been
-- in their state for long, {id: [version, state]}. It is not looked for past that: to each of a hundred thousand changes
-- of one entity, which a listener is to be told of, would else belong a look at all those before it.
DROP FUNCTION IF EXISTS store.state_left(uuid, integer);
CREATE OR REPLACE FUNCTION store.state_left(p_entity uuid, p_version integer, INOUT p_known jsonb, OUT state text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_known integer := coalesce((p_known->p_entity::text->>0)::integer, 0);
    v_since integer;
BEGIN
    IF v_known > p_version THEN
        v_known := 0;
    END IF;
    SELECT x.version, x.state INTO v_since, state FROM store.object_events x
    WHERE x.entity_id = p_entity AND x.version > v_known AND x.version <= p_version AND x.state IS NOT NULL
    ORDER BY x.version DESC LIMIT 1;
    IF NOT FOUND AND v_known > 0 THEN
        state := p_known->p_entity::text->>1;
    END IF;
    IF p_version - coalesce(v_since, v_known) > 256 THEN
        p_known := p_known || jsonb_build_object(p_entity, jsonb_build_array(p_version, state));
    END IF;
END
$$;
