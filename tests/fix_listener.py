"""Listeners of alice or another user, each on a bus of its own, which are stopped when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.waiting import wait_until

if TYPE_CHECKING:
    from store.events import ChangeEvent
    from tests.fix_postgres import StoreDatabase


class Listening:
    """A listener on a bus of its own, and the events that it delivered."""

    def __init__(self, store: StoreDatabase, user: str, **options: Any) -> None:
        from store.events import EventBus
        from store.subscriptions import SubscriptionListener

        self.bus = EventBus()
        self.events: list[ChangeEvent] = []
        self.bus.on_all(self.events.append)
        self.listener = SubscriptionListener(self.bus, **store.login(user), **options)

    def entities(self) -> list[str]:
        return [event.entity_id for event in self.events]

    def wait_for(self, entities: list[str]) -> None:
        wait_until(lambda: len(self.events) >= len(entities), message=lambda: str(self.entities()))
        assert self.entities() == entities


@pytest.fixture
def listen(store_db: StoreDatabase) -> Iterator[Callable[..., Listening]]:
    """Make listeners of alice, or of another user; they are stopped at the end."""
    made: list[Listening] = []

    def make(user: str = "alice", **options: Any) -> Listening:
        made.append(Listening(store_db, user, **options))
        return made[-1]

    yield make
    for listening in made:
        listening.listener.stop()


def checkpoint(store_db: StoreDatabase) -> int:
    """Return the only checkpoint in a store."""
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT seq FROM store.checkpoints")
        [(seq,)] = cursor.fetchall()
        return int(seq)
