-- What an entity's fields come to at most, each at its largest; more than an object may hold where that was not counted.
-- Whoever reads the past or the future of an entity meets values side by side that never stood so when they were written.
ALTER TABLE store.object_heads ADD COLUMN fields_size bigint NOT NULL DEFAULT 4194305;
ALTER TABLE store.object_heads ALTER COLUMN fields_size SET STATISTICS 0;
-- Its result has one more column now, which PostgreSQL lets no replacement have.
DROP FUNCTION IF EXISTS store.advanced(
    store.object_heads, text, jsonb, text, timestamptz, timestamptz, timestamptz, text);
