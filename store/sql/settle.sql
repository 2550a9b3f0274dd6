-- Brings heads up to date that a valid time has overtaken, the longest overdue first, so that queries need not fold their
-- logs each time: at most p_limit of those that the caller may change, and so may lock; an engine and an administrator
-- look after all. Heads that others have locked are left for another time.
-- For a second at most: until then, whoever would change one of them waits, however large the others' are. One that cannot be
-- brought up to date, of a time in which more could be written, does not stand in the way of those behind it: it is passed
-- over with others, by chance, so that any number of these leave a way to the rest.
CREATE OR REPLACE FUNCTION store.settle(p_limit integer)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp AS $$
DECLARE
    v_all boolean := store.is_admin() OR pg_has_role(session_user, 'store_engine', 'USAGE');
    v_principals text[] := store.principals();
    v_now timestamptz := clock_timestamp();
    v_from timestamptz := '-infinity';
    v_left integer := least(p_limit, 1000);
    v_stuck boolean := true;
    v_head record;
BEGIN
    IF current_setting('transaction_read_only')::boolean
       OR NOT EXISTS (SELECT FROM store.object_heads h WHERE h.due <= v_now AND h.due < 'infinity') THEN
        RETURN;
    END IF;
    WHILE v_stuck LOOP
        v_stuck := false;
        FOR v_head IN
            SELECT h.entity_id, h.due, greatest(v_now, h.last_tx_time) AS at FROM store.object_heads h
            WHERE h.due >= v_from AND h.due <= v_now AND h.due < 'infinity'
              AND (v_all OR h.owner = session_user OR h.writers && v_principals)
            ORDER BY h.due LIMIT v_left FOR UPDATE SKIP LOCKED
        LOOP
            BEGIN
                PERFORM store.refold_head(v_head.entity_id, v_head.at);
                v_left := v_left - 1;
            EXCEPTION WHEN check_violation OR program_limit_exceeded THEN
                v_stuck := true;
            END;
            IF clock_timestamp() > v_now + interval '1 second' THEN
                RETURN;
            ELSIF v_stuck THEN
                v_from := v_head.due + random() * (v_now - v_head.due);
                EXIT;
            END IF;
        END LOOP;
    END LOOP;
END
$$;
