"""The writing half of a client: objects in, events out, and the objects brought up to date."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from store.base import Metadata, RecordSchema, Storable, record_schema
from store.connection import Database
from store.drift import require_agreement
from store.errors import IdempotencyMismatch, InvalidRange, InvalidValue, StoreError, nearest_names, shown
from store.events import ChangeEvent
from store.idempotency import DerivedKey, derived_key
from store.scalars import SCALARS, ValueRefused, require_text

__all__ = ["Append", "Writer", "changed_fields", "require_instant", "starts_of"]

# One statement carries at most this many objects; a larger batch is several of them in one transaction.
CHUNK = 20_000
LARGEST_CALL = 200_000_000  # characters of JSON; PostgreSQL takes about 256 MB of objects in one statement
LONGEST_KEY = 500  # characters; the database takes a few more, for the numbers of a large batch's chunks


class Append(NamedTuple):
    """One event to append to an entity that an object holds."""

    obj: Storable
    event_type: str
    changes: Mapping[str, Any]
    state: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    starts_workflow: bool = False


class Writer:
    """Sends objects and changes to the store, and keeps the objects as a read would return them.

    Args:
        database: The user's connections.
        readers: Users and groups who may read what this client writes.
        writers: Users and groups who may also change it.
        announce: Called after commit with the events of each call.
    """

    def __init__(
        self,
        database: Database,
        readers: Sequence[str],
        writers: Sequence[str],
        announce: Callable[[list[ChangeEvent]], None],
    ) -> None:
        """Send nothing yet."""
        self._database = database
        self._readers = list(readers)
        self._writers = list(writers)
        self._announce = announce

    def create(
        self,
        objects: Sequence[Storable],
        valid_from: Sequence[datetime | None],
        valid_to: datetime | None = None,
        key: str | None = None,
    ) -> list[str]:
        """Write new entities, all or none, and return their ids."""
        self._require_agreement(objects)
        items, stored = [], []
        end = require_instant("valid_to", valid_to)
        for number, (obj, start) in enumerate(zip(objects, valid_from, strict=True)):
            schema = _schema_of(obj)
            if obj.entity_id is not None:
                raise StoreError(f"this {schema.type_name} is written already, as {obj.entity_id}: update() changes it")
            try:
                data = schema.encode_valid(obj)
            except InvalidValue as error:
                if len(objects) == 1:
                    raise
                message = f"object {number} of {len(objects)}, counted from 0: {error}"
                raise InvalidValue(message, type_name=error.type_name, violations=error.violations) from None
            machine = getattr(type(obj), "_state_machine", None)
            start = require_instant("valid_from", start)
            _require_order(start, end)
            stored.append(data)
            items.append(
                {
                    "type_name": schema.type_name,
                    "data": data,
                    "state": None if machine is None else machine.initial,
                    "valid_from": _text(start),
                    "valid_to": _text(end),
                }
            )
        _require_distinct(objects)
        derived = None
        if key is None:
            derived = derived_key("create", lambda: (_schema_of(obj).type_name for obj in objects))
        rows = self._send("create_objects", items, (self._readers, self._writers), derived.text if derived else key)
        self._count(derived)
        self._finish(objects, rows, stored)
        return [row[0] for row in rows]

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
        items = []
        for change in appends:
            obj = change.obj
            schema = _schema_of(obj)
            start, end = require_instant("valid_from", change.valid_from), require_instant("valid_to", change.valid_to)
            _require_order(start, end)
            items.append(
                {
                    "entity_id": require_written(obj),
                    "type_name": schema.type_name,
                    "version": obj.version,
                    "event_type": change.event_type,
                    "changes": change.changes,
                    "from_state": None if change.state is None else obj.state,
                    "state": change.state,
                    "workflow": change.starts_workflow,
                    "valid_from": _text(start),
                    "valid_to": _text(end),
                }
            )
        objects = [change.obj for change in appends]
        _require_distinct(objects)
        derived = None if key is not None else _derived(appends)
        rows = self._send("append_events", items, (), derived.text if derived else key)
        self._count(derived)
        self._finish(objects, rows, None)
        return not rows[0][13]

    def _require_agreement(self, objects: Iterable[Storable]) -> None:
        """Refuse objects whose class is not the one that is published."""
        for cls in {type(obj) for obj in objects}:
            if issubclass(cls, Storable):  # what is none is refused, with its place, as it is encoded
                require_agreement(self._database, cls)

    def _count(self, derived: DerivedKey | None) -> None:
        """Count a change of a key scope as made, until its transaction is rolled back."""
        if derived is not None:
            take_back, transaction = derived.use(), self._database.current()
            if transaction is not None:
                transaction.undo.append(take_back)

    def _send(
        self, statement: str, items: list[dict[str, Any]], params: tuple[Any, ...], key: str | None
    ) -> list[tuple[Any, ...]]:
        if key is not None:
            _require_key(key)
        if len(items) > CHUNK and self._database.current() is None:
            with self._database.transaction():
                return self._send(statement, items, params, key)
        shared_clock = self._database.current() is not None
        rows: list[tuple[Any, ...]] = []
        for number, start in enumerate(range(0, len(items), CHUNK)):
            chunk, chunk_key = items[start : start + CHUNK], key
            if key is not None and len(items) > CHUNK:
                # A batch of another length under the same key is another request, even if this chunk is the same.
                chunk[0] = {**chunk[0], "batch": len(items)}
                chunk_key = f"{key}#{number}" if number else key
            text = json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))
            if len(text) > LARGEST_CALL:
                raise StoreError(
                    f"{len(chunk)} objects with {len(text) / 1e6:.0f} MB of JSON are too much for one call, which takes"
                    f" {LARGEST_CALL / 1e6:.0f} MB: write fewer at a time, in one transaction()"
                )
            rows += self._database.fetch(statement, text, *params, shared_clock, chunk_key, changing=True)
        return rows

    def _finish(
        self, objects: Sequence[Storable], rows: list[tuple[Any, ...]], sent: list[dict[str, Any]] | None
    ) -> None:
        """Bring the objects to the state that the rows describe, and announce the events after commit."""
        transaction = self._database.current()
        events = []
        for number, (obj, row) in enumerate(zip(objects, rows, strict=True)):
            schema = record_schema(type(obj))
            stored = json.loads(row[9]) if row[9] is not None or sent is None else sent[number]
            fresh = schema.decode(stored)
            if transaction is not None:
                transaction.undo.append(_restorer(obj, schema))
            for name in schema.fields:
                object.__setattr__(obj, name, getattr(fresh, name))
            obj._bind(Metadata(*row[:9]), stored)
            events.append(
                ChangeEvent(row[0], row[1], row[10], schema.type_name, self._database.user, row[7], row[11], row[12])
            )
        if transaction is None:
            self._announce(events)
        else:
            transaction.after_commit.append(lambda: self._announce(events))


def _derived(appends: Sequence[Append]) -> DerivedKey | None:
    """Return the key of these events in the present key scope, None outside one."""
    return derived_key(appends[0].event_type.lower(), lambda: (require_written(change.obj) for change in appends))


def starts_of(valid_from: datetime | Sequence[datetime | None] | None, objects: int) -> list[datetime | None]:
    """Return one time for each object, from one for all or one each."""
    starts = list(valid_from) if isinstance(valid_from, Sequence) else [valid_from] * objects
    if len(starts) != objects:
        raise StoreError(f"valid_from holds {len(starts)} times for {objects} objects: pass one each, or one for all")
    return starts


def changed_fields(obj: Storable, fields: Iterable[str] | None) -> dict[str, Any]:
    """Return the JSON form of the fields to store: those named, or those that differ from what was read or written.

    Raises:
        StoreError: A name is not a field of the class.
    """
    schema = _schema_of(obj)
    encoded = schema.encode_valid(obj)
    if fields is not None:
        if not isinstance(fields, Iterable):
            raise StoreError(f"update() takes fields as names of {schema.type_name}'s fields, not {shown(fields)}")
        names = [fields] if isinstance(fields, str) else list(fields)
        for name in names:
            if not isinstance(name, str) or name not in encoded:
                raise StoreError(
                    f"{schema.type_name} has no field {name!r}{_did_you_mean(name, encoded)}; update() takes names"
                    f" out of {', '.join(encoded)}"
                )
        return {name: encoded[name] for name in names}
    stored = obj._stored or {}
    before = stored if stored.keys() >= encoded.keys() else schema.encode(schema.decode(stored))
    return {name: value for name, value in encoded.items() if not _same(before[name], value)}


def require_written(obj: Storable) -> str:
    """Return the id of an object that was written or read.

    Raises:
        StoreError: It was neither.
    """
    if not isinstance(obj, Storable):
        raise StoreError(f"the store holds instances of Storable classes, not {shown(obj)}")
    if obj.entity_id is None:
        raise StoreError(f"this {type(obj).__name__} is not in the store yet: write() it first")
    return obj.entity_id


def require_instant(name: str, value: datetime | None) -> datetime | None:
    """Return a time in UTC; refuse what is not one point on the time axis.

    Raises:
        InvalidRange: The value is not a datetime, has no offset from UTC, is finer than a microsecond, or lies outside
            the years 1 to 9999 of UTC.
    """
    if value is None or (type(value) is datetime and value.tzinfo is timezone.utc):
        return value
    if type(value) is datetime and value.utcoffset() is None:
        raise InvalidRange(
            f"{name}={value!r} has no time zone: write {name}={value.replace(tzinfo=timezone.utc)!r} if it is UTC"
        )
    try:
        found: datetime = SCALARS[datetime].decode(SCALARS[datetime].encode(value))
    except ValueRefused as error:
        raise InvalidRange(f"{name}: {error}") from None
    return found


def _require_key(key: object) -> None:
    """Refuse what cannot name a call."""
    try:
        if isinstance(key, str) and 1 <= len(require_text(key)) <= LONGEST_KEY:
            return
    except ValueRefused as error:
        raise StoreError(f"idempotency_key: {error}") from None
    raise StoreError(f"idempotency_key takes a text of 1 to {LONGEST_KEY} characters, not {shown(key)}")


def _schema_of(obj: object) -> RecordSchema[Any]:
    if not isinstance(obj, Storable):
        raise StoreError(f"the store holds instances of Storable classes, not {shown(obj)}")
    return record_schema(type(obj))


def _require_order(valid_from: datetime | None, valid_to: datetime | None) -> None:
    if valid_from is not None and valid_to is not None and valid_from >= valid_to:
        raise InvalidRange(f"the valid range from {valid_from} to {valid_to} is empty: valid_from must come first")


def _require_distinct(objects: Sequence[Storable]) -> None:
    """Refuse a batch that names one object, or one entity, twice: which version would come first?"""
    if len(objects) == 1:
        return
    seen: set[object] = set()
    for obj in objects:
        identity = obj.entity_id or id(obj)
        if identity in seen:
            raise StoreError(
                f"{type(obj).__name__} {obj.entity_id or ''} stands twice in one batch: send its changes in turn"
            )
        seen.add(identity)


def _same(before: Any, after: Any) -> bool:
    """Compare JSON values as JSON does: true is not 1."""
    if isinstance(after, (list, dict)):
        return json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    return (type(before) is type(after) and before == after) or (
        _is_number(before) and _is_number(after) and before == after
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _restorer(obj: Storable, schema: RecordSchema[Any]) -> Callable[[], None]:
    """Return what puts an object back as it is now."""
    values = [(name, getattr(obj, name)) for name in schema.fields]
    metadata, stored = obj._metadata, obj._stored

    def restore() -> None:
        for name, value in values:
            object.__setattr__(obj, name, value)
        obj._bind(metadata, stored)

    return restore


def _text(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _did_you_mean(name: object, known: Iterable[str]) -> str:
    names = nearest_names(name, known) if isinstance(name, str) else ()
    return f" (did you mean {names[0]!r}?)" if names else ""
