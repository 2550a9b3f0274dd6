"""Every error that the store raises, in one tree under `StoreError`.

Each error is also the builtin that a caller would expect (`TransitionNotPermitted` is a `PermissionError`). The message
says what, where, which value and what to do; the same facts are attributes, and survive pickling, so that a workflow
engine can carry an error between processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from store.wording import nearest_names, shown

__all__ = [
    "AccessDenied",
    "ConnectionLost",
    "EngineMissing",
    "EntityDeleted",
    "EntityNotFound",
    "GuardFailure",
    "IdempotencyMismatch",
    "IncompatiblePublication",
    "InvalidFilter",
    "InvalidRange",
    "InvalidTransition",
    "InvalidValue",
    "NotPublished",
    "PackageMissing",
    "RegistryError",
    "SchemaDrift",
    "StateMachineError",
    "StoreError",
    "TransactionConflict",
    "TransitionNotPermitted",
    "TypeMismatch",
    "UnknownPrincipal",
    "VersionConflict",
    "Violation",
    "nearest_names",
    "shown",
]


class Violation(NamedTuple):
    """One broken rule: which field, which rule, what was expected, what was found.

    Attributes:
        field: The field's name, with the path inside it where there is one (`legs[2].price`).
        rule: Which rule: `unknown`, `type`, `nullable`, `reserved`, `enum`, `min_value`, `max_value`, `max_length`,
            `pattern`, `check` or `value`.
        expected: What would have been accepted, in words.
        value: What was found: a value, or for a class check the annotation.
        message: The whole sentence.
        suggestions: The nearest valid names, for a name that is unknown.
    """

    field: str
    rule: str
    expected: str
    value: Any
    message: str
    suggestions: tuple[str, ...] = ()


R = TypeVar("R", bound="RegistryError")


class StoreError(Exception):
    """Base of every error of the store."""


class RegistryError(StoreError, TypeError):
    """A column definition, a class or a value that the column registry does not allow.

    Attributes:
        type_name: The class at fault, None when a column definition is.
        violations: Every broken rule, in field order.
        field: The first violation's field.
        expected: The first violation's expectation.
        value: The first violation's value.
        suggestions: The first violation's nearest valid names.
    """

    def __init__(
        self, message: str = "", *, type_name: str | None = None, violations: Sequence[Violation] = ()
    ) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.type_name = type_name
        self.violations: tuple[Violation, ...] = tuple(violations)
        first = self.violations[0] if self.violations else Violation("", "", "", None, message)
        self.field = first.field
        self.expected = first.expected
        self.value: Any = first.value
        self.suggestions = first.suggestions

    @classmethod
    def of(cls: type[R], type_name: str, violations: Sequence[Violation]) -> R:
        """Build the error that lists every violation of one class or object."""
        if len(violations) == 1:
            message = f"{type_name}.{violations[0].message}"
        else:
            lines = "".join(f"\n  - {type_name}.{violation.message}" for violation in violations)
            message = f"{type_name}: {len(violations)} violations{lines}"
        return cls(message, type_name=type_name, violations=violations)


class InvalidValue(RegistryError, ValueError):
    """A value that its column does not allow or that the store cannot hold (NaN, a naive datetime, a NUL character)."""


class NotPublished(RegistryError):
    """A type that this store does not take, as it is not published, or no longer."""


class SchemaDrift(RegistryError):
    """A class that does not fit what is published of its type; each difference is in `violations`."""


class IncompatiblePublication(RegistryError):
    """A class that cannot be published: stored data could not be read with it, or would be lost.

    Each reason is in `violations`, with the way out.
    """


class VersionConflict(StoreError):
    """An object is no longer the newest version of its entity: somebody else wrote in between.

    Attributes:
        entity_id: The entity.
        expected: The version that the object carried.
        actual: The entity's version now.
    """

    def __init__(
        self,
        message: str = "",
        *,
        entity_id: str | None = None,
        expected: int | None = None,
        actual: int | None = None,
    ) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.entity_id = entity_id
        self.expected = expected
        self.actual = actual


class StateMachineError(StoreError, TypeError):
    """A state machine, or its attachment to a class, that is not well formed.

    Attributes:
        machine: The machine's name.
        problems: Every fault, one sentence each.
    """

    def __init__(self, message: str = "", *, machine: str | None = None, problems: Sequence[str] = ()) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.machine = machine
        self.problems: tuple[str, ...] = tuple(problems)


class InvalidTransition(StoreError, ValueError):
    """A change of state for which the machine has no edge.

    Attributes:
        machine: The machine's name, None when the class has no machine.
        from_state: The state of the object.
        to_state: The state that was asked for.
        allowed: The states that have an edge from `from_state`.
    """

    def __init__(
        self,
        message: str = "",
        *,
        machine: str | None = None,
        from_state: str | None = None,
        to_state: str | None = None,
        allowed: Sequence[str] = (),
    ) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.machine = machine
        self.from_state = from_state
        self.to_state = to_state
        self.allowed: tuple[str, ...] = tuple(allowed)


class GuardFailure(StoreError, ValueError):
    """A transition whose guard is not true for the object's data.

    Attributes:
        from_state: The state of the object.
        to_state: The state that was asked for.
        guard: The guard, as text.
        values: The fields that the guard reads, with the object's values.
    """

    def __init__(
        self,
        message: str = "",
        *,
        from_state: str | None = None,
        to_state: str | None = None,
        guard: str = "",
        values: dict[str, Any] | None = None,
    ) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.from_state = from_state
        self.to_state = to_state
        self.guard = guard
        self.values: dict[str, Any] = dict(values or {})


class TransitionNotPermitted(StoreError, PermissionError):
    """A transition that the user is not among those allowed to trigger.

    Attributes:
        user: Who asked.
        from_state: The state of the object.
        to_state: The state that was asked for.
        allowed_by: Who may.
    """

    def __init__(
        self,
        message: str = "",
        *,
        user: str | None = None,
        from_state: str | None = None,
        to_state: str | None = None,
        allowed_by: Sequence[str] = (),
    ) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.user = user
        self.from_state = from_state
        self.to_state = to_state
        self.allowed_by: tuple[str, ...] = tuple(allowed_by)


class EngineMissing(StoreError, RuntimeError):
    """A transition that starts a workflow, of a class without an engine to run it.

    Attributes:
        type_name: The class.
        from_state: The state of the object.
        to_state: The state that was asked for.
    """

    def __init__(
        self,
        message: str = "",
        *,
        type_name: str | None = None,
        from_state: str | None = None,
        to_state: str | None = None,
    ) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.type_name = type_name
        self.from_state = from_state
        self.to_state = to_state


class EntityNotFound(StoreError, LookupError):
    """There is no such entity, or the user may not know that there is one.

    Attributes:
        entity_id: The entity asked for.
    """

    def __init__(self, message: str = "", *, entity_id: str | None = None) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.entity_id = entity_id


class AccessDenied(StoreError, PermissionError):
    """Something that the user may not do.

    Attributes:
        entity_id: The entity, None when the refusal is not about one.
    """

    def __init__(self, message: str = "", *, entity_id: str | None = None) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.entity_id = entity_id


class TypeMismatch(StoreError, TypeError):
    """An entity that is of another type than the class it was asked for with.

    Attributes:
        entity_id: The entity.
        expected: The type asked for.
        actual: The entity's type.
    """

    def __init__(
        self,
        message: str = "",
        *,
        entity_id: str | None = None,
        expected: str | None = None,
        actual: str | None = None,
    ) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.entity_id = entity_id
        self.expected = expected
        self.actual = actual


class InvalidRange(StoreError, ValueError):
    """A valid time, or a range of them, that cannot be: empty, naive, or out of order for a change of state."""


class EntityDeleted(InvalidRange):
    """A change over a range in which the entity is deleted.

    Attributes:
        entity_id: The entity.
        deleted: The first five of the deleted ranges that the change overlaps, as PostgreSQL writes a multirange.
        deleted_from: Where the first deleted range begins that the change overlaps.
    """

    def __init__(
        self,
        message: str = "",
        *,
        entity_id: str | None = None,
        deleted: str | None = None,
        deleted_from: str | None = None,
    ) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.entity_id = entity_id
        self.deleted = deleted
        self.deleted_from = deleted_from


class InvalidFilter(StoreError, ValueError):
    """A filter, an order or a cursor that cannot be used; the message names the part at fault."""


class IdempotencyMismatch(StoreError, ValueError):
    """An idempotency key that was used before, for another request.

    Attributes:
        key: The key.
    """

    def __init__(self, message: str = "", *, key: str | None = None) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.key = key


class UnknownPrincipal(StoreError, LookupError):
    """A name that is neither a user nor a group of the store.

    Attributes:
        principal: The name.
    """

    def __init__(self, message: str = "", *, principal: str | None = None) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.principal = principal


class TransactionConflict(StoreError):
    """Two transactions stood in each other's way and this one was undone: run it again."""


class PackageMissing(StoreError, ImportError):
    """A call that needs a package which the store itself does without."""


class ConnectionLost(StoreError, ConnectionError):
    """The server could not be reached, or went away.

    Attributes:
        ambiguous: True when a change was under way and may have been committed or not.
    """

    def __init__(self, message: str = "", *, ambiguous: bool = False) -> None:
        """Keep the message and its facts."""
        super().__init__(message)
        self.ambiguous = ambiguous
