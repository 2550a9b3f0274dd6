-- The statements that the client sends, each prepared once a connection.

-- name: create_object
SELECT entity_id::text, owner, tx_time FROM store.create_object($1::jsonb, $2::boolean)

-- name: create_objects
SELECT entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data::text,
       logged_type, logged_tx_time, logged_valid_from, replayed
FROM store.create_objects($1::jsonb, $2::text[], $3::text[], $4::boolean, $5::text)

-- name: create_batch
SELECT array_to_string(entity_ids, ','), owner, tx_time
FROM store.create_batch($1::jsonb, $2::text[], $3::text[], $4::boolean, $5::text)

-- name: append_events
SELECT entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data::text,
       logged_type, logged_tx_time, logged_valid_from, replayed
FROM store.append_events($1::jsonb, $2::boolean, $3::text)

-- name: append_batch
SELECT place, entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data,
       logged_type, logged_tx_time, logged_valid_from
FROM store.append_batch($1::jsonb, $2::boolean, $3::text, $4::boolean)

-- name: lock_batch
SELECT store.lock_batch($1::text[]::uuid[])

-- name: replay
SELECT entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data::text,
       logged_type, logged_tx_time, logged_valid_from, replayed
FROM store.replay($1::text)

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
SELECT seq, fence::text, passed FROM store.watermark($1::bigint)

-- name: fence_passed
SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::xid8

-- name: held_back_by
SELECT username, process, seconds FROM store.held_back_by()

-- name: read_stream
SELECT seq, backfill, entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type,
       type_name, changes, data, due
FROM store.read_stream($1::bigint, $2::bigint, $3::bigint, $4::text[], $5::integer, $6::boolean)

-- name: read_log
SELECT seq, entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, type_name,
       changes, data, due
FROM store.read_log($1::bigint, $2::bigint, $3::text[], $4::integer, $5::boolean)

-- name: objects_now
SELECT entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data::text, due
FROM store.objects_now($1::text, $2::text[]::uuid[])

-- name: readable
SELECT entity_id::text FROM store.object_heads WHERE entity_id = ANY ($1::text[]::uuid[])

-- name: reads_all
SELECT '' = ANY (store.principals())

-- name: stretch
SELECT after_seq, upto_seq FROM store.stretch($1::timestamptz, $2::timestamptz)

-- name: changes_ahead
SELECT entity_id::text, moment FROM store.changes_ahead($1::text, $2::timestamptz)

-- name: objects_at
SELECT entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data::text
FROM store.objects_at($1::text, $2::text[]::uuid[], $3::timestamptz)

-- name: all_objects_at
SELECT entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data::text
FROM store.objects_as_of($1::text, $2::timestamptz, $2::timestamptz)

-- name: save_checkpoint
SELECT store.save_checkpoint($1::text, $2::bigint)

-- name: reap
SELECT username, age FROM store.reap()

-- name: log_lag
SELECT events, seconds FROM store.log_lag($1::bigint, $2::bigint, $3::text[])

-- name: has_checkpoint
SELECT EXISTS (SELECT FROM store.checkpoints WHERE username = session_user AND subscriber_id = $1::text)

-- name: claim_checkpoint
SELECT seq, backfilled, term FROM store.claim_checkpoint($1::text, $2::bigint)

-- name: move_checkpoint
SELECT store.move_checkpoint($1::text, $2::integer, $3::bigint, $4::bigint)

-- name: lacking_fields
SELECT store.lacking_fields($1::text, $2::text[])

-- name: publication
SELECT revision, document::text, earlier::text FROM store.publication($1::text)

-- name: published
SELECT type_name, revision, retired, fields, machine, published_by, published_at FROM store.published()

-- name: share
SELECT store.share($1::uuid, $2::text, $3::text)

-- name: unshare
SELECT store.unshare($1::uuid, $2::text, $3::text[])

-- name: grants_of
SELECT principal, access, grantor FROM store.grants_of($1::uuid)

