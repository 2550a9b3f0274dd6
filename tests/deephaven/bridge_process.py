"""A process with a bridge in it, to be killed: publishes `trades_raw` and `trades_live` until it ends.

Arguments: the store's login as JSON, the key's file, and the port, where it is not to be any free one. Prints `port N`
once the tables are current.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from bridge import StoreBridge
from server.embedded import DeephavenServer
from store.models import Trade

if __name__ == "__main__":
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    server = DeephavenServer(port=port, heap="512m", key_file=Path(sys.argv[2])).start()
    bridge = StoreBridge(**json.loads(sys.argv[1]), poll_seconds=0.2)
    bridge.register(Trade)
    bridge.start()
    trades_raw, trades_live = bridge.table(Trade), bridge.live(Trade)
    bridge.wait_current(60)
    print(f"port {server.port}", file=server.terminal, flush=True)
    threading.Event().wait()
