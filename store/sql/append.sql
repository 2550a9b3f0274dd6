-- Appending events to entities: one by one and in bulk, which are the same but for speed.

-- Whether an event may be appended to an entity that the caller may change. p_at: when it is recorded. p_left: the
-- state that a change of state leaves; the caller may have read it at a valid time that is no longer the present one.
CREATE OR REPLACE FUNCTION store.append_allowed(
    h store.object_heads, p_type text, p_version integer, p_event text, p_left text, p_from timestamptz,
    p_to timestamptz, p_at timestamptz)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN (h).type_name IS DISTINCT FROM p_type OR (h).version IS DISTINCT FROM p_version OR p_from >= p_to
                THEN false
                WHEN p_event = 'STATE_CHANGE'
                THEN p_left IS NOT DISTINCT FROM (h).state AND p_from <= p_at AND p_from >= (h).state_since
                     AND p_to = 'infinity' AND NOT (h).deleted && tstzrange(p_from, p_to)
                WHEN p_event IN ('UPDATED', 'DELETED')
                THEN NOT (h).deleted && tstzrange(p_from, p_to)
                ELSE false END
$$;

-- What a value counts for in what an entity may hold: what PostgreSQL keeps of it, or, where that is more, a sixth of what it
-- is written out as. A number of few bytes may have thousands of digits.
CREATE OR REPLACE FUNCTION store.weight(p_value jsonb)
RETURNS integer LANGUAGE sql STABLE AS $$ SELECT greatest(pg_column_size(p_value), (octet_length(p_value::text) + 5) / 6) $$;

-- By how much the largest values of an entity's fields grow at most, seen from some of its values.
CREATE OR REPLACE FUNCTION store.growth(p_data jsonb, p_changes jsonb)
RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(greatest(0, store.weight(jsonb_build_object(c.key, c.value))
                                    - CASE WHEN p_data ? c.key
                                           THEN store.weight(jsonb_build_object(c.key, p_data->c.key)) ELSE 0 END)), 0)
    FROM jsonb_each(p_changes) c
$$;

-- What a head becomes with one more event, recorded at p_at. `refold`: the head's own state is out of date, or absent
-- where the event applies, and must come from the log instead. `apart`: the event, or one before it, applies at other
-- times than from now on, so that the size of the state says nothing about that at other times.
CREATE OR REPLACE FUNCTION store.advanced(
    h store.object_heads, p_event text, p_changes jsonb, p_state text, p_from timestamptz, p_to timestamptz,
    p_at timestamptz, p_user text)
RETURNS TABLE (refold boolean, state_since timestamptz, deleted tstzmultirange, due timestamptz, present boolean,
               event_type text, tx_time timestamptz, valid_from timestamptz, valid_to timestamptz, updated_by text,
               state text, data jsonb, apart boolean, fields_size bigint)
LANGUAGE sql IMMUTABLE AS $$
    SELECT (h).due <= p_at OR (NOT (h).present AND a.applies AND p_event <> 'DELETED'),
           CASE WHEN p_event = 'STATE_CHANGE' THEN p_from ELSE (h).state_since END,
           CASE WHEN p_event = 'DELETED' THEN (h).deleted + tstzmultirange(tstzrange(p_from, p_to))
                ELSE (h).deleted END,
           least((h).due, store.next_bound(p_from, p_to, p_at)),
           CASE WHEN a.applies THEN p_event <> 'DELETED' ELSE (h).present END,
           CASE WHEN a.applies THEN p_event ELSE (h).event_type END,
           CASE WHEN a.applies THEN p_at ELSE (h).tx_time END,
           CASE WHEN a.applies THEN p_from ELSE (h).valid_from END,
           CASE WHEN a.applies THEN p_to ELSE (h).valid_to END,
           CASE WHEN a.applies THEN p_user ELSE (h).updated_by END,
           CASE WHEN a.applies AND p_state IS NOT NULL THEN p_state ELSE (h).state END,
           CASE WHEN a.applies THEN (h).data || p_changes ELSE (h).data END,
           a.apart,
           (h).fields_size + CASE WHEN a.apart THEN store.growth((h).data, p_changes)
                                  ELSE 2 * pg_column_size(p_changes) + octet_length(p_changes::text) / 6 END
    FROM (SELECT store.covers(p_from, p_to, p_at) AS applies,
                 p_from <> p_at OR p_to < 'infinity' OR (h).due < 'infinity' AS apart) a
