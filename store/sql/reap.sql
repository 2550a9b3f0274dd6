-- Ends the sessions that hold others up: those of the store's users, in any database of the cluster,
--   whose transaction has a transaction id (it has changed something, or asked for one), by which it holds up every
--   reader of the log, and
--     has been open for longer than store.limits.longest_transaction, or
--     has been idle inside the transaction for longer than store.limits.idle_transaction; or
--   that wait to have a table, or a database, for themselves: users have no right to, and others come to wait behind them.
-- Another transaction without an id delays nobody and is left alone; so are superusers, and other programs' logins.
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
          AND NOT r.rolsuper AND pg_has_role(r.oid, 'store_user', 'USAGE')
          AND (a.backend_xid IS NOT NULL
               AND (clock_timestamp() - a.xact_start > l.longest_transaction
                    OR a.state = 'idle in transaction' AND clock_timestamp() - a.state_change > l.idle_transaction)
               OR NOT pg_has_role(r.oid, 'store_admin', 'USAGE')
                  AND EXISTS (SELECT FROM pg_locks w
                              WHERE w.pid = a.pid AND NOT w.granted AND w.locktype IN ('relation', 'object')
                                AND w.objid IS DISTINCT FROM 0  -- for which all that notify wait
                                AND w.mode IN ('ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')))
    LOOP
        IF pg_terminate_backend(v_holder.pid) THEN
            username := v_holder.username;
            age := v_holder.age;
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
