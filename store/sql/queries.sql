-- The statements that the client sends, each prepared once a connection.

-- name: create_objects
SELECT entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data::text,
       logged_type, logged_tx_time, logged_valid_from, replayed
FROM store.create_objects($1::jsonb, $2::text[], $3::text[], $4::boolean, $5::text)

-- name: append_events
SELECT entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data::text,
       logged_type, logged_tx_time, logged_valid_from, replayed
FROM store.append_events($1::jsonb, $2::boolean, $3::text)

-- name: read_head
SELECT h.entity_id::text, h.version, h.owner, h.updated_by, h.tx_time, h.valid_from, nullif(h.valid_to, 'infinity'),
       h.state, h.event_type, h.data::text, h.type_name, h.present,
       h.due <= greatest(clock_timestamp(), h.last_tx_time) AS due
FROM store.object_heads h WHERE h.entity_id = $1::uuid

-- name: read_as_of
SELECT $1::uuid::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data::text, type_name
FROM store.object_as_of($1::uuid, $2::timestamptz, $3::timestamptz)

-- name: read_history
SELECT $1::uuid::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data::text, type_name
FROM store.object_history($1::uuid)

-- name: read_audit
SELECT version, event_type, updated_by, tx_time, valid_from, valid_to, state, changes::text, old::text, meta::text, type_name
FROM store.object_audit($1::uuid)

-- name: list_types
SELECT DISTINCT type_name FROM store.object_heads ORDER BY type_name

-- name: stable_time
SELECT store.stable_time()

-- name: watermark
SELECT seq, fence::text FROM store.watermark($1::bigint)

-- name: fence_passed
SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::xid8

-- name: read_log
SELECT seq, entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, type_name,
       changes::text, data::text
FROM store.read_log($1::bigint, $2::bigint, $3::text[], $4::integer, $5::boolean)

-- name: read_checkpoint
SELECT seq FROM store.checkpoints WHERE username = session_user AND subscriber_id = $1::text

-- name: save_checkpoint
SELECT store.save_checkpoint($1::text, $2::bigint)

-- name: log_lag
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(tx_time)), 0)::float
FROM store.object_events WHERE seq > $1::bigint AND ($2::text[] IS NULL OR type_name = ANY ($2::text[]))

-- name: lacking_fields
SELECT store.lacking_fields($1::text, $2::text[])

-- name: share
SELECT store.share($1::uuid, $2::text, $3::text)

-- name: unshare
SELECT store.unshare($1::uuid, $2::text, $3::text[])

-- name: grants_of
SELECT principal, access, grantor FROM store.grants_of($1::uuid)

-- name: type_counts
SELECT h.type_name, count(*) FILTER (WHERE h.present), sum(h.version)::bigint
FROM store.object_heads h GROUP BY h.type_name ORDER BY h.type_name

-- name: heads_of_type
SELECT h.entity_id::text, h.version, h.state, h.owner, h.tx_time, h.data
FROM store.object_heads h WHERE h.type_name = $1::text AND h.present ORDER BY h.entity_id LIMIT $2::integer

-- name: figures
SELECT figure, value FROM (
    SELECT 1, 'entities', count(*) FILTER (WHERE present) FROM store.object_heads
    UNION ALL SELECT 2, 'entities not there now', count(*) FILTER (WHERE NOT present) FROM store.object_heads
    UNION ALL SELECT 3, 'events', count(*) FROM store.object_events
    UNION ALL SELECT 4, 'scheduled changes ahead', count(*) FROM store.object_heads
              WHERE due < 'infinity' AND due > clock_timestamp()
    UNION ALL SELECT 5, 'heads overtaken by a valid time', count(*) FROM store.object_heads
              WHERE due < 'infinity' AND due <= clock_timestamp()
    UNION ALL SELECT 6, 'bytes of the log', pg_total_relation_size('store.object_events')
    UNION ALL SELECT 7, 'bytes of the projection', pg_total_relation_size('store.object_heads')
) AS f (place, figure, value) ORDER BY place

-- name: first_matches
SELECT entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data::text
FROM store.first_matches($1::text, $2::jsonb, $3::text, $4::uuid, $5::integer)
