"""Draining the outbox past rows that nobody here can start: they are reported, and cost nothing in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from store.base import Storable
from store.state_machine import StateMachine, Transition
from tests.fix_postgres import StoreDatabase
from workflow import outbox
from workflow.errors import EngineError
from workflow.outbox import Outbox
from workflow.records import Start


def settle_ticket(entity_id: str) -> str:
    return entity_id


class TicketLife(StateMachine):
    initial = "A"
    transitions = (
        Transition("A", "B", start_workflow=settle_ticket),
        Transition("A", "C", start_workflow=settle_ticket),
    )


@dataclass
class OutboxTicket(Storable, state_machine=TicketLife):
    symbol: str = ""


INSERT = "INSERT INTO store.workflow_outbox (entity_id, version, type_name, from_state, to_state, username, created_at)"


class Drained(Outbox):
    """An outbox that counts the rows it was given, and what it started."""

    def __init__(self, url: str) -> None:
        self.started: list[str] = []
        self.notes: list[str] = []
        self.broken = False
        self.rows = 0
        self.reasons: list[str] = []
        super().__init__(url, self._begin, self._waits)
        fetch = self._database.fetch

        def counting(text: str, params: Any = None) -> list[tuple[Any, ...]]:
            found = fetch(text, params)
            self.rows += len(found)
            return found

        self._database.fetch = counting  # type: ignore[method-assign]

    def _waits(self, subject: str, reason: str) -> None:
        self.notes.append(subject)
        self.reasons.append(reason)

    def _begin(self, start: Start) -> None:
        if self.broken:
            raise EngineError("no room")
        assert start.workflow_id is not None
        self.started.append(start.workflow_id)

    def cost(self) -> int:
        self.rows = 0
        self.drain()
        return self.rows


@pytest.fixture
def drained(store_db: StoreDatabase) -> Iterator[Drained]:
    made = Drained(store_db.server.dbos_url(store_db.dbname))
    yield made
    made.close()


def put(store_db: StoreDatabase, type_name: str, to_state: str, count: int) -> None:
    with closing(store_db.admin()) as conn, conn, conn.cursor() as cursor:
        cursor.execute(
            f"{INSERT} SELECT gen_random_uuid(), 2, %s, 'A', %s, 'alice', now() FROM generate_series(1, %s)",
            (type_name, to_state, count),
        )


def test_rows_that_nobody_here_can_start_cost_a_drain_nothing(store_db: StoreDatabase, drained: Drained) -> None:
    put(store_db, "Nowhere", "B", 1500)
    put(store_db, "OutboxTicket", "B", 3)
    assert drained.drain() == 3
    assert len(drained.notes) == len(drained.waiting) == outbox.MANY
    put(store_db, "OutboxTicket", "C", 250)
    assert drained.drain() == 250
    assert drained.cost() == 0
    put(store_db, "OutboxTicket", "B", 1)
    assert drained.cost() == 2  # the row, and that it was taken out
    assert len(drained.started) == len(set(drained.started)) == 254
    drained._look_at = 0.0
    assert drained.cost() == outbox.MANY
    assert len(drained.notes) == outbox.MANY  # each told once


def test_edge_that_cannot_be_started_now_keeps_no_other_waiting(store_db: StoreDatabase, drained: Drained) -> None:
    put(store_db, "Nowhere", "B", 200)
    drained.drain()
    put(store_db, "OutboxTicket", "B", 500)
    drained.broken = True
    assert drained.cost() <= 101
    put(store_db, "OutboxTicket", "C", 1)
    drained.broken = False
    assert drained.drain() == 501
    assert drained.cost() == 0


def test_row_committed_behind_a_later_one_is_started(store_db: StoreDatabase, drained: Drained) -> None:
    put(store_db, "Nowhere", "B", 200)
    with closing(store_db.admin()) as slow, slow.cursor() as cursor:
        cursor.execute(f"{INSERT} VALUES (gen_random_uuid(), 2, 'OutboxTicket', 'A', 'B', 'alice', now())")
        put(store_db, "OutboxTicket", "B", 1)
        put(store_db, "Nowhere", "B", 1)
        assert drained.drain() == 1
        slow.commit()
    assert drained.drain() == 1


def test_names_in_rows_begin_no_line_of_a_log_and_are_nothing_that_a_terminal_obeys(
    store_db: StoreDatabase, drained: Drained
) -> None:
    put(store_db, "Un\x1b]0;mine\x07\nknown", "B", 1)
    put(store_db, "OutboxTicket", "B\r\nCRITICAL \x1b[2J", 1)
    drained.drain()
    assert len(drained.reasons) == 2
    assert all(reason.isprintable() for reason in drained.reasons), drained.reasons
