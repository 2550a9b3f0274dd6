-- Groups: names that stand for several users wherever a user may stand. For administrators.

CREATE OR REPLACE FUNCTION store.require_admin()
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT store.is_admin() THEN
        PERFORM store.refuse('TS002', format('%s may not do that: it takes an administrator', session_user), '{}');
    END IF;
END
$$;

-- Puts down what an administrator did, under the name of the login that did it.
CREATE OR REPLACE FUNCTION store.record_administration(p_action text, p_subject text, p_detail text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
BEGIN
    PERFORM store.require_admin();
    INSERT INTO store.admin_events (action, subject, detail) VALUES (p_action, p_subject, p_detail);
END
$$;

-- Makes changes of users and groups wait for each other, so that no name becomes both.
CREATE OR REPLACE FUNCTION store.lock_principals()
RETURNS void LANGUAGE sql VOLATILE AS $$ SELECT pg_advisory_xact_lock(hashtext('store roles')) $$;

-- Lets an administrator change a group that there is.
CREATE OR REPLACE FUNCTION store.require_group(p_group text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM store.require_admin();
    IF NOT EXISTS (SELECT FROM store.groups g WHERE g.group_name = p_group) THEN
        PERFORM store.refuse('TS010', format('there is no group named %L', p_group),
                             jsonb_build_object('principal', p_group));
    END IF;
END
$$;

-- Adds users to a group; those who belong to it already stay.
CREATE OR REPLACE FUNCTION store.add_members(p_group text, p_members text[])
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
DECLARE
    v_member text;
BEGIN
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

-- Takes users out of a group, also such as can no longer log in; those who do not belong to it are no error. No name comes
-- or goes: it need not wait for those who change users and groups, and who may wait for what users hold.
CREATE OR REPLACE FUNCTION store.remove_members(p_group text, p_members text[])
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
DECLARE
    v_member text;
BEGIN
    PERFORM store.require_group(p_group);
    PERFORM store.date_snapshots();  -- first, so that two who withdraw the same memberships do not wait crosswise
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

CREATE OR REPLACE FUNCTION store.create_group(p_group text, p_members text[])
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp SET gin_fuzzy_search_limit = 0 AS $$
BEGIN
    PERFORM store.require_admin();
    PERFORM store.lock_principals();
    IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = p_group) THEN
        PERFORM store.refuse('TS030', format('%L is the name of a user: choose another name for the group', p_group),
                             jsonb_build_object('principal', p_group));
    ELSIF EXISTS (SELECT FROM store.groups g WHERE g.group_name = p_group) THEN
        PERFORM store.refuse('TS030', format('there is a group named %L already', p_group),
                             jsonb_build_object('principal', p_group));
    ELSIF EXISTS (SELECT FROM store.object_heads h WHERE h.acl && ARRAY[p_group]) THEN
        PERFORM store.refuse('TS030', format('%L has entities, or they are shared with it: it was the name of a user who is'
                                             ' gone, choose another one for the group', p_group),
                             jsonb_build_object('principal', p_group));
    END IF;
    INSERT INTO store.groups VALUES (p_group);
    PERFORM store.record_administration('GROUP_CREATED', p_group, NULL);
    PERFORM store.add_members(p_group, p_members);
END
$$;

-- Drops a group and withdraws all that was granted to it, so that a later group of that name inherits nothing.
-- Returns from how many entities it was withdrawn. Users who share with the group, one transaction after another, would
-- keep it waiting, and all who change users and groups behind it: it does not wait for long. Who shall be out of the
-- group at once is taken out of it, which waits for nobody.
CREATE OR REPLACE FUNCTION store.drop_group(p_group text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp
SET gin_fuzzy_search_limit = 0 SET lock_timeout = '60s' AS $$
DECLARE
    v_longest text := current_setting('lock_timeout');
    v_until timestamptz := clock_timestamp() + v_longest::interval;
    v_entity uuid;
    v_head store.object_heads;
    v_entities bigint := 0;
    v_holders text;
BEGIN
    PERFORM store.lock_principals();
    PERFORM store.require_group(p_group);
    BEGIN
        -- Whoever shares with the group meanwhile holds a lock on its row: what it grants is seen here.
        PERFORM FROM store.groups g WHERE g.group_name = p_group FOR UPDATE;
        FOR v_entity IN SELECT h.entity_id FROM store.object_heads h WHERE h.acl && ARRAY[p_group] ORDER BY h.entity_id LOOP
            -- What is left of the time for all of it: whoever locks one entity after the other would have it once for each.
            PERFORM set_config('lock_timeout', greatest(
                1, ceil(extract(epoch FROM v_until - clock_timestamp()) * 1000))::bigint::text, true);
            SELECT * INTO v_head FROM store.object_heads h
            WHERE h.entity_id = v_entity AND h.acl && ARRAY[p_group] FOR UPDATE;
            IF FOUND THEN
                PERFORM store.record_share(v_head, 'UNSHARED', g.access, p_group)
                FROM store.current_grants(v_entity) g WHERE g.principal = p_group;
                v_entities := v_entities + 1;
            END IF;
        END LOOP;
    EXCEPTION WHEN lock_not_available THEN
        -- Of those with a transaction id, who may have locked rows of these tables.
        SELECT string_agg(DISTINCT quote_ident(a.usename), ', ') INTO v_holders
        FROM pg_locks l JOIN pg_locks x ON x.pid = l.pid AND x.locktype = 'transactionid' AND x.granted
        JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.relation IN ('store.groups'::regclass, 'store.object_heads'::regclass)
          AND l.mode IN ('RowShareLock', 'RowExclusiveLock') AND l.granted
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND a.pid <> pg_backend_pid();
        PERFORM store.refuse('TS014', format('the group %L, or what is shared with it, is held by open transactions, of %s:'
                                             ' let them end, or end them, and repeat this', p_group,
                                             coalesce(v_holders, 'users who have gone')),
                             jsonb_build_object('principal', p_group));
    END;
    PERFORM set_config('lock_timeout', v_longest, true);
    PERFORM store.date_snapshots();
    DELETE FROM store.groups g WHERE g.group_name = p_group;
    PERFORM store.record_administration('GROUP_DROPPED', p_group, NULL);
    RETURN v_entities;
END
$$;

CREATE OR REPLACE FUNCTION store.list_groups()
RETURNS TABLE (group_name text, members text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
BEGIN
    PERFORM store.require_admin();
    RETURN QUERY
    SELECT g.group_name,
           ARRAY(SELECT m.member FROM store.group_members m WHERE m.group_name = g.group_name ORDER BY m.member)
    FROM store.groups g ORDER BY g.group_name;
END
$$;

-- Who administered what, oldest first; for administrators and for those who read all.
CREATE OR REPLACE FUNCTION store.administration()
RETURNS TABLE (at timestamptz, actor text, action text, subject text, detail text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
BEGIN
    IF NOT '' = ANY (store.principals()) THEN
        PERFORM store.require_admin();
    END IF;
    RETURN QUERY SELECT e.at, e.actor, e.action, e.subject, e.detail FROM store.admin_events e ORDER BY e.seq;
END
$$;
