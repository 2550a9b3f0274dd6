-- Whether a stored value is of a published type and keeps its column's rules: what the client's Python checks before it
-- sends, with the same verdict. A value must have the very form that the client would send: text order is time order,
-- and equal values have equal text, only where nobody writes them otherwise. No literal in a function has a backslash: what
-- that means is for each session to set (standard_conforming_strings).

-- A finite IEEE double, written in the shortest way that reads back as itself. Python takes a boundary between two
-- doubles for the shortest, PostgreSQL does not: then the one with fewer digits is meant. Whoever calls this has
-- extra_float_digits set, or a session that has it otherwise writes doubles with fewer digits than they have.
CREATE OR REPLACE FUNCTION store.is_double(p numeric)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p = 0 THEN true
                WHEN abs(p) > 1.797693134862315807e308 OR abs(p) < 2.4703282292062328e-324 THEN false
                WHEN p::float8::text::numeric = p THEN true
                ELSE length(rtrim(ltrim(replace(abs(p)::text, '.', ''), '0'), '0'))
                     < length(rtrim(ltrim(replace(p::float8::text::numeric::text, '.', ''), '-0'), '0')) END
$$;

CREATE OR REPLACE FUNCTION store.is_decimal(p text)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p ~ '^(0|-?(0[.][0-9]*[1-9]|[1-9][0-9]*([.][0-9]*[1-9])?))$'
           AND length(split_part(ltrim(p, '-'), '.', 1)) <= 131072 AND length(split_part(p, '.', 2)) <= 16383
$$;

CREATE OR REPLACE FUNCTION store.is_date(p text)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p !~ '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$' OR left(p, 4) = '0000' THEN false
                WHEN substr(p, 6) = '02-29'
                THEN left(p, 4)::integer % 4 = 0
                     AND (left(p, 4)::integer % 100 <> 0 OR left(p, 4)::integer % 400 = 0)
                WHEN substr(p, 6, 2) = '02' THEN right(p, 2) <= '28'
                ELSE right(p, 2) <= '30' OR substr(p, 6, 2) NOT IN ('04', '06', '09', '11') END
$$;

-- With the offset from UTC that the time may have, in its shortest form.
CREATE OR REPLACE FUNCTION store.is_time(p text)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p ~ '^([01][0-9]|2[0-3])(:[0-5][0-9]){2}[.][0-9]{6}([+-]([01][0-9]|2[0-3])(:[0-5][0-9]){1,2}([.][0-9]{6})?)?$'
           AND p !~ '(-00:00|[+-]..:..:00|[+-]..:..[.][0-9]{6}|[+-]..:..:..[.]000000)$'
$$;

CREATE OR REPLACE FUNCTION store.is_datetime(p text)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p ~ '^.{10}T([01][0-9]|2[0-3])(:[0-5][0-9]){2}[.][0-9]{6}[+]00:00$' AND store.is_date(left(p, 10))
$$;

-- A text of a kind that is written as one. Not one expression with what calls it, like the others: PostgreSQL prepares
-- all of such an expression for each statement, whichever kinds there are in it.
CREATE OR REPLACE FUNCTION store.is_written(p text, p_kind text)
RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE p_kind
        WHEN 'decimal' THEN store.is_decimal(p)
        WHEN 'date' THEN store.is_date(p)
        WHEN 'date-time' THEN store.is_datetime(p)
        WHEN 'time' THEN store.is_time(p)
        WHEN 'uuid' THEN p ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
        ELSE false END;
END
$$;

