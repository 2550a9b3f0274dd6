"""The writing half of a client: objects in, events out, and the objects brought up to date."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from itertools import islice
from typing import Any

from store.base import Metadata, Storable, record_schema
from store.connection import Database
from store.drift import require_agreement
from store.errors import IdempotencyMismatch, StoreError, shown
from store.events import ChangeEvent
from store.idempotency import DerivedKey, derived_key
from store.items import (
    Append,
    appended,
    as_text,
    created,
    require_instant,
    require_written,
    schema_of,
)
from store.scalars import ValueRefused, require_text

__all__ = ["Writer"]

# One statement carries at most this many objects; a larger batch is several of them in one transaction, so that Python
# makes one while PostgreSQL works on the one before.
CHUNK = 4_000
ALONE = 1  # a call of so many objects goes through the functions for one, which are faster for it
LONGEST_KEY = 500  # characters; the database takes a few more, for the numbers of a large batch's chunks


class Writer:
    """Sends objects and changes to the store, and keeps the objects as a read would return them.

    Args:
        database: The user's connections.
        readers: Users and groups who may read what this client writes.
        writers: Users and groups who may also change it.
        announce: Called after commit with the events of each call.
        announces: Whether anybody wants the events; else there are none in the list.
    """

    def __init__(
        self,
        database: Database,
        readers: Sequence[str],
        writers: Sequence[str],
        announce: Callable[[list[ChangeEvent]], None],
        announces: bool,
    ) -> None:
        """Send nothing yet."""
        self._database = database
        self._readers = list(readers)
        self._writers = list(writers)
        self._announce = announce
        self._announces = announces

    def create(
        self,
        objects: Sequence[Storable],
        valid_from: Sequence[datetime | None],
        valid_to: datetime | None = None,
        key: str | None = None,
    ) -> list[str]:
        """Write new entities, all or none, and return their ids."""
        self._require_agreement(objects)
        derived = None
        if key is None:
            derived = derived_key("create", lambda: (schema_of(obj).type_name for obj in objects))
        key = derived.text if derived else key
        items = created(objects, valid_from, valid_to, lean=key is None)
        if len(objects) == 1 and key is None and not self._readers and not self._writers:
            sent = list(items)
            rows = self._database.fetch("create_object", as_text(sent), self._shares_clock(), changing=True)
            return self._finish(objects, _created_rows(rows[0], sent, valid_from, valid_to), [sent[0]["data"]])
        name = "create_objects" if len(objects) <= ALONE else "create_batch"
        ids: list[str] = []
        made_before: list[tuple[slice, str | None]] = []  # by an earlier run of the same key
        with self._whole(len(objects)):
            for sent, rows, sent_key in self._exchange(name, items, len(objects), (self._readers, self._writers), key):
                part = slice(len(ids), len(ids) + len(sent))
                made: Iterable[tuple[Any, ...]] = rows
                if name == "create_batch" and rows[0][0] is None:
                    made_before.append((part, sent_key))
                    ids += [""] * len(sent)
                    continue
                if name == "create_batch":
                    made = _created_rows(rows[0], sent, valid_from[part], valid_to)
                ids += self._finish(objects[part], made, [item["data"] for item in sent])
            for part, sent_key in made_before:
                ids[part] = self._finish(objects[part], self._database.fetch("replay", sent_key), None)
            self._count(derived)
        return ids

    def replay(self, appends: Sequence[Append], key: str | None = None) -> bool:
        """Bring objects to the state that these events left when they were appended in an earlier run of a key scope.

        Done before any check of the objects: what they were before the events, they are no more.

        Returns:
            False when nothing was appended, or there is no scope: the events are to be appended.

        Raises:
            IdempotencyMismatch: The earlier run appended other events here.
        """
        derived = None if key is not None else _derived(appends)
        if derived is None:
            return False
        rows = self._database.fetch("replay", derived.text)
        if not rows:
            return False
        for number in range(1, -(-len(appends) // CHUNK)):
            rows += self._database.fetch("replay", f"{derived.text}#{number}")
        made = [(row[0], "UPDATED" if row[10] == "CORRECTED" else row[10]) for row in rows]
        wanted = [(require_written(change.obj), change.event_type) for change in appends]
        states = [(row[7], change.state) for row, change in zip(rows, appends, strict=False) if change.state]
        if made != wanted or any(left != state for left, state in states):
            raise IdempotencyMismatch(
                f"this work was done before, and then made another change here: {made[0][1]} of {made[0][0]}"
                + (f" to {states[0][0]}, not to {states[0][1]}" if states else ""),
                key=derived.text,
            )
        self._count(derived)
        self._finish([change.obj for change in appends], rows, None)
        return True

    def append(self, appends: Sequence[Append], key: str | None = None, *, replayed: bool | None = None) -> bool:
        """Append one event to each of several entities, all or none.

        Args:
            appends: The events.
            key: The caller's name for this call.
            replayed: What `replay` said, where the caller has asked.

        Returns:
            False when an earlier call with the same key appended them.
        """
        if replayed is None and self.replay(appends, key):
            return False
        self._require_agreement([change.obj for change in appends])
        objects = [change.obj for change in appends]
        derived = None if key is not None else _derived(appends)
        key = derived.text if derived else key
        name = "append_events" if len(appends) <= ALONE else "append_batch"
        items, place, replayed = appended(appends, lean=key is None), 0, False
        made_before: list[tuple[slice, str | None]] = []  # by an earlier run of the same key
        # One that may be of another valid time has all of them answered in full.
        known = name == "append_batch" and all(getattr(obj, "_current", False) for obj in objects)
        with self._whole(len(appends)):
            if len(appends) > CHUNK:
                # Each statement locks what it changes, in order; several of them would not, one after the other.
                self._database.fetch("lock_batch", [require_written(obj) for obj in objects], changing=True)
            after_key = (known,) if name == "append_batch" else ()
            for sent, rows, sent_key in self._exchange(name, items, len(appends), (), key, after_key):
                part = slice(place, place + len(sent))
                place = part.stop
                made: Iterable[tuple[Any, ...]] = rows
                if not rows:
                    made_before.append((part, sent_key))
                    continue
                if name == "append_batch":
                    made = _appended_rows(rows, appends[part], sent, known=known)
                else:
                    replayed = rows[0][13]
                self._finish(objects[part], made, None)
            for part, sent_key in made_before:
                self._finish(objects[part], self._database.fetch("replay", sent_key), None)
            self._count(derived)
        return not (replayed or made_before)

    def _require_agreement(self, objects: Iterable[Storable]) -> None:
        """Refuse objects whose class is not the one that is published."""
        for cls in {type(obj) for obj in objects}:
            if issubclass(cls, Storable):  # what is none is refused, with its place, as it is encoded
                require_agreement(self._database, cls)

    def _shares_clock(self) -> bool:
        """Say whether this call is one of several in a transaction, which have one time of recording."""
        return self._database.current() is not None

    def _count(self, derived: DerivedKey | None) -> None:
        """Count a change of a key scope as made, until its transaction is rolled back."""
        if derived is not None:
            take_back, transaction = derived.use(), self._database.current()
            if transaction is not None:
                transaction.undo.append(take_back)

    def _whole(self, size: int) -> AbstractContextManager[object]:
        """Make a batch of several statements one transaction."""
        return self._database.transaction() if size > CHUNK and self._database.current() is None else nullcontext()

    def _exchange(
        self,
        name: str,
        items: Iterator[dict[str, Any]],
        size: int,
        params: tuple[Any, ...],
        key: str | None,
        after_key: tuple[Any, ...] = (),
    ) -> Iterator[tuple[list[dict[str, Any]], list[tuple[Any, ...]], str | None]]:
        """Send items, a chunk at a time; yield each chunk with the answer to it and the key under which it was sent.

        Whoever takes the answers sends nothing in between: where a chunk under way is refused, that refusal is to tell.
        """
        if key is not None:
            _require_key(key)
        shared_clock = self._shares_clock()
        sent: deque[tuple[list[dict[str, Any]], str | None]] = deque()

        def calls() -> Iterator[tuple[Any, ...]]:
            for number, start in enumerate(range(0, size, CHUNK)):
                chunk, chunk_key = list(islice(items, CHUNK)), key
                if key is not None and size > CHUNK:
                    # A batch of another length under the same key is another request, even if this chunk is the same.
                    chunk[0] = {**chunk[0], "batch": size}
                    chunk_key = f"{key}#{number}" if start else key
                sent.append((chunk, chunk_key))
                yield (as_text(chunk), *params, shared_clock, chunk_key, *after_key)

        if size <= CHUNK:
            for call in calls():
                yield sent[0][0], self._database.fetch(name, *call, changing=True), sent[0][1]
            return
        for rows in self._database.fetch_each(name, calls()):
            chunk, chunk_key = sent.popleft()
            yield chunk, rows, chunk_key

    def _finish(
        self, objects: Sequence[Storable], rows: Iterable[tuple[Any, ...]], sent: Sequence[dict[str, Any]] | None
    ) -> list[str]:
        """Bring the objects to the state that the rows describe, announce the events after commit, return the ids."""
        transaction = self._database.current()
        if transaction is not None:
            for cls in {type(obj) for obj in objects}:
                transaction.undo.append(record_schema(cls).remember([obj for obj in objects if type(obj) is cls]))
        ids, events = [], []
        for number, (obj, row) in enumerate(zip(objects, rows, strict=True)):
            schema = record_schema(type(obj))
            stored = row[9]
            if stored is None and sent is not None:
                stored = sent[number]
            elif isinstance(stored, str):
                stored = json.loads(stored)
            schema.refresh(obj, stored)
            obj._bind(Metadata(*row[:9]), stored, current=True)
            ids.append(row[0])
            if self._announces:
                user = self._database.user
                events.append(ChangeEvent(row[0], row[1], row[10], schema.type_name, user, row[7], row[11], row[12]))
        if transaction is None:
            self._announce(events)
        else:
            transaction.after_commit.append(lambda: self._announce(events))
        return ids


def _created_rows(
    made: tuple[Any, ...], sent: Sequence[dict[str, Any]], starts: Sequence[datetime | None], valid_to: datetime | None
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that `create_objects` would have answered with, from what `create_batch` did."""
    ids, owner, at = made
    end = require_instant("valid_to", valid_to)
    for entity_id, item, start in zip(ids.split(","), sent, starts, strict=True):
        begin = at if start is None else require_instant("valid_from", start)
        metadata = (entity_id, 1, owner, owner, at, begin, end, item.get("state"), "CREATED")
        yield (*metadata, None, "CREATED", at, begin, False)


