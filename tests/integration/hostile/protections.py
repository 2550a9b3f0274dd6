"""What protects the store, one by one: where it stands in the code, and the code without it.

`tools/protection_matrix.py` takes each away in a copy of the project, runs the suite of attacks there, and writes which
tests fail into docs/security.md.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PROTECTIONS", "Protection"]


class Protection(NamedTuple):
    """One protection.

    Attributes:
        name: What it is, in words.
        file: Where it stands.
        old: The text that is the protection.
        new: The text without it.
        suites: The modules of the attacks that look for it.
        after: A text that comes before it, where `old` alone stands in several places.
    """

    name: str
    file: str
    old: str
    new: str
    suites: tuple[str, ...]
    after: str = ""


ACL = "h.acl && (SELECT store.principals())"
GRANTS, LOG, APPEND, CREATE = (f"store/sql/{name}.sql" for name in ("grants", "log", "append", "create"))
DATABASE, SHARE, GROUPS, MUTATE = (f"store/sql/{name}.sql" for name in ("database", "share", "groups", "mutate"))
USERS, CLUSTER, SERVER, STREAM = "store/users.py", "store/cluster.py", "store/server.py", "store/sql/stream.sql"
STATEMENTS, READING, FORGING = ("test_statements",), ("test_reading",), ("test_forging",)
SABOTAGE, ENTRANCE, VALUES = ("test_sabotage",), ("test_entrance",), ("test_values",)
NAMES = ("../test_groups", "../test_users")
PUBLISHED = ("../test_publish",)


def unfiltered(function: str, file: str = LOG, old: str = ACL) -> Protection:
    """Return the check of one reading function that its caller may see a row."""
    return Protection(f"`{function}` asks who may see", file, old, "true", READING, f"FUNCTION store.{function}(")


PROTECTIONS = [
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
        "USING (EXISTS (SELECT FROM store.object_heads h WHERE h.entity_id = object_events.entity_id))",
        "USING (true)",
        READING,
    ),
    Protection(
        "policy of grants",
        GRANTS,
        "USING (EXISTS (SELECT FROM store.object_heads h WHERE h.entity_id = share_events.entity_id))",
        "USING (true)",
        READING,
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
    unfiltered("objects_now"),
    unfiltered("first_matches", old="h.acl && v_principals"),
    unfiltered("object_history"),
    unfiltered("object_audit"),
    unfiltered("read_log"),
    unfiltered("objects_at", "store/sql/replay.sql"),
    unfiltered("read_stream", STREAM, "h.acl && v_principals"),
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
        "v.owner := session_user",
        "v.owner := coalesce(p_item->>'owner', session_user)",
        FORGING,
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
        APPEND,
        "       OR NOT (h.owner = session_user OR h.writers && p_principals OR p_admin)\n",
        "",
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
        "values are such as every client can read",
        "store/sql/bounds.sql",
        "ADD CONSTRAINT readable_values CHECK (store.is_readable(changes))",
        "ADD CONSTRAINT readable_values CHECK (true)",
        VALUES,
    ),
    Protection(
        "names are short",
        "store/sql/bounds.sql",
        "CHECK (octet_length(type_name) BETWEEN 1 AND 255 AND octet_length(state) <= 255)",
        "CHECK (true)",
        VALUES,
    ),
    Protection(
        "objects have a largest size",
        "store/sql/places.sql",
        "ALTER TABLE store.object_heads ADD CONSTRAINT object_size CHECK (pg_column_size(data) <= 4194304);\n"
        "ALTER TABLE store.object_events ADD CONSTRAINT object_size CHECK (pg_column_size(changes) <= 4194304);",
        "",
        VALUES,
    ),
    Protection(
        "changes of other times do not pile up, one entity",
        APPEND,
        "IF a.apart AND a.fields_size > 4194304 THEN",
        "IF false THEN",
        VALUES,
    ),
    Protection(
        "changes of other times do not pile up, several entities",
        APPEND,
        "IF v.apart AND v.fields_size > 4194304 THEN",
        "IF false THEN",
        VALUES,
    ),
    Protection(
        "many changes of one moment are folded at once",
        "store/sql/fold.sql",
        "cardinality(p_changes) > 128",
        "false",
        SABOTAGE,
    ),
    Protection(
        "a name stands in a grant once",
        CREATE,
        "p_readers := ARRAY(SELECT DISTINCT n FROM unnest(p_readers) AS n ORDER BY n);",
        "",
        SABOTAGE,
    ),
    Protection(
        "objects of very many fields weigh on nobody's filters",
        MUTATE,
        "cardinality(v_fields) > 1000",
        "false",
        SABOTAGE,
    ),
    Protection(
        "a repeated change is shown to those who may see its entity",
        MUTATE,
        "k.key = p_key AND NOT h.acl && v_principals LIMIT 1",
        "k.key = p_key AND false LIMIT 1",
        READING,
    ),
    Protection(
        "nothing is changed from an old snapshot",
        "store/sql/access.sql",
        "PERFORM FROM store.governance FOR SHARE;",
        "",
        FORGING,
    ),
    # Users and groups
    Protection(
        "no user gets the name of a group",
        USERS,
        "            if cursor.fetchone():\n",
        "            if False:\n",
        NAMES,
    ),
    Protection(
        "no group gets the name of a user",
        GROUPS,
        "IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = p_group) THEN",
        "IF false THEN",
        NAMES,
    ),
    Protection(
        "a login that has a group's name all the same gets nothing",
        "store/sql/access.sql",
        "IF EXISTS (SELECT FROM store.groups g WHERE g.group_name = session_user) THEN",
        "IF false THEN",
        NAMES,
    ),
    Protection(
        "a dropped group leaves no grants behind",
        GROUPS,
        "        PERFORM store.record_share(v_head, 'UNSHARED', g.access, p_group)\n"
        "        FROM store.current_grants(v_head.entity_id) g WHERE g.principal = p_group;\n",
        "",
        NAMES,
    ),
    Protection(
        "a name reaches the server as a name",
        USERS,
        "role = sql.Identifier(name)",
        "role = sql.SQL(name)",
        NAMES,
        "def provision_user(",
    ),
    Protection(
        "a password leaves the client as a verifier",
        USERS,
        'return str(encrypt_password(password, name, conn, "scram-sha-256"))',
        "return password",
        ENTRANCE,
    ),
    Protection(
        "who is disabled is out at once",
        USERS,
        'cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))',
        "pass",
        ENTRANCE,
    ),
    # The database and the server
    Protection(
        "only users connect, and make no temporary tables",
        DATABASE,
        "    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());\n",
        "",
        STATEMENTS,
    ),
    Protection(
        "no advisory locks for users",
        DATABASE,
        "        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', v_function);\n",
        "",
        STATEMENTS,
        "name: locks_are_not_lent",
    ),
    Protection(
        "no large objects",
        DATABASE,
        "        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', v_function);\n",
        "",
        STATEMENTS,
        "name: no_large_objects",
    ),
    Protection(
        "no messages into the write-ahead log, no exported snapshots",
        DATABASE,
        "        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', v_function);\n",
        "",
        STATEMENTS,
        "name: no_messages_into_the_log",
    ),
    Protection(
        "no programs of users' own (DO)", DATABASE, "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;", "", STATEMENTS
    ),
    Protection(
        "other databases are closed",
        SERVER,
        'cursor.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")',
        "pass",
        ENTRANCE,
    ),
    Protection(
        "a user has a number of connections", USERS, "CONNECTIONS_PER_USER = 64", "CONNECTIONS_PER_USER = -1", SABOTAGE
    ),
    Protection(
        "connections are kept for administrators",
        CLUSTER,
        "superuser_reserved_connections = 5\nreserved_connections = 5\n",
        "superuser_reserved_connections = 0\nreserved_connections = 0\n",
        SABOTAGE,
    ),
    Protection(
        "who does not say a password holds a place for seconds",
        CLUSTER,
        "authentication_timeout = '10s'",
        "authentication_timeout = '60s'",
        ENTRANCE,
    ),
    Protection(
        "sorts have a bounded part of the disk, and users do not fill the server's log",
        USERS,
        'BOUNDS = {"temp_file_limit": "2GB", "log_min_messages": "fatal"}',
        "BOUNDS: dict[str, str] = {}",
        (*SABOTAGE, *STATEMENTS),
    ),
    Protection(
        "statements and idle transactions end after a time, unless meant",
        USERS,
        'DEFAULTS = {"statement_timeout": "10min", "idle_in_transaction_session_timeout": "5min"}',
        "DEFAULTS: dict[str, str] = {}",
        SABOTAGE,
    ),
    Protection("the queue of notifications is bounded", CLUSTER, "max_notify_queue_pages = 16384", "", SABOTAGE),
    Protection(
        "a transaction that holds readers up is ended",
        "store/sql/reap.sql",
        "IF pg_terminate_backend(v_holder.pid) THEN",
        "IF false THEN",
        ("test_reap", *SABOTAGE),
    ),
    Protection(
        "the bounds of that are the administrator's",
        "store/sql/reap.sql",
        "clock_timestamp() - a.xact_start > l.longest_transaction",
        "true",
        ("test_reap",),
    ),
    Protection(
        "nobody is let in without a password",
        CLUSTER,
        "local all all scram-sha-256",
        "local all all trust",
        ENTRANCE,
    ),
    Protection(
        "the administrator is the directory's owner",
        CLUSTER,
        "local all {SUPERUSER} peer map=store_owner",
        "local all {SUPERUSER} trust",
        ENTRANCE,
    ),
    Protection("the administrator's password is in a file of its owner's alone", SERVER, "0o600", "0o644", ENTRANCE),
    Protection(
        "statements that fail are not logged, with the passwords in them",
        CLUSTER,
        "log_min_error_statement = panic",
        "",
        ENTRANCE,
    ),
    # Published types
    Protection(
        "a new object of a published type keeps to it",
        CREATE,
        "PERFORM store.check_creations(p_items);",
        "NULL;",
        PUBLISHED,
        "FUNCTION store.create_objects(",
    ),
    Protection(
        "new objects of a published type, in a batch, keep to it",
        CREATE,
        "PERFORM store.check_creations(p_items);",
        "NULL;",
        PUBLISHED,
        "FUNCTION store.make_objects(",
    ),
    Protection(
        "a change of a published type keeps to it",
        APPEND,
        "PERFORM store.check_events(p_items, p_principals);",
        "NULL;",
        PUBLISHED,
    ),
    Protection(
        "changes of a published type, in a batch, keep to it",
        APPEND,
        "PERFORM store.check_events(p_items, v_principals);",
        "NULL;",
        PUBLISHED,
    ),
    Protection(
        "a published edge is for those in allowed_by",
        "store/sql/govern.sql",
        "AND (x.allowed_by IS NULL OR x.allowed_by && p_principals)) AS bad) e",
        ") AS bad) e",
        PUBLISHED,
    ),
    Protection(
        "a state travels with a change of a published state only",
        APPEND,
        "CASE WHEN p_item->>'event_type' = 'STATE_CHANGE' THEN p_item->>'state' END",
        "p_item->>'state'",
        PUBLISHED,
    ),
    Protection(
        "a change of a published state does not end by itself",
        APPEND,
        "p_to = 'infinity' AND NOT (h).deleted",
        "NOT (h).deleted",
        PUBLISHED,
    ),
]
