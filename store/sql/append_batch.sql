-- Appending events to many entities at once.

-- Logs the items, all or none: none where one of them may not be appended. What their writer cannot work out comes back.
-- p_known: the writer holds what a read shows of each entity since its last event. Then first one row, with place 0, for
-- all that its event brings up to that from p_clock on, and that no valid time has changed meanwhile: it has their number
-- as version. Then a row for each of the others, or for all of them without p_known, with its place among the items, from
-- 1 on.
CREATE OR REPLACE FUNCTION store.log_appends(
    p_items jsonb, p_principals text[], p_admin boolean, p_clock timestamptz, p_known boolean)
RETURNS SETOF store.placed_change LANGUAGE plpgsql AS $$
DECLARE
    v_size bigint := jsonb_array_length(p_items);
    v record;
BEGIN
    FOR v IN
        WITH item AS MATERIALIZED (
            SELECT nextval('store.event_seq') AS seq, i.n, h.ctid AS head, i.entity_id, i.type_name,
                   h.version + 1 AS version, t.at, r.valid_from AS starts, r.valid_to AS ends, l.event,
                   h.folded_at = h.last_tx_time AS unaided, h.state AS old_state, s.state AS new_state, i.workflow,
                   i.changes, a.*
            FROM ROWS FROM (jsonb_to_recordset(p_items) AS (entity_id uuid, type_name text, version integer,
                                                            event_type text, changes jsonb, from_state text,
                                                            state text, workflow boolean, valid_from timestamptz,
                                                            valid_to timestamptz))
                 WITH ORDINALITY AS i (entity_id, type_name, version, event_type, changes, from_state, state, workflow,
                                       valid_from, valid_to, n)
            JOIN store.object_heads h ON h.entity_id = i.entity_id
            CROSS JOIN LATERAL (SELECT greatest(p_clock, h.last_tx_time + interval '1 microsecond') AS at) t
            CROSS JOIN LATERAL (SELECT coalesce(i.valid_from, t.at) AS valid_from,
                                       coalesce(i.valid_to, 'infinity') AS valid_to) r
            CROSS JOIN LATERAL (SELECT store.logged_as(i.event_type, r.valid_from, t.at) AS event) l
            CROSS JOIN LATERAL (SELECT CASE WHEN i.event_type = 'STATE_CHANGE' THEN i.state END AS state) s
            CROSS JOIN LATERAL store.advanced(h, l.event, i.changes, s.state, r.valid_from, r.valid_to, t.at,
                                              session_user::text) a
            WHERE (h.owner = session_user OR h.writers && p_principals OR p_admin)
              AND store.append_allowed(h, i.type_name, i.version, i.event_type, i.from_state, r.valid_from, r.valid_to,
                                       t.at)
        ), logged AS (
            INSERT INTO store.object_events (seq, entity_id, version, type_name, event_type, tx_time, valid_from,
                                             valid_to, state, updated_by, changes)
            SELECT i.seq, i.entity_id, i.version, i.type_name, i.event, i.at, i.starts, i.ends, i.new_state,
                   session_user, i.changes
            FROM item i
            WHERE v_size = (SELECT count(*) FROM item)
        ), to_start AS (
            INSERT INTO store.workflow_outbox (entity_id, version, type_name, from_state, to_state, username,
                                               created_at)
            SELECT i.entity_id, i.version, i.type_name, i.old_state, i.new_state, session_user, i.at
            FROM item i
            WHERE v_size = (SELECT count(*) FROM item) AND i.event = 'STATE_CHANGE'
              AND store.starts_workflow(i.type_name, i.old_state, i.new_state, i.workflow)
        ), projected AS (
            UPDATE store.object_heads x  -- the heads are locked: a row stays where it was found
            SET version = i.version, last_tx_time = i.at, folded_at = i.at, state_since = i.state_since,
                deleted = i.deleted, due = i.due, present = i.present, event_type = i.event_type, tx_time = i.tx_time,
                valid_from = i.valid_from, valid_to = i.valid_to, updated_by = i.updated_by, state = i.state,
                data = i.data, fields_size = i.fields_size
            FROM item i
            WHERE x.ctid = i.head AND v_size = (SELECT count(*) FROM item)
            RETURNING i.n, i.at, i.starts, i.event, i.refold, i.apart AND i.fields_size > 4194304 AS large, x.entity_id,
                      x.version, x.owner, x.updated_by, x.tx_time, x.valid_from, nullif(x.valid_to, 'infinity') AS valid_to,
                      x.state, x.event_type, x.data, i.refold OR NOT x.present OR i.event = 'DELETED' AS unlike,
                      p_known AND i.unaided AND NOT i.refold AND x.present AND i.event <> 'DELETED'
                      AND x.tx_time = i.at AND i.at = p_clock AS plain
        )
        SELECT 0 AS n, p_clock AS at, NULL::timestamptz AS starts, NULL AS event, false AS refold, false AS large,
               NULL::uuid AS entity_id, (count(*) FILTER (WHERE p.plain))::integer AS version, NULL AS owner,
               session_user::text AS updated_by, p_clock AS tx_time, NULL::timestamptz AS valid_from,
               NULL::timestamptz AS valid_to, NULL AS state, NULL AS event_type, NULL AS data, false AS unlike,
               p_known AS plain, count(*) AS logged
        FROM projected p
        UNION ALL
        SELECT p.n, p.at, p.starts, p.event, p.refold, p.large, p.entity_id, p.version, p.owner, p.updated_by,
               p.tx_time, p.valid_from, p.valid_to, p.state, p.event_type,
               CASE WHEN NOT p.plain AND NOT p.unlike THEN p.data::text END, p.unlike, p.plain, NULL
        FROM projected p WHERE NOT p.plain OR p.large OR store.leaves_snapshot(p.version)
        ORDER BY n
    LOOP
        IF v.n = 0 AND v.logged <> v_size THEN
            IF v.logged = 0 THEN
                PERFORM store.check_appends(p_items, p_principals, p_admin, p_clock);
            END IF;
            -- An entity came into being after the others were locked, and has been changed since.
            RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'an entity of the batch was changed at the same moment';
        END IF;
        IF v.large THEN
            PERFORM store.check_fields(v.entity_id);
        END IF;
        IF v.refold THEN
            PERFORM store.refold_head(v.entity_id, v.at);
        END IF;
        IF v.n > 0 AND store.leaves_snapshot(v.version) THEN
            PERFORM store.keep_snapshot(v.entity_id);
        END IF;
        IF v.unlike THEN
            RETURN QUERY
            SELECT v.n::bigint, c.entity_id, c.version, c.owner, c.updated_by, c.tx_time, c.valid_from, c.valid_to,
                   c.state, c.event_type, c.data::text, c.logged_type, c.logged_tx_time, c.logged_valid_from
            FROM store.after_append(v.entity_id, v.version) c;
        ELSIF v.plain = (v.n = 0) THEN
            RETURN NEXT (v.n, v.entity_id, v.version, v.owner, v.updated_by, v.tx_time, v.valid_from, v.valid_to,
                         v.state, v.event_type, v.data, v.event, v.at, v.starts)::store.placed_change;
        END IF;
    END LOOP;
