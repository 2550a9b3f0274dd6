"""Processes killed at each point of a transition: state, side effects and workflow are what the tiers promise."""

from __future__ import annotations

import signal
from contextlib import closing

import pytest

from tests.fix_children import Children
from tests.fix_postgres import StoreDatabase
from tests.integration.workers.telling import start, told
from tests.integration.workers.transition_worker import POINTS, Effect, Instruction
from tests.rounds import rounds

ROUNDS = rounds(1, 5)
COMMITTED = ("before tier 2", "in tier 2", "before the workflow")
# What of Tier 2 has run by then: the hooks are tried once, and not again after a crash.
HOOKS = {"in tier 2": ["on_exit"], "before the workflow": ["on_exit", "on_enter"]}


def effects(database: StoreDatabase, tier: str) -> list[str]:
    """Return the entities for which a tier wrote its own entity, as a new client finds them."""
    with closing(database.client()) as client:
        return sorted(effect.title for effect in client.query(Effect, {"label": tier}, limit=None))


def waiting(database: StoreDatabase) -> list[tuple[str, int]]:
    with closing(database.admin()) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT entity_id::text, version FROM store.outbox_pending(1000)")
        return cursor.fetchall()


@pytest.mark.stress
def test_transition_killed_anywhere_keeps_the_promises_of_its_tiers(
    store_db: StoreDatabase, children: Children
) -> None:
    login = store_db.login("alice")
    client = store_db.client()
    entered: list[str] = []
    for number in range(ROUNDS):
        for point in POINTS:
            entity_id = client.write(Instruction())
            worker = start(children, "transition_worker", login=login, entity=entity_id, point=point)
            assert worker.wait() == -signal.SIGKILL, worker.output
            committed = point in COMMITTED
            entered += [entity_id] if committed else []
            with closing(store_db.client()) as fresh:
                found = fresh.read(Instruction, entity_id)
                events = [entry["event_type"] for entry in fresh.audit(entity_id)]
            assert found is not None
            where = f"killed {point}, round {number}"
            assert found.state == ("FILLED" if committed else "PENDING"), where
            assert events == (["CREATED", "STATE_CHANGE"] if committed else ["CREATED"]), where
            assert (entity_id in effects(store_db, "tier 1")) is committed, where
            hooks = [fact["done"] for fact in told(worker, "done") if fact["done"] != "tier 1"]
            assert hooks == HOOKS.get(point, []), where
            assert ((entity_id, 2) in waiting(store_db)) is committed, where
            if not committed:  # nothing of it is left to stand in the way of doing it again
                again = start(children, "transition_worker", login=login, entity=entity_id, point="nowhere")
                assert again.wait() == 0, again.output
                entered.append(entity_id)
    assert effects(store_db, "tier 1") == sorted(entered)
    assert effects(store_db, "tier 3") == []
    url = store_db.server.dbos_url(store_db.dbname)
    for _ in range(2):  # the second engine finds nothing to start
        engine = start(children, "transition_worker", login=login, url=url, entities=entered)
        assert engine.wait(180.0) == 0, engine.output
        assert told(engine, "ended") == [{"ended": entered}]
        assert waiting(store_db) == []
        assert effects(store_db, "tier 3") == sorted(entered)
