"""Workflows and the store: the examples of the documentation, Tier 3, and changes that stand exactly once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest

from reactive.expr import Const, Field
from store.base import Storable
from store.client import StoreClient
from store.errors import IdempotencyMismatch, VersionConflict
from store.idempotency import key_scope
from store.models import Trade
from store.state_machine import StateMachine, Transition
from tests.fix_postgres import StoreDatabase, fresh_database
from tests.fix_workflow import KINDS
from tests.waiting import wait_until
from workflow import WorkflowEngine, WorkflowFailed, WorkflowStatus, current
from workflow.dbos_engine import DBOSEngine
from workflow.dispatcher import WorkflowDispatcher
from workflow.testing import InMemoryEngine

engine: WorkflowEngine
client: StoreClient
cleared: list[str] = []


def settlement_workflow(entity_id: str) -> str:
    order = engine.step(lambda: client.read(Deal, entity_id))
    engine.step(lambda: cleared.append(f"{entity_id} for {current().user}"))
    WorkflowDispatcher(engine, client).durable_transition(order, "SETTLED")
    return str(order.state)


class DealLife(StateMachine):
    initial = "PENDING"
    transitions = (
        Transition("PENDING", "FILLED", guard=Field("quantity") > Const(0), start_workflow=settlement_workflow),
        Transition("PENDING", "HELD"),
        Transition("HELD", "FILLED"),
        Transition("FILLED", "SETTLED"),
        Transition("PENDING", "SETTLED"),
    )


@dataclass
class Deal(Storable, state_machine=DealLife, type_name="desk.Deal"):  # an engine finds a class by this name
    symbol: str = ""
    quantity: int = 0
    price: float = 0.0
    side: str = ""


def create_order(symbol: str, qty: int, price: float, side: str) -> str:
    return client.write(Deal(symbol=symbol, quantity=qty, price=price, side=side))


def fill_order(order_id: str) -> None:
    order = client.read(Deal, order_id)
    assert order is not None
    order.quantity += 1
    client.update(order)
    client.transition(order, "HELD")
    client.transition(order, "FILLED")


def order_to_trade(symbol: str, qty: int, price: float, side: str) -> str:
    oid: str = engine.step(create_order, symbol, qty, price, side)
    engine.step(fill_order, oid)
    engine.step(client.write, Trade(symbol=symbol, quantity=qty, price=price, side=side))
    return oid


@pytest.fixture(scope="module")
def workflow_db(store_server: Any) -> Iterator[StoreDatabase]:
    with fresh_database(store_server) as database:
        yield database


@pytest.fixture(scope="module", params=KINDS)
def desk(request: pytest.FixtureRequest, workflow_db: StoreDatabase) -> Iterator[WorkflowEngine]:
    """An engine that drains the store's outbox, bound to the names that the workflows above use."""
    global engine, client
    url = workflow_db.server.dbos_url(workflow_db.dbname)
    engine = InMemoryEngine(outbox=url) if request.param == "memory" else DBOSEngine(url, "desk")
    with closing(StoreClient(**workflow_db.login("alice"))) as client, engine:
        Deal._workflow_engine = engine
        yield engine
        Deal._workflow_engine = None


def versions(entity_id: str) -> list[str]:
    return [entry["event_type"] for entry in client.audit(entity_id)]


def test_order_to_trade_example(desk: WorkflowEngine) -> None:
    trades = client.count(Trade)
    handle = desk.workflow(order_to_trade, "AAPL", 100, 150.0, "BUY")
    order_id = handle.get_result(120)
    assert handle.get_status() is WorkflowStatus.SUCCESS
    assert client.count(Trade) == trades + 1
    assert versions(order_id) == ["CREATED", "UPDATED", "STATE_CHANGE", "STATE_CHANGE"]
    assert [step.name for step in desk.show(handle.workflow_id).steps] == [
        "create_order",
        "fill_order",
        "StoreClient.write",
    ]


def test_transition_starts_its_workflow_once_in_the_name_of_its_user(desk: WorkflowEngine) -> None:
    order = Deal(symbol="AAPL", quantity=1, price=1.0, side="BUY")
    entity_id = client.write(order)
    client.transition(order, "FILLED")
    handle = wait_until(lambda: _found(desk, f"{entity_id}:2"))
    assert handle.get_result(120) == "SETTLED"
    assert cleared.count(f"{entity_id} for alice") == 1
    assert versions(entity_id) == ["CREATED", "STATE_CHANGE", "STATE_CHANGE"]
    settled = client.read(Deal, entity_id)
    assert settled is not None and settled.state == "SETTLED"


def _found(desk: WorkflowEngine, workflow_id: str) -> Any:
    try:
        return desk.handle(workflow_id)
    except LookupError:
        return None


