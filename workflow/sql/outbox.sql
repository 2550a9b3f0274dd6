-- What an engine does in the store: it starts the workflows of committed transitions, and settles what fell due.

-- name: present
SELECT to_regprocedure('store.outbox_pending(integer, bigint)') IS NOT NULL

-- name: pending
SELECT entity_id::text, version, seq, type_name, from_state, to_state, username, created_at
FROM store.outbox_pending(%(limit)s, %(after)s)

-- name: startable
SELECT entity_id::text, version, seq, type_name, from_state, to_state, username, created_at
FROM store.outbox_startable(%(types)s, %(before)s, %(behind)s, %(limit)s, %(after)s)

-- name: done
SELECT store.outbox_done(%(entity)s::uuid, %(version)s)

-- name: settles
SELECT to_regprocedure('store.settle(integer)') IS NOT NULL

-- name: settle
SELECT store.settle(%(heads)s)
