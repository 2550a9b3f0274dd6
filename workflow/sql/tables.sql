-- The engine's own tables, beside those of DBOS in the same schema. Only the engine's role reaches any of them.

-- The processes that run workflows. One is dead when its process is gone, as those beside it on its machine can see, or
-- when it has not shown itself for the length of a lease; beat_at is -infinity once it has left.
CREATE TABLE IF NOT EXISTS workflow.executors (
    executor_id     text             PRIMARY KEY,
    application     text             NOT NULL,
    version         text             NOT NULL,
    place           text             NOT NULL,             -- machine, boot and process namespace
    process         integer          NOT NULL,
    process_started double precision NOT NULL,
    script          text             NOT NULL,
    launched_at     timestamptz      NOT NULL DEFAULT clock_timestamp(),
    beat_at         timestamptz      NOT NULL DEFAULT clock_timestamp()
);

-- Why a workflow, or a row of the outbox, waits: the latest report of an engine that could not go on with it.
CREATE TABLE IF NOT EXISTS workflow.problems (
    subject     text        PRIMARY KEY,                  -- the workflow's id
    reason      text        NOT NULL,
    reported_by text        NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