def test_transition_rolled_back_starts_nothing(desk: WorkflowEngine) -> None:
    order = Deal(symbol="AAPL", quantity=1, price=1.0, side="BUY")
    client.write(order)
    with pytest.raises(ZeroDivisionError), client.transaction():
        client.transition(order, "FILLED")
        raise ZeroDivisionError
    other = Deal(symbol="AAPL", quantity=1, price=1.0, side="BUY")
    client.write(other)
    client.transition(other, "FILLED")
    wait_until(lambda: _found(desk, f"{other.entity_id}:2"))
    assert _found(desk, f"{order.entity_id}:2") is None


def test_row_that_no_class_here_can_start_stays_and_is_reported_once(
    desk: WorkflowEngine, workflow_db: StoreDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(StateMachine):
        initial = "A"
        transitions = (Transition("A", "B", start_workflow=settlement_workflow), Transition("A", "C"))

    @dataclass
    class Deal(Storable, type_name="OddDeal", state_machine=Odd):
        symbol: str = ""

    Deal._workflow_engine = desk
    waiting, started = Deal(symbol="AAPL"), Deal(symbol="AAPL")
    client.write_many([waiting, started])
    # Another process's machine may start a workflow where ours does not.
    with closing(workflow_db.admin()) as conn, conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO store.workflow_outbox (entity_id, version, type_name, from_state, to_state, username,"
            " created_at) VALUES (%s, 8, 'OddDeal', 'A', 'C', 'alice', now()),"
            " (%s, 9, 'Nowhere', 'A', 'B', 'bob', now())",
            (waiting.entity_id, waiting.entity_id),
        )
    with caplog.at_level(logging.WARNING, logger="workflow"):
        desk.wake()
        wait_until(lambda: "no class Nowhere is loaded in this process" in caplog.text)
        wait_until(lambda: "this edge of Odd starts no workflow in this process" in caplog.text)
        client.transition(started, "B")  # what waits does not hold up what can be started
        wait_until(lambda: _found(desk, f"{started.entity_id}:2"))
        desk.wake()
        client.transition(waiting, "B")
        wait_until(lambda: _found(desk, f"{waiting.entity_id}:2"))
    assert caplog.text.count("no class Nowhere") == 1
    with closing(workflow_db.admin()) as conn, conn, conn.cursor() as cursor:
        cursor.execute("DELETE FROM store.workflow_outbox RETURNING type_name")
        assert sorted(row[0] for row in cursor.fetchall()) == ["Nowhere", "OddDeal"]


def failing_twice(tag: str) -> str:
    """Change the store in every way, and fail at the end, twice."""
    deal = Deal(symbol="AAPL", quantity=1, price=1.0, side="BUY")
    client.write(deal)
    deal.quantity += 1
    client.update(deal)
    client.transition(deal, "HELD")
    others = [Trade(symbol=tag, quantity=number, price=1.0, side="BUY") for number in (1, 2)]
    client.write_many(others)
    for other in others:
        other.quantity += 10
    client.update_many(others)
    client.delete(others[0])
    cleared.append(tag)
    if cleared.count(tag) < 3:
        raise ConnectionError("not yet")
    assert deal.entity_id is not None
    return deal.entity_id


def retried(tag: str) -> str:
    made: str = engine.step(failing_twice, tag, attempts=3, backoff=0.0)
    return made


def test_step_tried_again_changes_the_store_once(desk: WorkflowEngine) -> None:
    tag = f"T{len(cleared)}"
    entity_id = desk.run(retried, tag)
    assert cleared.count(tag) == 3
    assert versions(entity_id) == ["CREATED", "UPDATED", "STATE_CHANGE"]
    found = client.query(Trade, {"symbol": tag})
    assert [trade.quantity for trade in found] == [12]
    assert found[0].version == 2


# ---- key scopes, which the steps rest on


@pytest.fixture
def alice(workflow_db: StoreDatabase) -> Iterator[StoreClient]:
    with closing(StoreClient(**workflow_db.login("alice"))) as made:
        yield made


def test_scope_repeated_finds_its_changes_whatever_was_read_between(alice: StoreClient) -> None:
    with key_scope("scope/1"):
        entity_id = alice.write(Deal(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
        first = alice.read(Deal, entity_id)
        assert first is not None
        first.quantity += 5
        alice.update(first)
        first.quantity += 5
        alice.update(first)
    with key_scope("scope/1"):
        assert alice.write(Deal(symbol="AAPL", quantity=1, price=1.0, side="BUY")) == entity_id
        again = alice.read(Deal, entity_id)
        assert again is not None
        again.quantity += 5
        alice.update(again)
        assert (again.quantity, again.version) == (6, 2)
        again.quantity += 5
        alice.update(again)
        assert (again.quantity, again.version) == (11, 3)
        again.quantity += 5
        alice.update(again)  # one more than before: new
    assert [entry["version"] for entry in alice.audit(entity_id)] == [1, 2, 3, 4]
    last = alice.read(Deal, entity_id)
    assert last is not None and last.quantity == 16


def test_scope_counts_no_change_that_failed_or_was_rolled_back(alice: StoreClient) -> None:
    deal = Deal(symbol="AAPL", quantity=1, price=1.0, side="BUY")
    entity_id = alice.write(deal)
    stale = alice.read(Deal, entity_id)
    assert stale is not None
    deal.quantity = 2
    alice.update(deal)

    def work() -> None:
        """What a careful step does: read again after a conflict, and once more after a rollback."""
        mine: Deal | None = stale
        for _ in range(3):
            try:
                with alice.transaction():
                    assert mine is not None
                    mine.quantity += 100
                    alice.update(mine)
                    attempts.append(mine.version)
                    if len(attempts) == 1:
                        raise TimeoutError
                return
            except (VersionConflict, TimeoutError):
                mine = alice.read(Deal, entity_id)

    attempts: list[int | None] = []
    with key_scope("scope/2"):
        work()
    with key_scope("scope/2"):
        work()
    found = alice.read(Deal, entity_id)
    assert found is not None
    assert (found.quantity, found.version) == (102, 3)


def test_scope_that_makes_another_change_is_an_error(alice: StoreClient) -> None:
    with key_scope("scope/3"):
        entity_id = alice.write(Deal(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
        deal = alice.read(Deal, entity_id)
        assert deal is not None
        alice.transition(deal, "HELD")
    with key_scope("scope/3"):
        with pytest.raises(IdempotencyMismatch, match="used for another request"):
            alice.write(Deal(symbol="AAPL", quantity=2, price=1.0, side="BUY"))
        with pytest.raises(IdempotencyMismatch, match=r"made another change here: STATE_CHANGE .* to HELD, not to F"):
            alice.transition(deal, "FILLED")


def test_scope_of_another_user_is_another_scope(alice: StoreClient, workflow_db: StoreDatabase) -> None:
    with closing(StoreClient(**workflow_db.login("bob"))) as bob:
        trade = Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY")
        with key_scope("scope/4"):
            first = alice.write(trade)
        with key_scope("scope/4"):
            second = bob.write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
        assert first != second
        with closing(psycopg2.connect(**workflow_db.login("bob"))) as conn, conn.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM store.replay('workflow:scope/4/create/Trade/1')")
            assert cursor.fetchone() == (1,)
            cursor.execute("SELECT entity_id::text FROM store.replay('workflow:scope/4/create/Trade/1')")
            assert cursor.fetchone() == (second,)


def test_pruned_workflow_takes_its_keys_along(workflow_db: StoreDatabase, desk: WorkflowEngine) -> None:
    if isinstance(desk, InMemoryEngine):
        pytest.skip("an engine in memory is gone with its process, and leaves the keys")
    handle = desk.workflow(order_to_trade, "AAPL", 1, 1.0, "BUY", workflow_id="desk/42")
    handle.get_result(120)

    def keys() -> int:
        with closing(workflow_db.admin()) as conn, conn, conn.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM store.idempotency_keys WHERE key LIKE 'workflow:desk/42/%'")
            row = cursor.fetchone()
            assert row is not None
            return int(row[0])

    def recorded() -> dict[str, int]:
        """Return how many rows of each of the engine's tables tell of a workflow that ended."""
        found = {}
        with closing(workflow_db.admin()) as conn, conn, conn.cursor() as cursor:
            for table, column in (
                ("workflow_status", "workflow_uuid"),
                ("workflow_input", "workflow_uuid"),
                ("workflow_output", "workflow_uuid"),
                ("operation_outputs", "workflow_uuid"),
                ("notifications", "destination_uuid"),
                ("problems", "subject"),
            ):
                cursor.execute(f"SELECT count(*) FROM workflow.{table} WHERE {column} = 'desk/42'")
                row = cursor.fetchone()
                assert row is not None
                found[table] = int(row[0])
        return found

    desk.send("desk/42", "late", "nobody reads it")
    with closing(workflow_db.admin()) as conn, conn, conn.cursor() as cursor:
        cursor.execute("INSERT INTO workflow.problems VALUES ('desk/42', 'it waited once', 'somebody')")
    assert keys() == 5
    assert min(recorded().values()) >= 1
    desk.prune(0)
    assert keys() == 0
    assert max(recorded().values()) == 0


def test_error_of_durable_transition_is_the_stores(desk: WorkflowEngine) -> None:
    entity_id = client.write(Deal(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
    with pytest.raises(WorkflowFailed, match="InvalidTransition: DealLife: no state 'LOST'"):
        desk.run(moving, entity_id, "LOST")
    with pytest.raises(WorkflowFailed, match="durable_transition takes an object of the store, not None"):
        desk.run(moving, "00000000-0000-0000-0000-000000000000", "HELD")
    assert desk.run(moving, entity_id, "HELD") == ("HELD", 2)


def moving(entity_id: str, state: str) -> Any:
    deal = engine.step(client.read, Deal, entity_id)
    WorkflowDispatcher(engine, client).durable_transition(deal, state)
    return deal.state, deal.version
