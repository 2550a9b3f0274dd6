-- The log as each user's stream of events, in an order that no later commit can change.
--
-- An event that its reader might see when it was recorded stands at its own seq. What came into view later, by a grant
-- or by joining a group, stands at the place of that grant: the whole history up to it, as a backfill; where access was
-- withdrawn and granted again, at the last such place. Whether it may be read at all is asked of the present, for every
-- row. These functions look past row security.

-- First half of a safe read of the log: the last sequence value handed out, and a transaction id newer than that
-- of every transaction which may have taken a value up to it. Once no transaction older than `fence` runs, all
-- events up to `seq` are visible to whatever begins from then on: `passed` says that it is so already. No fence where
-- nothing is new.
CREATE OR REPLACE FUNCTION store.watermark(p_after bigint, OUT seq bigint, OUT fence xid8, OUT passed boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
BEGIN
    SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO seq FROM store.event_seq s;
    IF seq > p_after THEN
        fence := pg_current_xact_id();
        -- A snapshot from before the fence was taken, as under REPEATABLE READ, knows nothing of it.
        passed := pg_snapshot_xmin(pg_current_snapshot()) >= fence;
    END IF;
END
$$;

-- Whose transaction keeps the fences from being passed: the oldest one that may still write, in any database.
CREATE OR REPLACE FUNCTION store.held_back_by(OUT username text, OUT process integer, OUT seconds double precision)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT t.username, t.pid, extract(epoch FROM clock_timestamp() - t.since)
    FROM (SELECT a.usename::text, a.pid, a.xact_start, a.backend_xid FROM pg_stat_activity a
          WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
          UNION ALL
          SELECT p.owner::text, NULL, p.prepared, p.transaction FROM pg_prepared_xacts p
         ) AS t (username, pid, since, xid)
    ORDER BY age(t.xid) DESC LIMIT 1
$$;

-- The names under which the caller is granted access, and the place from which each holds; whether it reads all.
-- In PL/pgSQL, as the two that tell of grants: the plans of SQL functions are made anew in each read of the stream, which
-- for a single event is most of the work.
CREATE OR REPLACE FUNCTION store.standing(OUT names text[], OUT since bigint[], OUT reads_all boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
BEGIN
    SELECT array_agg(n.name), array_agg(n.place) INTO names, since
    FROM (SELECT session_user::text AS name, 0::bigint AS place
          UNION ALL
          SELECT g.group_name, coalesce(g.place, 0) FROM store.group_members g WHERE g.member = session_user::text) n;
    reads_all := '' = ANY (store.principals());
END
$$;

-- Those of the names that had access to an entity at a place of the stream.
CREATE OR REPLACE FUNCTION store.granted_at(p_entity uuid, p_place bigint, p_names text[], p_since bigint[])
RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT n.name FROM unnest(p_names, p_since) AS n (name, since)
    CROSS JOIN (VALUES ('READ'), ('WRITE')) AS a (access)
    CROSS JOIN LATERAL (
        SELECT s.action FROM store.share_events s
        WHERE s.entity_id = p_entity AND s.principal = n.name AND s.access = a.access
          AND coalesce(s.place, 0) <= p_place
        ORDER BY s.seq DESC LIMIT 1
    ) g
    WHERE n.since <= p_place AND g.action = 'SHARED'
$$;

-- The first place behind p_after at which something may come into the caller's view; null for none up to p_upto.
CREATE OR REPLACE FUNCTION store.next_grant(p_after bigint, p_upto bigint, p_names text[], p_since bigint[])
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT min(f.place)
        FROM (SELECT (SELECT s.place FROM store.share_events s
                      WHERE s.principal = n.name AND s.action = 'SHARED' AND s.place > greatest(p_after, n.since)
                      ORDER BY s.place LIMIT 1)
              FROM unnest(p_names, p_since) AS n (name, since)
              UNION ALL
              SELECT g.place FROM store.group_members g WHERE g.member = session_user::text AND g.place > p_after
             ) AS f (place)
        WHERE f.place <= p_upto);
END
$$;

-- The last place at which something may have come into the caller's view: behind it, nothing comes again.
CREATE OR REPLACE FUNCTION store.last_grant(p_names text[], p_since bigint[])
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT max(greatest(n.since, (SELECT s.place FROM store.share_events s
                                      WHERE s.principal = n.name AND s.action = 'SHARED' AND s.place > 0
                                      ORDER BY s.place DESC LIMIT 1)))
        FROM unnest(p_names, p_since) AS n (name, since));
