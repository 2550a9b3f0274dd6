"""Rights withdrawn and given back again and again while their user goes on: no call without one did anything."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from store import groups, schema
from store.models import Trade
from tests.fix_postgres import StoreDatabase
from tests.rounds import rounds

pytestmark = pytest.mark.both_servers

LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
CREATE = "SELECT FROM store.create_objects(%s, '{}', '{}', false, NULL)"
APPEND = "SELECT FROM store.append_events(%s, false, NULL)"
APPEND_BATCH = "SELECT FROM store.append_batch(%s, false, NULL)"
REFUSED = {"TS001", "TS002", "TS003", "TS021", "40001", "40P01"}


class Race:
    """A right that comes and goes, and a user's sessions that try what it allows."""

    def __init__(self, store_db: StoreDatabase) -> None:
        self.db = store_db
        self.without: list[tuple[float, float]] = []  # from the answer to withdrawing it to giving it back
        self.done: list[tuple[float, float]] = []  # from the call to its answer
        self.odd: list[str] = []
        self.over = threading.Event()

    def call(self, level: str, seed: int, text: str, item: Callable[[Connection], str]) -> None:
        """Try one call again and again, each from a snapshot of some moments before."""
        chance = random.Random(seed)
        with closing(self.db.admin()) as looking, closing(self.db.connect("bob")) as conn, conn.cursor() as cursor:
            looking.autocommit = True
            conn.set_session(isolation_level=level)
            while not self.over.is_set():
                cursor.execute("SELECT count(*) FROM store.object_heads")
                asked = item(looking)
                self.over.wait(chance.random() / 50)
                began = time.monotonic()
                try:
                    cursor.execute(text, (asked,))
                    conn.commit()
                    self.done.append((began, time.monotonic()))
                except psycopg2.Error as error:
                    conn.rollback()
                    if error.pgcode not in REFUSED:
                        self.odd.append(str(error))

    def run(self, withdraw: Callable[[], None], give: Callable[[], None], calls: list[threading.Thread]) -> None:
        """Withdraw the right and give it back while the calls are tried."""
        chance = random.Random(1)
        for thread in calls:
            thread.start()
        try:
            for _ in range(rounds(60, 1000)):
                withdraw()
                gone = time.monotonic()
                time.sleep(chance.random() / 25)
                self.without.append((gone, time.monotonic()))
                give()
                time.sleep(chance.random() / 25)
        finally:
            self.over.set()
            for thread in calls:
                thread.join(120)
        assert self.odd == []
        assert self.done, "nothing was done while the right was there"
        late = [call for call in self.done for gone in self.without if gone[0] < call[0] and call[1] < gone[1]]
        assert late == []


def started(race: Race, text: str, item: Callable[[Connection], str]) -> list[threading.Thread]:
    return [
        threading.Thread(target=race.call, args=(level, seed, text, item))
        for seed, level in enumerate(LEVELS, len(text))
    ]


def test_nothing_is_changed_by_calls_that_began_after_a_membership_was_withdrawn(store_db: StoreDatabase) -> None:
    race = Race(store_db)
    with closing(store_db.admin()) as admin:
        groups.create_group(admin, "lent desk", ["bob"])
        lent = store_db.client("alice", writers=["lent desk"])
        entities = lent.write_many([Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY") for _ in range(20)])

        def change(looking: Connection) -> str:
            entity = random.choice(entities)
            with looking.cursor() as cursor:
                cursor.execute("SELECT version FROM store.object_heads WHERE entity_id = %s", (entity,))
                (version,) = cursor.fetchone()
            item = {"entity_id": entity, "type_name": "Trade", "version": version, "changes": {"quantity": 2}}
            return json.dumps([item | {"event_type": "UPDATED"}])

        race.run(
            lambda: groups.remove_members(admin, "lent desk", ["bob"]),
            lambda: groups.add_members(admin, "lent desk", ["bob"]),
            started(race, APPEND, change) + started(race, APPEND_BATCH, change),
        )
        with admin, admin.cursor() as cursor:
            cursor.execute("SELECT * FROM store.differences()")
            assert cursor.fetchall() == []


def test_no_unpublished_object_is_written_by_calls_that_began_after_these_were_closed_out(
    store_db: StoreDatabase,
) -> None:
    race, item = Race(store_db), json.dumps([{"type_name": "Unpublished", "data": {}}])
    with closing(store_db.admin()) as admin:
        race.run(
            lambda: schema.set_governed(admin, True),
            lambda: schema.set_governed(admin, False),
            started(race, CREATE, lambda looking: item),
        )
