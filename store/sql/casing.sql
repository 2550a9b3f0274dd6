-- By which rules text changes case, whatever the database's locale: those of Unicode, which Python follows as well.
DO $$
DECLARE
    v_found text;
BEGIN
    IF to_regcollation('store.casing') IS NULL THEN
        -- Whole mappings, also of one letter to several, come first; then letter by letter; last, ASCII alone.
        SELECT c.collname INTO v_found FROM pg_collation c
        WHERE c.collnamespace = 'pg_catalog'::regnamespace
          AND c.collname IN ('pg_unicode_fast', 'und-x-icu', 'pg_c_utf8', 'C.utf8', 'C')
        ORDER BY array_position(ARRAY['pg_unicode_fast', 'und-x-icu', 'pg_c_utf8', 'C.utf8', 'C'], c.collname::text)
        LIMIT 1;
        EXECUTE format('CREATE COLLATION store.casing FROM pg_catalog.%I', v_found);
    END IF;
END
$$;
