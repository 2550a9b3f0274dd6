"""What reaches a user's listeners: as a listener delivers it, and as the log is read in bare batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from store import groups
from store.client import StoreClient
from store.events import ChangeEvent, EventBus
from store.log_reader import LogReader
from store.log_rows import BEGINNING, LogRow
from store.models import Trade
from store.subscriptions import SubscriptionListener
from tests.fix_postgres import StoreDatabase
from tests.waiting import wait_until

__all__ = ["Listening", "amend", "join", "leave", "listening", "stream", "trade", "versions"]


def trade(quantity: int = 100) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=150.0, side="BUY")


def amend(client: StoreClient, obj: Trade, times: int = 1) -> None:
    for _ in range(times):
        obj.quantity += 1
        client.update(obj)


def join(store: StoreDatabase, group: str, user: str) -> None:
    with closing(store.admin()) as conn:
        if group in {found.name for found in groups.list_groups(conn)}:
            groups.add_members(conn, group, [user])
        else:
            groups.create_group(conn, group, [user])


def leave(store: StoreDatabase, group: str, user: str) -> None:
    with closing(store.admin()) as conn:
        groups.remove_members(conn, group, [user])


class Listening:
    """A listener, and what it has delivered: (entity, version, backfill) of each event."""

    def __init__(self, store: StoreDatabase, user: str, **options: object) -> None:
        self.events: list[ChangeEvent] = []
        bus = EventBus()
        bus.on_all(self.events.append)
        self.listener = SubscriptionListener(bus, **store.login(user), **options)  # type: ignore[arg-type]

    def told(self) -> list[tuple[str, int, bool]]:
        return [(event.entity_id, event.version, event.backfill) for event in self.events]

    def wait_for(self, *expected: tuple[str, int, bool]) -> None:
        wait_until(lambda: len(self.events) >= len(expected), message=lambda: str(self.told()))
        assert self.told() == list(expected)


@contextmanager
def listening(store: StoreDatabase, user: str = "bob", **options: object) -> Iterator[Listening]:
    made = Listening(store, user, **options)
    with made.listener:
        yield made


def stream(store: StoreDatabase, user: str = "bob", batch: int = 2_000) -> list[tuple[str, int, bool]]:
    """Read a user's whole stream from the log's beginning."""
    reader = LogReader({**store.login(user)})
    reader.position = BEGINNING
    rows: list[LogRow] = []
    try:
        while True:
            found = wait_until(lambda: reader.read(batch) or (not reader.waits and ([], None)))
            batch_rows, position = found
            rows += batch_rows
            if position is None:
                break
            assert position > reader.position
            assert all(reader.position < row.position <= position for row in batch_rows)
            reader.position = position
    finally:
        reader.close()
    assert [row.position for row in rows] == sorted({row.position for row in rows})
    return [(row.metadata.entity_id, row.metadata.version, row.granted_at > 0) for row in rows]


def versions(entity_id: str, numbers: Sequence[int], backfill: bool) -> list[tuple[str, int, bool]]:
    return [(entity_id, number, backfill) for number in numbers]
