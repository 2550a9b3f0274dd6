-- Publishing a type, for administrators: what is stored here, every write is held to.

-- p_document: {fields: [{field, kind, nullable, required, members, shape, enum, low, high, first, last, max_length,
-- pattern, check_name, ...}, ...], machine: {name, initial, edges: [{from_state, to_state, allowed_by, workflow}, ...]}}.
-- Returns the revision, and whether anything is new.
CREATE OR REPLACE FUNCTION store.publish(p_type text, p_document jsonb, OUT revision integer, OUT changed boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
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
    PERFORM store.date_snapshots();
    PERFORM store.record_administration('TYPE_PUBLISHED', p_type, format('revision %s', revision));
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

-- One publication at a time; a reader of the newest one that goes on to publish calls this first.
CREATE OR REPLACE FUNCTION store.lock_publications()
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
BEGIN
    -- The weakest mode that two do not get at once: a user who prepares a statement holds any of the weaker ones.
    LOCK TABLE store.publications IN SHARE UPDATE EXCLUSIVE MODE;
END
$$;

-- Closes a published type to writers. False when it is closed already.
CREATE OR REPLACE FUNCTION store.retire(p_type text)
RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
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
    PERFORM store.date_snapshots();
    PERFORM store.record_administration('TYPE_RETIRED', p_type, format('revision %s', v_revision));
    RETURN true;
END
$$;

-- Whether types that are not published are refused.
CREATE OR REPLACE FUNCTION store.set_governed(p_governed boolean)
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
BEGIN
    UPDATE store.governance SET governed = p_governed WHERE governed <> p_governed;
    IF FOUND THEN
        PERFORM store.record_administration(CASE WHEN p_governed THEN 'GOVERNED' ELSE 'UNGOVERNED' END,
                                            current_database(), NULL);
    END IF;
END
$$;

-- Where the data of a type do not fit its publication, of which p_changed are the fields that are not as they were.
--   unreadable  a value that is not of the field's type, in the log, which no migration can change
--   missing     entities without a field that has no default
--   lost        entities that hold a value in a field that is published no more, and not the default that it had
--   broken      entities with a value that breaks a rule of its column; only the next change of the field repairs it
--   stranded    entities in a state that the machine does not have
--   nobody      names that may take an edge, and are neither a user nor a group
CREATE OR REPLACE FUNCTION store.breaches(p_type text, p_changed text[])
RETURNS TABLE (breach text, field text, entities bigint, example uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET extra_float_digits = 1 AS $$
    WITH former AS MATERIALIZED (
        SELECT f->>'field' AS field, jsonb_array_elements_text(f->'former_names') AS name
        FROM (SELECT p.document FROM store.publications p
              WHERE p.type_name = p_type AND p.document IS NOT NULL ORDER BY p.revision DESC LIMIT 1) d,
             jsonb_array_elements(d.document->'fields') f
    ), gone AS MATERIALIZED (
        SELECT DISTINCT ON (f->>'field') f->>'field' AS field, f->'default' AS value
        FROM store.publications p, jsonb_array_elements(p.document->'fields') f
        WHERE p.type_name = p_type ORDER BY f->>'field', p.revision DESC
    ), head AS MATERIALIZED (
        SELECT h.entity_id, h.state, h.data, ARRAY(SELECT name FROM former) AS former
        FROM store.object_heads h WHERE h.type_name = p_type AND h.event_type <> 'DELETED'
    ), changed AS MATERIALIZED (
        SELECT f, f.field AS name FROM store.published_fields f WHERE f.type_name = p_type AND f.field = ANY (p_changed)
    ), named AS MATERIALIZED (
        SELECT c.f, c.name AS field, c.name FROM changed c
        UNION ALL
        SELECT c.f, c.name, o.name FROM changed c JOIN former o ON o.field = c.name
    )
    SELECT 'unreadable', c.field, count(DISTINCT e.entity_id), min(e.entity_id::text)::uuid
    FROM store.object_events e, named c
    WHERE e.type_name = p_type AND e.changes ? c.name AND NOT store.is_of_type(e.changes->c.name, c.f)
    GROUP BY c.field
    UNION ALL
    SELECT 'missing', c.name, count(*), min(h.entity_id::text)::uuid
    FROM head h, changed c
    WHERE (c.f).required AND NOT h.data ? c.name AND NOT h.data ?| h.former
    GROUP BY c.name
    UNION ALL
    SELECT 'lost', d.key, count(*), min(h.entity_id::text)::uuid
    FROM head h, published_types t, jsonb_each(h.data) d
    WHERE t.type_name = p_type AND d.key <> ALL (t.fields) AND d.key <> ALL (h.former)
      AND d.value <> 'null' AND d.value IS DISTINCT FROM (SELECT g.value FROM gone g WHERE g.field = d.key)
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

-- What is published of a type, for whoever uses it: the newest document, and the fields of each earlier one.
CREATE OR REPLACE FUNCTION store.publication(p_type text)
RETURNS TABLE (revision integer, retired boolean, document jsonb, earlier jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT t.revision, t.retired, d.document, (
               SELECT coalesce(jsonb_agg(jsonb_path_query_array(p.document, '$.fields[*].field')), '[]')
               FROM store.publications p
               WHERE p.type_name = p_type AND p.revision < d.revision AND p.document IS NOT NULL)
    FROM store.published_types t
    CROSS JOIN LATERAL (
        SELECT p.revision, p.document FROM store.publications p
        WHERE p.type_name = p_type AND p.document IS NOT NULL ORDER BY p.revision DESC LIMIT 1) d
    WHERE t.type_name = p_type
$$;

-- The published types, and who published the newest revision of each.
CREATE OR REPLACE FUNCTION store.published()
RETURNS TABLE (type_name text, revision integer, retired boolean, fields integer, machine text, published_by text,
               published_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT t.type_name, t.revision, t.retired, cardinality(t.fields), t.machine, p.published_by, p.published_at
    FROM store.published_types t
    JOIN store.publications p ON p.type_name = t.type_name AND p.revision = t.revision
    ORDER BY t.type_name
$$;
