"""Makes the calls that other processes make at the same time, under the same idempotency keys.

Job: `login`, `begin`, `targets` (entity by key). Tells for each key `key`, the `ids` of a batch written and the
`version` of the target updated under it.
"""

from __future__ import annotations

from store.client import StoreClient
from store.models import Trade
from tests.integration.workers.telling import await_signal, job, tell


def main() -> None:
    asked = job()
    with StoreClient(**asked["login"]) as client:
        await_signal(asked["begin"])
        for key, entity_id in asked["targets"].items():
            trades = [Trade(symbol="KEY", quantity=1 + n, price=1.0, side="BUY", strategy=key) for n in range(3)]
            target = client.history(Trade, entity_id)[0]
            target.quantity += 1
            ids = client.write_many(trades, idempotency_key=f"{key} batch")
            client.update(target, idempotency_key=f"{key} update")
            tell(key=key, ids=ids, version=target.version)


if __name__ == "__main__":
    main()