-- A scalar of a kind. `boolean`, `string`, `integer` and `number` are JSON's own; the others are texts.
CREATE OR REPLACE FUNCTION store.is_scalar(v jsonb, p_kind text)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE jsonb_typeof(v)
        WHEN 'string' THEN p_kind = 'string' OR store.is_written(v #>> '{}', p_kind)
        WHEN 'number' THEN CASE p_kind
            WHEN 'number' THEN store.is_double(v::numeric)
            WHEN 'integer' THEN scale(v::numeric) = 0 AND abs(v::numeric) < 1e4300
            ELSE false END
        WHEN 'boolean' THEN p_kind = 'boolean'
        ELSE false END
$$;

-- A value of a list, a dict, a record or an Enum inside one, by its JSON Schema: the keywords that the client writes.
CREATE OR REPLACE FUNCTION store.is_shaped(v jsonb, p_shape jsonb)
RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF p_shape ? 'anyOf' THEN  -- [the schema, null]
        RETURN v = 'null' OR store.is_shaped(v, p_shape->'anyOf'->0);
    ELSIF p_shape ? 'enum' AND NOT p_shape->'enum' @> v THEN
        RETURN false;
    END IF;
    CASE p_shape->>'type'
        WHEN 'array' THEN
            RETURN CASE
                WHEN jsonb_typeof(v) <> 'array' THEN false
                WHEN p_shape ? 'prefixItems'
                THEN jsonb_array_length(v) = jsonb_array_length(p_shape->'prefixItems')
                     AND NOT EXISTS (SELECT FROM ROWS FROM (jsonb_array_elements(v),
                                                            jsonb_array_elements(p_shape->'prefixItems')) AS e (item, shape)
                                     WHERE NOT store.is_shaped(e.item, e.shape))
                ELSE NOT EXISTS (SELECT FROM jsonb_array_elements(v) e WHERE NOT store.is_shaped(e, p_shape->'items'))
            END;
        WHEN 'object' THEN
            RETURN CASE
                WHEN jsonb_typeof(v) <> 'object' THEN false
                WHEN p_shape ? 'properties'
                THEN NOT EXISTS (SELECT FROM jsonb_array_elements_text(p_shape->'required') r WHERE NOT v ? r)
                     AND NOT EXISTS (SELECT FROM jsonb_each(v) e
                                     WHERE NOT p_shape->'properties' ? e.key
                                        OR NOT store.is_shaped(e.value, p_shape->'properties'->e.key))
                WHEN p_shape ? 'additionalProperties'
                THEN NOT EXISTS (SELECT FROM jsonb_each(v) e
                                 WHERE NOT store.is_shaped(e.value, p_shape->'additionalProperties')
                                    OR NOT store.is_shaped(to_jsonb(e.key), p_shape->'propertyNames'))
                ELSE true  -- a record inside itself: beyond the first level, the client alone looks
            END;
        ELSE
            IF p_shape ? 'type' THEN
                RETURN store.is_scalar(v, coalesce(p_shape->>'format', p_shape->>'type'));
            ELSIF p_shape ? 'pattern' THEN  -- the keys of a dict whose keys are whole numbers
                RETURN v #>> '{}' ~ (p_shape->>'pattern') AND length(v #>> '{}') <= 4300;
            END IF;
            RETURN NOT EXISTS (  -- any JSON; its numbers must be such that Python can read them
                SELECT FROM jsonb_path_query(v, '$.** ? (@.type() == "number")') n
                WHERE NOT store.is_scalar(n, 'integer') AND NOT store.is_scalar(n, 'number'));
    END CASE;
END
$$;

-- ISO 6166: letters count as 10 to 35, then Luhn's sum.
CREATE OR REPLACE FUNCTION store.is_isin(p text)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p ~ '^[A-Z]{2}[A-Z0-9]{9}[0-9]$' AND (
        WITH digits AS (
            SELECT string_agg(CASE WHEN c >= 'A' COLLATE "C" THEN (ascii(c) - 55)::text ELSE c END, '' ORDER BY n) AS d
            FROM regexp_split_to_table(p, '') WITH ORDINALITY AS r (c, n)
        ), doubled AS (
            SELECT d.c::integer * (1 + (length(digits.d) - d.n) % 2) AS v
            FROM digits, regexp_split_to_table(digits.d, '') WITH ORDINALITY AS d (c, n)
        )
        SELECT sum(v / 10 + v % 10) % 10 = 0 FROM doubled)
$$;

-- Whether a value that is there can be read as the field's type.
CREATE OR REPLACE FUNCTION store.is_of_type(v jsonb, f store.published_fields)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN v = 'null' THEN (f).nullable
                WHEN (f).shape IS NOT NULL THEN store.is_shaped(v, (f).shape)
                ELSE store.is_scalar(v, (f).kind) AND ((f).members IS NULL OR (f).members @> v) END
$$;

-- The first rule of its column that a value of the field's type breaks, null where it keeps all. Most columns have few
-- rules: asking first whether there is one saves taking the value apart.
CREATE OR REPLACE FUNCTION store.broken_rule(v jsonb, f store.published_fields)
RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN v = 'null' THEN NULL
                WHEN (f).enum IS NOT NULL AND NOT (f).enum @> v THEN 'enum'
                WHEN (f).low IS NOT NULL AND (v #>> '{}')::numeric < (f).low THEN 'min_value'
                WHEN (f).high IS NOT NULL AND (v #>> '{}')::numeric > (f).high THEN 'max_value'
                WHEN (f).first IS NOT NULL AND (v #>> '{}') COLLATE "C" < (f).first THEN 'min_value'
                WHEN (f).last IS NOT NULL AND (v #>> '{}') COLLATE "C" > (f).last THEN 'max_value'
                WHEN (f).max_length IS NOT NULL AND length(v #>> '{}') > (f).max_length THEN 'max_length'
                WHEN (f).pattern IS NOT NULL AND (v #>> '{}') COLLATE "C" !~ (f).pattern THEN 'pattern'
                WHEN (f).check_name IS NOT NULL AND NOT store.is_isin(v #>> '{}') THEN 'check' END
$$;
