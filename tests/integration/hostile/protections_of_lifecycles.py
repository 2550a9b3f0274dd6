"""What protects others while something comes and goes: the projection, groups, memberships, what falls due."""

from __future__ import annotations

from tests.integration.hostile.protection import Protection

__all__ = ["PROTECTIONS_OF_LIFECYCLES"]

GROUPS, SETTLE, LIFECYCLES = "store/sql/groups.sql", "store/sql/settle.sql", ("test_lifecycles",)

PROTECTIONS_OF_LIFECYCLES = [
    Protection(
        "who waits for the projection to be made anew misses nothing",
        "store/sql/rebuild.sql",
        "    DELETE FROM store.object_heads;\n    DELETE FROM store.snapshots;\n",
        "    TRUNCATE store.object_heads, store.snapshots;\n",
        LIFECYCLES,
    ),
    Protection(
        "the time after which a group is dropped, or its holders are named, is for all of them",
        GROUPS,
        "            PERFORM set_config('lock_timeout', greatest(\n"
        "                1, ceil(extract(epoch FROM v_until - clock_timestamp()) * 1000))::bigint::text, true);\n",
        "",
        LIFECYCLES,
    ),
    Protection(
        "a membership is withdrawn while others change users and groups",
        GROUPS,
        "    PERFORM store.date_snapshots();  -- first,",
        "    PERFORM store.lock_principals(), store.date_snapshots();  -- first,",
        LIFECYCLES,
    ),
    Protection(
        "what cannot be settled leaves a way to the rest",
        SETTLE,
        "WHEN check_violation OR program_limit_exceeded THEN",
        "WHEN no_data_found THEN",
        LIFECYCLES,
    ),
    Protection(
        "who settles keeps others' heads for a moment only",
        SETTLE,
        "            IF clock_timestamp() > v_now + interval '1 second' THEN\n",
        "            IF false THEN\n",
        LIFECYCLES,
    ),
    Protection(
        "no group gets what a user had who is gone",
        GROUPS,
        "ELSIF EXISTS (SELECT FROM store.object_heads h WHERE h.acl && ARRAY[p_group]) THEN",
        "ELSIF false THEN",
        LIFECYCLES,
    ),
    Protection(
        "a transaction that rests after an error is ended like any other",
        "store/sql/reap.sql",
        "OR starts_with(a.state, 'idle in transaction')",
        "OR a.state = 'idle in transaction'",
        ("test_reap",),
    ),
]
