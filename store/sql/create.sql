-- Writing new entities: one by one and in bulk, which are the same but for speed.

CREATE OR REPLACE FUNCTION store.log_creation(
    p_item jsonb, p_readers text[], p_writers text[], p_clock timestamptz)
RETURNS store.change LANGUAGE plpgsql AS $$
DECLARE
    v_type text := p_item->>'type_name';
    v_data jsonb := p_item->'data';
    v_to timestamptz := coalesce((p_item->>'valid_to')::timestamptz, 'infinity');
    v store.change;
BEGIN
    v.entity_id := store.new_entity_id();
    v.version := 1;
    v.owner := session_user;
    v.updated_by := session_user;
    v.tx_time := p_clock;
    v.valid_from := coalesce((p_item->>'valid_from')::timestamptz, p_clock);
    v.valid_to := nullif(v_to, 'infinity');
    v.state := p_item->>'state';
    v.event_type := 'CREATED';
    v.logged_type := 'CREATED';
    v.logged_tx_time := p_clock;
    v.logged_valid_from := v.valid_from;
    v.replayed := false;
    INSERT INTO store.object_events (seq, entity_id, version, type_name, event_type, tx_time, valid_from, valid_to,
                                     state, updated_by, changes)
    VALUES (nextval('store.event_seq'), v.entity_id, 1, v_type, 'CREATED', p_clock, v.valid_from, v_to, v.state,
            v.owner, v_data);
    INSERT INTO store.object_heads (entity_id, type_name, owner, readers, writers, version, last_tx_time, state_since,
                                    folded_at, due, present, event_type, tx_time, valid_from, valid_to, updated_by,
                                    state, data)
    VALUES (v.entity_id, v_type, v.owner, p_readers, p_writers, 1, p_clock, v.valid_from, p_clock,
            store.next_bound(v.valid_from, v_to, p_clock), store.covers(v.valid_from, v_to, p_clock),
            'CREATED', p_clock, v.valid_from, v_to, v.owner, v.state, v_data);
    PERFORM store.note_shape(v_type, v_data);
    RETURN v;
END
$$;

CREATE OR REPLACE FUNCTION store.log_creations(
    p_items jsonb, p_readers text[], p_writers text[], p_clock timestamptz)
RETURNS SETOF store.change LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    WITH item AS MATERIALIZED (
        SELECT store.new_entity_id() AS entity_id, nextval('store.event_seq') AS seq, i.n, i.type_name, i.data,
               i.state, coalesce(i.valid_from, p_clock) AS valid_from, coalesce(i.valid_to, 'infinity') AS valid_to
        FROM ROWS FROM (jsonb_to_recordset(p_items) AS (type_name text, data jsonb, state text,
                                                        valid_from timestamptz, valid_to timestamptz))
             WITH ORDINALITY AS i (type_name, data, state, valid_from, valid_to, n)
    ), logged AS (
        INSERT INTO store.object_events (seq, entity_id, version, type_name, event_type, tx_time, valid_from,
                                         valid_to, state, updated_by, changes)
        SELECT i.seq, i.entity_id, 1, i.type_name, 'CREATED', p_clock, i.valid_from, i.valid_to, i.state,
               session_user, i.data
        FROM item i
    ), projected AS (
        INSERT INTO store.object_heads (entity_id, type_name, owner, readers, writers, version, last_tx_time,
                                        state_since, folded_at, due, present, event_type, tx_time, valid_from,
                                        valid_to, updated_by, state, data)
        SELECT i.entity_id, i.type_name, session_user, p_readers, p_writers, 1, p_clock, i.valid_from, p_clock,
               store.next_bound(i.valid_from, i.valid_to, p_clock), store.covers(i.valid_from, i.valid_to, p_clock),
               'CREATED', p_clock, i.valid_from, i.valid_to, session_user, i.state, i.data
        FROM item i
    )
    SELECT i.entity_id, 1, session_user::text, session_user::text, p_clock, i.valid_from,
           nullif(i.valid_to, 'infinity'), i.state, 'CREATED', NULL::jsonb, 'CREATED', p_clock, i.valid_from,
           false
    FROM item i ORDER BY i.n;
