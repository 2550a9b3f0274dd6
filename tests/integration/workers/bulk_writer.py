"""Writes batch after batch with `write_many`, each under an idempotency key of its own.

Job: `login`, `batches` (names), `size`, `chunk` (objects in one statement at most), `hold` (the batch to stop in, once
its first statements are sent; none if empty). Tells `sending` before each batch and `done` once it is acknowledged. A
Ctrl-C ends the batch under way: then it tells `interrupted`, with `ids` of the objects as they stand in memory, and
writes one more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from store import connection, writing
from store.client import StoreClient
from store.models import Trade
from tests.integration.workers.telling import job, tell

HELD_AT = 3  # statements made when a held batch stops; the last one's answer is not asked for yet


def hold(batch: str, under_way: list[str]) -> None:
    """Stop the making of statements in this batch, as if the process got no processor from there on."""
    answers = connection.answers

    def made(calls: Iterable[Any]) -> Iterator[Any]:
        for number, call in enumerate(calls):
            if number == HELD_AT and under_way == [batch]:
                tell(held=batch)
                time.sleep(600)
            yield call

    def held(send: Callable[[Any], Any], calls: Iterable[Any]) -> Iterator[Any]:
        return answers(send, made(calls))

    connection.answers = held


def main() -> None:
    asked = job()
    writing.CHUNK = asked["chunk"]
    under_way: list[str] = []
    hold(asked["hold"], under_way)
    left = list(reversed(asked["batches"]))
    with StoreClient(**asked["login"]) as client:
        while left:
            batch = left.pop()
            under_way[:] = [batch]
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
                del left[:-1]


if __name__ == "__main__":
    main()
