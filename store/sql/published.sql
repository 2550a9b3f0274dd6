-- What administrators have published: which fields the objects of a type have, and which way their states go.

-- Every publication of a type, as the client compiled it from the class; document is null where the type was retired.
CREATE TABLE store.publications (
    type_name    text        NOT NULL,
    revision     integer     NOT NULL CHECK (revision > 0),
    document     jsonb,
    published_by text        NOT NULL,
    published_at timestamptz NOT NULL,
    PRIMARY KEY (type_name, revision)
);

-- The newest one of each type, in the form in which every write is checked against it.
CREATE TABLE store.published_types (
    type_name text    PRIMARY KEY,
    revision  integer NOT NULL,
    retired   boolean NOT NULL,
    fields    text[]  NOT NULL,
    machine   text,
    initial   text,
    CHECK ((machine IS NULL) = (initial IS NULL))
);
CREATE TABLE store.published_fields (
    type_name  text    NOT NULL REFERENCES store.published_types ON DELETE CASCADE,
    field      text    NOT NULL,
    kind       text    NOT NULL,
    nullable   boolean NOT NULL,
    required   boolean NOT NULL,                          -- has no default, so that no object may lack it
    members    jsonb,                                     -- the values of an Enum: others cannot be read
    shape      jsonb,                                     -- JSON Schema of what is no scalar
    enum       jsonb,                                     -- from here on: the constraints of the column
    low        numeric,
    high       numeric,
    first      text,                                      -- the bounds of what is compared as text
    last       text,
    max_length integer,
    pattern    text,
    check_name text,
    PRIMARY KEY (type_name, field)
);
CREATE TABLE store.published_edges (
    type_name  text    NOT NULL REFERENCES store.published_types ON DELETE CASCADE,
    from_state text    NOT NULL,
    to_state   text    NOT NULL,
    allowed_by text[]  CHECK (cardinality(allowed_by) > 0 AND '' <> ALL (allowed_by)),
    workflow   boolean NOT NULL,
    PRIMARY KEY (type_name, from_state, to_state)
);

-- One row: whether types that are not published are refused.
CREATE TABLE store.governance (
    governed boolean NOT NULL,
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
INSERT INTO store.governance VALUES (false);

ALTER TABLE store.admin_events DROP CONSTRAINT admin_events_action_check;
ALTER TABLE store.admin_events ADD CONSTRAINT admin_events_action_check
    CHECK (action IN ('USER_ADDED', 'USER_CHANGED', 'USER_DISABLED', 'USER_ENABLED', 'GROUP_CREATED', 'GROUP_DROPPED',
                      'MEMBER_ADDED', 'MEMBER_REMOVED', 'TYPE_PUBLISHED', 'TYPE_RETIRED', 'GOVERNED', 'UNGOVERNED'));