END
$$;

-- Writes new entities with the client's default grants.
CREATE OR REPLACE FUNCTION store.make_objects(p_items jsonb, p_readers text[], p_writers text[], p_shared_clock boolean)
RETURNS SETOF store.change LANGUAGE plpgsql AS $$
DECLARE
    v_clock timestamptz := store.transaction_clock(p_shared_clock);
    v store.change;
BEGIN
    IF cardinality(p_readers) + cardinality(p_writers) > 0 THEN
        -- Each name once, of plain lists: everybody's scans go through these.
        PERFORM array_append(p_readers, ''), array_append(p_writers, '');
        p_readers := ARRAY(SELECT DISTINCT n FROM unnest(p_readers) AS n ORDER BY n);
        p_writers := ARRAY(SELECT DISTINCT n FROM unnest(p_writers) AS n ORDER BY n);
        PERFORM store.require_principals(p_readers || p_writers);
    END IF;
    PERFORM store.check_creations(p_items);
    -- The objects of one call and type come from one class, with the same fields.
    PERFORM store.note_shape(f.type_name, f.data)
    FROM (SELECT DISTINCT ON (i.type_name) i.type_name, i.data
          FROM jsonb_to_recordset(p_items) AS i (type_name text, data jsonb)) f;
    FOR v IN SELECT * FROM store.log_creations(p_items, p_readers, p_writers, v_clock) LOOP
        IF cardinality(p_readers) + cardinality(p_writers) > 0 THEN
            INSERT INTO store.share_events (seq, entity_id, version, tx_time, action, access, principal, grantor)
            SELECT nextval('store.share_seq'), v.entity_id, 1, v_clock, 'SHARED', g.access, g.principal, session_user
            FROM (SELECT 'READ', unnest(p_readers) UNION SELECT 'WRITE', unnest(p_writers)) AS g (access, principal);
        END IF;
        RETURN NEXT v;
    END LOOP;
END
$$;

-- p_items: [{type_name, data, state, valid_from, valid_to}, ...]; the rows come back in that order, without data
-- unless an earlier run of the same key made them.
CREATE OR REPLACE FUNCTION store.create_objects(
    p_items jsonb, p_readers text[], p_writers text[], p_shared_clock boolean, p_key text)
RETURNS SETOF store.change
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET plan_cache_mode = force_generic_plan SET extra_float_digits = 1 AS $$
BEGIN
    PERFORM pg_current_xact_id();
    PERFORM store.require_present();
    IF p_key IS NULL AND jsonb_array_length(p_items) = 1 AND cardinality(p_readers) + cardinality(p_writers) = 0 THEN
        PERFORM store.check_creations(p_items);
        RETURN NEXT store.log_creation(p_items->0, p_readers, p_writers, store.transaction_clock(p_shared_clock));
    ELSIF p_key IS NULL THEN
        RETURN QUERY SELECT * FROM store.make_objects(p_items, p_readers, p_writers, p_shared_clock);
    ELSIF store.claim_key(p_key, p_items) THEN
        RETURN QUERY
        WITH made AS MATERIALIZED (
            SELECT * FROM store.make_objects(p_items, p_readers, p_writers, p_shared_clock)
        ), kept AS (
            UPDATE store.idempotency_keys k
            SET entity_ids = m.entity_ids, versions = m.versions
            FROM (SELECT array_agg(entity_id) AS entity_ids, array_agg(version) AS versions FROM made) m
            WHERE k.username = session_user AND k.key = p_key
        )
        SELECT * FROM made;
    ELSE
        RETURN QUERY SELECT * FROM store.replayed(p_key);
    END IF;
END
$$;
