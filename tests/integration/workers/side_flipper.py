"""Turns BUY trades into SELL for good, one after another.

Job: `login`. Tells `flipped`, the entity's id, once its change is committed; at the end `finished`.
"""

from __future__ import annotations

from store.client import StoreClient
from store.models import Trade
from tests.integration.workers.telling import job, tell


def main() -> None:
    with StoreClient(**job()["login"]) as client:
        for trade in client.query(Trade, {"side": "BUY"}, limit=None):
            trade.side = "SELL"
            client.update(trade)
            tell(flipped=trade.entity_id)
    tell(finished=True)


if __name__ == "__main__":
    main()
