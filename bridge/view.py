"""What of the log a user has been shown, and which of it the user may no longer read."""

from __future__ import annotations

from store.log_rows import LogRow

__all__ = ["View"]


class View:
    """What of one type's events was delivered to a user, whose rights to those of others come and go.

    What is granted anew brings its whole history once more, and a right to read everything the whole log, so the newest
    version of each entity of others is kept. Not safe to share between threads.

    Attributes:
        reader: The user; None for one from whom nothing can be withdrawn.
        reads_all: Whether the user read everything when that was last asked; None before it was.
    """

    def __init__(self) -> None:
        self.reader: str | None = None
        self.reads_all: bool | None = None
        self._versions: dict[str, int] = {}  # the newest delivered, of entities of others
        self._withdrawn: set[str] = set()  # those of them that the user may no longer read
        self._upto = 0  # all of the log up to here was read before

    def begin_again(self, upto: int) -> None:
        """Expect the log once more from its beginning; it was read up to `upto`."""
        self._upto = max(self._upto, upto)

    def knows(self, row: LogRow) -> bool:
        """Say whether an event was delivered before."""
        if self._is_own(row):
            return row.seq <= self._upto
        again = row.granted_at > 0 or row.seq <= self._upto
        return again and row.metadata.version <= self._versions.get(row.metadata.entity_id, 0)

    def brings_back(self, row: LogRow) -> bool:
        """Say whether an event that was delivered before is the newest of an entity that was withdrawn since."""
        entity = row.metadata.entity_id
        return entity in self._withdrawn and row.metadata.version == self._versions[entity]

    def note(self, row: LogRow) -> None:
        """Take note that an event is delivered."""
        if self.reader is not None and not self._is_own(row):
            self._versions[row.metadata.entity_id] = row.metadata.version
            self._withdrawn.discard(row.metadata.entity_id)

    def readable(self) -> list[str]:
        """Return the entities of others that were delivered and not withdrawn since."""
        return [entity for entity in self._versions if entity not in self._withdrawn]

    def withdraw(self, entity_id: str) -> None:
        """Take note that the user may no longer read an entity."""
        if entity_id in self._versions:
            self._withdrawn.add(entity_id)

    def _is_own(self, row: LogRow) -> bool:
        return row.metadata.owner == self.reader
