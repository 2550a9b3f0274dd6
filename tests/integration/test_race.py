"""Many processes that change the same entities at the same time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from store.models import Trade
from tests.fix_children import Children
from tests.fix_postgres import USERS, StoreDatabase
from tests.integration.workers.telling import let_off, start, told
from tests.rounds import rounds

PROCESSES = 8
ENTITIES = 50


@pytest.mark.stress
@pytest.mark.timeout(600)
def test_update_raced_by_eight_processes_loses_nothing_and_raises_only_conflicts(
    store_db: StoreDatabase, children: Children, tmp_path: Path
) -> None:
    client = store_db.client("alice", writers=["bob", "carol"])
    ids = client.write_many([Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY") for _ in range(ENTITIES)])
    racers = [
        start(
            children,
            "racer",
            login=store_db.login(USERS[number % len(USERS)]),
            begin=str(tmp_path / "begin"),
            ids=ids,
            seconds=rounds(3, 20),
            seed=number,
            shares=number % len(USERS) == 0,
        )
        for number in range(PROCESSES)
    ]
    let_off(racers, tmp_path / "begin")
    assert [racer.wait(timeout=180) for racer in racers] == [0] * PROCESSES, "\n".join(r.output for r in racers)
    reports = [told(racer, "acked")[0] for racer in racers]
    assert [error for report in reports for error in report["others"]] == []

    acked = Counter((entity_id, version) for report in reports for entity_id, version in report["acked"])
    assert set(acked.values()) == {1}, "two processes were told that they made the same version"
    increments = Counter(entity_id for entity_id, _ in acked)
    for entity_id in ids:
        versions = client.history(Trade, entity_id)
        assert [trade.version for trade in versions] == list(range(1, len(versions) + 1))
        assert [trade.quantity for trade in versions] == list(range(1, len(versions) + 1))
        assert {entity_id: len(versions) - 1} == {entity_id: increments[entity_id]}
        times = [trade.tx_time for trade in versions]
        assert times == sorted(set(times))  # type: ignore[type-var]
        current = client.read(Trade, entity_id)
        assert current is not None
        assert current.quantity == 1 + increments[entity_id]
    conflicts = sum((Counter(report["conflicts"]) for report in reports), Counter())
    assert conflicts["VersionConflict"] > 0, "there was no race"
    print(f"{len(acked)} changes acknowledged; {dict(conflicts)}")
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT * FROM store.differences()")
        assert cursor.fetchall() == []


@pytest.mark.stress
def test_calls_with_one_idempotency_key_raced_by_eight_processes_are_applied_once(
    store_db: StoreDatabase, children: Children, tmp_path: Path
) -> None:
    client = store_db.client()
    keys = [f"key {number}" for number in range(rounds(20, 200))]
    ids = client.write_many([Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY") for _ in keys])
    targets = dict(zip(keys, ids, strict=True))
    racers = [
        start(children, "key_racer", login=store_db.login("alice"), begin=str(tmp_path / "begin"), targets=targets)
        for _ in range(PROCESSES)
    ]
    let_off(racers, tmp_path / "begin")
    assert [racer.wait(timeout=180) for racer in racers] == [0] * PROCESSES, "\n".join(r.output for r in racers)
    for key, entity_id in targets.items():
        given = [fact for racer in racers for fact in told(racer, "key") if fact["key"] == key]
        assert [fact["version"] for fact in given] == [2] * PROCESSES
        batch = client.query(Trade, {"strategy": key}, order_by="quantity")
        assert [trade.quantity for trade in batch] == [1, 2, 3]
        assert [fact["ids"] for fact in given] == [[trade.entity_id for trade in batch]] * PROCESSES
        assert [trade.quantity for trade in client.history(Trade, entity_id)] == [1, 2]
