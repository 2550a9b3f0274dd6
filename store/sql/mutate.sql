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
        -- Now and then, and many at once: while somebody keeps an old snapshot, from which nothing can be cleared away, this
        -- goes past all that was swept since.
        IF random() < 0.015 THEN
            DELETE FROM store.transaction_clocks c WHERE c.xid IN (
                SELECT old.xid FROM store.transaction_clocks old
                WHERE old.xid < pg_snapshot_xmin(pg_current_snapshot())
                LIMIT 1000 FOR UPDATE SKIP LOCKED);
        END IF;
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
    v_claimed boolean;
BEGIN
    INSERT INTO store.idempotency_keys (username, key, request) VALUES (session_user, p_key, v_request)
    ON CONFLICT DO NOTHING;
    v_claimed := FOUND;
    PERFORM store.require_present();  -- it may have waited for another session of the caller's
    IF v_claimed THEN
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

-- What the caller of a keyed request held after its first run (as store.after_append says), read from the log.
CREATE OR REPLACE FUNCTION store.replayed(p_key text)
RETURNS SETOF store.change LANGUAGE sql STABLE AS $$
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

-- Refuses to show what was made under a key once the caller may no longer see it.
CREATE OR REPLACE FUNCTION store.check_replay(p_key text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_principals text[] := store.principals();
    v_gone uuid;
BEGIN
    SELECT h.entity_id INTO v_gone
    FROM store.idempotency_keys k, unnest(k.entity_ids) AS made (entity_id)
    JOIN store.object_heads h ON h.entity_id = made.entity_id
    WHERE k.username = session_user AND k.key = p_key AND NOT h.acl && v_principals LIMIT 1;
    IF FOUND THEN
        PERFORM store.refuse('TS001', format('there is no entity %s that you may see', v_gone),
                             jsonb_build_object('entity_id', v_gone));
    END IF;
END
$$;

-- The same, for the caller who looks before it repeats a change; nothing when no request has run under the key.
CREATE OR REPLACE FUNCTION store.replay(p_key text)
RETURNS SETOF store.change
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
BEGIN
    PERFORM store.check_replay(p_key);
    RETURN QUERY SELECT * FROM store.replayed(p_key);
END
$$;

-- Forgets the keys of workflows that their engine has forgotten.
CREATE OR REPLACE FUNCTION store.forget_workflow_keys(p_workflows text[])
RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    WITH gone AS (
        DELETE FROM store.idempotency_keys k
        WHERE substring(k.key FROM '^workflow:(.*)/[0-9]+/[a-z_]+/[^/]*/[0-9]+(?:#[0-9]+)?$') = ANY (p_workflows)
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

-- Refuses names that are neither a user nor a group of the store.
CREATE OR REPLACE FUNCTION store.require_principals(p_names text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_unknown text;
BEGIN
    -- A group that is granted something must not be dropped meanwhile.
    PERFORM FROM store.groups g WHERE g.group_name = ANY (p_names) ORDER BY g.group_name FOR KEY SHARE;
    SELECT n INTO v_unknown FROM unnest(p_names) AS n
    WHERE NOT EXISTS (SELECT FROM store.groups g WHERE g.group_name = n)
      -- Asked of the table of members first: pg_has_role would keep all of that login in this session, see store.reap.
      AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = n AND r.rolcanlogin AND NOT r.rolsuper
                      AND (EXISTS (SELECT FROM pg_auth_members m
                                   WHERE m.member = r.oid AND m.roleid = 'store_user'::regrole)
                           OR pg_has_role(r.oid, 'store_user', 'USAGE')))
    LIMIT 1;
    IF FOUND THEN
        PERFORM store.refuse('TS010', format(CASE WHEN EXISTS (
                                 SELECT FROM pg_roles r JOIN pg_auth_members m ON m.member = r.oid
                                 WHERE r.rolname = v_unknown AND m.roleid = to_regrole('store_user')
                                   AND NOT r.rolcanlogin AND NOT starts_with(r.rolname, 'store_'))
                             THEN 'the user %L is disabled: leave it out, or have it enabled first'
                             ELSE 'there is no user or group named %L' END, v_unknown),
                             jsonb_build_object('principal', v_unknown));
    END IF;
END
$$;

-- Remembers the fields with which the caller's entities of a type come into being. A set that holds all of an older one
-- tells nothing new; beyond 64 sets, or 1000 fields, or 64 KiB of names in all sets, any field may be lacking: others'
-- filters look through these. Each of the caller's sessions counts what it sees, so that there may be 64 times as much.
CREATE OR REPLACE FUNCTION store.note_shape(p_type text, p_data jsonb)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_fields text[];
BEGIN
    IF EXISTS (SELECT FROM store.type_shapes t
               WHERE t.type_name = p_type AND t.owner = session_user AND p_data ?& t.fields) THEN
        RETURN;
    END IF;
    v_fields := ARRAY(SELECT jsonb_object_keys(p_data));
    INSERT INTO store.type_shapes (type_name, owner, fields)
    SELECT p_type, session_user,
           CASE WHEN count(*) < 64 AND cardinality(v_fields) <= 1000
                     AND coalesce(sum(octet_length(t.fields::text)), 0) + octet_length(v_fields::text) <= 65536 THEN v_fields
                ELSE '{}' END
    FROM store.type_shapes t WHERE t.type_name = p_type AND t.owner = session_user;
END
$$;

-- Whether a valid range contains a moment, and where it next begins or ends after it.
CREATE OR REPLACE FUNCTION store.covers(p_from timestamptz, p_to timestamptz, p_at timestamptz)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT p_from <= p_at AND p_at < p_to $$;

CREATE OR REPLACE FUNCTION store.next_bound(p_from timestamptz, p_to timestamptz, p_at timestamptz)
RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_from > p_at THEN p_from WHEN p_to > p_at THEN p_to ELSE 'infinity' END
$$;
