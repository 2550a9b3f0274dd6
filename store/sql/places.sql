-- What makes the log one stream for each user: grants and memberships have their places among the events, so that an
-- entity comes into view, with its history, at one point of the stream.

-- From the same sequence as an event's seq. Null: granted when the entity was made, or before there were places.
ALTER TABLE store.share_events ADD COLUMN place bigint;
CREATE INDEX share_events_by_place ON store.share_events (principal, place)
    WHERE place IS NOT NULL AND action = 'SHARED';
ALTER TABLE store.group_members ADD COLUMN place bigint;

-- A checkpoint says: everything up to seq, and of the history that comes into view at the next place, the events up to
-- `backfilled`. Each listener that takes the checkpoint over begins a new term; only that of the last may move it.
ALTER TABLE store.checkpoints ADD COLUMN backfilled bigint NOT NULL DEFAULT 0;
ALTER TABLE store.checkpoints ADD COLUMN term integer NOT NULL DEFAULT 1;

-- Everybody who may read an object holds it in memory to do so. PostgreSQL measures its own form of the JSON, before
-- compression.
ALTER TABLE store.object_heads ADD CONSTRAINT object_size CHECK (pg_column_size(data) <= 4194304);
ALTER TABLE store.object_events ADD CONSTRAINT object_size CHECK (pg_column_size(changes) <= 4194304);
