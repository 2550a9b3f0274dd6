"""What protects the ways in: users and groups, the database and its server, and what is published."""

from __future__ import annotations

from tests.integration.hostile.protection import Protection

__all__ = ["PROTECTIONS_OF_ACCESS"]

APPEND, CREATE = (f"store/sql/{name}.sql" for name in ("append", "create"))
DATABASE, GROUPS = (f"store/sql/{name}.sql" for name in ("database", "groups"))
USERS, CLUSTER, SERVER = "store/users.py", "store/cluster.py", "store/server.py"
STATEMENTS = ("test_statements",)
SABOTAGE, ENTRANCE, LOCKS = ("test_sabotage",), ("test_entrance",), ("test_locks",)
NAMES = ("../test_groups", "../test_users")
PUBLISHED = ("../test_publish",)

PROTECTIONS_OF_ACCESS = [
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
        'cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))',
        "pass",
        ENTRANCE,
    ),
    Protection(
        "who is logging in while it is disabled is out as well",
        USERS,
        "for pid in named + coming:",
        "for pid in named:",
        LOCKS,
    ),
    Protection(
        "who is disabled and cannot be ended is named",
        USERS,
        "if lasting := _lasting_sessions(admin_conn, name):",
        "if lasting := []:",
        LOCKS,
    ),
    Protection(
        "who changes its own login does not put off being disabled",
        USERS,
        "range(1 if allowed else ATTEMPTS)",
        "range(1)",
        LOCKS,
    ),
    Protection(
        "who keeps a change of its own login open is not waited for",
        USERS,
        '        cursor.execute("SET LOCAL lock_timeout = %s", (LOCK_TIMEOUT,))\n',
        "",
        LOCKS,
    ),
    # The database and the server
    Protection(
        "what would make everybody wait is refused before it waits",
        DATABASE,
        "        RAISE insufficient_privilege USING MESSAGE = format('%s is not for users of a store', tg_tag);\n",
        "        NULL;\n",
        LOCKS,
    ),
    Protection(
        "who may grant nothing makes nobody plan anew",
        DATABASE,
        "'GRANT', 'REVOKE', 'ALTER DEFAULT PRIVILEGES',",
        "",
        LOCKS,
    ),
    Protection(
        "who publishes does not wait for what users hold",
        "store/sql/publish.sql",
        "IN SHARE UPDATE EXCLUSIVE MODE",
        "IN SHARE ROW EXCLUSIVE MODE",
        LOCKS,
    ),
    Protection(
        "who waits for what users may not have is ended",
        "store/sql/reap.sql",
        "('ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')",
        "('')",
        ("test_reap",),
    ),
    Protection(
        "who waits for what is his own is left alone",
        "store/sql/reap.sql",
        "AND pg_has_role(p_user, c.relowner, 'USAGE')",
        "AND false",
        ("test_reap",),
    ),
    Protection(
        "who keeps an old snapshot is ended",
        "store/sql/reap.sql",
        "clock_timestamp() - a.xact_start > l.longest_snapshot",
        "false",
        ("test_reap",),
    ),
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
    Protection(
        "users act as themselves, whatever version made them",
        DATABASE,
        "        EXECUTE format('GRANT %s TO %I WITH SET FALSE GRANTED BY %s', v.store_role, v.rolname, v.grantor);\n",
        "        NULL;\n",
        ("../test_schema_again",),
    ),
    Protection(
        "an upgrade does not wait, and make others wait, behind an open transaction",
        "store/schema.py",
        '        cursor.execute("SET LOCAL lock_timeout = %s", (LOCK_TIMEOUT,))\n',
        "",
        ("../test_schema_again",),
    ),
    Protection(
        "a restored login has roles of the store only",
        "store/restore.py",
        "if group not in ROLES:",
        "if False:",
        ("../test_backup_refused",),
    ),
    Protection(
        "passwords in the environment are not handed on to a server that a command starts",
        "store/cli/target.py",
        "if name in os.environ}",
        "if False}",
        ("../test_cli_conduct",),
    ),
    # Published types
    Protection(
        "a new object of a published type keeps to it",
        CREATE,
        "PERFORM store.check_creations(p_items);",
        "NULL;",
        PUBLISHED,
        "FUNCTION store.create_object(",
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
        "store/sql/append_batch.sql",
        "PERFORM store.check_events(p_items, v_principals);",
        "NULL;",
        PUBLISHED,
    ),
    Protection(
        "what a session sets changes nothing in what a published type takes",
        "store/sql/values.sql",
        "'^(0|-?(0[.][0-9]*",
        "'^(0|-?(0\\.[0-9]*",
        ("test_values",),
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
