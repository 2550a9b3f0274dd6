-- For stable_time() where it may not see other sessions: a time read before a transaction id was handed out, and the
-- newest such time that has proved stable.
CREATE TABLE store.stability (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    fence    xid8        NOT NULL,
    at       timestamptz NOT NULL,
    proven   timestamptz NOT NULL
);
INSERT INTO store.stability (fence, at, proven)
VALUES (pg_current_xact_id(), '0001-01-01 00:00+00', '0001-01-01 00:00+00');
