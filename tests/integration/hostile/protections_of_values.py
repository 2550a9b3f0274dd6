"""What protects whoever reads an object from what is in it."""

from __future__ import annotations

from tests.integration.hostile.protection import Protection

__all__ = ["PROTECTIONS_OF_VALUES"]

CHECKS, WEIGHTS, APPEND, APPEND_BATCH, CREATE, MUTATE = (
    f"store/sql/{name}.sql" for name in ("checks", "weights", "append", "append_batch", "create", "mutate")
)
SABOTAGE, VALUES = ("test_sabotage",), ("test_values",)

PROTECTIONS_OF_VALUES = [
    Protection(
        "values are such as every client can read",
        CHECKS,
        "THEN 'readable_values'",
        "THEN NULL",
        VALUES,
    ),
    Protection(
        "names are short",
        CHECKS,
        "octet_length(p_type) NOT BETWEEN 1 AND 255 OR octet_length(p_state) > 255",
        "false",
        VALUES,
    ),
    Protection(
        "objects have a largest size",
        WEIGHTS,
        "ELSE pg_column_size(data) <= 4194304 AND",
        "ELSE",
        VALUES,
    ),
    Protection(
        "objects have a largest size when they are written out",
        WEIGHTS,
        " AND octet_length(data::text) <= 25165824",
        "",
        VALUES,
    ),
    Protection(
        "changes of other times count for as much as they are written out as",
        APPEND,
        "greatest(pg_column_size(p_value), (octet_length(p_value::text) + 5) / 6)",
        "pg_column_size(p_value)",
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
        APPEND_BATCH,
        "IF v.large THEN",
        "IF false THEN",
        VALUES,
    ),
    Protection(
        "many changes of one moment are folded at once",
        "store/sql/fold.sql",
        "cardinality(p_versions) <= 128",
        "true",
        SABOTAGE,
    ),
    Protection(
        "an entity's changes are read one after the other",
        "store/sql/fold.sql",
        "c.place <= store.folded_together() AND (",
        "(",
        VALUES,
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
        "AND cardinality(v_fields) <= 1000\n",
        "",
        SABOTAGE,
    ),
    Protection(
        "nor do those whose fields have long names",
        MUTATE,
        "+ octet_length(v_fields::text) <= 65536",
        "< 1e9",
        SABOTAGE,
    ),
]
