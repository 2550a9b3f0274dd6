-- What an engine can start is found by its edge, past all that it cannot.
CREATE INDEX workflow_outbox_by_edge ON store.workflow_outbox (type_name, from_state, to_state, seq);
