"""What the bridge asks of the store: the states of several entities, now and then, and what will change by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from store.client import StoreClient
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import Position, Ticket, moment

pytestmark = pytest.mark.both_servers

LATER = datetime(2999, 1, 1, tzinfo=timezone.utc)
Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def life(client: StoreClient) -> dict[str, Any]:
    """A position that will change, one that is gone, one that has ended, and a ticket."""
    changing, gone, ended, ticket = Position(quantity=1), Position(quantity=2), Position(quantity=3), Ticket(quantity=4)
    client.write(changing, valid_from=moment(1))
    written = client.stable_time()
    changing.quantity = 10
    client.update(changing, valid_from=LATER)
    client.write(gone)
    client.delete(gone)
    client.write(ended, valid_from=moment(1), valid_to=moment(2))
    client.write(ticket)
    names = {"changing": changing, "gone": gone, "ended": ended, "ticket": ticket}
    return {**{name: obj.entity_id for name, obj in names.items()}, "written": written}


@pytest.fixture(scope="module")
def ask(module_store_db: StoreDatabase) -> Ask:
    connections = {user: module_store_db.connect(user) for user in ("alice", "bob")}

    def run(user: str, query: str, *params: Any) -> list[tuple[Any, ...]]:
        with connections[user] as conn, conn.cursor() as cursor:
            cursor.execute(query, params)
            return cursor.fetchall()

    return run


def ids(life: dict[str, Any]) -> list[str]:
    return [life[name] for name in ("changing", "gone", "ended", "ticket")]


def test_objects_now_are_those_of_the_type_with_when_they_next_change(life: dict[str, Any], ask: Ask) -> None:
    query = "SELECT entity_id::text, version, data->'quantity', due FROM store.objects_now(%s, %s::uuid[])"
    assert sorted(ask("alice", query, "Position", ids(life))) == sorted(
        [(life["changing"], 2, 1, LATER), (life["gone"], 2, None, None), (life["ended"], 1, None, None)]
    )
    assert ask("alice", query, "Ticket", ids(life)) == [(life["ticket"], 1, 4, None)]
    assert ask("alice", query, "Position", [life["gone"]]) == [(life["gone"], 2, None, None)]
    assert ask("bob", query, "Position", ids(life)) == []


def test_objects_at_a_moment_are_as_a_read_returned_them_then(life: dict[str, Any], ask: Ask) -> None:
    query = "SELECT entity_id::text, version, data->'quantity' FROM store.objects_at(%s, %s::uuid[], %s)"
    found = ask("alice", query, "Position", ids(life), life["written"])
    assert sorted(found) == sorted([(life["changing"], 1, 1), (life["gone"], 0, None), (life["ended"], 0, None)])
    assert (life["changing"], 2, 10) in ask("alice", query, "Position", ids(life), LATER)
    assert ask("alice", query, "Position", ids(life), moment(1)) == [
        (each, 0, None) for each, *_ in ask("alice", query, "Position", ids(life), LATER)
    ]
    assert ask("bob", query, "Position", ids(life), LATER) == []


def test_changes_ahead_are_those_known_before_a_moment(life: dict[str, Any], ask: Ask) -> None:
    query = "SELECT entity_id::text, moment FROM store.changes_ahead(%s, %s)"
    now = datetime.now(timezone.utc)
    assert ask("alice", query, "Position", now) == [(life["changing"], LATER)]
    assert ask("alice", query, "Position", LATER) == [(life["changing"], LATER)]
    assert ask("alice", query, "Position", life["written"]) == []
    assert ask("alice", query, "Ticket", now) == []
    assert ask("bob", query, "Position", now) == []
