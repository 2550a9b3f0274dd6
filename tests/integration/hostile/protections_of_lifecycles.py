"""What protects others while something comes and goes: the projection, groups, memberships, what falls due."""

from __future__ import annotations

from tests.integration.hostile.protection import Protection

__all__ = ["PROTECTIONS_OF_LIFECYCLES"]

GROUPS, LIFECYCLES = "store/sql/groups.sql", ("test_lifecycles",)

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
]
