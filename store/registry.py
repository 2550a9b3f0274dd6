"""The column registry: every field of every stored class is a column that was approved before.

The project's own catalog is `store.columns.REGISTRY`.
"""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from collections.abc import Iterable
from dataclasses import fields
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from store.binding import ClassBinding, bind_class
from store.column import ColumnDef
from store.errors import InvalidValue, RegistryError, Violation, nearest_names, shown

__all__ = ["METADATA_NAMES", "RESERVED_NAMES", "ColumnDef", "ColumnRegistry", "RegistryError"]

METADATA_NAMES = (
    "entity_id",
    "version",
    "owner",
    "updated_by",
    "tx_time",
    "valid_from",
    "valid_to",
    "state",
    "event_type",
)
# Public attributes of every stored object; a column of that name would hide one.
RESERVED_NAMES = frozenset({*METADATA_NAMES, "type_name", "to_json", "from_json"})

_ATTRIBUTES = tuple(item.name for item in fields(ColumnDef) if item.name not in ("name", "python_type"))
_MACHINERY = ("store", "dataclasses", "abc")
_WORD = re.compile(r"[a-z0-9]+")


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


class ColumnRegistry:
    """A catalog of columns, and the classes that use them.

    Safe to use from several threads. Classes are held weakly: a class that is redefined or dropped does not linger.

    Example:
        >>> registry = ColumnRegistry()
        >>> registry.define("price", float, description="Execution price", role="measure", unit="USD", min_value=0)
        ColumnDef("price")
    """

    def __init__(self) -> None:
        self._columns: dict[str, ColumnDef] = {}
        self._prefixed: dict[str, tuple[ColumnDef, str]] = {}
        self._bindings: WeakKeyDictionary[type, ClassBinding] = WeakKeyDictionary()
        self._entities: WeakValueDictionary[str, type] = WeakValueDictionary()
        self._lock = RLock()

    def __len__(self) -> int:
        """Return the number of columns."""
        return len(self._columns)

    def __contains__(self, name: object) -> bool:
        """Return whether a column of this very name is defined."""
        return name in self._columns

    def define(self, name: str, python_type: Any, **attributes: Any) -> ColumnDef:
        """Add a column to the catalog.

        Defining a name again with equal attributes changes nothing, so that a notebook cell may run twice.

        Args:
            name: Field name, lower-case snake_case.
            python_type: The type that a field of this name must declare.
            **attributes: The other attributes of ColumnDef: `description` and `role` always, `unit` for a measure.

        Returns:
            The column.

        Raises:
            RegistryError: The definition is not valid, clashes with a prefixed name, or differs from an earlier one.

        Example:
            >>> ColumnRegistry().define("desk", str, description="Trading desk", role="dimension")
            ColumnDef("desk")
        """
        for attribute in attributes:
            if attribute not in _ATTRIBUTES:
                near = nearest_names(attribute, _ATTRIBUTES)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(_ATTRIBUTES)}"
                message = f"{attribute}: no attribute of a column; {hint}"
                violation = Violation(attribute, "definition", "an attribute of ColumnDef", attribute, message, near)
                raise RegistryError.of(f"column {name!r}", [violation])
        column = ColumnDef(name, python_type, **attributes)
        with self._lock:
            known = self._columns.get(name)
            if known is not None:
                differing = known.differences(column)
                if differing:
                    raise _redefinition(known, column, differing)
                return known
            self._check_clashes(column)
            self._columns[name] = column
            for prefix in column.allowed_prefixes:
                self._prefixed[f"{prefix}_{name}"] = (column, prefix)
        return column

    def _check_clashes(self, column: ColumnDef) -> None:
        name = column.name
        taken: list[str] = []
        if name in RESERVED_NAMES:
            taken.append(f"name: {name!r} is reserved: every stored object has a property of that name")
        if name in self._prefixed:
            base, prefix = self._prefixed[name]
            taken.append(f"name: {name!r} is already column {base.name!r} with the prefix {prefix!r}")
        for prefix in column.allowed_prefixes:
            full = f"{prefix}_{name}"
            if full in self._columns or full in RESERVED_NAMES:
                taken.append(f"allowed_prefixes: {full!r} is already a name of its own")
            elif full in self._prefixed:
                other = self._prefixed[full][0].name
                taken.append(f"allowed_prefixes: {full!r} is already column {other!r} with a prefix")
        if len(set(column.allowed_prefixes)) < len(column.allowed_prefixes):
            taken.append("allowed_prefixes: a prefix is listed twice")
        if taken:
            violations = [Violation(t.partition(":")[0], "clash", "a name that is free", name, t) for t in taken]
            raise RegistryError.of(f"column {name!r}", violations)

    def get(self, name: str) -> ColumnDef | None:
        """Return the column of exactly this name, None when there is none; prefixed names are for `resolve`."""
        return self._columns.get(name)

    def has(self, name: str) -> bool:
        """Return whether a field of this name is approved, directly or through a prefix."""
        return self.lookup(name) is not None

    def is_prefixed(self, name: str) -> bool:
        """Return whether a name is approved through a prefix: `trader_name` is, `name` is not."""
        return name not in self._columns and name in self._prefixed

    def all_columns(self) -> list[ColumnDef]:
        """Return every column, in the order of definition."""
        return list(self._columns.values())

    def lookup(self, name: str) -> tuple[ColumnDef, str | None] | None:
        """Return the column and the prefix for a field name, None when it is not approved."""
        column = self._columns.get(name)
        return (column, None) if column is not None else self._prefixed.get(name)

    def resolve(self, name: str) -> tuple[ColumnDef, str | None]:
        """Return the column that governs a field name, and the prefix of the name.

        Raises:
            RegistryError: The name is not approved; the nearest names are in its `suggestions`.

        Example:
            >>> from store.columns import REGISTRY
            >>> REGISTRY.resolve("trader_name")
            (ColumnDef("name"), 'trader')
        """
        if not isinstance(name, str):
            raise RegistryError(f"a column is asked for by its name, not by {shown(name)}")
        found = self.lookup(name)
        if found is None:
            raise RegistryError(self.unknown(name).message, violations=[self.unknown(name)])
        return found

    def unknown(self, name: str) -> Violation:
        """Return the violation for a field name that is not approved, with the nearest names that are."""
        if name in RESERVED_NAMES:
            message = f"{name}: reserved: every stored object has a property of that name; choose another name"
            return Violation(name, "reserved", "a name that is not reserved", name, message)
        near = self._suggestions(name)
        base = next((c for c in self.all_columns() if c.allowed_prefixes and name.endswith(f"_{c.name}")), None)
        if base is not None:
            prefix = name[: -len(base.name) - 1]
            approved = ", ".join(base.allowed_prefixes)
            message = f"{name}: not in registry: {prefix!r} is no approved prefix of column {base.name!r} ({approved})"
        else:
            message = f"{name}: not in registry"
        if near:
            message += f"; did you mean {' or '.join(repr(item) for item in near)}?"
        else:
            message += "; define it with REGISTRY.define, or annotate it ClassVar if it is no data"
        return Violation(name, "unknown", "a registered column", name, message, near)

    def _suggestions(self, name: str) -> tuple[str, ...]:
        columns = self.all_columns()
        candidates = {"_".join(_words(synonym)): c.name for c in columns for synonym in c.synonyms}
        candidates |= {full: full for full in (*self._prefixed, *self._columns)}
        if name in candidates:
            return (candidates[name],)
        return tuple(dict.fromkeys(candidates[near] for near in nearest_names(name, candidates)))

    def validate_class(self, cls: type) -> None:
        """Check that every field of a class is an approved column of the registered type, and remember the class.

        Every `Storable` is checked when it is defined; a plain dataclass may be checked by hand. Deprecated columns
        give a DeprecationWarning.

        Raises:
            RegistryError: At least one field is not; all of them are in `violations`.
        """
        if not isinstance(cls, type):
            raise RegistryError(f"expected a class, found {shown(cls)}")
        binding, violations = bind_class(cls, self, self._bindings.get)
        if violations:
            raise RegistryError.of(cls.__qualname__.rpartition("<locals>.")[2], violations)
        for name, bound in binding.fields.items():
            if bound.column.deprecated and name in inspect.get_annotations(cls):
                told = bound.column.deprecated
                instead = f": {told}" if isinstance(told, str) else ""
                text = f"{cls.__name__}.{name}: column {bound.column.name!r} is deprecated{instead}"
                warnings.warn(text, DeprecationWarning, stacklevel=_outside_store())
        with self._lock:
            self._bindings[cls] = binding
            self._entities[_type_name(cls)] = cls

    def binding(self, cls: type) -> ClassBinding:
        """Return the fields of a class with their columns, checking the class first when it is new."""
        known = self._bindings.get(cls) if isinstance(cls, type) else None
        if known is None:
            self.validate_class(cls)
            known = self._bindings[cls]
        return known

    def validate_instance(self, instance: object) -> None:
        """Check the values of an object against types and constraints.

        Raises:
            InvalidValue: A RegistryError that lists every violation at once, in field order.
        """
        violations = self.binding(type(instance)).violations(instance)
        if violations:
            raise InvalidValue.of(_type_name(type(instance)), violations)

    def entities(self) -> list[type]:
        """Return the classes in use, the latest of each type name, in the order of first definition."""
        with self._lock:
            return list(self._entities.values())

    def entities_with(self, name: str) -> list[type]:
        """Return the classes that have a field of this name; for a base column, also under its prefixes.

        Raises:
            RegistryError: The name is not approved.
        """
        column, prefix = self.resolve(name)
        return [
            cls
            for cls in self.entities()
            if any(
                bound.name == name or (prefix is None and bound.column is column)
                for bound in self.binding(cls).fields.values()
            )
        ]

    def columns_for(self, cls: type | str) -> list[ColumnDef]:
        """Return the columns of a class, or of a type name, in field order; prefixed fields give the base column.

        Raises:
            RegistryError: The class breaks a rule, or no class of that name is in use.
        """
        if isinstance(cls, str):
            known = self._entities.get(cls)
            if known is None:
                near = nearest_names(cls, self._entities.keys())
                hint = f"; did you mean {near[0]!r}?" if near else ""
                violation = Violation("", "unknown", "the name of a class in use", cls, f"no class {cls!r}{hint}", near)
                raise RegistryError(violation.message, violations=[violation])
            cls = known
        return [bound.column for bound in self.binding(cls).fields.values()]

    def prefixed_columns(self, name: str) -> list[str]:
        """Return the prefixed names of a column, in the order of its `allowed_prefixes`.

        Raises:
            RegistryError: There is no such column.
        """
        column, _ = self.resolve(name)
        return [f"{prefix}_{column.name}" for prefix in column.allowed_prefixes]

    def find(self, text: str, limit: int = 10) -> list[ColumnDef]:
        """Search the catalog by name, synonym or free text, the best match first.

        Args:
            text: A name, a synonym, or words that occur in descriptions, tags, units and semantic types.
            limit: The most columns to return.

        Returns:
            The columns that match; the nearest names when nothing does.

        Example:
            >>> from store.columns import REGISTRY
            >>> REGISTRY.find("ticker")[0]
            ColumnDef("symbol")
        """
        if not isinstance(text, str):
            raise RegistryError(f"find() takes the words to look for as a text, not {shown(text)}")
        wanted = _words(text)
        if not wanted:
            return []
        scored = [(_score(column, wanted), column) for column in self.all_columns()]
        ranked = sorted((pair for pair in scored if pair[0]), key=lambda pair: -pair[0])
        if not ranked:
            return [self.resolve(name)[0] for name in self._suggestions("_".join(wanted))][:limit]
        return [column for _, column in ranked[:limit]]


