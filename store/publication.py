"""What is published of a class: its fields and its lifecycle, as the database checks every write against them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from store.annotations import type_label
from store.base import Storable, record_schema
from store.records import FieldSpec, RecordSchema
from store.values import Json, ValueRefused

__all__ = ["Difference", "Document", "field_differences", "publication_of", "published_fields"]

Document = Mapping[str, Any]

_COMPARED_AS_NUMBERS = ("integer", "number", "decimal")


def publication_of(cls: type[Storable]) -> dict[str, Json]:
    """Return the document under which a class is published; equal classes have equal documents.

    Guards and side effects are no part of it: they are Python's.

    Raises:
        RegistryError: It is no dataclass of `Storable`.
    """
    return {"fields": published_fields(record_schema(cls)), "machine": _machine(cls)}


def published_fields(schema: RecordSchema[Any]) -> list[Json]:
    """Return the fields of a class as a publication lists them."""
    return [_field(spec) for spec in schema.fields.values()]


def _field(spec: FieldSpec) -> dict[str, Json]:
    column, encode = spec.column, spec.column.codec.encode
    schema: dict[str, Any] = dict(spec.schema["anyOf"][0] if spec.nullable else spec.schema)
    scalar = schema.get("type") not in ("array", "object", None)
    kind = schema.get("format", schema["type"]) if scalar else "json"
    low, high = (None if bound is None else encode(bound) for bound in (column.min_value, column.max_value))
    numbers = kind in _COMPARED_AS_NUMBERS
    return {
        "field": spec.name,
        "column": column.name,
        "type": type_label(spec.annotation),
        "kind": kind,
        "nullable": spec.nullable,
        "required": spec.default is None,
        "default": _stored_default(spec),
        "former_names": list(spec.former_names),
        "members": schema.get("enum") if scalar else None,
        "shape": None if scalar else schema,
        "enum": None if column.enum is None else [encode(value) for value in column.enum],
        "low": low if numbers else None,
        "high": high if numbers else None,
        "first": None if numbers else low,
        "last": None if numbers else high,
        "max_length": column.max_length,
        "pattern": column.sql_pattern,
        "check_name": column.check,
    }


def _stored_default(spec: FieldSpec) -> Json:
    """Return a field's default in JSON form, None where there is none that could be stored."""
    try:
        value: Json = None if spec.default is None else spec.encode(spec.default())
    except ValueRefused:
        return None
    return value


def _machine(cls: type[Storable]) -> dict[str, Json] | None:
    machine = cls._state_machine
    if machine is None:
        return None
    return {
        "name": machine.__name__ if isinstance(machine, type) else type(machine).__name__,
        "initial": machine.initial,
        "edges": [
            {
                "from_state": edge.from_state,
                "to_state": edge.to_state,
                "allowed_by": None if edge.allowed_by is None else list(edge.allowed_by),
                "workflow": edge.start_workflow is not None,
            }
            for edge in machine.transitions
        ],
    }


class Difference(NamedTuple):
    """A field in which a class does not fit what is published.

    Attributes:
        field: The field.
        published: How it is published, empty where it is not.
        ours: How the class has it, empty where it has not.
        text: The sentence.
    """

    field: str
    published: str
    ours: str
    text: str


def field_differences(published: Document, ours: Document, earlier: list[list[str]]) -> list[Difference]:
    """Return where a class does not fit what is published of its type: what it could not read or write.

    Rules of columns are no difference: whoever has the laxer ones is corrected by the database.

    Args:
        published: The newest publication.
        ours: What `publication_of` says of the class.
        earlier: The field names of each earlier publication: such a class is older, and knows fields enough.
    """
    there = {field["field"]: field for field in published["fields"]}
    here = {field["field"]: field for field in ours["fields"]}
    renamed = {former for field in here.values() for former in field["former_names"]}
    found: list[Difference] = []
    for name, field in here.items():
        if name not in there:
            text = f"{name}: the class has this field ({_described(field)}), and it is not published"
            found.append(Difference(name, "", _described(field), text))
        elif not _reads(field, there[name]):
            was, now = _described(there[name]), _described(field)
            found.append(Difference(name, was, now, f"{name}: published as {was}, the class says {now}"))
    lacking = [name for name in there if name not in here]
    if lacking and [*here] not in earlier:
        for name in lacking:
            has = "a new name for it" if name in renamed else "no such field"
            text = f"{name}: published as {_described(there[name])}, the class has {has}"
            found.append(Difference(name, _described(there[name]), "", text))
    return found


def _described(field: Document) -> str:
    text = f"{field['type']}{' | None' if field['nullable'] else ''}"
    return f"{text} of {field['members']}" if field["members"] is not None else text


def _reads(reader: Document, writer: Document) -> bool:
    """Return whether one field reads every value that another one may have written."""
    if reader["kind"] != writer["kind"] or (writer["nullable"] and not reader["nullable"]):
        return False
    if reader["shape"] is not None:
        return _shape_reads(reader["shape"], writer["shape"])
    return _members_read(reader["members"], writer["members"])


def _members_read(reader: list[Json] | None, writer: list[Json] | None) -> bool:
    return reader is None or (writer is not None and all(value in reader for value in writer))


def _shape_reads(reader: Document, writer: Document) -> bool:
    """The same for the JSON Schemas of two nested values."""
    if "anyOf" in reader or "anyOf" in writer:
        inner = [schema["anyOf"][0] if "anyOf" in schema else schema for schema in (reader, writer)]
        return ("anyOf" in reader or "anyOf" not in writer) and _shape_reads(*inner)
    if not reader:
        return True
    if reader.get("type") != writer.get("type") or reader.get("format") != writer.get("format"):
        return False
    if not _members_read(reader.get("enum"), writer.get("enum")):
        return False
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if isinstance(reader.get(keyword), Mapping) and not _shape_reads(reader[keyword], writer.get(keyword) or {}):
            return False
    if len(reader.get("prefixItems", ())) != len(writer.get("prefixItems", ())):
        return False
    if not all(
        _shape_reads(*pair) for pair in zip(reader.get("prefixItems", ()), writer.get("prefixItems", ()), strict=True)
    ):
        return False
    members: Document = reader.get("properties", {})
    written: Document = writer.get("properties", {})
    if not set(reader.get("required", ())) <= set(writer.get("required", ())):
        return False
    return all(name not in written or _shape_reads(member, written[name]) for name, member in members.items())
