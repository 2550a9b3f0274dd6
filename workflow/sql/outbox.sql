-- The store's outbox: the workflows that committed transitions start.

-- name: present
SELECT to_regprocedure('store.outbox_pending(integer, bigint)') IS NOT NULL

-- name: pending
SELECT entity_id::text, version, seq, type_name, from_state, to_state, username, created_at
FROM store.outbox_pending(%(limit)s, %(after)s)

-- name: done
SELECT store.outbox_done(%(entity)s::uuid, %(version)s)
