"""What keeps a little that a user stores from coming to much for others."""

from __future__ import annotations

from tests.integration.hostile.protection import Protection

__all__ = ["PROTECTIONS_OF_AMOUNTS"]

FOLD = "store/sql/fold.sql"
AMPLIFICATION = ("test_amplification",)

PROTECTIONS_OF_AMOUNTS = [
    Protection(
        "a listener is told of many changes without a look at all before each",
        FOLD,
        "IF p_version - coalesce(v_since, v_known) > 256 THEN",
        "IF false THEN",
        AMPLIFICATION,
    ),
    Protection(
        "an audit trail holds what was changed only",
        "store/sql/log.sql",
        "store.states_along(h.entity_id, 1, h.version, true, true) s",
        "store.states_along(h.entity_id, 1, h.version, true) s",
        AMPLIFICATION,
    ),
    Protection(
        "a history, or an audit trail, ends before it fills the memory of whoever asks",
        FOLD,
        "IF v_bytes > 536870912 THEN",
        "IF false THEN",
        AMPLIFICATION,
    ),
    Protection(
        "sets of fields come to little together",
        "store/sql/mutate.sql",
        "coalesce(sum(octet_length(t.fields::text)), 0) + ",
        "",
        AMPLIFICATION,
    ),
    Protection(
        "large events of the log are read a few at a time",
        "store/sql/log.sql",
        "EXIT WHEN v_bytes >= 8388608;",
        "",
        AMPLIFICATION,
    ),
    Protection(
        "what is too large by now is restored",
        "store/schema.py",
        'NOT_ASKED_OF_OLD_ROWS = ("weights",)',
        "NOT_ASKED_OF_OLD_ROWS: tuple[str, ...] = ()",
        AMPLIFICATION,
    ),
    Protection(
        "a snapshot that is kept hardly delays the transactions of others",
        "store/sql/mutate.sql",
        "IF random() < 0.015 THEN",
        "IF true THEN",
        ("test_sabotage",),
    ),
    Protection(
        "no locks for users on all that has a name",
        "store/sql/database.sql",
        "|get_object_address$",
        "",
        ("test_statements",),
    ),
]
