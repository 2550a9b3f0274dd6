"""Inserts trades and updates the volatile ones, one committed change after another, until it is killed.

Job: `login`, `seed`. Tells `changed` after each change, the number of changes so far.
"""

from __future__ import annotations

import random

from store.client import StoreClient
from store.models import Trade
from tests.integration.workers.telling import job, tell


def main() -> None:
    asked = job()
    chance = random.Random(asked["seed"])
    with StoreClient(**asked["login"]) as client:
        volatile = client.query(Trade, {"book": "volatile"}, limit=None).items
        changed = 0
        while True:
            if chance.random() < 0.3:
                client.write(
                    Trade(symbol="NEW", quantity=chance.randint(1, 97), price=chance.random(), side="BUY", book="new")
                )
            else:
                trade = chance.choice(volatile)
                trade.quantity = chance.randint(1, 97)
                trade.price = chance.random()
                trade.strategy = chance.choice([None, "arbitrage", "momentum"])
                trade.side = "SELL" if trade.side == "BUY" else "BUY"
                client.update(trade)
            changed += 1
            tell(changed=changed)


if __name__ == "__main__":
    main()
