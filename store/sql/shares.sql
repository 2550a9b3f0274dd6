-- Whether a user had access at some place is found without going through the grants of others.
DROP INDEX store.share_events_by_entity;
CREATE INDEX share_events_by_entity ON store.share_events (entity_id, principal, access, seq);
