"""`Storable`, the base of every stored class, and the metadata that a stored object carries."""

from __future__ import annotations

import copyreg
import json
import re
import uuid
from abc import ABCMeta
from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, TypeVar, get_type_hints
from weakref import WeakValueDictionary

from store.columns import REGISTRY
from store.errors import InvalidValue, RegistryError, StoreError, shown
from store.records import FieldSpec, RecordSchema, record_schema
from store.registry import METADATA_NAMES
from store.state_machine import check_attachment
from store.values import Json, ValueRefused, codec

__all__ = ["FieldSpec", "Metadata", "RecordSchema", "Storable", "record_schema", "require_entity_id", "types_by_name"]

S = TypeVar("S", bound="Storable")

# The latest class of each type name. Weak: a class that nobody uses any more does not linger.
types_by_name: MutableMapping[str, type[Storable]] = WeakValueDictionary()


class Metadata(NamedTuple):
    """What the store knows of an object beside its data, as of the event it was read from or written by.

    Attributes:
        entity_id: The entity.
        version: Counts the entity's events from 1.
        owner: Who wrote the entity first.
        updated_by: Who wrote this event.
        tx_time: When the store recorded this event, UTC.
        valid_from: When the fact becomes effective, UTC.
        valid_to: When it ceases to be effective, UTC, None for open-ended.
        state: State of the lifecycle, None without a state machine.
        event_type: CREATED, UPDATED, DELETED, STATE_CHANGE or CORRECTED.
    """

    entity_id: str
    version: int
    owner: str
    updated_by: str
    tx_time: datetime
    valid_from: datetime
    valid_to: datetime | None
    state: str | None
    event_type: str


_CANONICAL_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def require_entity_id(entity_id: object) -> str:
    """Return an entity's id in its canonical form.

    Raises:
        StoreError: It is not one.
    """
    if type(entity_id) is str and _CANONICAL_ID.fullmatch(entity_id):
        return entity_id
    try:
        return str(uuid.UUID(entity_id if isinstance(entity_id, str) else str(entity_id)))
    except ValueError:
        raise StoreError(f"{shown(entity_id)} is not an entity id: pass what write() returned") from None


def _field_names(cls: type) -> tuple[str, ...]:
    return tuple(REGISTRY.binding(cls).fields)


class StorableMeta(ABCMeta):
    """Checks a state machine when it is attached: `Order._state_machine = OrderLifecycle`."""

    def __setattr__(cls, name: str, value: Any) -> None:
        if name == "_state_machine" and value is not None:
            check_attachment(cls, value, _field_names(cls))
        super().__setattr__(name, value)


