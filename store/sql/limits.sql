-- What an administrator allows; one row.
CREATE TABLE store.limits (
    only_row            boolean  PRIMARY KEY DEFAULT true CHECK (only_row),
    idle_transaction    interval NOT NULL DEFAULT '30 s'  CHECK (idle_transaction > '0'),
    longest_transaction interval NOT NULL DEFAULT '5 min' CHECK (longest_transaction > '0')
);
INSERT INTO store.limits DEFAULT VALUES;
