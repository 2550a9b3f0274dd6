"""Plans that were run tell how often each of their parts was: never whether another's row meets a condition."""

from __future__ import annotations

import re

import psycopg2
import pytest

from tests.integration.hostile.conftest import Attacker

pytestmark = pytest.mark.both_servers

SYMBOL = ("KRYPTO" + "NITE", "NOBODY")
QUANTITY = ("471147000" + "471147", "471147000471148")
USER = ("alice", "carol")
START = ("2001-01-01", "2999-01-01")
# Conditions, each with a value for which the secret entity meets it and one for which it does not: comparisons that
# PostgreSQL takes for leak-proof, and the last ones also for cheaper than others. DATA: the column of the fields.
CONDITIONS = [
    ("""DATA @> '{{"symbol": "{}"}}'""", *SYMBOL),
    ("""DATA @> '{{"quantity": {}}}'""", *QUANTITY),
    ("updated_by = '{}'", *USER),
    ("updated_by IN ('x', '{}')", *USER),
    ("valid_from > '{}'", *START),
    ("""DATA @> ANY (ARRAY['{{"symbol": "{}"}}'::jsonb])""", *SYMBOL),
    ("""DATA @> ALL (ARRAY['{{"quantity": {}}}'::jsonb])""", *QUANTITY),
    ("updated_by = ANY ('{{{}}}')", *USER),
    ("NOT updated_by <> ALL ('{{{}}}')", *USER),
    ("valid_from > ANY ('{{{}}}')", *START),
]
PAIRS = [
    *(("object_events", condition.replace("DATA", "changes"), *values) for condition, *values in CONDITIONS),
    ("object_events", "event_type = '{}'", "UPDATED", "DELETED"),
    ("object_events", "valid_to {} 'infinity'", "=", "<"),
    ("object_events", "(updated_by, event_type) > ('{}', '')", "alic", "alicf"),
    ("object_events", "updated_by IS NOT DISTINCT FROM '{}'", *USER),
    ("object_events", "CASE WHEN updated_by = '{}' THEN true END", *USER),
    ("object_events", "greatest(updated_by, 'b') = '{}'", "b", "c"),
    *(("object_heads", condition.replace("DATA", "data"), *values) for condition, *values in CONDITIONS),
    ("object_heads", "owner = '{}'", *USER),
    ("object_heads", "version = {}", "2", "3"),
    ("object_heads", "owner = ANY ('{{{}}}')", *USER),
    ("object_heads", "version < ANY ('{{{}}}')", "3", "2"),
]
# What PostgreSQL would evaluate first of all, since it counts no cost for it, and takes for leak-proof.
FREE = [
    """('{"alice": 1}'::jsonb)[owner] IS NOT NULL""",
    """('{"carol": 1}'::jsonb)[readers[1]] IS NOT NULL""",
    """('{"UPDATED": 1}'::jsonb)[event_type] IS NULL""",
    """data['symbol'] IS NULL""",
    """data['legs'][3] IS NOT NULL""",
]
SETTINGS = [
    "SET enable_seqscan = on",
    "SET enable_indexscan = off; SET enable_bitmapscan = off",
    "SET enable_seqscan = off",
    "SET cpu_operator_cost = 0",
    "SET jit = off; SET cpu_operator_cost = 1e300; SET cpu_tuple_cost = 1e-300",
    "SET cpu_operator_cost = 1e-300; SET plan_cache_mode = force_generic_plan",
    "SET jit = on; SET jit_above_cost = 0",
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_plan_that_was_run_does_not_tell_whether_another_s_row_meets_a_condition(bob: Attacker, settings: str) -> None:
    bob.run(settings)

    def explained(table: str, condition: str, entity: str) -> str:
        rows = bob.run(
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF)"
            f" SELECT FROM store.{table} WHERE {condition}{entity}"
        )
        return re.sub(r"(Filter|Cond): .*", "", "\n".join(row[0] for row in rows))

    for table, condition, held, absent in PAIRS:
        plans = [
            explained(table, condition.format(value), f" AND entity_id = '{bob.scene.secret}'")
            for value in (held, absent)
        ]
        assert plans[0] == plans[1], f"{table}: {condition}\n{plans[0]}\n{plans[1]}"
    bob.heard = [re.sub("KRYPTO" + "NITE|471147000" + "471147|confid" + "ential", "", text) for text in bob.heard]


@pytest.mark.parametrize("condition", FREE)
def test_condition_that_would_come_before_row_security_is_not_to_be_had(bob: Attacker, condition: str) -> None:
    with pytest.raises(psycopg2.errors.DatatypeMismatch, match="cannot subscript type jsonb"):
        bob.run(f"EXPLAIN ANALYZE SELECT FROM store.object_heads WHERE {condition}")


def test_counters_of_one_s_own_transaction_tell_nothing_of_another_s_log(bob: Attacker) -> None:
    counted = "SELECT seq_scan, seq_tup_read, idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'object_heads'"
    for table, condition, held, absent in PAIRS:
        if table == "object_heads":
            continue
        counts = []
        for value in (held, absent):
            bob.run("SELECT pg_stat_force_next_flush()")
            bob.run("BEGIN")
            condition_met = condition.format(value)
            bob.run(f"SELECT FROM store.{table} WHERE {condition_met} AND entity_id = '{bob.scene.secret}'")
            counts.append(bob.run(counted))
            bob.run("ROLLBACK")
        assert counts[0] == counts[1], condition


def test_who_may_see_is_told_of_the_caller_only(bob: Attacker) -> None:
    scene = bob.scene
    asked = "SELECT store.may_see(%s)"
    assert bob.run(asked, scene.readable) == [(True,)]
    for entity in (scene.secret, "01890000-0000-7000-8000-000000000000", None):
        assert bob.run(asked, entity) == [(False,)]