END
$$;

-- Whether an entity that the caller sees comes into view once more behind p_place: then its whole history comes there,
-- and need not come before.
CREATE OR REPLACE FUNCTION store.comes_again(p_entity uuid, p_place bigint, p_names text[], p_since bigint[])
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM (SELECT s.place FROM store.share_events s, unnest(p_names, p_since) AS n (name, since)
                     WHERE s.entity_id = p_entity AND s.principal = n.name AND s.action = 'SHARED'
                       AND s.place > greatest(p_place, n.since)
                     UNION ALL
                     SELECT g.place FROM store.group_members g
                     WHERE g.member = session_user::text AND g.place > p_place
                       AND EXISTS (SELECT FROM store.granted_at(p_entity, g.place, ARRAY[g.group_name], ARRAY[g.place]))
                    ) a (place)
        WHERE NOT EXISTS (SELECT FROM store.granted_at(p_entity, a.place - 1, p_names, p_since)))
$$;

-- The entities that came into the caller's view at p_place, and are in it now; not those that have gone and come since.
CREATE OR REPLACE FUNCTION store.granted_by(p_place bigint, p_names text[], p_since bigint[])
RETURNS SETOF uuid LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_entity uuid;
    v_group text;
    v_granted bigint := store.last_grant(p_names, p_since);
BEGIN
    SELECT s.entity_id INTO v_entity FROM store.share_events s
    WHERE s.principal = ANY (p_names) AND s.place = p_place AND s.action = 'SHARED';
    IF FOUND THEN
        RETURN QUERY
        SELECT h.entity_id FROM store.object_heads h
        WHERE h.entity_id = v_entity AND h.acl && p_names AND h.owner <> session_user
          AND NOT EXISTS (SELECT FROM store.granted_at(v_entity, p_place - 1, p_names, p_since))
          AND NOT store.comes_again(v_entity, p_place, p_names, p_since);
        RETURN;
    END IF;
    SELECT g.group_name INTO v_group FROM store.group_members g
    WHERE g.member = session_user::text AND g.place = p_place;
    RETURN QUERY
    WITH granted AS MATERIALIZED (
        SELECT h.entity_id, h.owner FROM store.object_heads h WHERE h.acl && ARRAY[v_group]
    )
    SELECT c.entity_id FROM granted c
    WHERE c.owner <> session_user
      AND NOT EXISTS (SELECT FROM store.granted_at(c.entity_id, p_place - 1, p_names, p_since))
      AND NOT (v_granted > p_place AND store.comes_again(c.entity_id, p_place, p_names, p_since));
END
$$;

-- The events before p_place, and after p_after, of the entities that came into view there, by seq.
CREATE OR REPLACE FUNCTION store.granted_history(
    p_place bigint, p_after bigint, p_types text[], p_limit integer, p_names text[], p_since bigint[])
RETURNS TABLE (entity_id uuid, version integer)
LANGUAGE plpgsql STABLE SET enable_hashjoin = on SET enable_mergejoin = on SET enable_sort = on AS $$
DECLARE
    v_entities uuid[] := ARRAY(SELECT store.granted_by(p_place, p_names, p_since));
BEGIN
    IF cardinality(v_entities) = 1 THEN
        RETURN QUERY
        SELECT e.entity_id, e.version FROM store.object_events e
        WHERE e.entity_id = v_entities[1] AND e.seq > p_after AND e.seq < p_place
          AND (p_types IS NULL OR e.type_name = ANY (p_types))
        ORDER BY e.version LIMIT p_limit;
    ELSIF cardinality(v_entities) > 1 THEN
        RETURN QUERY
        SELECT e.entity_id, e.version FROM store.object_events e JOIN unnest(v_entities) AS v (id) ON e.entity_id = v.id
        WHERE e.seq > p_after AND e.seq < p_place AND (p_types IS NULL OR e.type_name = ANY (p_types))
        ORDER BY e.seq LIMIT p_limit;
    END IF;
