-- Who the caller is, and how a refusal is spoken.

CREATE OR REPLACE FUNCTION store.is_admin()
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT pg_has_role(session_user, 'store_admin', 'USAGE')
$$;

-- Raises one of the store's errors: TSnnn, with the facts as a JSON object in DETAIL. What it names may hold characters that
-- a terminal obeys, or that begin a line of a log.
CREATE OR REPLACE FUNCTION store.refuse(p_code text, p_message text, p_facts jsonb)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = p_code, MESSAGE = regexp_replace(p_message, '[[:cntrl:]]', '?', 'g'), DETAIL = p_facts::text;
END
$$;

-- The names under which the caller is granted access: the login, its groups, and '' when it reads all.
CREATE OR REPLACE FUNCTION store.principals()
RETURNS text[] LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
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

-- Whether the caller may see an entity, for policies. PostgreSQL asks what costs least first, and EXPLAIN ANALYZE tells how
-- often the rest was asked: at this price it comes before every comparison of the caller's, which would else be made on
-- rows that the caller may not see.
CREATE OR REPLACE FUNCTION store.may_see(p_entity uuid)
RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp COST 0.0001 AS $$
BEGIN
    RETURN EXISTS (SELECT FROM store.object_heads h WHERE h.entity_id = p_entity AND h.acl && store.principals());
END
$$;

-- Refuses to change anything from a snapshot in which a membership that was withdrawn since still stands, or a type that
-- was published since is not. At READ COMMITTED, each statement has a snapshot of its own. Nobody keeps the lock by which
-- PostgreSQL finds that out: one session after another would keep administrators waiting without end.
CREATE OR REPLACE FUNCTION store.require_present()
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        BEGIN
            PERFORM FROM store.governance FOR SHARE;
            RAISE SQLSTATE 'TS000';
        EXCEPTION WHEN SQLSTATE 'TS000' THEN
            NULL;  -- nothing has changed, and the lock is given back
        END;
    END IF;
END
$$;

-- Refuses to go on once a right is withdrawn that the caller had when the call began, or, from a snapshot, anything has
-- changed: it may have waited for a lock since, for as long as the caller's other sessions held it.
CREATE OR REPLACE FUNCTION store.require_still(p_principals text[], p_admin boolean)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM store.require_present();
    IF NOT p_principals <@ store.principals() OR p_admin AND NOT store.is_admin() THEN
        RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'a right of the caller was withdrawn while the call waited';
    END IF;
END
$$;

-- Makes transactions that began before this one's end, and work on their own snapshots, start anew before they change
-- anything.
CREATE OR REPLACE FUNCTION store.date_snapshots()
RETURNS void LANGUAGE sql VOLATILE AS $$ UPDATE store.governance SET governed = governed $$;

-- Time-ordered ids (RFC 9562, version 7), so that a bulk load fills the indexes from one side.
CREATE OR REPLACE FUNCTION store.new_entity_id()
RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                    FROM 1 FOR 6),
            52, 1), 53, 1), 'hex')::uuid
$$;
