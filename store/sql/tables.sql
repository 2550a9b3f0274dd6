-- The log, the projection of it that `read` and `query` use, and their satellites.
-- Everything belongs to store_owner; users reach it through row security and functions only.
-- Text is compared and indexed by code point, whatever the database's locale: locales change with the system's library,
-- and an index in an order that has changed finds no longer what is in it.

CREATE SEQUENCE store.event_seq CACHE 1;
CREATE SEQUENCE store.share_seq CACHE 1;

CREATE TABLE store.object_events (
    seq        bigint      NOT NULL UNIQUE,
    entity_id  uuid        NOT NULL,
    version    integer     NOT NULL CHECK (version > 0),
    type_name  text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL
               CHECK (event_type IN ('CREATED', 'UPDATED', 'DELETED', 'STATE_CHANGE', 'CORRECTED')),
    tx_time    timestamptz NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz NOT NULL,
    state      text COLLATE "C",
    updated_by text COLLATE "C" NOT NULL,
    changes    jsonb       NOT NULL CHECK (jsonb_typeof(changes) = 'object' AND NOT changes ? 'state'),
    meta       jsonb,
    PRIMARY KEY (entity_id, version),
    CONSTRAINT valid_range CHECK (valid_from < valid_to),
    -- One event at a time that Python's datetime lacks would break every query that meets it.
    CONSTRAINT valid_years CHECK (valid_from >= '0001-01-01 00:00+00' AND valid_from < '10000-01-01 00:00+00'
                                  AND (valid_to < '10000-01-01 00:00+00' OR valid_to = 'infinity'))
);

-- Times of recording grow with the log: a few bytes a megabyte find a stretch of the past.
CREATE INDEX object_events_by_time ON store.object_events USING brin (tx_time) WITH (pages_per_range = 32);

-- One row an entity: State(everything committed, folded_at) and what the write path needs to know.
CREATE TABLE store.object_heads (
    entity_id    uuid           PRIMARY KEY,
    type_name    text COLLATE "C" NOT NULL,
    owner        text COLLATE "C" NOT NULL,
    readers      text[] COLLATE "C" NOT NULL DEFAULT '{}',
    writers      text[] COLLATE "C" NOT NULL DEFAULT '{}',
    -- Everyone who may read. '' stands for those who read all: no role can have that name.
    acl          text[] COLLATE "C" NOT NULL
                 GENERATED ALWAYS AS (array_append(readers || writers, owner) || ''::text) STORED,
    version      integer        NOT NULL,
    last_tx_time timestamptz    NOT NULL,
    state_since  timestamptz    NOT NULL,                 -- valid_from of the latest state change
    deleted      tstzmultirange NOT NULL DEFAULT '{}',    -- ranges in which the entity is gone for good
    folded_at    timestamptz    NOT NULL,
    due          timestamptz    NOT NULL,                 -- the next valid time at which the state below changes
    present      boolean        NOT NULL,
    event_type   text COLLATE "C" NOT NULL,                 -- from here on: of the last event applied
    tx_time      timestamptz    NOT NULL,
    valid_from   timestamptz    NOT NULL,
    valid_to     timestamptz    NOT NULL,
    updated_by   text COLLATE "C" NOT NULL,
    state        text COLLATE "C",
    data         jsonb          NOT NULL
) WITH (fillfactor = 85);

CREATE INDEX object_heads_by_type ON store.object_heads (type_name, entity_id);
CREATE INDEX object_heads_due ON store.object_heads (due) WHERE due < 'infinity';
-- Who may read and what the fields are, in one index: a filter finds only what its caller may see.
CREATE INDEX object_heads_data ON store.object_heads USING gin (acl, data jsonb_path_ops)
    WITH (gin_pending_list_limit = 512);

-- EXPLAIN shows estimates made from every row's values, also of rows that its caller may not see: statistics are kept of
-- what the planner cannot do without only. How many entities of a type there are can be learnt, not what is in them.
DO $$
DECLARE
    v record;
BEGIN
    FOR v IN
        SELECT a.attrelid::regclass AS relation, a.attname AS name FROM pg_attribute a
        WHERE a.attrelid IN ('store.object_events'::regclass, 'store.object_heads'::regclass) AND a.attnum > 0
          AND a.attname NOT IN ('type_name', 'due', 'present', 'seq')
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', v.relation, v.name);
    END LOOP;
END
$$;

CREATE TABLE store.share_events (
    seq       bigint      NOT NULL PRIMARY KEY,
    entity_id uuid        NOT NULL,
    version   integer     NOT NULL,                       -- the entity's version at the time
    tx_time   timestamptz NOT NULL,
    action    text COLLATE "C" NOT NULL CHECK (action IN ('SHARED', 'UNSHARED')),
    access    text COLLATE "C" NOT NULL CHECK (access IN ('READ', 'WRITE')),
    principal text COLLATE "C" NOT NULL,
    grantor   text COLLATE "C" NOT NULL
);
CREATE INDEX share_events_by_entity ON store.share_events (entity_id, seq);

-- The sets of fields with which an owner's entities of a type were created: which may lack a field that came later?
-- Not unique: a second writer of a new set must not wait for the first one's transaction.
CREATE TABLE store.type_shapes (
    type_name text COLLATE "C" NOT NULL,
    owner     text COLLATE "C" NOT NULL,
    fields    text[] COLLATE "C" NOT NULL
);
CREATE INDEX type_shapes_by_type ON store.type_shapes (type_name, owner);

CREATE TABLE store.groups (
    group_name text COLLATE "C" PRIMARY KEY
);
CREATE TABLE store.group_members (
    group_name text COLLATE "C" NOT NULL REFERENCES store.groups ON DELETE CASCADE,
    member     text COLLATE "C" NOT NULL,
    PRIMARY KEY (member, group_name)
);

-- The one tx_time of a transaction that makes several calls; rows of finished transactions are swept.
CREATE TABLE store.transaction_clocks (
    xid     xid8        PRIMARY KEY,
    tx_time timestamptz NOT NULL
);

CREATE TABLE store.idempotency_keys (
    username   text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL CHECK (length(key) BETWEEN 1 AND 512),
    request    bytea       NOT NULL,
    entity_ids uuid[]      NOT NULL DEFAULT '{}',
    versions   integer[]   NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (username, key)
);

CREATE TABLE store.checkpoints (
    username      text COLLATE "C" NOT NULL,
    subscriber_id text COLLATE "C" NOT NULL CHECK (length(subscriber_id) BETWEEN 1 AND 512),
    seq           bigint      NOT NULL,
    updated_at    timestamptz NOT NULL,
    PRIMARY KEY (username, subscriber_id)
);

-- The shape in which every function hands out an object: data is null where the caller has it already.
CREATE TYPE store.object_state AS (
    entity_id  uuid,
    version    integer,
    owner      text,
    updated_by text,
    tx_time    timestamptz,
    valid_from timestamptz,
    valid_to   timestamptz,
    state      text,
    event_type text,
    data       jsonb
);

-- What a mutation hands back: the object as a read returns it afterwards, and the event that was logged.
CREATE TYPE store.change AS (
    entity_id         uuid,
    version           integer,
    owner             text,
    updated_by        text,
    tx_time           timestamptz,
    valid_from        timestamptz,
    valid_to          timestamptz,
    state             text,
    event_type        text,
    data              jsonb,
    logged_type       text,
    logged_tx_time    timestamptz,
    logged_valid_from timestamptz,
    replayed          boolean      -- by an earlier call with the same idempotency key
);