-- name: type_counts
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT t.type_name, t.settled + (SELECT count(*) FROM store.objects_due(t.type_name, (SELECT now FROM clock))), t.events
FROM (SELECT h.type_name, count(*) FILTER (WHERE h.present AND h.due > (SELECT now FROM clock)) AS settled,
             sum(h.version)::bigint AS events
      FROM store.object_heads h GROUP BY h.type_name) t
ORDER BY t.type_name

-- name: objects_of_type
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT entity_id::text, version, state, owner, tx_time, valid_from, data::text FROM (
    SELECT h.entity_id, h.version, h.state, h.owner, h.tx_time, h.valid_from, h.data FROM store.object_heads h
    WHERE h.type_name = $1::text AND h.present AND h.due > (SELECT now FROM clock)
    UNION ALL
    SELECT d.entity_id, d.version, d.state, d.owner, d.tx_time, d.valid_from, d.data
    FROM store.objects_due($1::text, (SELECT now FROM clock)) d
) o ORDER BY entity_id LIMIT $2::integer

-- name: figures
SELECT count(*), coalesce(sum(h.version), 0)::bigint,
       count(*) FILTER (WHERE h.due < 'infinity' AND h.due > clock_timestamp()),
       count(*) FILTER (WHERE h.due <= clock_timestamp()),
       pg_total_relation_size('store.object_events'),
       pg_total_relation_size('store.object_heads') + pg_total_relation_size('store.snapshots'),
       pg_database_size(current_database())
FROM store.object_heads h

-- name: users
-- Asked of the table of members, as pg_has_role would say: that would keep all of each login in this session, its password's
-- verifier too, see store.reap.
WITH RECURSIVE standing (role, member) AS (
    SELECT v.oid, v.oid FROM pg_roles v WHERE v.rolname IN ('store_user', 'store_reads_all', 'store_admin')
    UNION
    SELECT s.role, m.member FROM standing s
    JOIN pg_auth_members m ON m.roleid = s.member JOIN pg_roles r ON r.oid = m.member
    WHERE coalesce((to_jsonb(m)->>'inherit_option')::boolean, r.rolinherit)  -- of each membership from release 16 on
), usable AS (
    SELECT s.member, array_agg(v.rolname) AS names FROM standing s JOIN pg_roles v ON v.oid = s.role GROUP BY s.member
)
SELECT r.rolname, 'store_reads_all' = ANY (u.names), 'store_admin' = ANY (u.names), r.rolcanlogin
FROM pg_roles r JOIN usable u ON u.member = r.oid
WHERE 'store_user' = ANY (u.names) AND NOT r.rolsuper AND NOT starts_with(r.rolname, 'store_')
ORDER BY r.rolname

-- name: holders
SELECT DISTINCT quote_ident(a.usename)
FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_stat_activity a ON a.pid = l.pid
WHERE c.relnamespace = 'store'::regnamespace AND l.granted AND a.pid <> pg_backend_pid()
  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())

-- name: principals
SELECT store.principals()

-- name: create_group
SELECT store.create_group($1::text, $2::text[])

-- name: drop_group
SELECT store.drop_group($1::text)

-- name: add_members
SELECT store.add_members($1::text, $2::text[])

-- name: remove_members
SELECT store.remove_members($1::text, $2::text[])

-- name: list_groups
SELECT group_name, members FROM store.list_groups()

-- name: administration
SELECT at, actor, action, subject, detail FROM store.administration()

-- name: differences
SELECT entity_id::text, type_name, problem FROM store.differences() ORDER BY entity_id

-- name: rebuild
SELECT store.rebuild()

-- name: first_matches
SELECT entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data::text
FROM store.first_matches($1::text, $2::jsonb, $3::text, $4::uuid, $5::integer)

-- name: heard_users
-- Users whom an earlier version made, and whose sessions may still fill the server's log.
SELECT r.rolname FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole
WHERE s.setdatabase = 0 AND pg_has_role(r.oid, 'store_user', 'USAGE') AND NOT r.rolsuper
  AND NOT starts_with(r.rolname, 'store_')
  AND 'log_min_messages=fatal' = ANY (s.setconfig)