class Storable(metaclass=StorableMeta):
    """Base of the classes whose objects the store keeps; subclasses are dataclasses.

    Every annotated field must be an approved column of `store.columns.REGISTRY`; the check runs when the class is
    defined. The stored name of a type is its class name, or `type_name`: `class Order(Storable, type_name="fx.Order")`.
    A lifecycle is given as `class Order(Storable, state_machine=OrderLifecycle)` or set later as
    `Order._state_machine = OrderLifecycle`; `Order._workflow_engine` runs the workflows of its edges.

    Equality, repr and hash are the dataclass's own: data only. Pickling and copying keep the metadata.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Quote(Storable):
        ...     symbol: str = ""
        ...     bid: float = 0.0
        >>> Quote("AAPL", 229.5).to_json()
        '{"type": "Quote", "data": {"symbol": "AAPL", "bid": 229.5}}'
    """

    # The first write or read sets both on the instance. This class is no dataclass: its annotations are no fields.
    _metadata: Metadata | None = None
    _stored: dict[str, Json] | None = None
    # Whether `_stored` is what a read showed once the event of that version was the entity's newest.
    _current: bool = False
    _state_machine: ClassVar[Any] = None
    _workflow_engine: ClassVar[Any] = None
    _type_name: ClassVar[str]

    def __init_subclass__(cls, *, type_name: str | None = None, state_machine: Any = None, **kwargs: Any) -> None:
        """Check the class against the registry and make it known by its type name."""
        super().__init_subclass__(**kwargs)
        if type_name is not None:
            if not isinstance(type_name, str) or not _TYPE_NAME.fullmatch(type_name):
                raise RegistryError(
                    f"{cls.__name__}: expected type_name as dotted words such as 'fx.Order', found {shown(type_name)}",
                    type_name=cls.__name__,
                )
            cls._type_name = type_name
        REGISTRY.validate_class(cls)
        if state_machine is not None:
            cls._state_machine = state_machine
        elif "_state_machine" in cls.__dict__:
            check_attachment(cls, cls._state_machine, _field_names(cls))
        types_by_name[cls.type_name()] = cls

    @classmethod
    def type_name(cls) -> str:
        """Return the name under which objects of this class are stored."""
        name: str = cls.__dict__.get("_type_name") or cls.__name__
        return name

    @property
    def entity_id(self) -> str | None:
        """The entity, None before the first write."""
        return None if self._metadata is None else self._metadata.entity_id

    @property
    def version(self) -> int | None:
        """Number of the entity's events so far, None before the first write."""
        return None if self._metadata is None else self._metadata.version

    @property
    def owner(self) -> str | None:
        """Who wrote the entity first, None before the first write."""
        return None if self._metadata is None else self._metadata.owner

    @property
    def updated_by(self) -> str | None:
        """Who wrote the event that this object shows, None before the first write."""
        return None if self._metadata is None else self._metadata.updated_by

    @property
    def tx_time(self) -> datetime | None:
        """When the store recorded the event, UTC; None before the first write."""
        return None if self._metadata is None else self._metadata.tx_time

    @property
    def valid_from(self) -> datetime | None:
        """When the fact becomes effective, UTC; None before the first write."""
        return None if self._metadata is None else self._metadata.valid_from

    @property
    def valid_to(self) -> datetime | None:
        """When the fact ceases to be effective, UTC; None for open-ended and before the first write."""
        return None if self._metadata is None else self._metadata.valid_to

    @property
    def state(self) -> str | None:
        """State of the lifecycle; None without a state machine and before the first write."""
        return None if self._metadata is None else self._metadata.state

    @property
    def event_type(self) -> str | None:
        """CREATED, UPDATED, DELETED, STATE_CHANGE or CORRECTED; None before the first write."""
        return None if self._metadata is None else self._metadata.event_type

    def _bind(self, metadata: Metadata | None, stored: dict[str, Json] | None, *, current: bool = False) -> None:
        """Set what the store knows of this object; frozen and slotted classes included.

        Args:
            metadata: The metadata.
            stored: The data.
            current: Whether the data is that of the present, or was when it was read; not that of another valid time.
        """
        object.__setattr__(self, "_metadata", metadata)
        object.__setattr__(self, "_stored", stored)
        object.__setattr__(self, "_current", current)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Reduce as usual, with the metadata kept: a frozen dataclass with slots would pickle its fields only."""
        reduced: Any = super().__reduce_ex__(max(protocol, 2))
        if reduced[0] is not copyreg.__newobj__:  # type: ignore[attr-defined]
            return reduced
        return (_rebuild, (type(self), self._metadata, self._stored, *reduced[1][1:]), *reduced[2:])

    def to_json(self) -> str:
        """Return the object as JSON text: type name, data and, once written, metadata.

        Raises:
            InvalidValue: A value does not fit its declared type.
        """
        data = record_schema(type(self)).encode(self)
        document: dict[str, Any] = {"type": self.type_name(), "data": data}
        if self._metadata is not None:
            pairs = zip(METADATA_NAMES, self._metadata, strict=True)
            document["metadata"] = {name: _METADATA_CODECS[name].encode(value) for name, value in pairs}
            if self._stored != data:
                document["stored"] = self._stored
        return json.dumps(document, ensure_ascii=False)

    @classmethod
    def from_json(cls: type[S], source: str | bytes | Mapping[str, Any]) -> S:
        """Return the object that `to_json` wrote.

        Args:
            source: The text, or what `json.loads` makes of it. Called on `Storable` itself, the type name in it decides
                the class.

        Raises:
            InvalidValue: It is malformed, of another type, or holds a value that does not fit the class.
        """
        document = _parsed(source) if isinstance(source, (str, bytes)) else source
        if not isinstance(document, Mapping) or not isinstance(document.get("data"), Mapping):
            raise InvalidValue(f'expected a JSON object with "type" and "data", found {shown(document)}')
        found = document.get("type")
        target: Any = cls if found == cls.type_name() else None
        if cls is Storable and isinstance(found, str):
            target = types_by_name.get(found)
        if target is None:
            wanted = "the name of a defined class" if cls is Storable else repr(cls.type_name())
            raise InvalidValue(f'expected "type" to be {wanted}, found {shown(found)}', type_name=cls.__name__)
        try:
            made: S = record_schema(target).decode(document["data"])
        except RecursionError:
            raise InvalidValue(f'"data" is nested too deep for {target.type_name()}: {shown(source)}') from None
        if document.get("metadata") is not None:
            stored = document.get("stored", document["data"])
            made._bind(_metadata_of(document["metadata"]), None if stored is None else dict(stored))
        return made


_TYPE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_METADATA_CODECS = {name: codec(kind) for name, kind in get_type_hints(Metadata).items()}


def _rebuild(cls: type[S], metadata: Metadata | None, stored: dict[str, Json] | None, *arguments: Any) -> S:
    made = cls.__new__(cls, *arguments)
    if metadata is not None:
        made._bind(metadata, stored)
    return made


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"expected JSON, found {shown(text)}: {error}") from error


def _metadata_of(document: Any) -> Metadata:
    if not isinstance(document, Mapping) or set(document) != set(METADATA_NAMES):
        raise InvalidValue(f'expected "metadata" with {", ".join(METADATA_NAMES)}, found {shown(document)}')
    values = {}
    for name in METADATA_NAMES:
        try:
            values[name] = _METADATA_CODECS[name].decode(document[name])
        except ValueRefused as error:
            raise InvalidValue(f"metadata {name}: {error}") from None
    return Metadata(**values)
