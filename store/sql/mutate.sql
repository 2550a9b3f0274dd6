-- Every change to the store. Each function takes its xid before any sequence value (readers of the log rely on
-- that order), locks the heads it changes in entity order, and stamps owner, updated_by, tx_time, version and seq.
-- Generic plans throughout: planning these statements anew costs more than running them.

-- The clock of the running transaction: one reading for all calls of a transaction that makes several.
CREATE OR REPLACE FUNCTION store.transaction_clock(p_shared boolean)
RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    v_clock timestamptz;
BEGIN
    IF NOT p_shared THEN
        RETURN clock_timestamp();
    END IF;
    SELECT c.tx_time INTO v_clock FROM store.transaction_clocks c WHERE c.xid = pg_current_xact_id();
    IF NOT FOUND THEN
        DELETE FROM store.transaction_clocks c WHERE c.xid IN (
            SELECT old.xid FROM store.transaction_clocks old
            WHERE old.xid < pg_snapshot_xmin(pg_current_snapshot())
            LIMIT 16 FOR UPDATE SKIP LOCKED);
        INSERT INTO store.transaction_clocks VALUES (pg_current_xact_id(), clock_timestamp())
        RETURNING tx_time INTO v_clock;
    END IF;
    RETURN v_clock;
END
$$;

-- Claims an idempotency key for the caller. False when the same request has run before under it.
CREATE OR REPLACE FUNCTION store.claim_key(p_key text, p_request jsonb)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_request bytea := sha256(convert_to(p_request::text, 'UTF8'));
BEGIN
    INSERT INTO store.idempotency_keys (username, key, request) VALUES (session_user, p_key, v_request)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN true;
    END IF;
    PERFORM 1 FROM store.idempotency_keys k
    WHERE k.username = session_user AND k.key = p_key AND k.request = v_request;
    IF NOT FOUND THEN
        PERFORM store.refuse('TS007', 'this idempotency key was used for another request',
                             jsonb_build_object('key', p_key));
    END IF;
    RETURN false;
END
$$;

-- The events that a keyed request made when it first ran, each with the state it left.
CREATE OR REPLACE FUNCTION store.replayed(p_key text)
RETURNS SETOF store.change LANGUAGE sql STABLE AS $$
    SELECT e.entity_id, e.version, h.owner, e.updated_by, e.tx_time, e.valid_from,
           nullif(e.valid_to, 'infinity'), s.state, e.event_type, s.data,
           e.event_type, e.tx_time, e.valid_from
    FROM store.idempotency_keys k,
         ROWS FROM (unnest(k.entity_ids), unnest(k.versions)) WITH ORDINALITY AS r (entity_id, version, n)
    JOIN store.object_events e ON e.entity_id = r.entity_id AND e.version = r.version
    JOIN store.object_heads h ON h.entity_id = r.entity_id
    LEFT JOIN LATERAL store.state_at(e.entity_id, e.tx_time, e.valid_from) s ON true
    WHERE k.username = session_user AND k.key = p_key
    ORDER BY r.n
$$;

-- Refuses names that are neither a user nor a group of the store.
CREATE OR REPLACE FUNCTION store.require_principals(p_names text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_unknown text;
BEGIN
    SELECT n INTO v_unknown FROM unnest(p_names) AS n
    WHERE NOT EXISTS (SELECT FROM store.groups g WHERE g.group_name = n)
      AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = n AND r.rolcanlogin
                      AND pg_has_role(r.oid, 'store_user', 'MEMBER'))
    LIMIT 1;
    IF FOUND THEN
        PERFORM store.refuse('TS010', format('there is no user or group named %L', v_unknown),
                             jsonb_build_object('principal', v_unknown));
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION store.log_creations(p_items jsonb, p_readers text[], p_writers text[], p_clock timestamptz)
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
               CASE WHEN i.valid_from > p_clock THEN i.valid_from
                    WHEN i.valid_to > p_clock THEN i.valid_to ELSE 'infinity' END,
               i.valid_from <= p_clock AND p_clock < i.valid_to,
               'CREATED', p_clock, i.valid_from, i.valid_to, session_user, i.state, i.data
        FROM item i
    ), granted AS (
        INSERT INTO store.share_events (seq, entity_id, version, tx_time, action, access, principal, grantor)
        SELECT nextval('store.share_seq'), i.entity_id, 1, p_clock, 'SHARED', g.access, g.principal, session_user
        FROM item i,
             (SELECT 'READ', unnest(p_readers) UNION ALL SELECT 'WRITE', unnest(p_writers)) AS g (access, principal)
    )
    SELECT i.entity_id, 1, session_user::text, session_user::text, p_clock, i.valid_from,
           nullif(i.valid_to, 'infinity'), i.state, 'CREATED', NULL::jsonb, 'CREATED', p_clock, i.valid_from
    FROM item i ORDER BY i.n;