END
$$;

-- Locks the heads, in entity order, checks every item and appends. p_known as for store.log_appends.
CREATE OR REPLACE FUNCTION store.make_event_batch(p_items jsonb, p_shared_clock boolean, p_known boolean)
RETURNS SETOF store.placed_change LANGUAGE plpgsql AS $$
DECLARE
    v_principals text[] := store.principals();
    v_admin boolean := store.is_admin();
    v_clock timestamptz;
    v_entities uuid[] := ARRAY(SELECT i.entity_id FROM jsonb_to_recordset(p_items) AS i (entity_id uuid));
BEGIN
    PERFORM FROM store.object_heads h
    WHERE h.entity_id = ANY (v_entities) AND (h.owner = session_user OR h.writers && v_principals OR v_admin)
    ORDER BY h.entity_id FOR UPDATE;
    PERFORM store.require_still(v_principals, v_admin);
    v_clock := store.transaction_clock(p_shared_clock);
    IF EXISTS (SELECT FROM store.published_types) OR (SELECT g.governed FROM store.governance g) THEN
        -- What a type requires is said to those only who may change the entity.
        PERFORM store.check_appends(p_items, v_principals, v_admin, v_clock);
        PERFORM store.check_events(p_items, v_principals);
    END IF;
    RETURN QUERY SELECT * FROM store.log_appends(p_items, v_principals, v_admin, v_clock, p_known);
END
$$;

-- Appends to many entities; p_items as for store.append_events, the rows and p_known as store.log_appends says. No row
-- where an earlier run of the same key made the events: store.replay has those.
CREATE OR REPLACE FUNCTION store.append_batch(
    p_items jsonb, p_shared_clock boolean, p_key text, p_known boolean DEFAULT false)
RETURNS SETOF store.placed_change
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET plan_cache_mode = force_generic_plan SET extra_float_digits = 1 AS $$
BEGIN
    PERFORM pg_current_xact_id();
    IF p_key IS NOT NULL AND NOT store.claim_key(p_key, p_items) THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM store.make_event_batch(p_items, p_shared_clock, p_known);
    IF p_key IS NOT NULL THEN
        UPDATE store.idempotency_keys k
        SET entity_ids = m.entity_ids, versions = m.versions
        FROM (SELECT array_agg(i.entity_id) AS entity_ids, array_agg(i.version + 1) AS versions
              FROM jsonb_to_recordset(p_items) AS i (entity_id uuid, version integer)) m
        WHERE k.username = session_user AND k.key = p_key;
    END IF;
END
$$;

-- Locks entities that the caller may change, in entity order, for a batch that comes in several calls: two such batches
-- wait for each other, and do not block one another.
CREATE OR REPLACE FUNCTION store.lock_batch(p_entities uuid[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_principals text[] := store.principals();
    v_admin boolean := store.is_admin();
BEGIN
    PERFORM pg_current_xact_id();
    PERFORM store.require_present();
    PERFORM FROM store.object_heads h
    WHERE h.entity_id = ANY (p_entities) AND (h.owner = session_user OR h.writers && v_principals OR v_admin)
    ORDER BY h.entity_id FOR UPDATE;
END
$$;