$$;

-- Refuses an entity whose fields, each at its largest, come to more than an object may hold: at some point of both time
-- axes they might stand side by side. Notes what they come to.
CREATE OR REPLACE FUNCTION store.check_fields(p_entity uuid)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_size bigint;
BEGIN
    SELECT coalesce(sum(f.size), 0) INTO v_size
    FROM (SELECT max(store.weight(jsonb_build_object(c.key, c.value))) AS size
          FROM store.object_events e, jsonb_each(e.changes) c WHERE e.entity_id = p_entity GROUP BY c.key) f;
    IF v_size > 4194304 THEN
        PERFORM store.refuse('TS012', format('the fields of %s would come to %s bytes, each at its largest; an entity with'
                                             ' changes that apply in the past or the future, or end, may have 4194304:'
                                             ' write a new entity, or smaller values', p_entity, v_size),
                             jsonb_build_object('entity_id', p_entity, 'value', v_size));
    END IF;
    UPDATE store.object_heads h SET fields_size = v_size WHERE h.entity_id = p_entity;
END
$$;

-- The type under which a change is logged: an update from a valid time in the past is a correction.
CREATE OR REPLACE FUNCTION store.logged_as(p_event text, p_from timestamptz, p_at timestamptz)
RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_event = 'UPDATED' AND p_from < p_at THEN 'CORRECTED' ELSE p_event END
$$;

