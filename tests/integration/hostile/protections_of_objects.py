"""What protects objects: tables, functions and every way of writing."""

from __future__ import annotations

from tests.integration.hostile.protection import Protection

__all__ = ["PROTECTIONS_OF_OBJECTS"]

ACL = "h.acl && (SELECT store.principals())"
APPEND_BATCH = "store/sql/append_batch.sql"
GRANTS, LOG, APPEND, CREATE = (f"store/sql/{name}.sql" for name in ("grants", "log", "append", "create"))
SHARE, GROUPS, MUTATE = (f"store/sql/{name}.sql" for name in ("share", "groups", "mutate"))
STREAM = "store/sql/stream.sql"
STATEMENTS, READING, FORGING = ("test_statements",), ("test_reading",), ("test_forging",)
PLANS = ("test_plans",)
SABOTAGE, VALUES, LOCKS = ("test_sabotage",), ("test_values",), ("test_locks",)
NAMES = ("../test_groups", "../test_users")


def unfiltered(function: str, file: str = LOG, old: str = ACL) -> Protection:
    """Return the check of one reading function that its caller may see a row."""
    return Protection(f"`{function}` asks who may see", file, old, "true", READING, f"FUNCTION store.{function}(")


PROTECTIONS_OF_OBJECTS = [
    # Tables
    Protection(
        "users may only read tables",
        GRANTS,
        "GRANT SELECT ON store.object_heads, store.object_events,",
        "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON store.object_heads, store.object_events,",
        (*STATEMENTS, *FORGING),
    ),
    Protection(
        "row security is on",
        GRANTS,
        "EXECUTE format('ALTER TABLE store.%I ENABLE ROW LEVEL SECURITY', v_table);",
        "EXECUTE format('ALTER TABLE store.%I DISABLE ROW LEVEL SECURITY', v_table);",
        (*READING, *FORGING),
    ),
    Protection(
        "row security holds for the tables' owner too",
        GRANTS,
        "EXECUTE format('ALTER TABLE store.%I FORCE ROW LEVEL SECURITY', v_table);",
        "",
        FORGING,
    ),
    Protection("policy of entities", GRANTS, "USING (acl && (SELECT store.principals()))", "USING (true)", READING),
    Protection(
        "policy of events",
        GRANTS,
        "USING (store.may_see(object_events.entity_id))",
        "USING (true)",
        READING,
    ),
    Protection(
        "`may_see` asks who may see",
        "store/sql/access.sql",
        "WHERE h.entity_id = p_entity AND h.acl && store.principals()",
        "WHERE h.entity_id = p_entity",
        (*READING, *PLANS),
    ),
    Protection(
        "the log asks who may see before it compares",
        "store/sql/access.sql",
        "pg_temp COST 0.0001 AS",
        "pg_temp COST 1000 AS",
        PLANS,
    ),
    Protection(
        "entities ask who may see before they compare, with one value too",
        "store/sql/database.sql",
        "ALTER FUNCTION pg_catalog.arrayoverlap(anyarray, anyarray) COST 0.0001;\n",
        "",
        PLANS,
    ),
    Protection(
        "nothing that costs nothing comes before that",
        "store/sql/database.sql",
        ";\nALTER TYPE pg_catalog.jsonb SET (SUBSCRIPT = NONE)",
        "",
        PLANS,
    ),
    Protection(
        "grants are shown by functions only",
        GRANTS,
        "GRANT SELECT ON store.object_heads, store.object_events,",
        "GRANT SELECT ON store.share_events, store.object_heads, store.object_events,",
        STATEMENTS,
    ),
    Protection("policy of checkpoints", GRANTS, "USING (username = session_user)", "USING (true)", READING),
    Protection(
        "policies name no role whose rights users have",
        GRANTS,
        "ON store.object_heads FOR SELECT USING (acl",
        "ON store.object_heads FOR SELECT TO store_user USING (acl",
        STATEMENTS,
    ),
    Protection(
        "the log cannot be changed, even by its owner",
        "store/sql/triggers.sql",
        "BEFORE UPDATE OR DELETE OR TRUNCATE ON store.object_events",
        "BEFORE INSERT ON store.type_shapes",
        FORGING,
    ),
    Protection(
        "nor the record of grants",
        "store/sql/triggers.sql",
        "CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON store.share_events\n"
        "    FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_rewrite();",
        "",
        FORGING,
    ),
    Protection(
        "nor the record of administration",
        "store/sql/triggers.sql",
        "CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON store.admin_events\n"
        "    FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_rewrite();",
        "",
        FORGING,
    ),
    Protection(
        "no statistics of values, which plans would show",
        "store/sql/tables.sql",
        "AND a.attname NOT IN ('type_name', 'due', 'present', 'seq')",
        "AND false",
        READING,
    ),
    # Functions
    Protection(
        "functions are called by those to whom they are granted",
        GRANTS,
        "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA store FROM PUBLIC,",
        "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA store FROM",
        (*STATEMENTS, *FORGING),
    ),
    Protection(
        "functions with the owner's rights have a path of their own",
        SHARE,
        "SECURITY DEFINER SET search_path = pg_catalog, store, pg_temp",
        "SECURITY DEFINER",
        FORGING,
        "FUNCTION store.unshare(",
    ),
    Protection(
        "administration is for administrators",
        GROUPS,
        "IF NOT '' = ANY (store.principals()) THEN",
        "IF false THEN",
        (*STATEMENTS, *NAMES),
    ),
    unfiltered("object_as_of"),
    unfiltered("objects_as_of"),
    Protection(
        "`objects_as_of` asks who may see, where it folds",
        LOG,
        f"NOT store.head_tells(h, p_tx, p_valid) AND {ACL}",
        "NOT store.head_tells(h, p_tx, p_valid)",
        READING,
    ),
    unfiltered("objects_due"),
    unfiltered("changes_ahead", "store/sql/replay.sql"),
    Protection(
        "`objects_as_of` asks who may see what it folds",
        LOG,
        f"NOT store.head_tells(h, p_tx, p_valid) AND {ACL}",
        "NOT store.head_tells(h, p_tx, p_valid)",
        READING,
    ),
    unfiltered("objects_now"),
    unfiltered("first_matches", old="h.acl && v_principals"),
    unfiltered("object_history"),
    unfiltered("object_audit"),
    unfiltered("read_log"),
    unfiltered("objects_at", "store/sql/replay.sql"),
    unfiltered("events_in_view", STREAM, "h.acl && p_principals"),
    unfiltered("granted_by", STREAM, "h.acl && p_names"),
    unfiltered("log_lag", STREAM, "h.acl && v_principals"),
    unfiltered("grants_of", SHARE),
    Protection(
        "`lacking_fields` tells of what its caller may see only",
        LOG,
        "    WHERE s.owner = session_user\n",
        "    WHERE true\n",
        VALUES,
    ),
    # Writing
    Protection(
        "the owner is the login",
        CREATE,
        "owner := session_user",
        "owner := coalesce(v_item->>'owner', session_user)",
        FORGING,
        "FUNCTION store.create_object(",
    ),
    Protection(
        "who changed is the login",
        APPEND,
        "v_user text := session_user;",
        "v_user text := coalesce(p_item->>'updated_by', session_user);",
        FORGING,
    ),
    Protection(
        "the time of recording is the server's",
        APPEND,
        "v_at timestamptz := greatest(",
        "v_at timestamptz := coalesce((p_item->>'tx_time')::timestamptz, 'infinity'); v_any timestamptz := greatest(",
        FORGING,
    ),
    Protection(
        "only owner and writers change, one entity",
        APPEND,
        "          AND (h.owner = session_user OR h.writers && v_principals OR v_admin)\n        FOR UPDATE;",
        "        FOR UPDATE;",
        FORGING,
    ),
    Protection(
        "only owner and writers change, several entities",
        APPEND_BATCH,
        "WHERE (h.owner = session_user OR h.writers && p_principals OR p_admin)\n"
        "              AND store.append_allowed(",
        "WHERE store.append_allowed(",
        FORGING,
    ),
    Protection("a change names the newest version", APPEND, "(h).version IS DISTINCT FROM p_version", "false", FORGING),
    Protection(
        "the state changes by a change of state only",
        APPEND,
        "v_state text := CASE WHEN p_item->>'event_type' = 'STATE_CHANGE' THEN p_item->>'state' END",
        "v_state text := p_item->>'state'",
        FORGING,
    ),
    Protection(
        "a foreign entity and a missing one are refused alike",
        APPEND,
        "ELSIF NOT v.readable THEN",
        "ELSIF NOT v.readable AND v.actual IS NULL THEN",
        READING,
    ),
    Protection(
        "an idempotency key is its user's",
        MUTATE,
        "VALUES (session_user, p_key, v_request)",
        "VALUES ('alice', p_key, v_request)",
        READING,
    ),
    Protection(
        "a checkpoint is its user's",
        STREAM,
        "VALUES (session_user, p_subscriber, p_seq, clock_timestamp())",
        "VALUES ('alice', p_subscriber, p_seq, clock_timestamp())",
        READING,
        "FUNCTION store.save_checkpoint(",
    ),
    Protection(
        "only owner and writers share",
        SHARE,
        " AND (h.owner = session_user OR h.writers && v_principals OR v_admin)\n",
        "\n",
        FORGING,
    ),
    Protection(
        "a foreign entity and a missing one cannot be shared alike",
        SHARE,
        "WHERE h.entity_id = p_entity AND h.acl && v_principals;",
        "WHERE h.entity_id = p_entity;",
        (*FORGING, *READING),
    ),
    Protection(
        "only the owner withdraws the owner's grants",
        SHARE,
        "IF v_grant.grantor = v.owner AND v.owner <> session_user AND NOT store.is_admin() THEN",
        "IF false THEN",
        FORGING,
    ),
    Protection(
        "access is granted to users and groups only",
        MUTATE,
        "    IF FOUND THEN\n        PERFORM store.refuse('TS010'",
        "    IF false THEN\n        PERFORM store.refuse('TS010'",
        FORGING,
    ),
    Protection(
        "a repeated change is shown to those who may see its entity",
        MUTATE,
        "k.key = p_key AND NOT h.acl && v_principals LIMIT 1",
        "k.key = p_key AND false LIMIT 1",
        READING,
    ),
    Protection(
        "what was changed under a key is not shown again as if it had been created",
        CREATE,
        "        PERFORM store.check_replay(p_key);\n",
        "",
        READING,
    ),
    Protection(
        "an entity is created from no old snapshot",
        CREATE,
        "        PERFORM store.require_present();\n",
        "        NULL;\n",
        FORGING,
        "FUNCTION store.create_object(",
    ),
    Protection(
        "nothing is changed from an old snapshot",
        "store/sql/access.sql",
        "PERFORM FROM store.governance FOR SHARE;",
        "",
        FORGING,
    ),
    *(
        Protection(
            f"a right withdrawn while a call waits is gone, {what}",
            file,
            "PERFORM store.require_still(v_principals, v_admin);",
            "NULL;",
            LOCKS,
        )
        for what, file in (("one entity", APPEND), ("several entities", APPEND_BATCH), ("sharing", SHARE))
    ),
    Protection(
        "a writer does not use up what its owner may share",
        SHARE,
        "AND s.grantor = session_user AND s.tx_time",
        "AND s.tx_time",
        LOCKS,
    ),
    Protection(
        "a day of sharing is as long for everybody",
        SHARE,
        "interval '24 hours'",
        "interval '1 day'",
        LOCKS,
    ),
]
