"""Values and their JSON form, by declared type.

`codec(annotation)` compiles a type to a pair of functions: `encode` checks a Python value strictly and returns what
`json.dumps` takes, `decode` turns the stored form back. Nothing is coerced that would lose anything: an int is taken
for a float when it is exactly that float, NumPy and pandas scalars for the builtin they stand for, and everything else
is refused with what to write instead.

| type | JSON form |
|---|---|
| bool, int (up to 4,300 digits), float, str | itself; NaN and infinity, NUL and lone surrogates are refused |
| Decimal | a string without exponent or trailing zeros: exact for every reader, equal values have equal text |
| datetime | ISO 8601 in UTC with microseconds: text order is time order; naive values are refused |
| date, time, UUID | ISO 8601, canonical text |
| Enum | the member's value |
| list, tuple, dict, dataclass | array and object of the elements' forms; dict keys as JSON strings |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, Flag
from typing import Any, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin
from uuid import UUID

from store.annotations import Names, definition_names, read_annotations, resolve, split_optional, type_label
from store.scalars import SCALARS, Codec, ValueRefused, numpy_item, refuse, require_text

__all__ = ["Codec", "Json", "UnsupportedType", "ValueRefused", "codec", "default_factory"]

Json: TypeAlias = Union[bool, int, float, str, "list[Json]", "dict[str, Json]", None]

_MAX_DEPTH = 100
_LARGEST_PLAIN_FLOAT = 1e16  # from here on a float's text has an exponent
_KEY_TYPES = (str, int, date, datetime, UUID, Decimal)


class UnsupportedType(TypeError):
    """An annotation for which the store has no JSON form."""


def _step(function: Callable[..., Any], value: Any, step: str, *rest: Any) -> Any:
    try:
        return function(value, *rest)
    except ValueRefused as error:
        raise error.within(step) from None


def _encode_plain(value: Any, depth: int = 0) -> Any:
    """Encode an element of a bare list or dict: only what JSON itself has."""
    if depth > _MAX_DEPTH:
        raise ValueRefused(f"at most {_MAX_DEPTH} levels of nesting", type(value).__name__)
    value = numpy_item(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        refuse("a JSON value", value, "declare the element type, such as list[Side]")
    if isinstance(value, str):
        return require_text(value)
    if isinstance(value, int):
        return SCALARS[int].encode(value)
    if isinstance(value, float):
        number = SCALARS[float].encode(value)
        # A number beyond this loses its ".0" in PostgreSQL and comes back an int: then the one that it really is.
        return int(number) if abs(number) >= _LARGEST_PLAIN_FLOAT else number
    if isinstance(value, list):
        return [_step(_encode_plain, item, f"[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {
            _step(SCALARS[str].encode, key, f"[{key!r}]"): _step(_encode_plain, item, f"[{key!r}]", depth + 1)
            for key, item in value.items()
        }
    refuse("a JSON value", value, "declare the element type, such as list[Decimal] or dict[str, date]")


def _decode_plain(value: Any) -> Any:
    if type(value) is list:
        return [_decode_plain(item) for item in value]
    if type(value) is dict:
        return {key: _decode_plain(item) for key, item in value.items()}
    return value


_PLAIN = Codec(_encode_plain, _decode_plain, {})


def _optional(inner: Codec) -> Codec:
    encode, decode = inner.encode, inner.decode

    def encode_optional(value: Any) -> Any:
        return None if value is None else encode(value)

    def decode_optional(value: Any) -> Any:
        return None if value is None else decode(value)

    return Codec(encode_optional, decode_optional, {"anyOf": [dict(inner.schema), {"type": "null"}]})


def _enum_codec(cls: type[Enum]) -> Codec:
    values = [member.value for member in cls]
    kinds = {type(value) for value in values}
    if issubclass(cls, Flag):
        raise UnsupportedType(f"{cls.__name__} is a Flag, whose members combine to values without a name: use int")
    if len(kinds) != 1 or not kinds <= {str, int, float, bool}:
        raise UnsupportedType(f"{cls.__name__}: the values of an Enum must be all str, all int, all float or all bool")
    inner = SCALARS[kinds.pop()]
    members = {member.value: member for member in cls}

    def encode(value: Any) -> Any:
        if isinstance(value, cls):
            return inner.encode(value.value)
        hint = f"write {cls.__name__}({value!r})" if type(value) in (str, int, float) and value in members else ""
        refuse(f"a member of {cls.__name__}", value, hint)

    def decode(value: Any) -> Any:
        try:
            return members[inner.decode(value)]
        except KeyError:
            refuse(f"one of {values}", value, f"give {cls.__name__} a member of this value")

    return Codec(encode, decode, {**inner.schema, "enum": values})


def _literal_codec(annotation: Any) -> Codec:
    values = get_args(annotation)
    kinds = {type(value) for value in values}
    if len(kinds) != 1 or not kinds <= {str, int, bool}:
        raise UnsupportedType(f"{type_label(annotation)}: the values of a Literal must be all str, all int or all bool")
    inner, known = SCALARS[kinds.pop()], frozenset(values)

    def member(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def converted(value: Any) -> Any:
            found = convert(value)
            if found in known:
                return found
            refuse(f"one of {list(values)}", value)

        return converted

    return Codec(member(inner.encode), member(inner.decode), {**inner.schema, "enum": list(values)})


def _each(function: Callable[[Any], Any], values: Any) -> list[Any]:
    done: list[Any] = []
    try:
        for value in values:
            done.append(function(value))
    except ValueRefused as error:
        raise error.within(f"[{len(done)}]") from None
    return done


def _sequence_codec(kind: type, element: Codec) -> Codec:
    def encode(value: Any) -> Any:
        if isinstance(value, kind):
            return _each(element.encode, value)
        refuse(kind.__name__, value, _sequence_hint(kind, value))

    def decode(value: Any) -> Any:
        if type(value) is list:
            return kind(_each(element.decode, value))
        refuse("a JSON array", value)

    return Codec(encode, decode, {"type": "array", "items": dict(element.schema)})


def _sequence_hint(kind: type, value: Any) -> str:
    if type(value).__module__ == "numpy":
        return "write value.tolist()" if kind is list else "write tuple(value.tolist())"
    return f"write {kind.__name__}(value)" if isinstance(value, (list, tuple, set, frozenset)) else ""


def _fixed_tuple_codec(elements: list[Codec]) -> Codec:
    def encode(value: Any) -> Any:
        if isinstance(value, tuple) and len(value) == len(elements):
            return [_step(e.encode, v, f"[{i}]") for i, (e, v) in enumerate(zip(elements, value, strict=True))]
        refuse(f"a tuple of {len(elements)}", value)

    def decode(value: Any) -> Any:
        if type(value) is list and len(value) == len(elements):
            return tuple(_step(e.decode, v, f"[{i}]") for i, (e, v) in enumerate(zip(elements, value, strict=True)))
        refuse(f"a JSON array of {len(elements)}", value)

    items = [dict(element.schema) for element in elements]
    return Codec(encode, decode, {"type": "array", "prefixItems": items, "items": False, "minItems": len(elements)})


def _dict_codec(key_type: Any, key: Codec, element: Codec) -> Codec:
    if key_type not in _KEY_TYPES and not (isinstance(key_type, type) and issubclass(key_type, Enum)):
        label = type_label(key_type)
        raise UnsupportedType(f"dict keys are str, int, date, datetime, UUID, Decimal or an Enum, not {label}")
    whole = key.schema["type"] == "integer"

    def decode_key(text: str) -> Any:
        try:
            return key.decode(int(text) if whole else text)
        except ValueError:
            refuse("a whole number", text)

    def encode(value: Any) -> Any:
        if not isinstance(value, dict):
            refuse("dict", value)
        return {str(_step(key.encode, k, f"[{k!r}]")): _step(element.encode, v, f"[{k!r}]") for k, v in value.items()}

    def decode(value: Any) -> Any:
        if type(value) is dict:
            return {_step(decode_key, k, f"[{k!r}]"): _step(element.decode, v, f"[{k!r}]") for k, v in value.items()}
        refuse("a JSON object", value)

    schema: dict[str, Any] = {"type": "object", "additionalProperties": dict(element.schema)}
    if key_type is not str:
        # JSON's keys are texts: of a whole number, its digits.
        schema["propertyNames"] = {"pattern": "^(0|-?[1-9][0-9]*)$"} if whole else dict(key.schema)
    return Codec(encode, decode, schema)


class _Member(NamedTuple):
    name: str
    codec: Codec
    default: Callable[[], Any] | None


def default_factory(field: Field[Any]) -> Callable[[], Any] | None:
    """Return what makes the default of a dataclass field, None when it has no default."""
    if field.default is not MISSING:
        value = field.default
        return lambda: value
    return None if field.default_factory is MISSING else field.default_factory


def _dataclass_codec(cls: type, compiler: _Compiler) -> Codec:
    members: list[_Member] = []

    def refuse_others(value: Any) -> None:
        inherits, known = isinstance(value, cls), {member.name for member in members}
        more = [field.name for field in fields(value) if field.name not in known] if inherits else []
        if more or not inherits:
            refuse(
                cls.__name__, value, f"its {', '.join(more)} would be lost: write {cls.__name__}(...)" if more else ""
            )

    def encode(value: Any) -> Any:
        if type(value) is not cls:
            refuse_others(value)
        try:
            return {m.name: _step(m.codec.encode, getattr(value, m.name), f".{m.name}") for m in members}
        except RecursionError:
            raise ValueRefused(f"a {cls.__name__} without cycles", cls.__name__) from None

    def decode(value: Any) -> Any:
        if type(value) is not dict:
            refuse("a JSON object", value)
        made: Any = object.__new__(cls)
        for member in members:
            if member.name in value:
                found = _step(member.codec.decode, value[member.name], f".{member.name}")
            elif member.default is not None:
                found = member.default()
            else:
                refuse(f"the field {member.name!r}", value, f"give {cls.__name__}.{member.name} a default")
            object.__setattr__(made, member.name, found)
        return made

    schema: dict[str, Any] = {"type": "object", "title": cls.__name__}
    finished = Codec(encode, decode, schema)
    compiler.seen[cls] = Codec(encode, decode, dict(schema))  # a class that refers to itself finds this
    types: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if is_dataclass(base):
            read = read_annotations(base, definition_names(base, compiler.names))
            types |= read.fields
            for name, reason in read.unresolved.items():
                raise UnsupportedType(f"{cls.__name__}.{name}: cannot resolve the annotation ({reason})")
    members += [_Member(f.name, compiler.compile(types[f.name]), default_factory(f)) for f in fields(cls)]
    schema["properties"] = {member.name: dict(member.codec.schema) for member in members}
    schema["required"] = [member.name for member in members if member.default is None]
    return finished


class _Compiler:
    """One compilation: where names are looked up, and the dataclasses met on the way."""

    def __init__(self, names: Names | None) -> None:
        self.names = names
        self.seen: dict[type, Codec] = {}

    def compile(self, annotation: Any) -> Codec:
        annotation, nullable = split_optional(resolve(annotation, self.names))
        if nullable:
            return _optional(self.compile(annotation))
        origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
        if origin is Literal:
            return _literal_codec(annotation)
        if origin is list:
            return _sequence_codec(list, self.compile(arguments[0]) if arguments else _PLAIN)
        if origin is tuple:
            if arguments and arguments[-1] is not Ellipsis:
                return _fixed_tuple_codec([self.compile(argument) for argument in arguments])
            return _sequence_codec(tuple, self.compile(arguments[0]) if arguments else _PLAIN)
        if origin is dict:
            key_type, element = (arguments[0], self.compile(arguments[1])) if arguments else (str, _PLAIN)
            return _dict_codec(key_type, self.compile(key_type), element)
        if isinstance(annotation, type):
            return self._compile_class(annotation)
        raise _unsupported(annotation)

    def _compile_class(self, cls: type) -> Codec:
        if cls in SCALARS:
            return SCALARS[cls]
        if cls in self.seen:
            return self.seen[cls]
        if issubclass(cls, Enum):
            return _enum_codec(cls)
        if hasattr(cls, "_bind"):
            raise UnsupportedType(f"{cls.__name__} is an entity of its own; hold its entity_id instead")
        if is_dataclass(cls):
            return _dataclass_codec(cls, self)
        raise _unsupported(cls)


def _unsupported(annotation: Any) -> UnsupportedType:
    return UnsupportedType(
        f"{type_label(annotation)} has no JSON form; use bool, int, float, str, Decimal, datetime, date, time, UUID, "
        "an Enum, a dataclass, or a list, tuple or dict of these"
    )


def codec(annotation: Any, names: Names | None = None) -> Codec:
    """Compile a declared type.

    Args:
        annotation: A type of the table above, a parametrised list, tuple or dict of them, or `Optional` of one.
        names: Where strings inside the annotation look up their names; None refuses strings.

    Returns:
        The functions that encode and decode its values.

    Raises:
        UnsupportedType: The store has no JSON form for it.

    Example:
        >>> codec(float).encode(3)
        3.0
    """
    return _Compiler(names).compile(annotation)