END
$$;

-- What a read showed just after an event, State(tx_time, tx_time), where that is wanted: no row if nothing.
CREATE OR REPLACE FUNCTION store.shown_after(
    p_wanted boolean, p_entity uuid, p_version integer, p_tx timestamptz, p_folded_at timestamptz, p_head_version integer,
    p_present boolean, p_state text, p_data jsonb)
RETURNS TABLE (state text, data jsonb) LANGUAGE sql STABLE AS $$
    SELECT p_state, p_data WHERE p_wanted AND p_folded_at = p_tx AND p_head_version = p_version AND p_present
    UNION ALL
    SELECT a.state, a.data FROM store.state_at(p_entity, p_tx, p_tx) a
    WHERE p_wanted AND NOT (p_folded_at = p_tx AND p_head_version = p_version) AND a.event_type <> 'DELETED'
$$;

-- The events in (p_after, p_upto] that stand at their own place in the caller's stream: all that it may see, but for those
-- whose entity came, or comes again, into its view later. The other arguments are what read_stream found out about it.
-- Without p_data, state is the newest one.
CREATE OR REPLACE FUNCTION store.events_in_view(
    p_data boolean, p_after bigint, p_upto bigint, p_types text[], p_principals text[], p_names text[], p_since bigint[],
    p_reads_all boolean, p_granted bigint, p_joined bigint)
