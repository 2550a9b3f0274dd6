"""A class bound to the columns of a registry: the check at class definition, and the check of an instance."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from store.annotations import definition_names, read_annotations, split_optional, type_label
from store.column import ColumnDef, enum_values
from store.constraints import Check
from store.errors import Violation, shown
from store.values import Codec, UnsupportedType, ValueRefused, codec
from store.wording import is_slip

__all__ = ["BoundField", "ClassBinding", "Lookup", "bind_class"]


class BoundField(NamedTuple):
    """A field of a class with the column that governs it.

    Attributes:
        name: The field's name.
        annotation: Its resolved annotation without None.
        nullable: Whether the annotation allows None.
        column: The column, the base column for a prefixed name.
        codec: How its values become JSON, None included where allowed.
        broken: The column's compiled constraints, None without any.
    """

    name: str
    annotation: Any
    nullable: bool
    column: ColumnDef
    codec: Codec
    broken: Check | None

    def broken_rules(self, encoded: Any, value: Any) -> list[Violation]:
        """Return the constraint that a value breaks, as a list; the value in its encoded and its Python form."""
        broken = None if self.broken is None or encoded is None else self.broken(encoded)
        if broken is None:
            return []
        message = f"{self.name}: expected {broken.expected}, found {shown(value)}"
        return [Violation(self.name, broken.rule, broken.expected, value, message)]

    def refusal(self, error: ValueRefused) -> Violation:
        """Return a refused value as a violation of this field."""
        path = self.name + error.path
        expected = error.expected
        if error.value is None and not error.path:
            expected = f"{type_label(self.annotation)}, not None"
            message = f"{path}: expected {expected}; declare the field Optional if a value may be missing"
            return Violation(path, "nullable", expected, None, message)
        return Violation(path, "value", expected, error.value, f"{path}: {error}")


class ClassBinding(NamedTuple):
    """All fields of a class, inherited ones included, in dataclass order.

    Attributes:
        fields: Field name to bound field.
    """

    fields: dict[str, BoundField]

    def violations(self, instance: object) -> list[Violation]:
        """Return every broken rule of an instance, in field order."""
        found: list[Violation] = []
        for name, _, _, _, (encode, _, _), broken in self.fields.values():
            try:
                encoded = encode(getattr(instance, name))
            except ValueRefused as error:
                found.append(self.fields[name].refusal(error))
                continue
            except AttributeError:
                message = f"{name}: expected a value, found none: the attribute was deleted or never set"
                found.append(Violation(name, "value", "a value", None, message))
                continue
            if broken is not None and encoded is not None and broken(encoded) is not None:
                found += self.fields[name].broken_rules(encoded, getattr(instance, name))
        return [*found, *self.misspelled(instance)]

    def misspelled(self, instance: object) -> list[Violation]:
        """Return the attributes that misspell a field: what they were meant to change would be lost."""
        found: list[Violation] = []
        attributes = getattr(instance, "__dict__", {})
        for name in sorted(attributes.keys() - self.fields.keys()):
            near = tuple(field for field in self.fields if is_slip(name, field))
            if near and not name.startswith("_") and not hasattr(type(instance), name):
                message = f"{name}: set, but no field of this class; did you mean {near[0]!r}?"
                found.append(Violation(name, "unknown", "a field", attributes[name], message, near))
        return found


class Lookup(Protocol):
    """What a class check asks of a registry."""

    def lookup(self, name: str) -> tuple[ColumnDef, str | None] | None:
        """Return the column and the prefix for a field name, None when there is none."""

    def unknown(self, name: str) -> Violation:
        """Return the violation for a field name without a column."""


def bind_class(
    cls: type, registry: Lookup, known: Callable[[type], ClassBinding | None]
) -> tuple[ClassBinding, list[Violation]]:
    """Bind the fields of a class, decorated or about to be, to the columns of a registry.

    Args:
        cls: The class. Its own annotations are read, and the fields of the dataclasses among its bases.
        registry: Where columns are looked up.
        known: The binding of a base that was checked before, None when it was not.

    Returns:
        The binding of the fields that are in order, and a violation for each of the others.
    """
    bound: dict[str, BoundField] = {}
    violations: list[Violation] = []
    for base in reversed(cls.__mro__[:-1]):
        # Annotations of an undecorated base are no dataclass fields; `is_dataclass` would be true of it by inheritance.
        if base is not cls and "__dataclass_fields__" not in base.__dict__:
            continue
        earlier = None if base is cls else known(base)
        if earlier is not None:
            bound |= earlier.fields
        else:
            names = definition_names(base)
            read = read_annotations(base, names)
            for name, reason in read.unresolved.items():
                text = str(base.__annotations__[name])
                message = f"{name}: cannot resolve the annotation {text!r} ({reason})"
                violations.append(Violation(name, "annotation", "an annotation that can be resolved", text, message))
            for name in set(inspect.get_annotations(base)) - read.fields.keys() - read.unresolved.keys():
                bound.pop(name, None)  # a field of a base that this class makes a ClassVar or an InitVar
            for name, annotation in read.fields.items():
                result = _bind_field(name, annotation, names, registry)
                if isinstance(result, BoundField):
                    bound[name] = result
                else:
                    violations.append(result)
    return ClassBinding(bound), violations


def _bind_field(name: str, annotation: Any, names: Any, registry: Lookup) -> BoundField | Violation:
    found = registry.lookup(name)
    if found is None:
        return registry.unknown(name)
    column = found[0]
    base, nullable = split_optional(annotation)
    if not column.accepts(base):
        wanted, label = column.type_name, type_label(annotation)
        message = f"{name}: expected {wanted}, found {label} (type {label} ≠ {wanted}, column {column.name!r})"
        return Violation(name, "type", wanted, annotation, message)
    if nullable and not column.nullable:
        wanted, label = column.type_name, type_label(annotation)
        message = f"{name}: expected {wanted}, found {label}: column {column.name!r} is not nullable; declare {wanted}"
        return Violation(name, "nullable", wanted, annotation, message)
    try:
        compiled = codec(annotation, names)
    except UnsupportedType as error:
        return Violation(name, "type", column.type_name, annotation, f"{name}: {error}")
    bound = BoundField(name, base, nullable, column, compiled, column.broken)
    for member in enum_values(base):
        for violation in bound.broken_rules(member, member):
            return violation._replace(message=f"{violation.message}, a value of {type_label(base)}")
    return bound
