-- Who runs workflows, and taking over from those who no longer do.

-- name: login
SELECT current_user, n.oid IS NULL OR has_schema_privilege(n.oid, 'CREATE')
FROM (SELECT to_regnamespace('workflow')::oid AS oid) n

-- name: join
INSERT INTO workflow.executors (executor_id, application, version, place, process, process_started, script)
VALUES (%(executor)s, %(application)s, %(version)s, %(place)s, %(process)s, %(process_started)s, %(script)s)
ON CONFLICT (executor_id) DO UPDATE SET beat_at = clock_timestamp()

-- name: leave
UPDATE workflow.executors SET beat_at = '-infinity' WHERE executor_id = %(executor)s

-- name: others
SELECT e.executor_id, e.place, e.process, e.process_started, e.beat_at = '-infinity' AS left_already,
       CASE WHEN e.beat_at = '-infinity' THEN 0
            -- Nobody could show itself while the server was away.
            ELSE extract(epoch FROM clock_timestamp() - greatest(e.beat_at, pg_postmaster_start_time()))
       END::float AS silent
FROM workflow.executors e WHERE e.application = %(application)s AND e.executor_id <> %(executor)s
UNION ALL
-- Whoever has work and no row of its own.
SELECT DISTINCT s.executor_id, '', 0, 0.0, true, 0.0
FROM workflow.workflow_status s
WHERE s.application_name = %(application)s AND s.status = 'PENDING'
  AND NOT EXISTS (SELECT FROM workflow.executors e WHERE e.executor_id = s.executor_id)

-- name: held
SELECT s.workflow_uuid, s.application_version, s.queue_name, s.attributes->>'target', s.attributes->>'origin'
FROM workflow.workflow_status s
WHERE s.application_name = %(application)s AND s.status = 'PENDING' AND s.executor_id = %(holder)s
ORDER BY s.created_at

-- name: claim
UPDATE workflow.workflow_status s
SET executor_id = %(executor)s, owner_xid = %(token)s, recovery_attempts = s.recovery_attempts + 1,
    started_at_epoch_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    updated_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint
WHERE s.workflow_uuid = %(workflow)s AND s.status = 'PENDING' AND s.executor_id = %(holder)s

-- name: requeue
UPDATE workflow.workflow_status s
SET status = 'ENQUEUED', owner_xid = NULL, started_at_epoch_ms = NULL,
    updated_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint
WHERE s.workflow_uuid = %(workflow)s AND s.status = 'PENDING' AND s.executor_id = %(holder)s

-- name: dismiss
DELETE FROM workflow.executors e
WHERE e.executor_id = %(holder)s
  AND NOT EXISTS (SELECT FROM workflow.workflow_status s
                  WHERE s.executor_id = e.executor_id AND s.status = 'PENDING')

-- name: owned
SELECT s.workflow_uuid, s.owner_xid FROM workflow.workflow_status s
WHERE s.workflow_uuid = ANY (%(workflows)s) AND s.status = 'PENDING'

-- name: waiting_messages
SELECT DISTINCT n.destination_uuid, n.topic FROM workflow.notifications n
WHERE n.destination_uuid = ANY (%(workflows)s) AND NOT n.consumed

-- name: note
INSERT INTO workflow.problems (subject, reason, reported_by) VALUES (%(subject)s, %(reason)s, %(executor)s)
ON CONFLICT (subject) DO UPDATE
SET reason = excluded.reason, reported_by = excluded.reported_by, reported_at = clock_timestamp()

-- name: settle
DELETE FROM workflow.problems p WHERE p.subject = %(subject)s

-- name: keyed
SELECT to_regprocedure('store.forget_workflow_keys(text[])') IS NOT NULL

-- name: forget_keys
SELECT store.forget_workflow_keys(%(workflows)s)

-- name: forget_problems
DELETE FROM workflow.problems p WHERE p.subject = ANY (%(workflows)s)