-- Refuses the first item of p_items that may not be appended, and says why.
CREATE OR REPLACE FUNCTION store.check_appends(p_items jsonb, p_principals text[], p_admin boolean, p_clock timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v record;
    v_met tstzmultirange;
    v_more bigint;
BEGIN
    SELECT i.entity_id, i.type_name, i.version AS expected, i.event_type, i.valid_from, i.valid_to, i.t,
           i.from_state, i.state, h.type_name AS actual_type, h.version AS actual, h.deleted, h.state_since,
           h.state AS actual_state,
           coalesce(h.acl && p_principals, false) AS readable,
           coalesce(h.owner = session_user OR h.writers && p_principals, false) OR p_admin AS writable
    INTO v
    FROM (SELECT i.entity_id, i.type_name, i.version, i.event_type, i.from_state, i.state, i.n,
                 greatest(p_clock, h.last_tx_time + interval '1 microsecond') AS t,
                 coalesce(i.valid_from, greatest(p_clock, h.last_tx_time + interval '1 microsecond')) AS valid_from,
                 coalesce(i.valid_to, 'infinity') AS valid_to
          FROM ROWS FROM (jsonb_to_recordset(p_items) AS (entity_id uuid, type_name text, version integer,
                                                          event_type text, from_state text, state text,
                                                          valid_from timestamptz, valid_to timestamptz))
               WITH ORDINALITY AS i (entity_id, type_name, version, event_type, from_state, state, valid_from,
                                     valid_to, n)
          LEFT JOIN store.object_heads h ON h.entity_id = i.entity_id) i
    LEFT JOIN store.object_heads h ON h.entity_id = i.entity_id
    WHERE h.entity_id IS NULL
       OR NOT (h.owner = session_user OR h.writers && p_principals OR p_admin)
       OR NOT store.append_allowed(h, i.type_name, i.version, i.event_type, i.from_state, i.valid_from, i.valid_to,
                                   i.t)
    ORDER BY i.n LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    ELSIF NOT v.readable THEN
        PERFORM store.refuse('TS001', format('there is no %s %s that you may see', v.type_name, v.entity_id),
                             jsonb_build_object('entity_id', v.entity_id, 'type_name', v.type_name));
    ELSIF NOT v.writable THEN
        PERFORM store.refuse('TS002', format('you may read %s %s but not change it', v.type_name, v.entity_id),
                             jsonb_build_object('entity_id', v.entity_id, 'type_name', v.type_name));
    ELSIF v.actual_type IS DISTINCT FROM v.type_name THEN
        PERFORM store.refuse('TS004', format('%s is a %s, not a %s', v.entity_id, v.actual_type, v.type_name),
                             jsonb_build_object('entity_id', v.entity_id, 'expected', v.type_name,
                                                'actual', v.actual_type));
    ELSIF v.actual IS DISTINCT FROM v.expected THEN
        PERFORM store.refuse('TS003', format('%s %s is at version %s, not %s', v.type_name, v.entity_id, v.actual,
                                             v.expected),
                             jsonb_build_object('entity_id', v.entity_id, 'expected', v.expected,
                                                'actual', v.actual));
    ELSIF v.event_type NOT IN ('UPDATED', 'DELETED', 'STATE_CHANGE') THEN
        PERFORM store.refuse('TS008', format('no event of type %L can be appended', v.event_type),
                             jsonb_build_object('value', v.event_type));
    ELSIF v.valid_from >= v.valid_to THEN
        PERFORM store.refuse('TS005', format('the valid range [%s, %s) is empty', v.valid_from, v.valid_to),
                             jsonb_build_object('entity_id', v.entity_id, 'valid_from', v.valid_from,
                                                'valid_to', v.valid_to));
    ELSIF v.deleted && tstzrange(v.valid_from, v.valid_to) THEN
        -- An entity may have been deleted over any number of ranges: enough of those that the change meets.
        SELECT range_agg(m.met) FILTER (WHERE m.n <= 5), count(*) - 5 INTO v_met, v_more
        FROM (SELECT r AS met, row_number() OVER (ORDER BY r) AS n FROM unnest(v.deleted) AS r
              WHERE r && tstzrange(v.valid_from, v.valid_to)) m;
        PERFORM store.refuse('TS006', format('%s %s is deleted over %s%s', v.type_name, v.entity_id, v_met,
                                             CASE WHEN v_more > 0 THEN format(' and %s more ranges', v_more) END),
                             jsonb_build_object('entity_id', v.entity_id, 'valid_from', v.valid_from,
                                                'valid_to', nullif(v.valid_to, 'infinity'),
                                                'deleted_from', lower(v_met), 'deleted', v_met::text));
    ELSIF v.from_state IS DISTINCT FROM v.actual_state THEN
        PERFORM store.refuse('TS011', format('%s %s is in the state %s, not in %s', v.type_name, v.entity_id,
                                             v.actual_state, v.from_state),
                             jsonb_build_object('from_state', v.actual_state, 'to_state', v.state));
    ELSIF v.valid_to <> 'infinity' THEN
        PERFORM store.refuse('TS005', format('a state change of %s cannot end by itself, at %s', v.entity_id,
                                             v.valid_to),
                             jsonb_build_object('entity_id', v.entity_id, 'valid_to', v.valid_to));
    ELSE
        PERFORM store.refuse('TS009', format('a state change of %s cannot take effect at %s', v.entity_id,
                                             v.valid_from),
                             jsonb_build_object('entity_id', v.entity_id, 'valid_from', v.valid_from,
                                                'state_since', v.state_since, 'now', v.t));
    END IF;
END
$$;

-- Recomputes one head from the log, as of a valid time.
CREATE OR REPLACE FUNCTION store.refold_head(p_entity uuid, p_valid timestamptz)
RETURNS void LANGUAGE sql VOLATILE AS $$
    UPDATE store.object_heads h
    SET folded_at = p_valid,
        due = store.next_change(p_entity, p_valid),
        present = coalesce(s.event_type <> 'DELETED', false),
        event_type = coalesce(s.event_type, h.event_type),
        tx_time = coalesce(s.tx_time, h.tx_time),
        valid_from = coalesce(s.valid_from, h.valid_from),
        valid_to = coalesce(s.valid_to, h.valid_to),
        updated_by = coalesce(s.updated_by, h.updated_by),
        state = CASE WHEN s.version IS NULL THEN h.state ELSE s.state END,
        data = coalesce(s.data, h.data)
    FROM (SELECT p_entity) AS e (entity_id)
    LEFT JOIN LATERAL store.state_at(e.entity_id, 'infinity', p_valid) s ON true
    WHERE h.entity_id = e.entity_id
$$;

-- What the caller of an append holds afterwards: what a read returns; after a deletion, the same data with the
-- deletion's own metadata; where a read returns nothing, the event itself with the data that it left at its own
-- valid_from. The state is always the latest one, from which the next transition starts.
CREATE OR REPLACE FUNCTION store.after_append(p_entity uuid, p_version integer)
RETURNS SETOF store.change LANGUAGE plpgsql STABLE AS $$
DECLARE
    h store.object_heads;
    e store.object_events;
BEGIN
    SELECT * INTO h FROM store.object_heads x WHERE x.entity_id = p_entity;
    SELECT * INTO e FROM store.object_events x WHERE x.entity_id = p_entity AND x.version = p_version;
    IF h.present AND e.event_type <> 'DELETED' THEN
        RETURN NEXT (h.entity_id, h.version, h.owner, h.updated_by, h.tx_time, h.valid_from,
                     nullif(h.valid_to, 'infinity'), h.state, h.event_type, h.data,
                     e.event_type, e.tx_time, e.valid_from, false)::store.change;
    ELSE
        RETURN QUERY
        SELECT e.entity_id, e.version, h.owner, e.updated_by, e.tx_time, e.valid_from, nullif(e.valid_to, 'infinity'),
               h.state, e.event_type,
               CASE WHEN h.present THEN h.data
                    ELSE (SELECT s.data FROM store.state_at(e.entity_id, 'infinity', e.valid_from) s) END,
               e.event_type, e.tx_time, e.valid_from, false;
    END IF;
END
$$;

-- Appends one event to an entity whose head is locked, and which the caller may change.
CREATE OR REPLACE FUNCTION store.log_append(h store.object_heads, p_item jsonb, p_items jsonb, p_principals text[],
                                            p_admin boolean, p_clock timestamptz)
RETURNS SETOF store.change LANGUAGE plpgsql AS $$
DECLARE
    v_event text := p_item->>'event_type';
    v_changes jsonb := p_item->'changes';
    v_state text := CASE WHEN p_item->>'event_type' = 'STATE_CHANGE' THEN p_item->>'state' END;
    v_at timestamptz := greatest(p_clock, h.last_tx_time + interval '1 microsecond');
    v_from timestamptz := coalesce((p_item->>'valid_from')::timestamptz, v_at);
    v_to timestamptz := coalesce((p_item->>'valid_to')::timestamptz, 'infinity');
    v_user text := session_user;
    a record;
BEGIN
    IF NOT store.append_allowed(h, p_item->>'type_name', (p_item->>'version')::integer, v_event,
                                p_item->>'from_state', v_from, v_to, v_at) THEN
        PERFORM store.check_appends(p_items, p_principals, p_admin, p_clock);
    END IF;
    PERFORM store.check_events(p_items, p_principals);
    v_event := store.logged_as(v_event, v_from, v_at);
    SELECT * INTO a FROM store.advanced(h, v_event, v_changes, v_state, v_from, v_to, v_at, v_user);
    INSERT INTO store.object_events (seq, entity_id, version, type_name, event_type, tx_time, valid_from, valid_to,
                                     state, updated_by, changes)
    VALUES (nextval('store.event_seq'), h.entity_id, h.version + 1, h.type_name, v_event, v_at, v_from, v_to, v_state,
            v_user, v_changes);
    IF v_event = 'STATE_CHANGE' AND store.starts_workflow(h.type_name, h.state, v_state,
                                                          (p_item->>'workflow')::boolean) THEN
        INSERT INTO store.workflow_outbox (entity_id, version, type_name, from_state, to_state, username, created_at)
        VALUES (h.entity_id, h.version + 1, h.type_name, h.state, v_state, v_user, v_at);
    END IF;
    UPDATE store.object_heads x
    SET version = h.version + 1, last_tx_time = v_at, folded_at = v_at, state_since = a.state_since,
        deleted = a.deleted, due = a.due, present = a.present, event_type = a.event_type, tx_time = a.tx_time,
        valid_from = a.valid_from, valid_to = a.valid_to, updated_by = a.updated_by, state = a.state, data = a.data,
        fields_size = a.fields_size
    WHERE x.entity_id = h.entity_id;
    IF a.apart AND a.fields_size > 4194304 THEN
        PERFORM store.check_fields(h.entity_id);
    END IF;
    IF a.refold THEN
        PERFORM store.refold_head(h.entity_id, v_at);
    END IF;
    IF store.leaves_snapshot(h.version + 1) THEN
        PERFORM store.keep_snapshot(h.entity_id);
    END IF;
    IF a.refold OR NOT a.present OR v_event = 'DELETED' THEN
        RETURN QUERY SELECT * FROM store.after_append(h.entity_id, h.version + 1);
    ELSE
        RETURN NEXT (h.entity_id, h.version + 1, h.owner, a.updated_by, a.tx_time, a.valid_from,
                     nullif(a.valid_to, 'infinity'), a.state, a.event_type, a.data, v_event, v_at, v_from,
                     false)::store.change;
    END IF;
END
$$;

-- Locks the heads, checks every item and appends.
CREATE OR REPLACE FUNCTION store.make_events(p_items jsonb, p_shared_clock boolean)
RETURNS SETOF store.change LANGUAGE plpgsql AS $$
DECLARE
    v_principals text[] := store.principals();
    v_admin boolean := store.is_admin();
    v_clock timestamptz;
    v_head store.object_heads;
BEGIN
    IF jsonb_array_length(p_items) = 1 THEN
        SELECT * INTO v_head FROM store.object_heads h
        WHERE h.entity_id = (p_items->0->>'entity_id')::uuid
          AND (h.owner = session_user OR h.writers && v_principals OR v_admin)
        FOR UPDATE;
        IF FOUND THEN
            PERFORM store.require_still(v_principals, v_admin);
            v_clock := store.transaction_clock(p_shared_clock);
            RETURN QUERY SELECT * FROM store.log_append(v_head, p_items->0, p_items, v_principals, v_admin, v_clock);
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    SELECT b.entity_id, b.version, b.owner, b.updated_by, b.tx_time, b.valid_from, b.valid_to, b.state, b.event_type,
           b.data::jsonb, b.logged_type, b.logged_tx_time, b.logged_valid_from, false
    FROM store.make_event_batch(p_items, p_shared_clock, false) b;
END
$$;

-- p_items: [{entity_id, type_name, version (the one expected), event_type, changes, from_state (the one expected),
-- state, workflow (whether the change of state starts one), valid_from, valid_to}, ...];
-- the rows come back in that order, as a read would return them.
CREATE OR REPLACE FUNCTION store.append_events(p_items jsonb, p_shared_clock boolean, p_key text)
RETURNS SETOF store.change
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET plan_cache_mode = force_generic_plan SET extra_float_digits = 1 AS $$
BEGIN
    PERFORM pg_current_xact_id();
    IF p_key IS NULL THEN
        RETURN QUERY SELECT * FROM store.make_events(p_items, p_shared_clock);
    ELSIF store.claim_key(p_key, p_items) THEN
        RETURN QUERY
        WITH made AS MATERIALIZED (
            SELECT * FROM store.make_events(p_items, p_shared_clock)
        ), kept AS (
            UPDATE store.idempotency_keys k
            SET entity_ids = m.entity_ids, versions = m.versions
            FROM (SELECT array_agg(entity_id) AS entity_ids, array_agg(version) AS versions FROM made) m
            WHERE k.username = session_user AND k.key = p_key
        )
        SELECT * FROM made;
    ELSE
        PERFORM store.check_replay(p_key);
        RETURN QUERY SELECT * FROM store.replayed(p_key);
    END IF;
END
$$;
