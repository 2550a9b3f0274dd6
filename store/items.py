"""What a write sends to the store for each object: its checks, and its JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from store.base import RecordSchema, Storable, record_schema
from store.errors import InvalidRange, InvalidValue, StoreError, nearest_names, shown
from store.scalars import SCALARS, ValueRefused

__all__ = [
    "Append",
    "appended",
    "as_text",
    "changed_fields",
    "created",
    "names_of",
    "require_instant",
    "require_written",
    "schema_of",
    "several",
    "starts_of",
]

LARGEST_CALL = 200_000_000  # characters of JSON; PostgreSQL takes about 256 MB of objects in one statement


class Append(NamedTuple):
    """One event to append to an entity that an object holds.

    Attributes:
        obj: The object.
        event_type: UPDATED, DELETED or STATE_CHANGE.
        changes: The JSON form of the fields to store; None for those that differ from what was read or written.
        state: The state to move to.
        valid_from: From when on it holds.
        valid_to: Until when.
        starts_workflow: Whether the change of state starts a workflow.
    """

    obj: Storable
    event_type: str
    changes: Mapping[str, Any] | None
    state: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    starts_workflow: bool = False


def created(
    objects: Sequence[Storable], starts: Sequence[datetime | None], valid_to: datetime | None, *, lean: bool
) -> Iterator[dict[str, Any]]:
    """Yield what makes a new entity of each object.

    Args:
        objects: The objects.
        starts: From when on each holds.
        valid_to: Until when all of them do.
        lean: Leave out what is null. Not under an idempotency key: the same request has the same items for ever.
    """
    end = require_instant("valid_to", valid_to)
    cls: type | None = None
    seen: set[object] = set()
    for number, (obj, start) in enumerate(zip(objects, starts, strict=True)):
        if type(obj) is not cls:
            cls, schema = type(obj), schema_of(obj)
            machine = getattr(cls, "_state_machine", None)
            state = None if machine is None else machine.initial
        if obj.entity_id is not None:
            raise StoreError(f"this {schema.type_name} is written already, as {obj.entity_id}: update() changes it")
        _require_distinct(obj, seen)
        try:
            data = schema.encode_valid(obj)
        except InvalidValue as error:
            if len(objects) == 1:
                raise
            message = f"object {number} of {len(objects)}, counted from 0: {error}"
            raise InvalidValue(message, type_name=error.type_name, violations=error.violations) from None
        start = require_instant("valid_from", start)
        _require_order(start, end)
        item: dict[str, Any] = {"type_name": schema.type_name, "data": data}
        for name, value in (("state", state), ("valid_from", _text(start)), ("valid_to", _text(end))):
            if value is not None or not lean:
                item[name] = value
        yield item


def appended(appends: Iterable[Append], *, lean: bool) -> Iterator[dict[str, Any]]:
    """Yield what appends each event; `lean` as for `created`."""
    seen: set[object] = set()
    cls: type | None = None
    for obj, event_type, changes, state, valid_from, valid_to, starts_workflow in appends:
        if type(obj) is not cls:
            cls, schema = type(obj), schema_of(obj)
        metadata = obj._metadata
        entity_id = require_written(obj) if metadata is None else metadata.entity_id
        _require_distinct(obj, seen)
        item = {
            "entity_id": entity_id,
            "type_name": schema.type_name,
            "version": obj.version,
            "event_type": event_type,
            "changes": changed_fields(obj, None, schema) if changes is None else changes,
        }
        if not lean or state is not None:
            from_state = None if state is None else obj.state
            item |= {"from_state": from_state, "state": state, "workflow": starts_workflow}
        if not lean or valid_from is not None or valid_to is not None:
            start, end = require_instant("valid_from", valid_from), require_instant("valid_to", valid_to)
            _require_order(start, end)
            for name, value in (("valid_from", start), ("valid_to", end)):
                if value is not None or not lean:
                    item[name] = _text(value)
        yield item


def as_text(items: Sequence[Mapping[str, Any]]) -> str:
    """Return what one call sends, as JSON."""
    text = json.dumps(items, ensure_ascii=False, separators=(",", ":"))
    if len(text) > LARGEST_CALL:
        raise StoreError(
            f"{len(items)} objects with {len(text) / 1e6:.0f} MB of JSON are too much for one call, which takes"
            f" {LARGEST_CALL / 1e6:.0f} MB: write fewer at a time, in one transaction()"
        )
    return text


def changed_fields(
    obj: Storable, fields: Iterable[str] | None, schema: RecordSchema[Any] | None = None
) -> dict[str, Any]:
    """Return the JSON form of the fields to store: those named, or those that differ from what was read or written.

    Args:
        obj: The object.
        fields: Their names; None for those that differ.
        schema: The schema of the object's class, where the caller has it.

    Raises:
        StoreError: A name is not a field of the class.
    """
    if schema is None:
        schema = schema_of(obj)
    if fields is not None:
        encoded = schema.encode_valid(obj)
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
    return schema.encode_changed(
        obj, stored if stored.keys() >= schema.fields.keys() else schema.encode(schema.decode(stored))
    )


def require_written(obj: Storable) -> str:
    """Return the id of an object that was written or read.

    Raises:
        StoreError: It was neither.
    """
    if not isinstance(obj, Storable):
        raise _no_object(obj)
    if obj.entity_id is None:
        name = type(obj).__name__
        frozen = getattr(getattr(type(obj), "__dataclass_params__", None), "frozen", False)
        hint = (
            f"; replace() made a new object of it? What is to change needs a {name} that is not frozen"
            if frozen
            else ""
        )
        raise StoreError(f"this {name} is not in the store yet: write() it first{hint}")
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


def schema_of(obj: object) -> RecordSchema[Any]:
    """Return the schema of an object's class.

    Raises:
        StoreError: The store cannot hold it.
    """
    if not isinstance(obj, Storable):
        raise _no_object(obj)
    return record_schema(type(obj))


def _no_object(value: object) -> StoreError:
    """Return the error of what stands where one object belongs."""
    hint = ""
    if isinstance(value, type) and issubclass(value, Storable):
        hint = f": write {value.__name__}(...)"
    elif isinstance(value, (list, tuple)) and value and all(isinstance(each, Storable) for each in value):
        hint = ": write_many() and update_many() take several"
    return StoreError(f"the store holds instances of Storable classes, not {shown(value)}{hint}")


def several(objs: Iterable[Storable], method: str) -> list[Storable]:
    """Return the objects that a method for several was called with; one alone is refused."""
    if isinstance(objs, Storable):
        raise StoreError(f"{method}() takes several objects, not one {type(objs).__name__}: write {method}([...])")
    if not isinstance(objs, Iterable):
        raise StoreError(f"{method}() takes several objects, not {shown(objs)}")
    return list(objs)


def names_of(argument: str, names: Iterable[str]) -> list[str]:
    """Return the names of users and groups that an argument holds; what cannot be one is refused."""
    if isinstance(names, str):
        raise StoreError(f"{argument} takes a list of names: write {argument}=[{names!r}]")
    if not isinstance(names, Iterable):
        raise StoreError(f"{argument} takes a list of names, not {shown(names)}")
    try:
        return [SCALARS[str].encode(name) for name in names]
    except ValueRefused as error:
        raise StoreError(f"{argument}: {error}") from None


def starts_of(valid_from: datetime | Iterable[datetime | None] | None, objects: int) -> list[datetime | None]:
    """Return one time for each object, from one for all or one each."""
    if isinstance(valid_from, Iterable) and not isinstance(valid_from, (str, bytes)):
        starts: list[datetime | None] = list(valid_from)
    else:
        starts = [valid_from] * objects  # a text too, which is refused as no time
    if len(starts) != objects:
        raise StoreError(f"valid_from holds {len(starts)} times for {objects} objects: pass one each, or one for all")
    return starts


def _require_order(valid_from: datetime | None, valid_to: datetime | None) -> None:
    if valid_from is not None and valid_to is not None and valid_from >= valid_to:
        raise InvalidRange(f"the valid range from {valid_from} to {valid_to} is empty: valid_from must come first")


def _require_distinct(obj: Storable, seen: set[object]) -> None:
    """Refuse an object, or an entity, that a batch names twice: which version would come first?

    Args:
        obj: The next of the batch.
        seen: Those before it.
    """
    identity = obj.entity_id or id(obj)
    if identity in seen:
        named = f"{type(obj).__name__} {obj.entity_id}" if obj.entity_id else shown(obj)
        raise StoreError(f"{named} stands twice in one batch: send its changes in turn")
    seen.add(identity)


def _text(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _did_you_mean(name: object, known: Iterable[str]) -> str:
    names = nearest_names(name, known) if isinstance(name, str) else ()
    return f" (did you mean {names[0]!r}?)" if names else ""
