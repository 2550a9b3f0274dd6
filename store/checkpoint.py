"""How far a subscriber has come, kept in the database under its user's name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from store.errors import StoreError, shown
from store.log_reader import FIRST_RETRY, LAST_RETRY
from store.log_rows import BEGINNING, Position
from store.scalars import ValueRefused, require_text

if TYPE_CHECKING:
    from store.log_reader import LogReader

__all__ = ["Checkpoint", "require_subscriber_id"]

logger = logging.getLogger(__name__)

LONGEST_ID = 512  # characters


class Checkpoint:
    """One subscriber's checkpoint. It belongs to the listener that claimed it last; no other may move it.

    Args:
        reader: Whose connection to use.
        subscriber_id: The subscriber; None keeps nothing.
    """

    def __init__(self, reader: LogReader, subscriber_id: str | None) -> None:
        """Claim nothing yet."""
        self.saved = BEGINNING
        self._reader = reader
        self._subscriber_id = subscriber_id
        self._term = 0

    def exists(self) -> bool:
        """Return whether the subscriber has been here before."""
        return self._subscriber_id is not None and bool(self._reader.fetch("has_checkpoint", self._subscriber_id)[0][0])

    def claim(self, first: Position) -> Position:
        """Take the checkpoint over and return where it stands: at `first` where there was none."""
        self.saved = first
        if self._subscriber_id is not None:
            *stands, self._term = self._reader.fetch("claim_checkpoint", self._subscriber_id, first.seq, changing=True)[
                0
            ]
            self.saved = Position(*stands)
        return self.saved

    def move(self, position: Position) -> bool:
        """Move the checkpoint, however long the server is away: what is delivered beyond it comes again after a crash.

        Only a reader that was stopped gives up, and leaves the checkpoint where it is.

        Returns:
            False when another listener has claimed the checkpoint, or it was removed.
        """
        if self._subscriber_id is None or position == self.saved:
            return True
        retry = FIRST_RETRY
        while True:
            try:
                answer = self._reader.fetch(
                    "move_checkpoint", self._subscriber_id, self._term, *position, changing=True
                )
                break
            except StoreError as error:
                name, place = self._subscriber_id, self.saved.seq
                facts = {"subscriber": name, "position": place, "error": type(error).__name__}
                logger.warning("the checkpoint of %r stays at %d: %s", name, place, error, extra=facts)
                if self._reader.stopped:
                    return True
                self._reader.pause(retry)
                retry = min(retry * 2, LAST_RETRY)
        self.saved = position
        return bool(answer[0][0])


def require_subscriber_id(subscriber_id: object) -> str:
    """Return the name of a subscriber.

    Raises:
        StoreError: It cannot be one.
    """
    try:
        if isinstance(subscriber_id, str) and 1 <= len(require_text(subscriber_id)) <= LONGEST_ID:
            return subscriber_id
    except ValueRefused as error:
        raise StoreError(f"subscriber_id: {error}") from None
    raise StoreError(f"subscriber_id takes a text of 1 to {LONGEST_ID} characters, not {shown(subscriber_id)}")
