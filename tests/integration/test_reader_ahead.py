"""A reader of the log that has the next batch read while its consumer works on one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from store.log_reader import BATCH, LogReader
from store.log_rows import BEGINNING
from store.models import Trade
from tests.fix_postgres import StoreDatabase

pytestmark = pytest.mark.both_servers

EVENTS = 3 * BATCH + 7


@pytest.fixture
def login(store_db: StoreDatabase) -> dict[str, Any]:
    """Return a login whose stream has a few batches."""
    user = store_db.provision("reading", reads_all=True)
    trades = [Trade(symbol="AAPL", quantity=number, price=1.0, side="BUY") for number in range(1, EVENTS + 1)]
    store_db.client().write_many(trades)
    return store_db.login(user)


@pytest.fixture
def reader(login: dict[str, Any]) -> Iterator[LogReader]:
    with closing(LogReader(login, types=["Trade"], data=True, poll_seconds=0.2, ahead=True)) as reader:
        yield reader


def quantities(reader: LogReader) -> list[int]:
    return [row.data["quantity"] for rows in reader.follow(until_idle=True) for row in rows if row.data is not None]


def test_reader_ahead_brings_every_event_once_and_in_order(reader: LogReader) -> None:
    assert quantities(reader) == list(range(1, EVENTS + 1))
    assert quantities(reader) == []


def test_reader_ahead_brings_a_batch_again_whose_consumer_failed(reader: LogReader) -> None:
    follow = reader.follow(until_idle=True)
    first = next(follow)
    second = next(follow)
    del follow  # what an error in the consumer comes to
    assert reader.position == first[-1].position
    assert quantities(reader)[: len(second)] == [row.data["quantity"] for row in second if row.data is not None]
    reader.position = BEGINNING
    assert quantities(reader) == list(range(1, EVENTS + 1))


def test_reader_ahead_goes_on_where_its_connection_was_cut(store_db: StoreDatabase, reader: LogReader) -> None:
    seen = []
    for number, rows in enumerate(reader.follow(until_idle=True)):
        seen += [row.data["quantity"] for row in rows if row.data is not None]
        if number in (0, 2):
            process = reader.connect().info.backend_pid
            with store_db.admin().cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s, 30000)", [process])
                assert cursor.fetchone() == (True,)
    assert seen == list(range(1, EVENTS + 1))


def test_reader_ahead_closed_in_the_middle_ends(reader: LogReader) -> None:
    assert next(reader.follow())
    reader.close()
    reader.close()
