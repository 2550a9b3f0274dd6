"""The compiled schema of a stored class: its fields, and the way of an object to JSON and back."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass
from operator import attrgetter
from threading import Lock
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar, cast

from store.binding import BoundField, ClassBinding
from store.column import ColumnDef
from store.columns import REGISTRY
from store.errors import InvalidValue, RegistryError, Violation, nearest_names, shown
from store.values import Json, ValueRefused, default_factory

__all__ = ["FieldSpec", "RecordSchema", "record_schema"]

T = TypeVar("T")

_KNOWLEDGE = ("_metadata", "_stored", "_current")  # what the store knows of an object


class FieldSpec(NamedTuple):
    """One field of a stored class.

    Attributes:
        name: The field's name.
        annotation: Its annotation without None.
        base_type: The class behind the annotation: `list` for `list[str]`, the Enum class for an Enum.
        nullable: Whether None is allowed.
        column: The column that governs it; the base column for a prefixed name.
        default: Makes a fresh default, None when the field has no default.
        former_names: Names under which older data holds the field.
        encode: Python value to JSON value; raises ValueRefused.
        decode: JSON value to Python value; raises ValueRefused.
        schema: The JSON Schema of the encoded values.
    """

    name: str
    annotation: Any
    base_type: type
    nullable: bool
    column: ColumnDef
    default: Callable[[], Any] | None
    former_names: tuple[str, ...]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    schema: Mapping[str, Any] = MappingProxyType({})


class RecordSchema(Generic[T]):
    """How objects of one class are stored. Made by `record_schema`, once per class.

    Attributes:
        cls: The class.
        type_name: The name under which its objects are stored.
        fields: Field name to specification, in dataclass order.
    """

    def __init__(self, cls: type[T], type_name: str, binding: ClassBinding) -> None:
        self.cls = cls
        self.type_name = type_name
        declared = fields(cls)  # type: ignore[arg-type]
        self.fields: dict[str, FieldSpec] = {
            field.name: _field_spec(cls, field, binding.fields[field.name]) for field in declared
        }
        self._binding = binding
        self._names = tuple(self.fields)
        self._values = _getter(self._names)
        self._encoders = tuple(spec.encode for spec in self.fields.values())
        self._rules = tuple((name, bound.broken) for name, bound in binding.fields.items() if bound.broken is not None)
        self._decoders = tuple(
            (spec.name, _plain_type(spec.schema), spec.decode, spec.former_names, spec.default)
            for spec in self.fields.values()
        )
        self._comparers = tuple(
            (spec.name, _plain_type(spec.schema), spec.nullable, spec.encode, binding.fields[spec.name].broken)
            for spec in self.fields.values()
        )
        # Slots and other descriptors stand between an object's fields and its dict.
        described = sum(hasattr(inspect.getattr_static(cls, name, None), "__set__") for name in self._names)
        self._plain_attributes = not described
        self._plain_size = len(self._names) - described
        self._remembered = attrgetter(*_KNOWLEDGE, *self._names)

    def encode(self, instance: T) -> dict[str, Json]:
        """Return the object's data as JSON-ready values, every field.

        Types are checked, constraints are not: those are `encode_valid`'s.

        Raises:
            InvalidValue: A value does not fit its declared type, or an attribute misspells a field; all are listed.
        """
        self._require_known(instance)
        try:
            values = zip(self._names, self._encoders, self._values(instance), strict=True)
            return {name: encode(value) for name, encode, value in values}
        except (ValueRefused, AttributeError):
            raise self._invalid(instance) from None

    def encode_valid(self, instance: T) -> dict[str, Json]:
        """Return what `encode` returns, after checking the columns' constraints as well.

        Raises:
            InvalidValue: A type or a constraint is broken; all such fields are listed.
        """
        data = self.encode(instance)
        for name, broken in self._rules:
            encoded = data[name]
            if encoded is not None and broken(encoded) is not None:
                raise self._invalid(instance)
        return data

    def encode_changed(self, instance: T, stored: Mapping[str, Json]) -> dict[str, Json]:
        """Return those fields of what `encode_valid` returns that differ from stored data, which has all of them.

        Raises:
            InvalidValue: As for `encode_valid`; also where a field that does not differ is at fault.
        """
        self._require_known(instance)
        changed = {}
        try:
            comparers = zip(self._comparers, self._values(instance), strict=True)
            for (name, plain, nullable, encode, broken), value in comparers:
                before = stored[name]
                # What is its own encoded form, and stands there already, need not be encoded to be compared.
                if value is None and before is None and nullable:
                    continue
                if type(value) is plain and type(before) is plain and value == before:
                    encoded = value
                else:
                    encoded = encode(value)
                    if not _same(before, encoded):
                        changed[name] = encoded
                if broken is not None and encoded is not None and broken(encoded) is not None:
                    raise self._invalid(instance)
        except (ValueRefused, AttributeError):
            raise self._invalid(instance) from None
        return changed

    def _require_known(self, instance: T) -> None:
        """Refuse an object with an attribute that is a field's misspelled name."""
        attributes = vars(instance)
        more = len(attributes) - self._plain_size - (len(_KNOWLEDGE) if "_metadata" in attributes else 0)
        if more > 0 and self._binding.misspelled(instance):
            raise self._invalid(instance)

    def _invalid(self, instance: T) -> InvalidValue:
        return InvalidValue.of(self.type_name, self._binding.violations(instance))

    def decode(self, data: Mapping[str, Any]) -> T:
        """Return a new object with the stored data.

        As in unpickling, `__init__` and `__post_init__` do not run: what was stored comes back, not what they would
        make of it. A missing field is looked up under its former names, then takes its default; unknown fields are
        ignored.

        Raises:
            InvalidValue: A stored value cannot be read as the declared type, or a field without default is missing.
        """
        made: T = object.__new__(self.cls)
        put = object.__setattr__
        for name, value in zip(self._names, self._decoded(data), strict=True):
            put(made, name, value)
        return made

    def refresh(self, instance: T, data: Mapping[str, Any]) -> None:
        """Give an object the stored data, in place of its own; all of it or, where `decode` would raise, nothing."""
        values = zip(self._names, self._decoded(data), strict=True)
        if self._plain_attributes:
            vars(instance).update(values)
            return
        put = object.__setattr__
        for name, value in values:
            put(instance, name, value)

    def _decoded(self, data: Mapping[str, Any]) -> list[Any]:
        values = []
        name = ""
        try:
            for name, plain, decode, former_names, default in self._decoders:
                if name in data:
                    value = data[name]
                    if type(value) is not plain:
                        value = decode(value)
                else:
                    former = next((old for old in former_names if old in data), None)
                    if former is not None:
                        value = decode(data[former])
                    elif default is not None:
                        value = default()
                    else:
                        raise self._missing(name)
                values.append(value)
        except ValueRefused as error:
            raise self._unreadable(name, error) from None
        return values

    def remember(self, instances: Sequence[T]) -> Callable[[], None]:
        """Return what puts objects back as they are now, with what the store knows of them."""
        remembered = list(map(self._remembered, instances))

        def put_back() -> None:
            put = object.__setattr__
            for instance, values in zip(instances, remembered, strict=True):
                for name, value in zip((*_KNOWLEDGE, *self._names), values, strict=True):
                    put(instance, name, value)

        return put_back

    def _missing(self, name: str) -> InvalidValue:
        message = f"{name}: expected a value, found none in the stored data; give the field a default or former_names"
        return InvalidValue.of(self.type_name, [Violation(name, "missing", "a value", None, message)])

    def _unreadable(self, name: str, error: ValueRefused) -> InvalidValue:
        path = name + error.path
        message = f"{path}: the stored data does not fit the class: {error}"
        return InvalidValue.of(self.type_name, [Violation(path, "stored", error.expected, error.value, message)])

    def field(self, name: str) -> FieldSpec:
        """Return the specification of a field.

        Raises:
            RegistryError: The class has no such field; the nearest names are in its `suggestions`.
        """
        spec = self.fields.get(name)
        if spec is None:
            near = nearest_names(name, self.fields)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(self.fields)}"
            message = f"{name}: no field of this class{hint}"
            raise RegistryError.of(self.type_name, [Violation(name, "unknown", "a field", name, message, near)])
        return spec

    def encode_value(self, name: str, value: Any) -> Any:
        """Return one field's value as a JSON-ready value.

        Raises:
            RegistryError: The class has no such field.
            InvalidValue: The value does not fit the declared type.
        """
        try:
            return self.field(name).encode(value)
        except ValueRefused as error:
            raise InvalidValue.of(self.type_name, [self._binding.fields[name].refusal(error)]) from None

    def decode_value(self, name: str, value: Any) -> Any:
        """Return one field's Python value from its stored form.

        Raises:
            RegistryError: The class has no such field.
            InvalidValue: The stored value cannot be read as the declared type.
        """
        try:
            return self.field(name).decode(value)
        except ValueRefused as error:
            raise self._unreadable(name, error) from None


