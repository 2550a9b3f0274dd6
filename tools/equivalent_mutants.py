"""Faults that no test can tell, and why: by the file and the change as `tools/mutation.py` shows it."""

from __future__ import annotations

__all__ = ["EQUIVALENT"]

_ONE_A_MOMENT = "no two events of an entity have the same tx_time: there is one such event"

EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "store/sql/fold.sql",
        "`…_time ORDER BY e.version DESC LIMIT 1),` → `…_time ORDER BY e.version DESC LIMIT 2),`",
    ): _ONE_A_MOMENT,
    (
        "store/sql/fold.sql",
        "`…_time = h.tx_time ORDER BY e.version DESC LIMIT 1),` → `…_time = h.tx_time ORDER BY e.version LIMIT 1),`",
    ): _ONE_A_MOMENT,
    (
        "store/sql/fold.sql",
        "`…gg(c.version) FILTER (WHERE c.place > store.folded_together() AND c.appli…` →"
        " `…gg(c.version) FILTER (WHERE c.place >= store.folded_together() AND c.appli…`",
    ): "the last of those folded together is laid over them once more",
    (
        "store/sql/fold.sql",
        "`SELECT 0, k.version, k.applied, k.folded WHE…` → `SELECT 1, k.version, k.applied, k.folded WHE…`",
    ): "what a fold begins with is of those folded together, either way",
    (
        "store/sql/fold.sql",
        "`ELSIF cardinality(p_versions) <= 128 THEN` → `ELSIF cardinality(p_versions) < 128 THEN`",
    ): "128 changes are laid over each other the other way, with the same outcome",
    (
        "reactive/expr/python_source.py",
        "`… 'in PLAIN'}\" for name in names) or \"True\"` → `… 'in PLAIN'}\" for name in names) or False`",
    ): "two constants are compared the long way, with the same outcome",
    (
        "reactive/expr/python_source.py",
        "`is_name: bool = False` → `is_name: bool = True`",
    ): "what stands twice is computed twice, with the same outcome",
    (
        "reactive/expr/python_source.py",
        '`if null_is_false and node.op != "!=":` → `if False:`',
    ): "a NaN is looked for where the comparison would tell as well",
    (
        "store/sql/append.sql",
        "`…(h).due <= p_at OR (NOT (h).present AND a.applies AND p_event <> 'DELETED')…` →"
        " `…(h).due <= p_at OR (NOT (h).present OR a.applies AND p_event <> 'DELETED')…`",
    ): "the head is folded from the log where it could be carried on, with the same outcome",
    (
        "store/sql/log.sql",
        "`WHERE s.owner = session_user` → `WHERE s.owner = current_user`",
    ): "a short way for one's own entities, which are found the long way as well",
    (
        "store/sql/create.sql",
        "`… t.type_name = v_type AND t.owner = session_user AND v_data ?& t.fields)` →"
        " `… t.type_name = v_type AND t.owner = current_user AND v_data ?& t.fields)`",
    ): "a short way past `note_shape`, which asks the same",
    (
        "store/sql/database.sql",
        "`WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname IN ('pg_logical_emit_m…` →"
        " `WHERE true AND p.proname IN ('pg_logical_emit_m…`",
    ): "no other schema has functions of these names",
    (
        "reactive/expr/pure.py",
        "`…ue, 'int')})->toFloat()\", operands[:1]` → `…ue, 'int')})->toFloat()\", operands[:2]`",
    ): "the second operand is a number, which has no place in the form",
    (
        "reactive/expr/columns.py",
        "`…e.itemsize < 8 or not np.any(values > np.uint64(2**63 - 1)))):` →"
        " `…e.itemsize < 8 or not np.any(values >= np.uint64(2**63 - 1)))):`",
    ): "the largest whole number goes a longer way to the same array",
}
