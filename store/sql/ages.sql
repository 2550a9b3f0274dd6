-- How long a user may read from one snapshot. What was changed or deleted meanwhile cannot be cleared away, so that objects
-- which change are found ever more slowly; and transaction ids, of which there are two thousand million, run out.
ALTER TABLE store.limits
    ADD COLUMN longest_snapshot interval NOT NULL DEFAULT '1 hour' CHECK (longest_snapshot > '0'),
    -- By as many transactions is a snapshot certainly old, though its session never rests.
    ADD COLUMN oldest_snapshot  bigint   NOT NULL DEFAULT 1000000  CHECK (oldest_snapshot > 0);
