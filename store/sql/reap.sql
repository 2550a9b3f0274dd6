-- Whether a session waits to have the store's database, or a table there or one that all databases share, for itself, and
-- it is not its user's: such a wait ends in a refusal, and until then others come to wait behind it.
CREATE OR REPLACE FUNCTION store.waits_for_what_is_not_its_own(p_process integer, p_user oid)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM pg_locks w JOIN pg_database d ON d.datname = current_database()
        WHERE w.pid = p_process AND NOT w.granted
          AND w.mode IN ('ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
          AND (w.locktype = 'relation' AND w.database IN (d.oid, 0) OR w.locktype = 'object' AND w.database = d.oid
               OR w.classid = 'pg_database'::regclass AND w.objid = d.oid)
          AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = w.relation AND pg_has_role(p_user, c.relowner, 'USAGE')))
$$;

-- Ends the sessions that hold others up: those of the store's users, in any database of the cluster,
--   whose transaction has a transaction id (it has changed something, or asked for one), by which it holds up every
--   reader of the log, and
--     has been open for longer than store.limits.longest_transaction, or
--     has been idle inside the transaction for longer than store.limits.idle_transaction;
--   that have read from one snapshot for longer than store.limits.longest_snapshot, from which on nothing can be cleared
--   away: objects that change take ever longer to find, and transaction ids run out; or
--   that wait to have a table that is not theirs, or the store's database, for themselves.
-- The last two not where the user is an administrator. Another transaction without an id delays nobody and is left alone; so
-- are superusers, whoever may make roles, and other programs' logins.
-- Any user may call this, as often as it likes: the bounds are the administrator's, not the caller's, so that nobody
-- can end a transaction that keeps them. Returns one row for each session ended: whose it was, the transaction's age.
-- What the session had not committed is undone. The caller finds its fence passed as soon as the session is gone,
-- moments later: it waits on as before. The caller's own session is never ended.
CREATE OR REPLACE FUNCTION store.reap()
RETURNS TABLE (username text, age interval)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
DECLARE
    v_holder record;
BEGIN
    IF NOT pg_has_role('pg_signal_backend', 'USAGE') THEN
        RETURN;
    END IF;
    PERFORM pg_stat_clear_snapshot();
    -- In a loop: as a condition beside the others, the planner might end a session before it looks at its age.
    FOR v_holder IN
        SELECT a.pid, a.usename::text AS username, coalesce(clock_timestamp() - a.xact_start, '0') AS age
        FROM pg_stat_activity a
        JOIN pg_roles r ON r.oid = a.usesysid
        CROSS JOIN store.limits l
        WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
          AND NOT r.rolsuper AND NOT r.rolcreaterole
          -- Roles last, and only of whom it takes: to tell what one may do, PostgreSQL keeps all that it knows of that
          -- login in this session, its password's verifier too, which before release 18 may be as long as its user likes.
          AND CASE
              WHEN a.backend_xid IS NOT NULL
                   AND (clock_timestamp() - a.xact_start > l.longest_transaction
                        -- After an error, too, which a savepoint may have kept from ending the transaction.
                        OR starts_with(a.state, 'idle in transaction')
                           AND clock_timestamp() - a.state_change > l.idle_transaction)
              THEN pg_has_role(r.oid, 'store_user', 'USAGE')
              WHEN store.waits_for_what_is_not_its_own(a.pid, r.oid)
                   OR a.backend_xmin IS NOT NULL AND clock_timestamp() - a.xact_start > l.longest_snapshot
                      -- A statement that runs may have a snapshot of its own (READ COMMITTED).
                      AND (a.state <> 'active' OR clock_timestamp() - a.query_start > l.longest_snapshot
                           OR age(a.backend_xmin) > l.oldest_snapshot)
              THEN pg_has_role(r.oid, 'store_user', 'USAGE') AND NOT pg_has_role(r.oid, 'store_admin', 'USAGE')
              ELSE false END
    LOOP
        IF pg_terminate_backend(v_holder.pid) THEN
            username := v_holder.username;
            age := v_holder.age;
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