def _field_spec(cls: type, field: Field[Any], bound: BoundField) -> FieldSpec:
    former = field.metadata.get("former_names", ())
    if not isinstance(former, (tuple, list)) or not all(isinstance(name, str) for name in former):
        hint = f'; write ("{former}",)' if isinstance(former, str) else ""
        message = f"{field.name}: expected former_names as a tuple of names, found {former!r}{hint}"
        raise RegistryError.of(cls.__name__, [Violation(field.name, "former_names", "a tuple", former, message)])
    base = getattr(bound.annotation, "__origin__", bound.annotation)
    if not isinstance(base, type):
        base = bound.column.python_type
    encode, decode, schema = bound.codec
    return FieldSpec(
        field.name,
        bound.annotation,
        base,
        bound.nullable,
        bound.column,
        default_factory(field),
        tuple(former),
        encode,
        decode,
        schema,
    )


_PLAIN = {"boolean": bool, "integer": int, "number": float, "string": str}


def _plain_type(schema: Mapping[str, Any]) -> type | None:
    """Return the type whose values are their own encoded form, by the JSON Schema that `store.values` made of it."""
    inner = schema["anyOf"][0] if "anyOf" in schema else schema
    return _PLAIN.get(inner["type"]) if set(inner) == {"type"} else None


