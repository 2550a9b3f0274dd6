-- Writing new entities: one by one and in bulk, which are the same but for speed.

-- Writes one new entity that is nobody else's to see, and returns what its writer does not know. p_items: as for
-- store.create_objects, of which this is the short way.
CREATE OR REPLACE FUNCTION store.create_object(
    p_items jsonb, p_shared_clock boolean, OUT entity_id uuid, OUT owner text, OUT tx_time timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET plan_cache_mode = force_generic_plan SET extra_float_digits = 1 AS $$
DECLARE
    v_xid xid8 := pg_current_xact_id();
    v_item jsonb := p_items->0;
    v_type text := v_item->>'type_name';
    v_data jsonb := v_item->'data';
    v_state text := v_item->>'state';
    v_from timestamptz;
    v_to timestamptz := coalesce((v_item->>'valid_to')::timestamptz, 'infinity');
    v_checked boolean;
    v_known boolean;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM store.require_present();
    END IF;
    IF jsonb_array_length(p_items) <> 1 THEN
        PERFORM store.refuse('TS008', format('one new entity at a time, not %s', jsonb_array_length(p_items)), '{}');
    END IF;
    -- Both are asked in one statement: each takes as long as a row takes to be written.
    SELECT EXISTS (SELECT FROM store.published_types) OR EXISTS (SELECT FROM store.governance g WHERE g.governed),
           EXISTS (SELECT FROM store.type_shapes t
                   WHERE t.type_name = v_type AND t.owner = session_user AND v_data ?& t.fields)
    INTO v_checked, v_known;
    IF v_checked THEN
        PERFORM store.check_creations(p_items);
    END IF;
    entity_id := store.new_entity_id();
    owner := session_user;
    tx_time := store.transaction_clock(p_shared_clock);
    v_from := coalesce((v_item->>'valid_from')::timestamptz, tx_time);
    INSERT INTO store.object_events (seq, entity_id, version, type_name, event_type, tx_time, valid_from, valid_to,
                                     state, updated_by, changes)
    VALUES (nextval('store.event_seq'), create_object.entity_id, 1, v_type, 'CREATED', create_object.tx_time, v_from,
            v_to, v_state, create_object.owner, v_data);
    INSERT INTO store.object_heads (entity_id, type_name, owner, readers, writers, version, last_tx_time, state_since,
                                    folded_at, due, present, event_type, tx_time, valid_from, valid_to, updated_by,
                                    state, data)
    VALUES (create_object.entity_id, v_type, create_object.owner, '{}', '{}', 1, create_object.tx_time, v_from,
            create_object.tx_time, store.next_bound(v_from, v_to, create_object.tx_time),
            store.covers(v_from, v_to, create_object.tx_time), 'CREATED', create_object.tx_time, v_from, v_to,
            create_object.owner, v_state, v_data);
    IF NOT v_known THEN
        PERFORM store.note_shape(v_type, v_data);
    END IF;
END
$$;

-- The ids of a batch have its first id's time and random high part, and low parts that grow by random steps (RFC 9562,
-- section 6.2, method 2): half of what it takes to log an entity would else go into random numbers.
CREATE OR REPLACE FUNCTION store.log_creations(
    p_items jsonb, p_readers text[], p_writers text[], p_clock timestamptz)
RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    c_low constant bigint := 4611686018427387903;  -- 62 bits, and before them the two that say what kind of id it is
    c_variant constant bigint := '-9223372036854775808';
    v_first text := replace(store.new_entity_id()::text, '-', '');
    v_high text := left(v_first, 16);
    v_low bigint := ('x' || right(v_first, 16))::bit(64)::bigint & c_low;
    v_made uuid[];
