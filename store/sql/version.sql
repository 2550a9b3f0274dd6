-- What stands in this database: a row for each time that it was set up or brought up to date.
CREATE TABLE IF NOT EXISTS store.schema_version (
    version    integer     NOT NULL,
    digest     text        NOT NULL,                      -- of the scripts
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Whether all that concerns the whole server and database could be done; until it is, each setup tries again.
ALTER TABLE store.schema_version ADD COLUMN IF NOT EXISTS complete boolean NOT NULL DEFAULT false;