def _score(column: ColumnDef, wanted: list[str]) -> int:
    """Rate how well a column answers a search: a whole name beats a whole synonym beats single words."""
    phrase = " ".join(wanted)
    names = [column.name, column.display_name, *(f"{prefix}_{column.name}" for prefix in column.allowed_prefixes)]
    if any(" ".join(_words(name)) == phrase for name in names):
        return 1000
    if any(" ".join(_words(synonym)) == phrase for synonym in column.synonyms):
        return 900
    weights: Iterable[tuple[int, Iterable[str | None]]] = (
        (12, names),
        (10, column.synonyms),
        (4, (column.description,)),
        (3, (*column.tags, column.semantic_type, column.category, column.unit)),
    )
    score = 0
    for word in wanted:
        score += max((weight for weight, texts in weights if any(word in _words(t) for t in texts if t)), default=0)
    return score


def _type_name(cls: type) -> str:
    return cls.__dict__.get("_type_name") or cls.__name__


def _outside_store() -> int:
    """Return the stacklevel of the class statement: the first frame that belongs neither to us nor to a decorator."""
    level = 2
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _MACHINERY:
        frame = frame.f_back
        level += 1
    return level


def _redefinition(known: ColumnDef, column: ColumnDef, differing: Iterable[str]) -> RegistryError:
    violations = [
        Violation(
            name,
            "definition",
            repr(getattr(known, name)),
            getattr(column, name),
            f"{name}: already defined as {getattr(known, name)!r}, found {getattr(column, name)!r}",
        )
        for name in differing
    ]
    return RegistryError.of(f"column {known.name!r}", violations)
