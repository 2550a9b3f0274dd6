-- Access to an entity: granted and withdrawn by its owner and its writers, each grant on record.

-- Locks an entity that the caller may share, or refuses. Who may is asked of the row that is locked, and of memberships
-- anew: access that was withdrawn while this waited for the lock is gone.
CREATE OR REPLACE FUNCTION store.lock_shareable(p_entity uuid)
RETURNS store.object_heads LANGUAGE plpgsql AS $$
DECLARE
    v store.object_heads;
    v_principals text[] := store.principals();
    v_admin boolean := store.is_admin();
BEGIN
    SELECT * INTO v FROM store.object_heads h
    WHERE h.entity_id = p_entity AND (h.owner = session_user OR h.writers && v_principals OR v_admin)
    FOR UPDATE;
    IF FOUND THEN
        PERFORM store.require_still(v_principals, v_admin);
        RETURN v;
    END IF;
    SELECT * INTO v FROM store.object_heads h WHERE h.entity_id = p_entity AND h.acl && v_principals;
    IF FOUND THEN
        PERFORM store.refuse('TS002', format('you may read %s %s but not share it', v.type_name, p_entity),
                             jsonb_build_object('entity_id', p_entity));
    END IF;
    PERFORM store.refuse('TS001', format('there is no entity %s that you may see', p_entity),
                         jsonb_build_object('entity_id', p_entity));
END
$$;

-- The grants in force on an entity: the newest entry of each principal and access, where it is a SHARED one.
CREATE OR REPLACE FUNCTION store.current_grants(p_entity uuid)
RETURNS TABLE (principal text, access text, grantor text) LANGUAGE sql STABLE AS $$
    SELECT g.principal, g.access, g.grantor
    FROM (SELECT DISTINCT ON (s.principal, s.access) s.* FROM store.share_events s
          WHERE s.entity_id = p_entity ORDER BY s.principal, s.access, s.seq DESC) g
    WHERE g.action = 'SHARED'
$$;

CREATE OR REPLACE FUNCTION store.record_share(p_head store.object_heads, p_action text, p_access text, p_principal text)
RETURNS void LANGUAGE sql VOLATILE AS $$
    INSERT INTO store.share_events (seq, entity_id, version, tx_time, action, access, principal, grantor, place)
    VALUES (nextval('store.share_seq'), p_head.entity_id, p_head.version,
            greatest(clock_timestamp(), p_head.last_tx_time), p_action, p_access, p_principal, session_user,
            nextval('store.event_seq'));
    UPDATE store.object_heads h
    SET readers = ARRAY(SELECT g.principal FROM store.current_grants(h.entity_id) g WHERE g.access = 'READ' ORDER BY 1),
        writers = ARRAY(SELECT g.principal FROM store.current_grants(h.entity_id) g WHERE g.access = 'WRITE' ORDER BY 1)
    WHERE h.entity_id = p_head.entity_id
$$;

-- Grants READ or WRITE to a user or a group. Granting again what is granted changes nothing, but the owner's grant
-- takes the place of a writer's.
CREATE OR REPLACE FUNCTION store.share(p_entity uuid, p_principal text, p_access text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
DECLARE
    v store.object_heads;
    v_grantor text;
BEGIN
    PERFORM pg_current_xact_id();
    PERFORM store.require_present();
    PERFORM store.require_principals(ARRAY[p_principal]);
    v := store.lock_shareable(p_entity);
    IF p_principal = v.owner THEN
        PERFORM store.refuse('TS008', format('%L owns %s: there is nothing to share', p_principal, p_entity),
                             jsonb_build_object('value', p_principal));
    END IF;
    SELECT g.grantor INTO v_grantor FROM store.current_grants(p_entity) g
    WHERE g.principal = p_principal AND g.access = p_access;
    IF v_grantor IS NULL OR (v_grantor <> v.owner AND v.owner = session_user) THEN
        -- Each time that an entity comes into view again, its history comes again to those who listen. What others granted
        -- does not count: a writer would use up what its owner may. In hours: how long a day is, the session's timezone says.
        IF (SELECT count(*) FROM store.share_events s
            WHERE s.entity_id = p_entity AND s.principal = p_principal AND s.action = 'SHARED'
              AND s.grantor = session_user AND s.tx_time > clock_timestamp() - interval '24 hours') >= 32 THEN
            PERFORM store.refuse('TS013', format('%s was shared with %L 32 times within a day: leave it shared, or share'
                                                 ' it again tomorrow', p_entity, p_principal),
                                 jsonb_build_object('entity_id', p_entity, 'principal', p_principal));
        END IF;
        PERFORM store.record_share(v, 'SHARED', p_access, p_principal);
    END IF;
END
$$;

-- Withdraws grants of a user or a group. Withdrawing what is not granted changes nothing; of a name that nobody has, and
-- that never had any, it is a slip, after which the access that was meant would still be there.
CREATE OR REPLACE FUNCTION store.unshare(p_entity uuid, p_principal text, p_access text[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
DECLARE
    v store.object_heads;
    v_grant record;
BEGIN
    PERFORM pg_current_xact_id();
    PERFORM store.require_present();
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
    IF NOT FOUND AND NOT EXISTS (SELECT FROM store.groups g WHERE g.group_name = p_principal)
       AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = p_principal)
       AND NOT EXISTS (SELECT FROM store.share_events s WHERE s.entity_id = p_entity AND s.principal = p_principal) THEN
        PERFORM store.refuse('TS010', format('there is no user or group named %L', p_principal),
                             jsonb_build_object('principal', p_principal));
    END IF;
END
$$;

-- Who may see or change an entity besides its owner, for those who may see it.
CREATE OR REPLACE FUNCTION store.grants_of(p_entity uuid)
RETURNS TABLE (principal text, access text, grantor text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
    SELECT g.* FROM store.object_heads h, LATERAL store.current_grants(h.entity_id) g
    WHERE h.entity_id = p_entity AND h.acl && (SELECT store.principals())
    ORDER BY g.principal, g.access
$$;