BEGIN
    WITH item AS MATERIALIZED (
        SELECT (v_high || to_hex((v_low + i.n * 4294967296 + (random() * 4294967295)::bigint) & c_low | c_variant))::uuid
                   AS entity_id,
               nextval('store.event_seq') AS seq, i.n, i.type_name, i.data, i.state,
               coalesce(i.valid_from, p_clock) AS valid_from, coalesce(i.valid_to, 'infinity') AS valid_to
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
    SELECT coalesce(array_agg(i.entity_id ORDER BY i.n), '{}') INTO v_made FROM item i;
    RETURN v_made;
END
$$;

-- Writes new entities with the client's default grants.
CREATE OR REPLACE FUNCTION store.make_objects(p_items jsonb, p_readers text[], p_writers text[], p_clock timestamptz)
RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    v_made uuid[];
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
    PERFORM store.note_shape(f.type_name, p_items->(f.n - 1)::integer->'data')
    FROM (SELECT i.type_name, min(i.n) AS n
          FROM ROWS FROM (jsonb_to_recordset(p_items) AS (type_name text)) WITH ORDINALITY AS i (type_name, n)
          GROUP BY i.type_name) f;
    v_made := store.log_creations(p_items, p_readers, p_writers, p_clock);
    IF cardinality(p_readers) + cardinality(p_writers) > 0 THEN
        INSERT INTO store.share_events (seq, entity_id, version, tx_time, action, access, principal, grantor)
        SELECT nextval('store.share_seq'), s.entity_id, 1, p_clock, 'SHARED', s.access, s.principal, session_user
        FROM (SELECT m.entity_id, g.access, g.principal
              FROM unnest(v_made) WITH ORDINALITY AS m (entity_id, n),
                   (SELECT 'READ', unnest(p_readers) UNION SELECT 'WRITE', unnest(p_writers)) AS g (access, principal)
              ORDER BY m.n) AS s;
    END IF;
    RETURN v_made;
END
$$;

-- Writes many new entities, and returns what their writer does not know. p_items as for store.create_objects.
-- No ids where an earlier run of the same key made them: store.replay has those.
CREATE OR REPLACE FUNCTION store.create_batch(
    p_items jsonb, p_readers text[], p_writers text[], p_shared_clock boolean, p_key text,
    OUT entity_ids uuid[], OUT owner text, OUT tx_time timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET plan_cache_mode = force_generic_plan SET extra_float_digits = 1 AS $$
BEGIN
    PERFORM pg_current_xact_id();
    PERFORM store.require_present();
    IF p_key IS NOT NULL AND NOT store.claim_key(p_key, p_items) THEN
        RETURN;
    END IF;
    owner := session_user;
    tx_time := store.transaction_clock(p_shared_clock);
    entity_ids := store.make_objects(p_items, p_readers, p_writers, tx_time);
    IF p_key IS NOT NULL THEN
        UPDATE store.idempotency_keys k
        SET entity_ids = create_batch.entity_ids, versions = array_fill(1, ARRAY[cardinality(create_batch.entity_ids)])
        WHERE k.username = session_user AND k.key = p_key;
    END IF;
END
$$;

-- p_items: [{type_name, data, state, valid_from, valid_to}, ...]; the rows come back in that order, without data
-- unless an earlier run of the same key made them.
CREATE OR REPLACE FUNCTION store.create_objects(
    p_items jsonb, p_readers text[], p_writers text[], p_shared_clock boolean, p_key text)
RETURNS SETOF store.change
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET plan_cache_mode = force_generic_plan SET extra_float_digits = 1 AS $$
DECLARE
    v_made record;
BEGIN
    IF p_key IS NULL AND jsonb_array_length(p_items) = 1 AND cardinality(p_readers) + cardinality(p_writers) = 0 THEN
        SELECT ARRAY[m.entity_id] AS entity_ids, m.owner, m.tx_time INTO v_made
        FROM store.create_object(p_items, p_shared_clock) m;
    ELSE
        SELECT * INTO v_made FROM store.create_batch(p_items, p_readers, p_writers, p_shared_clock, p_key);
    END IF;
    IF v_made.entity_ids IS NULL THEN
        PERFORM store.check_replay(p_key);
        RETURN QUERY SELECT * FROM store.replayed(p_key);
    ELSE
        RETURN QUERY
        SELECT i.entity_id, 1, v_made.owner, v_made.owner, v_made.tx_time, coalesce(i.valid_from, v_made.tx_time),
               nullif(i.valid_to, 'infinity'), i.state, 'CREATED', NULL::jsonb, 'CREATED', v_made.tx_time,
               coalesce(i.valid_from, v_made.tx_time), false
        FROM ROWS FROM (unnest(v_made.entity_ids),
                        jsonb_to_recordset(p_items) AS (state text, valid_from timestamptz, valid_to timestamptz))
             AS i (entity_id, state, valid_from, valid_to);
    END IF;
END
$$;
