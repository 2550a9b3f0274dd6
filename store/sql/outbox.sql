-- Workflows to start: one row for each state change over an edge that starts one, written with the event itself, gone
-- once the workflow is started. The class's own machine names the target; the caller never does.
CREATE TABLE store.workflow_outbox (
    entity_id  uuid        NOT NULL,
    version    integer     NOT NULL,                      -- of the STATE_CHANGE event
    seq        bigint      NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,
    type_name  text        NOT NULL,
    from_state text        NOT NULL,
    to_state   text        NOT NULL,
    username   text        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (entity_id, version)
);
