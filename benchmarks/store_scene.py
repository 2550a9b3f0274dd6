"""What the store's benchmarks share: a server, a user's client, trades, and plain tables to hold it against.

The plain tables live in the same database on the same server, so that both sides have the same durability. They have
the columns and indexes of the store's own, without row security, constraints, triggers or functions, and are reached
as the superuser, whose rights PostgreSQL does not look up. Their rows start from dicts in memory, as ours start from
objects: in either case somebody has to make text of them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import fields
from datetime import datetime, timezone
from functools import cached_property
from itertools import count
from typing import Any
from uuid import uuid4

from psycopg2.extensions import connection as Connection

from store.client import StoreClient
from store.models import Trade
from store.schema import bootstrap_schema
from store.server import ObjectStoreServer

USER = "bench"
PASSWORD = "bench_pw"
SYMBOLS = 2_000
BATCH = 20_000

_numbers = count(1)


class Scene:
    """One database with a store in it: the user's client, and a connection of the superuser for the plain tables."""

    def __init__(self, server: ObjectStoreServer, dbname: str) -> None:
        """Connect nothing yet."""
        self.server = server
        self.where: dict[str, Any] = {**server.conn_info(), "dbname": dbname}
        self.login: dict[str, Any] = {**self.where, "user": USER, "password": PASSWORD}

    @cached_property
    def client(self) -> StoreClient:
        """The user's client."""
        return StoreClient(**self.login)

    @cached_property
    def raw(self) -> Connection:
        """The superuser's connection, in autocommit mode as the client's own."""
        conn = self.server.admin_conn(self.where["dbname"])
        conn.autocommit = True
        return conn

    def execute(self, text: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser."""
        with self.raw.cursor() as cursor:
            cursor.execute(text, params or None)
            return cursor.fetchall() if cursor.description is not None else []

    def plain_table(self, name: str, like: str) -> None:
        """Make an empty plain table with the columns and indexes of one of the store's."""
        self.execute(f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} (LIKE store.{like} INCLUDING INDEXES)")

    def settle(self) -> None:
        """Do now what the server's own housekeeping would do soon, so that it does not begin in mid-measurement."""
        self.execute("VACUUM (ANALYZE)")
        self.execute("CHECKPOINT")

    def close(self) -> None:
        """Close what was opened."""
        for name in ("client", "raw"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()


@contextmanager
def running_server() -> Iterator[ObjectStoreServer]:
    """Start a server in a temporary directory, with one user."""
    with ObjectStoreServer() as server:
        server.provision_user(USER, PASSWORD)
        yield server


def add_database(server: ObjectStoreServer, template: Scene | None = None) -> Scene:
    """Add a database with a store of its own to the server: empty, or a copy of another one."""
    dbname = f"bench_{next(_numbers)}"
    source = "template0" if template is None else template.where["dbname"]
    if template is not None:
        template.close()
    with closing(server.admin_conn("postgres")) as conn:
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE {dbname} TEMPLATE "{source}" STRATEGY file_copy')
            cursor.execute(f"GRANT CONNECT ON DATABASE {dbname} TO store_user")
    with closing(server.admin_conn(dbname)) as conn:
        bootstrap_schema(conn)
    return Scene(server, dbname)


@contextmanager
def scene() -> Iterator[Scene]:
    """Start a server with an empty store, and end both."""
    with running_server() as server:
        made = Scene(server, server.conn_info()["dbname"])
        try:
            yield made
        finally:
            made.close()


def trade(number: int, version: int = 1, symbols: int = SYMBOLS) -> Trade:
    """Return a trade: one in `symbols` has the same symbol, half have the same side, each version has its price."""
    return Trade(
        symbol=f"SYM{number % symbols}",
        quantity=100 + number % 900 + version,
        price=100.0 + (number * 37 + version * 11) % 100_000 / 100,
        side="BUY" if number % 2 else "SELL",
        trader_name=f"trader {number % 40}",
        account=f"ACC{number % 300}",
        book=f"BOOK{number % 20}",
        strategy=f"strategy {number % 12}",
        counterparty=f"broker {number % 60}",
    )


def load(client: StoreClient, entities: int, symbols: int = SYMBOLS) -> list[Trade]:
    """Write trades through the client and return them."""
    trades = [trade(number, symbols=symbols) for number in range(entities)]
    for batch in _batches(trades):
        client.write_many(batch)
    return trades


def deepen(client: StoreClient, trades: Sequence[Trade], version: int) -> None:
    """Bring trades to their next version through the client: price and quantity change."""
    for number, changed in enumerate(trades):
        changed.price, changed.quantity = trade(number, version).price, trade(number, version).quantity
    # Two batches at a time: while PostgreSQL works on one, Python makes the next.
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(client.update_many, _batches(trades)))


def _batches(trades: Sequence[Trade]) -> Iterator[Sequence[Trade]]:
    return (trades[start : start + BATCH] for start in range(0, len(trades), BATCH))


def data_of(trades: Sequence[Trade]) -> list[dict[str, Any]]:
    """Return what a plain program would store of trades."""
    return [{field.name: getattr(made, field.name) for field in fields(made)} for made in trades]


COLUMNS = "seq, entity_id, version, type_name, event_type, tx_time, valid_from, valid_to, updated_by, changes"
INSERT_EVENT = (
    f"INSERT INTO raw_events ({COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING entity_id::text"
)


def insert_event(conn: Connection, seq: int, data: dict[str, Any]) -> None:
    """Insert one row of the log, as a plain program would."""
    now = datetime.now(timezone.utc)
    row = (seq, str(uuid4()), 1, "Trade", "CREATED", now, now, "infinity", USER, json.dumps(data))
    with conn.cursor() as cursor:
        cursor.execute(INSERT_EVENT, row)
        cursor.fetchall()


def copy_events(
    conn: Connection, rows: Sequence[dict[str, Any]], first_seq: int, entity_ids: Sequence[str], version: int
) -> None:
    """Copy rows of the log in one COPY, the fastest way into PostgreSQL, from data that a program holds as dicts."""
    event_type = "CREATED" if version == 1 else "UPDATED"
    now = datetime.now(timezone.utc).isoformat()
    lines = [
        f"{seq}\t{entity_id}\t{version}\tTrade\t{event_type}\t{now}\t{now}\tinfinity\t{USER}\t{json.dumps(data)}\n"
        for seq, (data, entity_id) in enumerate(zip(rows, entity_ids, strict=True), first_seq)
    ]
    with conn.cursor() as cursor:
        cursor.copy_expert(f"COPY raw_events ({COLUMNS}) FROM STDIN", io.StringIO("".join(lines)))
