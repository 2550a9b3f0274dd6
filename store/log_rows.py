"""Events as they come from the log, and places in its stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from store.base import Metadata
from store.connection import PooledConnection, run_named

__all__ = ["BEGINNING", "LogRow", "Position", "position_after", "read_between", "rows_of"]

_document = json.JSONDecoder().raw_decode  # what `json.loads` does, without looking for blanks around a document


class Position(NamedTuple):
    """How far the stream is read; positions compare as the stream goes.

    Attributes:
        seq: Everything up to this place is read.
        backfilled: Of the history that comes into view at the next place, the events up to this one are read.
    """

    seq: int
    backfilled: int = 0


BEGINNING = Position(0)


class LogRow(NamedTuple):
    """One event of the log.

    Attributes:
        seq: Its number in the log.
        type_name: The entity's type.
        metadata: The event's metadata. Where data was asked for, `state` is the one that a read showed just after the
            event, else the one that the event left.
        changes: The changed fields in JSON form; empty where data was not asked for.
        data: All fields as a read showed them just after the event; None where it showed nothing, or where data was
            not asked for.
        due: When what a read shows of the entity next changes by itself, counted from its newest event on: a scheduled
            change begins, a bounded one ends.
        granted_at: The place at which this event of the past came into the user's view; 0 for one at its own place.
    """

    seq: int
    type_name: str
    metadata: Metadata
    changes: dict[str, Any]
    data: dict[str, Any] | None
    due: datetime | None = None
    granted_at: int = 0

    @property
    def position(self) -> Position:
        """The position of a reader that has read the stream up to this row."""
        return _position(self.seq, self.granted_at)


def read_between(
    conn: PooledConnection, after: int, upto: int, types: Sequence[str] | None, limit: int, *, data: bool
) -> list[LogRow]:
    """Return the first events of the log in (after, upto], all of whose transactions are over.

    At most `limit`, and about 8 MB of them; none only where there are no more. Each stands at its own place, whenever
    it came into the user's view.
    """
    return [
        LogRow(
            row[0],
            row[10],
            Metadata(*row[1:10]),
            json.loads(row[11]),
            None if row[12] is None else json.loads(row[12]),
            row[13],
        )
        for row in run_named(conn, "read_log", [after, upto, types, limit, data])
    ]


def position_after(answer: list[tuple[Any, ...]]) -> Position:
    """Return the position after what `read_stream` told."""
    end = answer[-1]
    return _position(*answer[-2][:2]) if end[0] is None else Position(*end[:2])


def _position(seq: int, granted_at: int) -> Position:
    return Position(granted_at - 1, seq) if granted_at else Position(seq)


def rows_of(answer: list[tuple[Any, ...]]) -> list[LogRow]:
    """Return the rows of what `read_stream` told."""
    rows = []
    for row in answer[:-1]:
        text = row[13]
        data = None if text is None else _document(text)[0]
        if row[12] is None:
            changes: Any = {}
        else:  # what made an entity is all of it, most of the work of reading it twice
            changes = data if row[12] == text else _document(row[12])[0]
        rows.append(LogRow(row[0], row[11], Metadata(*row[2:11]), changes, data, row[14], row[1]))
    return rows
