"""Opens the store of a data directory, writes one trade into it, and lets go of it, several times.

Job: `data_dir`, `name`, `times`; with `begin`, waits for the other workers first; with `hold`, keeps the store open at
the end until SIGTERM. Tells `opened` (where to connect) each time and `wrote` (the trade's id).
"""

from __future__ import annotations

import signal
from typing import Any

from store.client import StoreClient
from store.models import Trade
from store.server import ObjectStoreServer
from tests.integration.workers.telling import await_signal, job, tell


def open_once(asked: dict[str, Any], hold: bool) -> None:
    with ObjectStoreServer(asked["data_dir"]) as server:
        where = server.conn_info()
        tell(opened=where)
        name = asked["name"]
        server.provision_user(name, f"{name}_pw")
        with StoreClient(name, f"{name}_pw", **where) as client:
            tell(wrote=client.write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY", strategy=name)))
        if hold:
            signal.sigwait({signal.SIGTERM})


def main() -> None:
    asked = job()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    if "begin" in asked:
        await_signal(asked["begin"])
    for number in range(asked["times"]):
        open_once(asked, bool(asked.get("hold")) and number == asked["times"] - 1)


if __name__ == "__main__":
    main()