END
$$;

-- Remembers the fields with which new entities come. One call's items of a type have the same ones.
CREATE OR REPLACE FUNCTION store.note_shapes(p_items jsonb)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v record;
BEGIN
    FOR v IN
        SELECT f.type_name, ARRAY(SELECT jsonb_object_keys(f.data) ORDER BY 1) AS fields
        FROM (SELECT DISTINCT ON (i.type_name) i.type_name, i.data
              FROM jsonb_to_recordset(p_items) AS i (type_name text, data jsonb)) f
    LOOP
        IF NOT EXISTS (SELECT FROM store.type_shapes t WHERE t.type_name = v.type_name AND t.fields = v.fields) THEN
            INSERT INTO store.type_shapes VALUES (v.type_name, v.fields) ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
END
$$;

-- Writes new entities. p_items: [{type_name, data, state, valid_from, valid_to}, ...]; the rows come back in
-- that order, without data unless an earlier run of the same key made them.
CREATE OR REPLACE FUNCTION store.create_objects(
    p_items jsonb, p_readers text[], p_writers text[], p_shared_clock boolean, p_key text)
RETURNS SETOF store.change
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM pg_current_xact_id();
    IF cardinality(p_readers) + cardinality(p_writers) > 0 THEN
        PERFORM store.require_principals(p_readers || p_writers);
    END IF;
    PERFORM store.note_shapes(p_items);
    IF p_key IS NULL THEN
        RETURN QUERY SELECT * FROM store.log_creations(p_items, p_readers, p_writers,
                                                       store.transaction_clock(p_shared_clock));
    ELSIF store.claim_key(p_key, p_items) THEN
        RETURN QUERY
        WITH made AS MATERIALIZED (
            SELECT * FROM store.log_creations(p_items, p_readers, p_writers, store.transaction_clock(p_shared_clock))
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

-- Refuses the first item of p_items that may not be appended, and says why.
CREATE OR REPLACE FUNCTION store.check_appends(p_items jsonb, p_principals text[], p_admin boolean, p_clock timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v record;
    v_until timestamptz;
BEGIN
    SELECT i.entity_id, i.type_name, i.version AS expected, i.event_type, i.valid_from, i.valid_to, i.t,
           h.type_name AS actual_type, h.version AS actual, h.deleted, h.state_since,
           coalesce(h.acl && p_principals, false) AS readable,
           coalesce(h.owner = session_user OR h.writers && p_principals, false) OR p_admin AS writable
    INTO v
    FROM (SELECT i.entity_id, i.type_name, i.version, i.event_type, i.n,
                 greatest(p_clock, h.last_tx_time + interval '1 microsecond') AS t,
                 coalesce(i.valid_from, greatest(p_clock, h.last_tx_time + interval '1 microsecond')) AS valid_from,
                 coalesce(i.valid_to, 'infinity') AS valid_to
          FROM ROWS FROM (jsonb_to_recordset(p_items) AS (entity_id uuid, type_name text, version integer,
                                                          event_type text, valid_from timestamptz,
                                                          valid_to timestamptz))
               WITH ORDINALITY AS i (entity_id, type_name, version, event_type, valid_from, valid_to, n)
          LEFT JOIN store.object_heads h ON h.entity_id = i.entity_id) i
    LEFT JOIN store.object_heads h ON h.entity_id = i.entity_id
    WHERE h.entity_id IS NULL
       OR NOT (h.owner = session_user OR h.writers && p_principals OR p_admin)
       OR h.type_name IS DISTINCT FROM i.type_name
       OR h.version IS DISTINCT FROM i.version
       OR i.event_type NOT IN ('UPDATED', 'DELETED', 'STATE_CHANGE')
       OR i.valid_from >= i.valid_to
       OR h.deleted && tstzrange(i.valid_from, i.valid_to)
       OR (i.event_type = 'STATE_CHANGE' AND (i.valid_from > i.t OR i.valid_from < h.state_since))
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
        SELECT lower(r) INTO v_until FROM unnest(v.deleted) AS r
        WHERE r && tstzrange(v.valid_from, v.valid_to) ORDER BY r LIMIT 1;
        PERFORM store.refuse('TS006', format('%s %s is deleted over %s', v.type_name, v.entity_id, v.deleted),
                             jsonb_build_object('entity_id', v.entity_id, 'valid_from', v.valid_from,
                                                'valid_to', nullif(v.valid_to, 'infinity'),
                                                'deleted_from', v_until, 'deleted', v.deleted::text));
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

CREATE OR REPLACE FUNCTION store.log_appends(p_items jsonb, p_clock timestamptz)
RETURNS SETOF store.change LANGUAGE plpgsql AS $$
DECLARE
    v record;
BEGIN
    FOR v IN
        WITH item AS MATERIALIZED (
            SELECT nextval('store.event_seq') AS seq, i.n, i.entity_id, i.type_name, h.version + 1 AS version, t.tx_time,
                   CASE WHEN i.event_type = 'UPDATED' AND r.valid_from < t.tx_time THEN 'CORRECTED'
                        ELSE i.event_type END AS event_type,
                   r.valid_from, r.valid_to, i.state, i.changes,
                   r.valid_from <= t.tx_time AND t.tx_time < r.valid_to AS applies,
                   -- The head's own state is out of date, or absent where this event applies: fold anew.
                   h.due <= t.tx_time
                   OR (NOT h.present AND i.event_type <> 'DELETED'
                       AND r.valid_from <= t.tx_time AND t.tx_time < r.valid_to) AS refold
            FROM ROWS FROM (jsonb_to_recordset(p_items) AS (entity_id uuid, type_name text, event_type text,
                                                            changes jsonb, state text, valid_from timestamptz,
                                                            valid_to timestamptz))
                 WITH ORDINALITY AS i (entity_id, type_name, event_type, changes, state, valid_from, valid_to, n)
            JOIN store.object_heads h ON h.entity_id = i.entity_id,
            LATERAL (SELECT greatest(p_clock, h.last_tx_time + interval '1 microsecond') AS tx_time) t,
            LATERAL (SELECT coalesce(i.valid_from, t.tx_time) AS valid_from,
                            coalesce(i.valid_to, 'infinity') AS valid_to) r
        ), logged AS (
            INSERT INTO store.object_events (seq, entity_id, version, type_name, event_type, tx_time, valid_from,
                                             valid_to, state, updated_by, changes)
            SELECT i.seq, i.entity_id, i.version, i.type_name, i.event_type, i.tx_time, i.valid_from, i.valid_to,
                   i.state, session_user, i.changes
            FROM item i
        ), projected AS (
            UPDATE store.object_heads h
            SET version = i.version,
                last_tx_time = i.tx_time,
                folded_at = i.tx_time,
                state_since = CASE WHEN i.event_type = 'STATE_CHANGE' THEN i.valid_from ELSE h.state_since END,
                deleted = CASE WHEN i.event_type = 'DELETED'
                               THEN h.deleted + tstzmultirange(tstzrange(i.valid_from, i.valid_to))
                               ELSE h.deleted END,
                due = least(h.due,
                            CASE WHEN i.valid_from > i.tx_time THEN i.valid_from
                                 WHEN i.valid_to > i.tx_time THEN i.valid_to ELSE 'infinity' END),
                present = CASE WHEN i.applies THEN i.event_type <> 'DELETED' ELSE h.present END,
                event_type = CASE WHEN i.applies THEN i.event_type ELSE h.event_type END,
                tx_time = CASE WHEN i.applies THEN i.tx_time ELSE h.tx_time END,
                valid_from = CASE WHEN i.applies THEN i.valid_from ELSE h.valid_from END,
                valid_to = CASE WHEN i.applies THEN i.valid_to ELSE h.valid_to END,
                updated_by = CASE WHEN i.applies THEN session_user ELSE h.updated_by END,
                state = CASE WHEN i.applies AND i.state IS NOT NULL THEN i.state ELSE h.state END,
                data = CASE WHEN i.applies THEN h.data || i.changes ELSE h.data END
            FROM item i
            WHERE h.entity_id = i.entity_id
            RETURNING i.n, i.refold, h.present, h.entity_id, h.version, h.owner, h.updated_by, h.tx_time, h.valid_from,
                      nullif(h.valid_to, 'infinity') AS valid_to, h.state, h.event_type, h.data,
                      i.event_type AS logged_type, i.tx_time AS logged_tx_time, i.valid_from AS logged_valid_from
        )
        SELECT * FROM projected ORDER BY n
    LOOP
        IF v.refold THEN
            PERFORM store.refold_head(v.entity_id, v.logged_tx_time);
        END IF;
        IF v.refold OR NOT v.present OR v.logged_type = 'DELETED' THEN
            RETURN QUERY SELECT * FROM store.after_append(v.entity_id, v.version);
        ELSE
            RETURN NEXT (v.entity_id, v.version, v.owner, v.updated_by, v.tx_time, v.valid_from, v.valid_to, v.state,
                         v.event_type, v.data, v.logged_type, v.logged_tx_time, v.logged_valid_from)::store.change;
        END IF;
    END LOOP;
END
$$;

-- What the caller of an append holds afterwards: what a read returns; after a deletion, or where a read returns
-- nothing, the event itself with the state that it left at its own valid_from.
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
                     e.event_type, e.tx_time, e.valid_from)::store.change;
    ELSE
        RETURN QUERY
        SELECT e.entity_id, e.version, h.owner, e.updated_by, e.tx_time, e.valid_from, nullif(e.valid_to, 'infinity'),
               s.state, e.event_type, s.data, e.event_type, e.tx_time, e.valid_from
        FROM store.state_at(e.entity_id, 'infinity', e.valid_from) s;
    END IF;
END
$$;

-- Appends one event to each of several entities.
-- p_items: [{entity_id, type_name, version (the one expected), event_type, changes, state, valid_from, valid_to}, ...];
-- the rows come back in that order, as a read would return them.
CREATE OR REPLACE FUNCTION store.append_events(p_items jsonb, p_shared_clock boolean, p_key text)
RETURNS SETOF store.change
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_principals text[] := store.principals();
    v_admin boolean := store.is_admin();
    v_clock timestamptz;
BEGIN
    PERFORM pg_current_xact_id();
    IF p_key IS NOT NULL AND NOT store.claim_key(p_key, p_items) THEN
        RETURN QUERY SELECT * FROM store.replayed(p_key);
        RETURN;
    END IF;
    PERFORM 1 FROM store.object_heads h
    WHERE h.entity_id IN (SELECT (i->>'entity_id')::uuid FROM jsonb_array_elements(p_items) i)
      AND (h.owner = session_user OR h.writers && v_principals OR v_admin)
    ORDER BY h.entity_id FOR UPDATE;
    v_clock := store.transaction_clock(p_shared_clock);
    PERFORM store.check_appends(p_items, v_principals, v_admin, v_clock);
    IF p_key IS NULL THEN
        RETURN QUERY SELECT * FROM store.log_appends(p_items, v_clock);
    ELSE
        RETURN QUERY
        WITH made AS MATERIALIZED (
            SELECT * FROM store.log_appends(p_items, v_clock)
        ), kept AS (
            UPDATE store.idempotency_keys k
            SET entity_ids = m.entity_ids, versions = m.versions
            FROM (SELECT array_agg(entity_id) AS entity_ids, array_agg(version) AS versions FROM made) m
            WHERE k.username = session_user AND k.key = p_key
        )
        SELECT * FROM made;
    END IF;
END
$$;
