-- What is recorded of workflows, for those who look.

-- name: workflows
SELECT s.workflow_uuid, s.status, s.attributes->>'target',
       coalesce(s.attributes->>'queue', s.queue_name), s.executor_id, s.recovery_attempts,
       s.created_at, s.updated_at, s.workflow_deadline_epoch_ms, coalesce(o.error, s.error), p.reason,
       l.alive
FROM workflow.workflow_status s
LEFT JOIN workflow.workflow_output o ON o.workflow_uuid = s.workflow_uuid
LEFT JOIN workflow.problems p ON p.subject = s.workflow_uuid AND s.status IN ('PENDING', 'ENQUEUED', 'DELAYED')
CROSS JOIN LATERAL (
    SELECT s.executor_id IS NULL OR EXISTS (SELECT FROM workflow.executors e
                                            WHERE e.executor_id = s.executor_id AND e.beat_at > '-infinity') AS alive
) l
WHERE (%(application)s::text IS NULL OR s.application_name = %(application)s)
  AND (%(workflow)s::text IS NULL OR s.workflow_uuid = %(workflow)s)
  AND (%(statuses)s::text[] IS NULL OR s.status = ANY (%(statuses)s))
  -- What a dead process holds, or nobody can go on with, is PENDING in truth.
  AND (%(statuses)s::text[] IS NULL OR s.status <> 'PENDING' OR %(runs)s = (p.reason IS NULL AND l.alive))
ORDER BY s.created_at DESC, s.workflow_uuid DESC LIMIT %(limit)s

-- name: steps
SELECT o.function_id, o.function_name, o.output, o.error, o.child_workflow_id, o.started_at_epoch_ms,
       o.completed_at_epoch_ms
FROM workflow.operation_outputs o WHERE o.workflow_uuid = %(workflow)s ORDER BY o.function_id

-- name: status
SELECT s.status, s.executor_id FROM workflow.workflow_status s WHERE s.workflow_uuid = %(workflow)s

-- name: outcome
SELECT s.status, coalesce(o.output, s.output), coalesce(o.error, s.error)
FROM workflow.workflow_status s LEFT JOIN workflow.workflow_output o ON o.workflow_uuid = s.workflow_uuid
WHERE s.workflow_uuid = %(workflow)s

-- name: started_as
SELECT s.attributes->>'target', s.attributes->>'origin', s.attributes->>'digest',
       coalesce(i.inputs, s.inputs)
FROM workflow.workflow_status s LEFT JOIN workflow.workflow_input i ON i.workflow_uuid = s.workflow_uuid
WHERE s.workflow_uuid = %(workflow)s

-- name: last_step
SELECT o.function_id, o.function_name FROM workflow.operation_outputs o
WHERE o.workflow_uuid = %(workflow)s AND o.function_id > %(taken)s ORDER BY o.function_id LIMIT 1

-- name: queued
SELECT s.workflow_uuid FROM workflow.workflow_status s
WHERE s.application_name = %(application)s AND s.application_version = %(version)s
  AND s.status = 'ENQUEUED' AND s.queue_name = ANY (%(queues)s)
ORDER BY s.created_at

-- name: elsewhere
SELECT count(*) FROM workflow.workflow_status s
WHERE s.application_name = %(application)s AND s.status = 'PENDING' AND s.executor_id <> %(executor)s
  AND EXISTS (SELECT FROM workflow.executors e WHERE e.executor_id = s.executor_id AND e.beat_at > '-infinity')

-- name: ended_before
SELECT s.workflow_uuid FROM workflow.workflow_status s
WHERE (%(application)s::text IS NULL OR s.application_name = %(application)s)
  AND s.status IN ('SUCCESS', 'ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')
  AND coalesce(s.completed_at, s.updated_at) <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint - %(age)s
ORDER BY s.updated_at LIMIT %(limit)s
