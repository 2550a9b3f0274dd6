"""Keys for a piece of work that may be done again: each change in it is stored once.

Whoever repeats work after a crash (a workflow engine, its steps) opens a `key_scope` around it. A change that is made
in it without a key of its own gets one: of the scope, the kind of change, the type or entity it is about, and how many
such changes the scope has made before. Done again, the work finds its own changes under the same keys.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

__all__ = ["DerivedKey", "derived_key", "key_scope"]

PREFIX = "workflow:"
LONGEST_SUBJECT = 64


class DerivedKey(NamedTuple):
    """The key of one change.

    Attributes:
        text: The key.
        counts: What the scope has made.
        slot: What this change counts as.
    """

    text: str
    counts: Counter[str]
    slot: str

    def use(self) -> Callable[[], None]:
        """Count the change as made, and return what takes that back. One that failed does not count."""
        self.counts[self.slot] += 1
        return self._take_back

    def _take_back(self) -> None:
        self.counts[self.slot] -= 1


_scope: ContextVar[tuple[str, Counter[str]] | None] = ContextVar("store key scope", default=None)


@contextmanager
def key_scope(name: str) -> Iterator[None]:
    """Give every change of this thread or task inside the block a key.

    Args:
        name: The work's name, the same when it is done again.

    Example:
        >>> with key_scope("load of 2026-02-22"):
        ...     client.write_many(trades)
    """
    token = _scope.set((name, Counter()))
    try:
        yield
    finally:
        _scope.reset(token)


def derived_key(operation: str, subjects: Callable[[], Iterable[str]]) -> DerivedKey | None:
    """Return the key of the next change of a kind; None outside a scope.

    Args:
        operation: The kind.
        subjects: Returns the types or entities that it is about, in any order.
    """
    scope = _scope.get()
    if scope is None:
        return None
    name, counts = scope
    subject = ",".join(sorted(set(subjects())))
    if len(subject) > LONGEST_SUBJECT:
        subject = hashlib.sha256(subject.encode()).hexdigest()
    slot = f"{operation}/{subject}"
    return DerivedKey(f"{PREFIX}{name}/{slot}/{counts[slot] + 1}", counts, slot)
