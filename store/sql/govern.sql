-- Holding every write to what is published: the fields of a type, its initial state, and its edges with who may take
-- them. Each check is one statement over all items; only a write that it refuses is looked at more closely.

-- Whether a field of an item is not as published: p_whole for the data of a new object, else for its changes.
CREATE OR REPLACE FUNCTION store.is_misfit(p_data jsonb, f store.published_fields, p_whole boolean)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_data ? (f).field
                THEN NOT store.is_of_type(p_data->(f).field, f) OR store.broken_rule(p_data->(f).field, f) IS NOT NULL
                ELSE p_whole AND (f).required END
$$;

-- Says what is wrong with the fields of one item. p_item: its place among several, null for a single one.
CREATE OR REPLACE FUNCTION store.refuse_fields(p_type text, p_data jsonb, p_whole boolean, p_item bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    f store.published_fields;
    v_key text;
    v_value jsonb;
    v_rule text;
    v_label text;
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
    SELECT d->>'type' INTO v_label
    FROM store.published_types t
    JOIN store.publications p ON p.type_name = t.type_name AND p.revision = t.revision,
         jsonb_array_elements(p.document->'fields') d
    WHERE t.type_name = p_type AND d->>'field' = f.field;
    v_expected := CASE v_rule
        WHEN 'missing' THEN 'a value, as the field has no default'
        WHEN 'nullable' THEN 'a value, not null'
        WHEN 'type' THEN coalesce('one of ' || f.members::text, v_label || ' in the form that the client writes')
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

CREATE OR REPLACE FUNCTION store.refuse_unpublished(p_type text)
RETURNS void LANGUAGE plpgsql AS $$
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

-- Refuses a change of state that the published machine does not have, or not for the caller.
CREATE OR REPLACE FUNCTION store.check_edge(p_type text, p_from text, p_to text, p_principals text[])
RETURNS void LANGUAGE plpgsql AS $$
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

-- A new object's type, fields and state; p_items as for store.create_objects.
CREATE OR REPLACE FUNCTION store.check_creations(p_items jsonb)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_governed boolean;
    v record;
BEGIN
    SELECT g.governed INTO v_governed FROM store.governance g
    WHERE g.governed OR EXISTS (SELECT FROM store.published_types);
    IF NOT FOUND THEN
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

-- The events of entities that are locked and which the caller may change; p_items as for store.append_events.
CREATE OR REPLACE FUNCTION store.check_events(p_items jsonb, p_principals text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_governed boolean;
    v record;
BEGIN
    SELECT g.governed INTO v_governed FROM store.governance g
    WHERE g.governed OR EXISTS (SELECT FROM store.published_types);
    IF NOT FOUND THEN
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

-- Whether a change of state starts a workflow: what is published says, else the caller, whose machine it is.
CREATE OR REPLACE FUNCTION store.starts_workflow(p_type text, p_from text, p_to text, p_asked boolean)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT e.workflow FROM store.published_edges e
                     WHERE e.type_name = p_type AND e.from_state = p_from AND e.to_state = p_to), p_asked, false)
$$;
