-- Drops the functions that the scripts define: one whose result is of another shape than before cannot be replaced. The
-- policies and triggers that call them go with them, and are made anew as they are. What tables are built on stays.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT p.oid FROM pg_proc p
        WHERE p.pronamespace = 'store'::regnamespace
          AND NOT EXISTS (SELECT FROM pg_depend d
                          WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
                            AND d.classid IN ('pg_constraint'::regclass, 'pg_attrdef'::regclass, 'pg_class'::regclass))
    LOOP
        EXECUTE format('DROP FUNCTION IF EXISTS %s CASCADE', v_function);
    END LOOP;
END
$$;
