"""Runs workflows that change the store, and stands still where it is told to, so that it can be killed there.

Job: `login` (a user's), `url` (the engine's), `folder` (for locks), `sleep` (seconds), `begin` (workflows to start),
`stop` (where to stand still: workflow -> boundary), `sweep` (whether to stand still once a workflow is recovered).
Tells `at` with the workflow when it stands still, `twice` when a workflow runs in two processes, `launched`.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.base import Storable
from store.client import StoreClient
from store.state_machine import StateMachine, Transition
from tests.integration.workers.telling import job, tell
from workflow import current
from workflow.dbos_engine import DBOSEngine
from workflow.dispatcher import WorkflowDispatcher
from workflow.executors import TakeOver

asked: dict[str, Any] = {}
engine: DBOSEngine
client: StoreClient
held: list[int] = []


def here(workflow: str, boundary: str) -> None:
    """Stand still, for ever, where the job says so."""
    if asked["stop"].get(workflow) == boundary:
        tell(at=workflow, boundary=boundary)
        time.sleep(3600)


def alone(name: str) -> None:
    """Hold a lock that the system takes away with the process, and tell when another one holds it."""
    lock = os.open(Path(asked["folder"], name), os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell(twice=name)
    held.append(lock)


def settle(entity_id: str) -> str:
    """Tier 3: one trade for the ticket, in the name of whoever made the transition."""
    alone(entity_id)
    engine.step(lambda: client.write(Ticket(symbol="TIER3", book=entity_id, trader_name=current().user or "")))
    return entity_id


class Life(StateMachine):
    initial = "NEW"
    transitions = (
        Transition("NEW", "FILLED"),
        Transition("FILLED", "SETTLED", start_workflow=settle),
    )


@dataclass
class Ticket(Storable, state_machine=Life):
    symbol: str = ""
    quantity: int = 0
    book: str = ""
    trader_name: str = ""


def write(tag: str) -> str:
    here(tag, "in step")
    entity_id = client.write(Ticket(symbol="MAIN", quantity=100, book=tag))
    here(tag, "after write")
    return entity_id


def raise_quantity(tag: str, entity_id: str) -> None:
    ticket = client.read(Ticket, entity_id)
    assert ticket is not None
    ticket.quantity += 10
    client.update(ticket)
    here(tag, "after update")


def fill(tag: str, entity_id: str) -> None:
    ticket = client.read(Ticket, entity_id)
    assert ticket is not None
    client.transition(ticket, "FILLED")
    here(tag, "after transition")


def write_parts(tag: str) -> list[Ticket]:
    parts = [Ticket(symbol="PART", quantity=number, book=tag) for number in range(3)]
    client.write_many(parts)
    here(tag, "after write_many")
    return parts


def raise_parts(tag: str, parts: list[Ticket]) -> list[Ticket]:
    for part in parts:
        part.quantity += 1
    client.update_many(parts)
    here(tag, "after update_many")
    return parts


def drop(tag: str, part: Ticket) -> None:
    client.delete(part)
    here(tag, "after delete")


def whole(tag: str) -> str:
    """Every kind of change, with a sleep and two messages between them."""
    alone(tag)
    entity_id = engine.step(write, tag)
    here(tag, "between steps")
    engine.step(raise_quantity, tag, entity_id)
    engine.step(fill, tag, entity_id)
    parts = engine.step(raise_parts, tag, engine.step(write_parts, tag))
    engine.step(drop, tag, parts[0])
    if asked["stop"].get(tag) == "in sleep":
        tell(at=tag, boundary="in sleep")
    if tag.startswith("sleep"):
        engine.sleep(asked["sleep"])
    if tag.startswith("recv"):
        first = engine.recv("news", 300.0)
        if asked["stop"].get(tag) == "in recv":
            tell(at=tag, boundary="in recv")
        second = engine.recv("news", 300.0)
        assert (first, second) == ("first", "second"), (first, second)
    ticket = engine.step(client.read, Ticket, entity_id)
    WorkflowDispatcher(engine, client).durable_transition(ticket, "SETTLED")
    here(tag, "at the end")
    return entity_id


def stop_in_dispatch(boundary: str) -> None:
    """Stand still in the drain of the outbox, before or after the workflow is started."""
    start = engine._start

    def stopping(wanted: Any) -> Any:
        if wanted.target.name.endswith(":settle"):
            here("dispatch", "before start")
            made = start(wanted)
            here("dispatch", "after start")
            return made
        return start(wanted)

    if boundary:
        engine._start = stopping  # type: ignore[method-assign]


def stop_in_recovery() -> None:
    """Stand still once a workflow is claimed from a dead process, before it runs."""
    make = TakeOver.__init__

    def init(self: TakeOver, database: Any, executor: Any, run: Any) -> None:
        def claimed(workflow_id: str, token: str) -> None:
            tell(at=workflow_id, boundary="in recovery")
            time.sleep(3600)

        make(self, database, executor, claimed)

    TakeOver.__init__ = init  # type: ignore[method-assign]


def main() -> None:
    global engine, client
    asked.update(job())
    client = StoreClient(**asked["login"])
    engine = DBOSEngine(asked["url"], "crash")
    engine.declare_queue("work", consume=not asked["begin"])
    engine.declare_queue("own", concurrency=1)
    Ticket._workflow_engine = engine
    if asked["sweep"]:
        stop_in_recovery()
    stop_in_dispatch(asked["stop"].get("dispatch", ""))
    with engine:
        if asked["begin"]:
            for tag in asked["begin"]:
                if tag.startswith("queue"):
                    engine.queue("work", whole, tag, workflow_id=tag)
                elif tag.startswith("own"):
                    engine.queue("own", whole, tag, workflow_id=tag)
                else:
                    engine.workflow(whole, tag, workflow_id=tag)
            tell(begun=len(asked["begin"]))
        tell(launched=str(engine.report))
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
