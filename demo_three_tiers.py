"""The tiers of a transition's side effects, each shown by what a fresh read of the store finds afterwards.

Tier 1, `action=`, runs inside the transaction: it commits with the change of state or takes it back. Tier 2, `on_exit=`
and `on_enter=`, runs after the commit: its failure is logged and changes nothing. Tier 3, `start_workflow=`, is put
down in the same transaction, and a workflow engine sees to it until it is done.

    python3 demo_three_tiers.py
"""

from __future__ import annotations

import logging
import time

from rich.console import Console
from rich.logging import RichHandler

from reactive.expr import Const, Field
from store import ObjectStoreServer, StateMachine, StoreClient, Transition
from store.errors import GuardFailure
from store.models import Order, Trade
from workflow import WorkflowEngine, WorkflowHandle
from workflow.dbos_engine import DBOSEngine
from workflow.errors import UnknownWorkflow

console = Console()


class SettlementRefused(Exception):
    """What the clearing house answers to an order of more than a thousand shares."""


def book_trade(order: Order, from_state: str, to_state: str) -> None:
    """Tier 1: book the trade of a filled order, in the same transaction."""
    client.write(Trade(symbol=order.symbol, quantity=order.quantity, price=order.price, side=order.side))
    if order.quantity > 1_000:
        raise SettlementRefused(f"{order.quantity} shares of {order.symbol}")


def notify_risk(order: Order, from_state: str, to_state: str) -> None:
    """Tier 2: tell the risk system, which is down."""
    raise ConnectionError("the risk system does not answer")


def settlement_workflow(order_id: str) -> str:
    """Tier 3: settle an order in steps, each of which is done once, whatever breaks in between."""
    receipt: str = engine.step(lambda: f"receipt for {order_id[-6:]}", name="instruct the clearing house")
    engine.step(lambda: settle(order_id), name="settle the order")
    return receipt


def settle(order_id: str) -> None:
    """Move an order to its last state."""
    order = client.read(Order, order_id)
    assert order is not None
    client.transition(order, "SETTLED")


class OrderLifecycle(StateMachine):
    """Pending orders are filled or cancelled; filled ones are sent to the clearing house, which settles them."""

    initial = "PENDING"
    transitions = (
        Transition("PENDING", "FILLED", guard=Field("quantity") > Const(0), action=book_trade),
        Transition("PENDING", "CANCELLED", on_enter=notify_risk),
        Transition("FILLED", "SENT", start_workflow=settlement_workflow),
        Transition("SENT", "SETTLED", guard=Field("price") > Const(0)),
    )


Order._state_machine = OrderLifecycle


def show(title: str, order_id: str) -> None:
    """Print what a fresh read of the store finds."""
    order = client.read(Order, order_id)
    assert order is not None
    console.print(
        f"  [bold]{title}[/bold]: the order is [cyan]{order.state}[/cyan] at version {order.version},"
        f" and there are {client.count(Trade)} trades"
    )


def started(workflow_id: str) -> WorkflowHandle:
    """Return the workflow that a transition has put down, once an engine has taken it up."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return engine.handle(workflow_id)
        except UnknownWorkflow:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def main() -> None:
    """Walk through the tiers."""
    console.rule("Tier 1: the action commits with the change of state")
    filled = Order(symbol="AAPL", quantity=100, price=150.0, side="BUY")
    filled_id = client.write(filled)
    show("before", filled_id)
    client.transition(filled, "FILLED")
    show("after", filled_id)

    console.rule("Tier 1: an action that fails takes the change of state back")
    order = Order(symbol="MSFT", quantity=5_000, price=410.0, side="BUY")
    order_id = client.write(order)
    try:
        client.transition(order, "FILLED")
    except SettlementRefused as error:
        console.print(f"  the action raised SettlementRefused: {error}")
    show("after", order_id)

    console.rule("A guard that does not hold lets nothing happen")
    order = Order(symbol="TSLA", quantity=1, price=180.0, side="SELL")
    order_id = client.write(order)
    order.quantity = 0
    try:
        client.transition(order, "FILLED")
    except GuardFailure as error:
        console.print(f"  {error}")
    show("after", order_id)

    console.rule("Tier 2: a hook that fails is logged, and the state stands")
    client.transition(order, "CANCELLED")
    show("after", order_id)

    console.rule("Tier 3: a workflow is put down with the change of state, and done")
    client.transition(filled, "SENT")
    settlement = started(f"{filled_id}:{filled.version}")
    receipt = settlement.get_result(timeout=60)
    console.print(f"  the workflow ended with {settlement.get_status().value}: {receipt}")
    show("after", filled_id)
    console.print("  its trail: " + ", ".join(f"{e['event_type']} {e['state']}" for e in client.audit(filled_id)))


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.ERROR, format="%(message)s", handlers=[RichHandler(console=console, show_path=False)]
    )
    with ObjectStoreServer() as server:
        server.provision_user("alice", "alice_pw")
        with StoreClient(user="alice", password="alice_pw", **server.conn_info()) as client:
            engine: WorkflowEngine
            with DBOSEngine(server.dbos_url(), name="three-tiers") as engine:
                Order._workflow_engine = engine
                main()
