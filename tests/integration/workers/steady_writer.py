"""Writes, updates and runs transactions until SIGTERM, whatever happens to the server meanwhile.

Job: `login`, `name`, `seed`. Each call has a key, kept in the field `strategy` of all that it stores. Tells `sent` (the
key) with `events` (how many the call makes), then `acked` or `failed` (with `error`, `ambiguous` and `message`); and
`wrong` when something was seen that must not be: an error that is not the store's, an acknowledged change gone, an
object that a failed call left changed.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

from store.client import StoreClient
from store.errors import ConnectionLost, StoreError
from store.models import Trade
from tests.integration.workers.telling import job, tell

EVENTS = {"write": 1, "update": 1, "write_many": 25, "transaction": 3, "nested": 2}


class Writer:
    """Makes the calls; `version` is the newest version of its own trade that was acknowledged."""

    def __init__(self, client: StoreClient, name: str) -> None:
        self.client = client
        self.name = name
        self.entity_id = client.write(self.trade(f"{name} first"))
        self.version: int | None = 1

    def trade(self, key: str) -> Trade:
        return Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY", strategy=key)

    def own(self) -> Trade:
        """Read this writer's own trade, and compare it with what was acknowledged."""
        found = self.client.read(Trade, self.entity_id)
        if found is None or (self.version is not None and found.version != self.version):
            tell(wrong=f"{self.name}: version {self.version} was acknowledged, {found and found.version} is read")
        assert found is not None
        self.version = found.version
        return found

    def changed(self, key: str) -> Trade:
        own = self.own()
        own.quantity += 1
        own.strategy = key
        return own

    def update(self, key: str) -> None:
        own = self.changed(key)
        before = own.version
        try:
            self.client.update(own)
        except ConnectionLost as error:
            if own.version != before:
                tell(wrong=f"{key}: the update failed and the object says version {own.version}")
            if error.ambiguous:
                self.version = None
            raise
        self.version = own.version

    def transaction(self, key: str) -> None:
        own = self.changed(key)
        self.version = None
        with self.client.transaction():
            self.client.write(self.trade(key))
            self.client.update(own)
            self.client.write(self.trade(key))
        self.version = own.version

    def nested(self, key: str) -> None:
        with self.client.transaction():
            self.client.write(self.trade(key))
            with self.client.transaction():
                self.client.write(self.trade(key))

    def write(self, key: str) -> None:
        self.client.write(self.trade(key))

    def write_many(self, key: str) -> None:
        self.client.write_many([self.trade(key) for _ in range(EVENTS["write_many"])])


def main() -> None:
    asked = job()
    chance = random.Random(asked["seed"])
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    with StoreClient(**asked["login"]) as client:
        writer = Writer(client, asked["name"])
        calls: dict[str, Callable[[str], None]] = {kind: getattr(writer, kind) for kind in EVENTS}
        number = 0
        while not stopping:
            number += 1
            kind = chance.choice(list(calls))
            key = f"{asked['name']} {number} {kind}"
            tell(sent=key, events=EVENTS[kind])
            try:
                calls[kind](key)
                tell(acked=key)
            except StoreError as error:
                tell(
                    failed=key,
                    error=type(error).__name__,
                    ambiguous=getattr(error, "ambiguous", None),
                    message=str(error),
                )
                time.sleep(0.02)  # as any program would, rather than try again at once
            except Exception as error:
                tell(wrong=f"{key}: {type(error).__module__}.{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
