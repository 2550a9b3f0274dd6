-- What the fold of a long-lived entity can start from, in place of its first event. Derived, like the heads.
--
-- `folded` is State(tx_time, tx_time) with the state in it. No event up to `version` begins or ends in
-- (tx_time, due), so that it is what those events come to at every valid time in [tx_time, due).
CREATE TABLE store.snapshots (
    entity_id uuid        NOT NULL,
    version   integer     NOT NULL,
    tx_time   timestamptz NOT NULL,
    due       timestamptz NOT NULL,
    applied   integer     NOT NULL,                       -- version of the last event that applies there
    folded    jsonb       NOT NULL,
    PRIMARY KEY (entity_id, tx_time)
);
