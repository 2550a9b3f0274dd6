"""Adds one to the quantity of trades that other processes change at the same time, in every way there is.

Job: `login`, `begin`, `ids`, `seconds`, `seed`, `shares` (whether to share and unshare as well). Tells at the end
`acked` (entity and version of each change that was committed), `conflicts` (how many by the error's name) and `others`
(errors that none of these calls should raise).
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence

from store.client import StoreClient
from store.errors import TransactionConflict, VersionConflict
from store.models import Trade
from store.permissions import share_read, unshare_read
from tests.integration.workers.telling import await_signal, job, tell


def read(client: StoreClient, ids: Sequence[str]) -> list[Trade]:
    trades = [client.read(Trade, entity_id) for entity_id in ids]
    assert None not in trades
    return [trade for trade in trades if trade is not None]


def change(client: StoreClient, chance: random.Random, ids: list[str]) -> list[Trade]:
    """Add one to one trade, to three at once, or to two in a transaction; return those that were committed."""
    way = chance.random()
    trades = read(client, chance.sample(ids, 1 if way < 0.6 else 3 if way < 0.8 else 2))
    for trade in trades:
        trade.quantity += 1
    if way < 0.6:
        client.update(trades[0])
    elif way < 0.8:
        client.update_many(trades)
    else:
        with client.transaction():
            for trade in trades:
                client.update(trade)
    return trades


def main() -> None:
    asked = job()
    chance = random.Random(asked["seed"])
    acked: list[tuple[str | None, int | None]] = []
    conflicts: Counter[str] = Counter()
    others: list[str] = []
    with StoreClient(**asked["login"]) as client:
        await_signal(asked["begin"])
        end = time.monotonic() + asked["seconds"]
        while time.monotonic() < end:
            try:
                if asked["shares"] and chance.random() < 0.05:
                    chance.choice([share_read, unshare_read])(client.conn, chance.choice(asked["ids"]), "bob")
                else:
                    acked += [(trade.entity_id, trade.version) for trade in change(client, chance, asked["ids"])]
            except (VersionConflict, TransactionConflict) as error:
                conflicts[type(error).__name__] += 1
            except Exception as error:
                others.append(f"{type(error).__module__}.{type(error).__name__}: {error}")
    tell(acked=acked, conflicts=conflicts, others=others)


if __name__ == "__main__":
    main()
