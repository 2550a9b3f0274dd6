-- What one event may hold, besides its size. Readers take every row whole, and a colleague may share whatever he likes: the
-- deepest and longest of values must be such as any client can read.

-- At most 127 levels deep, and no number of 4301 digits, beyond which Python refuses to read it (1e9000 takes few bytes
-- here, but is written out for whoever reads it). A short text can be neither. Whether a long one may hold such a number
-- is asked of the text first: the exact question goes through every number.
CREATE FUNCTION store.is_readable(p_value jsonb)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN pg_column_size(p_value) < 1000 AND octet_length(p_value::text) <= 4300 THEN true
                WHEN jsonb_path_exists(p_value, '$.**{128}') THEN false
                WHEN strpos(translate(p_value::text, '123456789', '000000000'), repeat('0', 4301)) = 0 THEN true
                ELSE NOT jsonb_path_exists(p_value, '$.** ? (@.type() == "number" && (@ >= 1e4300 || @ <= -1e4300))')
           END
$$;

ALTER TABLE store.object_events
    ADD CONSTRAINT readable_values CHECK (store.is_readable(changes)),
    ADD CONSTRAINT short_names CHECK (octet_length(type_name) BETWEEN 1 AND 255 AND octet_length(state) <= 255);
