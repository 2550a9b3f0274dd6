"""What holds writes to what is published."""

from __future__ import annotations

from tests.integration.hostile.protection import Protection

__all__ = ["PROTECTIONS_OF_PUBLICATION"]

APPEND, CREATE = (f"store/sql/{name}.sql" for name in ("append", "create"))
PUBLISHED = ("../test_publish",)

PROTECTIONS_OF_PUBLICATION = [
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
