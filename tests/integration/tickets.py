"""A class that tests publish, its machine, and ways to send what our own client would not."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest

from store.base import Storable
from store.publishing import Publication, publish
from store.state_machine import StateMachine, Transition
from tests.fix_postgres import StoreDatabase


class Lifecycle(StateMachine):
    initial = "OPEN"
    transitions = (
        Transition("OPEN", "DONE"),
        Transition("OPEN", "VETOED", allowed_by=["bob"]),
        Transition("DONE", "OPEN", allowed_by=["carol"]),
    )


def ticket(**machine: Any) -> type[Any]:
    """Return a class of its own for each test: what one attaches to it does not reach another."""

    @dataclass
    class Ticket(Storable, **machine):
        symbol: str = "AAPL"
        quantity: int = 1
        price: float = 1.0
        side: str = "BUY"
        book: str | None = None

    return Ticket


def published(database: StoreDatabase, *classes: type[Any]) -> list[Publication]:
    with closing(database.admin()) as conn:
        return publish(conn, *classes)


def sent(database: StoreDatabase, user: str, function: str, items: list[dict[str, Any]]) -> None:
    """Send items as a program would that has none of our Python."""
    rest = "'{}', '{}', false, NULL" if function == "create_objects" else "false, NULL"
    with closing(database.connect(user)) as conn, conn, conn.cursor() as cursor:
        cursor.execute(f"SELECT * FROM store.{function}(%s, {rest})", (json.dumps(items),))


def refused(database: StoreDatabase, function: str, *items: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Send items that must be refused; return the message and the facts."""
    with pytest.raises(psycopg2.Error) as caught:
        sent(database, "alice", function, list(items))
    assert caught.value.pgcode is not None and caught.value.pgcode.startswith("TS02"), caught.value
    return str(caught.value.diag.message_primary), json.loads(str(caught.value.diag.message_detail))


def new(state: str | None = None, type_name: str = "Ticket", **data: Any) -> dict[str, Any]:
    return {"type_name": type_name, "data": data, "state": state}


def event(obj: Any, event_type: str, state: str | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "entity_id": obj.entity_id,
        "type_name": "Ticket",
        "version": obj.version,
        "event_type": event_type,
        "changes": changes,
        "from_state": obj.state if event_type == "STATE_CHANGE" else None,
        "state": state,
    }