RETURNS TABLE (seq bigint, entity_id uuid, version integer, owner text, updated_by text, tx_time timestamptz,
               valid_from timestamptz, valid_to timestamptz, state text, event_type text, type_name text,
               changes jsonb, data jsonb, due timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT e.seq, e.entity_id, e.version, h.owner, e.updated_by, e.tx_time, e.valid_from, nullif(e.valid_to, 'infinity'),
           CASE WHEN p_data THEN s.state ELSE h.state END,
           e.event_type, e.type_name, CASE WHEN p_data THEN e.changes END, s.data, nullif(h.due, 'infinity')
    FROM store.object_events e
    CROSS JOIN LATERAL (SELECT * FROM store.object_heads x WHERE x.entity_id = e.entity_id OFFSET 0) h
    LEFT JOIN LATERAL store.shown_after(p_data, e.entity_id, e.version, e.tx_time, h.folded_at, h.version,
                                        h.present, h.state, h.data) s ON true
    WHERE e.seq > p_after AND e.seq <= p_upto
      AND (p_types IS NULL OR e.type_name = ANY (p_types)) AND h.acl && p_principals
      AND (p_reads_all OR h.owner = session_user
           OR EXISTS (SELECT FROM store.granted_at(e.entity_id, e.seq, p_names, p_since))
              -- First what is cheap to ask, and seldom so.
              AND NOT (p_granted > e.seq
                       AND (p_joined > e.seq
                            OR EXISTS (SELECT FROM store.share_events s
                                       WHERE s.entity_id = e.entity_id AND s.place > e.seq))
                       AND store.comes_again(e.entity_id, e.seq, p_names, p_since)))
$$;

-- Second half of a safe read: the caller's stream from behind (p_after, p_backfilled) up to p_upto, which a watermark
-- made safe. `backfill` is the place at which an event of the past came into view, 0 for an event at its own place.
-- With p_data, state and data are what a read returned just after the event, null if nothing; else state is the one
-- that the event left, and neither data nor changes are read. The last row holds no event: it says how far the stream
-- was read, in seq and backfill. That is short of p_upto behind p_limit events, or 8 MB of them, and where a call would
-- have to look at too much that the caller may not see.
-- The planner cannot know how few rows a batch takes, and would read the whole log for each, or all heads that the
-- caller may see.
CREATE OR REPLACE FUNCTION store.read_stream(
    p_after bigint, p_backfilled bigint, p_upto bigint, p_types text[], p_limit integer, p_data boolean)
RETURNS TABLE (seq bigint, backfill bigint, entity_id uuid, version integer, owner text, updated_by text,
               tx_time timestamptz, valid_from timestamptz, valid_to timestamptz, state text, event_type text,
               type_name text, changes text, data text, due timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    c_bytes constant bigint := 8388608;
    c_places constant bigint := 200000;
    c_grants constant integer := 1000;
    v_upto bigint := least(p_upto, p_after + c_places);
    v_me record;
    v_granted bigint;
    v_joined bigint;
    v_principals text[] := store.principals();
    v_at bigint := p_after;
    v_backfilled bigint := p_backfilled;
    v_grant bigint;
    v_rows integer := 0;
    v_bytes bigint := 0;
    v_key record;
    v_changes jsonb;
    v_data jsonb;
    v_states jsonb := '{}';
BEGIN
    SELECT * INTO v_me FROM store.standing();
    v_granted := store.last_grant(v_me.names, v_me.since);
    v_joined := (SELECT max(since) FROM unnest(v_me.since) AS since);
    FOR n IN 1..c_grants LOOP
        v_grant := CASE WHEN NOT v_me.reads_all THEN store.next_grant(v_at, v_upto, v_me.names, v_me.since) END;
        IF v_grant IS DISTINCT FROM v_at + 1 THEN
            v_backfilled := 0;  -- what was being read has been withdrawn
        END IF;
        backfill := 0;
        FOR seq, entity_id, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, type_name,
            v_changes, v_data, due IN
            SELECT * FROM store.events_in_view(p_data, v_at, coalesce(v_grant, v_upto), p_types, v_principals, v_me.names,
                                               v_me.since, v_me.reads_all, v_granted, v_joined) v
            ORDER BY v.seq LIMIT p_limit - v_rows
        LOOP
            v_rows := v_rows + 1;
            IF p_data THEN
                changes := v_changes::text;
                data := v_data::text;
                v_bytes := v_bytes + octet_length(changes) + coalesce(octet_length(data), 0);
            ELSIF state IS NOT NULL THEN
                SELECT * INTO v_states, state FROM store.state_left(entity_id, version, v_states);
            END IF;
            RETURN NEXT;
            EXIT WHEN v_bytes >= c_bytes;
        END LOOP;
        IF v_rows >= p_limit OR v_bytes >= c_bytes THEN
            v_at := NULL;
            EXIT;
        ELSIF v_grant IS NULL THEN
            v_at := v_upto;
            EXIT;
        END IF;
        backfill := v_grant;
        FOR v_key IN
            SELECT * FROM store.granted_history(v_grant, v_backfilled, p_types, p_limit - v_rows, v_me.names, v_me.since)
        LOOP
            SELECT e.seq, e.entity_id, e.version, h.owner, e.updated_by, e.tx_time, e.valid_from,
                   nullif(e.valid_to, 'infinity'),
                   CASE WHEN p_data THEN s.state ELSE h.state END, e.event_type, e.type_name, e.changes, s.data,
                   nullif(h.due, 'infinity')
            INTO seq, entity_id, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, type_name,
                 v_changes, v_data, due
            FROM store.object_events e
            JOIN store.object_heads h ON h.entity_id = e.entity_id
            LEFT JOIN LATERAL store.shown_after(p_data, e.entity_id, e.version, e.tx_time, h.folded_at, h.version,
                                                h.present, h.state, h.data) s ON true
            WHERE e.entity_id = v_key.entity_id AND e.version = v_key.version;
            v_rows := v_rows + 1;
            IF p_data THEN
                changes := v_changes::text;
                data := v_data::text;
                v_bytes := v_bytes + octet_length(changes) + coalesce(octet_length(data), 0);
            ELSIF state IS NOT NULL THEN
                SELECT * INTO v_states, state FROM store.state_left(entity_id, version, v_states);
            END IF;
            RETURN NEXT;
            EXIT WHEN v_bytes >= c_bytes;
        END LOOP;
        IF v_rows >= p_limit OR v_bytes >= c_bytes THEN
            v_at := NULL;
            EXIT;
        END IF;
        v_at := v_grant;
        v_backfilled := 0;
    END LOOP;
    seq := v_at; backfill := v_backfilled; entity_id := NULL; version := NULL; owner := NULL; updated_by := NULL;
    tx_time := NULL; valid_from := NULL; valid_to := NULL; state := NULL; event_type := NULL; type_name := NULL;
    changes := NULL; data := NULL; due := NULL;
    RETURN NEXT;
END
$$;

-- How many events of the caller's stream lie behind a position, committed but perhaps not yet safe to read, and for
-- how many seconds the oldest has been there.
CREATE OR REPLACE FUNCTION store.log_lag(
    p_after bigint, p_backfilled bigint, p_types text[], OUT events bigint, OUT seconds double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
DECLARE
    v_me record;
    v_principals text[] := store.principals();
    v_oldest timestamptz;
BEGIN
    SELECT * INTO v_me FROM store.standing();
    SELECT count(*), min(e.tx_time) INTO events, v_oldest
    FROM store.object_events e JOIN store.object_heads h ON h.entity_id = e.entity_id
    WHERE e.seq > p_after AND (p_types IS NULL OR e.type_name = ANY (p_types)) AND h.acl && v_principals;
    -- Histories that come into view, in so far as they lie before the position.
    IF NOT v_me.reads_all THEN
        SELECT events + count(DISTINCT e.seq), least(v_oldest, min(g.tx_time)) INTO events, v_oldest
        FROM (SELECT s.place, s.tx_time
              FROM unnest(v_me.names, v_me.since) AS n (name, since)
              JOIN store.share_events s
                   ON s.principal = n.name AND s.action = 'SHARED' AND s.place > greatest(p_after, n.since)
              UNION ALL
              SELECT m.place, NULL FROM store.group_members m
              WHERE m.member = session_user::text AND m.place > p_after) g
        CROSS JOIN LATERAL store.granted_by(g.place, v_me.names, v_me.since) AS n (entity_id)
        JOIN store.object_events e ON e.entity_id = n.entity_id
        WHERE e.seq <= p_after AND (p_types IS NULL OR e.type_name = ANY (p_types))
          AND NOT (g.place = p_after + 1 AND e.seq <= p_backfilled);
    END IF;
    seconds := coalesce(extract(epoch FROM clock_timestamp() - v_oldest), 0);
END
$$;

-- Takes the caller's checkpoint over for a new listener, at p_seq where there was none.
CREATE OR REPLACE FUNCTION store.claim_checkpoint(
    p_subscriber text, p_seq bigint, OUT seq bigint, OUT backfilled bigint, OUT term integer)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    INSERT INTO store.checkpoints AS c (username, subscriber_id, seq, updated_at)
    VALUES (session_user, p_subscriber, p_seq, clock_timestamp())
    ON CONFLICT (username, subscriber_id) DO UPDATE SET term = c.term + 1, updated_at = excluded.updated_at
    RETURNING c.seq, c.backfilled, c.term
$$;

-- Moves the caller's own checkpoint; false where another listener has taken it over since, or it is gone.
CREATE OR REPLACE FUNCTION store.move_checkpoint(p_subscriber text, p_term integer, p_seq bigint, p_backfilled bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
BEGIN
    UPDATE store.checkpoints c SET seq = p_seq, backfilled = p_backfilled, updated_at = clock_timestamp()
    WHERE c.username = session_user AND c.subscriber_id = p_subscriber AND c.term = p_term;
    RETURN FOUND;
END
$$;

-- Notes how far the caller has come, for others to see. It never moves back.
CREATE OR REPLACE FUNCTION store.save_checkpoint(p_subscriber text, p_seq bigint)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    INSERT INTO store.checkpoints AS c (username, subscriber_id, seq, updated_at)
    VALUES (session_user, p_subscriber, p_seq, clock_timestamp())
    ON CONFLICT (username, subscriber_id)
    DO UPDATE SET seq = excluded.seq, updated_at = excluded.updated_at WHERE excluded.seq > c.seq
$$;

-- A member of a group sees what the group was granted from its own place in the stream on.
CREATE OR REPLACE FUNCTION store.take_place()
RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_current_xact_id();
    NEW.place := nextval('store.event_seq');
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER take_place BEFORE INSERT ON store.group_members
    FOR EACH ROW EXECUTE FUNCTION store.take_place();
