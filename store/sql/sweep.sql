-- Drops the functions that an earlier version left: those older than this transaction, which has defined all that are
-- wanted. Policies and triggers that call them go with them; what tables and views are built on stays.
DO $$
DECLARE
    v_function text;
BEGIN
    FOREACH v_function IN ARRAY ARRAY(  -- by name, all at once: some go with others
        SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = 'store'::regnamespace AND p.proowner = 'store_owner'::regrole
          AND age(p.xmin) > age(pg_current_xact_id()::xid)
          AND NOT EXISTS (SELECT FROM pg_depend d
                          WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
                            AND d.classid NOT IN ('pg_proc'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass)))
    LOOP
        EXECUTE format('DROP ROUTINE IF EXISTS %s CASCADE', v_function);
    END LOOP;
END
$$;
