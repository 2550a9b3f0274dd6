"""Processes killed and interrupted in the middle of writing: what they wrote is there whole or not at all."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from tests.fix_children import Children
from tests.fix_postgres import StoreDatabase
from tests.integration.workers.telling import start, told
from tests.rounds import rounds
from tests.waiting import wait_until

ROUNDS = rounds(2, 10)
# Where a writer stands, as PostgreSQL sees it: inside its statement, or between two statements of a large batch.
MOMENTS = {
    "in_a_statement": "state = 'active' AND position('EXECUTE create_batch' in query) = 1",
    "between_two_statements": "state = 'idle in transaction'",
}
SIZE = 5_000
CHUNKS = {"in_a_statement": SIZE, "between_two_statements": SIZE // 10}
ENOUGH = 60  # batches, so that a writer is not done before it was seen in a statement


def rows(database: StoreDatabase, text: str, *params: Any) -> list[tuple[Any, ...]]:
    with closing(database.server.admin_conn(database.dbname)) as conn, conn.cursor() as cursor:
        cursor.execute(text, params)
        return cursor.fetchall()


def await_writer(database: StoreDatabase, condition: str) -> None:
    """Wait until alice's only session has a transaction under way and stands where the condition says."""
    found = f"SELECT 1 FROM pg_stat_activity WHERE usename = 'alice' AND backend_xid IS NOT NULL AND {condition}"
    wait_until(lambda: rows(database, found), message=condition)


def await_no_session(database: StoreDatabase) -> None:
    wait_until(lambda: rows(database, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'alice'") == [(0,)])


def sizes(database: StoreDatabase) -> dict[str, int]:
    """Return how many trades of each batch the log holds; the projection must hold as many."""
    in_log, in_heads = (
        dict(rows(database, f"SELECT {data}->>'strategy', count(*) FROM store.{table} GROUP BY 1"))
        for table, data in (("object_events", "changes"), ("object_heads", "data"))
    )
    assert in_log == in_heads
    return in_log


@pytest.mark.stress
@pytest.mark.parametrize("moment", MOMENTS)
def test_write_many_killed_is_stored_whole_or_not_at_all(
    store_db: StoreDatabase, children: Children, moment: str
) -> None:
    asked = {"login": store_db.login("alice"), "size": SIZE, "chunk": CHUNKS[moment]}
    whole = 0
    for number in range(ROUNDS):
        batches = [f"round {number} batch {batch}" for batch in range(ENOUGH)]
        held = batches[1] if moment == "between_two_statements" else ""
        writer = start(children, "bulk_writer", **asked, batches=batches, hold=held)
        writer.wait_for_line(f'{{"done": "{batches[0]}"')
        await_writer(store_db, MOMENTS[moment])
        writer.kill()
        await_no_session(store_db)

        sent, done = ([fact[key] for fact in told(writer, key)] for key in ("sending", "done"))
        found = {batch: count for batch, count in sizes(store_db).items() if batch in batches}
        assert set(found.values()) == {SIZE}
        assert set(done) <= found.keys() <= set(sent)
        assert len(done) < len(batches)
        whole += len(found) - len(done)

        asked_again = batches[: len(sent) + 1]
        again = start(children, "bulk_writer", **asked, batches=asked_again, hold="")
        assert again.wait() == 0, again.output
        assert {batch: count for batch, count in sizes(store_db).items() if batch in batches} == dict.fromkeys(
            asked_again, SIZE
        )
    assert rows(store_db, "SELECT * FROM store.differences()") == []
    print(f"{ROUNDS} kills {moment}: {whole} batches there though not acknowledged, {ROUNDS - whole} not there")


@pytest.mark.stress
@pytest.mark.parametrize("moment", MOMENTS)
def test_write_many_interrupted_is_stored_whole_or_not_at_all_and_the_process_goes_on(
    store_db: StoreDatabase, children: Children, moment: str
) -> None:
    asked = {"login": store_db.login("alice"), "size": SIZE, "chunk": CHUNKS[moment]}
    for number in range(ROUNDS):
        batches = [f"round {number} batch {batch}" for batch in range(ENOUGH)]
        held = batches[0] if moment == "between_two_statements" else ""
        writer = start(children, "bulk_writer", **asked, batches=batches, hold=held)
        writer.wait_for_line('"sending"')
        await_writer(store_db, MOMENTS[moment])
        writer.interrupt()
        writer.wait_for_line('"interrupted"')
        assert writer.wait() == 0, writer.output

        done = [fact["done"] for fact in told(writer, "done")]
        [interrupted] = told(writer, "interrupted")
        sent = [fact["sending"] for fact in told(writer, "sending")]
        assert sent == [*done[:-1], interrupted["interrupted"], *done[-1:]], (
            "one more is written after the interruption"
        )
        found = {batch: count for batch, count in sizes(store_db).items() if batch in batches}
        assert set(found.values()) == {SIZE}
        assert set(done) <= found.keys()
        if interrupted["interrupted"] not in found:
            assert set(interrupted["ids"]) <= {"None"}, "an object says that it is written, and is not"
    assert rows(store_db, "SELECT * FROM store.differences()") == []
