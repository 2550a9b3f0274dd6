"""Keeps the PostgreSQL of a store's directory running: one that has died is started again."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.server import ObjectStoreServer

__all__ = ["StoreWatch"]

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_LAST_RETRY = 30.0  # seconds between two starts that fail


class StoreWatch:
    """A thread that looks whether PostgreSQL runs, and starts it again where it does not.

    Whoever uses the store meanwhile waits, and connects again by itself: see `bridge.follower` and `server.trade_log`.

    Args:
        server: A server that was started.
        directory: The store's directory.
    """

    def __init__(self, server: ObjectStoreServer, directory: Path) -> None:
        self._server = server
        self._directory = directory
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End; a start that is under way is waited for, so that nothing is started behind whoever stops."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        pause = _LOOK_SECONDS
        while not self._stopping.wait(pause):
            if self._server.is_running():
                continue
            try:
                self._start_again()
                pause = _LOOK_SECONDS
            except Exception as error:  # it may die again at any moment of its start
                pause = min(2 * pause, _LAST_RETRY)
                _log.error("PostgreSQL does not start; next try in %.0f s: %s", pause, error)

    def _start_again(self) -> None:
        cluster = self._directory / "postgres"
        if not (cluster / "PG_VERSION").exists():
            # A start would make a new, empty store, and nobody would notice.
            raise FileNotFoundError(f"{cluster} is no longer there: bring it back, or stop the market data server")
        _log.warning("PostgreSQL in %s has died; starting it again", self._directory)
        self._server.start()
        _log.warning("PostgreSQL in %s runs again", self._directory)
