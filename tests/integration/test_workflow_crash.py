"""Workflows whose process is killed, at every boundary: each ends, and each of its changes to the store stands once.

One process starts a workflow for each boundary and stands still there in all of them. It is killed; a second one is
killed in the middle of recovering; then two at once go on with what is left.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fix_children import Child, Children
from tests.fix_postgres import StoreDatabase
from tests.integration.workers.telling import start, told
from tests.rounds import rounds
from tests.waiting import wait_until
from workflow.database import Database
from workflow.dbos_engine import DBOSEngine
from workflow.ledger import Ledger
from workflow.records import WorkflowStatus

SLEEP = 6.0
BOUNDARIES = {
    "step": "in step",
    "write": "after write",
    "update": "after update",
    "transition": "after transition",
    "write_many": "after write_many",
    "update_many": "after update_many",
    "delete": "after delete",
    "between": "between steps",
    "sleep": "in sleep",
    "recv": "in recv",
    "end": "at the end",
    "own": "after update",  # of a queue that lets one run at a time
}
EVENTS = {
    ("MAIN", "CREATED"): 1,
    ("MAIN", "UPDATED"): 1,
    ("MAIN", "STATE_CHANGE"): 2,
    ("PART", "CREATED"): 3,
    ("PART", "UPDATED"): 3,
    ("PART", "DELETED"): 1,
}


def rows(database: StoreDatabase, text: str) -> list[tuple[Any, ...]]:
    with closing(database.server.admin_conn(database.dbname)) as conn, conn.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()


def events_by_tag(database: StoreDatabase) -> dict[str, Counter[tuple[str, str]]]:
    """Return how many events of each kind the log holds, by the tag of the workflow that made them."""
    found: dict[str, Counter[tuple[str, str]]] = {}
    for book, symbol, event, count in rows(
        database,
        "SELECT c.changes->>'book', c.changes->>'symbol', e.event_type, count(*) FROM store.object_events e"
        " JOIN store.object_events c ON c.entity_id = e.entity_id AND c.version = 1 GROUP BY 1, 2, 3",
    ):
        found.setdefault(book, Counter())[symbol, event] = count
    return found


def await_all_at(worker: Child, wanted: set[str]) -> None:
    wait_until(
        lambda: {fact["at"] for fact in told(worker, "at")} >= wanted,
        120,
        lambda: f"{wanted - {fact['at'] for fact in told(worker, 'at')}} in:\n{worker.output[-4000:]}",
    )


@pytest.mark.stress
@pytest.mark.parametrize("number", range(rounds(1, 10)))
def test_workflows_survive_kills_at_every_boundary(
    store_db: StoreDatabase, children: Children, tmp_path: Path, number: int
) -> None:
    url = store_db.server.dbos_url(store_db.dbname)
    asked: dict[str, Any] = {
        "login": store_db.login("alice"),
        "url": url,
        "folder": str(tmp_path),
        "begin": [],
        "stop": {},
    }
    asked |= {"sweep": False, "sleep": SLEEP}
    tags = [*BOUNDARIES, "queue", "tier3"]
    dispatch = ("before start", "after start")[number % 2]
    with DBOSEngine(url, "outside") as outside, closing(Database(url)) as database:
        ledger = Ledger(database, "crash")
        first = start(
            children,
            "workflow_worker",
            **asked | {"begin": tags, "stop": BOUNDARIES | {"dispatch": dispatch}},
        )
        first.wait_for_line('"begun"', 120)
        outside.send("recv", "news", "first")
        await_all_at(first, {*BOUNDARIES, "dispatch"})
        first.kill()
        outside.send("recv", "news", "second")

        second = start(children, "workflow_worker", **asked | {"sweep": True})
        second.wait_for_line('"in recovery"', 120)
        second.kill()

        others = [start(children, "workflow_worker", **asked) for _ in range(2)]

        def all_ended() -> bool:
            found = ledger.list(limit=1000)
            if any(info.status is WorkflowStatus.ERROR for info in found):
                pytest.fail("\n".join(map(str, found)))
            ended = [info for info in found if info.status is WorkflowStatus.SUCCESS]
            return len(ended) == 2 * len(tags)  # each with the workflow that its last transition starts

        wait_until(all_ended, 180, lambda: "\n".join(map(str, ledger.list(limit=1000))) + others[0].output[-3000:])
        steps = ledger.show("sleep").steps
    assert not [fact for worker in (first, second, *others) for fact in told(worker, "twice")]

    made = events_by_tag(store_db)
    mains = dict(
        rows(store_db, "SELECT data->>'book', entity_id::text FROM store.object_heads WHERE data->>'symbol' = 'MAIN'")
    )
    assert made == {tag: Counter(EVENTS) for tag in tags} | {
        mains[tag]: Counter({("TIER3", "CREATED"): 1}) for tag in tags
    }
    heads = rows(
        store_db,
        "SELECT DISTINCT (data->>'quantity')::int, state FROM store.object_heads WHERE data->>'symbol' = 'MAIN'",
    )
    assert heads == [(110, "SETTLED")]
    assert rows(
        store_db, "SELECT DISTINCT data->>'trader_name' FROM store.object_heads WHERE data->>'symbol' = 'TIER3'"
    ) == [("alice",)]
    assert rows(store_db, "SELECT count(*) FROM store.workflow_outbox") == [(0,)]

    place = next(place for place, step in enumerate(steps) if step.name == "sleep")
    begun, woken = steps[place].started_at, steps[place + 1].started_at
    assert begun is not None and woken is not None
    assert (woken - begun).total_seconds() >= SLEEP - 0.01
    [(claimed,)] = rows(
        store_db, "SELECT started_at_epoch_ms / 1000.0 FROM workflow.workflow_status WHERE workflow_uuid = 'sleep'"
    )
    # It did not begin anew.
    assert woken.timestamp() < max(begun.timestamp() + SLEEP, float(claimed)) + SLEEP - 1
    for worker in others:
        worker.kill()