def _appended_rows(
    answer: Sequence[tuple[Any, ...]], appends: Sequence[Append], sent: Sequence[dict[str, Any]], *, known: bool
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that `append_events` would have answered with, from those that `append_batch` did."""
    if not known:
        for row in answer:
            yield (*row[1:], False)
        return
    user, at = answer[0][4:6]
    others = {row[0]: row for row in answer[1:]}
    for place, (change, item) in enumerate(zip(appends, sent, strict=True), 1):
        if place in others:
            yield (*others[place][1:], False)
            continue
        before = change.obj._metadata
        assert before is not None
        start = require_instant("valid_from", change.valid_from) or at
        event_type = "CORRECTED" if change.event_type == "UPDATED" and start < at else change.event_type
        times = (at, start, require_instant("valid_to", change.valid_to))
        state = before.state if change.state is None else change.state
        stored = {**(change.obj._stored or {}), **item["changes"]}
        metadata = (before.entity_id, before.version + 1, before.owner, user, *times, state, event_type)
        yield (*metadata, stored, event_type, at, start, False)


def _derived(appends: Sequence[Append]) -> DerivedKey | None:
    """Return the key of these events in the present key scope, None outside one."""
    return derived_key(appends[0].event_type.lower(), lambda: (require_written(change.obj) for change in appends))


def _require_key(key: object) -> None:
    """Refuse what cannot name a call."""
    try:
        if isinstance(key, str) and 1 <= len(require_text(key)) <= LONGEST_KEY:
            return
    except ValueRefused as error:
        raise StoreError(f"idempotency_key: {error}") from None
    raise StoreError(f"idempotency_key takes a text of 1 to {LONGEST_KEY} characters, not {shown(key)}")
