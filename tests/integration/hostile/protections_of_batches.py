"""What protects the functions that write many entities at once."""

from __future__ import annotations

from tests.integration.hostile.protection import Protection

__all__ = ["PROTECTIONS_OF_BATCHES"]

APPEND_BATCH, CREATE = (f"store/sql/{name}.sql" for name in ("append_batch", "create"))
FORGING, BATCHES = ("test_forging",), ("test_batches",)

PROTECTIONS_OF_BATCHES = [
    Protection(
        "a batch locks what its caller may change only",
        APPEND_BATCH,
        "ANY (v_entities) AND (h.owner = session_user OR h.writers && v_principals OR v_admin)\n",
        "ANY (v_entities)\n",
        BATCHES,
    ),
    Protection(
        "entities locked for a batch are such as its caller may change",
        APPEND_BATCH,
        "ANY (p_entities) AND (h.owner = session_user OR h.writers && v_principals OR v_admin)\n",
        "ANY (p_entities)\n",
        (*FORGING, *BATCHES),
    ),
    Protection(
        "entities are locked for a batch from no old snapshot",
        APPEND_BATCH,
        "    PERFORM store.require_present();\n",
        "",
        FORGING,
        "FUNCTION store.lock_batch(",
    ),
    Protection(
        "a batch is created from no old snapshot",
        CREATE,
        "    PERFORM store.require_present();\n",
        "",
        FORGING,
        "FUNCTION store.create_batch(",
    ),
    Protection(
        "a batch is written whole or not at all",
        APPEND_BATCH,
        "IF v.n = 0 AND v.logged <> v_size THEN",
        "IF false THEN",
        (*FORGING, *BATCHES),
    ),
    Protection(
        "an idempotency key is of one request, a batch appended",
        APPEND_BATCH,
        "IF p_key IS NOT NULL AND NOT store.claim_key(p_key, p_items) THEN",
        "IF false THEN",
        BATCHES,
    ),
    Protection(
        "an idempotency key is of one request, a batch created",
        CREATE,
        "IF p_key IS NOT NULL AND NOT store.claim_key(p_key, p_items) THEN",
        "IF false THEN",
        BATCHES,
    ),
    Protection(
        "who changed in a batch is the login",
        APPEND_BATCH,
        "                   session_user, i.changes\n",
        "                   coalesce(p_items->(i.n - 1)::integer->>'updated_by', session_user), i.changes\n",
        FORGING,
    ),
    Protection(
        "the state changes by a change of state only, several entities",
        APPEND_BATCH,
        "SELECT CASE WHEN i.event_type = 'STATE_CHANGE' THEN i.state END AS state",
        "SELECT i.state AS state",
        BATCHES,
    ),
    Protection(
        "the owner of what a batch creates is the login",
        CREATE,
        "SELECT i.entity_id, i.type_name, session_user, p_readers",
        "SELECT i.entity_id, i.type_name, coalesce(p_items->(i.n - 1)::integer->>'owner', session_user), p_readers",
        BATCHES,
    ),
    Protection(
        "a batch of creations grants to users and groups only",
        CREATE,
        "        PERFORM store.require_principals(p_readers || p_writers);\n",
        "",
        (*FORGING, *BATCHES),
    ),
]