def _same(before: Any, after: Any) -> bool:
    """Compare JSON values as JSON does: true is not 1."""
    if isinstance(after, (list, dict)):
        return json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    return (type(before) is type(after) and before == after) or (
        _is_number(before) and _is_number(after) and before == after
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes all these attributes of an object, in one call."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda instance: tuple(getattr(instance, name) for name in names)


_lock = Lock()


def record_schema(cls: type[T]) -> RecordSchema[T]:
    """Return the compiled schema of a stored class; compiled on first use, then kept with the class.

    Raises:
        RegistryError: It is no `Storable`, or its fields are annotated but it lacks the dataclass decorator.
    """
    if not isinstance(cls, type):
        example = type(cls).__name__ if hasattr(type(cls), "type_name") else "Order"
        raise RegistryError(f"{shown(cls)} is no Storable: pass a class, as {example}", type_name=repr(cls))
    schema: Any = cls.__dict__.get("_record_schema")
    # A class made anew by dataclass(slots=True) carries a copy of its predecessor's attributes.
    if schema is not None and schema.cls is cls:
        return cast(RecordSchema[T], schema)
    name = cls.__name__
    type_name = getattr(cls, "type_name", None)
    if type_name is None:
        raise RegistryError(f"{name} is no Storable; write class {name}(Storable)", type_name=name)
    undecorated = "__dataclass_fields__" not in cls.__dict__ and bool(inspect.get_annotations(cls))
    if undecorated or not is_dataclass(cls):
        raise RegistryError(f"{name} is no dataclass; write @dataclass above class {name}(Storable)", type_name=name)
    with _lock:
        made: RecordSchema[T] = RecordSchema(cls, type_name(), REGISTRY.binding(cls))
        cls._record_schema = made  # type: ignore[attr-defined]
    return made
