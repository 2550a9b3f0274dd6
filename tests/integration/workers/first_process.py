"""Opens a store as the first process of a container would: what loses its parent becomes its child, and is not reaped.

Job: `data_dir`. Kills the server, which stays in the process table as a zombie, starts it again on the same object, and
tells `restarted` (whether both server processes differ) and `read` (the quantity of the trade written before).
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

import psutil

from store.client import StoreClient
from store.models import Trade
from store.server import ObjectStoreServer
from tests.integration.workers.telling import job, tell
from tests.waiting import wait_until

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    data_dir = job()["data_dir"]
    mark = Path(data_dir) / "postgres" / "postmaster.pid"
    with ObjectStoreServer(data_dir) as server:
        server.provision_user("alice", "alice_pw")
        with StoreClient("alice", "alice_pw", **server.conn_info()) as client:
            entity_id = client.write(Trade(symbol="AAPL", quantity=7, price=1.0, side="BUY"))
        killed = int(mark.read_text().split()[0])
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: psutil.Process(killed).status() == psutil.STATUS_ZOMBIE)
        server.start()
        with StoreClient("alice", "alice_pw", **server.conn_info()) as client:
            trade = client.read(Trade, entity_id)
        tell(restarted=int(mark.read_text().split()[0]) != killed, read=trade and trade.quantity)


if __name__ == "__main__":
    main()
