-- Brings heads up to date that a valid time has overtaken, the longest overdue first, so that queries need not fold their
-- logs each time: at most p_limit of those that the caller may change, and so may lock; an engine and an administrator
-- look after all. Heads that others have locked are left for another time.
CREATE OR REPLACE FUNCTION store.settle(p_limit integer)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
DECLARE
    v_all boolean := store.is_admin() OR pg_has_role(session_user, 'store_engine', 'USAGE');
    v_principals text[] := store.principals();
    v_now timestamptz := clock_timestamp();
    v_head record;
BEGIN
    IF current_setting('transaction_read_only')::boolean
       OR NOT EXISTS (SELECT FROM store.object_heads h WHERE h.due <= v_now AND h.due < 'infinity') THEN
        RETURN;
    END IF;
    FOR v_head IN
        SELECT h.entity_id, greatest(v_now, h.last_tx_time) AS at FROM store.object_heads h
        WHERE h.due <= v_now AND h.due < 'infinity'
          AND (v_all OR h.owner = session_user OR h.writers && v_principals)
        ORDER BY h.due LIMIT least(p_limit, 1000) FOR UPDATE SKIP LOCKED
    LOOP
        PERFORM store.refold_head(v_head.entity_id, v_head.at);
    END LOOP;
END
$$;
