"""Writes batch after batch with `write_many`, each under an idempotency key of its own.

Job: `login`, `batches` (names), `size`, `chunk` (objects in one statement at most). Tells `sending` before each batch
and `done` once it is acknowledged. A Ctrl-C ends the batch under way: then it tells `interrupted`, with `ids` of the
objects as they stand in memory, and goes on.
"""

from __future__ import annotations

from store import writing
from store.client import StoreClient
from store.models import Trade
from tests.integration.workers.telling import job, tell


def main() -> None:
    asked = job()
    writing.CHUNK = asked["chunk"]
    with StoreClient(**asked["login"]) as client:
        for batch in asked["batches"]:
            trades: list[Trade] = []
            try:
                tell(sending=batch)
                trades += [
                    Trade(symbol="AAPL", quantity=number, price=1.0, side="BUY", strategy=batch)
                    for number in range(1, asked["size"] + 1)
                ]
                ids = client.write_many(trades, idempotency_key=batch)
                tell(done=batch, ids=len(set(ids)))
            except KeyboardInterrupt:
                tell(interrupted=batch, ids=sorted({str(trade.entity_id) for trade in trades})[:2])


if __name__ == "__main__":
    main()
