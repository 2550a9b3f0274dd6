"""What an engine does for the store of its database: it brings up to date what a scheduled change has overtaken."""

from __future__ import annotations

from workflow.database import Database
from workflow.sql import statements

__all__ = ["Upkeep"]

HEADS = 200
Sql = statements("outbox")


class Upkeep:
    """Keeps the queries of a store from folding the logs of what fell due long ago, again and again.

    Args:
        url: The engine's URL of the store's database.
    """

    def __init__(self, url: str) -> None:
        """Connect nothing yet."""
        self._database = Database(url)
        self._present: bool | None = None

    def tend(self) -> None:
        """Bring some heads up to date, where there is a store and where any is due."""
        if self._present is None:
            self._present = self._database.fetch(Sql["settles"])[0][0]
        if self._present:
            self._database.fetch(Sql["settle"], {"heads": HEADS})

    def close(self) -> None:
        """Close the connection."""
        self._database.close()
