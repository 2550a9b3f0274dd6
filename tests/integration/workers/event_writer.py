"""Makes events in transactions of random lengths until there are enough, whatever happens to the server meanwhile.

Job: `login`, `events`, `seed`. Some transactions are left open for a moment, some are rolled back. Tells `made`, how
many events were acknowledged, and how many calls failed (`lost`).
"""

from __future__ import annotations

import random
import time

from store.client import StoreClient
from store.errors import ConnectionLost
from store.models import Trade
from tests.integration.workers.telling import job, tell

ENTITIES = 40
LONGEST = 60  # events in a transaction


class RolledBack(Exception):
    """Raised to undo a transaction."""


def new_trade() -> Trade:
    return Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY")


def run_transaction(client: StoreClient, chance: random.Random, own: list[Trade], length: int) -> None:
    with client.transaction():
        for _ in range(length):
            if len(own) < ENTITIES or chance.random() < 0.05:
                fresh = new_trade()
                client.write(fresh)
                own.append(fresh)
            else:
                changed = chance.choice(own)
                changed.quantity += 1
                client.update(changed)
        if chance.random() < 0.1:
            time.sleep(chance.random() * 0.02)
        if chance.random() < 0.05:
            raise RolledBack


def main() -> None:
    asked = job()
    chance = random.Random(asked["seed"])
    made = lost = 0
    with StoreClient(**asked["login"]) as client:
        own: list[Trade] = []
        while made < asked["events"]:
            before = list(own)
            length = chance.choice([1, 1, 1, 2, 5, chance.randint(1, LONGEST)])
            try:
                run_transaction(client, chance, own, length)
                made += length
            except RolledBack:
                own = before
            except ConnectionLost:
                lost += 1
                time.sleep(0.05)
                own = []  # what the commit did is open: go on with others
    tell(made=made, lost=lost)


if __name__ == "__main__":
    main()
