SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA store;
ALTER SCHEMA store OWNER TO store_owner;
CREATE COLLATION store.casing (provider = builtin, locale = 'PG_UNICODE_FAST');
ALTER COLLATION store.casing OWNER TO store_owner;
CREATE TYPE store.change AS (
	entity_id uuid,
	version integer,
	owner text,
	updated_by text,
	tx_time timestamp with time zone,
	valid_from timestamp with time zone,
	valid_to timestamp with time zone,
	state text,
	event_type text,
	data jsonb,
	logged_type text,
	logged_tx_time timestamp with time zone,
	logged_valid_from timestamp with time zone,
	replayed boolean
);
ALTER TYPE store.change OWNER TO store_owner;
CREATE TYPE store.object_state AS (
	entity_id uuid,
	version integer,
	owner text,
	updated_by text,
	tx_time timestamp with time zone,
	valid_from timestamp with time zone,
	valid_to timestamp with time zone,
	state text,
	event_type text,
	data jsonb
);
ALTER TYPE store.object_state OWNER TO store_owner;
CREATE FUNCTION store.add_members(p_group text, p_members text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
DECLARE
    v_member text;
BEGIN
    PERFORM store.require_admin();
    PERFORM store.lock_principals();
    PERFORM store.require_group(p_group);
    FOREACH v_member IN ARRAY p_members LOOP
        IF EXISTS (SELECT FROM store.groups g WHERE g.group_name = v_member) THEN
            PERFORM store.refuse('TS010', format('%L is a group: the members of a group are users', v_member),
                                 jsonb_build_object('principal', v_member));
        END IF;
        PERFORM store.require_principals(ARRAY[v_member]);
        INSERT INTO store.group_members (group_name, member) VALUES (p_group, v_member) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            PERFORM store.record_administration('MEMBER_ADDED', p_group, v_member);
        END IF;
    END LOOP;
END
$$;
ALTER FUNCTION store.add_members(p_group text, p_members text[]) OWNER TO store_owner;
CREATE FUNCTION store.administration() RETURNS TABLE(at timestamp with time zone, actor text, action text, subject text, detail text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
BEGIN
    IF NOT '' = ANY (store.principals()) THEN
        PERFORM store.require_admin();
    END IF;
    RETURN QUERY SELECT e.at, e.actor, e.action, e.subject, e.detail FROM store.admin_events e ORDER BY e.seq;
END
$$;
ALTER FUNCTION store.administration() OWNER TO store_owner;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE store.object_heads (
    entity_id uuid NOT NULL,
    type_name text NOT NULL COLLATE pg_catalog."C",
    owner text NOT NULL COLLATE pg_catalog."C",
    readers text[] DEFAULT '{}'::text[] NOT NULL COLLATE pg_catalog."C",
    writers text[] DEFAULT '{}'::text[] NOT NULL COLLATE pg_catalog."C",
    acl text[] GENERATED ALWAYS AS ((array_append((readers || writers), owner) || ''::text)) STORED NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    last_tx_time timestamp with time zone NOT NULL,
    state_since timestamp with time zone NOT NULL,
    deleted tstzmultirange DEFAULT '{}'::tstzmultirange NOT NULL,
    folded_at timestamp with time zone NOT NULL,
    due timestamp with time zone NOT NULL,
    present boolean NOT NULL,
    event_type text NOT NULL COLLATE pg_catalog."C",
    tx_time timestamp with time zone NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone NOT NULL,
    updated_by text NOT NULL COLLATE pg_catalog."C",
    state text COLLATE pg_catalog."C",
    data jsonb NOT NULL,
    CONSTRAINT object_size CHECK ((pg_column_size(data) <= 4194304))
)
WITH (fillfactor='85');
ALTER TABLE ONLY store.object_heads ALTER COLUMN entity_id SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN owner SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN readers SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN writers SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN acl SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN version SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN last_tx_time SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN state_since SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN deleted SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN folded_at SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN event_type SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN tx_time SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN valid_from SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN valid_to SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN updated_by SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN state SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads ALTER COLUMN data SET STATISTICS 0;
ALTER TABLE ONLY store.object_heads FORCE ROW LEVEL SECURITY;
ALTER TABLE store.object_heads OWNER TO store_owner;
CREATE FUNCTION store.advanced(h store.object_heads, p_event text, p_changes jsonb, p_state text, p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone, p_user text) RETURNS TABLE(refold boolean, state_since timestamp with time zone, deleted tstzmultirange, due timestamp with time zone, present boolean, event_type text, tx_time timestamp with time zone, valid_from timestamp with time zone, valid_to timestamp with time zone, updated_by text, state text, data jsonb)
    LANGUAGE sql IMMUTABLE
    AS $$
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
           CASE WHEN a.applies THEN (h).data || p_changes ELSE (h).data END
    FROM (SELECT store.covers(p_from, p_to, p_at) AS applies) a
$$;
ALTER FUNCTION store.advanced(h store.object_heads, p_event text, p_changes jsonb, p_state text, p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone, p_user text) OWNER TO store_owner;
CREATE FUNCTION store.after_append(p_entity uuid, p_version integer) RETURNS SETOF store.change
    LANGUAGE plpgsql STABLE
    AS $$
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
ALTER FUNCTION store.after_append(p_entity uuid, p_version integer) OWNER TO store_owner;
CREATE FUNCTION store.append_allowed(h store.object_heads, p_type text, p_version integer, p_event text, p_left text, p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE WHEN (h).type_name IS DISTINCT FROM p_type OR (h).version IS DISTINCT FROM p_version OR p_from >= p_to
                THEN false
                WHEN p_event = 'STATE_CHANGE'
                THEN p_left IS NOT DISTINCT FROM (h).state AND p_from <= p_at AND p_from >= (h).state_since
                     AND p_to = 'infinity' AND NOT (h).deleted && tstzrange(p_from, p_to)
                WHEN p_event IN ('UPDATED', 'DELETED')
                THEN NOT (h).deleted && tstzrange(p_from, p_to)
                ELSE false END
$$;
ALTER FUNCTION store.append_allowed(h store.object_heads, p_type text, p_version integer, p_event text, p_left text, p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.append_events(p_items jsonb, p_shared_clock boolean, p_key text) RETURNS SETOF store.change
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
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
        RETURN QUERY SELECT * FROM store.replayed(p_key);
    END IF;
END
$$;
ALTER FUNCTION store.append_events(p_items jsonb, p_shared_clock boolean, p_key text) OWNER TO store_owner;
CREATE FUNCTION store.breaches(p_type text, p_changed text[], p_defaults jsonb) RETURNS TABLE(breach text, field text, entities bigint, example uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    WITH head AS MATERIALIZED (
        SELECT h.entity_id, h.state, h.data, ARRAY(
            SELECT jsonb_array_elements_text(f->'former_names')
            FROM store.published_types t
            JOIN store.publications p ON p.type_name = t.type_name AND p.revision = t.revision,
                 jsonb_array_elements(p.document->'fields') f
            WHERE t.type_name = p_type) AS former
        FROM store.object_heads h WHERE h.type_name = p_type AND h.event_type <> 'DELETED'
    ), changed AS MATERIALIZED (
        SELECT f, f.field AS name FROM store.published_fields f WHERE f.type_name = p_type AND f.field = ANY (p_changed)
    )
    SELECT 'unreadable', c.name, count(DISTINCT e.entity_id), min(e.entity_id::text)::uuid
    FROM store.object_events e, changed c
    WHERE e.type_name = p_type AND e.changes ? c.name AND NOT store.is_of_type(e.changes->c.name, c.f)
    GROUP BY c.name
    UNION ALL
    SELECT 'missing', c.name, count(*), min(h.entity_id::text)::uuid
    FROM head h, changed c
    WHERE (c.f).required AND NOT h.data ? c.name AND NOT h.data ?| h.former
    GROUP BY c.name
    UNION ALL
    SELECT 'lost', d.key, count(*), min(h.entity_id::text)::uuid
    FROM head h, published_types t, jsonb_each(h.data) d
    WHERE t.type_name = p_type AND d.key <> ALL (t.fields) AND d.key <> ALL (h.former)
      AND d.value <> 'null' AND d.value IS DISTINCT FROM p_defaults->d.key
    GROUP BY d.key
    UNION ALL
    SELECT 'broken', c.name, count(*), min(h.entity_id::text)::uuid
    FROM head h, changed c
    WHERE CASE WHEN h.data ? c.name AND store.is_of_type(h.data->c.name, c.f)
               THEN store.broken_rule(h.data->c.name, c.f) IS NOT NULL END
    GROUP BY c.name
    UNION ALL
    SELECT 'stranded', h.state, count(*), min(h.entity_id::text)::uuid
    FROM head h, published_types t
    WHERE t.type_name = p_type AND h.state IS DISTINCT FROM t.initial
      AND NOT EXISTS (SELECT FROM store.published_edges e
                      WHERE e.type_name = p_type AND h.state IN (e.from_state, e.to_state))
    GROUP BY h.state
    UNION ALL
    SELECT 'nobody', a.name, 0, NULL
    FROM (SELECT DISTINCT unnest(e.allowed_by) AS name FROM store.published_edges e WHERE e.type_name = p_type) a
    WHERE NOT EXISTS (SELECT FROM store.groups g WHERE g.group_name = a.name)
      AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = a.name AND r.rolcanlogin)
$$;
ALTER FUNCTION store.breaches(p_type text, p_changed text[], p_defaults jsonb) OWNER TO store_owner;
CREATE TABLE store.published_fields (
    type_name text NOT NULL,
    field text NOT NULL,
    kind text NOT NULL,
    nullable boolean NOT NULL,
    required boolean NOT NULL,
    members jsonb,
    shape jsonb,
    enum jsonb,
    low numeric,
    high numeric,
    first text,
    last text,
    max_length integer,
    pattern text,
    check_name text
);
ALTER TABLE ONLY store.published_fields FORCE ROW LEVEL SECURITY;
ALTER TABLE store.published_fields OWNER TO store_owner;
CREATE FUNCTION store.broken_rule(v jsonb, f store.published_fields) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE WHEN v = 'null' THEN NULL
                WHEN (f).enum IS NOT NULL AND NOT (f).enum @> v THEN 'enum'
                WHEN (f).low IS NOT NULL AND (v #>> '{}')::numeric < (f).low THEN 'min_value'
                WHEN (f).high IS NOT NULL AND (v #>> '{}')::numeric > (f).high THEN 'max_value'
                WHEN (f).first IS NOT NULL AND (v #>> '{}') COLLATE "C" < (f).first THEN 'min_value'
                WHEN (f).last IS NOT NULL AND (v #>> '{}') COLLATE "C" > (f).last THEN 'max_value'
                WHEN (f).max_length IS NOT NULL AND length(v #>> '{}') > (f).max_length THEN 'max_length'
                WHEN (f).pattern IS NOT NULL AND (v #>> '{}') COLLATE "C" !~ (f).pattern THEN 'pattern'
                WHEN (f).check_name IS NOT NULL AND NOT store.is_isin(v #>> '{}') THEN 'check' END
$$;
ALTER FUNCTION store.broken_rule(v jsonb, f store.published_fields) OWNER TO store_owner;
CREATE FUNCTION store.changes_ahead(p_type text, p_moment timestamp with time zone) RETURNS TABLE(entity_id uuid, moment timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    SELECT DISTINCT e.entity_id, b.at
    FROM store.object_heads h
    JOIN store.object_events e ON e.entity_id = h.entity_id
    CROSS JOIN LATERAL (VALUES (e.valid_from), (e.valid_to)) AS b (at)
    WHERE h.type_name = p_type AND h.acl && (SELECT store.principals())
      AND e.tx_time < p_moment AND b.at >= p_moment AND b.at < 'infinity'
$$;
ALTER FUNCTION store.changes_ahead(p_type text, p_moment timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.check_appends(p_items jsonb, p_principals text[], p_admin boolean, p_clock timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    v record;
    v_until timestamptz;
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
        SELECT lower(r) INTO v_until FROM unnest(v.deleted) AS r
        WHERE r && tstzrange(v.valid_from, v.valid_to) ORDER BY r LIMIT 1;
        PERFORM store.refuse('TS006', format('%s %s is deleted over %s', v.type_name, v.entity_id, v.deleted),
                             jsonb_build_object('entity_id', v.entity_id, 'valid_from', v.valid_from,
                                                'valid_to', nullif(v.valid_to, 'infinity'),
                                                'deleted_from', v_until, 'deleted', v.deleted::text));
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
ALTER FUNCTION store.check_appends(p_items jsonb, p_principals text[], p_admin boolean, p_clock timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.check_creations(p_items jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    v_governed boolean := (SELECT g.governed FROM store.governance g);
    v record;
BEGIN
    IF NOT v_governed AND NOT EXISTS (SELECT FROM store.published_types) THEN
        RETURN;
    END IF;
    SELECT i.n, i.type_name, i.data, i.state, t.revision, t.retired, t.machine, t.initial INTO v
    FROM ROWS FROM (jsonb_to_recordset(p_items) AS (type_name text, data jsonb, state text))
         WITH ORDINALITY AS i (type_name, data, state, n)
    LEFT JOIN store.published_types t ON t.type_name = i.type_name
    WHERE CASE WHEN t.type_name IS NULL THEN v_governed
               ELSE t.retired OR i.state IS DISTINCT FROM t.initial OR i.data - t.fields <> '{}'
                    OR EXISTS (SELECT FROM store.published_fields f
                               WHERE f.type_name = i.type_name AND store.is_misfit(i.data, f, true)) END
    ORDER BY i.n LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    ELSIF v.revision IS NULL OR v.retired THEN
        PERFORM store.refuse_unpublished(v.type_name);
    ELSIF v.state IS DISTINCT FROM v.initial THEN
        PERFORM store.refuse(
            'TS022', CASE WHEN v.machine IS NULL THEN format('%s is published without a state machine', v.type_name)
                          ELSE format('a new %s begins in %L, as published with %s, not in %s', v.type_name, v.initial,
                                      v.machine, coalesce(quote_literal(v.state), 'no state')) END,
            jsonb_build_object('machine', v.machine, 'to_state', v.state));
    END IF;
    PERFORM store.refuse_fields(v.type_name, v.data, true,
                                CASE WHEN jsonb_array_length(p_items) > 1 THEN v.n - 1 END);
END
$$;
ALTER FUNCTION store.check_creations(p_items jsonb) OWNER TO store_owner;
CREATE FUNCTION store.check_edge(p_type text, p_from text, p_to text, p_principals text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    v_machine text;
    e store.published_edges;
BEGIN
    SELECT * INTO e FROM store.published_edges x
    WHERE x.type_name = p_type AND x.from_state = p_from AND x.to_state = p_to;
    IF e.allowed_by IS NULL AND FOUND OR e.allowed_by && p_principals THEN
        RETURN;
    END IF;
    SELECT t.machine INTO v_machine FROM store.published_types t WHERE t.type_name = p_type;
    IF FOUND AND e.type_name IS NULL THEN
        PERFORM store.refuse(
            'TS022', CASE WHEN v_machine IS NULL THEN format('%s is published without a state machine', p_type)
                          ELSE format('%s, as published for %s, has no transition %L -> %L', v_machine, p_type, p_from,
                                      p_to) END,
            jsonb_build_object('machine', v_machine, 'from_state', p_from, 'to_state', p_to, 'allowed', ARRAY(
                SELECT x.to_state FROM store.published_edges x
                WHERE x.type_name = p_type AND x.from_state = p_from ORDER BY 1)));
    END IF;
    PERFORM store.refuse(
        'TS023', format('%s: %L may not take %L -> %L; allowed: %s', v_machine, session_user, p_from, p_to,
                        array_to_string(e.allowed_by, ', ')),
        jsonb_build_object('user', session_user, 'from_state', p_from, 'to_state', p_to, 'allowed_by', e.allowed_by));
END
$$;
ALTER FUNCTION store.check_edge(p_type text, p_from text, p_to text, p_principals text[]) OWNER TO store_owner;
CREATE FUNCTION store.check_events(p_items jsonb, p_principals text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    v_governed boolean := (SELECT g.governed FROM store.governance g);
    v record;
BEGIN
    IF NOT v_governed AND NOT EXISTS (SELECT FROM store.published_types) THEN
        RETURN;
    END IF;
    SELECT i.n, h.type_name, i.changes, h.state AS from_state, i.state, t.revision, t.retired, e.bad AS bad_edge INTO v
    FROM ROWS FROM (jsonb_to_recordset(p_items) AS (entity_id uuid, event_type text, changes jsonb, state text))
         WITH ORDINALITY AS i (entity_id, event_type, changes, state, n)
    JOIN store.object_heads h ON h.entity_id = i.entity_id
    LEFT JOIN store.published_types t ON t.type_name = h.type_name
    CROSS JOIN LATERAL (SELECT i.event_type = 'STATE_CHANGE' AND NOT EXISTS (
        SELECT FROM store.published_edges x
        WHERE x.type_name = h.type_name AND x.from_state = h.state AND x.to_state = i.state
          AND (x.allowed_by IS NULL OR x.allowed_by && p_principals)) AS bad) e
    WHERE CASE WHEN t.type_name IS NULL THEN v_governed
               ELSE t.retired OR e.bad OR i.changes - t.fields <> '{}'
                    OR EXISTS (SELECT FROM store.published_fields f
                               WHERE f.type_name = h.type_name AND store.is_misfit(i.changes, f, false)) END
    ORDER BY i.n LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    ELSIF v.revision IS NULL OR v.retired THEN
        PERFORM store.refuse_unpublished(v.type_name);
    ELSIF v.bad_edge THEN
        PERFORM store.check_edge(v.type_name, v.from_state, v.state, p_principals);
    END IF;
    PERFORM store.refuse_fields(v.type_name, v.changes, false,
                                CASE WHEN jsonb_array_length(p_items) > 1 THEN v.n - 1 END);
END
$$;
ALTER FUNCTION store.check_events(p_items jsonb, p_principals text[]) OWNER TO store_owner;
CREATE FUNCTION store.claim_checkpoint(p_subscriber text, p_seq bigint, OUT seq bigint, OUT backfilled bigint, OUT term integer) RETURNS record
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    INSERT INTO store.checkpoints AS c (username, subscriber_id, seq, updated_at)
    VALUES (session_user, p_subscriber, p_seq, clock_timestamp())
    ON CONFLICT (username, subscriber_id) DO UPDATE SET term = c.term + 1, updated_at = excluded.updated_at
    RETURNING c.seq, c.backfilled, c.term
$$;
ALTER FUNCTION store.claim_checkpoint(p_subscriber text, p_seq bigint, OUT seq bigint, OUT backfilled bigint, OUT term integer) OWNER TO store_owner;
CREATE FUNCTION store.claim_key(p_key text, p_request jsonb) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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
ALTER FUNCTION store.claim_key(p_key text, p_request jsonb) OWNER TO store_owner;
CREATE FUNCTION store.covers(p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT p_from <= p_at AND p_at < p_to $$;
ALTER FUNCTION store.covers(p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.create_group(p_group text, p_members text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
BEGIN
    PERFORM store.require_admin();
    PERFORM store.lock_principals();
    IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = p_group) THEN
        PERFORM store.refuse('TS030', format('%L is the name of a user: choose another name for the group', p_group),
                             jsonb_build_object('principal', p_group));
    ELSIF EXISTS (SELECT FROM store.groups g WHERE g.group_name = p_group) THEN
        PERFORM store.refuse('TS030', format('there is a group named %L already', p_group),
                             jsonb_build_object('principal', p_group));
    END IF;
    INSERT INTO store.groups VALUES (p_group);
    PERFORM store.record_administration('GROUP_CREATED', p_group, NULL);
    PERFORM store.add_members(p_group, p_members);
END
$$;
ALTER FUNCTION store.create_group(p_group text, p_members text[]) OWNER TO store_owner;
CREATE FUNCTION store.create_objects(p_items jsonb, p_readers text[], p_writers text[], p_shared_clock boolean, p_key text) RETURNS SETOF store.change
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
    PERFORM pg_current_xact_id();
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
ALTER FUNCTION store.create_objects(p_items jsonb, p_readers text[], p_writers text[], p_shared_clock boolean, p_key text) OWNER TO store_owner;
CREATE FUNCTION store.current_grants(p_entity uuid) RETURNS TABLE(principal text, access text, grantor text)
    LANGUAGE sql STABLE
    AS $$
    SELECT g.principal, g.access, g.grantor
    FROM (SELECT DISTINCT ON (s.principal, s.access) s.* FROM store.share_events s
          WHERE s.entity_id = p_entity ORDER BY s.principal, s.access, s.seq DESC) g
    WHERE g.action = 'SHARED'
$$;
ALTER FUNCTION store.current_grants(p_entity uuid) OWNER TO store_owner;
CREATE FUNCTION store.differences() RETURNS TABLE(entity_id uuid, type_name text, problem text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
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
$$;
ALTER FUNCTION store.differences() OWNER TO store_owner;
CREATE FUNCTION store.drop_group(p_group text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    SET gin_fuzzy_search_limit TO '0'
    AS $$
DECLARE
    v_head store.object_heads;
    v_entities bigint := 0;
BEGIN
    PERFORM store.require_admin();
    PERFORM store.lock_principals();
    PERFORM store.require_group(p_group);
    -- Whoever shares with the group meanwhile holds a lock on its row: what it grants is seen here.
    PERFORM FROM store.groups g WHERE g.group_name = p_group FOR UPDATE;
    FOR v_head IN
        SELECT * FROM store.object_heads h WHERE h.acl && ARRAY[p_group] ORDER BY h.entity_id FOR UPDATE
    LOOP
        PERFORM store.record_share(v_head, 'UNSHARED', g.access, p_group)
        FROM store.current_grants(v_head.entity_id) g WHERE g.principal = p_group;
        v_entities := v_entities + 1;
    END LOOP;
    DELETE FROM store.groups g WHERE g.group_name = p_group;
    PERFORM store.record_administration('GROUP_DROPPED', p_group, NULL);
    RETURN v_entities;
END
$$;
ALTER FUNCTION store.drop_group(p_group text) OWNER TO store_owner;
CREATE FUNCTION store.first_matches(p_type text, p_contained jsonb, p_state text, p_after uuid, p_limit integer) RETURNS SETOF store.object_state
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    v_principals text[] := store.principals();
    v_now timestamptz := clock_timestamp();
    v_entities float;
BEGIN
    SELECT greatest(c.reltuples, 0) INTO v_entities FROM pg_class c WHERE c.oid = 'store.object_heads'::regclass;
    RETURN QUERY
    SELECT h.entity_id, h.version, h.owner, s.updated_by, s.tx_time, s.valid_from, nullif(s.valid_to, 'infinity'),
           s.state, s.event_type, s.data
    FROM (
        SELECT * FROM store.object_heads x
        WHERE x.type_name = p_type
          AND x.entity_id > coalesce(p_after, '00000000-0000-0000-0000-000000000000')
        ORDER BY x.entity_id LIMIT greatest(200, sqrt(p_limit * v_entities))
    ) h
    CROSS JOIN LATERAL (
        SELECT h.updated_by, h.tx_time, h.valid_from, h.valid_to, h.state, h.event_type, h.data
        WHERE h.due > v_now AND h.present
        UNION ALL
        SELECT f.updated_by, f.tx_time, f.valid_from, f.valid_to, f.state, f.event_type, f.data
        FROM store.state_at(h.entity_id, 'infinity', v_now) f
        WHERE h.due <= v_now AND f.event_type <> 'DELETED'
    ) s
    WHERE h.acl && v_principals AND s.data @> p_contained AND (p_state IS NULL OR s.state = p_state)
    ORDER BY h.entity_id LIMIT p_limit;
END
$$;
ALTER FUNCTION store.first_matches(p_type text, p_contained jsonb, p_state text, p_after uuid, p_limit integer) OWNER TO store_owner;
CREATE FUNCTION store.granted_at(p_entity uuid, p_place bigint, p_names text[], p_since bigint[]) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
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
ALTER FUNCTION store.granted_at(p_entity uuid, p_place bigint, p_names text[], p_since bigint[]) OWNER TO store_owner;
CREATE FUNCTION store.granted_by(p_place bigint, p_names text[], p_since bigint[]) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    v_entity uuid;
    v_group text;
BEGIN
    SELECT s.entity_id INTO v_entity FROM store.share_events s
    WHERE s.principal = ANY (p_names) AND s.place = p_place AND s.action = 'SHARED';
    IF FOUND THEN
        RETURN QUERY
        SELECT h.entity_id FROM store.object_heads h
        WHERE h.entity_id = v_entity AND h.acl && p_names AND h.owner <> session_user
          AND NOT EXISTS (SELECT FROM store.granted_at(v_entity, p_place - 1, p_names, p_since));
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
      AND NOT EXISTS (SELECT FROM store.granted_at(c.entity_id, p_place - 1, p_names, p_since));
END
$$;
ALTER FUNCTION store.granted_by(p_place bigint, p_names text[], p_since bigint[]) OWNER TO store_owner;
CREATE FUNCTION store.granted_history(p_place bigint, p_after bigint, p_types text[], p_limit integer, p_names text[], p_since bigint[]) RETURNS TABLE(entity_id uuid, version integer)
    LANGUAGE plpgsql STABLE
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'on'
    SET enable_sort TO 'on'
    AS $$
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
ALTER FUNCTION store.granted_history(p_place bigint, p_after bigint, p_types text[], p_limit integer, p_names text[], p_since bigint[]) OWNER TO store_owner;
CREATE FUNCTION store.grants_of(p_entity uuid) RETURNS TABLE(principal text, access text, grantor text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    SELECT g.* FROM store.object_heads h, LATERAL store.current_grants(h.entity_id) g
    WHERE h.entity_id = p_entity AND h.acl && (SELECT store.principals())
    ORDER BY g.principal, g.access
$$;
ALTER FUNCTION store.grants_of(p_entity uuid) OWNER TO store_owner;
CREATE FUNCTION store.held_back_by(OUT username text, OUT process integer, OUT seconds double precision) RETURNS record
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    SELECT t.username, t.pid, extract(epoch FROM clock_timestamp() - t.since)
    FROM (SELECT a.usename::text, a.pid, a.xact_start, a.backend_xid FROM pg_stat_activity a
          WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
          UNION ALL
          SELECT p.owner::text, NULL, p.prepared, p.transaction FROM pg_prepared_xacts p
         ) AS t (username, pid, since, xid)
    ORDER BY age(t.xid) DESC LIMIT 1
$$;
ALTER FUNCTION store.held_back_by(OUT username text, OUT process integer, OUT seconds double precision) OWNER TO store_owner;
CREATE FUNCTION store.is_admin() RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT pg_has_role(session_user, 'store_admin', 'USAGE')
$$;
ALTER FUNCTION store.is_admin() OWNER TO store_owner;
CREATE FUNCTION store.is_date(p text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $_$
    SELECT CASE WHEN p !~ '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$' OR left(p, 4) = '0000' THEN false
                WHEN substr(p, 6) = '02-29'
                THEN left(p, 4)::integer % 4 = 0
                     AND (left(p, 4)::integer % 100 <> 0 OR left(p, 4)::integer % 400 = 0)
                WHEN substr(p, 6, 2) = '02' THEN right(p, 2) <= '28'
                ELSE right(p, 2) <= '30' OR substr(p, 6, 2) NOT IN ('04', '06', '09', '11') END
$_$;
ALTER FUNCTION store.is_date(p text) OWNER TO store_owner;
CREATE FUNCTION store.is_datetime(p text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $_$
    SELECT p ~ '^.{10}T([01][0-9]|2[0-3])(:[0-5][0-9]){2}\.[0-9]{6}\+00:00$' AND store.is_date(left(p, 10))
$_$;
ALTER FUNCTION store.is_datetime(p text) OWNER TO store_owner;
CREATE FUNCTION store.is_decimal(p text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $_$
    SELECT p ~ '^(0|-?(0\.[0-9]*[1-9]|[1-9][0-9]*(\.[0-9]*[1-9])?))$'
           AND length(split_part(ltrim(p, '-'), '.', 1)) <= 131072 AND length(split_part(p, '.', 2)) <= 16383
$_$;
ALTER FUNCTION store.is_decimal(p text) OWNER TO store_owner;
CREATE FUNCTION store.is_double(p numeric) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE WHEN p = 0 THEN true
                WHEN abs(p) > 1.797693134862315807e308 OR abs(p) < 2.4703282292062328e-324 THEN false
                WHEN p::float8::text::numeric = p THEN true
                ELSE length(rtrim(ltrim(replace(abs(p)::text, '.', ''), '0'), '0'))
                     < length(rtrim(ltrim(replace(p::float8::text::numeric::text, '.', ''), '-0'), '0')) END
$$;
ALTER FUNCTION store.is_double(p numeric) OWNER TO store_owner;
CREATE FUNCTION store.is_isin(p text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $_$
    SELECT p ~ '^[A-Z]{2}[A-Z0-9]{9}[0-9]$' AND (
        WITH digits AS (
            SELECT string_agg(CASE WHEN c >= 'A' COLLATE "C" THEN (ascii(c) - 55)::text ELSE c END, '' ORDER BY n) AS d
            FROM regexp_split_to_table(p, '') WITH ORDINALITY AS r (c, n)
        ), doubled AS (
            SELECT d.c::integer * (1 + (length(digits.d) - d.n) % 2) AS v
            FROM digits, regexp_split_to_table(digits.d, '') WITH ORDINALITY AS d (c, n)
        )
        SELECT sum(v / 10 + v % 10) % 10 = 0 FROM doubled)
$_$;
ALTER FUNCTION store.is_isin(p text) OWNER TO store_owner;
CREATE FUNCTION store.is_key(p_key text, p_shape jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    AS $_$
BEGIN
    IF p_shape->>'type' = 'integer' THEN
        RETURN p_key ~ '^(0|-?[1-9][0-9]{0,4299})$' AND (NOT p_shape ? 'enum' OR p_shape->'enum' @> p_key::jsonb);
    END IF;
    RETURN p_shape IS NULL OR store.is_shaped(to_jsonb(p_key), p_shape);
END
$_$;
ALTER FUNCTION store.is_key(p_key text, p_shape jsonb) OWNER TO store_owner;
CREATE FUNCTION store.is_misfit(p_data jsonb, f store.published_fields, p_whole boolean) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE WHEN p_data ? (f).field
                THEN NOT store.is_of_type(p_data->(f).field, f) OR store.broken_rule(p_data->(f).field, f) IS NOT NULL
                ELSE p_whole AND (f).required END
$$;
ALTER FUNCTION store.is_misfit(p_data jsonb, f store.published_fields, p_whole boolean) OWNER TO store_owner;
CREATE FUNCTION store.is_of_type(v jsonb, f store.published_fields) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE WHEN v = 'null' THEN (f).nullable
                WHEN (f).shape IS NOT NULL THEN store.is_shaped(v, (f).shape)
                ELSE store.is_scalar(v, (f).kind) AND ((f).members IS NULL OR (f).members @> v) END
$$;
ALTER FUNCTION store.is_of_type(v jsonb, f store.published_fields) OWNER TO store_owner;
CREATE FUNCTION store.is_readable(p_value jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $_$
    SELECT CASE WHEN pg_column_size(p_value) < 1000 THEN true
                WHEN jsonb_path_exists(p_value, '$.**{128}') THEN false
                WHEN strpos(translate(p_value::text, '123456789', '000000000'), repeat('0', 4300)) = 0 THEN true
                ELSE NOT jsonb_path_exists(p_value, '$.** ? (@.type() == "number" && (@ >= 1e4299 || @ <= -1e4299))')
           END
$_$;
ALTER FUNCTION store.is_readable(p_value jsonb) OWNER TO store_owner;
CREATE FUNCTION store.is_scalar(v jsonb, p_kind text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $_$
    SELECT CASE jsonb_typeof(v)
        WHEN 'string' THEN CASE p_kind
            WHEN 'string' THEN true
            WHEN 'decimal' THEN store.is_decimal(v #>> '{}')
            WHEN 'date' THEN store.is_date(v #>> '{}')
            WHEN 'date-time' THEN store.is_datetime(v #>> '{}')
            WHEN 'time' THEN store.is_time(v #>> '{}')
            WHEN 'uuid' THEN (v #>> '{}') ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            ELSE false END
        WHEN 'number' THEN CASE p_kind
            WHEN 'number' THEN store.is_double(v::numeric)
            WHEN 'integer' THEN scale(v::numeric) = 0 AND abs(v::numeric) < 1e4300
            ELSE false END
        WHEN 'boolean' THEN p_kind = 'boolean'
        ELSE false END
$_$;
ALTER FUNCTION store.is_scalar(v jsonb, p_kind text) OWNER TO store_owner;
CREATE FUNCTION store.is_shaped(v jsonb, p_shape jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    AS $$
BEGIN
    IF p_shape ? 'anyOf' THEN  -- [the schema, null]
        RETURN v = 'null' OR store.is_shaped(v, p_shape->'anyOf'->0);
    ELSIF p_shape ? 'enum' AND NOT p_shape->'enum' @> v THEN
        RETURN false;
    END IF;
    CASE p_shape->>'type'
        WHEN 'array' THEN
            RETURN CASE
                WHEN jsonb_typeof(v) <> 'array' THEN false
                WHEN p_shape ? 'prefixItems'
                THEN jsonb_array_length(v) = jsonb_array_length(p_shape->'prefixItems')
                     AND NOT EXISTS (SELECT FROM ROWS FROM (jsonb_array_elements(v),
                                                            jsonb_array_elements(p_shape->'prefixItems')) AS e (item, shape)
                                     WHERE NOT store.is_shaped(e.item, e.shape))
                ELSE NOT EXISTS (SELECT FROM jsonb_array_elements(v) e WHERE NOT store.is_shaped(e, p_shape->'items'))
            END;
        WHEN 'object' THEN
            RETURN CASE
                WHEN jsonb_typeof(v) <> 'object' THEN false
                WHEN p_shape ? 'properties'
                THEN NOT EXISTS (SELECT FROM jsonb_array_elements_text(p_shape->'required') r WHERE NOT v ? r)
                     AND NOT EXISTS (SELECT FROM jsonb_each(v) e
                                     WHERE NOT coalesce(store.is_shaped(e.value, p_shape->'properties'->e.key), false))
                WHEN p_shape ? 'additionalProperties'
                THEN NOT EXISTS (SELECT FROM jsonb_each(v) e
                                 WHERE NOT store.is_shaped(e.value, p_shape->'additionalProperties')
                                    OR NOT store.is_key(e.key, p_shape->'propertyNames'))
                ELSE true  -- a record inside itself: beyond the first level, the client alone looks
            END;
        ELSE
            RETURN p_shape->>'type' IS NULL OR store.is_scalar(v, coalesce(p_shape->>'format', p_shape->>'type'));
    END CASE;
END
$$;
ALTER FUNCTION store.is_shaped(v jsonb, p_shape jsonb) OWNER TO store_owner;
CREATE FUNCTION store.is_time(p text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $_$
    SELECT p ~ '^([01][0-9]|2[0-3])(:[0-5][0-9]){2}\.[0-9]{6}([+-]([01][0-9]|2[0-3])(:[0-5][0-9]){1,2}(\.[0-9]{6})?)?$'
           AND p !~ '(-00:00|[+-]..:..:00|[+-]..:..\.[0-9]{6}|[+-]..:..:..\.000000)$'
$_$;
ALTER FUNCTION store.is_time(p text) OWNER TO store_owner;
CREATE FUNCTION store.lacking_fields(p_type text, p_fields text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
DECLARE
    v_principals text[] := store.principals();
    v_owners text[];
BEGIN
    WITH suspect AS MATERIALIZED (
        SELECT DISTINCT t.owner FROM store.type_shapes t WHERE t.type_name = p_type AND NOT t.fields @> p_fields
    )
    SELECT array_agg(s.owner) INTO v_owners
    FROM suspect s
    WHERE s.owner = session_user
       OR EXISTS (SELECT FROM store.object_heads h
                  WHERE h.acl && ARRAY[s.owner] AND h.acl && v_principals AND h.type_name = p_type
                    AND h.owner = s.owner);
    RETURN ARRAY(SELECT f FROM unnest(p_fields) AS f
                 WHERE EXISTS (SELECT FROM store.type_shapes t
                               WHERE t.type_name = p_type AND t.owner = ANY (v_owners) AND f <> ALL (t.fields)));
END
$$;
ALTER FUNCTION store.lacking_fields(p_type text, p_fields text[]) OWNER TO store_owner;
CREATE FUNCTION store.list_groups() RETURNS TABLE(group_name text, members text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
BEGIN
    PERFORM store.require_admin();
    RETURN QUERY
    SELECT g.group_name,
           ARRAY(SELECT m.member FROM store.group_members m WHERE m.group_name = g.group_name ORDER BY m.member)
    FROM store.groups g ORDER BY g.group_name;
END
$$;
ALTER FUNCTION store.list_groups() OWNER TO store_owner;
CREATE FUNCTION store.lock_principals() RETURNS void
    LANGUAGE sql
    AS $$ SELECT pg_advisory_xact_lock(hashtext('store roles')) $$;
ALTER FUNCTION store.lock_principals() OWNER TO store_owner;
CREATE FUNCTION store.lock_publications() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
BEGIN
    LOCK TABLE store.publications IN SHARE ROW EXCLUSIVE MODE;
END
$$;
ALTER FUNCTION store.lock_publications() OWNER TO store_owner;
CREATE FUNCTION store.lock_shareable(p_entity uuid) RETURNS store.object_heads
    LANGUAGE plpgsql
    AS $$
DECLARE
    v store.object_heads;
    v_principals text[] := store.principals();
BEGIN
    SELECT * INTO v FROM store.object_heads h WHERE h.entity_id = p_entity AND h.acl && v_principals;
    IF NOT FOUND THEN
        PERFORM store.refuse('TS001', format('there is no entity %s that you may see', p_entity),
                             jsonb_build_object('entity_id', p_entity));
    ELSIF NOT (v.owner = session_user OR v.writers && v_principals OR store.is_admin()) THEN
        PERFORM store.refuse('TS002', format('you may read %s %s but not share it', v.type_name, p_entity),
                             jsonb_build_object('entity_id', p_entity));
    END IF;
    SELECT * INTO v FROM store.object_heads h WHERE h.entity_id = p_entity FOR UPDATE;
    RETURN v;
END
$$;
ALTER FUNCTION store.lock_shareable(p_entity uuid) OWNER TO store_owner;
CREATE FUNCTION store.log_append(h store.object_heads, p_item jsonb, p_items jsonb, p_principals text[], p_admin boolean, p_clock timestamp with time zone) RETURNS SETOF store.change
    LANGUAGE plpgsql
    AS $$
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
        valid_from = a.valid_from, valid_to = a.valid_to, updated_by = a.updated_by, state = a.state, data = a.data
    WHERE x.entity_id = h.entity_id;
    IF a.refold THEN
        PERFORM store.refold_head(h.entity_id, v_at);
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
ALTER FUNCTION store.log_append(h store.object_heads, p_item jsonb, p_items jsonb, p_principals text[], p_admin boolean, p_clock timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.log_appends(p_items jsonb, p_clock timestamp with time zone) RETURNS SETOF store.change
    LANGUAGE plpgsql
    AS $$
DECLARE
    v record;
BEGIN
    FOR v IN
        WITH item AS MATERIALIZED (
            SELECT nextval('store.event_seq') AS seq, i.n, i.entity_id, i.type_name, h.version + 1 AS version,
                   t.at, r.valid_from AS starts, r.valid_to AS ends, l.event, h.state AS old_state,
                   s.state AS new_state, i.workflow, i.changes, a.*
            FROM ROWS FROM (jsonb_to_recordset(p_items) AS (entity_id uuid, type_name text, event_type text,
                                                            changes jsonb, state text, workflow boolean,
                                                            valid_from timestamptz, valid_to timestamptz))
                 WITH ORDINALITY AS i (entity_id, type_name, event_type, changes, state, workflow, valid_from,
                                       valid_to, n)
            JOIN store.object_heads h ON h.entity_id = i.entity_id
            CROSS JOIN LATERAL (SELECT greatest(p_clock, h.last_tx_time + interval '1 microsecond') AS at) t
            CROSS JOIN LATERAL (SELECT coalesce(i.valid_from, t.at) AS valid_from,
                                       coalesce(i.valid_to, 'infinity') AS valid_to) r
            CROSS JOIN LATERAL (SELECT store.logged_as(i.event_type, r.valid_from, t.at) AS event) l
            CROSS JOIN LATERAL (SELECT CASE WHEN i.event_type = 'STATE_CHANGE' THEN i.state END AS state) s
            CROSS JOIN LATERAL store.advanced(h, l.event, i.changes, s.state, r.valid_from, r.valid_to, t.at,
                                              session_user::text) a
        ), logged AS (
            INSERT INTO store.object_events (seq, entity_id, version, type_name, event_type, tx_time, valid_from,
                                             valid_to, state, updated_by, changes)
            SELECT i.seq, i.entity_id, i.version, i.type_name, i.event, i.at, i.starts, i.ends, i.new_state,
                   session_user, i.changes
            FROM item i
        ), to_start AS (
            INSERT INTO store.workflow_outbox (entity_id, version, type_name, from_state, to_state, username,
                                               created_at)
            SELECT i.entity_id, i.version, i.type_name, i.old_state, i.new_state, session_user, i.at
            FROM item i
            WHERE i.event = 'STATE_CHANGE' AND store.starts_workflow(i.type_name, i.old_state, i.new_state, i.workflow)
        ), projected AS (
            UPDATE store.object_heads x
            SET version = i.version, last_tx_time = i.at, folded_at = i.at, state_since = i.state_since,
                deleted = i.deleted, due = i.due, present = i.present, event_type = i.event_type, tx_time = i.tx_time,
                valid_from = i.valid_from, valid_to = i.valid_to, updated_by = i.updated_by, state = i.state,
                data = i.data
            FROM item i
            WHERE x.entity_id = i.entity_id
            RETURNING i.n, i.refold, x.present, x.entity_id, x.version, x.owner, x.updated_by, x.tx_time, x.valid_from,
                      nullif(x.valid_to, 'infinity') AS valid_to, x.state, x.event_type, x.data, i.event, i.at, i.starts
        )
        SELECT * FROM projected ORDER BY n
    LOOP
        IF v.refold THEN
            PERFORM store.refold_head(v.entity_id, v.at);
        END IF;
        IF v.refold OR NOT v.present OR v.event = 'DELETED' THEN
            RETURN QUERY SELECT * FROM store.after_append(v.entity_id, v.version);
        ELSE
            RETURN NEXT (v.entity_id, v.version, v.owner, v.updated_by, v.tx_time, v.valid_from, v.valid_to, v.state,
                         v.event_type, v.data, v.event, v.at, v.starts, false)::store.change;
        END IF;
    END LOOP;
END
$$;
ALTER FUNCTION store.log_appends(p_items jsonb, p_clock timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.log_creation(p_item jsonb, p_readers text[], p_writers text[], p_clock timestamp with time zone) RETURNS store.change
    LANGUAGE plpgsql
    AS $$
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
ALTER FUNCTION store.log_creation(p_item jsonb, p_readers text[], p_writers text[], p_clock timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.log_creations(p_items jsonb, p_readers text[], p_writers text[], p_clock timestamp with time zone) RETURNS SETOF store.change
    LANGUAGE plpgsql
    AS $$
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
ALTER FUNCTION store.log_creations(p_items jsonb, p_readers text[], p_writers text[], p_clock timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.log_lag(p_after bigint, p_backfilled bigint, p_types text[], OUT events bigint, OUT seconds double precision) RETURNS record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
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
ALTER FUNCTION store.log_lag(p_after bigint, p_backfilled bigint, p_types text[], OUT events bigint, OUT seconds double precision) OWNER TO store_owner;
CREATE FUNCTION store.logged_as(p_event text, p_from timestamp with time zone, p_at timestamp with time zone) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE WHEN p_event = 'UPDATED' AND p_from < p_at THEN 'CORRECTED' ELSE p_event END
$$;
ALTER FUNCTION store.logged_as(p_event text, p_from timestamp with time zone, p_at timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.make_events(p_items jsonb, p_shared_clock boolean) RETURNS SETOF store.change
    LANGUAGE plpgsql
    AS $$
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
        v_clock := store.transaction_clock(p_shared_clock);
        IF FOUND THEN
            RETURN QUERY SELECT * FROM store.log_append(v_head, p_items->0, p_items, v_principals, v_admin, v_clock);
            RETURN;
        END IF;
    ELSE
        PERFORM 1 FROM store.object_heads h
        WHERE h.entity_id IN (SELECT (i->>'entity_id')::uuid FROM jsonb_array_elements(p_items) i)
          AND (h.owner = session_user OR h.writers && v_principals OR v_admin)
        ORDER BY h.entity_id FOR UPDATE;
        v_clock := store.transaction_clock(p_shared_clock);
    END IF;
    PERFORM store.check_appends(p_items, v_principals, v_admin, v_clock);
    PERFORM store.check_events(p_items, v_principals);
    RETURN QUERY SELECT * FROM store.log_appends(p_items, v_clock);
END
$$;
ALTER FUNCTION store.make_events(p_items jsonb, p_shared_clock boolean) OWNER TO store_owner;
CREATE FUNCTION store.make_objects(p_items jsonb, p_readers text[], p_writers text[], p_shared_clock boolean) RETURNS SETOF store.change
    LANGUAGE plpgsql
    AS $$
DECLARE
    v_clock timestamptz := store.transaction_clock(p_shared_clock);
    v store.change;
BEGIN
    IF cardinality(p_readers) + cardinality(p_writers) > 0 THEN
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
ALTER FUNCTION store.make_objects(p_items jsonb, p_readers text[], p_writers text[], p_shared_clock boolean) OWNER TO store_owner;
CREATE FUNCTION store.move_checkpoint(p_subscriber text, p_term integer, p_seq bigint, p_backfilled bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
BEGIN
    UPDATE store.checkpoints c SET seq = p_seq, backfilled = p_backfilled, updated_at = clock_timestamp()
    WHERE c.username = session_user AND c.subscriber_id = p_subscriber AND c.term = p_term;
    RETURN FOUND;
END
$$;
ALTER FUNCTION store.move_checkpoint(p_subscriber text, p_term integer, p_seq bigint, p_backfilled bigint) OWNER TO store_owner;
CREATE FUNCTION store.new_entity_id() RETURNS uuid
    LANGUAGE sql
    AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                    FROM 1 FOR 6),
            52, 1), 53, 1), 'hex')::uuid
$$;
ALTER FUNCTION store.new_entity_id() OWNER TO store_owner;
CREATE FUNCTION store.next_bound(p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE WHEN p_from > p_at THEN p_from WHEN p_to > p_at THEN p_to ELSE 'infinity' END
$$;
ALTER FUNCTION store.next_bound(p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.next_change(p_entity uuid, p_valid timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    AS $$
    SELECT coalesce(min(b.at), 'infinity')
    FROM store.object_events e, LATERAL (VALUES (e.valid_from), (e.valid_to)) AS b (at)
    WHERE e.entity_id = p_entity AND b.at > p_valid
$$;
ALTER FUNCTION store.next_change(p_entity uuid, p_valid timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.next_grant(p_after bigint, p_upto bigint, p_names text[], p_since bigint[]) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
    SELECT min(f.place)
    FROM (SELECT (SELECT s.place FROM store.share_events s
                  WHERE s.principal = n.name AND s.action = 'SHARED' AND s.place > greatest(p_after, n.since)
                  ORDER BY s.place LIMIT 1)
          FROM unnest(p_names, p_since) AS n (name, since)
          UNION ALL
          SELECT g.place FROM store.group_members g WHERE g.member = session_user::text AND g.place > p_after
         ) AS f (place)
    WHERE f.place <= p_upto
$$;
ALTER FUNCTION store.next_grant(p_after bigint, p_upto bigint, p_names text[], p_since bigint[]) OWNER TO store_owner;
CREATE FUNCTION store.note_shape(p_type text, p_data jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    v_fields text[] := ARRAY(SELECT jsonb_object_keys(p_data));
BEGIN
    IF NOT EXISTS (SELECT FROM store.type_shapes t
                   WHERE t.type_name = p_type AND t.owner = session_user AND t.fields <@ v_fields) THEN
        INSERT INTO store.type_shapes (type_name, owner, fields)
        SELECT p_type, session_user, CASE WHEN count(*) < 64 THEN v_fields ELSE '{}' END
        FROM store.type_shapes t WHERE t.type_name = p_type AND t.owner = session_user;
    END IF;
END
$$;
ALTER FUNCTION store.note_shape(p_type text, p_data jsonb) OWNER TO store_owner;
CREATE FUNCTION store.object_as_of(p_entity uuid, p_tx timestamp with time zone, p_valid timestamp with time zone) RETURNS TABLE(type_name text, version integer, owner text, updated_by text, tx_time timestamp with time zone, valid_from timestamp with time zone, valid_to timestamp with time zone, state text, event_type text, data jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    SELECT h.type_name, s.version, h.owner, s.updated_by, s.tx_time, s.valid_from, nullif(s.valid_to, 'infinity'),
           s.state, s.event_type, s.data
    FROM store.object_heads h
    LEFT JOIN LATERAL store.state_at(h.entity_id, coalesce(p_tx, 'infinity'),
                                     coalesce(p_valid, greatest(clock_timestamp(), h.last_tx_time))) s
           ON s.event_type <> 'DELETED'
    WHERE h.entity_id = p_entity AND h.acl && (SELECT store.principals())
$$;
ALTER FUNCTION store.object_as_of(p_entity uuid, p_tx timestamp with time zone, p_valid timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.object_audit(p_entity uuid) RETURNS TABLE(version integer, event_type text, updated_by text, tx_time timestamp with time zone, valid_from timestamp with time zone, valid_to timestamp with time zone, state text, changes jsonb, old jsonb, meta jsonb, type_name text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    SELECT a.version, a.event_type, a.updated_by, a.tx_time, a.valid_from, a.valid_to, a.state, a.changes, a.old,
           a.meta, h.type_name
    FROM store.object_heads h
    CROSS JOIN LATERAL (
        SELECT e.version, e.event_type, e.updated_by, e.tx_time, e.valid_from,
               nullif(e.valid_to, 'infinity') AS valid_to, s.state, e.changes,
               (SELECT jsonb_object_agg(k, b.data->k) FROM jsonb_object_keys(e.changes) k) AS old, e.meta,
               0::bigint AS share
        FROM store.object_events e
        CROSS JOIN LATERAL store.state_at(e.entity_id, e.tx_time, e.valid_from) s
        LEFT JOIN LATERAL store.state_at(e.entity_id, e.tx_time - interval '1 microsecond', e.valid_from) b
               ON b.event_type <> 'DELETED'
        WHERE e.entity_id = h.entity_id
        UNION ALL
        SELECT g.version, g.action, g.grantor, g.tx_time, NULL, NULL, NULL, '{}', NULL,
               jsonb_build_object('principal', g.principal, 'access', g.access), g.seq
        FROM store.share_events g
        WHERE g.entity_id = h.entity_id
    ) a
    WHERE h.entity_id = p_entity AND h.acl && (SELECT store.principals())
    ORDER BY a.tx_time, a.version, a.share
$$;
ALTER FUNCTION store.object_audit(p_entity uuid) OWNER TO store_owner;
CREATE FUNCTION store.object_history(p_entity uuid) RETURNS TABLE(type_name text, version integer, owner text, updated_by text, tx_time timestamp with time zone, valid_from timestamp with time zone, valid_to timestamp with time zone, state text, event_type text, data jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    SELECT e.type_name, e.version, h.owner, e.updated_by, e.tx_time, e.valid_from, nullif(e.valid_to, 'infinity'),
           s.state, e.event_type, s.data
    FROM store.object_heads h
    JOIN store.object_events e ON e.entity_id = h.entity_id
    CROSS JOIN LATERAL store.state_at(e.entity_id, e.tx_time, e.valid_from) s
    WHERE h.entity_id = p_entity AND h.acl && (SELECT store.principals())
    ORDER BY e.version
$$;
ALTER FUNCTION store.object_history(p_entity uuid) OWNER TO store_owner;
CREATE FUNCTION store.objects_as_of(p_type text, p_tx timestamp with time zone, p_valid timestamp with time zone) RETURNS SETOF store.object_state
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    SELECT h.entity_id, s.version, h.owner, s.updated_by, s.tx_time, s.valid_from, nullif(s.valid_to, 'infinity'),
           s.state, s.event_type, s.data
    FROM store.object_heads h,
         LATERAL store.state_at(h.entity_id, coalesce(p_tx, 'infinity'),
                                coalesce(p_valid, greatest(clock_timestamp(), h.last_tx_time))) s
    WHERE h.type_name = p_type AND s.event_type <> 'DELETED' AND h.acl && (SELECT store.principals())
$$;
ALTER FUNCTION store.objects_as_of(p_type text, p_tx timestamp with time zone, p_valid timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.objects_at(p_type text, p_entities uuid[], p_moment timestamp with time zone) RETURNS SETOF store.object_state
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    SELECT h.entity_id, coalesce(s.version, 0), h.owner, s.updated_by, s.tx_time, s.valid_from,
           nullif(s.valid_to, 'infinity'), s.state, s.event_type, CASE WHEN s.event_type <> 'DELETED' THEN s.data END
    FROM store.object_heads h
    LEFT JOIN LATERAL store.state_at(h.entity_id, p_moment, p_moment) s ON true
    WHERE h.entity_id = ANY (p_entities) AND h.type_name = p_type AND h.acl && (SELECT store.principals())
$$;
ALTER FUNCTION store.objects_at(p_type text, p_entities uuid[], p_moment timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.objects_due(p_type text, p_now timestamp with time zone) RETURNS SETOF store.object_state
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    SELECT h.entity_id, s.version, h.owner, s.updated_by, s.tx_time, s.valid_from, nullif(s.valid_to, 'infinity'),
           s.state, s.event_type, s.data
    FROM store.object_heads h,
         LATERAL store.state_at(h.entity_id, 'infinity', p_now) s
    WHERE h.due <= p_now AND h.due < 'infinity' AND h.type_name = p_type AND s.event_type <> 'DELETED'
      AND h.acl && (SELECT store.principals())
$$;
ALTER FUNCTION store.objects_due(p_type text, p_now timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.objects_now(p_type text, p_entities uuid[]) RETURNS TABLE(entity_id uuid, version integer, owner text, updated_by text, tx_time timestamp with time zone, valid_from timestamp with time zone, valid_to timestamp with time zone, state text, event_type text, data jsonb, due timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    SELECT h.entity_id, h.version, h.owner, s.updated_by, s.tx_time, s.valid_from, nullif(s.valid_to, 'infinity'),
           s.state, s.event_type, CASE WHEN s.event_type <> 'DELETED' THEN s.data END,
           nullif(store.next_change(h.entity_id, a.present_moment), 'infinity')
    FROM store.object_heads h
    CROSS JOIN LATERAL (SELECT greatest(statement_timestamp(), h.last_tx_time) AS present_moment) a
    LEFT JOIN LATERAL store.state_at(h.entity_id, 'infinity', a.present_moment) s ON true
    WHERE h.entity_id = ANY (p_entities) AND h.type_name = p_type AND h.acl && (SELECT store.principals())
$$;
ALTER FUNCTION store.objects_now(p_type text, p_entities uuid[]) OWNER TO store_owner;
CREATE FUNCTION store.outbox_done(p_entity uuid, p_version integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
BEGIN
    DELETE FROM store.workflow_outbox o WHERE o.entity_id = p_entity AND o.version = p_version;
    RETURN FOUND;
END
$$;
ALTER FUNCTION store.outbox_done(p_entity uuid, p_version integer) OWNER TO store_owner;
CREATE FUNCTION store.outbox_pending(p_limit integer, p_after bigint DEFAULT 0) RETURNS TABLE(entity_id uuid, version integer, seq bigint, type_name text, from_state text, to_state text, username text, created_at timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    SELECT o.entity_id, o.version, o.seq, o.type_name, o.from_state, o.to_state, o.username, o.created_at
    FROM store.workflow_outbox o WHERE o.seq > p_after ORDER BY o.seq LIMIT p_limit
$$;
ALTER FUNCTION store.outbox_pending(p_limit integer, p_after bigint) OWNER TO store_owner;
CREATE FUNCTION store.principals() RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
BEGIN
    -- Roles belong to the whole cluster, groups to this database: a login made from another one may have a group's name.
    IF EXISTS (SELECT FROM store.groups g WHERE g.group_name = session_user) THEN
        PERFORM store.refuse('TS002', format('the login %I has the name of a group of this store: it gets no access',
                                             session_user), '{}');
    END IF;
    RETURN ARRAY(SELECT g.group_name FROM store.group_members g WHERE g.member = session_user::text)
        || session_user::text
        || CASE WHEN pg_has_role(session_user, 'store_reads_all', 'USAGE') OR store.is_admin()
                THEN ARRAY[''] ELSE ARRAY[]::text[] END;
END
$$;
ALTER FUNCTION store.principals() OWNER TO store_owner;
CREATE FUNCTION store.projected(p_entity uuid, p_folded_at timestamp with time zone) RETURNS store.object_heads
    LANGUAGE sql STABLE
    AS $$
    SELECT f.entity_id, f.type_name, f.owner,
           ARRAY(SELECT g.principal FROM store.current_grants(f.entity_id) g WHERE g.access = 'READ' ORDER BY 1),
           ARRAY(SELECT g.principal FROM store.current_grants(f.entity_id) g WHERE g.access = 'WRITE' ORDER BY 1),
           NULL::text[], f.version, f.last_tx_time, f.state_since, f.deleted, a.at,
           store.next_change(f.entity_id, a.at), coalesce(s.event_type <> 'DELETED', false),
           s.event_type, s.tx_time, s.valid_from, s.valid_to, s.updated_by, s.state, s.data
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
ALTER FUNCTION store.projected(p_entity uuid, p_folded_at timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.proven_time() RETURNS timestamp with time zone
    LANGUAGE plpgsql
    AS $$
DECLARE
    v_stamping boolean := pg_current_xact_id_if_assigned() IS NOT NULL;
    v_now timestamptz := clock_timestamp();
    v_fence xid8 := pg_current_xact_id();
    v_oldest xid8 := pg_snapshot_xmin(pg_current_snapshot());
    v_proven timestamptz;
    v store.stability;
BEGIN
    SELECT * INTO v FROM store.stability;
    v_proven := CASE WHEN v_oldest >= v_fence AND NOT v_stamping THEN v_now
                     WHEN v_oldest >= v.fence THEN greatest(v.at, v.proven) ELSE v.proven END;
    PERFORM FROM store.stability FOR UPDATE SKIP LOCKED;
    IF FOUND AND NOT v_stamping THEN
        UPDATE store.stability s
        SET proven = greatest(s.proven, v_proven),
            fence = CASE WHEN v_oldest >= s.fence THEN v_fence ELSE s.fence END,
            at = CASE WHEN v_oldest >= s.fence THEN v_now ELSE s.at END;
    END IF;
    RETURN v_proven;
END
$$;
ALTER FUNCTION store.proven_time() OWNER TO store_owner;
CREATE FUNCTION store.publication(p_type text) RETURNS TABLE(revision integer, retired boolean, document jsonb, earlier jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $_$
    SELECT t.revision, t.retired, d.document, (
               SELECT coalesce(jsonb_agg(jsonb_path_query_array(p.document, '$.fields[*].field')), '[]')
               FROM store.publications p
               WHERE p.type_name = p_type AND p.revision < d.revision AND p.document IS NOT NULL)
    FROM store.published_types t
    CROSS JOIN LATERAL (
        SELECT p.revision, p.document FROM store.publications p
        WHERE p.type_name = p_type AND p.document IS NOT NULL ORDER BY p.revision DESC LIMIT 1) d
    WHERE t.type_name = p_type
$_$;
ALTER FUNCTION store.publication(p_type text) OWNER TO store_owner;
CREATE FUNCTION store.publish(p_type text, p_document jsonb, OUT revision integer, OUT changed boolean) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
DECLARE
    v_now store.publications;
    v_unknown text;
BEGIN
    PERFORM store.lock_publications();
    SELECT p.* INTO v_now FROM store.publications p WHERE p.type_name = p_type ORDER BY p.revision DESC LIMIT 1;
    changed := v_now.document IS DISTINCT FROM p_document;
    revision := coalesce(v_now.revision, 0) + changed::integer;
    IF NOT changed THEN
        RETURN;
    END IF;
    SELECT f->>'check_name' INTO v_unknown FROM jsonb_array_elements(p_document->'fields') f
    WHERE f->>'check_name' <> 'isin';
    IF FOUND THEN
        PERFORM store.refuse('TS008', format('this database knows no check %L: upgrade it', v_unknown),
                             jsonb_build_object('value', v_unknown));
    END IF;
    INSERT INTO store.publications VALUES (p_type, revision, p_document, session_user, clock_timestamp());
    DELETE FROM store.published_types t WHERE t.type_name = p_type;
    INSERT INTO store.published_types
    SELECT p_type, revision, false, ARRAY(SELECT f->>'field' FROM jsonb_array_elements(p_document->'fields') f),
           p_document #>> '{machine,name}', p_document #>> '{machine,initial}';
    INSERT INTO store.published_fields
    SELECT p_type, f.field, f.kind, f.nullable, f.required, nullif(f.members, 'null'), nullif(f.shape, 'null'),
           nullif(f.enum, 'null'), f.low, f.high, f.first, f.last, f.max_length, f.pattern, f.check_name
    FROM jsonb_to_recordset(p_document->'fields') AS f (
        field text, kind text, nullable boolean, required boolean, members jsonb, shape jsonb, enum jsonb, low numeric,
        high numeric, first text, last text, max_length integer, pattern text, check_name text);
    INSERT INTO store.published_edges
    SELECT p_type, e.from_state, e.to_state, e.allowed_by, e.workflow
    FROM jsonb_to_recordset(coalesce(p_document #> '{machine,edges}', '[]')) AS e (
        from_state text, to_state text, allowed_by text[], workflow boolean);
END
$$;
ALTER FUNCTION store.publish(p_type text, p_document jsonb, OUT revision integer, OUT changed boolean) OWNER TO store_owner;
CREATE FUNCTION store.read_log(p_after bigint, p_upto bigint, p_types text[], p_limit integer, p_data boolean) RETURNS TABLE(seq bigint, entity_id uuid, version integer, owner text, updated_by text, tx_time timestamp with time zone, valid_from timestamp with time zone, valid_to timestamp with time zone, state text, event_type text, type_name text, changes jsonb, data jsonb, due timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    AS $$
    SELECT e.seq, e.entity_id, e.version, h.owner, e.updated_by, e.tx_time, e.valid_from,
           nullif(e.valid_to, 'infinity'), s.state, e.event_type, e.type_name, e.changes, s.data,
           nullif(h.due, 'infinity')
    FROM store.object_events e
    JOIN store.object_heads h ON h.entity_id = e.entity_id
    LEFT JOIN LATERAL (
        SELECT h.state, h.data WHERE h.folded_at = e.tx_time AND h.version = e.version AND h.present
        UNION ALL
        SELECT a.state, a.data FROM store.state_at(e.entity_id, e.tx_time, e.tx_time) a
        WHERE NOT (h.folded_at = e.tx_time AND h.version = e.version) AND a.event_type <> 'DELETED'
    ) s ON true
    WHERE e.seq > p_after AND e.seq <= p_upto AND (p_types IS NULL OR e.type_name = ANY (p_types))
      AND h.acl && (SELECT store.principals())
    ORDER BY e.seq LIMIT p_limit
$$;
ALTER FUNCTION store.read_log(p_after bigint, p_upto bigint, p_types text[], p_limit integer, p_data boolean) OWNER TO store_owner;
CREATE FUNCTION store.read_stream(p_after bigint, p_backfilled bigint, p_upto bigint, p_types text[], p_limit integer, p_data boolean) RETURNS TABLE(seq bigint, backfill bigint, entity_id uuid, version integer, owner text, updated_by text, tx_time timestamp with time zone, valid_from timestamp with time zone, valid_to timestamp with time zone, state text, event_type text, type_name text, changes text, data text, due timestamp with time zone)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    c_bytes constant bigint := 8388608;
    c_places constant bigint := 200000;
    c_grants constant integer := 1000;
    v_upto bigint := least(p_upto, p_after + c_places);
    v_me record;
    v_principals text[] := store.principals();
    v_at bigint := p_after;
    v_backfilled bigint := p_backfilled;
    v_grant bigint;
    v_rows integer := 0;
    v_bytes bigint := 0;
    v_key record;
    v_changes jsonb;
    v_data jsonb;
BEGIN
    SELECT * INTO v_me FROM store.standing();
    FOR n IN 1..c_grants LOOP
        v_grant := CASE WHEN NOT v_me.reads_all THEN store.next_grant(v_at, v_upto, v_me.names, v_me.since) END;
        IF v_grant IS DISTINCT FROM v_at + 1 THEN
            v_backfilled := 0;
        END IF;
        IF v_backfilled = 0 THEN
            backfill := 0;
            FOR seq, entity_id, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, type_name,
                v_changes, v_data, due IN
                SELECT e.seq, e.entity_id, e.version, h.owner, e.updated_by, e.tx_time, e.valid_from,
                       nullif(e.valid_to, 'infinity'), CASE WHEN p_data THEN s.state ELSE l.state END, e.event_type,
                       e.type_name, e.changes, s.data, nullif(h.due, 'infinity')
                FROM store.object_events e
                JOIN store.object_heads h ON h.entity_id = e.entity_id
                LEFT JOIN LATERAL store.shown_after(e.entity_id, e.version, e.tx_time, h.folded_at, h.version, h.present,
                                                    h.state, h.data) s ON p_data
                LEFT JOIN LATERAL (SELECT store.state_left(e.entity_id, e.version)) l (state)
                       ON NOT p_data AND h.state IS NOT NULL
                WHERE e.seq > v_at AND e.seq <= coalesce(v_grant, v_upto)
                  AND (p_types IS NULL OR e.type_name = ANY (p_types)) AND h.acl && v_principals
                  AND (v_me.reads_all OR h.owner = session_user
                       OR EXISTS (SELECT FROM store.granted_at(e.entity_id, e.seq, v_me.names, v_me.since)))
                ORDER BY e.seq LIMIT p_limit - v_rows
            LOOP
                v_rows := v_rows + 1;
                IF p_data THEN
                    changes := v_changes::text;
                    data := v_data::text;
                    v_bytes := v_bytes + octet_length(changes) + coalesce(octet_length(data), 0);
                END IF;
                RETURN NEXT;
                EXIT WHEN v_bytes >= c_bytes;
            END LOOP;
            IF v_rows >= p_limit OR v_bytes >= c_bytes THEN
                v_at := seq;
                EXIT;
            ELSIF v_grant IS NULL THEN
                v_at := v_upto;
                EXIT;
            END IF;
        END IF;
        backfill := v_grant;
        FOR v_key IN
            SELECT * FROM store.granted_history(v_grant, v_backfilled, p_types, p_limit - v_rows, v_me.names, v_me.since)
        LOOP
            SELECT e.seq, e.entity_id, e.version, h.owner, e.updated_by, e.tx_time, e.valid_from,
                   nullif(e.valid_to, 'infinity'), CASE WHEN p_data THEN s.state ELSE l.state END, e.event_type,
                   e.type_name, e.changes, s.data, nullif(h.due, 'infinity')
            INTO seq, entity_id, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, type_name,
                 v_changes, v_data, due
            FROM store.object_events e
            JOIN store.object_heads h ON h.entity_id = e.entity_id
            LEFT JOIN LATERAL store.shown_after(e.entity_id, e.version, e.tx_time, h.folded_at, h.version, h.present,
                                                h.state, h.data) s ON p_data
            LEFT JOIN LATERAL (SELECT store.state_left(e.entity_id, e.version)) l (state)
                   ON NOT p_data AND h.state IS NOT NULL
            WHERE e.entity_id = v_key.entity_id AND e.version = v_key.version;
            v_rows := v_rows + 1;
            IF p_data THEN
                changes := v_changes::text;
                data := v_data::text;
                v_bytes := v_bytes + octet_length(changes) + coalesce(octet_length(data), 0);
            END IF;
            RETURN NEXT;
            EXIT WHEN v_bytes >= c_bytes;
        END LOOP;
        IF v_rows >= p_limit OR v_bytes >= c_bytes THEN
            v_at := v_grant - 1;
            v_backfilled := seq;
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
ALTER FUNCTION store.read_stream(p_after bigint, p_backfilled bigint, p_upto bigint, p_types text[], p_limit integer, p_data boolean) OWNER TO store_owner;
CREATE FUNCTION store.reap() RETURNS TABLE(username text, age interval)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
DECLARE
    v_holder record;
BEGIN
    IF NOT pg_has_role('pg_signal_backend', 'USAGE') THEN
        RETURN;
    END IF;
    PERFORM pg_stat_clear_snapshot();
    -- In a loop: as a condition beside the others, the planner might end a session before it looks at its age.
    FOR v_holder IN
        SELECT a.pid, a.usename::text AS username, clock_timestamp() - a.xact_start AS age
        FROM pg_stat_activity a
        JOIN pg_roles r ON r.oid = a.usesysid
        CROSS JOIN store.limits l
        WHERE a.backend_type = 'client backend' AND a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
          AND NOT r.rolsuper AND pg_has_role(r.oid, 'store_user', 'USAGE')
          AND (clock_timestamp() - a.xact_start > l.longest_transaction
               OR a.state = 'idle in transaction' AND clock_timestamp() - a.state_change > l.idle_transaction)
    LOOP
        IF pg_terminate_backend(v_holder.pid) THEN
            username := v_holder.username;
            age := v_holder.age;
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
ALTER FUNCTION store.reap() OWNER TO store_owner;
CREATE FUNCTION store.rebuild() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
DECLARE
    v_rows bigint;
BEGIN
    TRUNCATE store.object_heads;
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
ALTER FUNCTION store.rebuild() OWNER TO store_owner;
CREATE FUNCTION store.record_administration(p_action text, p_subject text, p_detail text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
BEGIN
    PERFORM store.require_admin();
    INSERT INTO store.admin_events (action, subject, detail) VALUES (p_action, p_subject, p_detail);
END
$$;
ALTER FUNCTION store.record_administration(p_action text, p_subject text, p_detail text) OWNER TO store_owner;
CREATE FUNCTION store.record_share(p_head store.object_heads, p_action text, p_access text, p_principal text) RETURNS void
    LANGUAGE sql
    AS $$
    INSERT INTO store.share_events (seq, entity_id, version, tx_time, action, access, principal, grantor, place)
    VALUES (nextval('store.share_seq'), p_head.entity_id, p_head.version,
            greatest(clock_timestamp(), p_head.last_tx_time), p_action, p_access, p_principal, session_user,
            nextval('store.event_seq'));
    UPDATE store.object_heads h
    SET readers = ARRAY(SELECT g.principal FROM store.current_grants(h.entity_id) g WHERE g.access = 'READ' ORDER BY 1),
        writers = ARRAY(SELECT g.principal FROM store.current_grants(h.entity_id) g WHERE g.access = 'WRITE' ORDER BY 1)
    WHERE h.entity_id = p_head.entity_id
$$;
ALTER FUNCTION store.record_share(p_head store.object_heads, p_action text, p_access text, p_principal text) OWNER TO store_owner;
CREATE FUNCTION store.refold_head(p_entity uuid, p_valid timestamp with time zone) RETURNS void
    LANGUAGE sql
    AS $$
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
ALTER FUNCTION store.refold_head(p_entity uuid, p_valid timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.refuse(p_code text, p_message text, p_facts jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = p_code, MESSAGE = p_message, DETAIL = p_facts::text;
END
$$;
ALTER FUNCTION store.refuse(p_code text, p_message text, p_facts jsonb) OWNER TO store_owner;
CREATE FUNCTION store.refuse_fields(p_type text, p_data jsonb, p_whole boolean, p_item bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    f store.published_fields;
    v_key text;
    v_value jsonb;
    v_rule text;
    v_expected text;
    v_found text;
    v_facts jsonb := jsonb_build_object('type_name', p_type, 'item', p_item);
BEGIN
    SELECT k INTO v_key FROM jsonb_object_keys(p_data) k
    WHERE k <> ALL ((SELECT t.fields FROM store.published_types t WHERE t.type_name = p_type)::text[]) LIMIT 1;
    IF FOUND THEN
        PERFORM store.refuse('TS020', format('%s.%s: the type is published without this field', p_type, v_key),
                             v_facts || jsonb_build_object('field', v_key, 'rule', 'unknown',
                                                           'expected', 'a published field'));
    END IF;
    SELECT * INTO f FROM store.published_fields x
    WHERE x.type_name = p_type AND store.is_misfit(p_data, x, p_whole) ORDER BY x.field LIMIT 1;
    v_value := p_data->f.field;
    v_rule := CASE WHEN v_value IS NULL THEN 'missing'
                   WHEN v_value = 'null' THEN 'nullable'
                   WHEN NOT store.is_of_type(v_value, f) THEN 'type'
                   ELSE store.broken_rule(v_value, f) END;
    v_expected := CASE v_rule
        WHEN 'missing' THEN 'a value, as the field has no default'
        WHEN 'nullable' THEN 'a value, not null'
        WHEN 'type' THEN coalesce('one of ' || f.members::text, f.kind || ' in the form that the client writes')
        WHEN 'enum' THEN 'one of ' || f.enum::text
        WHEN 'min_value' THEN 'at least ' || coalesce(f.low::text, f.first)
        WHEN 'max_value' THEN 'at most ' || coalesce(f.high::text, f.last)
        WHEN 'max_length' THEN format('at most %s characters', f.max_length)
        WHEN 'pattern' THEN 'text that matches ' || f.pattern
        ELSE 'a valid ' || f.check_name END;
    v_found := coalesce(v_value::text, 'nothing');
    IF length(v_found) > 80 THEN
        v_found := left(v_found, 77) || '...';
    END IF;
    PERFORM store.refuse('TS020', format('%s.%s: expected %s, found %s', p_type, f.field, v_expected, v_found),
                         v_facts || jsonb_build_object('field', f.field, 'rule', v_rule, 'expected', v_expected,
                                                       'value', CASE WHEN length(v_value::text) <= 80 THEN v_value END));
END
$$;
ALTER FUNCTION store.refuse_fields(p_type text, p_data jsonb, p_whole boolean, p_item bigint) OWNER TO store_owner;
CREATE FUNCTION store.refuse_rewrite() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'TS002', MESSAGE = format('%s is append-only: %s refused', TG_TABLE_NAME, TG_OP);
END
$$;
ALTER FUNCTION store.refuse_rewrite() OWNER TO store_owner;
CREATE FUNCTION store.refuse_unpublished(p_type text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF EXISTS (SELECT FROM store.published_types t WHERE t.type_name = p_type) THEN
        PERFORM store.refuse('TS021', format('%s is retired: its objects can be read and no longer written,'
                                             ' until it is published again', p_type),
                             jsonb_build_object('type_name', p_type));
    ELSE
        PERFORM store.refuse('TS021', format('%s is not published, and this store takes published types'
                                             ' only: an administrator runs  python -m store publish MODULE  with'
                                             ' the module that defines it', p_type),
                             jsonb_build_object('type_name', p_type));
    END IF;
END
$$;
ALTER FUNCTION store.refuse_unpublished(p_type text) OWNER TO store_owner;
CREATE FUNCTION store.remove_members(p_group text, p_members text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
DECLARE
    v_member text;
BEGIN
    PERFORM store.require_admin();
    PERFORM store.lock_principals();
    PERFORM store.require_group(p_group);
    FOREACH v_member IN ARRAY p_members LOOP
        DELETE FROM store.group_members m WHERE m.group_name = p_group AND m.member = v_member;
        IF FOUND THEN
            PERFORM store.record_administration('MEMBER_REMOVED', p_group, v_member);
        ELSIF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = v_member) THEN
            PERFORM store.refuse('TS010', format('there is no user named %L', v_member),
                                 jsonb_build_object('principal', v_member));
        END IF;
    END LOOP;
END
$$;
ALTER FUNCTION store.remove_members(p_group text, p_members text[]) OWNER TO store_owner;
CREATE FUNCTION store.replayed(p_key text) RETURNS SETOF store.change
    LANGUAGE sql STABLE
    AS $$
    SELECT e.entity_id, e.version, h.owner, m.updated_by, m.tx_time, m.valid_from, nullif(m.valid_to, 'infinity'),
           (SELECT x.state FROM store.object_events x
            WHERE x.entity_id = e.entity_id AND x.version <= e.version AND x.state IS NOT NULL
            ORDER BY x.version DESC LIMIT 1),
           m.event_type, coalesce(r.data, s.data), e.event_type, e.tx_time, e.valid_from, true
    FROM store.idempotency_keys k,
         ROWS FROM (unnest(k.entity_ids), unnest(k.versions)) WITH ORDINALITY AS made (entity_id, version, n)
    JOIN store.object_events e ON e.entity_id = made.entity_id AND e.version = made.version
    JOIN store.object_heads h ON h.entity_id = made.entity_id
    LEFT JOIN LATERAL store.state_at(e.entity_id, e.tx_time, e.tx_time) r ON r.event_type <> 'DELETED'
    LEFT JOIN LATERAL store.state_at(e.entity_id, e.tx_time, e.valid_from) s ON true
    CROSS JOIN LATERAL (
        SELECT r.updated_by, r.tx_time, r.valid_from, r.valid_to, r.event_type
        WHERE r.version IS NOT NULL AND e.event_type <> 'DELETED'
        UNION ALL
        SELECT e.updated_by, e.tx_time, e.valid_from, e.valid_to, e.event_type
        WHERE r.version IS NULL OR e.event_type = 'DELETED'
    ) m
    WHERE k.username = session_user AND k.key = p_key
    ORDER BY made.n
$$;
ALTER FUNCTION store.replayed(p_key text) OWNER TO store_owner;
CREATE FUNCTION store.require_admin() RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NOT store.is_admin() THEN
        PERFORM store.refuse('TS002', format('%s may not do that: it takes an administrator', session_user), '{}');
    END IF;
END
$$;
ALTER FUNCTION store.require_admin() OWNER TO store_owner;
CREATE FUNCTION store.require_group(p_group text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM store.groups g WHERE g.group_name = p_group) THEN
        PERFORM store.refuse('TS010', format('there is no group named %L', p_group),
                             jsonb_build_object('principal', p_group));
    END IF;
END
$$;
ALTER FUNCTION store.require_group(p_group text) OWNER TO store_owner;
CREATE FUNCTION store.require_principals(p_names text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    v_unknown text;
BEGIN
    -- A group that is granted something must not be dropped meanwhile.
    PERFORM FROM store.groups g WHERE g.group_name = ANY (p_names) ORDER BY g.group_name FOR KEY SHARE;
    SELECT n INTO v_unknown FROM unnest(p_names) AS n
    WHERE NOT EXISTS (SELECT FROM store.groups g WHERE g.group_name = n)
      AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = n AND r.rolcanlogin AND NOT r.rolsuper
                      AND pg_has_role(r.oid, 'store_user', 'USAGE'))
    LIMIT 1;
    IF FOUND THEN
        PERFORM store.refuse('TS010', format('there is no user or group named %L', v_unknown),
                             jsonb_build_object('principal', v_unknown));
    END IF;
END
$$;
ALTER FUNCTION store.require_principals(p_names text[]) OWNER TO store_owner;
CREATE FUNCTION store.retire(p_type text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
DECLARE
    v_revision integer;
BEGIN
    PERFORM store.lock_publications();
    IF NOT EXISTS (SELECT FROM store.published_types t WHERE t.type_name = p_type) THEN
        PERFORM store.refuse('TS021', format('%s is not published', p_type), jsonb_build_object('type_name', p_type));
    END IF;
    UPDATE store.published_types t SET retired = true, revision = t.revision + 1
    WHERE t.type_name = p_type AND NOT t.retired RETURNING t.revision INTO v_revision;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO store.publications VALUES (p_type, v_revision, NULL, session_user, clock_timestamp());
    RETURN true;
END
$$;
ALTER FUNCTION store.retire(p_type text) OWNER TO store_owner;
CREATE FUNCTION store.save_checkpoint(p_subscriber text, p_seq bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    INSERT INTO store.checkpoints AS c (username, subscriber_id, seq, updated_at)
    VALUES (session_user, p_subscriber, p_seq, clock_timestamp())
    ON CONFLICT (username, subscriber_id)
    DO UPDATE SET seq = excluded.seq, updated_at = excluded.updated_at WHERE excluded.seq > c.seq
$$;
ALTER FUNCTION store.save_checkpoint(p_subscriber text, p_seq bigint) OWNER TO store_owner;
CREATE FUNCTION store.set_governed(p_governed boolean) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    UPDATE store.governance SET governed = p_governed WHERE governed <> p_governed
$$;
ALTER FUNCTION store.set_governed(p_governed boolean) OWNER TO store_owner;
CREATE FUNCTION store.share(p_entity uuid, p_principal text, p_access text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
DECLARE
    v store.object_heads;
    v_grantor text;
BEGIN
    PERFORM pg_current_xact_id();
    PERFORM store.require_principals(ARRAY[p_principal]);
    v := store.lock_shareable(p_entity);
    IF p_principal = v.owner THEN
        PERFORM store.refuse('TS008', format('%L owns %s: there is nothing to share', p_principal, p_entity),
                             jsonb_build_object('value', p_principal));
    END IF;
    SELECT g.grantor INTO v_grantor FROM store.current_grants(p_entity) g
    WHERE g.principal = p_principal AND g.access = p_access;
    IF v_grantor IS NULL OR (v_grantor <> v.owner AND v.owner = session_user) THEN
        PERFORM store.record_share(v, 'SHARED', p_access, p_principal);
    END IF;
END
$$;
ALTER FUNCTION store.share(p_entity uuid, p_principal text, p_access text) OWNER TO store_owner;
CREATE FUNCTION store.shown_after(p_entity uuid, p_version integer, p_tx timestamp with time zone, p_folded_at timestamp with time zone, p_head_version integer, p_present boolean, p_state text, p_data jsonb) RETURNS TABLE(state text, data jsonb)
    LANGUAGE sql STABLE
    AS $$
    SELECT p_state, p_data WHERE p_folded_at = p_tx AND p_head_version = p_version AND p_present
    UNION ALL
    SELECT a.state, a.data FROM store.state_at(p_entity, p_tx, p_tx) a
    WHERE NOT (p_folded_at = p_tx AND p_head_version = p_version) AND a.event_type <> 'DELETED'
$$;
ALTER FUNCTION store.shown_after(p_entity uuid, p_version integer, p_tx timestamp with time zone, p_folded_at timestamp with time zone, p_head_version integer, p_present boolean, p_state text, p_data jsonb) OWNER TO store_owner;
CREATE FUNCTION store.stable_time() RETURNS timestamp with time zone
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_oldest timestamptz;
BEGIN
    IF NOT pg_has_role('pg_read_all_stats', 'USAGE') THEN
        RETURN store.proven_time();
    END IF;
    PERFORM pg_stat_clear_snapshot();
    SELECT min(a.xact_start) INTO v_oldest FROM pg_stat_activity a
    WHERE a.backend_xid IS NOT NULL AND a.datname = current_database() AND a.backend_type = 'client backend';
    RETURN least(v_now, v_oldest - interval '1 microsecond');
END
$$;
ALTER FUNCTION store.stable_time() OWNER TO store_owner;
CREATE FUNCTION store.standing(OUT names text[], OUT since bigint[], OUT reads_all boolean) RETURNS record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    SELECT array_agg(n.name), array_agg(n.place), '' = ANY (store.principals())
    FROM (SELECT session_user::text AS name, 0::bigint AS place
          UNION ALL
          SELECT g.group_name, coalesce(g.place, 0) FROM store.group_members g WHERE g.member = session_user::text) n
$$;
ALTER FUNCTION store.standing(OUT names text[], OUT since bigint[], OUT reads_all boolean) OWNER TO store_owner;
CREATE FUNCTION store.starts_workflow(p_type text, p_from text, p_to text, p_asked boolean) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT coalesce((SELECT e.workflow FROM store.published_edges e
                     WHERE e.type_name = p_type AND e.from_state = p_from AND e.to_state = p_to), p_asked, false)
$$;
ALTER FUNCTION store.starts_workflow(p_type text, p_from text, p_to text, p_asked boolean) OWNER TO store_owner;
CREATE FUNCTION store.state_at(p_entity uuid, p_tx timestamp with time zone, p_valid timestamp with time zone) RETURNS TABLE(version integer, updated_by text, tx_time timestamp with time zone, valid_from timestamp with time zone, valid_to timestamp with time zone, state text, event_type text, data jsonb)
    LANGUAGE sql STABLE
    AS $$
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
ALTER FUNCTION store.state_at(p_entity uuid, p_tx timestamp with time zone, p_valid timestamp with time zone) OWNER TO store_owner;
CREATE FUNCTION store.state_left(p_entity uuid, p_version integer) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT x.state FROM store.object_events x
    WHERE x.entity_id = p_entity AND x.version <= p_version AND x.state IS NOT NULL
    ORDER BY x.version DESC LIMIT 1
$$;
ALTER FUNCTION store.state_left(p_entity uuid, p_version integer) OWNER TO store_owner;
CREATE FUNCTION store.stretch(p_start timestamp with time zone, p_end timestamp with time zone, OUT after_seq bigint, OUT upto_seq bigint) RETURNS record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
    SELECT coalesce(min(e.seq) - 1, 0), coalesce(max(e.seq), 0)
    FROM store.object_events e WHERE e.tx_time >= p_start AND e.tx_time < p_end
$$;
ALTER FUNCTION store.stretch(p_start timestamp with time zone, p_end timestamp with time zone, OUT after_seq bigint, OUT upto_seq bigint) OWNER TO store_owner;
CREATE FUNCTION store.take_place() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_current_xact_id();
    NEW.place := nextval('store.event_seq');
    RETURN NEW;
END
$$;
ALTER FUNCTION store.take_place() OWNER TO store_owner;
CREATE FUNCTION store.transaction_clock(p_shared boolean) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    AS $$
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
ALTER FUNCTION store.transaction_clock(p_shared boolean) OWNER TO store_owner;
CREATE FUNCTION store.unshare(p_entity uuid, p_principal text, p_access text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
DECLARE
    v store.object_heads;
    v_grant record;
BEGIN
    PERFORM pg_current_xact_id();
    v := store.lock_shareable(p_entity);
    IF p_principal = v.owner THEN
        PERFORM store.refuse('TS008', format('%L owns %s: that cannot be withdrawn', p_principal, p_entity),
                             jsonb_build_object('value', p_principal));
    END IF;
    FOR v_grant IN
        SELECT g.access, g.grantor FROM store.current_grants(p_entity) g
        WHERE g.principal = p_principal AND g.access = ANY (p_access)
    LOOP
        IF v_grant.grantor = v.owner AND v.owner <> session_user AND NOT store.is_admin() THEN
            PERFORM store.refuse('TS002', format('only the owner of %s withdraws what the owner granted', p_entity),
                                 jsonb_build_object('entity_id', p_entity));
        END IF;
        PERFORM store.record_share(v, 'UNSHARED', v_grant.access, p_principal);
    END LOOP;
END
$$;
ALTER FUNCTION store.unshare(p_entity uuid, p_principal text, p_access text[]) OWNER TO store_owner;
CREATE FUNCTION store.watermark(p_after bigint, OUT seq bigint, OUT fence xid8) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'store', 'pg_temp'
    AS $$
BEGIN
    SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO seq FROM store.event_seq s;
    IF seq > p_after THEN
        fence := pg_current_xact_id();
    END IF;
END
$$;
ALTER FUNCTION store.watermark(p_after bigint, OUT seq bigint, OUT fence xid8) OWNER TO store_owner;
CREATE AGGREGATE store.merge(jsonb) (
    SFUNC = jsonb_concat,
    STYPE = jsonb,
    INITCOND = '{}'
);
ALTER AGGREGATE store.merge(jsonb) OWNER TO store_owner;
CREATE TABLE store.admin_events (
    seq bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text DEFAULT SESSION_USER NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail text,
    CONSTRAINT admin_events_action_check CHECK ((action = ANY (ARRAY['USER_ADDED'::text, 'USER_CHANGED'::text, 'USER_DISABLED'::text, 'USER_ENABLED'::text, 'GROUP_CREATED'::text, 'GROUP_DROPPED'::text, 'MEMBER_ADDED'::text, 'MEMBER_REMOVED'::text])))
);
ALTER TABLE ONLY store.admin_events FORCE ROW LEVEL SECURITY;
ALTER TABLE store.admin_events OWNER TO store_owner;
ALTER TABLE store.admin_events ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME store.admin_events_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE store.checkpoints (
    username text NOT NULL COLLATE pg_catalog."C",
    subscriber_id text NOT NULL COLLATE pg_catalog."C",
    seq bigint NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    backfilled bigint DEFAULT 0 NOT NULL,
    term integer DEFAULT 1 NOT NULL,
    CONSTRAINT checkpoints_subscriber_id_check CHECK (((length(subscriber_id) >= 1) AND (length(subscriber_id) <= 512)))
);
ALTER TABLE ONLY store.checkpoints FORCE ROW LEVEL SECURITY;
ALTER TABLE store.checkpoints OWNER TO store_owner;
CREATE SEQUENCE store.event_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE store.event_seq OWNER TO store_owner;
CREATE TABLE store.governance (
    governed boolean NOT NULL,
    only_row boolean DEFAULT true NOT NULL,
    CONSTRAINT governance_only_row_check CHECK (only_row)
);
ALTER TABLE ONLY store.governance FORCE ROW LEVEL SECURITY;
ALTER TABLE store.governance OWNER TO store_owner;
CREATE TABLE store.group_members (
    group_name text NOT NULL COLLATE pg_catalog."C",
    member text NOT NULL COLLATE pg_catalog."C",
    place bigint
);
ALTER TABLE ONLY store.group_members FORCE ROW LEVEL SECURITY;
ALTER TABLE store.group_members OWNER TO store_owner;
CREATE TABLE store.groups (
    group_name text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT legal_name CHECK (((octet_length(group_name) >= 1) AND (octet_length(group_name) <= 63)))
);
ALTER TABLE ONLY store.groups FORCE ROW LEVEL SECURITY;
ALTER TABLE store.groups OWNER TO store_owner;
CREATE TABLE store.idempotency_keys (
    username text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    request bytea NOT NULL,
    entity_ids uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    versions integer[] DEFAULT '{}'::integer[] NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT idempotency_keys_key_check CHECK (((length(key) >= 1) AND (length(key) <= 512)))
);
ALTER TABLE ONLY store.idempotency_keys FORCE ROW LEVEL SECURITY;
ALTER TABLE store.idempotency_keys OWNER TO store_owner;
CREATE TABLE store.limits (
    only_row boolean DEFAULT true NOT NULL,
    idle_transaction interval DEFAULT '00:00:30'::interval NOT NULL,
    longest_transaction interval DEFAULT '00:05:00'::interval NOT NULL,
    CONSTRAINT limits_idle_transaction_check CHECK ((idle_transaction > '00:00:00'::interval)),
    CONSTRAINT limits_longest_transaction_check CHECK ((longest_transaction > '00:00:00'::interval)),
    CONSTRAINT limits_only_row_check CHECK (only_row)
);
ALTER TABLE ONLY store.limits FORCE ROW LEVEL SECURITY;
ALTER TABLE store.limits OWNER TO store_owner;
CREATE TABLE store.object_events (
    seq bigint NOT NULL,
    entity_id uuid NOT NULL,
    version integer NOT NULL,
    type_name text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    tx_time timestamp with time zone NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone NOT NULL,
    state text COLLATE pg_catalog."C",
    updated_by text NOT NULL COLLATE pg_catalog."C",
    changes jsonb NOT NULL,
    meta jsonb,
    CONSTRAINT object_events_changes_check CHECK (((jsonb_typeof(changes) = 'object'::text) AND (NOT (changes ? 'state'::text)))),
    CONSTRAINT object_events_event_type_check CHECK ((event_type = ANY (ARRAY['CREATED'::text, 'UPDATED'::text, 'DELETED'::text, 'STATE_CHANGE'::text, 'CORRECTED'::text]))),
    CONSTRAINT object_events_version_check CHECK ((version > 0)),
    CONSTRAINT object_size CHECK ((pg_column_size(changes) <= 4194304)),
    CONSTRAINT readable_values CHECK (store.is_readable(changes)),
    CONSTRAINT short_names CHECK ((((octet_length(type_name) >= 1) AND (octet_length(type_name) <= 255)) AND (octet_length(state) <= 255))),
    CONSTRAINT valid_range CHECK ((valid_from < valid_to)),
    CONSTRAINT valid_years CHECK (((valid_from >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND (valid_from < '10000-01-01 00:00:00+00'::timestamp with time zone) AND ((valid_to < '10000-01-01 00:00:00+00'::timestamp with time zone) OR (valid_to = 'infinity'::timestamp with time zone))))
);
ALTER TABLE ONLY store.object_events ALTER COLUMN entity_id SET STATISTICS 0;
ALTER TABLE ONLY store.object_events ALTER COLUMN version SET STATISTICS 0;
ALTER TABLE ONLY store.object_events ALTER COLUMN event_type SET STATISTICS 0;
ALTER TABLE ONLY store.object_events ALTER COLUMN tx_time SET STATISTICS 0;
ALTER TABLE ONLY store.object_events ALTER COLUMN valid_from SET STATISTICS 0;
ALTER TABLE ONLY store.object_events ALTER COLUMN valid_to SET STATISTICS 0;
ALTER TABLE ONLY store.object_events ALTER COLUMN state SET STATISTICS 0;
ALTER TABLE ONLY store.object_events ALTER COLUMN updated_by SET STATISTICS 0;
ALTER TABLE ONLY store.object_events ALTER COLUMN changes SET STATISTICS 0;
ALTER TABLE ONLY store.object_events ALTER COLUMN meta SET STATISTICS 0;
ALTER TABLE ONLY store.object_events FORCE ROW LEVEL SECURITY;
ALTER TABLE store.object_events OWNER TO store_owner;
CREATE TABLE store.publications (
    type_name text NOT NULL,
    revision integer NOT NULL,
    document jsonb,
    published_by text NOT NULL,
    published_at timestamp with time zone NOT NULL,
    CONSTRAINT publications_revision_check CHECK ((revision > 0))
);
ALTER TABLE ONLY store.publications FORCE ROW LEVEL SECURITY;
ALTER TABLE store.publications OWNER TO store_owner;
CREATE TABLE store.published_edges (
    type_name text NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    allowed_by text[],
    workflow boolean NOT NULL,
    CONSTRAINT published_edges_allowed_by_check CHECK (((cardinality(allowed_by) > 0) AND (''::text <> ALL (allowed_by))))
);
ALTER TABLE ONLY store.published_edges FORCE ROW LEVEL SECURITY;
ALTER TABLE store.published_edges OWNER TO store_owner;
CREATE TABLE store.published_types (
    type_name text NOT NULL,
    revision integer NOT NULL,
    retired boolean NOT NULL,
    fields text[] NOT NULL,
    machine text,
    initial text,
    CONSTRAINT published_types_check CHECK (((machine IS NULL) = (initial IS NULL)))
);
ALTER TABLE ONLY store.published_types FORCE ROW LEVEL SECURITY;
ALTER TABLE store.published_types OWNER TO store_owner;
CREATE TABLE store.schema_version (
    version integer NOT NULL,
    digest text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    complete boolean DEFAULT false NOT NULL
);
ALTER TABLE ONLY store.schema_version FORCE ROW LEVEL SECURITY;
ALTER TABLE store.schema_version OWNER TO store_owner;
CREATE TABLE store.share_events (
    seq bigint NOT NULL,
    entity_id uuid NOT NULL,
    version integer NOT NULL,
    tx_time timestamp with time zone NOT NULL,
    action text NOT NULL COLLATE pg_catalog."C",
    access text NOT NULL COLLATE pg_catalog."C",
    principal text NOT NULL COLLATE pg_catalog."C",
    grantor text NOT NULL COLLATE pg_catalog."C",
    place bigint,
    CONSTRAINT share_events_access_check CHECK ((access = ANY (ARRAY['READ'::text, 'WRITE'::text]))),
    CONSTRAINT share_events_action_check CHECK ((action = ANY (ARRAY['SHARED'::text, 'UNSHARED'::text])))
);
ALTER TABLE ONLY store.share_events FORCE ROW LEVEL SECURITY;
ALTER TABLE store.share_events OWNER TO store_owner;
CREATE SEQUENCE store.share_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE store.share_seq OWNER TO store_owner;
CREATE TABLE store.stability (
    only_row boolean DEFAULT true NOT NULL,
    fence xid8 NOT NULL,
    at timestamp with time zone NOT NULL,
    proven timestamp with time zone NOT NULL,
    CONSTRAINT stability_only_row_check CHECK (only_row)
);
ALTER TABLE ONLY store.stability FORCE ROW LEVEL SECURITY;
ALTER TABLE store.stability OWNER TO store_owner;
CREATE TABLE store.transaction_clocks (
    xid xid8 NOT NULL,
    tx_time timestamp with time zone NOT NULL
);
ALTER TABLE ONLY store.transaction_clocks FORCE ROW LEVEL SECURITY;
ALTER TABLE store.transaction_clocks OWNER TO store_owner;
CREATE TABLE store.type_shapes (
    type_name text NOT NULL COLLATE pg_catalog."C",
    owner text NOT NULL COLLATE pg_catalog."C",
    fields text[] NOT NULL COLLATE pg_catalog."C"
);
ALTER TABLE ONLY store.type_shapes FORCE ROW LEVEL SECURITY;
ALTER TABLE store.type_shapes OWNER TO store_owner;
CREATE TABLE store.workflow_outbox (
    entity_id uuid NOT NULL,
    version integer NOT NULL,
    seq bigint NOT NULL,
    type_name text NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    username text NOT NULL,
    created_at timestamp with time zone NOT NULL
);
ALTER TABLE ONLY store.workflow_outbox FORCE ROW LEVEL SECURITY;
ALTER TABLE store.workflow_outbox OWNER TO store_owner;
ALTER TABLE store.workflow_outbox ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME store.workflow_outbox_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
INSERT INTO store.admin_events OVERRIDING SYSTEM VALUE VALUES
	(1, '2026-11-25 19:26:59.737491+00', 'postgres', 'USER_ADDED', 'alice', NULL),
	(2, '2026-11-25 19:26:59.81704+00', 'postgres', 'USER_ADDED', 'bob', NULL),
	(3, '2026-11-25 19:26:59.90539+00', 'postgres', 'USER_ADDED', 'carol', NULL),
	(4, '2026-11-25 19:26:59.959544+00', 'postgres', 'GROUP_CREATED', 'rates', NULL),
	(5, '2026-11-25 19:26:59.994379+00', 'postgres', 'MEMBER_ADDED', 'rates', 'bob');
INSERT INTO store.checkpoints VALUES
	('bob', 'risk', 91, '2026-11-25 19:27:01.946747+00', 0, 1);
INSERT INTO store.governance VALUES
	(false, true);
INSERT INTO store.group_members VALUES
	('rates', 'bob', 1);
INSERT INTO store.groups VALUES
	('rates');
INSERT INTO store.idempotency_keys VALUES
	('bob', 'once', '\x1f89ad623cc304bf5d495a4ca9cd96027da1effd54b837c2d75e8ba4e61c2d02', '{01a2142c-f9d7-7dbc-96cd-0eac5ee51bd4}', '{1}', '2026-11-25 19:27:01.548924+00');
INSERT INTO store.limits VALUES
	(true, '00:00:30', '00:05:00');
INSERT INTO store.object_events VALUES
	(2, '01a2142c-f530-7dea-89ef-dd327d23ee67', 1, 'Fill', 'CREATED', '2026-11-25 19:27:00.34869+00', '2026-01-11 00:00:00+00', 'infinity', NULL, 'alice', '{"price": 1.5, "symbol": "A", "quantity": 1, "trader_name": "Ann ☃"}', NULL),
	(3, '01a2142c-f530-74ac-ad67-b308ccd132d1', 1, 'Fill', 'CREATED', '2026-11-25 19:27:00.34869+00', '2026-01-11 00:00:00+00', 'infinity', NULL, 'alice', '{"price": 1.5, "symbol": "B", "quantity": 2, "trader_name": "Ann ☃"}', NULL),
	(4, '01a2142c-f530-7dea-89ef-dd327d23ee67', 2, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.430397+00', '2026-01-06 00:00:00+00', 'infinity', NULL, 'alice', '{"price": 2.5}', NULL),
	(5, '01a2142c-f530-7dea-89ef-dd327d23ee67', 3, 'Fill', 'UPDATED', '2026-11-25 19:27:00.484492+00', '2125-12-08 00:00:00+00', 'infinity', NULL, 'alice', '{"quantity": 7}', NULL),
	(6, '01a2142c-f530-74ac-ad67-b308ccd132d1', 2, 'Fill', 'DELETED', '2026-11-25 19:27:00.490647+00', '2026-01-21 00:00:00+00', '2026-01-31 00:00:00+00', NULL, 'alice', '{}', NULL),
	(7, '01a2142c-f530-74ac-ad67-b308ccd132d1', 3, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.524576+00', '2026-02-10 00:00:00+00', 'infinity', NULL, 'alice', '{"quantity": 10}', NULL),
	(8, '01a2142c-f530-74ac-ad67-b308ccd132d1', 4, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.534412+00', '2026-02-10 00:14:24+00', 'infinity', NULL, 'alice', '{"quantity": 11}', NULL),
	(9, '01a2142c-f530-74ac-ad67-b308ccd132d1', 5, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.547397+00', '2026-02-10 00:28:48+00', 'infinity', NULL, 'alice', '{"quantity": 12}', NULL),
	(10, '01a2142c-f530-74ac-ad67-b308ccd132d1', 6, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.556509+00', '2026-02-10 00:43:12+00', 'infinity', NULL, 'alice', '{"quantity": 13}', NULL),
	(11, '01a2142c-f530-74ac-ad67-b308ccd132d1', 7, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.573552+00', '2026-02-10 00:57:36+00', 'infinity', NULL, 'alice', '{"quantity": 14}', NULL),
	(12, '01a2142c-f530-74ac-ad67-b308ccd132d1', 8, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.588344+00', '2026-02-10 01:12:00+00', 'infinity', NULL, 'alice', '{"quantity": 15}', NULL),
	(13, '01a2142c-f530-74ac-ad67-b308ccd132d1', 9, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.605643+00', '2026-02-10 01:26:24+00', 'infinity', NULL, 'alice', '{"quantity": 16}', NULL),
	(14, '01a2142c-f530-74ac-ad67-b308ccd132d1', 10, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.613947+00', '2026-02-10 01:40:48+00', 'infinity', NULL, 'alice', '{"quantity": 17}', NULL),
	(15, '01a2142c-f530-74ac-ad67-b308ccd132d1', 11, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.626575+00', '2026-02-10 01:55:12+00', 'infinity', NULL, 'alice', '{"quantity": 18}', NULL),
	(16, '01a2142c-f530-74ac-ad67-b308ccd132d1', 12, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.648478+00', '2026-02-10 02:09:36+00', 'infinity', NULL, 'alice', '{"quantity": 19}', NULL),
	(17, '01a2142c-f530-74ac-ad67-b308ccd132d1', 13, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.664092+00', '2026-02-10 02:24:00+00', 'infinity', NULL, 'alice', '{"quantity": 20}', NULL),
	(18, '01a2142c-f530-74ac-ad67-b308ccd132d1', 14, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.681471+00', '2026-02-10 02:38:24+00', 'infinity', NULL, 'alice', '{"quantity": 21}', NULL),
	(19, '01a2142c-f530-74ac-ad67-b308ccd132d1', 15, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.685953+00', '2026-02-10 02:52:48+00', 'infinity', NULL, 'alice', '{"quantity": 22}', NULL),
	(20, '01a2142c-f530-74ac-ad67-b308ccd132d1', 16, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.690513+00', '2026-02-10 03:07:12+00', 'infinity', NULL, 'alice', '{"quantity": 23}', NULL),
	(21, '01a2142c-f530-74ac-ad67-b308ccd132d1', 17, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.715966+00', '2026-02-10 03:21:36+00', 'infinity', NULL, 'alice', '{"quantity": 24}', NULL),
	(22, '01a2142c-f530-74ac-ad67-b308ccd132d1', 18, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.721364+00', '2026-02-10 03:36:00+00', 'infinity', NULL, 'alice', '{"quantity": 25}', NULL),
	(23, '01a2142c-f530-74ac-ad67-b308ccd132d1', 19, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.742676+00', '2026-02-10 03:50:24+00', 'infinity', NULL, 'alice', '{"quantity": 26}', NULL),
	(24, '01a2142c-f530-74ac-ad67-b308ccd132d1', 20, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.761111+00', '2026-02-10 04:04:48+00', 'infinity', NULL, 'alice', '{"quantity": 27}', NULL),
	(25, '01a2142c-f530-74ac-ad67-b308ccd132d1', 21, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.768256+00', '2026-02-10 04:19:12+00', 'infinity', NULL, 'alice', '{"quantity": 28}', NULL),
	(26, '01a2142c-f530-74ac-ad67-b308ccd132d1', 22, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.776644+00', '2026-02-10 04:33:36+00', 'infinity', NULL, 'alice', '{"quantity": 29}', NULL),
	(27, '01a2142c-f530-74ac-ad67-b308ccd132d1', 23, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.784403+00', '2026-02-10 04:48:00+00', 'infinity', NULL, 'alice', '{"quantity": 30}', NULL),
	(28, '01a2142c-f530-74ac-ad67-b308ccd132d1', 24, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.792315+00', '2026-02-10 05:02:24+00', 'infinity', NULL, 'alice', '{"quantity": 31}', NULL),
	(29, '01a2142c-f530-74ac-ad67-b308ccd132d1', 25, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.804857+00', '2026-02-10 05:16:48+00', 'infinity', NULL, 'alice', '{"quantity": 32}', NULL),
	(30, '01a2142c-f530-74ac-ad67-b308ccd132d1', 26, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.83299+00', '2026-02-10 05:31:12+00', 'infinity', NULL, 'alice', '{"quantity": 33}', NULL),
	(31, '01a2142c-f530-74ac-ad67-b308ccd132d1', 27, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.845226+00', '2026-02-10 05:45:36+00', 'infinity', NULL, 'alice', '{"quantity": 34}', NULL),
	(32, '01a2142c-f530-74ac-ad67-b308ccd132d1', 28, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.857431+00', '2026-02-10 06:00:00+00', 'infinity', NULL, 'alice', '{"quantity": 35}', NULL),
	(33, '01a2142c-f530-74ac-ad67-b308ccd132d1', 29, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.869807+00', '2026-02-10 06:14:24+00', 'infinity', NULL, 'alice', '{"quantity": 36}', NULL),
	(34, '01a2142c-f530-74ac-ad67-b308ccd132d1', 30, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.886635+00', '2026-02-10 06:28:48+00', 'infinity', NULL, 'alice', '{"quantity": 37}', NULL),
	(35, '01a2142c-f530-74ac-ad67-b308ccd132d1', 31, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.890319+00', '2026-02-10 06:43:12+00', 'infinity', NULL, 'alice', '{"quantity": 38}', NULL),
	(36, '01a2142c-f530-74ac-ad67-b308ccd132d1', 32, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.900635+00', '2026-02-10 06:57:36+00', 'infinity', NULL, 'alice', '{"quantity": 39}', NULL),
	(37, '01a2142c-f530-74ac-ad67-b308ccd132d1', 33, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.907858+00', '2026-02-10 07:12:00+00', 'infinity', NULL, 'alice', '{"quantity": 40}', NULL),
	(38, '01a2142c-f530-74ac-ad67-b308ccd132d1', 34, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.917584+00', '2026-02-10 07:26:24+00', 'infinity', NULL, 'alice', '{"quantity": 41}', NULL),
	(39, '01a2142c-f530-74ac-ad67-b308ccd132d1', 35, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.92325+00', '2026-02-10 07:40:48+00', 'infinity', NULL, 'alice', '{"quantity": 42}', NULL),
	(40, '01a2142c-f530-74ac-ad67-b308ccd132d1', 36, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.928667+00', '2026-02-10 07:55:12+00', 'infinity', NULL, 'alice', '{"quantity": 43}', NULL),
	(41, '01a2142c-f530-74ac-ad67-b308ccd132d1', 37, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.934361+00', '2026-02-10 08:09:36+00', 'infinity', NULL, 'alice', '{"quantity": 44}', NULL),
	(42, '01a2142c-f530-74ac-ad67-b308ccd132d1', 38, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.947048+00', '2026-02-10 08:24:00+00', 'infinity', NULL, 'alice', '{"quantity": 45}', NULL),
	(43, '01a2142c-f530-74ac-ad67-b308ccd132d1', 39, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.951406+00', '2026-02-10 08:38:24+00', 'infinity', NULL, 'alice', '{"quantity": 46}', NULL),
	(44, '01a2142c-f530-74ac-ad67-b308ccd132d1', 40, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.961695+00', '2026-02-10 08:52:48+00', 'infinity', NULL, 'alice', '{"quantity": 47}', NULL),
	(45, '01a2142c-f530-74ac-ad67-b308ccd132d1', 41, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.966265+00', '2026-02-10 09:07:12+00', 'infinity', NULL, 'alice', '{"quantity": 48}', NULL),
	(46, '01a2142c-f530-74ac-ad67-b308ccd132d1', 42, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.967869+00', '2026-02-10 09:21:36+00', 'infinity', NULL, 'alice', '{"quantity": 49}', NULL),
	(47, '01a2142c-f530-74ac-ad67-b308ccd132d1', 43, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.97374+00', '2026-02-10 09:36:00+00', 'infinity', NULL, 'alice', '{"quantity": 50}', NULL),
	(48, '01a2142c-f530-74ac-ad67-b308ccd132d1', 44, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.98534+00', '2026-02-10 09:50:24+00', 'infinity', NULL, 'alice', '{"quantity": 51}', NULL),
	(49, '01a2142c-f530-74ac-ad67-b308ccd132d1', 45, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.98943+00', '2026-02-10 10:04:48+00', 'infinity', NULL, 'alice', '{"quantity": 52}', NULL),
	(50, '01a2142c-f530-74ac-ad67-b308ccd132d1', 46, 'Fill', 'CORRECTED', '2026-11-25 19:27:00.993605+00', '2026-02-10 10:19:12+00', 'infinity', NULL, 'alice', '{"quantity": 53}', NULL),
	(51, '01a2142c-f530-74ac-ad67-b308ccd132d1', 47, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.000105+00', '2026-02-10 10:33:36+00', 'infinity', NULL, 'alice', '{"quantity": 54}', NULL);
INSERT INTO store.object_events VALUES
	(52, '01a2142c-f530-74ac-ad67-b308ccd132d1', 48, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.00435+00', '2026-02-10 10:48:00+00', 'infinity', NULL, 'alice', '{"quantity": 55}', NULL),
	(53, '01a2142c-f530-74ac-ad67-b308ccd132d1', 49, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.008542+00', '2026-02-10 11:02:24+00', 'infinity', NULL, 'alice', '{"quantity": 56}', NULL),
	(54, '01a2142c-f530-74ac-ad67-b308ccd132d1', 50, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.015054+00', '2026-02-10 11:16:48+00', 'infinity', NULL, 'alice', '{"quantity": 57}', NULL),
	(55, '01a2142c-f530-74ac-ad67-b308ccd132d1', 51, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.029396+00', '2026-02-10 11:31:12+00', 'infinity', NULL, 'alice', '{"quantity": 58}', NULL),
	(56, '01a2142c-f530-74ac-ad67-b308ccd132d1', 52, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.038311+00', '2026-02-10 11:45:36+00', 'infinity', NULL, 'alice', '{"quantity": 59}', NULL),
	(57, '01a2142c-f530-74ac-ad67-b308ccd132d1', 53, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.045191+00', '2026-02-10 12:00:00+00', 'infinity', NULL, 'alice', '{"quantity": 60}', NULL),
	(58, '01a2142c-f530-74ac-ad67-b308ccd132d1', 54, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.059429+00', '2026-02-10 12:14:24+00', 'infinity', NULL, 'alice', '{"quantity": 61}', NULL),
	(59, '01a2142c-f530-74ac-ad67-b308ccd132d1', 55, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.060872+00', '2026-02-10 12:28:48+00', 'infinity', NULL, 'alice', '{"quantity": 62}', NULL),
	(60, '01a2142c-f530-74ac-ad67-b308ccd132d1', 56, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.065111+00', '2026-02-10 12:43:12+00', 'infinity', NULL, 'alice', '{"quantity": 63}', NULL),
	(61, '01a2142c-f530-74ac-ad67-b308ccd132d1', 57, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.067143+00', '2026-02-10 12:57:36+00', 'infinity', NULL, 'alice', '{"quantity": 64}', NULL),
	(62, '01a2142c-f530-74ac-ad67-b308ccd132d1', 58, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.06912+00', '2026-02-10 13:12:00+00', 'infinity', NULL, 'alice', '{"quantity": 65}', NULL),
	(63, '01a2142c-f530-74ac-ad67-b308ccd132d1', 59, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.07852+00', '2026-02-10 13:26:24+00', 'infinity', NULL, 'alice', '{"quantity": 66}', NULL),
	(64, '01a2142c-f530-74ac-ad67-b308ccd132d1', 60, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.084362+00', '2026-02-10 13:40:48+00', 'infinity', NULL, 'alice', '{"quantity": 67}', NULL),
	(65, '01a2142c-f530-74ac-ad67-b308ccd132d1', 61, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.086177+00', '2026-02-10 13:55:12+00', 'infinity', NULL, 'alice', '{"quantity": 68}', NULL),
	(66, '01a2142c-f530-74ac-ad67-b308ccd132d1', 62, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.093294+00', '2026-02-10 14:09:36+00', 'infinity', NULL, 'alice', '{"quantity": 69}', NULL),
	(67, '01a2142c-f530-74ac-ad67-b308ccd132d1', 63, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.100471+00', '2026-02-10 14:24:00+00', 'infinity', NULL, 'alice', '{"quantity": 70}', NULL),
	(68, '01a2142c-f530-74ac-ad67-b308ccd132d1', 64, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.108364+00', '2026-02-10 14:38:24+00', 'infinity', NULL, 'alice', '{"quantity": 71}', NULL),
	(69, '01a2142c-f530-74ac-ad67-b308ccd132d1', 65, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.11278+00', '2026-02-10 14:52:48+00', 'infinity', NULL, 'alice', '{"quantity": 72}', NULL),
	(70, '01a2142c-f530-74ac-ad67-b308ccd132d1', 66, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.115077+00', '2026-02-10 15:07:12+00', 'infinity', NULL, 'alice', '{"quantity": 73}', NULL),
	(71, '01a2142c-f530-74ac-ad67-b308ccd132d1', 67, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.131728+00', '2026-02-10 15:21:36+00', 'infinity', NULL, 'alice', '{"quantity": 74}', NULL),
	(72, '01a2142c-f530-74ac-ad67-b308ccd132d1', 68, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.137249+00', '2026-02-10 15:36:00+00', 'infinity', NULL, 'alice', '{"quantity": 75}', NULL),
	(73, '01a2142c-f530-74ac-ad67-b308ccd132d1', 69, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.140517+00', '2026-02-10 15:50:24+00', 'infinity', NULL, 'alice', '{"quantity": 76}', NULL),
	(74, '01a2142c-f530-74ac-ad67-b308ccd132d1', 70, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.145109+00', '2026-02-10 16:04:48+00', 'infinity', NULL, 'alice', '{"quantity": 77}', NULL),
	(75, '01a2142c-f530-74ac-ad67-b308ccd132d1', 71, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.148347+00', '2026-02-10 16:19:12+00', 'infinity', NULL, 'alice', '{"quantity": 78}', NULL),
	(76, '01a2142c-f530-74ac-ad67-b308ccd132d1', 72, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.155926+00', '2026-02-10 16:33:36+00', 'infinity', NULL, 'alice', '{"quantity": 79}', NULL),
	(77, '01a2142c-f530-74ac-ad67-b308ccd132d1', 73, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.171618+00', '2026-02-10 16:48:00+00', 'infinity', NULL, 'alice', '{"quantity": 80}', NULL),
	(78, '01a2142c-f530-74ac-ad67-b308ccd132d1', 74, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.184268+00', '2026-02-10 17:02:24+00', 'infinity', NULL, 'alice', '{"quantity": 81}', NULL),
	(79, '01a2142c-f530-74ac-ad67-b308ccd132d1', 75, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.195456+00', '2026-02-10 17:16:48+00', 'infinity', NULL, 'alice', '{"quantity": 82}', NULL),
	(80, '01a2142c-f530-74ac-ad67-b308ccd132d1', 76, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.201886+00', '2026-02-10 17:31:12+00', 'infinity', NULL, 'alice', '{"quantity": 83}', NULL),
	(81, '01a2142c-f530-74ac-ad67-b308ccd132d1', 77, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.219316+00', '2026-02-10 17:45:36+00', 'infinity', NULL, 'alice', '{"quantity": 84}', NULL),
	(82, '01a2142c-f530-74ac-ad67-b308ccd132d1', 78, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.226505+00', '2026-02-10 18:00:00+00', 'infinity', NULL, 'alice', '{"quantity": 85}', NULL),
	(83, '01a2142c-f530-74ac-ad67-b308ccd132d1', 79, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.235188+00', '2026-02-10 18:14:24+00', 'infinity', NULL, 'alice', '{"quantity": 86}', NULL),
	(84, '01a2142c-f530-74ac-ad67-b308ccd132d1', 80, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.247002+00', '2026-02-10 18:28:48+00', 'infinity', NULL, 'alice', '{"quantity": 87}', NULL),
	(85, '01a2142c-f530-74ac-ad67-b308ccd132d1', 81, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.252348+00', '2026-02-10 18:43:12+00', 'infinity', NULL, 'alice', '{"quantity": 88}', NULL),
	(86, '01a2142c-f530-74ac-ad67-b308ccd132d1', 82, 'Fill', 'CORRECTED', '2026-11-25 19:27:01.263376+00', '2026-02-10 18:57:36+00', 'infinity', NULL, 'alice', '{"quantity": 89}', NULL),
	(91, '01a2142c-f9d7-7dbc-96cd-0eac5ee51bd4', 1, 'Crate', 'CREATED', '2026-11-25 19:27:01.549849+00', '2026-11-25 19:27:01.549849+00', 'infinity', 'PENDING', 'bob', '{"label": "old", "weight_kg": 1.5}', NULL),
	(92, '01a2142c-f9d7-7dbc-96cd-0eac5ee51bd4', 2, 'Crate', 'STATE_CHANGE', '2026-11-25 19:27:01.984992+00', '2026-11-25 19:27:01.984992+00', 'infinity', 'SENT', 'bob', '{}', NULL);
INSERT INTO store.object_heads VALUES
	('01a2142c-f530-7dea-89ef-dd327d23ee67', 'Fill', 'alice', '{rates}', '{}', DEFAULT, 3, '2026-11-25 19:27:00.484492+00', '2026-01-11 00:00:00+00', '{}', '2026-11-25 19:27:00.484492+00', '2125-12-08 00:00:00+00', true, 'CORRECTED', '2026-11-25 19:27:00.430397+00', '2026-01-06 00:00:00+00', 'infinity', 'alice', NULL, '{"price": 2.5, "symbol": "A", "quantity": 1, "trader_name": "Ann ☃"}'),
	('01a2142c-f530-74ac-ad67-b308ccd132d1', 'Fill', 'alice', '{}', '{bob}', DEFAULT, 82, '2026-11-25 19:27:01.263376+00', '2026-01-11 00:00:00+00', '{["2026-01-21 00:00:00+00","2026-01-31 00:00:00+00")}', '2026-11-25 19:27:01.263376+00', 'infinity', true, 'CORRECTED', '2026-11-25 19:27:01.263376+00', '2026-02-10 18:57:36+00', 'infinity', 'alice', NULL, '{"price": 1.5, "symbol": "B", "quantity": 89, "trader_name": "Ann ☃"}'),
	('01a2142c-f9d7-7dbc-96cd-0eac5ee51bd4', 'Crate', 'bob', '{}', '{}', DEFAULT, 2, '2026-11-25 19:27:01.984992+00', '2026-11-25 19:27:01.984992+00', '{}', '2026-11-25 19:27:01.984992+00', 'infinity', true, 'STATE_CHANGE', '2026-11-25 19:27:01.984992+00', '2026-11-25 19:27:01.984992+00', 'infinity', 'bob', 'SENT', '{"label": "old", "weight_kg": 1.5}');
INSERT INTO store.publications VALUES
	('Fill', 1, '{"fields": [{"low": null, "enum": null, "high": null, "kind": "string", "last": null, "type": "str", "field": "symbol", "first": null, "shape": null, "column": "symbol", "default": "", "members": null, "pattern": "^[A-Z0-9\\.\\/]+$", "nullable": false, "required": false, "check_name": null, "max_length": 12, "former_names": []}, {"low": null, "enum": null, "high": null, "kind": "integer", "last": null, "type": "int", "field": "quantity", "first": null, "shape": null, "column": "quantity", "default": 0, "members": null, "pattern": null, "nullable": false, "required": false, "check_name": null, "max_length": null, "former_names": []}, {"low": 0.0, "enum": null, "high": null, "kind": "number", "last": null, "type": "float", "field": "price", "first": null, "shape": null, "column": "price", "default": 0.0, "members": null, "pattern": null, "nullable": false, "required": false, "check_name": null, "max_length": null, "former_names": []}, {"low": null, "enum": null, "high": null, "kind": "string", "last": null, "type": "str", "field": "trader_name", "first": null, "shape": null, "column": "name", "default": "", "members": null, "pattern": null, "nullable": false, "required": false, "check_name": null, "max_length": null, "former_names": []}], "machine": null}', 'postgres', '2026-11-25 19:27:00.06207+00'),
	('Crate', 1, '{"fields": [{"low": null, "enum": null, "high": null, "kind": "string", "last": null, "type": "str", "field": "label", "first": null, "shape": null, "column": "label", "default": "", "members": null, "pattern": null, "nullable": false, "required": false, "check_name": null, "max_length": 200, "former_names": []}, {"low": 0.0, "enum": null, "high": null, "kind": "number", "last": null, "type": "float", "field": "weight_kg", "first": null, "shape": null, "column": "weight_kg", "default": 0.0, "members": null, "pattern": null, "nullable": false, "required": false, "check_name": null, "max_length": null, "former_names": []}], "machine": {"name": "CrateLife", "edges": [{"to_state": "SENT", "workflow": true, "allowed_by": ["bob"], "from_state": "PENDING"}], "initial": "PENDING"}}', 'postgres', '2026-11-25 19:27:00.139344+00');
INSERT INTO store.published_edges VALUES
	('Crate', 'PENDING', 'SENT', '{bob}', true);
INSERT INTO store.published_fields VALUES
	('Fill', 'symbol', 'string', false, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 12, '^[A-Z0-9\.\/]+$', NULL),
	('Fill', 'quantity', 'integer', false, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	('Fill', 'price', 'number', false, false, NULL, NULL, NULL, 0.0, NULL, NULL, NULL, NULL, NULL, NULL),
	('Fill', 'trader_name', 'string', false, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	('Crate', 'label', 'string', false, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 200, NULL, NULL),
	('Crate', 'weight_kg', 'number', false, false, NULL, NULL, NULL, 0.0, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO store.published_types VALUES
	('Fill', 1, false, '{symbol,quantity,price,trader_name}', NULL, NULL),
	('Crate', 1, false, '{label,weight_kg}', 'CrateLife', 'PENDING');
INSERT INTO store.schema_version VALUES
	(8, '1eb5b7538e72b4e20953e49f1a6afb1b1ca71781c464717f5b525067b6db7ddb', '2026-11-25 19:26:59.603817+00', true);
INSERT INTO store.share_events VALUES
	(1, '01a2142c-f530-7dea-89ef-dd327d23ee67', 3, '2026-11-25 19:27:01.345213+00', 'SHARED', 'READ', 'rates', 'alice', 87),
	(2, '01a2142c-f530-74ac-ad67-b308ccd132d1', 82, '2026-11-25 19:27:01.3725+00', 'SHARED', 'WRITE', 'bob', 'alice', 88),
	(3, '01a2142c-f530-74ac-ad67-b308ccd132d1', 82, '2026-11-25 19:27:01.387967+00', 'SHARED', 'READ', 'carol', 'alice', 89),
	(4, '01a2142c-f530-74ac-ad67-b308ccd132d1', 82, '2026-11-25 19:27:01.411087+00', 'UNSHARED', 'READ', 'carol', 'alice', 90);
INSERT INTO store.stability VALUES
	(true, '755', '0001-01-01 00:00:00+00', '0001-01-01 00:00:00+00');
INSERT INTO store.transaction_clocks VALUES
	('966', '2026-11-25 19:27:01.984992+00');
INSERT INTO store.type_shapes VALUES
	('Fill', 'alice', '{price,symbol,quantity,trader_name}'),
	('Crate', 'bob', '{label,weight_kg}');
INSERT INTO store.workflow_outbox OVERRIDING SYSTEM VALUE VALUES
	('01a2142c-f9d7-7dbc-96cd-0eac5ee51bd4', 2, 1, 'Crate', 'PENDING', 'SENT', 'bob', '2026-11-25 19:27:01.984992+00');
SELECT pg_catalog.setval('store.admin_events_seq_seq', 5, true);
SELECT pg_catalog.setval('store.event_seq', 92, true);
SELECT pg_catalog.setval('store.share_seq', 4, true);
SELECT pg_catalog.setval('store.workflow_outbox_seq_seq', 1, true);
ALTER TABLE ONLY store.admin_events
    ADD CONSTRAINT admin_events_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY store.checkpoints
    ADD CONSTRAINT checkpoints_pkey PRIMARY KEY (username, subscriber_id);
ALTER TABLE ONLY store.governance
    ADD CONSTRAINT governance_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY store.group_members
    ADD CONSTRAINT group_members_pkey PRIMARY KEY (member, group_name);
ALTER TABLE ONLY store.groups
    ADD CONSTRAINT groups_pkey PRIMARY KEY (group_name);
ALTER TABLE ONLY store.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (username, key);
ALTER TABLE ONLY store.limits
    ADD CONSTRAINT limits_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY store.object_events
    ADD CONSTRAINT object_events_pkey PRIMARY KEY (entity_id, version);
ALTER TABLE ONLY store.object_events
    ADD CONSTRAINT object_events_seq_key UNIQUE (seq);
ALTER TABLE ONLY store.object_heads
    ADD CONSTRAINT object_heads_pkey PRIMARY KEY (entity_id);
ALTER TABLE ONLY store.publications
    ADD CONSTRAINT publications_pkey PRIMARY KEY (type_name, revision);
ALTER TABLE ONLY store.published_edges
    ADD CONSTRAINT published_edges_pkey PRIMARY KEY (type_name, from_state, to_state);
ALTER TABLE ONLY store.published_fields
    ADD CONSTRAINT published_fields_pkey PRIMARY KEY (type_name, field);
ALTER TABLE ONLY store.published_types
    ADD CONSTRAINT published_types_pkey PRIMARY KEY (type_name);
ALTER TABLE ONLY store.share_events
    ADD CONSTRAINT share_events_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY store.stability
    ADD CONSTRAINT stability_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY store.transaction_clocks
    ADD CONSTRAINT transaction_clocks_pkey PRIMARY KEY (xid);
ALTER TABLE ONLY store.workflow_outbox
    ADD CONSTRAINT workflow_outbox_pkey PRIMARY KEY (entity_id, version);
ALTER TABLE ONLY store.workflow_outbox
    ADD CONSTRAINT workflow_outbox_seq_key UNIQUE (seq);
CREATE INDEX object_events_by_time ON store.object_events USING brin (tx_time) WITH (pages_per_range='32');
CREATE INDEX object_heads_by_type ON store.object_heads USING btree (type_name, entity_id);
CREATE INDEX object_heads_data ON store.object_heads USING gin (acl, data jsonb_path_ops) WITH (gin_pending_list_limit='512');
CREATE INDEX object_heads_due ON store.object_heads USING btree (due) WHERE (due < 'infinity'::timestamp with time zone);
CREATE INDEX share_events_by_entity ON store.share_events USING btree (entity_id, seq);
CREATE INDEX share_events_by_place ON store.share_events USING btree (principal, place) WHERE ((place IS NOT NULL) AND (action = 'SHARED'::text));
CREATE INDEX type_shapes_by_type ON store.type_shapes USING btree (type_name, owner);
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON store.admin_events FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON store.object_events FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON store.publications FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON store.share_events FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_rewrite();
CREATE TRIGGER take_place BEFORE INSERT ON store.group_members FOR EACH ROW EXECUTE FUNCTION store.take_place();
ALTER TABLE ONLY store.group_members
    ADD CONSTRAINT group_members_group_name_fkey FOREIGN KEY (group_name) REFERENCES store.groups(group_name) ON DELETE CASCADE;
ALTER TABLE ONLY store.published_edges
    ADD CONSTRAINT published_edges_type_name_fkey FOREIGN KEY (type_name) REFERENCES store.published_types(type_name) ON DELETE CASCADE;
ALTER TABLE ONLY store.published_fields
    ADD CONSTRAINT published_fields_type_name_fkey FOREIGN KEY (type_name) REFERENCES store.published_types(type_name) ON DELETE CASCADE;
ALTER TABLE store.admin_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.checkpoints ENABLE ROW LEVEL SECURITY;
CREATE POLICY functions ON store.admin_events TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.checkpoints TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.governance TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.group_members TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.groups TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.idempotency_keys TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.limits TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.object_events TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.object_heads TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.publications TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.published_edges TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.published_fields TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.published_types TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.schema_version TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.share_events TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.stability TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.transaction_clocks TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.type_shapes TO store_owner USING (true) WITH CHECK (true);
CREATE POLICY functions ON store.workflow_outbox TO store_owner USING (true) WITH CHECK (true);
ALTER TABLE store.governance ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.group_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.object_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.object_heads ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON store.checkpoints FOR SELECT TO store_user USING ((username = SESSION_USER));
ALTER TABLE store.publications ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.published_edges ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.published_fields ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.published_types ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON store.object_events FOR SELECT TO store_user USING ((EXISTS ( SELECT
   FROM store.object_heads h
  WHERE (h.entity_id = object_events.entity_id))));
CREATE POLICY readers ON store.object_heads FOR SELECT TO store_user USING ((acl && ( SELECT store.principals() AS principals)));
CREATE POLICY readers ON store.share_events FOR SELECT TO store_user USING ((EXISTS ( SELECT
   FROM store.object_heads h
  WHERE (h.entity_id = share_events.entity_id))));
ALTER TABLE store.schema_version ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.share_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.stability ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.transaction_clocks ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.type_shapes ENABLE ROW LEVEL SECURITY;
ALTER TABLE store.workflow_outbox ENABLE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA store TO store_user;
GRANT USAGE ON SCHEMA store TO store_engine;
REVOKE ALL ON LANGUAGE plpgsql FROM PUBLIC;
GRANT ALL ON LANGUAGE plpgsql TO store_owner;
GRANT ALL ON LANGUAGE plpgsql TO store_admin;
GRANT ALL ON LANGUAGE plpgsql TO store_engine;
REVOKE ALL ON FUNCTION store.add_members(p_group text, p_members text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION store.add_members(p_group text, p_members text[]) TO store_admin;
REVOKE ALL ON FUNCTION store.administration() FROM PUBLIC;
GRANT ALL ON FUNCTION store.administration() TO store_user;
GRANT SELECT ON TABLE store.object_heads TO store_user;
REVOKE ALL ON FUNCTION store.advanced(h store.object_heads, p_event text, p_changes jsonb, p_state text, p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone, p_user text) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.after_append(p_entity uuid, p_version integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.append_allowed(h store.object_heads, p_type text, p_version integer, p_event text, p_left text, p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.append_events(p_items jsonb, p_shared_clock boolean, p_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION store.append_events(p_items jsonb, p_shared_clock boolean, p_key text) TO store_user;
REVOKE ALL ON FUNCTION store.breaches(p_type text, p_changed text[], p_defaults jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION store.breaches(p_type text, p_changed text[], p_defaults jsonb) TO store_admin;
REVOKE ALL ON FUNCTION store.broken_rule(v jsonb, f store.published_fields) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.changes_ahead(p_type text, p_moment timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION store.changes_ahead(p_type text, p_moment timestamp with time zone) TO store_user;
REVOKE ALL ON FUNCTION store.check_appends(p_items jsonb, p_principals text[], p_admin boolean, p_clock timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.check_creations(p_items jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.check_edge(p_type text, p_from text, p_to text, p_principals text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.check_events(p_items jsonb, p_principals text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.claim_checkpoint(p_subscriber text, p_seq bigint, OUT seq bigint, OUT backfilled bigint, OUT term integer) FROM PUBLIC;
GRANT ALL ON FUNCTION store.claim_checkpoint(p_subscriber text, p_seq bigint, OUT seq bigint, OUT backfilled bigint, OUT term integer) TO store_user;
REVOKE ALL ON FUNCTION store.claim_key(p_key text, p_request jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.covers(p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.create_group(p_group text, p_members text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION store.create_group(p_group text, p_members text[]) TO store_admin;
REVOKE ALL ON FUNCTION store.create_objects(p_items jsonb, p_readers text[], p_writers text[], p_shared_clock boolean, p_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION store.create_objects(p_items jsonb, p_readers text[], p_writers text[], p_shared_clock boolean, p_key text) TO store_user;
REVOKE ALL ON FUNCTION store.current_grants(p_entity uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.differences() FROM PUBLIC;
GRANT ALL ON FUNCTION store.differences() TO store_admin;
REVOKE ALL ON FUNCTION store.drop_group(p_group text) FROM PUBLIC;
GRANT ALL ON FUNCTION store.drop_group(p_group text) TO store_admin;
REVOKE ALL ON FUNCTION store.first_matches(p_type text, p_contained jsonb, p_state text, p_after uuid, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION store.first_matches(p_type text, p_contained jsonb, p_state text, p_after uuid, p_limit integer) TO store_user;
REVOKE ALL ON FUNCTION store.granted_at(p_entity uuid, p_place bigint, p_names text[], p_since bigint[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.granted_by(p_place bigint, p_names text[], p_since bigint[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.granted_history(p_place bigint, p_after bigint, p_types text[], p_limit integer, p_names text[], p_since bigint[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.grants_of(p_entity uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION store.grants_of(p_entity uuid) TO store_user;
REVOKE ALL ON FUNCTION store.held_back_by(OUT username text, OUT process integer, OUT seconds double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION store.held_back_by(OUT username text, OUT process integer, OUT seconds double precision) TO store_user;
REVOKE ALL ON FUNCTION store.is_admin() FROM PUBLIC;
REVOKE ALL ON FUNCTION store.is_date(p text) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.is_datetime(p text) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.is_decimal(p text) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.is_double(p numeric) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.is_isin(p text) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.is_key(p_key text, p_shape jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.is_misfit(p_data jsonb, f store.published_fields, p_whole boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.is_of_type(v jsonb, f store.published_fields) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.is_readable(p_value jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.is_scalar(v jsonb, p_kind text) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.is_shaped(v jsonb, p_shape jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.is_time(p text) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.lacking_fields(p_type text, p_fields text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION store.lacking_fields(p_type text, p_fields text[]) TO store_user;
REVOKE ALL ON FUNCTION store.list_groups() FROM PUBLIC;
GRANT ALL ON FUNCTION store.list_groups() TO store_admin;
REVOKE ALL ON FUNCTION store.lock_principals() FROM PUBLIC;
REVOKE ALL ON FUNCTION store.lock_publications() FROM PUBLIC;
GRANT ALL ON FUNCTION store.lock_publications() TO store_admin;
REVOKE ALL ON FUNCTION store.lock_shareable(p_entity uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.log_append(h store.object_heads, p_item jsonb, p_items jsonb, p_principals text[], p_admin boolean, p_clock timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.log_appends(p_items jsonb, p_clock timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.log_creation(p_item jsonb, p_readers text[], p_writers text[], p_clock timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.log_creations(p_items jsonb, p_readers text[], p_writers text[], p_clock timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.log_lag(p_after bigint, p_backfilled bigint, p_types text[], OUT events bigint, OUT seconds double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION store.log_lag(p_after bigint, p_backfilled bigint, p_types text[], OUT events bigint, OUT seconds double precision) TO store_user;
REVOKE ALL ON FUNCTION store.logged_as(p_event text, p_from timestamp with time zone, p_at timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.make_events(p_items jsonb, p_shared_clock boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.make_objects(p_items jsonb, p_readers text[], p_writers text[], p_shared_clock boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.move_checkpoint(p_subscriber text, p_term integer, p_seq bigint, p_backfilled bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION store.move_checkpoint(p_subscriber text, p_term integer, p_seq bigint, p_backfilled bigint) TO store_user;
REVOKE ALL ON FUNCTION store.new_entity_id() FROM PUBLIC;
REVOKE ALL ON FUNCTION store.next_bound(p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.next_change(p_entity uuid, p_valid timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.next_grant(p_after bigint, p_upto bigint, p_names text[], p_since bigint[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.note_shape(p_type text, p_data jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.object_as_of(p_entity uuid, p_tx timestamp with time zone, p_valid timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION store.object_as_of(p_entity uuid, p_tx timestamp with time zone, p_valid timestamp with time zone) TO store_user;
REVOKE ALL ON FUNCTION store.object_audit(p_entity uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION store.object_audit(p_entity uuid) TO store_user;
REVOKE ALL ON FUNCTION store.object_history(p_entity uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION store.object_history(p_entity uuid) TO store_user;
REVOKE ALL ON FUNCTION store.objects_as_of(p_type text, p_tx timestamp with time zone, p_valid timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION store.objects_as_of(p_type text, p_tx timestamp with time zone, p_valid timestamp with time zone) TO store_user;
REVOKE ALL ON FUNCTION store.objects_at(p_type text, p_entities uuid[], p_moment timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION store.objects_at(p_type text, p_entities uuid[], p_moment timestamp with time zone) TO store_user;
REVOKE ALL ON FUNCTION store.objects_due(p_type text, p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION store.objects_due(p_type text, p_now timestamp with time zone) TO store_user;
REVOKE ALL ON FUNCTION store.objects_now(p_type text, p_entities uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION store.objects_now(p_type text, p_entities uuid[]) TO store_user;
REVOKE ALL ON FUNCTION store.outbox_done(p_entity uuid, p_version integer) FROM PUBLIC;
GRANT ALL ON FUNCTION store.outbox_done(p_entity uuid, p_version integer) TO store_engine;
REVOKE ALL ON FUNCTION store.outbox_pending(p_limit integer, p_after bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION store.outbox_pending(p_limit integer, p_after bigint) TO store_engine;
REVOKE ALL ON FUNCTION store.principals() FROM PUBLIC;
GRANT ALL ON FUNCTION store.principals() TO store_user;
REVOKE ALL ON FUNCTION store.projected(p_entity uuid, p_folded_at timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.proven_time() FROM PUBLIC;
REVOKE ALL ON FUNCTION store.publication(p_type text) FROM PUBLIC;
GRANT ALL ON FUNCTION store.publication(p_type text) TO store_user;
REVOKE ALL ON FUNCTION store.publish(p_type text, p_document jsonb, OUT revision integer, OUT changed boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION store.publish(p_type text, p_document jsonb, OUT revision integer, OUT changed boolean) TO store_admin;
REVOKE ALL ON FUNCTION store.read_log(p_after bigint, p_upto bigint, p_types text[], p_limit integer, p_data boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION store.read_log(p_after bigint, p_upto bigint, p_types text[], p_limit integer, p_data boolean) TO store_user;
REVOKE ALL ON FUNCTION store.read_stream(p_after bigint, p_backfilled bigint, p_upto bigint, p_types text[], p_limit integer, p_data boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION store.read_stream(p_after bigint, p_backfilled bigint, p_upto bigint, p_types text[], p_limit integer, p_data boolean) TO store_user;
REVOKE ALL ON FUNCTION store.reap() FROM PUBLIC;
GRANT ALL ON FUNCTION store.reap() TO store_user;
REVOKE ALL ON FUNCTION store.rebuild() FROM PUBLIC;
GRANT ALL ON FUNCTION store.rebuild() TO store_admin;
REVOKE ALL ON FUNCTION store.record_administration(p_action text, p_subject text, p_detail text) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.record_share(p_head store.object_heads, p_action text, p_access text, p_principal text) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.refold_head(p_entity uuid, p_valid timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.refuse(p_code text, p_message text, p_facts jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.refuse_fields(p_type text, p_data jsonb, p_whole boolean, p_item bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.refuse_rewrite() FROM PUBLIC;
REVOKE ALL ON FUNCTION store.refuse_unpublished(p_type text) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.remove_members(p_group text, p_members text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION store.remove_members(p_group text, p_members text[]) TO store_admin;
REVOKE ALL ON FUNCTION store.replayed(p_key text) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.require_admin() FROM PUBLIC;
REVOKE ALL ON FUNCTION store.require_group(p_group text) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.require_principals(p_names text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.retire(p_type text) FROM PUBLIC;
GRANT ALL ON FUNCTION store.retire(p_type text) TO store_admin;
REVOKE ALL ON FUNCTION store.save_checkpoint(p_subscriber text, p_seq bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION store.save_checkpoint(p_subscriber text, p_seq bigint) TO store_user;
REVOKE ALL ON FUNCTION store.set_governed(p_governed boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION store.set_governed(p_governed boolean) TO store_admin;
REVOKE ALL ON FUNCTION store.share(p_entity uuid, p_principal text, p_access text) FROM PUBLIC;
GRANT ALL ON FUNCTION store.share(p_entity uuid, p_principal text, p_access text) TO store_user;
REVOKE ALL ON FUNCTION store.shown_after(p_entity uuid, p_version integer, p_tx timestamp with time zone, p_folded_at timestamp with time zone, p_head_version integer, p_present boolean, p_state text, p_data jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.stable_time() FROM PUBLIC;
GRANT ALL ON FUNCTION store.stable_time() TO store_user;
REVOKE ALL ON FUNCTION store.standing(OUT names text[], OUT since bigint[], OUT reads_all boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.starts_workflow(p_type text, p_from text, p_to text, p_asked boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.state_at(p_entity uuid, p_tx timestamp with time zone, p_valid timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.state_left(p_entity uuid, p_version integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.stretch(p_start timestamp with time zone, p_end timestamp with time zone, OUT after_seq bigint, OUT upto_seq bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION store.stretch(p_start timestamp with time zone, p_end timestamp with time zone, OUT after_seq bigint, OUT upto_seq bigint) TO store_user;
REVOKE ALL ON FUNCTION store.take_place() FROM PUBLIC;
REVOKE ALL ON FUNCTION store.transaction_clock(p_shared boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION store.unshare(p_entity uuid, p_principal text, p_access text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION store.unshare(p_entity uuid, p_principal text, p_access text[]) TO store_user;
REVOKE ALL ON FUNCTION store.watermark(p_after bigint, OUT seq bigint, OUT fence xid8) FROM PUBLIC;
GRANT ALL ON FUNCTION store.watermark(p_after bigint, OUT seq bigint, OUT fence xid8) TO store_user;
REVOKE ALL ON FUNCTION store.merge(jsonb) FROM PUBLIC;
GRANT SELECT ON TABLE store.checkpoints TO store_user;
GRANT SELECT ON TABLE store.object_events TO store_user;
GRANT SELECT ON TABLE store.share_events TO store_user;
